"""Generating the synthetic city: the order of feeds and days, the hidden truth.

Here: the one function that callers use. Not here: content (modules of the feeds), form (offices, render,
writers), dirt (dirt*), files (landing).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.sample import business, directories, enforcement, listings, permits, ratings, society
from credit_pipeline.sample import days as later
from credit_pipeline.sample.answer_key import Entry
from credit_pipeline.sample.city import City, build_city
from credit_pipeline.sample.landing import TRUTH, Landing, make_room
from credit_pipeline.sample.streams import GO_LIVE, Window, day_number, history, increment, stream

_FEEDS: dict[str, Callable[[City, np.random.Generator, Window], pl.DataFrame]] = {
    "licences": permits.licences,
    "penalties": enforcement.penalties,
    "honours": permits.honours,
    "inspection_results": enforcement.inspection_results,
    "complaints": society.complaints,
    "public_opinion": society.public_opinion,
    "operations": business.operations,
    "registration_changes": business.registration_changes,
    "abnormal_listings": listings.abnormal_listings,
    "serious_violations": listings.serious_violations,
    "judgment_defaulters": listings.judgment_defaulters,
    "public_credit_evaluations": ratings.public_credit_evaluations,
    "industry_ratings": ratings.industry_ratings,
}
"""Feeds of events: the same function makes the history and each day's increment."""
_REPAIRABLE = ("penalties", "abnormal_listings", "serious_violations")
_RESENT = 2
"""Rows of each feed that a later day sends once more."""


@dataclass(frozen=True)
class SampleSummary:
    """What was written: files relative to `out`, rows as they stand in them, the last day, the answer key."""

    out: Path
    as_of: date
    enterprises: int
    files: tuple[str, ...]
    rows: dict[str, int]
    answer_key: Path


def generate(
    out: Path,
    enterprises: int = 20_000,
    seed: int = 7,
    days: int = 1,
    dirt: float = 0.02,
    progress: Callable[[str], None] | None = None,
) -> SampleSummary:
    """Write the feeds of a synthetic Nanyang to `out`, one folder per feed, and `out/as_of` with the last
    day.

    The same (enterprises, seed, days, dirt) give the same bytes; day 1 is the same whatever `days` is.
    `dirt` is the share of spoilt rows, one kind to a row, each in `out/_truth/answer_key.csv`; the hidden
    risk of each enterprise is in `out/_truth/risk.parquet` (uscc, latent_risk, breach_probability_12m).
    Files of an earlier sample in `out` are replaced; `as_of` is written last.

    Raises:
        BadInput: an argument is out of range, or `out` holds feed files that no sample wrote.
    """
    if enterprises < 1 or days < 1 or not 0 <= dirt <= 0.5:
        raise BadInput(
            "a sample needs at least one enterprise, at least one day and a share of dirt from 0 to 0.5,"
            f" not enterprises={enterprises}, days={days}, dirt={dirt}"
        )
    make_room(out)
    report = progress or (lambda message: None)
    city = build_city(enterprises, seed)
    report(f"city of {enterprises:,} enterprises")
    landing = Landing(out, seed, dirt, city, report)
    repairable = _history(landing)
    newcomers: list[City] = []
    for day in range(2, days + 1):
        newcomers.append(later.newly_registered(enterprises, seed, day))
        _increment(landing, increment(day), newcomers, repairable)
    as_of = GO_LIVE + timedelta(days=days - 1)
    _write_truth(out / TRUTH / "risk.parquet", [city, *newcomers], as_of)
    answer_key = landing.write_key()
    (out / "as_of").write_text(as_of.isoformat() + "\n", encoding="utf-8")
    known = enterprises + sum(len(new) for new in newcomers)
    return SampleSummary(out, as_of, known, tuple(landing.files), landing.rows, answer_key)


