"""Reads CSV: any common separator, UTF-8, GB18030 or UTF-16, title rows above the header.

A piece of the file goes through Arrow if nothing in it is odd; otherwise the same piece goes through Python's csv
module line by line. Both give the same rows (property-tested), so speed never decides what is accepted.
Which column a header means is `headers`' business, what a cell means `cells`'.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.cells import SPACE
from credit_pipeline.feeds.codes import is_uscc
from credit_pipeline.feeds.decoding import UTF16_BOMS, Line, guess_codec, text_lines, utf16_lines
from credit_pipeline.feeds.headers import SEARCHED_ROWS, HeaderMap, find_layout, match_count, match_headers
from credit_pipeline.feeds.reading import BATCH_ROWS, BadRows, RefusedFile, Rows, Table, arrange, bad_rows

CHUNK_BYTES = 64 << 20
"""Piece of the file handled at once: about 100,000 rows of penalties."""
_JOIN_LINES, _JOIN_CHARACTERS = 1000, 1 << 20
"""A quoted cell that runs on longer is taken for an unclosed quote."""
_SEPARATORS = ",\t;|"
_BLANK = SPACE + "\x1a"
"""A line of these holds nothing; 0x1A is the end mark of old exports."""
_UNCLOSED = "unexpected end of data"


@dataclass
class _Records:
    """What lines hold: rows of cells and rows that cannot be split."""

    numbers: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    malformed: list[tuple[int, str, str | None, str]] = field(default_factory=list)
    blank: int = 0
    consumed: int = 0
    """Bytes of complete records."""
    next_number: int = 1


def read_csv(
    stream: BinaryIO, feed: Feed, table: Table, *, chunk_bytes: int = CHUNK_BYTES, fast: bool = True
) -> None:
    """Find the header and set the table's headers and parts.

    Args:
        stream: at its beginning; read once, forwards.
        fast: try Arrow first; off only in tests.

    Raises:
        RefusedFile: nothing in it, or not text.
    """
    reader = _CsvReader(stream, feed, table, chunk_bytes, fast)
    reader.start()
    table.parts = reader.parts()


class _CsvReader:
    def __init__(self, stream: BinaryIO, feed: Feed, table: Table, chunk_bytes: int, fast: bool) -> None:
        self.stream, self.feed, self.table, self.fast = stream, feed, table, fast
        self.chunk_bytes = chunk_bytes
        self.codec: str | None = None
        self.offset = 0
        self.buffer = b""
        self.at_end = False
        self.number = 1
        self.separator = ","
        self.width = 0
        self.named_width = 0
        self.wide_lines: list[Line] | None = None
        self.above: list[tuple[int, str, str | None, str]] = []

    def start(self) -> None:
        """Read the first piece, settle codec, separator and header."""
        csv.field_size_limit(1 << 30)
        self._fill(self.chunk_bytes)
        if self.buffer[:3] == b"\xef\xbb\xbf":
            self.codec, self.buffer, self.offset = "utf-8", self.buffer[3:], 3
            self.table.encoding = "utf-8-sig"
        elif self.buffer[:2] in UTF16_BOMS:
            self._read_utf16(UTF16_BOMS[self.buffer[:2]])
        if not self.buffer.strip() and not self.wide_lines:
            raise RefusedFile("empty_file", "the file holds no text")
        self._guess(self.buffer)
        head = self._head_lines()
        self.separator = self._find_separator(head)
        records = _Records()
        self._split(head, records, None, at_end=True)
        rows = records.cells[:SEARCHED_ROWS]
        if not rows and records.malformed:
            raise RefusedFile("unreadable_file", f"no line can be read: {records.malformed[0][2]}")
        if not rows:
            raise RefusedFile("empty_file", "the file holds only blank lines")
        layout = find_layout(self.feed, rows)
        headers = match_headers(self.feed, layout.headers, layout.unit_line)
        self.table.headers = headers
        self.width = len(layout.headers)
        self.named_width = max(
            (place + 1 for place, name in enumerate(layout.headers) if name.strip()), default=1
        )
        self._skip(head, records.numbers[layout.header_row])
        self.table.layout_rows += layout.header_row

    def _fill(self, size: int) -> None:
        data = self.stream.read(size)
        self.at_end = len(data) < size
        self.buffer += data

    def _read_utf16(self, codec: str) -> None:
        """UTF-16 is turned into UTF-8 as a whole; with bad lines it stays lines and takes the thorough path."""
        data = self.buffer[2:] + self.stream.read()
        self.at_end, self.offset = True, 0
        self.table.encoding = codec
        lines = utf16_lines(data, codec)
        if all(line.text is not None for line in lines):
            self.codec = "utf-8"
            self.buffer = "".join(line.text or "" for line in lines).encode("utf-8")
        else:
            self.codec, self.buffer, self.wide_lines = codec, b"", lines

    def _guess(self, data: bytes) -> None:
        if self.codec is None and (codec := guess_codec(data)) is not None:
            self.codec = codec
        if self.table.encoding is None and self.codec is not None:
            self.table.encoding = self.codec

    def _head_lines(self) -> list[Line]:
        """The first lines; enough for titles, header and the records searched for it."""
        if self.wide_lines is not None:
            return self.wide_lines[: SEARCHED_ROWS * 4]
        end = 0
        for _ in range(SEARCHED_ROWS * 4):
            match = re.compile(rb"\r\n|\n|\r").search(self.buffer, end)
            if match is None:
                end = len(self.buffer)
                break
            end = match.end()
        return text_lines(self.buffer[:end], self.codec or "utf-8", self.offset)

    def _find_separator(self, head: list[Line]) -> str:
        """The separator under which some row names the most columns of the feed; comma when none does."""

        def score(separator: str) -> tuple[int, int]:
            rows = [line.text.replace('"', "").split(separator) for line in head[:SEARCHED_ROWS] if line.text]
            return max((match_count(self.feed, row) for row in rows), default=0), max(
                map(len, rows), default=0
            )

        scores = {separator: score(separator) for separator in _SEPARATORS}
        if max(count for count, _ in scores.values()) > 0:
            return max(
                _SEPARATORS, key=lambda separator: (scores[separator][0], -_SEPARATORS.index(separator))
            )
        return max(_SEPARATORS, key=lambda separator: (scores[separator][1], -_SEPARATORS.index(separator)))

    def _skip(self, head: list[Line], header_number: int) -> None:
        """Drop everything up to and with the header record."""
        records = _Records()
        self._split(head, records, None, at_end=True, stop_after=header_number)
        self.number = records.next_number
        self.table.layout_rows += records.blank
        self.above = records.malformed
        if self.wide_lines is not None:
            length = 0
            while length < records.consumed:
                length += self.wide_lines.pop(0).length
        else:
            self.buffer = self.buffer[records.consumed :]
        self.offset += records.consumed

    def parts(self) -> Iterator[Rows | BadRows]:
        """The data rows, piece by piece."""
        headers = self.table.headers
        if headers is None:
            return
        if self.above:
            yield bad_rows([(*row[:3], self._shown(row[3], headers)) for row in self.above])
        if self.wide_lines is not None:
            records = _Records(next_number=self.number)
            self._split(self.wide_lines, records, headers, at_end=True)
            yield from self._records(records, headers)
            return
        while self.buffer or not self.at_end:
            if not self.at_end and len(self.buffer) < self.chunk_bytes:
                self._fill(self.chunk_bytes)
            piece = self._piece()
            self._guess(piece)
            frame = self._arrow(piece) if self.fast else None
            if frame is not None:
                numbers = pl.int_range(self.number, self.number + frame.height, dtype=pl.Int64, eager=True)
                self.number += frame.height
                consumed = len(piece)
                yield from self._batches(frame.with_columns(numbers.alias("source_row")), headers)
            else:
                whole = self.at_end and len(piece) == len(self.buffer)
                records = _Records(next_number=self.number)
                self._split(
                    text_lines(piece, self.codec or "utf-8", self.offset), records, headers, at_end=whole
                )
                self.number, consumed = records.next_number, records.consumed
                yield from self._records(records, headers)
                if consumed == 0 and not whole:
                    self._fill(self.chunk_bytes)
            self.offset += consumed
            self.buffer = self.buffer[consumed:]

    def _piece(self) -> bytes:
        """The buffer up to a line end outside quotes, if the quotes are regular."""
        if self.at_end:
            return self.buffer
        end = self.buffer.rfind(b"\n")
        if end < 0:
            end = self.buffer.rfind(b"\r", 0, len(self.buffer) - 1)
        last = end
        for _ in range(200):
            if end < 0 or self.buffer.count(b'"', 0, end) % 2 == 0:
                break
            end = self.buffer.rfind(b"\n", 0, end)
        return self.buffer[: (end if end >= 0 else last) + 1]

    def _arrow(self, piece: bytes) -> pl.DataFrame | None:
        """The piece through Arrow, or None if anything in it is odd."""
        if self.codec == "gb18030":
            try:
                piece = piece.decode("gb18030").encode("utf-8")
            except UnicodeDecodeError:
                return None
        piece = piece.rstrip(b"\r\n") if self.at_end else piece
        quoted = b'"' in piece
        if not piece or (quoted and not quotes_are_regular(piece, self.separator)):
            return None
        headers = self.table.headers or HeaderMap()
        names = [str(place) for place in range(self.width)]
        wanted = sorted(
            {source.position for sources in headers.columns.values() for source in sources}
            | {source.position for source in headers.unknown}
        )
        try:
            parsed = pa_csv.read_csv(
                pa.BufferReader(piece),
                read_options=pa_csv.ReadOptions(column_names=names, block_size=4 << 20),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.separator, newlines_in_values=quoted, ignore_empty_lines=False
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names},
                    include_columns=[str(place) for place in wanted],
                    strings_can_be_null=False,
                    check_utf8=True,
                ),
            )
        except pa.ArrowInvalid:
            return None
        frame = pl.from_arrow(parsed)
        if not isinstance(frame, pl.DataFrame) or not frame.width:
            return None
        # Whether such a row is blank depends on columns that were not read here.
        start = pl.all_horizontal(pl.col(name).str.strip_chars(SPACE) == "" for name in frame.columns[:2])
        blank = pl.all_horizontal(pl.col(name).str.strip_chars(SPACE) == "" for name in frame.columns)
        if frame.select(start.any()).item() and frame.select(blank.any()).item():
            return None
        return frame

    def _split(
        self,
        lines: list[Line],
        records: _Records,
        headers: HeaderMap | None,
        *,
        at_end: bool,
        stop_after: int | None = None,
    ) -> None:
        """Lines into records; without headers every record of any width counts as a row."""
        place = 0
        while place < len(lines) and (stop_after is None or records.next_number <= stop_after):
            line = lines[place]
            number = records.next_number
            if line.text is None:
                records.malformed.append(
                    (number, "undecodable", line.problem, self._shown(line.shown, headers))
                )
                used = 1
            elif not line.text.strip(_BLANK):
                records.blank += 1
                used = 1
            else:
                width = self.width if headers is not None else 0
                cells, used, text = self._record(lines, place, width, at_end=at_end)
                if used == 0:
                    return
                self._note(records, headers, cells, text)
            records.next_number += 1
            records.consumed += sum(item.length for item in lines[place : place + used])
            place += used

    def _note(self, records: _Records, headers: HeaderMap | None, cells: list[str] | None, text: str) -> None:
        number = records.next_number
        if cells is not None and headers is not None:
            if not any(cell.strip(SPACE) for cell in cells):
                records.blank += 1
                return
            if len(cells) > self.width and not any(cell.strip(SPACE) for cell in cells[self.width :]):
                cells = cells[: self.width]
            if self.named_width <= len(cells) < self.width:
                cells = cells + [""] * (self.width - len(cells))
            if len(cells) != self.width:
                found = f"{len(cells)} cells instead of {self.width}"
                records.malformed.append((number, "column_count", found, self._shown(text, headers)))
                return
        if cells is None:
            records.malformed.append(
                (number, "column_count", "quotes do not match", self._shown(text, headers))
            )
            return
        records.numbers.append(number)
        records.cells.append(cells)

    def _record(
        self, lines: list[Line], place: int, width: int, *, at_end: bool
    ) -> tuple[list[str] | None, int, str]:
        """(cells or None if the quotes do not match, lines used, text); no lines used: the rest is yet to be read."""
        first = lines[place].text or ""
        if '"' not in first:
            return first.rstrip("\r\n").split(self.separator), 1, first
        text, count = first, 1
        while True:
            cells, problem = _parse(text, self.separator)
            if cells is not None:
                wrong = width and len(cells) != width
                if (
                    count > 1
                    and wrong
                    and any(self._complete(line) for line in lines[place + 1 : place + count])
                ):
                    return None, 1, first
                return cells, count, text
            if not problem.startswith(_UNCLOSED):
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
        if line.text is None or not line.text.strip():
            return False
        return len(_parse(line.text, self.separator)[0] or []) == self.width

    def _shown(self, text: str, headers: HeaderMap | None) -> str:
        """Text of a malformed row; beside personal columns only cells that cannot be personal.

        Which cell stands under which header is unknown in such a row, so a name could stand anywhere.
        """
        text = text.rstrip("\r\n")
        if headers is None or not headers.has_dropped:
            return text
        cells = pl.Series([cell.strip(' "') for cell in text.split(self.separator)], dtype=pl.String)
        safe = is_uscc(cells) | cells.str.contains(
            r"^[0-9]{0,6}(?:\.[0-9]{1,6})?$|^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
        )
        return self.separator.join(cell if keep else "***" for cell, keep in zip(cells, safe, strict=True))

    def _records(self, records: _Records, headers: HeaderMap) -> Iterator[Rows | BadRows]:
        self.table.layout_rows += records.blank
        if records.malformed:
            yield bad_rows(records.malformed)
        if records.cells:
            names = [str(place) for place in range(self.width)]
            frame = pl.DataFrame(records.cells, schema=dict.fromkeys(names, pl.String), orient="row")
            yield from self._batches(
                frame.with_columns(pl.Series("source_row", records.numbers, dtype=pl.Int64)), headers
            )

    def _batches(self, frame: pl.DataFrame, headers: HeaderMap) -> Iterator[Rows]:
        for batch in frame.iter_slices(BATCH_ROWS):
            yield Rows(arrange(batch, headers, self.table.conflicts), headers)


def _parse(text: str, separator: str) -> tuple[list[str] | None, str]:
    """Cells of one complete record, or the csv module's complaint."""
    try:
        rows = list(csv.reader([text], delimiter=separator, strict=True))
    except csv.Error as error:
        return None, str(error)
    return (rows[0], "") if len(rows) == 1 else (None, "several records")


def quotes_are_regular(piece: bytes, separator: str) -> bool:
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
