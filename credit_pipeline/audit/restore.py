"""Checking backups and restoring them.

Here: whether a backup is what was made, and putting a lake back. Not here: making backups (`audit.backup`), keys
(`audit.key_archive`). A lake is restored beside its place, checked as a whole, and given its name in one step: whatever
happens on the way, there is no half restored lake.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credit_pipeline.audit.backup import Backup, Hashing, object_path, refuse_occupied, verified
from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.audit.log import AuditLog, fsync_directory
from credit_pipeline.errors import CreditPipelineError, IntegrityError
from credit_pipeline.extracts.manifest import MANIFEST_NAME, read_manifest, verify_manifest
from credit_pipeline.extracts.public_results import read_public_manifest
from credit_pipeline.extracts.release_files import verify_files
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.feeds.lake_files import file_sha256, private_files
from credit_pipeline.feeds.ledger import reconcile
from credit_pipeline.settings import Settings


def verify_backup(
    directory: Path,
    backup: Backup,
    trusted: Mapping[str, Ed25519PublicKey],
    identities: Sequence[pyrage.x25519.Identity] = (),
) -> int:
    """Checks the signature and every object a backup names, decrypted too when identities are given; the number of objects.

    Raises:
        IntegrityError: the first thing that is not as it was written.
    """
    verified(backup, trusted)
    objects = {entry["sha256"]: entry for entry in backup.files}
    for entry in objects.values():
        _check_object(directory, entry)
        if identities:
            with Path(os.devnull).open("wb") as nowhere:
                _decrypt(directory, entry, nowhere, identities)
    return len(objects)


def restore_backup(
    settings: Settings,
    directory: Path,
    backup: Backup,
    trusted: Mapping[str, Ed25519PublicKey],
    identities: Sequence[pyrage.x25519.Identity],
) -> list[str]:
    """Restores a backup as the lake of `settings`, which must not exist, and says what was checked.

    Raises:
        BadInput: something stands where the lake shall be.
        IntegrityError: the backup is not as it was made, or the lake in it does not agree with itself; nothing is left.
    """
    lake = settings.lake_dir
    refuse_occupied(lake)
    verified(backup, trusted)
    lake.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = lake.with_name(f"tmp-restore-{lake.name}-{secrets.token_hex(4)}")
    try:
        with private_files():
            for entry in backup.files:
                _restore_file(directory, entry, beside, entry["path"], identities)
        checked = _check_lake(settings.model_copy(update={"lake_dir": beside}), backup, trusted)
        _sync_folders(beside)
        if lake.exists():
            lake.rmdir()
        beside.rename(lake)
        fsync_directory(lake.parent)
    except OSError as error:
        raise CreditPipelineError(
            f"{lake}: could not be restored ({error}); nothing is left of the attempt. remedy: make room, then run it again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return checked


def _check_object(directory: Path, entry: Mapping[str, Any]) -> Path:
    path = object_path(directory, entry["sha256"])
    if (
        not path.is_file()
        or path.stat().st_size != entry["object_size"]
        or file_sha256(path) != entry["object_sha256"]
    ):
        raise IntegrityError(
            f"{path}: missing or not the object that was written; remedy: use another copy of the backup"
        )
    return path


def _decrypt(
    directory: Path, entry: Mapping[str, Any], sink: BinaryIO, identities: Sequence[pyrage.x25519.Identity]
) -> None:
    path = object_path(directory, entry["sha256"])
    writing = Hashing(sink)
    try:
        with path.open("rb") as source:
            pyrage.decrypt_io(source, writing, list(identities))
    except pyrage.DecryptError as error:
        raise IntegrityError(
            f"{path}: cannot be decrypted ({error}); remedy: the identity of one of the backup's recipients"
        ) from None
    if writing.sha256 != entry["sha256"]:
        raise IntegrityError(
            f"{path}: holds another content than its name says; use another copy of the backup"
        )


def _restore_file(
    directory: Path,
    entry: Mapping[str, Any],
    root: Path,
    name: str,
    identities: Sequence[pyrage.x25519.Identity],
) -> None:
    target = root / name
    if not target.resolve().is_relative_to(root.resolve()):
        raise IntegrityError(f"the backup names the file {name!r}, which would lie outside the lake")
    _check_object(directory, entry)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with target.open("wb") as sink:
        _decrypt(directory, entry, sink, identities)
        sink.flush()
        os.fsync(sink.fileno())


def _sync_folders(root: Path) -> None:
    for path in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        fsync_directory(path)


def _check_lake(settings: Settings, backup: Backup, trusted: Mapping[str, Ed25519PublicKey]) -> list[str]:
    """What a restored lake must prove before it gets its name."""
    differences = [
        f"{feed.name}: {line}"
        for feed in load_catalogue().values()
        for line in reconcile(settings, feed, thorough=True)
    ]
    if differences:
        raise IntegrityError(
            "the restored lake does not hold what its ledger says:\n" + "\n".join(differences)
        )
    log = AuditLog(settings.audit_log_path)
    store = CheckpointStore(settings.audit_dir / "checkpoints")
    found = store.verify(log, trusted, backup.manifest["checkpoint"])
    found.raise_if_bad()
    extracts = sorted(settings.extracts_dir.glob(f"*/{MANIFEST_NAME}"))
    for path in extracts:
        manifest = read_manifest(path)
        verify_manifest(manifest, trusted)
        verify_files(manifest, path.parent)
    if (settings.public_dir / MANIFEST_NAME).exists():
        read_public_manifest(settings.public_dir, trusted)
    return [
        f"{len(backup.manifest['files'])} files as they were backed up",
        "every feed holds what its ledger says",
        f"audit log intact: {found.size} records, continues the checkpoint at {backup.manifest['checkpoint']['size']}",
        f"{len(extracts)} extracts with right signature and content",
    ]
