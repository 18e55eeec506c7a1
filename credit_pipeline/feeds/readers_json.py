"""Reads JSON (an array of objects, also inside an object) and JSON lines, and Parquet: formats with named
cells.

Values come back as the text they were written with: 1.10 stays 1.10. Cells are `cells`' business.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.decoding import UTF16_BOMS, Line, guess_codec, text_lines, utf16_lines
from credit_pipeline.feeds.headers import match_headers
from credit_pipeline.feeds.reading import (
    BATCH_ROWS,
    BadRows,
    FileProblem,
    RefusedFile,
    Rows,
    Table,
    arrange,
    bad_rows,
    one_line,
)

_ROW_KEYS = ("data", "rows", "records", "items", "list", "result", "RECORDS")


_MAX_BLOB = 4096
_SURROGATE = re.compile("[\ud800-\udfff]")
_FRACTION_OR_ZONE = r"(?:\.0+)?(?:[+-][0-9]{4}|Z)?$"
_JSON_ERRORS = (ValueError, RecursionError)
"""What the decoder raises; numbers are never converted, so no digit limit applies."""


class _RepeatedKey(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _RepeatedKey("a key stands twice in one object")
    return result


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=lambda word: None
)


def value_text(value: Any) -> str:
    """A JSON value as text: lists of plain values joined by 、, nested objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(item, str | bool) or item is None for item in value):
        return "、".join(value_text(item) for item in value if item is not None)
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _what(error: Exception) -> str:
    """The decoder's complaint without the text around it."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return getattr(error, "msg", "") or str(error)


def _has_surrogates(value: Any) -> bool:
    """Whether a decoded value holds half a character (an escape such as \\ud800 alone), which no text can hold."""
    return _SURROGATE.search(json.dumps(value, ensure_ascii=False)) is not None


def _lines(stream: BinaryIO, table: Table) -> list[Line]:
    data = stream.read()
    if data[:2] in UTF16_BOMS:
        table.encoding = UTF16_BOMS[data[:2]]
        return utf16_lines(data[2:], table.encoding)
    skipped = 3 if data[:3] == b"\xef\xbb\xbf" else 0
    codec = "utf-8" if skipped else guess_codec(data) or "utf-8"
    table.encoding = "utf-8-sig" if skipped else codec
    return text_lines(data[skipped:], codec, skipped)


def read_json(stream: BinaryIO, feed: Feed, table: Table) -> None:
    """JSON or JSON lines; row numbers are line numbers, or positions in the array from 1.

    Raises:
        RefusedFile: the text is no JSON, or holds no rows.
    """
    lines = _lines(stream, table)
    filled = [line for line in lines if line.text is None or line.text.strip()]
    if not filled:
        raise RefusedFile("empty_file", "the file holds no text")
    if _are_json_lines(filled):
        table.format = "json_lines"
        _set_parts(feed, table, _line_records(lines, table))
    else:
        table.format = "json"
        _set_parts(feed, table, _array_records(lines))


def _are_json_lines(lines: list[Line]) -> bool:
    """Whether the first lines are objects each (one or the other may be broken), not one that holds the rows."""
    if lines[0].text is not None and not lines[0].text.strip().startswith("{"):
        return False
    objects = [_decoded(line.text) for line in lines[:20]]
    if len(lines) == 1:
        return objects[0] is not None and _rows_in(objects[0]) is None
    return sum(item is not None for item in objects) * 2 >= len(objects)


def _decoded(text: str | None) -> dict[str, Any] | None:
    """A line as an object; None if it is none."""
    try:
        value = _DECODER.decode((text or "").strip())
    except _RepeatedKey:
        return {}
    except _JSON_ERRORS:
        return None
    return value if isinstance(value, dict) else None


def _rows_in(value: Any, depth: int = 3) -> list[Any] | None:
    """The array of rows inside an answer such as {"code": 0, "data": {"records": [...]}}."""
    if not isinstance(value, dict) or depth == 0:
        return None
    for key in _ROW_KEYS:
        if isinstance(value.get(key), list):
            return value[key]
        if (inner := _rows_in(value.get(key), depth - 1)) is not None:
            return inner
    return None


def _line_records(lines: list[Line], table: Table) -> Iterator[tuple[int, dict[str, Any] | None, str, str]]:
    for number, line in enumerate(lines, start=1):
        if line.text is None:
            yield number, None, line.problem, line.shown
        elif not line.text.strip():
            table.layout_rows += 1
        else:
            text = line.text.strip()
            try:
                value = _DECODER.decode(text)
            except _JSON_ERRORS as error:
                yield number, None, f"json: {_what(error)}", text
                continue
            yield _record(number, value, text, check="\\u" in text)


def _record(
    number: int, value: Any, text: str | None, *, check: bool
) -> tuple[int, dict[str, Any] | None, str, str]:
    """A decoded value as a record, or why it is none; `text` None: it is written anew when it must be shown."""
    problem = "json: no object" if not isinstance(value, dict) else ""
    if not problem and check and _has_surrogates(value):
        problem = "json: half a character (an unpaired surrogate escape)"
    if not problem:
        return number, value, "", ""
    return number, None, problem, json.dumps(value) if text is None else text


def _array_records(lines: list[Line]) -> Iterator[tuple[int, dict[str, Any] | None, str, str]]:
    bad = next((line for line in lines if line.text is None), None)
    if bad is not None:
        raise RefusedFile("unreadable_file", f"the file cannot be decoded, {bad.problem}")
    text = "".join(line.text or "" for line in lines).strip()
    try:
        value = _DECODER.decode(text)
    except _JSON_ERRORS as error:
        place = (
            f" in line {error.lineno}, column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else ""
        )
        raise RefusedFile(
            "unreadable_file", f"the file is no complete JSON (cut off?): {_what(error)}{place}"
        ) from error
    if isinstance(value, dict):
        found = _rows_in(value)
        value = [value] if found is None else found
    if not isinstance(value, list):
        raise RefusedFile("unreadable_file", "the file holds no array of objects")
    check = "\\u" in text
    return (_record(number, item, None, check=check) for number, item in enumerate(value, start=1))


def _set_parts(
    feed: Feed, table: Table, records: Iterator[tuple[int, dict[str, Any] | None, str, str]]
) -> None:
    """Headers are the keys of the first batch; keys that come later are matched when they come."""
    batches = _batched(records)
    first = next(batches, ([], [], []))
    keys = list(dict.fromkeys(key for _, row in zip(first[0], first[1], strict=True) for key in row))
    table.headers = match_headers(feed, keys)
    if table.headers.rule is not None and first[1]:
        table.problem = FileProblem(table.file, None, table.headers.rule, table.headers.message)

    def parts() -> Iterator[Rows | BadRows]:
        batch = first
        known = keys
        while batch[0] or batch[2]:
            numbers, rows, malformed = batch
            known = list(dict.fromkeys([*known, *(key for row in rows for key in row)]))
            headers = match_headers(feed, known)
            table.headers = headers
            if malformed:
                # Which key a broken line breaks in is unknown, so a name could stand anywhere.
                hidden = any(column.personal == "drop" for column in feed.columns)
                yield bad_rows(
                    [
                        (number, "undecodable", value, "***" if hidden else text)
                        for number, value, text in malformed
                    ]
                )
            if rows:
                cells = {
                    str(place): [value_text(row.get(key)) for row in rows] for place, key in enumerate(known)
                }
                frame = pl.DataFrame(
                    {**cells, "source_row": numbers},
                    schema={**dict.fromkeys(cells, pl.String), "source_row": pl.Int64},
                )
                yield Rows(arrange(frame, headers, table.conflicts), headers)
            batch = next(batches, ([], [], []))

    table.parts = parts()


_JsonBatch = tuple[list[int], list[dict[str, Any]], list[tuple[int, str, str]]]


def _batched(records: Iterator[tuple[int, dict[str, Any] | None, str, str]]) -> Iterator[_JsonBatch]:
    numbers: list[int] = []
    rows: list[dict[str, Any]] = []
    malformed: list[tuple[int, str, str]] = []
    for number, row, problem, text in records:
        if row is None:
            malformed.append((number, problem, text))
        else:
            numbers.append(number)
            rows.append(row)
        if len(rows) + len(malformed) >= BATCH_ROWS:
            yield numbers, rows, malformed
            numbers, rows, malformed = [], [], []
    if rows or malformed:
        yield numbers, rows, malformed


def _parquet_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return _bytes_text(value)
    if isinstance(value, list):
        return "、".join(_parquet_text(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _bytes_text(value: bytes) -> str:
    """Bytes as text if they are UTF-8, else in hexadecimal; of pictures and the like only the digest."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        if len(value) <= _MAX_BLOB:
            return f"0x{value.hex()}"
        return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"


