"""The audit log: one JSON object a line, each line holding the hash of the line before.

Here: durable writing of evidence files, and the append-only file. Not here: the format of a line (`audit.log_records`),
the chain (`audit.log_chain`), signatures and witnesses (`audit.checkpoints`, `audit.verification`). Every stage may import
this module, so it imports nothing of the project but `errors` and its own parts.

A chain by itself shows an edited, deleted, swapped or doubled line. It cannot show that the last lines were
cut off or that the whole log was written anew: for that, `AuditLog.verify` takes anchors (size, head) that
somebody else kept.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log_chain import MAX_LINE, MAX_TORN_LINES, Replay, Verification, compare, replay
from credit_pipeline.audit.log_records import (
    DOMAIN,
    GENESIS,
    NAME,
    Record,
    canonical_json,
    parse_record,
    plain,
    record_hash,
    refuse_denied,
    sha256_hex,
)
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError

__all__ = [
    "DOMAIN", "GENESIS", "TORN_LINE_CUT", "AuditLog", "Record", "Verification", "canonical_json", "fsync_directory",
    "sha256_hex", "write_durably",
]  # fmt: skip

TORN_LINE_CUT = "TORN_LINE_CUT"
_TAIL_WINDOW = 64 * 1024


def fsync_directory(path: Path) -> None:
    """Makes a created or renamed entry of the directory `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Writes `data` as the file `path` (0600): whole or not at all, and on disk when this returns.

    The temporary file `tmp-<name>-<process>` stands in the same folder; a crash may leave it and nothing
    else.
    """
    temporary = path.with_name(f"tmp-{path.name}-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_directory(path.parent)


@dataclass(frozen=True)
class _Tail:
    end: int
    """Offset behind the last whole record."""
    size: int
    head: str
    torn: bytes


class AuditLog:
    """An append-only log shared by processes. Safe with several writers, on one machine, by `flock` on the
    file.
    """

    def __init__(self, path: Path | str, clock: Callable[[], datetime] | None = None) -> None:
        self.path = Path(path)
        self._clock = clock or (lambda: datetime.now(UTC))

    def append(self, event: str, stage: str, run_id: str | None = None, **details: Any) -> Record:
        """Adds one event and returns it once it is on disk (about 3 ms, one fsync).

        Raises `BadInput` for details that may not be recorded, `IntegrityError` when the last line was
        altered. A line torn by an earlier crash is cut off, and the cut is recorded before this event.
        """
        for label, text in (("event", event), ("stage", stage)):
            if not NAME.fullmatch(text):
                raise BadInput(
                    f"{label} {text!r}: expected a letter, then letters, digits, '_', '.' or '-' (64 at most)"
                )
        refuse_denied(details, event)
        canonical_json(details)  # refused here, before the lock and before a byte is written
        with self._locked(fcntl.LOCK_EX) as descriptor:
            tail = _read_tail(descriptor, self.path)
            records: list[Record] = []
            seq, head = tail.size, tail.head
            if tail.torn:
                cut = {"bytes": len(tail.torn), "sha256": sha256_hex(tail.torn)}
                records.append(self._record(seq + 1, head, TORN_LINE_CUT, "audit", run_id, cut))
                seq, head = seq + 1, records[-1].hash
            records.append(self._record(seq + 1, head, event, stage, run_id, details))
            self._write(descriptor, tail, b"".join(record.line() + b"\n" for record in records))
        return records[-1]

    def now(self) -> datetime:
        """The time that an event appended now would have, for statements that must not contradict the log."""
        return self._clock().astimezone(UTC)

    def head(self) -> tuple[int, str]:
        """(number of records, hash of the last one): what a witness keeps. (0, GENESIS) for a log not
        begun.
        """
        if not self.path.exists():
            return 0, GENESIS
        with self._locked(fcntl.LOCK_SH) as descriptor:
            tail = _read_tail(descriptor, self.path)
        return tail.size, tail.head

    def records(self, event: str | None = None, stage: str | None = None) -> Iterator[Record]:
        """The whole records in order, of one event or stage if asked. Reads only; `verify` is what proves
        them.
        """
        for number, line in self._lines():
            if not line.endswith(b"\n"):
                return
            record = parse_record(line[:-1])
            if record is None:
                raise IntegrityError(f"{self.path}: line {number} is not a record; verify the log")
            if (event is None or record.event == event) and (stage is None or record.stage == stage):
                yield record

    def replay(self) -> Replay:
        """The chain as far as it holds, with the hash of each line."""
        return replay(self._lines())

    def verify(self, anchor: tuple[int, str] | None = None, *more: tuple[int, str]) -> Verification:
        """Replays the chain and compares it with what witnesses saw.

        An anchor is (size, head) as `head()` gave it then. Truncation behind an anchor and a rewritten chain
        are found only with one. A torn last line is reported too: the next `append` cuts it.
        """
        found = self.replay()
        bad = compare(found, (() if anchor is None else (anchor,)) + more)
        if bad is None:
            return Verification(
                True, found.size, found.head(), None, f"{self.path}: {found.size} records, chain intact"
            )
        size = min(found.size, bad.line - 1)
        return Verification(
            False, size, found.head(size), bad.line, f"{self.path}: line {bad.line}: {bad.what}"
        )

    def _record(
        self, seq: int, prev: str, event: str, stage: str, run_id: str | None, details: Mapping[str, Any]
    ) -> Record:
        time = self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = Record(seq, prev, time, event, stage, plain(run_id), plain(details), "")
        record = Record(**{**vars(record), "hash": record_hash(record)})
        if len(record.line()) >= MAX_LINE:
            raise BadInput(
                f"event {event!r} is over {MAX_LINE} bytes: record a digest or a file instead of the content"
            )
        return record

    def _write(self, descriptor: int, tail: _Tail, payload: bytes) -> None:
        """Writes over the torn bytes, never cutting first: a crash in between leaves a torn line again,
        not a silent loss.
        """
        try:
            written = 0
            while written < len(payload):
                written += os.pwrite(descriptor, payload[written:], tail.end + written)
            os.ftruncate(descriptor, tail.end + len(payload))
            os.fsync(descriptor)
        except OSError as error:
            if not tail.torn:
                os.ftruncate(descriptor, tail.end)
            raise CreditPipelineError(
                f"{self.path}: the event could not be written: {error.strerror}"
            ) from error

    @contextmanager
    def _locked(self, mode: int) -> Iterator[int]:
        if mode == fcntl.LOCK_EX:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            is_new = not self.path.exists()
            flags = os.O_RDWR | os.O_CREAT if mode == fcntl.LOCK_EX else os.O_RDONLY
            descriptor = os.open(self.path, flags, 0o600)
            try:
                fcntl.flock(descriptor, mode)
                # The file may have been moved away while we waited: then the lock guards nothing.
                if self.path.exists() and os.path.samestat(os.fstat(descriptor), self.path.stat()):
                    if is_new:
                        fsync_directory(self.path.parent)
                    yield descriptor
                    return
            finally:
                os.close(descriptor)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """(number, line with its end) up to the size at the start, so that readers never hold up writers."""
        if not self.path.exists():
            return
        with self._locked(fcntl.LOCK_SH) as descriptor:
            left = os.fstat(descriptor).st_size
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if left <= 0:
                    return
                yield number, line[:left]
                left -= len(line)


def _read_tail(descriptor: int, path: Path) -> _Tail:
    """The last whole record, and what a crash left behind it. Raises `IntegrityError` for more than a crash
    can do.

    Reads 64 KiB; more only behind a longer line.
    """
    length, window_size = os.fstat(descriptor).st_size, _TAIL_WINDOW
    while True:
        start = max(0, length - window_size)
        tail = _last_record(os.pread(descriptor, length - start, start), start, path)
        if tail is not None and len(tail.torn) <= MAX_TORN_LINES * MAX_LINE:
            return tail
        if start == 0 or tail is not None or window_size > 4 * MAX_LINE:
            raise _beyond_a_crash(path)
        window_size *= 4


def _last_record(window: bytes, start: int, path: Path) -> _Tail | None:
    """The last whole record in `window`, which begins at `start` of the log; None if it may begin before."""
    cut = len(window)
    for _ in range(MAX_TORN_LINES + 1):
        if cut == 0 and start == 0:
            return _Tail(0, 0, GENESIS, window)
        line_start = window.rfind(b"\n", 0, max(cut - 1, 0)) + 1
        if line_start == 0 and start > 0:
            return None
        record = parse_record(window[line_start : cut - 1]) if window[cut - 1 : cut] == b"\n" else None
        if record is not None:
            if record.hash != record_hash(record):
                raise IntegrityError(
                    f"{path}: the last record ({record.seq}) was changed: verify the log, add nothing"
                )
            return _Tail(start + cut, record.seq, record.hash, window[cut:])
        cut = line_start
    raise _beyond_a_crash(path)


def _beyond_a_crash(path: Path) -> IntegrityError:
    return IntegrityError(
        f"{path}: the end of the log is damaged beyond what a crash can do: verify it, add nothing"
    )
