"""Deliveries after the go-live load: new and changed registrations, snapshots, withdrawals.

Here: what day 2 and later bring besides ordinary new events (those come from the feeds' own functions).
Not here: writing (generator).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from credit_pipeline.sample.business import registrations
from credit_pipeline.sample.city import City, build_city
from credit_pipeline.sample.events import frame, text, with_reported, years_part
from credit_pipeline.sample.names import addresses, joined, person_names
from credit_pipeline.sample.streams import Window, dates, history, stream

SNAPSHOT_REGION = "411372"
"""The zone that sends its whole register every day."""
CITY_PART = "411300"
"""Increments come from the city's office, not from each county."""
WITHDRAWING_FEEDS = ("penalties", "licences")
REGIONAL_FEEDS = ("registrations", "licences", "penalties", "abnormal_listings")
_NEW_SHARE, _CHANGED_SHARE, _DELETED_SHARE = 0.001, 0.004, 0.003


def newly_registered(enterprises: int, seed: int, day: int) -> City:
    """The enterprises founded just before that delivery, about 0.1 % of the city."""
    return build_city(max(1, round(enterprises * _NEW_SHARE)), seed, day)


def register_of(city: City, seed: int) -> pl.DataFrame:
    """The register rows of a city, the same whenever they are asked for."""
    window = history() if city.day == 1 else Window(city.day, history().end, history().end + city.day - 1)
    return registrations(city, stream(seed, "registrations", city.day), window)


def changed(city: City, seed: int, window: Window) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Register rows with a new address, representative, capital or end, and the change log of that day.

    No enterprise changes on two days, and none of the zone that sends snapshots does.
    """
    rng = stream(seed, "changed", window.day)
    zone = stream(seed, "changed", 0).permutation(len(city))
    zone = zone[(city.status[zone] == 0)]
    wanted = max(1, round(len(city) * _CHANGED_SHARE))
    firm = np.sort(zone[(window.day - 2) * wanted : (window.day - 1) * wanted])
    before = register_of(city, seed)[firm].filter(pl.col("region") != SNAPSHOT_REGION)
    firm = before["_firm"].to_numpy()
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
    """Register rows of the newly registered, without the zone that sends snapshots."""
    rows = register_of(newcomers, seed).filter(pl.col("region") != SNAPSHOT_REGION)
    return of_no_known_firm(rows).with_columns(_part=pl.lit(CITY_PART))


def of_no_known_firm(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of newcomers, whose positions mean nothing in the city of day 1: dirt takes them for its first
    firm."""
    return rows.with_columns(_firm=pl.lit(0, dtype=pl.Int64))


def snapshot(city: City, newcomers: list[City], seed: int, window: Window) -> tuple[pl.DataFrame, list[str]]:
    """The zone's whole register without a few enterprises that silently vanished; and their USCCs."""
    parts = [register_of(one, seed) for one in (city, *newcomers)]
    rows = pl.concat([part.filter(pl.col("region") == SNAPSHOT_REGION) for part in parts])
    old = int((parts[0]["region"] == SNAPSHOT_REGION).sum())
    per_day = max(1, round(old * _DELETED_SHARE)) if old > 1 else 0
    lost = stream(seed, "silent_deletion", 0).permutation(old)[
        : min(per_day * (window.day - 1), old - 1 if old else 0)
    ]
    kept = np.setdiff1d(np.arange(len(rows)), lost)
    return rows[kept], sorted(rows["uscc"].gather(np.sort(lost)).to_list())


def withdrawn(sent: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Rows sent earlier, withdrawn today: same key, state withdrawn."""
    today = dates(np.full(len(sent), window.end))
    return sent.with_columns(record_status=pl.lit("withdrawn"), reported_date=today)
