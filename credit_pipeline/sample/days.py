"""Deliveries after the go-live load: new and changed registrations, snapshots, withdrawals.

Here: what day 2 and later bring besides ordinary new events (those come from the feeds' own functions).
Not here: writing (generator).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from credit_pipeline.sample.business import registrations
from credit_pipeline.sample.city import City, build_city
from credit_pipeline.sample.events import frame, text, with_reported, years_part
from credit_pipeline.sample.names import addresses, fancy_words, joined, person_names, where
from credit_pipeline.sample.streams import Ints, Window, dates, history, increment, stream

FIRST_SNAPSHOT_DAY = 3
"""The whole register comes again on that day, then weekly."""
CITY_PART = "411300"
"""Increments come from the city's office, not from each county."""
WITHDRAWING_FEEDS = ("penalties", "licences")
REGIONAL_FEEDS = ("registrations", "licences", "penalties", "abnormal_listings")
_NEW_SHARE, _CHANGED_SHARE = 0.001, 0.004


def newly_registered(known: list[City], seed: int, day: int) -> City:
    """The enterprises founded just before that delivery, about 0.1 % of the city.

    The register gives nobody the name of another; `known` are the cities so far, the whole one first.
    """
    city = build_city(max(1, round(len(known[0]) * _NEW_SHARE)), seed, day)
    taken = pl.concat([names for one in known for names in (one.name, one.old_name)])
    rng = stream(seed, "new_names", day)
    for _ in range(3):
        repeated = city.name.is_in(taken.implode()).to_numpy()
        city = replace(city, name=where(repeated, _lengthened(city.name, rng), city.name))
    return city


def _lengthened(names: pl.Series, rng: np.random.Generator) -> pl.Series:
    """The names with two more characters before their form."""
    more = pl.DataFrame({"n": names, "m": fancy_words(rng, len(names), 0.0)})
    head, tail = pl.col("n").str.head(-4), pl.col("n").str.tail(4)
    return more.select(pl.concat_str(head, "m", tail)).to_series()


def register_of(city: City, seed: int) -> pl.DataFrame:
    """The register rows of a city, the same whenever they are asked for."""
    window = history() if city.day == 1 else Window(city.day, history().end, history().end + city.day - 1)
    return registrations(city, stream(seed, "registrations", city.day), window)


def changed(city: City, seed: int, window: Window) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Register rows with a new address, representative, capital or end, and the change log of that day.

    No enterprise changes on two days.
    """
    rng = stream(seed, "changed", window.day)
    order = _order_of_change(city, seed)
    wanted = max(1, round(len(city) * _CHANGED_SHARE))
    firm = np.sort(order[(window.day - 2) * wanted : (window.day - 1) * wanted])
    before = register_of(city, seed)[firm]
    rows = len(firm)
    day = np.full(rows, window.end)
    kind = pl.Series(rng.integers(0, 10, rows))
    fresh = pl.DataFrame(
        {
            "address": addresses(rng, city.region[firm], city.township[firm]),
            "legal_representative": person_names(rng, rows),
            "capital": pl.Series(city.capital_fen[firm] * rng.integers(2, 6, rows)),
        }
    )
    moved, led, funded, ended = kind < 4, (kind >= 4) & (kind < 7), (kind >= 7) & (kind < 9), kind == 9
    today = dates(day)
    after = before.with_columns(
        address=pl.when(moved).then(fresh["address"]).otherwise("address"),
        legal_representative=pl.when(led)
        .then(fresh["legal_representative"])
        .otherwise("legal_representative"),
        registered_capital_fen=pl.when(funded).then(fresh["capital"]).otherwise("registered_capital_fen"),
        status=pl.when(ended).then(pl.lit("cancelled")).otherwise("status"),
        cancelled_date=pl.when(ended).then(today).otherwise("cancelled_date"),
        approved_date=today,
        reported_date=today,
        _part=pl.lit(CITY_PART),
    )
    old_capital = joined(text(city.capital_fen[firm] // 1_000_000), "万元人民币")
    new_capital = joined((fresh["capital"] // 1_000_000).cast(pl.String), "万元人民币")
    log = frame(
        rows,
        {
            "uscc": before["uscc"],
            "changed_field": pl.Series(["address"] * rows, dtype=pl.String),
            "old_value": before["address"],
            "new_value": after["address"],
            "change_date": today,
            "sequence": text(np.full(rows, window.day * 10 + 9)).cast(pl.Int64),
        },
    ).with_columns(
        changed_field=pl.when(moved)
        .then(pl.lit("address"))
        .when(led)
        .then(pl.lit("legal_representative"))
        .otherwise(pl.lit("capital")),
        old_value=pl.when(moved)
        .then("old_value")
        .when(led)
        .then(before["legal_representative"])
        .otherwise(old_capital),
        new_value=pl.when(moved)
        .then("new_value")
        .when(led)
        .then(after["legal_representative"])
        .otherwise(new_capital),
    )
    log = with_reported(log, window, rng, firm, day, years_part(day))
    return after, log.filter(~ended)


def new_rows(newcomers: City, seed: int) -> pl.DataFrame:
    """Register rows of the newly registered."""
    return of_no_known_firm(register_of(newcomers, seed)).with_columns(_part=pl.lit(CITY_PART))


def _order_of_change(city: City, seed: int) -> Ints:
    """Active enterprises in the order in which they will change."""
    order = stream(seed, "changed", 0).permutation(len(city))
    return order[city.status[order] == 0]


def of_no_known_firm(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of newcomers, whose positions mean nothing in the city of day 1: dirt takes them for its first
    firm."""
    return rows.with_columns(_firm=pl.lit(0, dtype=pl.Int64))


def is_snapshot_day(day: int) -> bool:
    """The third day, and every seventh after it."""
    return day >= FIRST_SNAPSHOT_DAY and (day - FIRST_SNAPSHOT_DAY) % 7 == 0


def snapshot(
    city: City, newcomers: list[City], seed: int, window: Window, vanishing: float
) -> tuple[pl.DataFrame, list[str]]:
    """The whole register as it stands that day, without those that silently vanished, that share of it more in
    every snapshot; and their USCCs."""
    changes = [changed(city, seed, increment(day))[0] for day in range(2, window.day + 1)]
    fresh = pl.concat([*changes, *(register_of(one, seed) for one in newcomers)])
    fresh = fresh.with_columns(_part=pl.col("region"))
    touched = np.concatenate([rows["_firm"].to_numpy() for rows in changes])
    rows = register_of(city, seed)
    wanted = round(len(city) * vanishing * ((window.day - FIRST_SNAPSHOT_DAY) // 7 + 1))
    # Those whose turn to change comes last: a change would bring them back.
    last = _order_of_change(city, seed)[::-1]
    lost = last[city.in_register[last]][: max(1, wanted)]
    kept = np.setdiff1d(np.arange(len(rows)), np.concatenate([touched, lost]))
    return of_no_known_firm(pl.concat([rows[kept], fresh])), rows["uscc"].gather(
        np.sort(lost)
    ).sort().to_list()


def later_state(sent: pl.DataFrame, window: Window, state: str) -> pl.DataFrame:
    """Rows sent earlier, with the state that they have from today on: same key."""
    today = dates(np.full(len(sent), window.end))
    return sent.with_columns(record_status=pl.lit(state), reported_date=today)


def not_yet_sent(sent: pl.DataFrame, day: int) -> pl.DataFrame:
    """A record that looks like one sent earlier, but whose number comes with delivery `day` only."""
    number = pl.col("document_no").str.replace(r"〕\d+号$", f"〕{900_000 + day}号")
    return sent.with_columns(document_no=number)
