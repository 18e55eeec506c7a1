"""Opening a release at the office: proved first, then unwrapped, then attached read only.

Here: the order of proof and what this machine may open with. Not here: publishing (`extracts.publish`). A unit opens
its releases with `read_extract.py`, which does the same with the standard library alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyrage
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credit_pipeline.errors import IntegrityError
from credit_pipeline.extracts.encrypted_file import attached
from credit_pipeline.extracts.manifest import (
    MANIFEST_NAME,
    FileMismatch,
    SignatureMismatch,
    read_manifest,
    verify_manifest,
)
from credit_pipeline.extracts.release_files import (
    Identity,
    database_name,
    is_still,
    strangers,
    verify_companions,
    verify_files,
    wrapped_key_name,
)
from credit_pipeline.keys.age import KeyNotForUs, release_key_id, unwrap


@dataclass(frozen=True)
class OpenedRelease:
    """A proved release. The caller closes `connection` and keeps release_seq for the next time. Nothing of the key
    is printed by `repr`.
    """

    connection: duckdb.DuckDBPyConnection
    manifest: dict[str, Any]
    path: Path
    key: _Secret
    strangers: list[str]


class _Secret(str):
    """Text that an error report or a log does not show."""

    def __repr__(self) -> str:
        return "'…'"


def open_extract(
    directory: Path,
    trusted: Mapping[str, Ed25519PublicKey],
    identities: Sequence[pyrage.x25519.Identity],
    *,
    unit_id: str | None = None,
    last_seen_seq: int = 0,
    last_seen_sha256: str | None = None,
    manifest_name: str = MANIFEST_NAME,
) -> OpenedRelease:
    """The current release (or a kept one by `manifest_name`), after signature, unit, number and every file.

    Needs no extension of DuckDB. Raises `SignatureMismatch`, `RollbackRefused`, `FileMismatch`, `KeyNotForUs`, and
    `IntegrityError` for a wrapped key that is not the release's.
    """
    if (directory / manifest_name).is_symlink():
        raise SignatureMismatch(f"{directory / manifest_name}: is a link; a release holds plain files only")
    manifest = read_manifest(directory / manifest_name)
    verify_manifest(
        manifest, trusted, unit_id=unit_id, last_seen_seq=last_seen_seq, last_seen_sha256=last_seen_sha256
    )
    proved = verify_files(manifest, directory)
    if manifest_name == MANIFEST_NAME:
        verify_companions(manifest, directory)
    unit, number = manifest["unit_id"], manifest["release_seq"]
    try:
        key = unwrap((directory / wrapped_key_name(unit, number)).read_bytes(), identities)
    except KeyNotForUs:
        raise KeyNotForUs(
            f"release {number} of unit {unit} is wrapped for the keys {', '.join(manifest['recipients'])}, and none of "
            "them is here; remedy: --identity FILE with the unit's or the escrow's identity"
        ) from None
    if release_key_id(key) != manifest["key_id"]:
        raise IntegrityError(f"the wrapped key is not the key of release {number} ({manifest['key_id']})")
    path = directory / database_name(unit, number)
    return OpenedRelease(
        _attached_as_proved(path, key, proved[path.name]),
        manifest,
        path,
        _Secret(key),
        strangers(manifest, directory),
    )


def _attached_as_proved(path: Path, key: str, proved: Identity) -> duckdb.DuckDBPyConnection:
    connection = attached(path, key)
    if not is_still(path, proved) or path.with_name(f"{path.name}.wal").exists():
        connection.close()
        raise FileMismatch(
            f"{path}: was exchanged while it was proved; copy the folder where only you can write"
        )
    return connection
