"""Names and addresses of enterprises and persons, put together from word lists.

Here: whole columns of names at once. Not here: which enterprise has which trade, form or region (city).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from credit_pipeline.sample.streams import Bools, Ints
from credit_pipeline.sample.tables import choose, choose_index, industries, regions, vocabulary, words


def joined(*parts: pl.Series | str) -> pl.Series:
    """Texts put together row by row; a null part makes the whole null."""
    columns = {f"p{i}": part for i, part in enumerate(parts) if isinstance(part, pl.Series)}
    items = [pl.col(f"p{i}") if isinstance(part, pl.Series) else pl.lit(part) for i, part in enumerate(parts)]
    return pl.DataFrame(columns).select(pl.concat_str(items).alias("")).to_series()


def where(condition: Bools, yes: pl.Series | str | None, no: pl.Series | str | None) -> pl.Series:
    """Row by row the one text or the other."""
    frame = pl.DataFrame({"c": condition})
    left = pl.lit(yes, dtype=pl.String) if not isinstance(yes, pl.Series) else pl.col("y")
    right = pl.lit(no, dtype=pl.String) if not isinstance(no, pl.Series) else pl.col("n")
    if isinstance(yes, pl.Series):
        frame = frame.with_columns(yes.alias("y"))
    if isinstance(no, pl.Series):
        frame = frame.with_columns(no.alias("n"))
    return frame.select(pl.when(pl.col("c")).then(left).otherwise(right).alias("")).to_series()


def person_names(rng: np.random.Generator, rows: int) -> pl.Series:
    """Names of persons: one surname, one or two characters after it."""
    surnames = list(vocabulary()["surnames"])
    given = list(vocabulary()["given"])
    shares = [1.0 / (rank + 4.0) for rank in range(len(surnames))]
    first = words(surnames, choose_index(len(surnames), rng, rows, shares))
    second = where(rng.random(rows) < 0.7, choose(given, rng, rows), "")
    return joined(first, choose(given, rng, rows), second)


def fancy_words(rng: np.random.Generator, rows: int, three: float = 0.35) -> pl.Series:
    """The distinguishing word of a name, of two characters, or of three with that probability."""
    characters = list(vocabulary()["fancy"])
    third = where(rng.random(rows) < three, choose(characters, rng, rows), "")
    return joined(choose(characters, rng, rows), choose(characters, rng, rows), third)


def trade_words(rng: np.random.Generator, industry: Ints) -> pl.Series:
    """One of the trade words of each enterprise's industry."""
    table = industries().trades
    flat = [word for trades in table for word in trades]
    start = np.cumsum([0] + [len(trades) for trades in table])
    count = np.diff(start)
    return words(flat, start[industry] + rng.integers(0, count[industry]))


def enterprise_names(
    rng: np.random.Generator, head: Ints, region: Ints, industry: Ints, form: pl.Series
) -> pl.Series:
    """Names: place, distinguishing word, trade, form; about 3 % of companies have the place in brackets.

    A name that another enterprise of the batch has too gets two more characters, as the register demands.
    """
    rows = len(head)
    county = words(regions().name, region)
    prefix_kind = choose_index(4, rng, rows, [0.36, 0.14, 0.43, 0.07])
    place = where(
        prefix_kind == 0, "南阳市", where(prefix_kind == 1, "南阳", where(prefix_kind == 2, county, "河南"))
    )
    place = where(head == 91, place, county)
    trade = trade_words(rng, industry)
    bracketed = (head == 91) & (rng.random(rows) < 0.03)
    fancy = fancy_words(rng, rows)
    fancy = where((head == 92) & (rng.random(rows) < 0.5), person_names(rng, rows), fancy)
    where_bracketed = where(bracketed, "（南阳）", "")
    place = where(bracketed, "", place)
    name = joined(place, fancy, where_bracketed, trade, form)
    repeated = pl.DataFrame({"n": name}).select(pl.int_range(pl.len()).over("n") > 0).to_series().to_numpy()
    longer = joined(place, fancy, fancy_words(rng, rows, 1.0), where_bracketed, trade, form)
    return where(repeated, longer, name)


def addresses(rng: np.random.Generator, region: Ints, township: Ints) -> pl.Series:
    """Registered addresses; `township` is a position in the county's townships, or -1 for town and road."""
    rows = len(region)
    number = pl.Series(rng.integers(1, 600, rows)).cast(pl.String)
    road = choose(vocabulary()["roads"], rng, rows)
    town = where(rng.random(rows) < 0.35, choose(vocabulary()["towns"], rng, rows), "")
    known = words(regions().township_names, np.maximum(township, 0))
    town = where(township >= 0, known, town)
    room = pl.Series(rng.integers(101, 2600, rows)).cast(pl.String)
    tail = where(rng.random(rows) < 0.4, joined("第", room, "室"), "")
    return joined("河南省南阳市", words(regions().name, region), town, road, number, "号", tail)


def phones(rng: np.random.Generator, rows: int) -> pl.Series:
    """Mobile numbers of the prefix 100, which no operator uses."""
    return joined("100", pl.Series(rng.integers(10**7, 10**8, rows)).cast(pl.String))
