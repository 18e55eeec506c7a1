"""`credit-pipeline keys`: the office's keys, and the public keys of the units that releases are encrypted to."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, command_settings, output_console
from credit_pipeline.errors import BadInput

if TYPE_CHECKING:
    from credit_pipeline.audit.log import AuditLog
    from credit_pipeline.keys import KeyStore

app = typer.Typer(no_args_is_help=True, help="Signing key, escrow, and the units' public keys.")

SIGNING = "signing"
Unit = Annotated[str, typer.Argument(help="Unit id, or `escrow`.")]
Recipient = Annotated[str | None, typer.Option(help="The unit's public key: age1…")]
File = Annotated[
    Path | None, typer.Option("--file", help="File with that line (age-keygen -y).", dir_okay=False)
]
Note = Annotated[str, typer.Option(help="Who handed it over, when, on which way.")]


def _places(lake: Path | None) -> tuple[KeyStore, AuditLog]:
    from credit_pipeline.audit.log import AuditLog
    from credit_pipeline.keys import KeyStore

    settings = command_settings(lake=lake)
    return KeyStore(settings.keys_dir), AuditLog(settings.audit_log_path)


def _given(recipient: str | None, file: Path | None) -> str | None:
    if recipient is not None and file is not None:
        raise BadInput("give --recipient or --file, not both")
    if file is None:
        return recipient
    try:
        lines = file.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if len(found) != 1:
        raise BadInput(f"{file}: expected one line age1…, found {len(found)}")
    return found[0]


@app.command()
def init(lake: Lake = None) -> None:
    """Make the signing key and the escrow's, once, and say what belongs elsewhere."""
    from credit_pipeline.extracts.key_changes import ensure_escrow
    from credit_pipeline.keys.recipients import Register

    keys, audit = _places(lake)
    public = keys.public_key().public_bytes_raw().hex()
    ensure_escrow(keys, audit)
    escrow = Register(keys).escrow_path
    typer.echo(f"signing key (public): {public}")
    typer.echo("  Give it to every unit on paper: their reader asks for it once (--key).")
    if escrow.exists():
        typer.echo(f"escrow identity: {escrow}")
        typer.echo(
            "  It opens every release. Move it off this machine into the safe of the audit office (copy, compare, then\n"
            "  delete it here); runs need its public key only, which is registered."
        )
    typer.echo(
        f"{keys.directory}: keep it on another volume than the lake, and back it up apart from the lake.\n"
        "Next: each unit makes its own key (age-keygen, or `python read_extract.py --new-identity FILE`) and sends the line\n"
        "age1…; then credit-pipeline keys add UNIT --recipient age1…"
    )


@app.command("list")
def list_(lake: Lake = None, as_json: Json = False) -> None:
    """List the registered public keys, and the units whose key the office holds."""
    from credit_pipeline.keys import public_key_id
    from credit_pipeline.keys.handover import trusted_keys
    from credit_pipeline.keys.recipients import Register

    keys, _ = _places(lake)
    register = Register(keys)
    entries = register.entries()
    stand_ins = sorted(path.stem for path in (keys.directory / "office_held").glob("*.agekey"))
    held = [unit for unit in stand_ins if not register.active(unit)]
    signing: dict[str, Any] = {
        "current": public_key_id(keys.public_key()),
        "retired": list(trusted_keys(keys))[:-1],
    }
    if as_json:
        found = {"signing": signing, "recipients": [asdict(one) for one in entries], "office_held": held}
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    table = Table(title=f"{len(entries)} public keys", title_justify="left")
    for name in ("unit", "key id", "added", "revoked", "recipient", "note"):
        table.add_column(name, overflow="fold")
    for one in entries:
        table.add_row(one.unit, one.key_id, one.added, one.revoked or "", one.recipient, one.note)
    console = output_console()
    console.print(table)
    retired = f"; retired: {', '.join(signing['retired'])}" if signing["retired"] else ""
    console.print(f"signing key {signing['current']}{retired}", highlight=False)
    if held:
        console.print(
            f"The office holds the key of {len(held)} unit(s), a default for development: {', '.join(held)}",
            style="yellow",
            highlight=False,
        )


@app.command()
def add(
    unit: Unit, recipient: Recipient = None, file: File = None, note: Note = "", lake: Lake = None
) -> None:
    """Register one more public key of a unit: the next release can be opened with it too."""
    from credit_pipeline.extracts.key_changes import add_key

    given = _given(recipient, file)
    if given is None:
        raise BadInput("give the unit's public key with --recipient age1… or --file")
    keys, audit = _places(lake)
    entry = add_key(keys, audit, unit, given, note)
    typer.echo(f"{unit}: key {entry.key_id} added; the next run publishes a release for it")


@app.command()
def rotate(
    unit: Annotated[str, typer.Argument(help="Unit id, `escrow`, or `signing`.")],
    recipient: Recipient = None,
    file: File = None,
    note: Note = "",
    lake: Lake = None,
) -> None:
    """Replace a unit's keys by a new one, the one the office holds for it, the escrow's, or the signing key."""
    from credit_pipeline.extracts.key_changes import rotate_key, rotate_signing

    keys, audit = _places(lake)
    given = _given(recipient, file)
    if unit == SIGNING:
        if given is not None:
            raise BadInput("the signing key is made here: give no --recipient")
        statement = rotate_signing(keys, audit)
        typer.echo(f"signing key (public): {statement['new_key']}")
        typer.echo(
            "Readers follow by the hand-over in every unit's folder from the next run on. If the old key LEAKED they must "
            "not:\ngive the new key to every unit on paper (their reader: --key)."
        )
        return
    gone = rotate_key(keys, audit, unit, given, note)
    typer.echo(
        f"{unit}: {', '.join(gone) or 'no key'} replaced; the next run publishes a release for the new key"
    )


@app.command()
def revoke(
    unit: Unit, key_id: Annotated[str, typer.Argument(help="From `keys list`.")], lake: Lake = None
) -> None:
    """End a public key: no release from the next run on can be opened with it."""
    from credit_pipeline.extracts.key_changes import revoke_key
    from credit_pipeline.keys.recipients import Register

    keys, audit = _places(lake)
    revoke_key(keys, audit, unit, key_id)
    typer.echo(f"{unit}: key {key_id} revoked; the next run publishes a release without it")
    typer.echo("What was published for it before stays readable with it: take those files back.")
    if not Register(keys).active(unit):
        typer.echo(f"{unit} has no key of its own now: the office holds one for it until a new one is added.")
