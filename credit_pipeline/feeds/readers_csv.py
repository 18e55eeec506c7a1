"""Reads CSV: any common separator, UTF-8, GB18030 or UTF-16, title rows above the header.

A piece of the file goes through Arrow if nothing in it is odd; otherwise the same piece goes through
`csv_records` line by line. Both give the same rows (property-tested), so speed never decides what is
accepted. Which column a header means is `headers`' business, what a cell means the readers' of cells.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.cells import SPACE
from credit_pipeline.feeds.codes import is_uscc
from credit_pipeline.feeds.csv_records import Malformed, Records, Splitter, quotes_are_regular
from credit_pipeline.feeds.decoding import UTF16_BOMS, Line, guess_codec, text_lines, utf16_lines
from credit_pipeline.feeds.headers import SEARCHED_ROWS, find_layout, match_count, match_headers
from credit_pipeline.feeds.reading import BATCH_ROWS, BadRows, RefusedFile, Rows, Table, arrange, bad_rows

CHUNK_BYTES = 64 << 20
"""Piece of the file handled at once: about 100,000 rows of penalties."""
_SEPARATORS = ",\t;|"
_HARMLESS_CELL = r"^[0-9]{0,6}(?:\.[0-9]{1,6})?$|^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
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


class _CsvReader:
    def __init__(self, stream: BinaryIO, feed: Feed, table: Table, chunk_bytes: int, fast: bool) -> None:
        self.stream, self.feed, self.table, self.fast = stream, feed, table, fast
        self.chunk_bytes = chunk_bytes
        self.codec: str | None = None
        self.offset = 0
        """Where the buffer begins in the file."""
        self.buffer = b""
        self.at_end = False
        self.wide_lines: list[Line] | None = None
        """Lines of a UTF-16 file in which some cannot be decoded."""
        csv.field_size_limit(1 << 30)
        self._open()
        self._find_header()

    def _fill(self) -> None:
        data = self.stream.read(self.chunk_bytes)
        self.at_end = len(data) < self.chunk_bytes
        self.buffer += data

    def _open(self) -> None:
        """Read the first piece and look for a byte-order mark."""
        self._fill()
        if self.buffer[:3] == b"\xef\xbb\xbf":
            self.codec, self.buffer, self.offset = "utf-8", self.buffer[3:], 3
            self.table.encoding = "utf-8-sig"
        elif self.buffer[:2] in UTF16_BOMS:
            self._read_utf16(UTF16_BOMS[self.buffer[:2]])
        if not self.buffer.strip() and not self.wide_lines:
            raise RefusedFile("empty_file", "the file holds no text")
        self._guess(self.buffer)

    def _read_utf16(self, codec: str) -> None:
        """UTF-16 is turned into UTF-8 as a whole; with bad lines it stays lines and takes the thorough
        path."""
        data = self.buffer[2:] + self.stream.read()
        self.at_end = True
        self.table.encoding = codec
        lines = utf16_lines(data, codec)
        if all(line.text is not None for line in lines):
            self.codec = "utf-8"
            self.buffer = "".join(line.text or "" for line in lines).encode("utf-8")
        else:
            self.codec, self.buffer, self.wide_lines = codec, b"", lines

    def _guess(self, data: bytes) -> None:
        """Settle the codec with the first piece that is not ASCII."""
        self.codec = self.codec or guess_codec(data)
        self.table.encoding = self.table.encoding or self.codec

    def _head_lines(self) -> list[Line]:
        """The first lines; enough for titles, header and the records searched for it."""
        if self.wide_lines is not None:
            return self.wide_lines[: SEARCHED_ROWS * 4]
        end = 0
        for _ in range(SEARCHED_ROWS * 4):
            match = _LINE_END.search(self.buffer, end)
            if match is None:
                end = len(self.buffer)
                break
            end = match.end()
        return text_lines(self.buffer[:end], self.codec or "utf-8", self.offset)

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
        self.above = skipped.malformed
        self.table.layout_rows += layout.header_row + skipped.blank
        if self.wide_lines is not None:
            passed = 0
            while passed < skipped.consumed:
                passed += self.wide_lines.pop(0).length
        self.buffer = self.buffer[skipped.consumed :]
        self.offset += skipped.consumed

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
        while self.buffer or not self.at_end:
            if not self.at_end and len(self.buffer) < self.chunk_bytes:
                self._fill()
            piece = self._piece()
            self._guess(piece)
            frame = self._arrow(piece) if self.fast else None
            if frame is not None:
                numbers = pl.int_range(self.number, self.number + frame.height, dtype=pl.Int64, eager=True)
                self.number += frame.height
                consumed = len(piece)
                yield from self._batches(frame.with_columns(numbers.alias("source_row")))
            else:
                whole = self.at_end and len(piece) == len(self.buffer)
                lines = text_lines(piece, self.codec or "utf-8", self.offset)
                records = self.splitter.split(lines, self.number, at_end=whole)
                self.number, consumed = records.next_number, records.consumed
                yield from self._records(records)
                if consumed == 0 and not whole:
                    self._fill()
            self.offset += consumed
            self.buffer = self.buffer[consumed:]

    def _piece(self) -> bytes:
        """The buffer up to a line end outside quotes, if the quotes are regular."""
        if self.at_end:
            return self.buffer
        end = last = self.buffer.rfind(b"\n")
        if end < 0:
            end = last = self.buffer.rfind(b"\r", 0, len(self.buffer) - 1)
        if b'"' in self.buffer:
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
                pa.BufferReader(piece),
                read_options=pa_csv.ReadOptions(column_names=names, block_size=4 << 20),
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
        harmless = is_uscc(cells) | cells.str.contains(_HARMLESS_CELL)
        return separator.join(cell if keep else "***" for cell, keep in zip(cells, harmless, strict=True))
