"""What a reader hands to the contracts: batches of text rows, rows that could not be split, problems of
files.

Shared by the readers of every format, and where unknown columns become `extra` and a refused row becomes
text. Finding the header is `headers`' business, splitting bytes into cells the readers'.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from credit_pipeline.feeds.cells import ASCII_SPACE, INVISIBLE
from credit_pipeline.feeds.headers import HeaderMap, Source
from credit_pipeline.feeds.personal import mask, mask_text
from credit_pipeline.feeds.rules import FILE_RULES

BATCH_ROWS = 250_000
"""Rows per batch: large enough for column arithmetic, small enough for 3 GB with 25 text columns of a
kilobyte."""
HARMLESS_CELL = (
    r"^[0-9]{0,6}(?:\.[0-9]{1,6})?$|^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}$"
    r"|^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]*[A-HJ-NPQRTUWY][0-9A-HJ-NPQRTUWXY]*$"
)
"""Short numbers, days and enterprise codes with a letter: nothing that can be a person's."""
BAD_ROWS_SCHEMA = {
    "row_number": pl.Int64,
    "column": pl.String,
    "rule": pl.String,
    "value": pl.String,
    "row_text": pl.String,
}


@dataclass(frozen=True)
class FileProblem:
    """Why a file, a sheet or an archive member was refused."""

    file: str
    sheet: str | None
    rule: str
    message: str
    """What was found; carries no identity or mobile number, whatever was put in."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", storable(mask_text(self.message)))

    @property
    def remedy(self) -> str:
        return FILE_RULES[self.rule]


class RefusedFile(Exception):
    """Raised by a reader that cannot go on with a file; becomes a `FileProblem`."""

    def __init__(self, rule: str, message: str, sheet: str | None = None) -> None:
        super().__init__(message)
        self.rule, self.message, self.sheet = rule, message, sheet


class LostFile(Exception):
    """Raised when a file cannot be read just now: it vanished, is not readable, or the machine fails.

    Not the content's fault, so the file is left for the next run.
    """


def one_line(error: object) -> str:
    """What a library says about a damaged file, in one line of at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:299]}…"


