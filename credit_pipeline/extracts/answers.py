"""The answer to a query, so that it can be read: a table, records where a table is too wide, CSV into a file or pipe.

Here: printing. Not here: opening an extract and running the query (`extracts.catalogue`).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from itertools import islice

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

SHOWN_ROWS = 200
"""Rows that a terminal is given at most; CSV has all."""
_BORDERS = 3
"""Cells that a table needs for a column beside its text."""


def print_answer(columns: Sequence[str], rows: Iterable[Sequence[object]], console: Console) -> None:
    """Prints rows for whoever is there: a person at a terminal, or the program that reads our stdout."""
    texts = (["" if value is None else str(value) for value in row] for row in rows)
    if not console.is_terminal:
        writer = csv.writer(console.file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(texts)
        return
    shown = list(islice(texts, SHOWN_ROWS))
    if _width(columns, shown) <= console.width:
        console.print(_table(columns, shown))
    else:
        _print_records(columns, shown, console)
    if next(texts, None) is not None:
        console.print(f"The first {SHOWN_ROWS} rows; all of them: the same command with > answer.csv")


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Cells of a table in which nothing is folded; a Chinese character takes two."""
    widest = (max(map(cell_len, column)) for column in zip(columns, *rows, strict=True))
    return 1 + sum(width + _BORDERS for width in widest)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _print_records(columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> None:
    """Every row as a block, a line for each column."""
    width = max(map(cell_len, columns))
    for number, row in enumerate(rows, start=1):
        console.print(f"{number} {'─' * width}", markup=False, highlight=False, soft_wrap=True)
        for column, text in zip(columns, row, strict=True):
            padding = " " * (width - cell_len(column))
            console.print(f"{column}{padding}  {text}", markup=False, highlight=False, soft_wrap=True)
