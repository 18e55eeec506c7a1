"""The hash chain: what it must show, what it can show only to a witness, and what a crash may leave."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from credit_pipeline.audit.log import GENESIS, TORN_LINE_CUT, AuditLog, canonical_json, sha256_hex
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError


def _clock() -> datetime:
    return datetime(2026, 3, 1, 2, 0, 0, 999_999, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit" / "log.jsonl", clock=_clock)
    for number in range(10):
        log.append("FEED_INGESTED", "feeds", "run-1", feed=f"feed_{number}", rows=number)
    return log


def _lines(log: AuditLog) -> list[bytes]:
    return log.path.read_bytes().splitlines(keepends=True)


def test_record_is_the_documented_hash(log: AuditLog) -> None:
    """An auditor recomputes the chain with sha256sum and the canonical JSON alone."""
    first, second = list(log.records())[:2]
    content = json.loads(_lines(log)[0])
    claimed = content.pop("hash")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert sha256_hex(b"AUDITLOG1|" + text.encode()) == claimed == first.hash == second.prev
    assert (first.seq, first.prev, first.time) == (1, GENESIS, "2026-03-01T02:00:00Z")
    assert log.head() == (10, _last(log)) and log.verify(log.head()).ok


def _last(log: AuditLog) -> str:
    return list(log.records())[-1].hash


def _edit(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b'"rows":4', b'"rows":5')


def _edit_with_new_hash(lines: list[bytes]) -> None:
    content = json.loads(lines[4])
    content["details"]["rows"] = 5
    content.pop("hash")
    content["hash"] = sha256_hex(b"AUDITLOG1|" + canonical_json(content))
    lines[4] = canonical_json(content) + b"\n"


def _delete(lines: list[bytes]) -> None:
    del lines[4]


def _swap(lines: list[bytes]) -> None:
    lines[4], lines[5] = lines[5], lines[4]


def _duplicate(lines: list[bytes]) -> None:
    lines.insert(5, lines[4])


def _respace(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b'"rows":4', b'"rows": 4')


def _double_key(lines: list[bytes]) -> None:
    lines[4] = lines[4].replace(b'"rows":4', b'"rows":9,"rows":4')


def _garbage(lines: list[bytes]) -> None:
    lines[4] = b"not json\n"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_edit, 5),
        (_edit_with_new_hash, 6),
        (_delete, 5),
        (_swap, 5),
        (_duplicate, 6),
        (_respace, 5),
        (_double_key, 5),
        (_garbage, 5),
    ],
)
def test_a_changed_chain_names_its_first_bad_line(
    log: AuditLog, change: Callable[[list[bytes]], None], line: int
) -> None:
    """Each way to alter history in place is found without a witness, at the right line."""
    lines = _lines(log)
    change(lines)
    log.path.write_bytes(b"".join(lines))
    found = log.verify()
    assert not found.ok and found.bad_line == line
    with pytest.raises(IntegrityError, match=f"line {line}"):
        found.raise_if_bad()


def test_truncation_needs_and_is_shown_to_a_witness(log: AuditLog) -> None:
    """A chain without its last lines is a good chain: only who kept the head can tell."""
    witness = log.head()
    log.path.write_bytes(b"".join(_lines(log)[:7]))
    assert log.verify().ok
    found = log.verify(witness)
    assert not found.ok and found.bad_line == 8 and "ends at 7" in found.reason


def test_rewriting_needs_and_is_shown_to_a_witness(log: AuditLog, tmp_path: Path) -> None:
    """A wholly new chain is a good chain: a witness of the middle is enough to refute it."""
    early = (5, list(log.records())[4].hash)
    forged = AuditLog(tmp_path / "forged.jsonl", clock=_clock)
    for record in log.records():
        details = record.details | ({"rows": 99} if record.seq == 3 else {})
        forged.append(record.event, record.stage, record.run_id, **details)
    assert forged.verify().ok
    found = forged.verify(early)
    assert not found.ok and found.bad_line == 5 and "witness" in found.reason
    assert not forged.verify(log.head(), early).ok
    assert log.verify(log.head(), early, (0, GENESIS)).ok


def test_an_emptied_log_is_shown_to_a_witness(log: AuditLog) -> None:
    witness = log.head()
    log.path.unlink()
    assert log.head() == (0, GENESIS) and log.verify().ok
    assert not log.verify(witness).ok
    assert not log.verify((0, "f" * 64)).ok


@pytest.mark.parametrize(
    "torn",
    [b'{"details":{},"event":"X","ha', b"\x00" * 300, b"\x00" * 300 + b"\n", b"{}\n", b'{"a":1}\n{"b'],
    ids=["half", "zeros", "zeros with end", "whole but no record", "two lines"],
)
def test_a_torn_tail_is_cut_and_the_cut_recorded(log: AuditLog, torn: bytes) -> None:
    """After a power cut the log must go on, and must say that it lost something and how much."""
    before = log.head()
    with log.path.open("ab") as file:
        file.write(torn)
    assert log.head() == before
    assert log.verify().bad_line == 11
    record = log.append("RUN_STARTED", "transform")
    assert record.seq == 12
    cut = next(log.records(event=TORN_LINE_CUT))
    assert cut.seq == 11 and cut.details == {"bytes": len(torn), "sha256": sha256_hex(torn)}
    assert log.verify(before).ok


def test_a_first_line_torn_is_cut_too(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "log.jsonl")
    log.path.write_bytes(b'{"seq"')
    assert log.append("RUN_STARTED", "feeds").seq == 2 and log.verify().ok


def test_a_torn_tail_longer_than_the_next_records_leaves_nothing_behind(log: AuditLog) -> None:
    """The new lines are written over the torn ones; what is left of these must go."""
    with log.path.open("ab") as file:
        file.write(b"x" * 5_000)
    log.append("RUN_STARTED", "feeds")
    assert log.verify().ok and b"xxx" not in log.path.read_bytes()


def test_damage_beyond_a_crash_stops_the_log(log: AuditLog) -> None:
    """Cutting back further than one write would let an attacker use the repair to shorten the log."""
    lines = _lines(log)
    log.path.write_bytes(b"".join(lines[:-3]) + b"x\n" * 3)
    with pytest.raises(IntegrityError, match="beyond what a crash"):
        log.append("RUN_STARTED", "feeds")
    log.path.write_bytes(b"x" * 2_200_000)
    with pytest.raises(IntegrityError, match="beyond what a crash"):
        log.append("RUN_STARTED", "feeds")


def test_nothing_is_added_to_an_altered_last_record(log: AuditLog) -> None:
    """A new record would otherwise bless the altered one by its `prev`."""
    lines = _lines(log)
    lines[-1] = lines[-1].replace(b'"rows":9', b'"rows":8')
    log.path.write_bytes(b"".join(lines))
    with pytest.raises(IntegrityError, match="was changed"):
        log.append("RUN_STARTED", "feeds")


def test_a_full_disk_leaves_the_log_as_it_was(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    before = log.path.read_bytes()
    real = __import__("os").pwrite
    calls: list[int] = []

    def short_then_full(descriptor: int, data: bytes, offset: int) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return int(real(descriptor, data[:10], offset))

    monkeypatch.setattr("os.pwrite", short_then_full)
    with pytest.raises(CreditPipelineError, match="No space left"):
        log.append("RUN_STARTED", "feeds")
    monkeypatch.undo()
    assert log.path.read_bytes() == before


def test_four_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    """Without the lock two writers take the same number and the chain forks."""
    path = tmp_path / "log.jsonl"
    script = (
        "import sys; from credit_pipeline.audit.log import AuditLog\n"
        "log = AuditLog(sys.argv[1])\n"
        "for n in range(50): log.append('TICK', 'feeds', sys.argv[2], n=n)\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, str(path), f"run-{one}"]) for one in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    log = AuditLog(path)
    assert log.verify().ok and log.head()[0] == 200
    for one in range(4):
        assert [record.details["n"] for record in log.records() if record.run_id == f"run-{one}"] == list(
            range(50)
        )


def test_records_are_filtered_by_event_and_stage(log: AuditLog) -> None:
    log.append("DRAWN", "inspection", None, plan_id="P1", round=1)
    assert [record.seq for record in log.records(event="DRAWN")] == [11]
    assert len(list(log.records(stage="feeds"))) == 10
    assert list(log.records(event="DRAWN", stage="feeds")) == []


@pytest.mark.parametrize(
    "details",
    [
        {"grade": "A"},
        {"rows": [{"Platform_Grade": "A"}]},
        {"nested": {"deep": ({"uscc": "x"},)}},
        {"seed": "0" * 64},
        {"enterprise_name": "某公司"},
        {"score": 12},
    ],
)
def test_grades_names_and_secrets_are_refused(log: AuditLog, details: dict[str, Any]) -> None:
    """The log is copied to sixty units and to auditors: what is in it is out of the house."""
    size = log.path.stat().st_size
    with pytest.raises(BadInput, match="may not hold"):
        log.append("DRAWN", "inspection", None, **details)
    assert log.path.stat().st_size == size


@pytest.mark.parametrize(
    "value", [0.5, float("nan"), 2**53, b"bytes", datetime(2026, 1, 1), {1: "x"}, {"键": 1}, "\ud800", {1, 2}]
)
def test_values_without_one_canonical_form_are_refused(value: Any) -> None:
    """Two verifiers must never get different bytes from the same record."""
    with pytest.raises(BadInput):
        canonical_json({"value": value})


def test_canonical_json_is_sorted_nfc_utf8() -> None:
    assert (
        canonical_json({"b": "e\u0301", "a": [1, None, True, "南阳"]})
        == '{"a":[1,null,true,"南阳"],"b":"é"}'.encode()
    )
    assert canonical_json('\u2028\x1f"\\') == '"\u2028\\u001f\\"\\\\"'.encode()


def test_lines_longer_than_the_tail_window_are_found(log: AuditLog) -> None:
    """The first day's ingest of a feed may list thousands of files in one event."""
    for size in (10, 70_000, 300_000, 10, 900_000):
        log.append("FEED_INGESTED", "feeds", None, text="x" * size)
        assert log.head()[0] == len(list(log.records()))
    with log.path.open("ab") as file:
        file.write(b"y" * 200_000)
    log.append("RUN_STARTED", "feeds")
    assert log.verify().ok and log.head()[0] == 17


def test_oversized_and_badly_named_events_are_refused(log: AuditLog) -> None:
    """A line longer than the window of the tail read would make the log unreadable from its end."""
    with pytest.raises(BadInput, match="record a digest"):
        log.append("X", "feeds", None, text="x" * 1_100_000)
    for event, stage in (("", "feeds"), ("A B", "feeds"), ("X", "1")):
        with pytest.raises(BadInput):
            log.append(event, stage)


def test_the_log_is_private(log: AuditLog) -> None:
    assert log.path.stat().st_mode & 0o777 == 0o600
