"""The keys of the pipeline: files outside the lake that only their owner can read.

Here: making each key once, reading it back, refusing a key others could have read. Not here: what is signed
or encrypted with them (`extracts.manifest`, `extracts.publish`, `audit.checkpoints`). Keys are never logged,
printed, put into run configuration or environment variables. Whoever holds the folder holds everything: keep
it on another volume than the lake, and back it up separately.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.log import fsync_directory, write_durably
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError

KEY_BYTES = 32
_HEX_KEY = re.compile(rb"[0-9a-f]{64}\n")
# Names become folders and files. The first two are the draw protocol's own; keys depend on no stage.
_NAMES = {
    "unit_id": "[0-9A-Z]{1,12}",
    "party": "[a-z][a-z0-9_]{0,31}",
    "lake": "[0-9A-Za-z][0-9A-Za-z_-]{0,63}",
}


class UnsafeKeyFile(CreditPipelineError):
    """A key, or its folder, that someone other than its owner could read or replace."""


def public_key_id(public_key: Ed25519PublicKey) -> str:
    """16 hexadecimal digits that name a public key in signatures."""
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:16]


def extract_key_id(key: str) -> str:
    """16 hexadecimal digits that name an extract key without telling it (the key has 256 random bits)."""
    return hashlib.sha256(f"EXTRACTKEY1|{key}".encode()).hexdigest()[:16]


def public_key_from_hex(text: str) -> Ed25519PublicKey:
    """The public key a unit was given on paper or in a file: 64 hexadecimal digits."""
    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text.strip()))
    except ValueError:
        raise BadInput("a public key is 64 hexadecimal digits") from None


class KeyStore:
    """Keys under `keys_dir` (0700, files 0600), made on first use: 32 random bytes each, in hexadecimal.

    `signing.key` (Ed25519), `parties/<party>.key`, `units/<unit_id>/<release_seq>.key`, and
    `reveals/<lake>/<plan_id>/<round>/<party>.json`, what other parties revealed. With `lake` the
    units' keys stand in `units/<lake>/`, so that two lakes can share the other keys and each count its own
    releases.
    """

    def __init__(self, keys_dir: Path | str, *, lake: str | None = None) -> None:
        self.directory = Path(keys_dir)
        self._units = self.directory / "units"
        if lake is not None:
            self._units /= _checked("lake", lake)

    def check(self) -> None:
        """Refuses, before anything is done, a folder or a file of keys that others could read or change; makes nothing.

        Raises:
            UnsafeKeyFile: the first of them by path; the message says how to close it.
        """
        if not self.directory.is_dir():
            return
        _refuse_unsafe(self.directory.stat(), self.directory, "chmod 700")
        for path in sorted(self.directory.rglob("*")):
            # A link in place of a key is refused when the key is read.
            if not path.is_symlink() and (path.is_dir() or path.suffix in (".key", ".json")):
                _refuse_unsafe(path.stat(), path, "chmod 700" if path.is_dir() else "chmod 600")

    def __repr__(self) -> str:
        return f"KeyStore({str(self.directory)!r})"

    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs checkpoints and manifests, made once."""
        return Ed25519PrivateKey.from_private_bytes(self._read_or_make(self.directory / "signing.key"))

    def public_key(self) -> Ed25519PublicKey:
        """What verifies them; give `.public_bytes_raw().hex()` to each unit on another way than the
        extracts.
        """
        return self.signing_key().public_key()

    def party_key(self, party: str = "credit_office") -> bytes:
        """A party's 32 bytes, from which its reveals follow (`inspection.draws.protocol.party_reveal`)."""
        _checked("party", party)
        return self._read_or_make(self.directory / "parties" / f"{party}.key")

    def keep_reveal(self, lake: str, plan_id: str, round_: int | str, party: str, content: bytes) -> None:
        """Keeps another party's reveal, which never enters the lake. The caller has checked it."""
        path = self._reveals_path(lake, plan_id, round_) / f"{_checked('party', party)}.json"
        self._ensure_directories(path.parent)
        write_durably(path, content)

    def reveals(self, lake: str, plan_id: str, round_: int | str) -> dict[str, bytes]:
        """The reveals kept of a round, by party."""
        directory = self._reveals_path(lake, plan_id, round_)
        found = {}
        for path in sorted(directory.glob("*.json")):
            _refuse_unsafe(path.stat(), path, "chmod 600")
            found[path.stem] = path.read_bytes()
        return found

    def _reveals_path(self, lake: str, plan_id: str, round_: int | str) -> Path:
        parts = [_checked("lake", part) for part in (lake, plan_id, str(round_))]
        return self.directory.joinpath("reveals", *parts)

    def unit_key(self, unit_id: str, release_seq: int) -> str:
        """The key of one release of one unit's extract, 64 hexadecimal digits; one leak opens one release."""
        return self._read_or_make(self._unit_path(unit_id, release_seq)).hex()

    def forget_unit_keys(self, unit_id: str, before_seq: int) -> list[int]:
        """Deletes the unit's keys of releases before `before_seq`, and gives their numbers: those files
        stay closed.
        """
        directory = self._unit_path(unit_id, 1).parent
        old = sorted(int(path.stem) for path in directory.glob("*.key") if path.stem.isdigit())
        gone = [seq for seq in old if seq < before_seq]
        for seq in gone:
            (directory / f"{seq}.key").unlink()
        if gone:
            fsync_directory(directory)
        return gone

    def _unit_path(self, unit_id: str, release_seq: int) -> Path:
        _checked("unit_id", unit_id)
        if release_seq < 1:
            raise BadInput(f"release {release_seq} of {unit_id}: releases are counted from 1")
        return self._units / unit_id / f"{release_seq}.key"

    def _read_or_make(self, path: Path) -> bytes:
        self._ensure_directories(path.parent)
        if not os.path.lexists(path):
            _make(path)
        return _read(path)

    def _ensure_directories(self, directory: Path) -> None:
        below = [parent for parent in directory.parents if parent.is_relative_to(self.directory)]
        for path in (*reversed(below), directory):
            if not path.exists():
                path.mkdir(mode=0o700, parents=path == self.directory, exist_ok=True)
                fsync_directory(path.parent)
            _refuse_unsafe(path.stat(), path, "chmod 700")


