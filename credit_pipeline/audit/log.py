"""The audit log: one JSON object a line, each line holding the hash of the line before.

Here: canonical JSON, durable writing of evidence files, and the append-only log. Not here: signatures and
witnesses (`audit.checkpoints`). Every stage may import this module, so it imports nothing of the project but
`errors`.

A chain by itself shows an edited, deleted, swapped or doubled line. It cannot show that the last lines were
cut off or that the whole log was written anew: for that, `AuditLog.verify` takes anchors (size, head) that
somebody else kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError

DOMAIN = b"AUDITLOG1|"
GENESIS = "0" * 64
TORN_LINE_CUT = "TORN_LINE_CUT"

# One append writes at most two lines (a cut and the event). A crash can tear those and no more, so whoever
# reads the end of the log looks behind at most two lines that are not records.
_TAIL_WINDOW = 64 * 1024
_MAX_LINE = 1024 * 1024
_MAX_TORN_LINES = 2

_MAX_SAFE_INTEGER = 2**53 - 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")
_RECORD_KEYS = {"seq", "prev", "time", "event", "stage", "run_id", "details", "hash"}

DENIED_KEYS = frozenset(
    {
        "enterprise_name", "extract_key", "frame_salt", "grade", "id_number", "inspector_name", "key",
        "legal_representative", "name", "party_key", "password", "phone", "platform_grade", "points",
        "previous_grade", "private_key", "probability", "rank", "reveal", "reveals", "score", "secret",
        "seed", "ticket", "unit_grade", "unit_key", "uscc",
    }
)  # fmt: skip
"""Keys no event may hold, at any depth: grades and persons must not leak, secrets would let a draw be
recomputed.
"""


def canonical_json(value: Any) -> bytes:
    """The one byte string of a JSON value: sorted keys, no spaces, UTF-8, strings in NFC.

    The subset of RFC 8785 in which implementations cannot disagree: no floats, integers within ±(2^53 - 1),
    ASCII keys. Raises `BadInput` for anything outside it.
    """
    try:
        text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(f"text that is not valid Unicode cannot be recorded: {error.reason}") from None


def _plain(value: Any) -> Any:
    """`value` with strings in NFC, or `BadInput`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, int):
        if abs(value) > _MAX_SAFE_INTEGER:
            raise BadInput(f"{value} is beyond 2^53 - 1, where JSON readers disagree: record it as text")
        return int(value)
    if isinstance(value, float):
        raise BadInput(f"{value!r}: floats have no canonical JSON form; record basis points, fen or text")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not key.isascii():
                raise BadInput(f"key {key!r}: keys of a record are ASCII strings")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise BadInput(
        f"{type(value).__name__} has no canonical JSON form; record text (dates by isoformat()) or integers"
    )


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
class Record:
    """One line. `seq` counts from 1; `prev` is the hash of the line before, `GENESIS` for the first."""

    seq: int
    prev: str
    time: str
    event: str
    stage: str
    run_id: str | None
    details: dict[str, Any] = field(hash=False)
    hash: str

    def line(self) -> bytes:
        return canonical_json(vars(self))


