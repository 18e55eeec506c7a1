"""The archive of the keys: one file, encrypted, kept in another place than the backups of the lake.

Here: who backups are encrypted to, packing the keys and putting them back. Not here: the lake (`audit.backup`). Whoever has a
backup of the lake and the keys has everything, so the two never go into one folder; the identity that opens both is in
neither.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from credit_pipeline.audit.backup import refuse_nested, refuse_occupied
from credit_pipeline.audit.log import fsync_directory, write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys import UnsafeKeyFile
from credit_pipeline.settings import Settings

RECIPIENTS = "backup.recipients"
IDENTITY = "backup.agekey"


def backup_recipients(settings: Settings, given: Sequence[str] = ()) -> tuple[list[str], bool]:
    """The age recipients of backups, and whether the identity of one lies on this machine, which is for trying only.

    Those given, else the lines of `KEYS_DIR/backup.recipients`; without that file a pair of keys is made in the key folder.

    Raises:
        BadInput: a line is no age recipient.
    """
    texts = list(given)
    path = settings.keys_dir / RECIPIENTS
    if not texts:
        if not path.exists():
            identity = pyrage.x25519.Identity.generate()
            settings.keys_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(settings.keys_dir / IDENTITY, f"{identity}\n".encode())
            write_durably(path, f"{identity.to_public()}\n".encode())
        lines = path.read_text(encoding="utf-8").splitlines()
        texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    for text in texts:
        try:
            pyrage.x25519.Recipient.from_str(text)
        except pyrage.RecipientError:
            raise BadInput(
                f"{text!r} is no age recipient (age1…); remedy: correct it in {path} or --recipient"
            ) from None
    if not texts:
        raise BadInput(f"{path} names no recipient; remedy: one age1… a line")
    return texts, (settings.keys_dir / IDENTITY).exists()


def read_identities(settings: Settings, path: Path | None) -> list[pyrage.x25519.Identity]:
    """The identities of an age file (0600), or the one in the key folder.

    Raises:
        BadInput: there is no such file or it holds no identity.
        UnsafeKeyFile: others may read it.
    """
    path = path or settings.keys_dir / IDENTITY
    if not path.is_file():
        raise BadInput(
            f"there is no identity {path}; remedy: --identity FILE with the key that opens the backups"
        )
    if path.stat().st_mode & 0o077:
        raise UnsafeKeyFile(f"{path}: others may read it; remedy: chmod 600 {path}")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        found = []
    if not found:
        raise BadInput(f"{path} holds no age identity (AGE-SECRET-KEY-1…)")
    return found


def archive_keys(settings: Settings, directory: Path, recipients: Sequence[str], *, now: datetime) -> Path:
    """Writes all keys but the identity that opens backups into `directory/keys-<moment>.tar.age`.

    Raises:
        BadInput: the folder is or holds the keys or the lake, or lies in them.
    """
    refuse_nested(directory, settings.keys_dir, "the archive", "the key folder")
    refuse_nested(directory, settings.lake_dir, "the archive", "the lake")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(settings.keys_dir.rglob("*")):
            if (
                path.is_file()
                and not path.is_symlink()
                and path.name != IDENTITY
                and not path.name.startswith("tmp-")
            ):
                archive.add(path, path.relative_to(settings.keys_dir).as_posix(), recursive=False)
    sealed = pyrage.encrypt(
        packed.getvalue(), [pyrage.x25519.Recipient.from_str(text) for text in recipients]
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = directory / f"keys-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.tar.age"
    write_durably(target, sealed)
    return target


def restore_keys(archive: Path, keys_dir: Path, identities: Sequence[pyrage.x25519.Identity]) -> int:
    """Puts the keys of an archive into a folder that does not exist yet (0700, files 0600); the number of files.

    Raises:
        BadInput: something stands there, or there is no archive.
        IntegrityError: the archive was changed or is for another identity.
    """
    refuse_occupied(keys_dir)
    if not archive.is_file():
        raise BadInput(f"{archive}: there is no such archive of keys")
    try:
        packed = pyrage.decrypt(archive.read_bytes(), list(identities))
    except pyrage.DecryptError as error:
        raise IntegrityError(
            f"{archive}: cannot be decrypted ({error}); it was changed or is for another identity"
        ) from None
    beside = keys_dir.with_name(f"tmp-restore-{keys_dir.name}-{secrets.token_hex(4)}")
    beside.mkdir(parents=True, mode=0o700)
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
            opened.extractall(beside, filter="data")
        files = [path for path in sorted(beside.rglob("*")) if path.is_file()]
        for path in beside.rglob("*"):
            path.chmod(0o700 if path.is_dir() else 0o600)
        for path in files:
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        if keys_dir.exists():
            keys_dir.rmdir()
        beside.rename(keys_dir)
        fsync_directory(keys_dir.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return len(files)
