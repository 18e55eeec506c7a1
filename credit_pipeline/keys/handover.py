"""One signing key after another: the old key signs for the new one, so that readers who trust the old can follow.

Here: the statement of hand-over, the chain of them, replacing the key. Not here: what is signed. A hand-over is no
help against a thief of the old key, who could sign one too: then the new public key goes to every unit on paper
(docs/extracts.md, "When a key leaks").

Order of a rotation, so that a crash at any edge leaves one working key: the new key beside the old one -> the
statement -> the new key takes the old one's name. A statement whose new key never took its place is dropped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.log import canonical_json, fsync_directory, write_durably
from credit_pipeline.errors import IntegrityError
from credit_pipeline.keys.files import ensure_directories, make_once
from credit_pipeline.keys.store import KeyStore, new_secret, public_key_from_hex, public_key_id, read_secret

DOMAIN = b"HANDOVER1|"
FORMAT = "credit-pipeline-handover/1"
_FIELDS = {"format", "number", "old_key", "new_key", "time", "signature"}


def handovers(keys: KeyStore) -> list[dict[str, Any]]:
    """The statements that lead to today's signing key, oldest first, each verified.

    Raises `IntegrityError` when one is missing, forged or does not lead to the next.
    """
    current = _hex(keys.public_key())
    found = [_read(path) for path in sorted((keys.directory / "handovers").glob("[0-9]*.json"))]
    if found and found[-1]["new_key"] != current and found[-1]["old_key"] == current:
        found.pop()  # a rotation that a crash ended before the new key was in its place
    for number, one in enumerate(found, start=1):
        _verify(one)
        follows = one["old_key"] == found[number - 2]["new_key"] if number > 1 else True
        if one["number"] != number or not follows:
            raise IntegrityError(
                f"hand-over {number} of the signing key is missing or out of order; restore "
                f"{keys.directory / 'handovers'} from the backup"
            )
    if found and found[-1]["new_key"] != current:
        raise IntegrityError(
            f"{keys.signing_path}: no hand-over leads to this signing key; restore it from the backup"
        )
    return found


def trusted_keys(keys: KeyStore) -> dict[str, Ed25519PublicKey]:
    """Today's public key and all it took over from, by key id: what verifies what was signed at any time."""
    public = [public_key_from_hex(one["old_key"]) for one in handovers(keys)]
    return {public_key_id(one): one for one in (*public, keys.public_key())}


def rotate_signing_key(keys: KeyStore, time: str) -> dict[str, Any]:
    """Replaces the signing key; gives the statement. The old private key is gone for good when this returns."""
    old = keys.signing_key()
    number = len(handovers(keys)) + 1
    folder = keys.directory / "handovers"
    ensure_directories(keys.directory, folder)
    fresh = folder / "next.key"
    fresh.unlink(missing_ok=True)
    make_once(fresh, new_secret())
    new = Ed25519PrivateKey.from_private_bytes(read_secret(fresh))
    content: dict[str, Any] = {
        "format": FORMAT,
        "number": number,
        "old_key": _hex(old.public_key()),
        "new_key": _hex(new.public_key()),
        "time": time,
    }
    statement = content | {"signature": old.sign(DOMAIN + canonical_json(content)).hex()}
    write_durably(folder / f"{number:04d}.json", canonical_json(statement) + b"\n")
    fresh.replace(keys.signing_path)
    fsync_directory(keys.directory)
    return statement


def signing_keys_document(keys: KeyStore) -> bytes:
    """`signing_keys.json`, which lies in every unit's folder: today's public key and how it came to be it."""
    content = {"current": _hex(keys.public_key()), "handovers": handovers(keys)}
    return canonical_json(content) + b"\n"


def _hex(key: Ed25519PublicKey) -> str:
    return key.public_bytes_raw().hex()


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        content = None
    if not isinstance(content, dict) or set(content) != _FIELDS or content["format"] != FORMAT:
        raise IntegrityError(f"{path}: not a hand-over of the signing key; restore it from the backup")
    return content


def _verify(statement: Mapping[str, Any]) -> None:
    content = {name: value for name, value in statement.items() if name != "signature"}
    try:
        key = public_key_from_hex(statement["old_key"])
        key.verify(bytes.fromhex(statement["signature"]), DOMAIN + canonical_json(content))
    except (InvalidSignature, ValueError, TypeError):
        raise IntegrityError(
            f"hand-over {statement['number']} is not signed by the key that hands over; restore it from the backup"
        ) from None