def _history(landing: Landing) -> dict[str, pl.DataFrame]:
    """Day 1, the go-live load, flat in each feed's folder; returns the feeds whose records can be
    repaired."""
    city, seed, window = landing.city, landing.seed, history()
    repairable: dict[str, pl.DataFrame] = {}
    landing.deliver("registrations", later.register_of(city, seed), window)
    for name, make in _FEEDS.items():
        data = make(city, stream(seed, name), window)
        if name in _REPAIRABLE:
            repairable[name] = data
        landing.deliver(name, data, window)
    edges = business.related_parties(city, stream(seed, "related_parties"), window)
    landing.deliver("related_parties", edges, window)
    repairs = listings.credit_repairs(city, stream(seed, "credit_repairs"), window, repairable)
    landing.deliver("credit_repairs", repairs, window)
    landing.deliver("inspectors", directories.inspectors(stream(seed, "inspectors"), window), window)
    landing.deliver("inspection_items", directories.inspection_items(), window)
    return repairable


def _increment(
    landing: Landing, window: Window, newcomers: list[City], repairable: dict[str, pl.DataFrame]
) -> None:
    """A later day: what is new, in a folder of that date."""
    city, seed, day = landing.city, landing.seed, window.day
    changed, change_log = later.changed(city, seed, window)
    landing.deliver("registrations", pl.concat([changed, later.new_rows(newcomers[-1], seed)]), window)
    _deliver_snapshot(landing, window, newcomers)
    for name, make in _FEEDS.items():
        data = make(city, stream(seed, name, day), window)
        if name == "registration_changes":
            data = pl.concat([data, change_log.select(data.columns)])
        if name in later.REGIONAL_FEEDS:
            data = data.with_columns(_part=pl.lit(later.CITY_PART))
        landing.deliver(name, data, window)
    edges = business.related_parties(newcomers[-1], stream(seed, "related_parties", day), window)
    landing.deliver("related_parties", later.of_no_known_firm(edges), window)
    repairs = listings.credit_repairs(city, stream(seed, "credit_repairs", day), window, repairable)
    landing.deliver("credit_repairs", repairs, window)
    _deliver_again(landing, window)


def _deliver_snapshot(landing: Landing, window: Window, newcomers: list[City]) -> None:
    """One zone's whole register, in which a few enterprises are missing."""
    rows, lost = later.snapshot(landing.city, newcomers, landing.seed, window)
    if rows.is_empty():
        return
    for one in landing.deliver("registrations", rows, window, clean=True, suffix="_snapshot"):
        whole = Entry("full_snapshot", "file", note=f"{later.SNAPSHOT_REGION} 全量快照")
        gone = [Entry("silent_deletion", "accepted", expected_value=uscc, note="快照中缺失") for uscc in lost]
        landing.note("registrations", one.file, one.office, [whole, *gone])


def _deliver_again(landing: Landing, window: Window) -> None:
    """Some rows of the go-live load once more, some withdrawn."""
    for name, sent in sorted(landing.sent.items()):
        if get_feed(name).information_kind == "directory" or len(sent) <= _RESENT:
            continue
        order = stream(landing.seed, f"again/{name}", window.day).permutation(len(sent))
        again = sent[np.sort(order[:_RESENT])]
        for one in landing.deliver(name, again, window, clean=True, suffix="_resent"):
            entry = Entry("exact_duplicate", "duplicate", "exact_duplicate", note="重复报送")
            landing.note(name, one.file, one.office, one.each_row(entry))
        if name in later.WITHDRAWING_FEEDS:
            back = later.withdrawn(sent[order[_RESENT : _RESENT + 1]], window)
            for one in landing.deliver(name, back, window, clean=True, suffix="_withdrawn"):
                entry = Entry(
                    "withdrawal",
                    "accepted",
                    column="record_status",
                    expected_value="withdrawn",
                    note=back["document_no"][0],
                )
                landing.note(name, one.file, one.office, one.each_row(entry))


def _write_truth(path: Path, cities: list[City], as_of: date) -> None:
    """Hidden risk on the as-of day and probability of a serious breach in the 12 months after it."""
    day = day_number(as_of)
    parts = [
        pl.DataFrame(
            {
                "uscc": city.uscc,
                "latent_risk": city.risk_at(day),
                "breach_probability_12m": enforcement.breach_probability(city, day),
            }
        )
        for city in cities
    ]
    pl.concat(parts).write_parquet(path, compression="zstd")
