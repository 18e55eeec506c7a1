"""The signed statement that makes an extract current: which file, which release, which content, which log.

Here: building, signing and checking manifests. Not here: writing the file it speaks of (`extracts.publish`),
keys (`credit_pipeline.keys`). DuckDB's encryption shows altered pages but not an older file, nor old pages put into
a newer one, and an untrusted database file must never be attached: so a reader checks the manifest first, and
its number against the last seen.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.log import GENESIS, canonical_json, sha256_hex
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws.protocol import UNIT_PATTERN, checked
from credit_pipeline.keys import public_key_id

DOMAIN = b"MANIFEST1|"
MANIFEST_NAME = "manifest.json"
_FIELDS = {
    "unit_id", "as_of_date", "release_seq", "file", "size", "sha256", "content_digest",
    "prev_manifest_sha256", "checkpoint", "key_id", "tables", "signed_by", "signature",
}  # fmt: skip


class SignatureMismatch(IntegrityError):
    """The manifest was not signed by the key the reader trusts, or was changed after it."""


class RollbackRefused(IntegrityError):
    """The manifest is genuine but older than, or another than, what the reader has already seen."""


class FileMismatch(IntegrityError):
    """The file is not the one the manifest speaks of."""


def build_manifest(
    *,
    unit_id: str,
    as_of_date: date,
    release_seq: int,
    file: str,
    size: int,
    sha256: str,
    content_digest: str,
    prev_manifest_sha256: str | None,
    checkpoint: Mapping[str, Any] | None,
    key_id: str,
    tables: Mapping[str, int],
    private_key: Ed25519PrivateKey,
) -> dict[str, Any]:
    """A signed manifest. `key_id` names the extract key, `tables` gives the rows of each, `checkpoint` is the
    audit log's.

    `content_digest` is the same for the same rows, although the encrypted bytes differ each time they are
    written.
    """
    content: dict[str, Any] = {
        "unit_id": checked("unit_id", unit_id, UNIT_PATTERN),
        "as_of_date": as_of_date.isoformat(),
        "release_seq": release_seq,
        "file": file,
        "size": size,
        "sha256": sha256,
        "content_digest": content_digest,
        "prev_manifest_sha256": prev_manifest_sha256 or GENESIS,
        "checkpoint": None if checkpoint is None else dict(checkpoint),
        "key_id": key_id,
        "tables": dict(tables),
        "signed_by": public_key_id(private_key.public_key()),
    }
    return content | {"signature": private_key.sign(DOMAIN + canonical_json(content)).hex()}


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return canonical_json(manifest) + b"\n"


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """What the next manifest names as `prev_manifest_sha256`, and a reader may keep beside the release
    number.
    """
    return sha256_hex(manifest_bytes(manifest))


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest as written, not yet checked. Raises `SignatureMismatch` for what cannot be one."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no manifest; without it an extract cannot be trusted") from None
    except ValueError:
        raise SignatureMismatch(
            f"{path}: not a manifest; ask the city's credit office for the extract again"
        ) from None
    if not isinstance(content, dict):
        raise SignatureMismatch(f"{path}: not a manifest; ask the city's credit office for the extract again")
    return content


def verify_manifest(
    manifest: Mapping[str, Any],
    public_key: Ed25519PublicKey,
    directory: Path | None,
    *,
    unit_id: str | None = None,
    last_seen_seq: int = 0,
    last_seen_sha256: str | None = None,
) -> None:
    """Checks, in this order: signature, unit, release number, size and SHA-256 of the file in `directory`.

    `last_seen_seq` (and `last_seen_sha256` of that manifest) are what the reader kept from the last time.
    `directory` None leaves the file out. Raises `SignatureMismatch`, `RollbackRefused`, `FileMismatch`.
    """
    _verify_signature(manifest, public_key)
    name = f"release {manifest['release_seq']} of unit {manifest['unit_id']}"
    if unit_id is not None and manifest["unit_id"] != unit_id:
        raise FileMismatch(f"{name}: this extract is not for unit {unit_id}; it was handed to the wrong unit")
    if manifest["release_seq"] < last_seen_seq:
        raise RollbackRefused(
            f"{name}: older than release {last_seen_seq}, which was seen before; ask for the newest one"
        )
    is_same = last_seen_sha256 in (None, manifest_sha256(manifest))
    if manifest["release_seq"] == last_seen_seq and not is_same:
        raise RollbackRefused(
            f"{name}: another manifest of this release was seen before; two were signed, tell the auditor"
        )
    if manifest["release_seq"] == last_seen_seq + 1 and last_seen_sha256 not in (
        None,
        manifest["prev_manifest_sha256"],
    ):
        raise RollbackRefused(f"{name}: it does not follow the release seen before; tell the auditor")
    if directory is not None:
        _verify_file(manifest, directory, name)


def _verify_signature(manifest: Mapping[str, Any], public_key: Ed25519PublicKey) -> None:
    if set(manifest) != _FIELDS:
        raise SignatureMismatch("not a manifest of an extract: its fields are others")
    if manifest["signed_by"] != public_key_id(public_key):
        raise SignatureMismatch(
            f"the manifest was signed by key {manifest['signed_by']}, not {public_key_id(public_key)}"
        )
    try:
        content = {key: value for key, value in manifest.items() if key != "signature"}
        public_key.verify(bytes.fromhex(manifest["signature"]), DOMAIN + canonical_json(content))
    except (InvalidSignature, ValueError, TypeError, BadInput):
        raise SignatureMismatch(
            "the manifest was changed after it was signed: do not open the extract"
        ) from None


def _verify_file(manifest: Mapping[str, Any], directory: Path, name: str) -> None:
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}", manifest["file"]):
        raise FileMismatch(f"{name}: {manifest['file']!r} is not a plain file name")
    path = directory / manifest["file"]
    if not path.is_file():
        raise FileMismatch(f"{path}: missing; copy the whole folder, the manifest last")
    if path.stat().st_size != manifest["size"]:
        raise FileMismatch(
            f"{path}: {path.stat().st_size} bytes, the manifest says {manifest['size']}: copy it again"
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != manifest["sha256"]:
        raise FileMismatch(
            f"{path}: its SHA-256 is not the manifest's: the file was changed or is of another release"
        )
