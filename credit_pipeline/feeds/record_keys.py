"""Names a row of a feed for people and SQL: its business key as text, and the unit that sent it.

Which columns these are stands in the catalogue; hashes of keys are `versions`' business.
"""

from __future__ import annotations

import polars as pl

from credit_pipeline.feeds.catalogue import Feed


def record_keys(stored: pl.DataFrame, feed: Feed) -> pl.Series:
    """The business key of each row as JSON array text of its values as stored text: `["a","2026-01-02",null]`.

    The same text as DuckDB's `to_json([a::varchar, b::varchar])`, in the order of `feed.business_key`; null
    stands for a part that is missing or could not be read.
    """
    parts = [
        pl.coalesce(
            pl.lit('"')
            + pl.col(name)
            .cast(pl.String)
            .str.replace_many(["\\", '"', "\n", "\r", "\t"], ["\\\\", '\\"', "\\n", "\\r", "\\t"])
            + pl.lit('"'),
            pl.lit("null"),
        )
        for name in feed.business_key
    ]
    text = pl.lit("[") + pl.concat_str(parts, separator=",") + pl.lit("]")
    return stored.select(text.alias("record_key")).to_series()


def sending_units(stored: pl.DataFrame, feed: Feed) -> pl.Series:
    """Text naming the unit that sent each row: the first of the feed's `unit_columns` that is not null."""
    columns = [pl.col(name).cast(pl.String) for name in feed.unit_columns]
    unit = pl.coalesce(columns) if columns else pl.repeat(None, pl.len(), dtype=pl.String)
    return stored.select(unit.alias("unit")).to_series()
