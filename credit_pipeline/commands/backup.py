"""`credit-pipeline backup`: copies of the lake and of the keys, and the way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from credit_pipeline.commands.shared import Json, Lake, command_settings
from credit_pipeline.errors import BadInput
from credit_pipeline.settings import Settings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

app = typer.Typer(
    no_args_is_help=True, help="Encrypted backups of the lake and of the keys: make, verify, restore."
)

From = Annotated[Path, typer.Option("--from", help="Folder of the backups.", file_okay=False)]
Chosen = Annotated[
    str | None,
    typer.Option("--backup", help="File name of a backup, as `backup list` shows it; else the newest."),
]
Identity = Annotated[
    Path | None,
    typer.Option(
        help="age identity (0600) of one of the recipients; else the one in the key folder.", dir_okay=False
    ),
]
PublicKey = Annotated[
    str | None,
    typer.Option(help="The office's public key, 64 hexadecimal digits; else that of the key folder."),
]


@app.command()
def make(
    out: Annotated[
        Path, typer.Option(help="Folder of the backups, on another disk than the lake.", file_okay=False)
    ],
    lake: Lake = None,
    keys_out: Annotated[
        Path | None,
        typer.Option(help="Another folder, in another place, for an archive of the keys.", file_okay=False),
    ] = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="age1… that can open it, repeated; else KEYS_DIR/backup.recipients."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the lake, encrypted, writing only what no earlier backup holds; waits for a run to end."""
    from credit_pipeline.audit.backup import make_backup, refuse_nested
    from credit_pipeline.audit.key_archive import archive_keys, backup_recipients
    from credit_pipeline.audit.log import AuditLog, sha256_hex
    from credit_pipeline.warehouse import lake_lock

    settings = command_settings(lake=lake)
    if not settings.lake_dir.is_dir():
        raise BadInput(f"there is no lake {settings.lake_dir}; remedy: --lake DIR")
    if keys_out is not None:
        refuse_nested(out, keys_out, "the backup of the lake", "the archive of the keys")
    recipients, is_here = backup_recipients(settings, recipient or ())
    now = datetime.now(UTC)
    with lake_lock(settings):
        made = make_backup(settings, out, recipients, now=now)
        archive = None if keys_out is None else archive_keys(settings, keys_out, recipients, now=now)
        AuditLog(settings.audit_log_path).append(
            "backup_made",
            "audit",
            None,
            manifest_sha256=sha256_hex(made.backup.path.read_bytes()),
            files=made.files,
            size=made.size,
            new_objects=made.new_objects,
            keys_archive_sha256=None if archive is None else sha256_hex(archive.read_bytes()),
        )
    if as_json:
        told = {"backup": str(made.backup.path), "files": made.files, "size": made.size,
                "new_objects": made.new_objects, "new_size": made.new_size,
                "keys": None if archive is None else str(archive)}  # fmt: skip
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        typer.echo(
            f"{made.backup.path}: {made.files:,} files, {made.size:,} bytes; {made.new_objects:,} new objects, "
            f"{made.new_size:,} bytes" + ("" if archive is None else f"\n{archive}: the keys")
        )
    if is_here:
        typer.echo(
            f"note: the identity that opens backups lies in {settings.keys_dir} (backup.agekey), where whoever takes this machine "
            "finds it, and without which no backup opens: move it to paper or a token, see docs/backup.md",
            err=True,
        )


@app.command("list")
def list_made(source: From, as_json: Json = False) -> None:
    """List the backups of a folder, the oldest first."""
    from credit_pipeline.audit.backup import list_backups

    found = [
        {
            "backup": item.path.name,
            "as_of_date": item.manifest["as_of_date"],
            "files": len(item.files),
        }
        for item in list_backups(source)
    ]
    if as_json:
        typer.echo(json.dumps(found))
    else:
        for item in found:
            typer.echo(f"{item['backup']}  as of {item['as_of_date']}  {item['files']:,} files")


@app.command()
def verify(
    source: From,
    backup: Chosen = None,
    identity: Identity = None,
    decrypt: Annotated[bool, typer.Option("--decrypt", help="Decrypt every object too.")] = False,
    public_key: PublicKey = None,
) -> None:
    """Check the signature and every object of a backup; with --decrypt also what is in them."""
    from credit_pipeline.audit.backup import choose
    from credit_pipeline.audit.key_archive import read_identities
    from credit_pipeline.audit.restore import verify_backup

    settings = command_settings()
    identities = read_identities(settings, identity) if decrypt or identity else []
    chosen = choose(source, backup)
    objects = verify_backup(source, chosen, _trusted(settings, public_key), identities)
    typer.echo(
        f"{chosen.path.name}: signature and {objects:,} objects are right"
        + (", decrypted" if identities else "")
    )


@app.command()
def restore(
    source: Annotated[
        Path | None, typer.Option("--from", help="Folder of the backups of the lake.", file_okay=False)
    ] = None,
    lake: Lake = None,
    backup: Chosen = None,
    identity: Identity = None,
    public_key: PublicKey = None,
    keys_from: Annotated[
        Path | None,
        typer.Option(
            help="Archive of the keys (keys-….tar.age), put into the key folder first.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Restore a lake into a new folder, or the keys, or both; nothing that exists is overwritten."""
    from credit_pipeline.audit.backup import choose
    from credit_pipeline.audit.key_archive import read_identities, restore_keys
    from credit_pipeline.audit.log import AuditLog, sha256_hex
    from credit_pipeline.audit.restore import restore_backup

    settings = command_settings(lake=lake)
    if source is None and keys_from is None:
        raise BadInput("nothing to restore; remedy: --from DIR for the lake, --keys-from FILE for the keys")
    identities = read_identities(settings, identity)
    if keys_from is not None:
        typer.echo(
            f"{settings.keys_dir}: {restore_keys(keys_from, settings.keys_dir, identities)} files of keys"
        )
    if source is None:
        return
    chosen = choose(source, backup)
    checked = restore_backup(settings, source, chosen, _trusted(settings, public_key), identities)
    AuditLog(settings.audit_log_path).append(
        "backup_restored",
        "audit",
        None,
        manifest_sha256=sha256_hex(chosen.path.read_bytes()),
        files=len(chosen.files),
    )
    typer.echo(
        "\n".join(
            [f"{settings.lake_dir}: restored from {chosen.path.name}", *(f"- {line}" for line in checked)]
        )
    )


def _trusted(settings: Settings, given: str | None) -> dict[str, Ed25519PublicKey]:
    """The keys of which one must have signed, by key id; never one made now."""
    from credit_pipeline.keys import KeyStore, public_key_from_hex, public_key_id
    from credit_pipeline.keys.handover import trusted_keys

    if given:
        key = public_key_from_hex(given)
        return {public_key_id(key): key}
    if not (settings.keys_dir / "signing.key").exists():
        raise BadInput(
            f"{settings.keys_dir} holds no signing key to check the backup against; remedy: --keys-from FILE restores the keys, "
            "or --public-key HEX"
        )
    return trusted_keys(KeyStore(settings.keys_dir))