def _column_text(column: pa.ChunkedArray | pa.Array) -> pl.Series:
    """A Parquet column as text; strings as they are, everything else value by value.

    Days and times go through Arrow's own text: Python's types are narrower, and a day outside them would
    end the run.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_null(kind):
        return pl.repeat("", len(column), dtype=pl.String, eager=True)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pl.Series(
            column.cast(pa.large_string()).to_pylist() if column.null_count == len(column) else column,
            dtype=pl.String,
        )
    if pa.types.is_integer(kind):
        return pl.Series(column.cast(pa.string()), dtype=pl.String)
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        text = pl.Series(column.cast(pa.string()).to_pylist(), dtype=pl.String)
        return text.str.replace(_FRACTION_OR_ZONE, "").str.replace(r" 00:00(?::00)?$", "")
    return pl.Series([_parquet_text(value) for value in _python_values(column)], dtype=pl.String)


def _python_values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """Values of a nested column; one that Python cannot hold (a day outside its calendar) as Arrow shows it."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, LookupError):
        return [" ".join(column.slice(place, 1).to_string().split()) for place in range(len(column))]


def read_parquet(stream: BinaryIO, feed: Feed, table: Table) -> None:
    """Parquet; row numbers are positions from 1.

    Raises:
        RefusedFile: the file is damaged (also while its parts are taken).
    """
    try:
        source = pq.ParquetFile(stream, page_checksum_verification=True)
        names = source.schema_arrow.names
    except (pa.ArrowException, OSError, ValueError) as error:
        raise RefusedFile(
            "unreadable_file", f"the Parquet file cannot be opened (cut off?): {one_line(error)}"
        ) from error
    headers = match_headers(feed, names)
    table.headers = headers
    if headers.rule is not None:
        table.problem = FileProblem(table.file, None, headers.rule, headers.message)

    def parts() -> Iterator[Rows | BadRows]:
        number = 1
        try:
            for batch in source.iter_batches(batch_size=BATCH_ROWS):
                batch.validate(full=True)  # a text that is no UTF-8 would be undefined behaviour further on
                cells = {str(place): _column_text(batch.column(place)) for place in range(batch.num_columns)}
                numbers = pl.int_range(number, number + batch.num_rows, dtype=pl.Int64, eager=True)
                frame = pl.DataFrame(cells).with_columns(numbers.alias("source_row"))
                number += batch.num_rows
                yield Rows(arrange(frame, headers, table.conflicts), headers)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RefusedFile("unreadable_file", f"the Parquet file is damaged: {one_line(error)}") from error

    table.parts = parts()
