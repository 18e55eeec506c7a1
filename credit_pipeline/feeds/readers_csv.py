"""Reads CSV: any common separator, UTF-8, GB18030 or UTF-16, title rows above the header.

A piece of the file goes through Arrow if nothing in it is odd; otherwise the same piece goes through
`csv_records` line by line. Both give the same rows (property-tested), so speed never decides what is
accepted. Which column a header means is `headers`' business, what a cell means the readers' of cells.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from os import SEEK_END
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.cells import SPACE
from credit_pipeline.feeds.codes import is_uscc
from credit_pipeline.feeds.csv_records import Malformed, Records, Splitter, quotes_are_regular
from credit_pipeline.feeds.decoding import UTF16_BOMS, Line, guess_codec, text_lines, utf16_lines
from credit_pipeline.feeds.headers import SEARCHED_ROWS, match_count, match_headers
from credit_pipeline.feeds.layouts import find_layout, stray_rows
from credit_pipeline.feeds.reading import (
    BATCH_ROWS,
    HARMLESS_CELL,
    BadRows,
    RefusedFile,
    Rows,
    Table,
    arrange,
    bad_rows,
)

CHUNK_BYTES = 32 << 20
"""Piece of the file handled at once: about 100,000 rows."""
_SEPARATORS = ",\t;|"
_READ_BYTES = 8 << 20
_NOT_BLANK = re.compile(rb"[^\t\n\x0b\x0c\r ]")
_LINE_END = re.compile(rb"\r\n|\n|\r")


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
    table.parts = _CsvReader(stream, feed, table, chunk_bytes, fast).parts()


class _Window:
    """The part of a file that is in memory; one buffer is used again and again, as fresh memory costs more than
    reading."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        whole = stream.seek(0, SEEK_END)
        stream.seek(0)
        # A small file needs no large buffer: zeroing 64 MB takes longer than reading it.
        self.stream, self.size, self.unread = stream, min(size, max(whole, 1)), whole
        self.data = bytearray(self.size)
        self.begin = self.end = 0
        """The bytes not yet taken."""
        self.offset = 0
        """Where `begin` is in the file."""
        self.at_end = False

    def __len__(self) -> int:
        return self.end - self.begin

    def fill(self) -> None:
        """Read as much as the size, behind what is not yet taken."""
        kept = len(self)
        needed = kept + self.size
        target = self.data if needed <= len(self.data) else bytearray(max(needed, self.size * 3 // 2))
        target[:kept] = self.data[self.begin : self.end]
        self.data, self.begin, self.end = target, 0, kept
        while self.end < kept + self.size:
            end = min(kept + self.size, self.end + _READ_BYTES)
            with memoryview(self.data) as view, view[self.end : end] as room:
                read = self.stream.readinto(room)  # type: ignore[attr-defined]
            self.end += read
            self.unread -= read
            if not read or self.unread <= 0:
                self.at_end = True
                return

    def take(self, count: int) -> None:
        """Pass over bytes."""
        self.begin += count
        self.offset += count

    def is_blank(self) -> bool:
        """Whether nothing but white space is left."""
        return _NOT_BLANK.search(self.data, self.begin, self.end) is None

    def line_ends(self, count: int) -> int:
        """How many of the next bytes are the line ends behind the last line."""
        place = self.begin + count
        while place > self.begin and self.data[place - 1] in b"\r\n":
            place -= 1
        return self.begin + count - place

    def content(self, count: int | None = None) -> bytes:
        """The next bytes, all by default."""
        return bytes(memoryview(self.data)[self.begin : self.end if count is None else self.begin + count])

    def holds(self, wanted: bytes, length: int) -> bool:
        """Whether the next bytes hold something that no codec here uses inside characters."""
        return self.data.find(wanted, self.begin, self.begin + length) >= 0

    def count(self, found: bytes, length: int) -> int:
        """How often they do."""
        return self.data.count(found, self.begin, self.begin + length)

    def replace(self, data: bytes) -> None:
        """Put other content in place of all that is left of the file."""
        self.data, self.begin, self.end, self.at_end = bytearray(data), 0, len(data), True

    def piece_length(self) -> int:
        """Bytes up to a line end outside quotes, if the quotes are regular; all at the end of the file."""
        if self.at_end:
            return len(self)
        end = last = self.data.rfind(b"\n", self.begin, self.end)
        if end < 0:
            # A carriage return at the very end may be the first half of a line end.
            end = last = self.data.rfind(b"\r", self.begin, self.end - 1)
        if self.data.find(b'"', self.begin, self.end) >= 0:
            for _ in range(200):
                if end < 0 or self.data.count(b'"', self.begin, end) % 2 == 0:
                    break
                end = self.data.rfind(b"\n", self.begin, end)
        return (end if end >= 0 else last) + 1 - self.begin if last >= 0 else 0


class _CsvReader:
    def __init__(self, stream: BinaryIO, feed: Feed, table: Table, chunk_bytes: int, fast: bool) -> None:
        self.feed, self.table, self.fast = feed, table, fast
        self.window = _Window(stream, chunk_bytes)
        self.codec: str | None = None
        self.wide_lines: list[Line] | None = None
        """Lines of a UTF-16 file in which some cannot be decoded."""
        csv.field_size_limit(1 << 30)
        self._open()
        self._find_header()

    def _open(self) -> None:
        """Read the first piece and look for a byte-order mark."""
        window = self.window
        window.fill()
        while window.piece_length() == 0 and not window.at_end:
            window.fill()
        head = window.content(3)
        if head == b"\xef\xbb\xbf":
            self.codec = "utf-8"
            window.take(3)
            self.table.encoding = "utf-8-sig"
        elif head[:2] in UTF16_BOMS:
            window.take(2)
            self._read_utf16(UTF16_BOMS[head[:2]])
        if not self.wide_lines and window.is_blank():
            raise RefusedFile("empty_file", "the file holds no text")
        self._guess(len(window))

    def _read_utf16(self, codec: str) -> None:
        """UTF-16 is turned into UTF-8 as a whole; with bad lines it stays lines for the thorough path."""
        lines = utf16_lines(self.window.content() + self.window.stream.read(), codec)
        self.table.encoding = codec
        if all(line.text is not None for line in lines):
            self.codec = "utf-8"
            self.window.replace("".join(line.text or "" for line in lines).encode("utf-8"))
        else:
            self.codec, self.wide_lines = codec, lines
            self.window.replace(b"")

    def _guess(self, count: int) -> None:
        """Settle the codec with the first piece that is not ASCII."""
        if self.codec is None:
            with (
                memoryview(self.window.data) as view,
                view[self.window.begin : self.window.begin + count] as piece,
            ):
                self.codec = guess_codec(piece)
        self.table.encoding = self.table.encoding or self.codec

    def _head_lines(self) -> list[Line]:
        """The first lines; enough for titles, header and the records searched for it."""
        if self.wide_lines is not None:
            return self.wide_lines[: SEARCHED_ROWS * 4]
        end = self.window.begin
        for _ in range(SEARCHED_ROWS * 4):
            match = _LINE_END.search(self.window.data, end, self.window.end)
            if match is None:
                end = self.window.end
                break
            end = match.end()
        return self._lines(end - self.window.begin)

    def _lines(self, count: int) -> list[Line]:
        return text_lines(self.window.content(count), self.codec or "utf-8", self.window.offset)

    def _find_header(self) -> None:
        """Settle separator and header, and skip them."""
        head = self._head_lines()
        separator = self._find_separator(head)
        splitter = Splitter(separator)
        records = splitter.split(head, at_end=True)
        rows = records.cells[:SEARCHED_ROWS]
        if not rows:
            if records.malformed:
                raise RefusedFile("unreadable_file", f"no line can be read: {records.malformed[0].found}")
            raise RefusedFile("empty_file", "the file holds only blank lines")
        layout = find_layout(self.feed, rows)
        self.headers = match_headers(self.feed, layout.headers, layout.unit_line)
        self.table.headers = self.headers
        width = len(layout.headers)
        named = max((place + 1 for place, name in enumerate(layout.headers) if name.strip()), default=1)
        skipped = splitter.split(head, at_end=True, stop_after=records.numbers[layout.header_row])
        self.splitter = Splitter(separator, width, named)
        self.number = skipped.next_number
        stray = stray_rows(self.feed, rows, layout, self.headers)
        lost = [
            Malformed(records.numbers[index], "above_header", "", separator.join(rows[index]))
            for index in stray
        ]
        self.above = sorted([*skipped.malformed, *lost], key=lambda row: row.number)
        self.table.layout_rows += layout.header_row + skipped.blank - len(stray)
        if self.wide_lines is not None:
            passed = 0
            while passed < skipped.consumed:
                passed += self.wide_lines.pop(0).length
        else:
            self.window.take(skipped.consumed)

    def _find_separator(self, head: list[Line]) -> str:
        """The separator under which some row names the most columns of the feed, else makes the most
        cells."""

        def score(separator: str) -> tuple[int, int, int]:
            rows = [line.text.replace('"', "").split(separator) for line in head[:SEARCHED_ROWS] if line.text]
            named = max((match_count(self.feed, row) for row in rows), default=0)
            return named, max(map(len, rows), default=0), -_SEPARATORS.index(separator)

        return max(_SEPARATORS, key=score)

    def parts(self) -> Iterator[Rows | BadRows]:
        """The data rows, piece by piece."""
        yield from self._bad(self.above)
        if self.wide_lines is not None:
            yield from self._records(self.splitter.split(self.wide_lines, self.number, at_end=True))
            return
        window = self.window
        while len(window) or not window.at_end:
            if not window.at_end and len(window) * 2 < window.size:
                window.fill()
            count = window.piece_length()
            if self.codec is None:
                self._guess(count)
            frame = self._arrow(count) if self.fast else None
            if frame is not None:
                numbers = pl.int_range(self.number, self.number + frame.height, dtype=pl.Int64, eager=True)
                self.number += frame.height
                window.take(count)
                yield from self._batches(frame.with_columns(numbers.alias("source_row")))
            else:
                whole = window.at_end and count == len(window)
                records = self.splitter.split(self._lines(count), self.number, at_end=whole)
                self.number = records.next_number
                window.take(records.consumed)
                yield from self._records(records)
                if records.consumed == 0 and not whole:
                    window.fill()

    def _arrow(self, count: int) -> pl.DataFrame | None:
        """The next piece through Arrow, or None if anything in it is odd."""
        window = self.window
        piece: bytes | memoryview
        if self.codec == "gb18030":
            try:
                piece = window.content(count).decode("gb18030").encode("utf-8")
            except UnicodeDecodeError:
                return None
        else:
            piece = memoryview(window.data)[window.begin : window.begin + count]
        # Arrow drops an empty line between \r and \r\n, so only pure \n or \r\n goes there.
        if window.holds(b"\r", count) and window.count(b"\r", count) != window.count(b"\r\n", count):
            return None
        blank = 0
        if window.at_end:
            ends = window.line_ends(count)
            blank = max(bytes(piece[len(piece) - ends :]).count(b"\n") - 1, 0)
            piece = piece[: len(piece) - ends]
        quoted = window.holds(b'"', count)
        if not piece or (quoted and not quotes_are_regular(piece, self.splitter.separator)):
            return None
        names = [str(place) for place in range(self.splitter.width)]
        sources = [
            *self.headers.unknown,
            *(item for items in self.headers.columns.values() for item in items),
        ]
        wanted = sorted({source.position for source in sources})
        try:
            parsed = pa_csv.read_csv(
                pa.py_buffer(piece),
                read_options=pa_csv.ReadOptions(column_names=names, block_size=1 << 20),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.splitter.separator, newlines_in_values=quoted, ignore_empty_lines=False
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
        # Whether a row is blank depends also on columns that were not read here.
        for few in (frame.columns[:2], frame.columns):
            if not frame.select(pl.all_horizontal(pl.col(few).str.strip_chars(SPACE) == "").any()).item():
                self.table.layout_rows += blank
                return frame
        return None

    def _records(self, records: Records) -> Iterator[Rows | BadRows]:
        self.table.layout_rows += records.blank
        yield from self._bad(records.malformed)
        if records.cells:
            names = [str(place) for place in range(self.splitter.width)]
            frame = pl.DataFrame(records.cells, schema=dict.fromkeys(names, pl.String), orient="row")
            yield from self._batches(
                frame.with_columns(pl.Series("source_row", records.numbers, dtype=pl.Int64))
            )

    def _batches(self, frame: pl.DataFrame) -> Iterator[Rows]:
        for batch in frame.iter_slices(BATCH_ROWS):
            yield Rows(arrange(batch, self.headers, self.table.conflicts), self.headers)

    def _bad(self, malformed: list[Malformed]) -> Iterator[BadRows]:
        if malformed:
            yield bad_rows([(row.number, row.rule, row.found, self._shown(row.text)) for row in malformed])

    def _shown(self, text: str) -> str:
        """Text of a malformed row; beside personal columns only cells that cannot be personal.

        Which cell stands under which header is unknown in such a row, so a name could stand anywhere.
        """
        text = text.rstrip("\r\n")
        if not self.headers.has_dropped:
            return text
        separator = self.splitter.separator
        cells = pl.Series([cell.strip(' "') for cell in text.split(separator)], dtype=pl.String)
        harmless = is_uscc(cells) | cells.str.contains(HARMLESS_CELL)
        return separator.join(cell if keep else "***" for cell, keep in zip(cells, harmless, strict=True))
