"""Sums over what clean rows hold, file by file and column by column.

Here: the measure of a column. It says whether the values of clean rows stand in the lake as they were sent
without keeping them a second time. Not here: the comparison (verdicts).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from credit_pipeline.feeds.catalogue import Column, Feed
from credit_pipeline.sample.streams import Ints

SCHEMA = {
    "feed": pl.String,
    "file": pl.String,
    "sheet": pl.String,
    "column": pl.String,
    "rows": pl.Int64,
    "filled": pl.Int64,
    "measure": pl.Int64,
}


def _measure(column: Column) -> pl.Expr:
    """Days since 1970 of dates, whole numbers themselves, millionths of others, bytes of texts."""
    value = pl.col(column.name)
    if column.type == "date":
        number = value.cast(pl.Int32)
    elif column.type in ("integer", "money"):
        number = value
    elif column.type == "decimal":
        number = (value * 1_000_000).round(0)
    elif column.type == "boolean":
        number = value
    else:
        number = value.str.len_bytes()
    return number.cast(pl.Int64).sum()


def measure_sql(column: Column) -> str:
    """The same measure over a column of the lake."""
    name = f'"{column.name}"'
    forms = {
        "date": f"date_diff('day', date '1970-01-01', {name})",
        "integer": name,
        "money": name,
        "decimal": f"cast(round({name} * 1000000) as bigint)",
        "boolean": f"cast({name} as bigint)",
    }
    return f"cast(coalesce(sum({forms.get(column.type, f'strlen({name})')}), 0) as bigint)"


def column_sums(
    feed: Feed, file: str, sheet: str, columns: tuple[str, ...], data: pl.DataFrame, unchanged: Ints
) -> pl.DataFrame:
    """The sums of the stored columns that a file sends, over its unchanged rows (positions in `data`)."""
    wanted = [column for column in feed.stored_columns if column.name in columns]
    touched = np.delete(np.arange(len(data)), unchanged)
    sums = [_sums(data, wanted), _sums(data[touched], wanted)]
    filled, measure = (
        [whole - spoilt for whole, spoilt in zip(*pair, strict=True)] for pair in zip(*sums, strict=True)
    )
    count = len(wanted)
    return pl.DataFrame(
        {
            "feed": [feed.name] * count,
            "file": [file] * count,
            "sheet": [sheet] * count,
            "column": [column.name for column in wanted],
            "rows": [len(unchanged)] * count,
            "filled": filled,
            "measure": measure,
        },
        schema=SCHEMA,
    )


def _sums(data: pl.DataFrame, columns: list[Column]) -> tuple[list[int], list[int]]:
    """How many values each column has, and their measure."""
    filled = [len(data) - data[column.name].null_count() for column in columns]
    return filled, list(data.select(_measure(column).alias(column.name) for column in columns).row(0))
