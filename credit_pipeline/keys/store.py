"""The office's own secrets: files outside the lake that only their owner can read.

Here: making each secret once and reading it back. Not here: public keys of others (`keys.recipients`), what is
signed or encrypted (`extracts`, `audit.checkpoints`). Secrets are never logged, printed, put into run
configuration or environment variables. Whoever holds the folder holds everything: keep it on another volume than
the lake, and back it up separately. The key of a release is not here: it exists only wrapped, beside its release.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.log import write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys.files import ensure_directories, make_once, read_private, refuse_unsafe

KEY_BYTES = 32
_HEX_KEY = re.compile(rb"[0-9a-f]{64}\n")
# Names become folders and files. They are the draw protocol's own; keys depend on no stage.
_NAMES = {
    "party": "[a-z][a-z0-9_]{0,31}",
    "lake": "[0-9A-Za-z][0-9A-Za-z_-]{0,63}",
}


def public_key_id(public_key: Ed25519PublicKey) -> str:
    """16 hexadecimal digits that name a public key in signatures."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def public_key_from_hex(text: str) -> Ed25519PublicKey:
    """The public key a unit was given on paper or in a file: 64 hexadecimal digits."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))
    except ValueError:
        raise BadInput("a public key is 64 hexadecimal digits") from None


class KeyStore:
    """Secrets under `keys_dir` (0700, files 0600), made on first use: 32 random bytes each, in hexadecimal.

    `signing.key` (Ed25519), `watermark.key`, `parties/<party>.key`, and
    `reveals/<lake>/<plan_id>/<round>/<party>.json`, what other parties revealed.
    """

    def __init__(self, keys_dir: Path | str) -> None:
        self.directory = Path(keys_dir)

    def check(self) -> None:
        """Refuses, before anything is done, a folder or a file of keys that others could read or change; makes nothing.

        Raises:
            UnsafeKeyFile: the first of them by path; the message says how to close it.
        """
        if not self.directory.is_dir():
            return
        for path in (self.directory, *sorted(self.directory.rglob("*"))):
            # A link in place of a key is refused when the key is read.
            if not path.is_symlink():
                refuse_unsafe(path.stat(), path, "chmod 700" if path.is_dir() else "chmod 600")

    def __repr__(self) -> str:
        return f"KeyStore({str(self.directory)!r})"

    @property
    def signing_path(self) -> Path:
        return self.directory / "signing.key"

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs checkpoints and manifests, made once; `keys.handover` replaces it."""
        return Ed25519PrivateKey.from_private_bytes(self._read_or_make(self.signing_path))

    def public_key(self) -> Ed25519PublicKey:
        """What verifies them; give `.public_bytes_raw().hex()` to each unit on another way than the
        extracts.
        """
        return self.signing_key().public_key()

    def party_key(self, party: str = "credit_office") -> bytes:
        """A party's 32 bytes, from which its reveals follow (`inspection.draws.protocol.party_reveal`)."""
        _checked("party", party)
        return self._read_or_make(self.directory / "parties" / f"{party}.key")

    def watermark(self, unit_id: str, release_seq: int) -> str:
        """The mark of one release of one unit, 20 hexadecimal digits: only the office can say whose it is."""
        secret = self._read_or_make(self.directory / "watermark.key")
        return hmac.digest(secret, f"{unit_id}|{release_seq}".encode(), "sha256").hex()[:20]

    def keep_reveal(self, lake: str, plan_id: str, round_: int | str, party: str, content: bytes) -> None:
        """Keeps another party's reveal, which never enters the lake. The caller has checked it."""
        path = self._reveals_path(lake, plan_id, round_) / f"{_checked('party', party)}.json"
        ensure_directories(self.directory, path.parent)
        write_durably(path, content)

    def reveals(self, lake: str, plan_id: str, round_: int | str) -> dict[str, bytes]:
        """The reveals kept of a round, by party."""
        directory = self._reveals_path(lake, plan_id, round_)
        found = {}
        for path in sorted(directory.glob("*.json")):
            refuse_unsafe(path.stat(), path, "chmod 600")
            found[path.stem] = path.read_bytes()
        return found

    def _reveals_path(self, lake: str, plan_id: str, round_: int | str) -> Path:
        parts = [_checked("lake", part) for part in (lake, plan_id, str(round_))]
        return self.directory.joinpath("reveals", *parts)

    def _read_or_make(self, path: Path) -> bytes:
        ensure_directories(self.directory, path.parent)
        if not os.path.lexists(path):
            make_once(path, new_secret())
        return read_secret(path)


def new_secret() -> bytes:
    """The content of a new secret's file."""
    return secrets.token_hex(KEY_BYTES).encode() + b"\n"


def read_secret(path: Path) -> bytes:
    """The 32 bytes of a secret's file. Raises `UnsafeKeyFile`, `IntegrityError`."""
    content = read_private(path, KEY_BYTES * 2 + 2)
    if not _HEX_KEY.fullmatch(content):
        raise IntegrityError(
            f"{path}: not a key (64 hexadecimal digits and a line end); restore it from the backup"
        )
    return bytes.fromhex(content.decode().strip())


def _checked(label: str, name: str) -> str:
    if not isinstance(name, str) or not re.fullmatch(_NAMES[label], name):
        raise BadInput(f"{label} {name!r} is not of the form {_NAMES[label]}")
    return name
