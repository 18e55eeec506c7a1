"""The answer key: what was done to which row of which file, and what a good reader makes of it.

Here: its columns and their meaning. Not here: what is done (dirt*), writing (landing).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

Outcome = Literal[
    "repaired", "accepted", "duplicate", "quarantined", "identified", "review", "file", "refused", "skipped"
]


@dataclass(frozen=True)
class Entry:
    """One row of the key.

    `outcome` of a row: accepted after a repair, accepted as it is, dropped as a duplicate, refused; or, of a
    row whose enterprise has no readable USCC, accepted and identified by something else (`rule`: the rung,
    `expected_value`: the USCC) or accepted and left to a person (`rule`: the reason).
    Of a whole file: `file` for a peculiarity that a reader copes with, `refused` with the rule, `skipped`
    because its content is known. `rule` names the rule of the refusal or repair.
    `row_number` is what a spreadsheet or editor shows, the line of JSON lines, the 1-based row of
    Parquet; none for files and for rows that are missing.
    """

    kind: str
    outcome: Outcome
    rule: str = ""
    row_number: int | None = None
    column: str = ""
    expected_value: str = ""
    """Canonical value after reading: money in fen, dates in ISO form; empty for null and for refused rows."""
    note: str = ""
    """Mostly the text as it was sent."""
    sheet: str = ""


_SCHEMA = {
    "feed": pl.String,
    "file": pl.String,
    "sheet": pl.String,
    "row_number": pl.Int64,
    "column": pl.String,
    "kind": pl.String,
    "outcome": pl.String,
    "rule": pl.String,
    "expected_value": pl.String,
    "note": pl.String,
}


def key_rows(feed: str, file: str, entries: Iterable[Entry]) -> pl.DataFrame:
    """The entries of one file, whole-file ones first, then by row."""
    found = sorted(entries, key=lambda entry: (entry.row_number or 0, entry.kind, entry.expected_value))
    columns = {
        name: [getattr(entry, name) for entry in found] for name in _SCHEMA if name not in ("feed", "file")
    }
    return pl.DataFrame({"feed": [feed] * len(found), "file": [file] * len(found), **columns}, schema=_SCHEMA)


def file_rows(
    feed: str, file: str, sheet: str, rows: int, first_row: int, blank_row: int | None
) -> pl.DataFrame:
    """Which rows a file holds: `rows` of them from `first_row` on, without the empty one at `blank_row`."""
    values = {
        "feed": feed,
        "file": file,
        "sheet": sheet,
        "rows": rows,
        "first_row": first_row,
        "blank_row": blank_row,
    }
    schema = {"feed": pl.String, "file": pl.String, "sheet": pl.String} | dict.fromkeys(
        ("rows", "first_row", "blank_row"), pl.Int64
    )
    return pl.DataFrame([values], schema=schema)
