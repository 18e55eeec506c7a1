"""Backups of a lake: encrypted objects named by their content, and a signed manifest per backup.

Here: making, listing and removing backups. Not here: checking and restoring them (`audit.restore`), the keys, which go into an
archive of their own and another place (`audit.key_archive`), and how long backups are kept (`audit.retention`).

`DIR/objects/<2>/<sha256>.age` holds one content, whichever files and backups have it, so a second backup writes only what
changed. `DIR/backup-<moment>.json` is written last: without it there is no backup, and what a failed one wrote is removed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.audit.log import AuditLog, canonical_json, fsync_directory, sha256_hex, write_durably
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.feeds.compaction import finish_compaction
from credit_pipeline.feeds.lake_files import file_sha256, private_files
from credit_pipeline.keys import KeyStore, public_key_id
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import current_as_of_date, lake_id, wait_until_free

FORMAT = "credit-pipeline-backup/1"
DOMAIN = b"BACKUP1|"
LEFT_OUT = frozenset({".lock", "compacting", "dbt", "replays", "tmp"})
"""Names at the top of a lake that are made anew by whoever needs them."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Backup:
    """One backup of a folder."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> Sequence[Mapping[str, Any]]:
        """One entry per file: `path` in the lake, `size`, `sha256`, and `object_size` and `object_sha256` as encrypted."""
        files: Sequence[Mapping[str, Any]] = self.manifest["files"]
        return files

    @property
    def made_on(self) -> date:
        return datetime.fromisoformat(self.manifest["made_at"]).date()


@dataclass(frozen=True)
class Made:
    """What a backup took."""

    backup: Backup
    files: int
    size: int
    new_objects: int
    new_size: int
    """Bytes of the new objects, encrypted."""


class Hashing:
    """Passes on what is read or written, and hashes it on the way."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._digest = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._digest.update(data)
        return data

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        return self._stream.write(data)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def make_backup(settings: Settings, directory: Path, recipients: Sequence[str], *, now: datetime) -> Made:
    """Backs the lake up into `directory`, encrypted to the age recipients. The caller holds the lake's lock.

    Raises:
        BadInput: there is no lake, the folder lies inside it, or it holds backups of another lake.
        CreditPipelineError: writing failed; what this backup wrote is gone again.
    """
    lake = settings.lake_dir
    as_of = current_as_of_date(settings)
    if as_of is None:
        raise BadInput(f"{lake}: no day has been run, so there is nothing to back up")
    refuse_nested(directory, lake, "the backup", "the lake")
    keys = KeyStore(settings.keys_dir)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    earlier = [verified(item, trusted_keys(keys)) for item in list_backups(directory)]
    if any(item.manifest["lake_id"] != lake_id(settings) for item in earlier):
        raise BadInput(
            f"{directory} holds backups of another lake; remedy: give each lake a folder of its own"
        )
    known = {entry["sha256"]: entry for item in earlier for entry in item.files}
    _sweep(directory, known)
    finish_compaction(settings)
    wait_until_free(settings, settings.warehouse_path)
    audit = AuditLog(settings.audit_log_path)
    checkpoint = CheckpointStore(settings.audit_dir / "checkpoints").add(
        audit, keys.signing_key(), trusted=trusted_keys(keys)
    )
    encrypted_to = [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    written: list[Path] = []
    files: list[dict[str, Any]] = []
    try:
        with private_files():
            for path in lake_files(lake):
                content = _log_so_far(path) if path == settings.audit_log_path else None
                entry = _store(directory, path, content, known, encrypted_to, written)
                known[entry["sha256"]] = entry
                files.append(entry | {"path": path.relative_to(lake).as_posix()})
            manifest: dict[str, Any] = {
                "format": FORMAT,
                "made_at": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00"),
                "lake_id": lake_id(settings),
                "as_of_date": as_of.isoformat(),
                "checkpoint": checkpoint,
                "files": files,
                "signed_by": public_key_id(keys.public_key()),
            }
            signature = keys.signing_key().sign(DOMAIN + canonical_json(manifest)).hex()
            manifest["signature"] = signature
            target = directory / f"backup-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{checkpoint['size']:08d}.json"
            if target.exists():
                raise BadInput(f"{target} exists already; remedy: try again a second later")
            write_durably(target, canonical_json(manifest) + b"\n")
    except BaseException as error:
        for path in written:
            path.unlink(missing_ok=True)
        for path in directory.rglob("tmp-*"):
            path.unlink()
        if isinstance(error, OSError | pyrage.EncryptError):
            raise CreditPipelineError(
                f"{directory}: the backup could not be written ({error}); what it wrote is removed, earlier backups stand. "
                "remedy: make room, then run it again"
            ) from error
        raise
    sizes = [path.stat().st_size for path in written]
    total = sum(entry["size"] for entry in files)
    return Made(Backup(target, manifest), len(files), total, len(sizes), sum(sizes))


def list_backups(directory: Path) -> list[Backup]:
    """The backups of a folder, the oldest first; signatures are not checked here.

    Raises:
        IntegrityError: a manifest cannot be read.
    """
    found = []
    for path in sorted(directory.glob("backup-*.json")):
        try:
            manifest = json.loads(path.read_bytes())
            found.append(Backup(path, manifest))
            datetime.fromisoformat(manifest["made_at"])
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(f"{path}: not the manifest of a backup; remedy: move it away") from None
    return found


def choose(directory: Path, name: str | None) -> Backup:
    """The backup of that file name, or the newest.

    Raises:
        BadInput: there is none.
    """
    found = [item for item in list_backups(directory) if name in (None, item.path.name)]
    if not found:
        raise BadInput(
            f"{directory}: no backup{f' {name}' if name else ''}; remedy: credit-pipeline backup list --from DIR"
        )
    return found[-1]


def remove_backups(directory: Path, paths: Iterable[Path]) -> None:
    """Removes manifests, then the objects that no backup names any more."""
    for path in paths:
        path.unlink()
    fsync_directory(directory)
    left = list_backups(directory)
    _sweep(directory, {entry["sha256"] for item in left for entry in item.files})


def lake_files(lake: Path) -> Iterator[Path]:
    """Every file of a lake that a backup takes, sorted.

    Raises:
        BadInput: a symbolic link, which would be restored as something else.
    """
    for path in sorted(lake.rglob("*")):
        if (
            path.relative_to(lake).parts[0] in LEFT_OUT
            or path.name.startswith("tmp-")
            or path.suffix == ".tmp"
        ):
            continue
        if path.is_symlink():
            raise BadInput(f"{path}: a symbolic link; remedy: put the file itself there")
        if path.is_file():
            yield path


def refuse_nested(one: Path, other: Path, one_name: str, other_name: str) -> None:
    """Raises `BadInput` if one folder is, holds or lies in the other."""
    first, second = one.resolve(), other.resolve()
    if first == second or first.is_relative_to(second) or second.is_relative_to(first):
        raise BadInput(
            f"{one_name} ({one}) and {other_name} ({other}) must not lie in one another; choose another folder"
        )


def refuse_occupied(target: Path) -> None:
    """Raises `BadInput` unless the path is free or an empty folder: a restore never overwrites."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadInput(f"{target} exists and is not empty; remedy: restore into a new folder")


def verified(backup: Backup, trusted: Mapping[str, Ed25519PublicKey]) -> Backup:
    """The backup, if one of the trusted keys (by key id) signed it."""
    content = {key: value for key, value in backup.manifest.items() if key != "signature"}
    try:
        trusted[backup.manifest["signed_by"]].verify(
            bytes.fromhex(backup.manifest["signature"]), DOMAIN + canonical_json(content)
        )
    except (InvalidSignature, ValueError, KeyError, TypeError, BadInput):
        raise IntegrityError(
            f"{backup.path}: changed after it was signed, or signed by another key than {' or '.join(sorted(trusted))}"
        ) from None
    return backup


def object_path(directory: Path, sha256: str) -> Path:
    return directory / "objects" / sha256[:2] / f"{sha256}.age"


def _log_so_far(path: Path) -> bytes:
    """The whole lines of the audit log: commands that do not hold the lake may be appending to it."""
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1]


def _store(
    directory: Path,
    path: Path,
    content: bytes | None,
    known: Mapping[str, Mapping[str, Any]],
    recipients: Sequence[pyrage.x25519.Recipient],
    written: list[Path],
) -> dict[str, Any]:
    """The entry of a file; its content is encrypted unless a backup here has it."""
    sha256 = file_sha256(path) if content is None else sha256_hex(content)
    target = object_path(directory, sha256)
    if sha256 in known and target.exists() and target.stat().st_size == known[sha256]["object_size"]:
        return dict(known[sha256])
    size = path.stat().st_size if content is None else len(content)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f"tmp-{target.name}")
    with (
        path.open("rb") if content is None else io.BytesIO(content) as source,
        temporary.open("wb") as sink,
    ):
        reading, writing = Hashing(source), Hashing(sink)
        pyrage.encrypt_io(reading, writing, list(recipients))
        sink.flush()
        os.fsync(sink.fileno())
    if reading.sha256 != sha256:
        raise CreditPipelineError(f"{path} changed while it was read; remedy: run the backup again")
    written.append(target)
    temporary.replace(target)
    fsync_directory(target.parent)
    return {
        "size": size,
        "sha256": sha256,
        "object_size": target.stat().st_size,
        "object_sha256": writing.sha256,
    }


def _sweep(directory: Path, named: Iterable[str]) -> None:
    """Removes objects that no manifest names: a backup that was killed left them."""
    kept = set(named)
    for path in sorted((directory / "objects").glob("*/*")):
        if path.stem not in kept:
            path.unlink()
