"""What one file of one feed looks like: format, encoding, headers, layout, row numbers.

Here: the description. Not here: which office sends what (offices), writing (writers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from credit_pipeline.feeds.catalogue import Column, Feed

Format = Literal["csv", "xlsx", "jsonl", "parquet"]
Style = Literal["code", "label"]


@dataclass(frozen=True)
class Layout:
    """What surrounds the table in a sheet."""

    sheet: str
    title: str = ""
    unit_line: str = ""
    explanation: str = ""
    groups: tuple[tuple[str, int], ...] = ()
    """First of two header rows: words and the number of columns that they span, merged."""
    footer: str = ""
    blank_after: int = 0
    """An empty row after so many data rows (0: none)."""
    date_cells: bool = False
    hidden_sheet: tuple[tuple[str, ...], ...] = ()
    notes_sheet: tuple[str, ...] = ()

    @property
    def header_row(self) -> int:
        """1-based row of the (lower) header."""
        return 1 + sum(map(bool, (self.title, self.unit_line, self.explanation, self.groups)))


@dataclass(frozen=True)
class Trait:
    """A peculiarity of a whole file, for the answer key; `rule` when a reader mends something in every
    row of it."""

    kind: str
    note: str
    rule: str = ""
    column: str = ""


@dataclass(frozen=True)
class Office:
    """One file of one feed."""

    file: str
    """Name below the feed's folder; `a.zip!b.csv` for a member of an archive."""
    format: Format
    columns: tuple[str, ...]
    headers: dict[str, str]
    encoding: str = "utf-8-sig"
    newline: str = "\r\n"
    coded: bool = False
    """Categories as codes (1, 2, B) instead of words."""
    separator: str = ";"
    capital: Literal["number", "with_currency", "words"] = "number"
    layout: Layout | None = None
    traits: tuple[Trait, ...] = ()

    @property
    def first_row(self) -> int:
        """Row number of the first data row as a spreadsheet or editor shows it; 1 for JSON lines and
        Parquet."""
        if self.format in ("jsonl", "parquet"):
            return 1
        return self.layout.header_row + 1 if self.layout else 2

    def row_number(self, position: int) -> int:
        """Row number of the data row at that 0-based position."""
        blank = self.layout.blank_after if self.layout else 0
        return self.first_row + position + (1 if blank and position >= blank else 0)


def headers_of(
    feed: Feed, columns: list[str], style: Style, overrides: dict[str, str] | None = None
) -> dict[str, str]:
    """Header of each column: the source's code (first alias) or the Chinese label, unless overridden."""
    special = overrides or {}

    def header(column: Column) -> str:
        if column.name in special:
            return special[column.name]
        return column.aliases[0] if style == "code" and column.aliases else column.label

    return {name: header(feed.column(name)) for name in columns}


def columns_of(feed: Feed, data: pl.DataFrame, without: tuple[str, ...] = ()) -> list[str]:
    """The feed's columns that the frame has, in catalogue order."""
    return [c.name for c in feed.columns if c.name in data.columns and c.name not in without]
