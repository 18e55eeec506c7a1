"""The signed statement that makes a release current: which files, which number, which content, which log.

Here: building, signing and checking manifests. Not here: the files it speaks of (`extracts.release_files`,
`extracts.publish`), keys (`credit_pipeline.keys`). DuckDB's encryption shows altered pages but not an older file, nor
old pages put into a newer one, and an untrusted database file must never be attached: so a reader checks the manifest
first, and its number against the last seen. The format, byte by byte: docs/extracts.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.log import GENESIS, canonical_json, sha256_hex
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws.protocol import UNIT_PATTERN, checked
from credit_pipeline.keys import public_key_id

DOMAIN = b"MANIFEST2|"
_DOMAIN_OF_FORM_1 = b"MANIFEST1|"
FORMAT = "credit-pipeline-extract/2"
MANIFEST_NAME = "manifest.json"
_FIELDS = {
    "format", "unit_id", "as_of_date", "release_seq", "files", "companions", "content_digest",
    "prev_manifest_sha256", "checkpoint", "key_id", "recipients", "key_mode", "contract_version", "purpose",
    "valid_until", "watermark", "tables", "signed_by", "signature",
}  # fmt: skip


class SignatureMismatch(IntegrityError):
    """The manifest was not signed by a key the reader trusts, or was changed after it."""


class RollbackRefused(IntegrityError):
    """The manifest is genuine but older than, or another than, what the reader has already seen."""


class FileMismatch(IntegrityError):
    """A file is not the one the manifest speaks of."""


@dataclass(frozen=True)
class Terms:
    """What a release is handed over for, and until when it may be used."""

    contract_version: int
    purpose: str
    valid_until: date


def release_name(unit_id: str, release_seq: int) -> str:
    """What the names of all files of a release begin with, before the first dot."""
    return f"{unit_id}-{release_seq:06d}"


def release_of(manifest: Mapping[str, Any]) -> str:
    return release_name(manifest["unit_id"], manifest["release_seq"])


def build_manifest(
    *,
    unit_id: str,
    as_of_date: date,
    release_seq: int,
    files: Mapping[str, Mapping[str, Any]],
    companions: Sequence[Mapping[str, Any]],
    content_digest: str,
    prev_manifest_sha256: str | None,
    checkpoint: Mapping[str, Any] | None,
    key_id: str,
    recipients: list[str],
    key_mode: str,
    terms: Terms,
    watermark: str,
    tables: Mapping[str, int],
    private_key: Ed25519PrivateKey,
) -> dict[str, Any]:
    """A signed manifest. `files` gives name -> {size, sha256}, `companions` the same with the name (it
    may be Chinese, which keys of canonical JSON may not), `tables` the rows of each,
    `key_id` names the release key, `recipients` whom it is wrapped for, `checkpoint` is the audit log's.

    `content_digest` is the same for the same rows, although the encrypted bytes differ each time they are
    written.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "unit_id": checked("unit_id", unit_id, UNIT_PATTERN),
        "as_of_date": as_of_date.isoformat(),
        "release_seq": release_seq,
        "files": {name: dict(one) for name, one in files.items()},
        "companions": [dict(one) for one in companions],
        "content_digest": content_digest,
        "prev_manifest_sha256": prev_manifest_sha256 or GENESIS,
        "checkpoint": None if checkpoint is None else dict(checkpoint),
        "key_id": key_id,
        "recipients": recipients,
        "key_mode": key_mode,
        "contract_version": terms.contract_version,
        "purpose": terms.purpose,
        "valid_until": terms.valid_until.isoformat(),
        "watermark": watermark,
        "tables": dict(tables),
        "signed_by": public_key_id(private_key.public_key()),
    }
    return content | {"signature": private_key.sign(DOMAIN + canonical_json(content)).hex()}


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    return canonical_json(manifest) + b"\n"


def manifest_sha256(manifest: Mapping[str, Any]) -> str:
    """What the next manifest names as `prev_manifest_sha256`, what a reader keeps beside the release number, and
    what a unit sends back in its receipt.
    """
    return sha256_hex(manifest_bytes(manifest))


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest as written, not yet checked. Raises `SignatureMismatch` for what cannot be one: there is one way to
    write a manifest, byte by byte.
    """
    try:
        data = path.read_bytes()
        content = json.loads(data)
        is_canonical = isinstance(content, dict) and manifest_bytes(content) == data
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no manifest; without it an extract cannot be trusted") from None
    except (ValueError, RecursionError, BadInput):
        is_canonical = False
    if not is_canonical:
        raise SignatureMismatch(
            f"{path}: not a manifest, or changed or cut; ask the city's credit office for the extract again"
        )
    found: dict[str, Any] = content
    return found


def verify_manifest(
    manifest: Mapping[str, Any],
    trusted: Mapping[str, Ed25519PublicKey],
    *,
    unit_id: str | None = None,
    last_seen_seq: int = 0,
    last_seen_sha256: str | None = None,
) -> None:
    """Checks, in this order: signature by one of the `trusted` keys (by key id), unit, release number.

    `last_seen_seq` (and `last_seen_sha256` of that manifest) are what the reader kept from the last time. The
    files are `release_files.verify_files`' part. Raises `SignatureMismatch`, `RollbackRefused`, `FileMismatch`.
    """
    _verify_signature(manifest, trusted)
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
    follows = last_seen_sha256 in (None, manifest["prev_manifest_sha256"])
    if manifest["release_seq"] == last_seen_seq + 1 and not follows:
        raise RollbackRefused(f"{name}: it does not follow the release seen before; tell the auditor")


def is_form_1(manifest: Mapping[str, Any]) -> bool:
    """Whether a release was published before there were forms: it can be followed, not opened."""
    return "format" not in manifest


def verify_form_1(manifest: Mapping[str, Any], trusted: Mapping[str, Ed25519PublicKey], unit_id: str) -> None:
    """That a manifest of the first form is ours and the unit's, so that the next release may continue its numbers."""
    _verify_signed(manifest, trusted, _DOMAIN_OF_FORM_1)
    if manifest["unit_id"] != unit_id:
        raise FileMismatch(f"this extract is of unit {manifest['unit_id']}, not of {unit_id}")


def _verify_signature(manifest: Mapping[str, Any], trusted: Mapping[str, Ed25519PublicKey]) -> None:
    if set(manifest) != _FIELDS or manifest["format"] != FORMAT:
        raise SignatureMismatch(
            f"not a manifest of an extract in the form {FORMAT}: its fields are others; open a release of another "
            "form with the program of its time"
        )
    _verify_signed(manifest, trusted, DOMAIN)


def _verify_signed(
    manifest: Mapping[str, Any], trusted: Mapping[str, Ed25519PublicKey], domain: bytes
) -> None:
    key = trusted.get(str(manifest.get("signed_by")))
    if key is None:
        raise SignatureMismatch(
            f"the manifest was signed by key {manifest.get('signed_by')}, not by {', '.join(trusted)}: it is not the "
            "credit office's"
        )
    try:
        content = {name: value for name, value in manifest.items() if name != "signature"}
        key.verify(bytes.fromhex(manifest["signature"]), domain + canonical_json(content))
    except (InvalidSignature, ValueError, TypeError, BadInput):
        raise SignatureMismatch(
            "the manifest was changed after it was signed: do not open the extract"
        ) from None
