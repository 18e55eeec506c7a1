"""What leads to visits, and what keeps them fair: leads, recusals, the public lotteries.

Here: three feeds. Not here: who is visited (the pipeline draws), what a visit finds (enforcement, visits).
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl

from credit_pipeline.sample.city import City
from credit_pipeline.sample.events import (
    frame,
    identifiers,
    lines_of,
    party,
    pick_by_line,
    some,
    unit_in_charge,
    with_reported,
    years_part,
)
from credit_pipeline.sample.names import joined, where
from credit_pipeline.sample.streams import (
    GO_LIVE,
    NO_DAY,
    Ints,
    Window,
    calendar_day,
    dates,
    day_number,
    stream,
)
from credit_pipeline.sample.tables import choose, regions, units, vocabulary, words

LEAD_TYPES = ("complaint", "monitoring", "transferred")
_MONITORING, _TRANSFERRED = (0.006, 0.7), (0.004, 1.0)
"""Rate a year and how steeply it rises with risk."""
_RECUSED = 0.45
"""Recusals for each inspector, on the average."""
_FORMER_EMPLOYER_DAYS = 3 * 365
LOTTERY_SINCE = GO_LIVE.replace(month=1, day=1)
LOTTERIES: dict[str, tuple[tuple[tuple[int, int], ...], tuple[int, ...]]] = {
    "KL8": (((20, 80),), (0, 1, 2, 3, 4, 5, 6)),
    "SSQ": (((6, 33), (1, 16)), (1, 3, 6)),
    "DLT": (((5, 35), (2, 12)), (0, 2, 5)),
}
"""Of each lottery the fields (how many of how many numbers) and the weekdays of its draws (0: Monday)."""


def leads(city: City, rng: np.random.Generator, window: Window, complaints: pl.DataFrame) -> pl.DataFrame:
    """Leads that units must follow up: reports that were filed, findings of monitoring, cases handed over by others.

    Reports of violators are filed more often (`society.complaints`), and the other two are drawn from risk, too.
    """
    filed = complaints.filter((pl.col("outcome") == "filed") & pl.col("closed_date").is_not_null())
    filed_day = filed["closed_date"].cast(pl.Int32).to_numpy().astype(np.int64)
    parts = [
        (filed["_firm"].to_numpy(), filed_day),
        city.draw(rng, *_MONITORING, window),
        city.draw(rng, *_TRANSFERRED, window),
    ]
    kind = np.repeat(np.arange(len(parts)), [len(firm) for firm, _ in parts])
    firm, day = (np.concatenate([part[i] for part in parts]) for i in range(2))
    order = np.lexsort((firm, kind, day))
    ticket = pl.concat([filed["ticket_no"], pl.Series([""] * (len(firm) - len(filed)), dtype=pl.String)])
    kind, firm, day, ticket = kind[order], firm[order], day[order], ticket.gather(order)
    rows = len(firm)
    line = lines_of(city, rng, firm, 0.7)
    items = vocabulary()["inspection_items"]
    scopes = [choose(vocabulary()["lead_scopes"][name], rng, rows) for name in LEAD_TYPES]
    closed = day + rng.integers(5, 60, rows)
    source = words(["", "JC", "YS"], kind)
    data = frame(
        rows,
        {
            "lead_id": identifiers("XS", window, day),
            "lead_type": words(list(LEAD_TYPES), kind),
            **party(city, firm),
            "unit_id": words(units().unit_id, unit_in_charge(line, city.region[firm])),
            "received_date": dates(day),
            "scope": where(kind == 0, scopes[0], where(kind == 1, scopes[1], scopes[2])),
            "item_code": words([row[0] for row in items], pick_by_line([row[2] for row in items], line, rng)),
            "source_ref": where(kind == 0, ticket, joined(source, identifiers("", window, day))),
            "closed_date": dates(np.where(closed <= window.end, closed, NO_DAY)),
        },
    )
    return with_reported(data, window, rng, firm, day, years_part(day))


def recusals(city: City, rng: np.random.Generator, window: Window, inspectors: pl.DataFrame) -> pl.DataFrame:
    """Who must not inspect whom: declared with the directory, a few more on every later day.

    Inspectors of a county know enterprises of their county, those of the city any.
    """
    count = len(inspectors)
    if window.is_history:
        who = np.repeat(np.arange(count), rng.poisson(_RECUSED, count))
        declared = window.end - rng.integers(0, 1_000, len(who))
    else:
        who = np.sort(rng.integers(0, count, max(1, count // 200)))
        declared = np.full(len(who), window.end)
    place = {code: position for position, code in enumerate(regions().code)}
    home = inspectors["region"].replace_strict(place, default=-1, return_dtype=pl.Int64).to_numpy()[who]
    firm = _firm_of(city, rng, home)
    kind = some(rng, len(who), ["relative", "former_employer", "shareholding", "other"], [0.4, 0.3, 0.2, 0.1])
    until = np.where((kind == "former_employer").to_numpy(), declared + _FORMER_EMPLOYER_DAYS, NO_DAY)
    data = frame(
        len(who),
        {
            "inspector_id": inspectors["inspector_id"].gather(who),
            **party(city, firm),
            "relation": kind,
            "declared_date": dates(declared),
            "valid_to": dates(until),
        },
    ).with_columns(
        reported_date="declared_date",
        record_status=pl.lit("valid"),
        _firm=pl.Series(firm),
        _part=pl.lit("all"),
    )
    return data.unique(["inspector_id", "uscc"], keep="first", maintain_order=True)


def _firm_of(city: City, rng: np.random.Generator, home: Ints) -> Ints:
    """For each county (position in `regions()`, -1: anywhere) one of its enterprises at random."""
    order = np.argsort(city.region, kind="stable")
    count = np.bincount(city.region, minlength=len(regions().code))
    start = np.cumsum(count) - count
    luck = rng.integers(0, 2**31, len(home))
    anywhere = (home < 0) | (count[home] == 0)
    inside = order[np.minimum(start[home] + luck % np.maximum(count[home], 1), len(order) - 1)]
    return np.where(anywhere, luck % len(city), inside)


def public_entropy(seed: int, window: Window) -> pl.DataFrame:
    """The lotteries' issues: on the first day those of the year so far, then those of each day.

    An issue depends on the seed and its day alone, so that every sample of a seed tells the same of it.
    """
    end = calendar_day(window.end)
    days = [
        end - timedelta(back) for back in range((end - LOTTERY_SINCE).days + 1 if window.is_history else 1)
    ]
    rows = [
        (source, _issue(source, day), day, _numbers(source, stream(seed, source, day_number(day))))
        for source, (_, weekdays) in sorted(LOTTERIES.items())
        for day in reversed(days)
        if day.weekday() in weekdays
    ]
    data = pl.DataFrame(
        rows,
        schema={
            "source": pl.String,
            "issue": pl.String,
            "announced_date": pl.Date,
            "numbers": pl.String,
        },
        orient="row",
    )
    return data.with_columns(
        reported_date="announced_date",
        record_status=pl.lit("valid"),
        _firm=pl.lit(-1, dtype=pl.Int64),
        _part=pl.col("source"),
    )


def _issue(source: str, day: date) -> str:
    """Year and number of the draw in it: 2026123, of DLT 26123."""
    weekdays = LOTTERIES[source][1]
    since = date(day.year, 1, 1)
    number = sum((since + timedelta(after)).weekday() in weekdays for after in range((day - since).days + 1))
    return f"{day.year % 100 if source == 'DLT' else day.year}{number:03d}"


def _numbers(source: str, rng: np.random.Generator) -> str:
    """The numbers of each field in order, two digits each: 01.02.03.04.05.06+16."""
    fields = (np.sort(rng.choice(of, count, replace=False)) + 1 for count, of in LOTTERIES[source][0])
    return "+".join(".".join(f"{number:02d}" for number in field) for field in fields)
