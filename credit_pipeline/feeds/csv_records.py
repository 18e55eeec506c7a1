"""Splits lines of CSV into records one by one, and says which of them are no records.

This is the thorough path of `readers_csv`; it decides what every odd piece of a file holds. A quote that is
never closed swallows the rest of a file in most parsers; here it costs one line.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field

import numpy as np

from credit_pipeline.feeds.cells import SPACE
from credit_pipeline.feeds.decoding import Line

_JOIN_LINES, _JOIN_CHARACTERS = 1000, 1 << 20
"""A quoted cell that runs on longer is taken for an unclosed quote."""
_BLANK = SPACE + "\x1a"
"""A line of these holds nothing; 0x1A is the end mark of old exports."""
_UNCLOSED = "unexpected end of data"


@dataclass(frozen=True)
class Malformed:
    """A record that is none."""

    number: int
    rule: str
    """`column_count` or `undecodable`."""
    found: str
    text: str


@dataclass
class Records:
    """What lines hold: rows of cells and rows that cannot be split."""

    next_number: int = 1
    """Number of the next record as a spreadsheet shows it; blank lines count, a record of several lines is
    one."""
    numbers: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    blank: int = 0
    consumed: int = 0
    """Bytes of complete records."""


@dataclass(frozen=True)
class Splitter:
    """How a file's records are split and how wide they must be.

    Records of fewer cells than the header are accepted only without its unnamed last ones, records of more
    only if the cells too many are empty.
    """

    separator: str
    width: int = 0
    """Cells of the header; 0: any number of cells is a record (above the header)."""
    named_width: int = 0
    """Cells up to the last one the header names."""

    def split(
        self, lines: list[Line], next_number: int = 1, *, at_end: bool, stop_after: int | None = None
    ) -> Records:
        """The records of lines; a last one that goes on beyond them is left over unless they are the file's
        end.

        Args:
            stop_after: stop behind the record of that number.
        """
        records = Records(next_number)
        place = 0
        while place < len(lines) and (stop_after is None or records.next_number <= stop_after):
            line, used = lines[place], 1
            if line.text is None:
                records.malformed.append(
                    Malformed(records.next_number, "undecodable", line.problem, line.shown)
                )
            elif not line.text.strip(_BLANK):
                records.blank += 1
            else:
                cells, used, text = self._record(lines, place, at_end=at_end)
                if used == 0:
                    return records
                self._note(records, cells, text)
            records.next_number += 1
            records.consumed += sum(item.length for item in lines[place : place + used])
            place += used
        return records

    def _note(self, records: Records, cells: list[str] | None, text: str) -> None:
        number = records.next_number
        if cells is None:
            records.malformed.append(Malformed(number, "column_count", "quotes do not match", text))
            return
        if self.width:
            if not any(cell.strip(SPACE) for cell in cells):
                records.blank += 1
                return
            if len(cells) > self.width and not any(cell.strip(SPACE) for cell in cells[self.width :]):
                cells = cells[: self.width]
            if self.named_width <= len(cells) < self.width:
                cells = cells + [""] * (self.width - len(cells))
            if len(cells) != self.width:
                found = f"{len(cells)} cells instead of {self.width}"
                records.malformed.append(Malformed(number, "column_count", found, text))
                return
        records.numbers.append(number)
        records.cells.append(cells)

    def _record(self, lines: list[Line], place: int, *, at_end: bool) -> tuple[list[str] | None, int, str]:
        """(cells, or None if the quotes do not match; lines used; text). No lines used: more are needed."""
        first = lines[place].text or ""
        if '"' not in first:
            return first.rstrip("\r\n").split(self.separator), 1, first
        text, count = first, 1
        while True:
            cells, complaint = parse_record(text, self.separator)
            if cells is not None:
                others = lines[place + 1 : place + count]
                if self.width and len(cells) != self.width and any(self._complete(line) for line in others):
                    return None, 1, first
                return cells, count, text
            if not complaint.startswith(_UNCLOSED):
                return None, 1, first
            while True:
                if place + count >= len(lines):
                    return (None, 1, first) if at_end else (None, 0, "")
                following = lines[place + count].text
                if following is None or count >= _JOIN_LINES or len(text) > _JOIN_CHARACTERS:
                    return None, 1, first
                text, count = text + following, count + 1
                if '"' in following:
                    break

    def _complete(self, line: Line) -> bool:
        """Whether a line is a full record by itself."""
        if line.text is None or not line.text.strip(_BLANK):
            return False
        return len(parse_record(line.text, self.separator)[0] or []) == self.width


def parse_record(text: str, separator: str) -> tuple[list[str] | None, str]:
    """Cells of one complete record, or the csv module's complaint."""
    try:
        rows = list(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        return None, str(error)
    return (rows[0], "") if len(rows) == 1 else (None, "several records")


def quotes_are_regular(piece: bytes | memoryview, separator: str) -> bool:
    """Whether every quote opens or closes a whole cell or is doubled inside one.

    Then toggling at every quote and the grammar of RFC 4180 agree, and so do all parsers.
    """
    data = np.frombuffer(piece, dtype=np.uint8)
    places = np.flatnonzero(data == ord('"'))
    if len(places) % 2:
        return False
    opens, closes = places[::2], places[1::2]
    boundary = np.zeros(256, dtype=bool)
    boundary[[ord(separator), 10, 13]] = True
    before = boundary[data[np.maximum(opens - 1, 0)]] | (opens == 0)
    before[1:] |= opens[1:] == closes[:-1] + 1
    after = boundary[data[np.minimum(closes + 1, len(data) - 1)]] | (closes == len(data) - 1)
    after[:-1] |= opens[1:] == closes[:-1] + 1
    return bool(before.all() and after.all())