def storable(text: str) -> str:
    """A text that any file can hold: without control characters, half characters as escapes."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if unicodedata.category(c)[0] != "C" else f"\\x{ord(c):02x}" for c in whole)


@dataclass(frozen=True)
class Rows:
    """Rows as text under canonical names.

    `frame` holds one String column per canonical column that the source sends, `source_row` (Int64), and
    where they apply `extra` (JSON text), `foreign` (first value under another feed's header) and `<money
    column>.unit`.
    """

    frame: pl.DataFrame
    headers: HeaderMap


@dataclass(frozen=True)
class BadRows:
    """Rows refused before their cells meant anything; columns of `BAD_ROWS_SCHEMA`, one entry per row."""

    frame: pl.DataFrame


@dataclass
class Table:
    """One table of a file while it is read: a CSV, a sheet, a JSON array, an archive member."""

    file: str
    """Path as stored in `source_file`, members of archives as `a.zip!b.csv`."""
    sheet: str | None = None
    format: str = ""
    encoding: str | None = None
    headers: HeaderMap | None = None
    parts: Iterator[Rows | BadRows] = field(default_factory=lambda: iter(()))
    problem: FileProblem | None = None
    """Set before `parts` are taken; with rows in `parts` all of them are refused with its rule."""
    layout_rows: int = 0
    """Rows that hold no data: titles, unit lines, footers, blank rows."""
    conflicts: dict[str, int] = field(default_factory=dict)
    """Column sent under two headers → rows in which they differ (the second is kept in `extra`)."""


def bad_rows(rows: list[tuple[int, str, str | None, str]]) -> BadRows:
    """Malformed rows from (row number, rule, what is wrong, text of the row); texts are masked here."""
    frame = pl.DataFrame(
        {
            "row_number": [row[0] for row in rows],
            "column": [None] * len(rows),
            "rule": [row[1] for row in rows],
            "value": [row[2] for row in rows],
            "row_text": [row[3] for row in rows],
        },
        schema=BAD_ROWS_SCHEMA,
    )
    return BadRows(frame.with_columns(mask(frame[name], mobiles=True) for name in ("value", "row_text")))


def json_members(pairs: list[tuple[str, pl.Expr]]) -> pl.Expr:
    """The members of a JSON object, without braces, of the text columns that are not null; empty if all
    are."""
    members = [
        pl.lit(json.dumps(key, ensure_ascii=False) + ':"')
        + text.str.replace_all(INVISIBLE, "").str.replace_many(
            ["\\", '"', "\n", "\r", "\t", "\x0b", "\x0c"], ["\\\\", '\\"', "\\n", "\\r", "\\t", " ", " "]
        )
        + pl.lit('"')
        for key, text in pairs
    ]
    return pl.concat_str(members, separator=",", ignore_nulls=True) if members else pl.lit("")


def arrange(cells: pl.DataFrame, headers: HeaderMap, conflicts: dict[str, int]) -> pl.DataFrame:
    """Cells named by position (`0`, `1`, …, all String) plus `source_row`, under their canonical names.

    Empty cells become null, unknown columns and the losers of two headers for one column go into `extra`.
    """

    texts = [name for name in cells.columns if name != "source_row"]
    has_empty = cells.select((pl.col(texts) == "").any()).row(0, named=True) if texts else {}

    def cell(source: Source) -> pl.Expr:
        text = pl.col(str(source.position))
        # Most columns have no empty cell, and looking costs a third of replacing.
        return pl.when(text != "").then(text) if has_empty[str(source.position)] else text

    def unknown(source: Source) -> pl.Expr:
        text = cell(source).str.strip_chars(ASCII_SPACE)
        if not headers.hides_unknown:
            return text
        return (
            pl.when(text.str.contains(HARMLESS_CELL)).then(text).when(text.is_not_null()).then(pl.lit("***"))
        )

    wanted: list[pl.Expr] = []
    extra = [(source.header, unknown(source)) for source in headers.unknown]
    for name, sources in headers.columns.items():
        if len(sources) == 1:
            wanted.append(cell(sources[0]).alias(name))
            continue
        chosen = pl.coalesce(cell(source) for source in sources)
        wanted.append(chosen.alias(name))
        for place, source in enumerate(sources[1:], start=1):
            earlier = pl.coalesce(cell(other) for other in sources[:place])
            differs = cell(source).is_not_null() & earlier.is_not_null() & (cell(source) != chosen)
            extra.append((source.header, pl.when(differs).then(cell(source))))
            count = cells.select(differs.sum()).item()
            if count:
                conflicts[name] = conflicts.get(name, 0) + count
        if len({source.unit for source in sources}) > 1:
            unit = pl.coalesce(
                pl.when(cell(source).is_not_null()).then(pl.lit(source.unit)) for source in sources
            )
            wanted.append(unit.alias(f"{name}.unit"))
    if extra:
        members = json_members(sorted(extra, key=lambda pair: pair[0]))
        wanted.append(pl.when(members != "").then(pl.lit("{") + members + pl.lit("}")).alias("extra"))
    if headers.foreign:
        wanted.append(pl.coalesce(cell(source) for source in headers.foreign).alias("foreign"))
    return cells.select(*wanted, "source_row")


def row_texts(frame: pl.DataFrame, headers: HeaderMap) -> pl.Series:
    """Rows as JSON under the source's own headers, without columns that must not be stored, masked."""
    pairs = [(sources[0].header, pl.col(name)) for name, sources in headers.columns.items()]
    if not pairs and "extra" not in frame.columns:
        return pl.repeat("{}", frame.height, dtype=pl.String, eager=True).alias("row_text")
    members = json_members(pairs)
    if "extra" in frame.columns:
        inner = pl.col("extra").str.slice(1).str.head(-1)
        members = pl.concat_str(pl.when(members != "").then(members), inner, separator=",", ignore_nulls=True)
    text = frame.select((pl.lit("{") + members + pl.lit("}")).alias("row_text")).to_series()
    return mask(text, mobiles=True)
