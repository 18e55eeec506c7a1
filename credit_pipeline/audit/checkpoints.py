"""Signed statements "the log had this size and this head then", kept as witnesses against truncation and
rewriting.

Here: making, checking and storing checkpoints, and verifying a log by them. Not here: the chain itself
(`audit.log`) and the keys (`credit_pipeline.keys`). A copy of the newest checkpoint travels in every extract's
manifest, so that each unit is a witness; whoever owns the signing key and all copies can still rewrite,
nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.log import (
    GENESIS,
    AuditLog,
    Verification,
    canonical_json,
    sha256_hex,
    write_durably,
)
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys import KeyStore, public_key_id
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.settings import Settings

DOMAIN = b"CHECKPOINT1|"
LOG_ID = "credit_pipeline"
_SIGNED_KEYS = ("log", "size", "head", "time", "frame_root", "prev_checkpoint")


class ForeignKey(IntegrityError):
    """A checkpoint that names a key which is not trusted."""


def trusted_signing_keys(settings: Settings) -> dict[str, Ed25519PublicKey]:
    """The public keys, by id, whose checkpoints count: the office's signing key, and those it took over from.

    No key is made. Raises `BadInput` where the office's keys are not.
    """
    if not (settings.keys_dir / "signing.key").exists():
        raise BadInput(
            f"{settings.keys_dir} holds no signing key; remedy: verify with the public key that the office gave out, "
            "--public-key HEX"
        )
    return trusted_keys(KeyStore(settings.keys_dir))


def checkpoint_hash(checkpoint: Mapping[str, Any]) -> str:
    """What the next checkpoint names as `prev_checkpoint`: SHA-256 of the canonical JSON, signature
    included.
    """
    return sha256_hex(canonical_json(checkpoint))


def sign_checkpoint(
    log: AuditLog,
    private_key: Ed25519PrivateKey,
    *,
    previous: Mapping[str, Any] | None = None,
    frame_root: str | None = None,
    time: datetime | None = None,
    log_id: str = LOG_ID,
    trusted: Mapping[str, Ed25519PublicKey] | None = None,
) -> dict[str, Any]:
    """A checkpoint of the log as it stands, after proving the chain and that it continues `previous`.

    `frame_root` is the Merkle root of the newest frozen frame, if there is one. Raises `IntegrityError`
    rather than sign a log that was cut or rewritten since `previous`, whose signature is checked too, by this key or
    one of the `trusted` ones (after a rotation).
    """
    if previous is not None:
        verify_checkpoint_by_any(previous, _with_own(private_key, trusted))
    found = log.verify(None if previous is None else (previous["size"], previous["head"]))
    found.raise_if_bad()
    moment = (time or datetime.now(UTC)).astimezone(UTC)
    checkpoint: dict[str, Any] = {
        "log": log_id,
        "size": found.size,
        "head": found.head,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "frame_root": frame_root,
        "prev_checkpoint": GENESIS if previous is None else checkpoint_hash(previous),
    }
    signature = private_key.sign(DOMAIN + canonical_json(checkpoint))
    return checkpoint | {"key_id": public_key_id(private_key.public_key()), "signature": signature.hex()}


def _with_own(
    private_key: Ed25519PrivateKey, trusted: Mapping[str, Ed25519PublicKey] | None
) -> dict[str, Ed25519PublicKey]:
    own = private_key.public_key()
    return {**(trusted or {}), public_key_id(own): own}


def verify_checkpoint(checkpoint: Mapping[str, Any], public_key: Ed25519PublicKey) -> None:
    """Raises `IntegrityError` unless `checkpoint` has exactly the fields of one and was signed by
    `public_key`'s owner.
    """
    _refuse_other_shape(checkpoint)
    if checkpoint["key_id"] != public_key_id(public_key):
        raise ForeignKey(
            f"the checkpoint was signed by key {checkpoint['key_id']}, not {public_key_id(public_key)}"
        )
    try:
        message = DOMAIN + canonical_json({key: checkpoint[key] for key in _SIGNED_KEYS})
        public_key.verify(bytes.fromhex(checkpoint["signature"]), message)
    except (InvalidSignature, ValueError, TypeError, BadInput):
        raise IntegrityError(
            f"the signature of the checkpoint at size {checkpoint['size']} does not match"
        ) from None


def _refuse_other_shape(checkpoint: Mapping[str, Any]) -> None:
    if set(checkpoint) != {*_SIGNED_KEYS, "key_id", "signature"}:
        raise IntegrityError(f"not a checkpoint: it has the fields {', '.join(sorted(map(str, checkpoint)))}")


def verify_checkpoint_by_any(checkpoint: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]) -> None:
    """As `verify_checkpoint`, by whichever of the trusted keys the checkpoint names."""
    _refuse_other_shape(checkpoint)
    named = str(checkpoint["key_id"])
    if named not in keys:
        raise ForeignKey(f"it was signed by key {named}; trusted are {', '.join(sorted(keys)) or 'none'}")
    verify_checkpoint(checkpoint, keys[named])


def verify_log(log: AuditLog, checkpoint: Mapping[str, Any], public_key: Ed25519PublicKey) -> Verification:
    """Whether the log still begins with exactly the records `checkpoint` was signed over."""
    verify_checkpoint(checkpoint, public_key)
    return log.verify((checkpoint["size"], checkpoint["head"]))


class CheckpointStore:
    """The checkpoints of one log: `<directory>/<size>.json`, each naming the one before; written once,
    never changed.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def all(self) -> list[dict[str, Any]]:
        """Every checkpoint, smallest log first. Raises `IntegrityError` for an unreadable file."""
        return [self._read(path) for path in self.paths()]

    def paths(self) -> list[Path]:
        """The files of the checkpoints, smallest log first."""
        paths = (path for path in self.directory.glob("*.json") if path.stem.isdigit())
        return sorted(paths, key=lambda path: (int(path.stem), path.name))

    def latest(self) -> dict[str, Any] | None:
        paths = self.paths()
        return self._read(paths[-1]) if paths else None

    def add(
        self,
        log: AuditLog,
        private_key: Ed25519PrivateKey,
        *,
        frame_root: str | None = None,
        time: datetime | None = None,
        trusted: Mapping[str, Ed25519PublicKey] | None = None,
    ) -> dict[str, Any]:
        """Signs and stores the state of the log; gives back the newest one when no event came since.

        Without `frame_root` the new checkpoint carries on the one before's.
        """
        newest = self.latest()
        if newest is not None and log.head() == (newest["size"], newest["head"]):
            verify_checkpoint_by_any(newest, _with_own(private_key, trusted))
            if frame_root not in (None, newest["frame_root"]):
                raise BadInput(
                    "record the freezing of the frame in the log first, then make the checkpoint with its "
                    "root"
                )
            return newest
        root = frame_root if frame_root is not None or newest is None else newest["frame_root"]
        checkpoint = sign_checkpoint(
            log, private_key, previous=newest, frame_root=root, time=time, trusted=trusted
        )
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self.directory / f"{checkpoint['size']}.json", canonical_json(checkpoint) + b"\n")
        return checkpoint

    def verify(
        self, log: AuditLog, trusted: Mapping[str, Ed25519PublicKey], *witnesses: Mapping[str, Any]
    ) -> Verification:
        """The log against every checkpoint here and every one brought by `witnesses` (from extracts,
        receipts).

        Raises `IntegrityError` for a checkpoint with a wrong signature or one that does not name the one
        before.
        """
        checkpoints = self.all()
        before = GENESIS
        for checkpoint in checkpoints:
            verify_checkpoint_by_any(checkpoint, trusted)
            if checkpoint["prev_checkpoint"] != before:
                raise IntegrityError(
                    f"{self.directory}: the checkpoint at size {checkpoint['size']} does not follow the one "
                    "stored "
                    "before it: a checkpoint was removed or replaced"
                )
            before = checkpoint_hash(checkpoint)
        for witness in witnesses:
            verify_checkpoint_by_any(witness, trusted)
        return log.verify(
            None, *((checkpoint["size"], checkpoint["head"]) for checkpoint in (*checkpoints, *witnesses))
        )

    @staticmethod
    def _read(path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_bytes())
        except ValueError:
            raise IntegrityError(f"{path}: not JSON; restore the file from a copy") from None
        if not isinstance(content, dict):
            raise IntegrityError(f"{path}: not a checkpoint; restore the file from a copy")
        return content
