"""Release keys wrapped with age: one file that any of its recipients can open and nobody else.

Here: identities and recipients as age writes them, wrapping and unwrapping, what follows from a release key. Not
here: who the recipients are (`keys.recipients`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

import pyrage

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys.files import read_private

_RELEASE_KEY = re.compile("[0-9a-f]{64}")


class KeyNotForUs(IntegrityError):
    """The age file is whole, but none of the identities at hand is among its recipients."""


def new_release_key() -> str:
    """The key of one release of one unit's extract, 64 hexadecimal digits; one leak opens one release."""
    return secrets.token_hex(32)


def release_key_id(key: str) -> str:
    """16 hexadecimal digits that name a release key without telling it (the key has 256 random bits)."""
    return hashlib.sha256(f"EXTRACTKEY1|{key}".encode()).hexdigest()[:16]


def excel_password(key: str) -> str:
    """The password of the release's workbook, 100 bits, to be typed: `ABCD-EFGH-…`, five groups of four."""
    digest = hmac.digest(bytes.fromhex(key), b"XLSX1", "sha256")
    text = base64.b32encode(digest).decode()[:20]
    return "-".join(text[at : at + 4] for at in range(0, 20, 4))


def recipient_key_id(recipient: str) -> str:
    """16 hexadecimal digits that name an age recipient in manifests and in the log."""
    return hashlib.sha256(f"AGEKEY1|{recipient}".encode()).hexdigest()[:16]


def checked_recipient(text: str) -> str:
    """An X25519 recipient as age writes it. Raises `BadInput`; the error never shows a secret key."""
    recipient = text.strip()
    if recipient.upper().startswith("AGE-SECRET-KEY-"):
        raise BadInput(
            "this is a secret key. It must stay with the unit; ask for the line that begins with age1. "
            "A secret key that was sent is lost: the unit makes a new one"
        )
    try:
        return str(pyrage.x25519.Recipient.from_str(recipient))
    except pyrage.RecipientError:
        raise BadInput(
            f"{recipient[:80]!r} is no age recipient: it begins with age1 and has 62 characters; copy it anew"
        ) from None


def new_identity() -> tuple[bytes, str]:
    """The content of a new identity's file, as age-keygen writes it, and its recipient."""
    identity = pyrage.x25519.Identity.generate()
    recipient = str(identity.to_public())
    return f"# public key: {recipient}\n{identity}\n".encode(), recipient


def read_identity(path: Path) -> pyrage.x25519.Identity:
    """The first secret key of an identity file. Raises `UnsafeKeyFile`, `BadInput` without showing content."""
    if not path.exists():
        raise BadInput(f"{path}: there is no such identity file")
    for line in read_private(path).decode("utf-8", "replace").splitlines():
        if line.strip().startswith("AGE-SECRET-KEY-1"):
            try:
                return pyrage.x25519.Identity.from_str(line.strip())
            except pyrage.IdentityError:
                break
    raise BadInput(f"{path}: holds no whole age secret key (AGE-SECRET-KEY-1…); restore it from the backup")


def wrap(release_key: str, recipients: Sequence[str]) -> bytes:
    """The age file of a release key."""
    if not recipients:
        raise BadInput("a release key without recipients could never be opened")
    public = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
    wrapped: bytes = pyrage.encrypt(release_key.encode(), public)
    return wrapped


def unwrap(wrapped: bytes, identities: Sequence[pyrage.x25519.Identity]) -> str:
    """The release key. Raises `KeyNotForUs`, or `IntegrityError` when what was wrapped is no release key."""
    try:
        key = pyrage.decrypt(wrapped, list(identities)).decode("ascii", "replace")
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error) or not identities:
            raise KeyNotForUs("none of the identities at hand is a recipient of this release") from None
        raise IntegrityError(f"the wrapped key of this release is damaged: {error}") from None
    if not _RELEASE_KEY.fullmatch(key):
        raise IntegrityError("what was wrapped for this release is not a key of 64 hexadecimal digits")
    return str(key)