def _checked(label: str, name: str) -> str:
    if not isinstance(name, str) or not re.fullmatch(_NAMES[label], name):
        raise BadInput(f"{label} {name!r} is not of the form {_NAMES[label]}")
    return name


def _make(path: Path) -> None:
    """Whole and on disk before it has its name, and never over another: two processes end up with the same
    key.
    """
    temporary = path.with_name(f"tmp-{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(KEY_BYTES).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    fsync_directory(path.parent)


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise UnsafeKeyFile(
            f"{path}: cannot be read as a key: {error.strerror}; a key is a plain file, no link"
        ) from None
    with os.fdopen(descriptor, "rb") as file:
        _refuse_unsafe(os.fstat(file.fileno()), path, "chmod 600")
        content = file.read(KEY_BYTES * 2 + 2)
    if not _HEX_KEY.fullmatch(content):
        raise IntegrityError(
            f"{path}: not a key (64 hexadecimal digits and a line end); restore it from the backup"
        )
    return bytes.fromhex(content.decode().strip())


def _refuse_unsafe(status: os.stat_result, path: Path, remedy: str) -> None:
    if status.st_mode & 0o077:
        raise UnsafeKeyFile(
            f"{path}: others may read or change it (mode {status.st_mode & 0o777:04o}). Run `{remedy} "
            f"{path}`; if others "
            "had access to the machine, replace the key."
        )
    if status.st_uid != os.geteuid():
        raise UnsafeKeyFile(
            f"{path}: it belongs to user {status.st_uid}, the pipeline runs as {os.geteuid()}"
        )
