"""Signed checkpoints as witnesses of the log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credit_pipeline.audit.checkpoints import (
    CheckpointStore,
    checkpoint_hash,
    sign_checkpoint,
    verify_checkpoint,
    verify_log,
)
from credit_pipeline.audit.log import GENESIS, AuditLog
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys import public_key_id

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {public_key_id(KEY.public_key()): KEY.public_key()}
TIME = datetime(2026, 3, 1, tzinfo=UTC)
VECTORS = json.loads(
    (Path(__file__).parents[1] / "inspection" / "vectors" / "sampling_vectors.json").read_text("utf-8")
)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "log.jsonl", clock=lambda: TIME)
    for number in range(5):
        log.append("TICK", "feeds", None, number=number)
    return log


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "checkpoints")


def test_ed25519_is_that_of_rfc_8032() -> None:
    vector = VECTORS["ed25519_rfc8032_test1"]
    public_key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(vector["public"]))
    public_key.verify(bytes.fromhex(vector["signature"]), b"")
    with pytest.raises(InvalidSignature):
        public_key.verify(bytes.fromhex(vector["signature"]), b"x")


def test_checkpoints_chain_and_are_stored_by_size(log: AuditLog, store: CheckpointStore) -> None:
    first = store.add(log, KEY, frame_root="a" * 64, time=TIME)
    log.append("DRAWN", "inspection", None, plan_id="P1", round=1)
    second = store.add(log, KEY, time=TIME)
    assert sorted(path.name for path in store.directory.iterdir()) == ["5.json", "6.json"]
    assert (first["prev_checkpoint"], second["prev_checkpoint"]) == (GENESIS, checkpoint_hash(first))
    assert second["frame_root"] == "a" * 64, "the newest frame's root is carried on"
    assert store.latest() == second and store.all() == [first, second]
    assert store.verify(log, TRUSTED).ok


def test_a_checkpoint_without_new_events_is_the_one_before(log: AuditLog, store: CheckpointStore) -> None:
    """Running a day again must not sign the same log twice with two times."""
    first = store.add(log, KEY)
    assert store.add(log, KEY) == first
    with pytest.raises(BadInput, match="record the freezing"):
        store.add(log, KEY, frame_root="b" * 64)


@pytest.mark.parametrize("field", ["log", "size", "head", "time", "frame_root", "prev_checkpoint"])
def test_every_field_is_signed(log: AuditLog, field: str) -> None:
    checkpoint = sign_checkpoint(log, KEY, time=TIME)
    verify_checkpoint(checkpoint, KEY.public_key())
    changed = checkpoint | {field: 4 if field == "size" else "0" * 63 + "1"}
    with pytest.raises(IntegrityError, match="signature"):
        verify_checkpoint(changed, KEY.public_key())


def test_another_key_and_another_shape_are_refused(log: AuditLog) -> None:
    checkpoint = sign_checkpoint(log, KEY)
    with pytest.raises(IntegrityError, match="signed by key"):
        verify_checkpoint(checkpoint, Ed25519PrivateKey.generate().public_key())
    with pytest.raises(IntegrityError, match="not a checkpoint"):
        verify_checkpoint(checkpoint | {"more": 1}, KEY.public_key())
    with pytest.raises(IntegrityError, match="signature"):
        verify_checkpoint(checkpoint | {"signature": None}, KEY.public_key())


def test_a_cut_or_rewritten_log_fails_against_a_checkpoint_and_is_never_signed(
    log: AuditLog, store: CheckpointStore
) -> None:
    """The chain alone says OK to both; sixty copies of the checkpoint do not."""
    checkpoint = store.add(log, KEY)
    assert verify_log(log, checkpoint, KEY.public_key()).ok
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[:3]))
    assert log.verify().ok
    assert verify_log(log, checkpoint, KEY.public_key()).bad_line == 4
    for number in range(9):
        log.append("TICK", "feeds", None, number=100 + number)
    assert log.verify().ok
    assert verify_log(log, checkpoint, KEY.public_key()).bad_line == 5
    with pytest.raises(IntegrityError, match="rewritten"):
        store.add(log, KEY)


def test_a_removed_or_forged_checkpoint_is_found(log: AuditLog, store: CheckpointStore) -> None:
    """Without the chain of checkpoints the inconvenient one could be deleted."""
    for number in range(3):
        log.append("TICK", "feeds", None, number=number)
        store.add(log, KEY)
    middle = store.directory / "7.json"
    kept = middle.read_bytes()
    middle.unlink()
    with pytest.raises(IntegrityError, match="removed or replaced"):
        store.verify(log, TRUSTED)
    middle.write_bytes(kept.replace(b'"size":7', b'"size":6'))
    with pytest.raises(IntegrityError, match="signature"):
        store.verify(log, TRUSTED)
    middle.write_bytes(b"[]")
    with pytest.raises(IntegrityError, match="not a checkpoint"):
        store.all()


def test_a_witness_from_an_extract_counts_although_the_store_lost_it(
    log: AuditLog, store: CheckpointStore
) -> None:
    witness = store.add(log, KEY)
    (store.directory / "5.json").unlink()
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:4]))
    assert store.verify(log, TRUSTED).ok
    assert not store.verify(log, TRUSTED, witness).ok
