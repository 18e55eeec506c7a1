"""The chain of an audit log's lines: replaying it, and naming the first thing that was done to it.

Here: what the lines alone show, and what somebody who kept (size, head) adds. Not here: one line (`audit.log_records`),
the file and its lock (`audit.log`), signed witnesses (`audit.verification`).
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from credit_pipeline.audit.log_records import GENESIS, Record, parse_record, record_hash
from credit_pipeline.errors import IntegrityError

MAX_LINE = 1024 * 1024
MAX_TORN_LINES = 2
"""One append writes at most two lines (a cut and the event). A crash can tear those and no more."""


class Damage(StrEnum):
    """What was done to a log, as far as its lines tell."""

    TORN = "torn"
    BLANK_LINE = "blank_line"
    BYTE_ORDER_MARK = "byte_order_mark"
    LINE_END = "line_end"
    NOT_A_RECORD = "not_a_record"
    NOT_CANONICAL = "not_canonical"
    EDITED = "edited"
    REMOVED = "removed"
    DUPLICATED = "duplicated"
    REORDERED = "reordered"
    INSERTED = "inserted"
    TRUNCATED = "truncated"
    REWRITTEN = "rewritten"


@dataclass(frozen=True)
class BadLine:
    """The first line, from 1, that cannot be trusted."""

    line: int
    damage: Damage
    what: str


@dataclass(frozen=True)
class Replay:
    """The longest beginning of a log that is a chain."""

    heads: tuple[str, ...] = field(repr=False)
    """Hash of each line of it."""
    lines: int
    """All lines of the file, those behind a bad one included."""
    bad: BadLine | None
    clock_steps: tuple[tuple[int, str, str], ...]
    """(line, time of the line before, its time) of lines older than the line before them."""

    @property
    def size(self) -> int:
        return len(self.heads)

    def head(self, size: int | None = None) -> str:
        """Hash of the last line of the chain, or of its first `size` lines."""
        size = self.size if size is None else size
        return self.heads[size - 1] if size else GENESIS


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


def replay(numbered: Iterable[tuple[int, bytes]]) -> Replay:
    """Follows the chain from its first line (30,000 lines/s); behind a bad line the rest only serves to name it."""
    heads: list[str] = []
    steps: list[tuple[int, str, str]] = []
    time = ""
    lines = iter(numbered)
    for number, line in lines:
        head = heads[-1] if heads else GENESIS
        found = _judge(number, line, len(heads), head, heads)
        if isinstance(found, BadLine):
            rest = list(lines)
            return Replay(
                tuple(heads), number + len(rest), _named(found, len(heads) + 1, line, rest), tuple(steps)
            )
        if found.time < time:
            steps.append((number, time, found.time))
        time = found.time
        heads.append(found.hash)
    return Replay(tuple(heads), len(heads), None, tuple(steps))


def compare(found: Replay, anchors: Iterable[tuple[int, str]]) -> BadLine | None:
    """The first bad line when witnesses who kept (size, head) are heard too."""
    seen = sorted(set(anchors))
    for size, head in seen:
        if size <= found.size and found.head(size) != head:
            if size == 0:
                return BadLine(
                    1, Damage.REWRITTEN, "a witness holds a head for an empty log that no log can have"
                )
            return BadLine(
                size,
                Damage.REWRITTEN,
                "a witness saw another hash here: the log was rewritten at or before this line",
            )
    if found.bad is not None:
        return found.bad
    if seen and seen[-1][0] > found.size:
        return BadLine(
            found.size + 1,
            Damage.TRUNCATED,
            f"missing: the log ends at {found.size}, a witness saw {seen[-1][0]} records",
        )
    return None


def _judge(number: int, line: bytes, size: int, head: str, heads: list[str]) -> Record | BadLine:
    """The record of a line that continues the chain, else what is wrong with it."""

    def bad(damage: Damage, what: str) -> BadLine:
        return BadLine(number, damage, what)

    if not line.endswith(b"\n"):
        return bad(Damage.TORN, "torn: it has no line end; the next event will cut it and record the cut")
    body = line[:-1]
    if not body.strip():
        return bad(Damage.BLANK_LINE, "a blank line: no event writes one")
    if body.startswith(codecs.BOM_UTF8):
        return bad(Damage.BYTE_ORDER_MARK, "it begins with a byte order mark: an editor saved the log")
    if body.endswith(b"\r"):
        return bad(Damage.LINE_END, "it ends with CR LF: an editor or a transfer changed the line ends")
    record = parse_record(body)
    if record is None:
        return bad(Damage.NOT_A_RECORD, "not a record")
    if record.hash != record_hash(record):
        return bad(Damage.EDITED, "its content does not match its hash: it was changed")
    if record.line() != body:
        return bad(
            Damage.NOT_CANONICAL,
            "it says the same in other bytes (spaces, order, repeated keys or Unicode form): it was written anew",
        )
    if record.seq > size + 1:
        return bad(
            Damage.REMOVED,
            f"its number is {record.seq}, expected {size + 1}: lines were removed",
        )
    if record.seq <= size:
        if record.seq > 0 and heads[record.seq - 1] == record.hash:
            return bad(
                Damage.DUPLICATED,
                f"it is line {record.seq} again, expected number {size + 1}: it was doubled",
            )
        return bad(
            Damage.INSERTED, f"its number is {record.seq}, expected {size + 1}: a foreign line was put in"
        )
    if record.prev != head:
        return bad(
            Damage.EDITED,
            "it does not continue the line before: that line was changed and hashed anew, or a line was put in its place",
        )
    return record


def _named(found: BadLine, expected: int, line: bytes, rest: list[tuple[int, bytes]]) -> BadLine:
    """A bad line in the light of those behind it: a tear or not, a gap or a move."""
    if found.damage is Damage.NOT_A_RECORD and len(rest) < MAX_TORN_LINES:
        behind = b"".join(text for _, text in rest)
        if len(line) + len(behind) <= MAX_TORN_LINES * MAX_LINE and not any(_records(rest)):
            what = "torn: a crash left no whole record; the next event will cut it and record the cut"
            return BadLine(found.line, Damage.TORN, what)
    if found.damage is not Damage.REMOVED:
        return found
    record = parse_record(line[:-1])
    seq = 0 if record is None else record.seq
    moved = next((number for number, other in _records(rest) if other.seq == expected), None)
    if moved is not None:
        what = f"its number is {seq}, expected {expected}, which stands in line {moved}: lines were moved"
        return BadLine(found.line, Damage.REORDERED, what)
    gap = f"line {expected} is" if seq == expected + 1 else f"lines {expected} to {seq - 1} are"
    return BadLine(found.line, Damage.REMOVED, f"its number is {seq}: {gap} missing, removed from the log")


def _records(numbered: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Record]]:
    for number, line in numbered:
        record = parse_record(line.rstrip(b"\n"))
        if record is not None:
            yield number, record
