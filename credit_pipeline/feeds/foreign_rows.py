"""Finds rows that belong to another feed although their file does not (a licence among penalties).

Whole files of another feed are `headers`' business.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from credit_pipeline.feeds.catalogue import COMMON_COLUMNS, Feed, get_feed, load_catalogue
from credit_pipeline.feeds.value_cells import plain_word


@cache
def _category_words(feed_name: str) -> frozenset[str]:
    common = {column.name for column in COMMON_COLUMNS}
    return frozenset(
        plain_word(word)
        for column in get_feed(feed_name).columns
        if column.type in ("category", "categories") and column.name not in common
        for code, words in column.codes.items()
        for word in (code, *words)
        if not word.isdigit()
    )


@cache
def _foreign_words(feed_name: str) -> list[tuple[frozenset[str], str]]:
    """For each feed that the feed's foreign headers point to: category words only it has, and its subject."""
    feed = get_feed(feed_name)
    others = []
    for other in load_catalogue().values():
        headers = {header for column in other.columns for header in column.source_names}
        if other.name != feed.name and headers & set(feed.foreign_headers):
            words = _category_words(other.name) - _category_words(feed.name)
            others.append((words, other.label.removeprefix("行政")))
    return others


def foreign_rows(feed: Feed, frame: pl.DataFrame, violations: list[pl.DataFrame]) -> pl.DataFrame:
    """(row, value) of rows that belong to another feed, by either of two signs.

    A value under another feed's header while a required one is missing; or a category that only another
    feed knows (普通 among penalties) beside a text that names that feed's subject (许可).

    Args:
        frame: rows as text, see `reading.Rows`.
        violations: (row, column, rule, value) found so far.
    """
    found = [pl.DataFrame(schema={"row": pl.UInt32, "value": pl.String})]
    if "foreign" in frame.columns:
        required = [column.name for column in feed.stored_columns if column.required]
        lacking = pl.any_horizontal(pl.col(name).is_null() for name in required)
        rows = frame.select(
            (pl.col("foreign").is_not_null() & lacking).arg_true().cast(pl.UInt32)
        ).to_series()
        found.append(pl.DataFrame({"row": rows, "value": frame["foreign"].gather(rows)}))
    texts = [
        column.name
        for column in feed.stored_columns
        if column.type in ("text", "document_no") and column.name in frame.columns
    ]
    for violation in violations:
        unknown = violation.filter(pl.col("rule") == "code_unknown")
        for words, subject in _foreign_words(feed.name) if unknown.height and texts else ():
            strange = unknown.filter(pl.Series([plain_word(value) in words for value in unknown["value"]]))
            named = frame.select(texts)[strange["row"]].select(
                pl.any_horizontal(pl.col(name).str.contains(subject, literal=True) for name in texts)
            )
            found.append(strange.filter(named.to_series().fill_null(value=False)).select("row", "value"))
    return pl.concat(found).unique("row", keep="first", maintain_order=True)
