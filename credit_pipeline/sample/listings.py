"""Lists of enterprises: abnormal operation, serious violations, judgment defaulters; and repairs of records.

Here: four feeds. A repair names the record it repairs by its number. Not here: penalties (enforcement).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import polars as pl

from credit_pipeline.sample.city import City
from credit_pipeline.sample.enforcement import LISTING_BETA, LISTING_RATE
from credit_pipeline.sample.events import (
    LINES,
    frame,
    identifiers,
    party,
    region_codes,
    some,
    text,
    unit_in_charge,
    with_reported,
    years_part,
)
from credit_pipeline.sample.names import joined, where
from credit_pipeline.sample.streams import NO_DAY, Bools, Ints, Window, dates, day_number, sigmoid, years_of
from credit_pipeline.sample.tables import choose, regions, units, vocabulary, words


def _market_unit(city: City, firm: Ints) -> pl.Series:
    line = np.full(len(firm), LINES.index("market_supervision"))
    return words(units().name, unit_in_charge(line, city.region[firm]))


def abnormal_listings(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Abnormal operation: the July wave of missing annual reports, and other reasons all year round."""
    firm, day = city.draw(rng, 0.014, 0.9, window)
    reason = some(rng, len(firm), ["unreachable", "ordered", "concealment"], [0.75, 0.15, 0.1])
    for position, year in enumerate((2024, 2025, 2026)) if window.is_history else ():
        wave = day_number(date(year, 7, 1)) + rng.integers(2, 30, len(city))
        missed = ~city.filed[:, position] & city.alive(slice(None), wave) & ~city.is_branch
        missed &= (city.established < day_number(date(year - 1, 12, 31))) & (rng.random(len(city)) < 0.7)
        listed = np.flatnonzero(missed)
        firm, day = np.concatenate([firm, listed]), np.concatenate([day, wave[listed]])
        reason = pl.concat([reason, pl.Series(["annual_report"] * len(listed), dtype=pl.String)])
    order = np.lexsort((firm, day))
    firm, day, reason = firm[order], day[order], reason.gather(order)
    rows = len(firm)
    removed = day + rng.geometric(1 / 200, rows)
    gone = (rng.random(rows) < sigmoid(0.9 - 0.7 * city.risk[firm])) & (removed <= window.end)
    unit = _market_unit(city, firm)
    why, back = vocabulary()["abnormal_reasons"], vocabulary()["removal_reasons"]
    data = frame(
        rows,
        {
            "listing_id": identifiers("YC", window, day),
            **party(city, firm),
            "reason": reason.replace_strict(list(why), list(why.values()), return_dtype=pl.String),
            "listed_date": dates(day),
            "listing_authority": unit,
            "removal_reason": where(
                gone, reason.replace_strict(list(back), list(back.values()), return_dtype=pl.String), None
            ),
            "removed_date": dates(np.where(gone, removed, NO_DAY)),
            "removal_authority": where(gone, unit, None),
        },
    )
    return with_reported(data, window, rng, firm, day, region_codes(city, firm))