@dataclass(frozen=True)
class Verification:
    """What `AuditLog.verify` found; `bad_line` is the first line (from 1) that cannot be trusted."""

    ok: bool
    size: int
    head: str
    bad_line: int | None
    reason: str

    def raise_if_bad(self) -> None:
        if not self.ok:
            raise IntegrityError(self.reason)


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
            if not _NAME.fullmatch(text):
                raise BadInput(
                    f"{label} {text!r}: expected a letter, then letters, digits, '_', '.' or '-' (64 at most)"
                )
        _refuse_denied(details, event)
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
            record = _parse(line[:-1])
            if record is None:
                raise IntegrityError(f"{self.path}: line {number} is not a record; verify the log")
            if (event is None or record.event == event) and (stage is None or record.stage == stage):
                yield record

    def verify(self, anchor: tuple[int, str] | None = None, *more: tuple[int, str]) -> Verification:
        """Replays the chain (30,000 lines/s) and compares it with what witnesses saw.

        An anchor is (size, head) as `head()` gave it then. Truncation behind an anchor and a rewritten chain
        are found only with one. A torn last line is reported too: the next `append` cuts it.
        """
        anchors: dict[int, set[str]] = {}
        for seen_size, seen_head in (() if anchor is None else (anchor,)) + more:
            anchors.setdefault(seen_size, set()).add(seen_head)
        size, head = 0, GENESIS

        def bad(line: int, reason: str) -> Verification:
            return Verification(False, size, head, line, f"{self.path}: line {line}: {reason}")

        def witnessed() -> bool:
            return anchors.get(size, {head}) == {head}

        if not witnessed():
            return bad(1, "a witness holds a head for an empty log that no log can have")
        for number, line in self._lines():
            if not line.endswith(b"\n"):
                return bad(number, "torn: it has no line end; the next event will cut it and record the cut")
            record = _parse(line[:-1])
            if record is None:
                return bad(number, "not a record")
            if record.seq != size + 1:
                return bad(
                    number,
                    f"its number is {record.seq}, expected {size + 1}: lines were removed, doubled or moved",
                )
            if record.prev != head:
                return bad(
                    number, "it does not continue the line before: a line was changed, removed or moved"
                )
            if record.hash != _hash(record) or record.line() != line[:-1]:
                return bad(number, "its content does not match its hash: it was changed")
            size, head = record.seq, record.hash
            if not witnessed():
                return bad(
                    number, "a witness saw another hash here: the log was rewritten at or before this line"
                )
        if anchors and max(anchors) > size:
            return bad(size + 1, f"missing: the log ends at {size}, a witness saw {max(anchors)} records")
        return Verification(True, size, head, None, f"{self.path}: {size} records, chain intact")

    def _record(
        self, seq: int, prev: str, event: str, stage: str, run_id: str | None, details: Mapping[str, Any]
    ) -> Record:
        time = self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = Record(seq, prev, time, event, stage, _plain(run_id), _plain(details), "")
        record = Record(**{**vars(record), "hash": _hash(record)})
        if len(record.line()) >= _MAX_LINE:
            raise BadInput(
                f"event {event!r} is over {_MAX_LINE} bytes: record a digest or a file instead of the content"
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


def _refuse_denied(details: Any, event: str) -> None:
    if isinstance(details, Mapping):
        for key, value in details.items():
            if isinstance(key, str) and key.casefold() in DENIED_KEYS:
                raise BadInput(
                    f"event {event!r}: the audit log travels in every extract, so it may not hold {key!r}; "
                    "record a count, an id, a digest or a pseudonym under its own key"
                )
            _refuse_denied(value, event)
    elif isinstance(details, Sequence) and not isinstance(details, str | bytes):
        for value in details:
            _refuse_denied(value, event)


def _hash(record: Record) -> str:
    content = {key: value for key, value in vars(record).items() if key != "hash"}
    return sha256_hex(DOMAIN + canonical_json(content))


def _parse(line: bytes) -> Record | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if not isinstance(content, dict) or set(content) != _RECORD_KEYS:
        return None
    texts = all(isinstance(content[key], str) for key in ("prev", "time", "event", "stage", "hash"))
    if not texts or type(content["seq"]) is not int or not isinstance(content["details"], dict):
        return None
    record = Record(**content)
    try:
        record.line()
    except BadInput:
        return None
    return record


def _read_tail(descriptor: int, path: Path) -> _Tail:
    """The last whole record, and what a crash left behind it. Raises `IntegrityError` for more than a crash
    can do.

    Reads 64 KiB; more only behind a longer line.
    """
    length, window_size = os.fstat(descriptor).st_size, _TAIL_WINDOW
    while True:
        start = max(0, length - window_size)
        tail = _last_record(os.pread(descriptor, length - start, start), start, path)
        if tail is not None and len(tail.torn) <= _MAX_TORN_LINES * _MAX_LINE:
            return tail
        if start == 0 or tail is not None or window_size > 4 * _MAX_LINE:
            raise _beyond_a_crash(path)
        window_size *= 4


def _last_record(window: bytes, start: int, path: Path) -> _Tail | None:
    """The last whole record in `window`, which begins at `start` of the log; None if it may begin before."""
    cut = len(window)
    for _ in range(_MAX_TORN_LINES + 1):
        if cut == 0 and start == 0:
            return _Tail(0, 0, GENESIS, window)
        line_start = window.rfind(b"\n", 0, max(cut - 1, 0)) + 1
        if line_start == 0 and start > 0:
            return None
        record = _parse(window[line_start : cut - 1]) if window[cut - 1 : cut] == b"\n" else None
        if record is not None:
            if record.hash != _hash(record):
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
