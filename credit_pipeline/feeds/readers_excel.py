"""Reads workbooks (XLSX, XLS, XLSB, ODS) with the layouts authorities send: titles, merged headers,
footers, notes.

Cells come back as the text they show, as far as a file without its display formats tells. Which row is the
header decides `headers`; what a cell means decides `cells`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from itertools import islice
from typing import Any, BinaryIO

import polars as pl

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.headers import (
    SEARCHED_ROWS,
    HeaderMap,
    find_layout,
    is_footer,
    label,
    match_count,
    match_headers,
)
from credit_pipeline.feeds.reading import BadRows, FileProblem, RefusedFile, Rows, Table, arrange

_NOTE_SHEET = re.compile(r"说明|须知|字典|代码表|示例|样例|模板|readme|notes?$", re.IGNORECASE)
_BATCH_ROWS = 50_000
"""Rows turned into Python objects at once: 50,000 of 30 cells are about 150 MB."""


def cell_text(value: Any) -> str:
    """A cell as it shows in a spreadsheet of general format.

    Numbers have at most 15 significant digits; from 10^15 on they lose digits and show an exponent, so that
    a code typed as a number is recognised as damaged. Midnight is a date.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int | float):
        if abs(value) >= 1e15:
            return f"{value:.5E}"
        shown = f"{value:.15g}"
        return f"{value:.20f}".rstrip("0").rstrip(".") if "e" in shown else shown
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ", "seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return "" if value is None else str(value)


def read_workbook(stream: BinaryIO, feed: Feed, file: str) -> Iterator[Table]:
    """The tables of a workbook, one per visible sheet with content; sheets of notes are skipped.

    Raises:
        RefusedFile: the workbook cannot be opened, or no sheet holds anything.
    """
    import python_calamine as calamine

    try:
        workbook = calamine.CalamineWorkbook.from_filelike(stream)
        visible = [
            sheet.name
            for sheet in workbook.sheets_metadata
            if sheet.visible == calamine.SheetVisibleEnum.Visible
            and sheet.typ == calamine.SheetTypeEnum.WorkSheet
        ]
        sheets = [(name, workbook.get_sheet_by_name(name)) for name in visible]
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise RefusedFile("unreadable_file", f"the workbook cannot be opened: {error}") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # calamine's Rust code gave up on a damaged file
            raise RefusedFile("unreadable_file", "the workbook is damaged") from error
        raise
    found = [(name, sheet, _head(sheet)) for name, sheet in sheets]
    found = [
        (name, sheet, head)
        for name, sheet, head in found
        if any(cell.strip() for row in head for cell in row)
    ]
    tables = [item for item in found if not _is_notes(feed, item[0], item[2])]
    if not found:
        raise RefusedFile("empty_file", "no visible sheet holds anything")
    if not tables:
        names = ", ".join(name for name, _, _ in found)
        raise RefusedFile("columns_missing", f"only sheets of notes: {names}")
    for name, sheet, head in tables:
        yield _read_sheet(feed, file, name, sheet, head)


def _head(sheet: Any) -> list[list[str]]:
    """The first rows that hold something, with the blank ones between them, from the first row of the
    sheet."""
    return [[cell_text(cell) for cell in row] for row in islice(_rows(sheet), SEARCHED_ROWS)]


def _rows(sheet: Any) -> Iterator[list[Any]]:
    """All rows from row 1 and column 1; calamine leaves out empty columns on the left, not empty rows above."""
    if sheet.start is None:
        return
    left = [""] * sheet.start[1]
    for row in sheet.iter_rows():
        yield left + row


def _is_notes(feed: Feed, name: str, head: list[list[str]]) -> bool:
    """A sheet that explains: by its name without two of the feed's labels in a row, or never more than two
    cells wide."""
    if any(match_count(feed, row) >= 2 for row in head):
        return False
    return (
        _NOTE_SHEET.search(name) is not None
        or max(sum(bool(cell.strip()) for cell in row) for row in head) <= 2
    )


def _read_sheet(feed: Feed, file: str, name: str, sheet: Any, head: list[list[str]]) -> Table:
    table = Table(file, name, format="excel")
    layout = find_layout(feed, head)
    headers = match_headers(feed, layout.headers, layout.unit_line)
    table.headers = headers
    if headers.rule is not None:
        table.problem = FileProblem(file, name, headers.rule, headers.message)
    table.layout_rows = layout.header_row
    table.parts = _sheet_parts(table, headers, layout.headers, layout.header_row, sheet)
    return table


def _vertical_merges(sheet: Any, header_row: int) -> dict[int, dict[int, int]]:
    """Row → column → row whose value it shows, for cells merged downwards below the header."""
    fills: dict[int, dict[int, int]] = {}
    for (top, left), (bottom, right) in sheet.merged_cell_ranges or []:
        if left == right and top > header_row:
            for row in range(top + 1, bottom + 1):
                fills.setdefault(row, {})[left] = top
    return fills


def _sheet_parts(
    table: Table, headers: HeaderMap, names: list[str], header_row: int, sheet: Any
) -> Iterator[Rows | BadRows]:
    width = len(names)
    labels = [label(name) for name in names]
    fills = _vertical_merges(sheet, header_row)
    shown_above: dict[tuple[int, int], str] = {}
    sources = {row for columns in fills.values() for row in columns.values()}
    numbers: list[int] = []
    rows: list[list[str]] = []

    def batch() -> Rows:
        schema = dict.fromkeys((str(place) for place in range(width)), pl.String)
        frame = pl.DataFrame(rows, schema=schema, orient="row")
        frame = frame.with_columns(pl.Series("source_row", numbers, dtype=pl.Int64))
        return Rows(arrange(frame, headers, table.conflicts), headers)

    for index, row in enumerate(_rows(sheet)):
        if index <= header_row:
            continue
        cells = [cell_text(cell) for cell in row[:width]]
        cells += [""] * (width - len(cells))
        if index in sources:
            shown_above.update({(index, column): cell for column, cell in enumerate(cells)})
        for column, top in fills.get(index, {}).items():
            if column < width and not cells[column]:
                cells[column] = shown_above.get((top, column), "")
        if (
            not any(cell.strip() for cell in cells)
            or is_footer(cells, width)
            or [label(cell) for cell in cells] == labels
        ):
            table.layout_rows += 1
        else:
            numbers.append(index + 1)
            rows.append(cells)
        if len(rows) >= _BATCH_ROWS:
            yield batch()
            numbers, rows = [], []
    if rows:
        yield batch()
