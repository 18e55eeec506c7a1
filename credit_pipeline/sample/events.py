"""What the feeds of events have in common: identifiers, document numbers, the unit in charge, the frame.

Here: helpers for whole columns. Not here: any feed.

Every feed function takes the city, a random stream and a window and returns a frame in canonical columns
(catalogue names; dates as Date, money in fen, categories as canonical codes, several joined by `|`), plus
`_firm` (position of the enterprise in the city) and `_part` (the file the row goes to).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from credit_pipeline.sample.city import LETTERED_SINCE, City
from credit_pipeline.sample.names import where
from credit_pipeline.sample.streams import Ints, Window, dates, years_of
from credit_pipeline.sample.tables import choose_index, industries, regions, units, vocabulary, words

Values = Mapping[str, "pl.Series | str | None"]
LINES = list(vocabulary()["line_abbreviations"])
_SECTIONS = "ABCDEFGHIJKLMNOPQRS"


def frame(rows: int, values: Values) -> pl.DataFrame:
    """A frame of `rows` rows; a text or None stands for a constant column."""
    columns = {name: value for name, value in values.items() if isinstance(value, pl.Series)}
    data = pl.DataFrame(columns) if columns else pl.DataFrame()
    fixed = [
        pl.lit(value, dtype=pl.String).alias(name)
        for name, value in values.items()
        if not isinstance(value, pl.Series)
    ]
    data = data.with_columns(fixed) if columns else pl.DataFrame({"_": [0] * rows}).select(fixed)
    return data.select(list(values))


def party(city: City, firm: Ints, uscc: str = "uscc", name: str = "enterprise_name") -> dict[str, pl.Series]:
    """Code and name of the enterprises under the names that the feed gives them."""
    return {uscc: city.uscc.gather(firm), name: city.name.gather(firm)}


def older_codes(city: City, firm: Ints) -> dict[str, pl.Series]:
    """The codes that the USCC replaced in October 2015, which offices still fill in for older firms."""
    older = city.established[firm] < LETTERED_SINCE
    uscc = city.uscc.gather(firm)
    return {
        "reg_no": city.reg_no.gather(firm),
        "org_code": where(older, uscc.str.slice(8, 9), None),
        "tax_no": where(older & (firm % 2 == 0), uscc, None),
    }


def text_dates(days: Ints, pattern: str = "%Y%m%d") -> pl.Series:
    return dates(days).dt.strftime(pattern)


def text(values: Ints, width: int = 0) -> pl.Series:
    """Whole numbers as text, with leading zeros up to the width."""
    series = pl.Series(values).cast(pl.String)
    return series.str.zfill(width) if width else series


def identifiers(prefix: str, window: Window, day: Ints) -> pl.Series:
    """Identifiers of records: prefix, day of the event, number of the delivery, serial; never the same
    twice."""
    rows = len(day)
    frame_ = pl.DataFrame({"d": text_dates(day), "n": text(np.arange(1, rows + 1), 7)})
    return frame_.select(pl.concat_str(pl.lit(prefix), "d", pl.lit(f"{window.day:03d}"), "n")).to_series()


def document_numbers(unit: Ints, day: Ints, kind: str, window: Window) -> pl.Series:
    """Document numbers as authorities count them, by year: 桐柏市监处罚〔2025〕12号."""
    first = 1 if window.is_history else 1_000_000 * (window.day - 1)
    data = pl.DataFrame({"u": unit, "y": years_of(day)}).with_columns(
        n=pl.int_range(pl.len(), dtype=pl.Int64).over("u", "y") + first
    )
    short = words(units().short, unit)
    return data.select(
        pl.concat_str(short, pl.lit(kind + "〔"), pl.col("y"), pl.lit("〕"), pl.col("n"), pl.lit("号"))
    ).to_series()


def unit_in_charge(line: Ints, region: Ints) -> Ints:
    """Unit (position in `units()`) for each row's line (position in LINES) and county."""
    table = np.stack([units().in_charge(name) for name in LINES])
    return table[line, region]


def lines_of(city: City, rng: np.random.Generator, firm: Ints, market_share: float) -> Ints:
    """The line that deals with each firm: market supervision with that share, else a line of its section."""
    table = vocabulary()["section_lines"]
    flat = [LINES.index(line) for section in _SECTIONS for line in table[section]]
    count = np.array([len(table[section]) for section in _SECTIONS])
    start = np.cumsum(count) - count
    section = np.array([_SECTIONS.index(s) for s in industries().section])[city.industry[firm]]
    special = np.array(flat)[start[section] + rng.integers(0, count[section])]
    general = rng.random(len(firm)) < market_share
    return np.where(general, LINES.index("market_supervision"), special)


def pick_by_line(owners: list[str], line: Ints, rng: np.random.Generator) -> Ints:
    """For each row a random position among the entries that its line owns (market supervision's, if it
    owns none)."""
    owner = np.array([LINES.index(name) for name in owners])
    order = np.argsort(owner, kind="stable")
    count = np.bincount(owner, minlength=len(LINES))
    start = np.cumsum(count) - count
    group = np.where(count[line] > 0, line, LINES.index("market_supervision"))
    return order[start[group] + rng.integers(0, 2**31, len(group)) % count[group]]


def person_kinds(city: City, firm: Ints) -> pl.Series:
    return words(["legal_person", "individual_business"], (city.head[firm] == 92).astype(np.int64))


def region_codes(city: City, firm: Ints) -> pl.Series:
    return words(regions().code, city.region[firm])


def some(rng: np.random.Generator, rows: int, values: list[str], shares: list[float]) -> pl.Series:
    return words(values, choose_index(len(values), rng, rows, shares))


def years_part(day: Ints) -> pl.Series:
    return text(years_of(day))


def with_reported(
    data: pl.DataFrame, window: Window, rng: np.random.Generator, firm: Ints, happened: Ints, part: pl.Series
) -> pl.DataFrame:
    """The frame with the day of reporting and the columns that steer delivery."""
    return data.with_columns(
        reported_date=dates(window.reported(rng, happened)),
        record_status=pl.lit("valid"),
        _firm=pl.Series(firm),
        _part=part,
    )