def serious_violations(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """The list of seriously law-breaking enterprises; some are taken off after a year or more."""
    firm, day = city.draw(rng, LISTING_RATE, LISTING_BETA, window)
    rows = len(firm)
    removed = day + rng.integers(366, 1_095, rows)
    gone = (rng.random(rows) < 0.5) & (removed <= window.end)
    unit = _market_unit(city, firm)
    data = frame(
        rows,
        {
            "listing_id": identifiers("SX", window, day),
            **party(city, firm),
            "reason": choose(vocabulary()["serious_reasons"], rng, rows),
            "listed_date": dates(day),
            "listing_authority": unit,
            "removal_reason": where(gone, "列入满一年且已履行相关义务，准予提前移出", None),
            "removed_date": dates(np.where(gone, removed, NO_DAY)),
            "removal_authority": where(gone, unit, None),
        },
    )
    return with_reported(data, window, rng, firm, day, words(["all"], np.zeros(rows, dtype=np.int64)))


def judgment_defaulters(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Defaulters of court judgments; those who perform are withdrawn from publication."""
    firm, day = city.draw(rng, 0.007, 1.1, window)
    rows = len(firm)
    performed = rng.random(rows) < 0.3
    withdrawn = day + rng.integers(40, 720, rows)
    hidden = performed & (withdrawn <= window.end)
    filed = day - rng.integers(20, 200, rows)
    serial = text(np.arange(1, rows + 1) + (0 if window.is_history else 1_000_000 * (window.day - 1)))
    region = city.region[firm]
    case = joined(
        "（",
        text(years_of(filed)),
        "）豫",
        words([code[2:] for code in regions().code], region),
        "执",
        serial,
        "号",
    )
    data = frame(
        rows,
        {
            "case_no": case,
            "court_name": joined(words(regions().name, region), "人民法院"),
            **party(city, firm),
            "filed_date": dates(filed),
            "published_date": dates(day),
            "performance": where(hidden, "performed", some(rng, rows, ["unperformed", "partly"], [0.8, 0.2])),
            "withdrawn_date": dates(np.where(hidden, withdrawn, NO_DAY)),
        },
    )
    return with_reported(data, window, rng, firm, day, words(["all"], np.zeros(rows, dtype=np.int64)))


def credit_repairs(
    city: City, rng: np.random.Generator, window: Window, history: Mapping[str, pl.DataFrame]
) -> pl.DataFrame:
    """Repairs of penalties after their minimum period and of listings that were removed.

    `history` holds the frames of penalties, abnormal_listings and serious_violations of the go-live load.
    """
    targets = [
        _targets(history["penalties"], "penalties", "document_no", "decision_date"),
        _targets(history["abnormal_listings"], "abnormal_listings", "listing_id", "removed_date"),
        _targets(history["serious_violations"], "serious_violations", "listing_id", "removed_date"),
    ]
    data = pl.concat(targets)
    rows = len(data)
    risk = city.risk[data["firm"].to_numpy()]
    is_penalty = (data["feed"] == "penalties").to_numpy()
    since = data["since"].cast(pl.Int32).to_numpy().astype(np.int64)
    period = np.array([0, 92, 366])[data["severity"].to_numpy()]
    day = since + np.where(is_penalty, period + rng.geometric(1 / 90, rows), rng.integers(0, 20, rows))
    chosen = rng.random(rows) < np.where(is_penalty, 0.35, 0.5) * sigmoid(0.6 - 0.8 * risk)
    if window.is_history:
        chosen &= day <= window.end
    else:
        old = since + period < window.end - 30
        chosen = old & (rng.random(rows) < 0.004)
        day = rng.integers(window.start, window.end + 1, rows)
    return _repairs(city, rng, window, data, chosen, day)


def _targets(data: pl.DataFrame, feed: str, number: str, since: str) -> pl.DataFrame:
    severity = (
        pl.col("severity").replace_strict({"minor": 0, "ordinary": 1, "serious": 2}, return_dtype=pl.Int64)
        if "severity" in data.columns
        else pl.lit(0, dtype=pl.Int64)
    )
    return data.filter(pl.col(since).is_not_null()).select(
        firm="_firm", feed=pl.lit(feed), number=pl.col(number), since=pl.col(since), severity=severity
    )


def _repairs(
    city: City, rng: np.random.Generator, window: Window, data: pl.DataFrame, chosen: Bools, day: Ints
) -> pl.DataFrame:
    index = np.flatnonzero(chosen)
    index = index[np.argsort(day[index], kind="stable")]
    picked, day = data[index], day[index]
    firm = picked["firm"].to_numpy()
    rows = len(firm)
    table = frame(
        rows,
        {
            "repair_no": identifiers("XF", window, day),
            **party(city, firm),
            "target_feed": picked["feed"],
            "target_record_no": picked["number"],
            "decided_date": dates(day),
            "effective_date": dates(day + rng.integers(0, 6, rows)),
            "authority_name": "南阳市社会信用体系建设办公室",
        },
    )
    return with_reported(table, window, rng, firm, day, years_part(day))
