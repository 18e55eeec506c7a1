"""Canonical values as the text that an office writes.

Here: dates, money in the office's unit, categories as words or codes, booleans. The text is what a clean
row looks like: dates as 2025-03-01, amounts in the unit of the header, codes of the catalogue. Not here:
dirt, files.
"""

from __future__ import annotations

import polars as pl

from credit_pipeline.feeds.catalogue import MONEY_UNITS, Column, Feed
from credit_pipeline.sample.office import Office


def render(data: pl.DataFrame, feed: Feed, office: Office) -> pl.DataFrame:
    """The office's columns as text under canonical names; Parquet keeps dates, numbers and booleans typed."""
    if office.format == "parquet":
        return data.select(_typed(feed.column(name), office) for name in office.columns)
    return data.select(
        _text(feed.column(name), office).cast(pl.String).alias(name) for name in office.columns
    )


def _typed(column: Column, office: Office) -> pl.Expr:
    if column.type in ("category", "categories"):
        return _words(column, office)
    return pl.col(column.name)


def _text(column: Column, office: Office) -> pl.Expr:
    source = pl.col(column.name)
    if column.type == "date":
        return source.dt.strftime("%Y-%m-%d")
    if column.type == "money":
        return _money(column, office)
    if column.type == "boolean":
        yes, no = ("1", "0") if office.coded else ("是", "否")
        return pl.when(source).then(pl.lit(yes)).when(~source).then(pl.lit(no))
    if column.type in ("category", "categories"):
        return _words(column, office)
    return source


def unit_of(column: Column, office: Office) -> int:
    """Fen per unit of a bare number under the office's header."""
    unit = column.alias_units.get(office.headers[column.name], column.unit or "yuan")
    return MONEY_UNITS[unit]


def _money(column: Column, office: Office) -> pl.Expr:
    fen = pl.col(column.name)
    unit = unit_of(column, office)
    places = len(str(unit)) - 1
    whole = (fen.abs() // unit).cast(pl.String)
    cents = (fen.abs() % unit).cast(pl.String).str.zfill(places).str.strip_chars_end("0")
    number = pl.concat_str(
        pl.when(fen < 0).then(pl.lit("-")).otherwise(pl.lit("")),
        whole,
        pl.when(cents == "").then(pl.lit("")).otherwise(pl.concat_str(pl.lit("."), cents)),
    )
    if column.currency_column is None or office.capital == "number":
        return number
    if office.capital == "words":
        return pl.concat_str(number, pl.lit("万元人民币"))
    thousands = fen // unit // 1_000
    millions = thousands // 1_000
    last, middle = (fen // unit % 1_000).cast(pl.String), (thousands % 1_000).cast(pl.String)
    grouped = (
        pl.when(millions > 0)
        .then(
            pl.concat_str(
                millions.cast(pl.String), pl.lit(","), middle.str.zfill(3), pl.lit(","), last.str.zfill(3)
            )
        )
        .when(thousands > 0)
        .then(pl.concat_str(thousands.cast(pl.String), pl.lit(","), last.str.zfill(3)))
        .otherwise(last)
    )
    return pl.concat_str(grouped, pl.lit("(万元人民币)"))


def word_of(column: Column, code: str, coded: bool) -> str:
    """How an office writes a category: its code if it has one and the office writes codes, else the first
    word."""
    options = column.codes[code]
    if coded:
        return options[0]
    return next((option for option in options if not option.isascii()), options[0])


def _words(column: Column, office: Office) -> pl.Expr:
    known = {code: word_of(column, code, office.coded) for code in column.codes}
    source = pl.col(column.name)
    if column.type == "category":
        return source.replace_strict(list(known), list(known.values()), return_dtype=pl.String)
    return source.map_batches(
        lambda series: _joined_words(series, known, office.separator), return_dtype=pl.String
    )


def _joined_words(series: pl.Series, known: dict[str, str], separator: str) -> pl.Series:
    """Several categories: each combination is translated once."""
    combinations = series.drop_nulls().unique().to_list()
    texts = [separator.join(known[code] for code in combination.split("|")) for combination in combinations]
    return series.replace_strict(combinations, texts, return_dtype=pl.String)
