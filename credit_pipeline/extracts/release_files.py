"""The files of a release: measured when published, proved against the manifest before anything is opened.

Here: names, sizes, SHA-256, what must not lie beside them. Not here: the manifest itself (`extracts.manifest`).

A release's own files carry its number and never change. Companions (the reader, the guide) carry no number and are
replaced after the manifest: a companion is good when this release or the one before names it, so that a reader
between the two steps, or after a crash between them, is not turned away.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.extracts.manifest import (
    MANIFEST_NAME,
    FileMismatch,
    manifest_sha256,
    read_manifest,
    release_name,
    release_of,
)

SIGNING_KEYS_NAME = "signing_keys.json"
_PLAIN_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Identity:
    """Which file it was that was proved, to notice one put in its place before it is opened."""

    device: int
    inode: int
    size: int
    changed_ns: int


def database_name(unit_id: str, release_seq: int) -> str:
    return f"{release_name(unit_id, release_seq)}.duckdb"


def wrapped_key_name(unit_id: str, release_seq: int) -> str:
    return f"{release_name(unit_id, release_seq)}.key.age"


def kept_manifest_name(unit_id: str, release_seq: int) -> str:
    return f"{release_name(unit_id, release_seq)}.manifest.json"


def measure(path: Path) -> dict[str, Any]:
    """Size and SHA-256, as they stand in a manifest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": path.stat().st_size, "sha256": digest}


def companion_entries(companions: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The companions as they stand in a manifest."""
    return [
        {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(companions.items())
    ]


def verify_files(manifest: Mapping[str, Any], directory: Path) -> dict[str, Identity]:
    """Proves every file of the release in `directory`, and that nothing strange carries its number.

    Raises `FileMismatch`; gives what each file was, for `is_still`.
    """
    release = release_of(manifest)
    name = f"release {manifest['release_seq']} of unit {manifest['unit_id']}"
    files: Mapping[str, Mapping[str, Any]] = manifest["files"]
    for file in files:
        if not _PLAIN_NAME.fullmatch(file) or not file.startswith(f"{release}."):
            raise FileMismatch(f"{name}: {file!r} is not a plain file name of this release")
    for needed in (f"{release}.duckdb", f"{release}.key.age"):
        if needed not in files:
            raise FileMismatch(f"{name}: the manifest names no {needed}")
    beside = {path.name for path in directory.iterdir()}
    strange = sorted(
        one
        for one in beside
        if one.startswith(f"{release}.") and one not in {*files, f"{release}.manifest.json"}
    )
    if strange:
        raise FileMismatch(
            f"{directory / strange[0]}: carries the number of this release but is not of it: somebody put it "
            "there; copy the folder again from the credit office"
        )
    return {file: _prove(directory / file, expected) for file, expected in files.items()}


def verify_companions(manifest: Mapping[str, Any], directory: Path) -> None:
    """Proves the reader and the guide if they lie beside the current release. Raises `FileMismatch`."""
    accepted = [*manifest["companions"], *_before(manifest, directory).get("companions", [])]
    for name in sorted({one["name"] for one in manifest["companions"]}):
        path = directory / Path(name).name
        if not os.path.lexists(path):
            continue  # a unit may copy the data alone
        if {"name": name, **_measured(path)[0]} not in accepted:
            raise FileMismatch(
                f"{path}: is not the one of this release: it was changed; copy the folder again from the credit office"
            )


def strangers(manifest: Mapping[str, Any], directory: Path) -> list[str]:
    """Names in the folder that belong to no release: nothing vouches for them."""
    own = {MANIFEST_NAME, SIGNING_KEYS_NAME, *(one["name"] for one in manifest["companions"])}
    number = re.compile(rf"{re.escape(manifest['unit_id'])}-\d{{6,}}\..*|tmp-.*")
    return sorted(
        path.name for path in directory.iterdir() if path.name not in own and not number.fullmatch(path.name)
    )


def is_still(path: Path, proved: Identity) -> bool:
    """Whether the file under this name is the one that was proved, unchanged since."""
    status = path.lstat()
    return proved == Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _before(manifest: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The manifest of the release before if it is kept and is the one this manifest follows; else empty."""
    path = directory / kept_manifest_name(manifest["unit_id"], manifest["release_seq"] - 1)
    if not path.is_file():
        return {}
    try:
        kept = read_manifest(path)
        return kept if manifest_sha256(kept) == manifest["prev_manifest_sha256"] else {}
    except (BadInput, IntegrityError):
        return {}


def _prove(path: Path, expected: Mapping[str, Any]) -> Identity:
    found, proved = _measured(path)
    if found["size"] != expected["size"]:
        raise FileMismatch(
            f"{path}: {found['size']} bytes, the manifest says {expected['size']}: copy it again"
        )
    if found["sha256"] != expected["sha256"]:
        raise FileMismatch(
            f"{path}: its SHA-256 is not the manifest's: the file was changed or is of another release"
        )
    return proved


def _measured(path: Path) -> tuple[dict[str, Any], Identity]:
    """Size, SHA-256 and identity of a plain file, read through one descriptor."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileMismatch(f"{path}: missing; copy the whole folder, the manifest last") from None
    except OSError as error:
        raise FileMismatch(
            f"{path}: cannot be read as a plain file ({error.strerror}): a release holds no links"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FileMismatch(f"{path}: is no plain file; copy the folder again from the credit office")
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    identity = Identity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    return {"size": status.st_size, "sha256": digest.hexdigest()}, identity
