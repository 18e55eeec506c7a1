"""Reads workbooks (XLSX, XLS, XLSB, ODS) with the layouts authorities send: titles, merged headers,
footers, notes.

Cells come back as the text they show, as far as a file without its display formats tells. Which row is the
header decides `headers`; what a cell means decides `cells`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from importlib.util import find_spec
from itertools import chain, islice
from os import SEEK_END
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.headers import SEARCHED_ROWS, HeaderMap, label, match_count, match_headers
from credit_pipeline.feeds.layouts import EXPLAINED_ROWS, find_layout, is_explanation, is_footer, stray_rows
from credit_pipeline.feeds.personal import mask_text
from credit_pipeline.feeds.reading import (
    HARMLESS_CELL,
    BadRows,
    FileProblem,
    LostFile,
    RefusedFile,
    Rows,
    Table,
    arrange,
    bad_rows,
    one_line,
    storable,
)

_NOTE_SHEET = re.compile(r"说明|须知|字典|代码表|示例|样例|模板|readme|notes?$", re.IGNORECASE)
MEMORY_LIMIT = 4 << 30
"""Of the trial process; `MAX_CELLS` need half of it."""
MAX_CELLS, MAX_COLUMNS = 64_000_000, 16_384
"""Of the rectangle around a sheet's cells: 61 columns at the greatest legal height; the greatest legal width."""
TIME_LIMIT_S, TIME_LIMIT_S_PER_MB = 30, 4
"""Of the trial process; a workbook of 10 MB takes about 5 s. Damaged ones may never end."""
_PROBE = """
import os, resource, sys
folder, (memory, seconds, max_cells, max_columns) = sys.argv[1], map(int, sys.argv[2:])
sys.path.append(folder)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
import io
import python_calamine
data = open(0, "rb").read()
try:
    workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data))
    for sheet in workbook.sheets_metadata:
        if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet:
            table = workbook.get_sheet_by_name(sheet.name)
            if table.end is not None:
                rows, columns = table.end[0] - table.start[0] + 1, table.end[1] + 1
                if columns > max_columns or rows * columns > max_cells:
                    os._exit(3)
except MemoryError:
    os._exit(3)
except Exception:
    os._exit(0)  # the same complaint comes again where it can be reported
except BaseException:
    os._exit(3)  # Rust code gave up
os._exit(0)
"""
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
    """The tables of a workbook, one per sheet with content; sheets of notes are skipped.

    A hidden sheet with the feed's headers is refused row by row, not read: senders hide old versions and
    working copies, which would pass for corrections, and skipping it in silence would lose rows.

    Raises:
        RefusedFile: the workbook cannot be opened, or no sheet holds anything.
    """
    import python_calamine as calamine

    _try_apart(stream)
    try:
        workbook = calamine.CalamineWorkbook.from_filelike(stream)
        visible = {
            sheet.name: sheet.visible == calamine.SheetVisibleEnum.Visible
            for sheet in workbook.sheets_metadata
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
        }
        sheets = [(name, workbook.get_sheet_by_name(name)) for name in visible]
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise RefusedFile(
            "unreadable_file",
            f"the workbook cannot be opened (cut off or with a password?): {one_line(error)}",
        ) from error
    found = [(name, sheet, _head(sheet)) for name, sheet in sheets]
    found = [
        (name, sheet, head)
        for name, sheet, head in found
        if any(cell.strip() for row in head for cell in row)
        and (visible[name] or any(match_count(feed, row) >= 2 for row in head))
    ]
    tables = [item for item in found if not _is_notes(feed, item[0], item[2])]
    if not found:
        raise RefusedFile("empty_file", "no visible sheet holds anything")
    if not tables:
        names = ", ".join(name for name, _, _ in found)
        raise RefusedFile("columns_missing", f"only sheets of notes: {names}")
    seen: Counter[str] = Counter()
    for name, sheet, head in tables:
        # Masking may make two names equal; their rows must stay apart.
        shown = storable(mask_text(name))
        seen[shown] += 1
        table = _read_sheet(feed, file, shown if seen[shown] == 1 else f"{shown}#{seen[shown]}", sheet, head)
        if not visible[name]:
            table.problem = FileProblem(
                file, table.sheet, "hidden_sheet", f"the sheet {shown} is hidden; its rows were not taken"
            )
        yield table


def _try_apart(stream: BinaryIO) -> None:
    """Open the workbook in a process of its own first, with limits.

    A few bytes can name a cell a million rows below and 16,000 columns beside the others. The reader lays
    out the whole rectangle, and where memory ends, Rust ends the process and with it the run. Costs about
    50 ms and a second reading without cells turned into Python's objects.
    """
    folder = str(Path(str(find_spec("python_calamine").origin)).parent.parent)  # type: ignore[union-attr]
    seconds = TIME_LIMIT_S + TIME_LIMIT_S_PER_MB * (stream.seek(0, SEEK_END) >> 20)
    limits = (MEMORY_LIMIT, seconds, MAX_CELLS, MAX_COLUMNS)
    stream.seek(0)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROBE, folder, *map(str, limits)],
            stdin=stream.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=seconds * 10,  # processor time counts; this only ends what sleeps
            check=False,
        )
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    except OSError as error:
        raise LostFile(
            f"the process that tries a workbook before it is read does not start ({error.strerror}: {sys.executable}), "
            "and none is read until it does; remedy: free memory, raise the limit of processes (ulimit -u), or mend the "
            "Python installation"
        ) from error
    stream.seek(0)
    if failed:
        raise RefusedFile(
            "unreadable_file",
            "the workbook is damaged, or a cell stands so far outside the table that the sheet is too large; delete "
            "the empty rows and columns around the table (工作表有效区域过大，请删除表格以外的空行空列)",
        )


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
    stray = stray_rows(feed, head, layout, headers)
    table.layout_rows = layout.header_row - len(stray)
    lost: list[tuple[int, str, str | None, str]] = [
        (index + 1, "above_header", "", _row_text(head[index], headers)) for index in stray
    ]
    rows = _sheet_parts(table, headers, layout.headers, layout.header_row, sheet)
    table.parts = chain([bad_rows(lost)] if lost else [], rows)
    return table


def _row_text(cells: list[str], headers: HeaderMap) -> str:
    """A row above the header as text; beside personal columns only cells that cannot be personal."""
    if headers.has_dropped:
        cells = [cell if re.search(HARMLESS_CELL, cell) else "***" for cell in cells]
    return "\t".join(cells)


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
            or (index <= header_row + EXPLAINED_ROWS and is_explanation(cells))
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
