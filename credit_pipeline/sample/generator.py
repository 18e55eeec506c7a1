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
from credit_pipeline.sample import (
    business,
    directories,
    enforcement,
    listings,
    mishaps,
    permits,
    ratings,
    society,
    supervision,
)
from credit_pipeline.sample import days as later
from credit_pipeline.sample.answer_key import Entry
from credit_pipeline.sample.city import City, build_city
from credit_pipeline.sample.landing import TRUTH, Landing, make_room
from credit_pipeline.sample.streams import (
    GO_LIVE,
    Window,
    calendar_day,
    day_number,
    history,
    increment,
    stream,
)

_FEEDS: dict[str, Callable[[City, np.random.Generator, Window], pl.DataFrame]] = {
    "registration_changes": business.registration_changes,
    "licences": permits.licences,
    "penalties": enforcement.penalties,
    "honours": permits.honours,
    "inspection_results": enforcement.inspection_results,
    "complaints": society.complaints,
    "public_opinion": society.public_opinion,
    "operations": business.operations,
    "abnormal_listings": listings.abnormal_listings,
    "serious_violations": listings.serious_violations,
    "judgment_defaulters": listings.judgment_defaulters,
    "public_credit_evaluations": ratings.public_credit_evaluations,
    "industry_ratings": ratings.industry_ratings,
}
"""Feeds of events: the same function makes the history and each day's increment. Changes of names come first:
dirt asks whether the register tells a former name."""
_REPAIRABLE = ("penalties", "abnormal_listings", "serious_violations")
_RESENT = 2
"""Rows of each feed that a later day sends once more."""
_FIRST_LATER_DAY = 2
_OUT_OF_ORDER = (0, 1)
"""Positions among the remembered rows of which later days make records that nobody has seen."""
_CORRECTED = 3
"""Refused rows of each feed that come corrected on the second day."""


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
    vanishing: float = 0.001,
    progress: Callable[[str], None] | None = None,
) -> SampleSummary:
    """Write the feeds of a synthetic Nanyang to `out`, one folder per feed, and `out/as_of` with the last
    day.

    The same (enterprises, seed, days, dirt) give the same bytes; day 1 is the same whatever `days` is.
    `dirt` is the share of spoilt rows, one kind to a row, each in `out/_truth/answer_key.csv`, and
    of files that go wrong as a whole; `out/_truth/file_rows.csv` says which rows each file holds.
    `vanishing`: share of the register that each later snapshot silently lacks (an office should be told from
    0.005 on). The hidden
    risk of each enterprise is in `out/_truth/risk.parquet` (uscc, latent_risk, breach_probability_12m).
    Files of an earlier sample in `out` are replaced; `as_of` is written last.

    Raises:
        BadInput: an argument is out of range, or `out` holds feed files that no sample wrote.
    """
    if enterprises < 1 or days < 1 or not 0 <= dirt <= 0.5 or not 0 <= vanishing <= 0.5:
        raise BadInput(
            "a sample needs at least one enterprise, at least one day and shares of dirt and of vanishing rows"
            f" from 0 to 0.5, not enterprises={enterprises}, days={days}, dirt={dirt}, vanishing={vanishing}"
        )
    make_room(out)
    report = progress or (lambda message: None)
    city = build_city(enterprises, seed)
    report(f"city of {enterprises:,} enterprises")
    landing = Landing(out, seed, dirt, city, report)
    repairable = _history(landing)
    newcomers: list[City] = []
    for day in range(2, days + 1):
        newcomers.append(later.newly_registered([city, *newcomers], seed, day))
        _increment(landing, increment(day), newcomers, repairable, vanishing)
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
        if name == "complaints":
            _deliver_leads(landing, window, data)
    edges = business.related_parties(city, stream(seed, "related_parties"), window)
    landing.deliver("related_parties", edges, window)
    repairs = listings.credit_repairs(city, stream(seed, "credit_repairs"), window, repairable)
    landing.deliver("credit_repairs", repairs, window)
    landing.deliver("inspectors", inspectors_of(seed), window)
    _deliver_recusals_and_lotteries(landing, window)
    landing.deliver("inspection_items", directories.inspection_items(), window)
    if landing.dirt:
        mishaps.go_live_mishaps(landing, window)
    return repairable


def _increment(
    landing: Landing,
    window: Window,
    newcomers: list[City],
    repairable: dict[str, pl.DataFrame],
    vanishing: float,
) -> None:
    """A later day: what is new, in a folder of that date."""
    city, seed, day = landing.city, landing.seed, window.day
    changed, change_log = later.changed(city, seed, window)
    landing.deliver("registrations", pl.concat([changed, later.new_rows(newcomers[-1], seed)]), window)
    if later.is_snapshot_day(day):
        _deliver_snapshot(landing, window, newcomers, vanishing)
    for name, make in _FEEDS.items():
        data = make(city, stream(seed, name, day), window)
        if name == "registration_changes":
            data = pl.concat([data, change_log.select(data.columns)])
        if name in later.REGIONAL_FEEDS:
            data = data.with_columns(_part=pl.lit(later.CITY_PART))
        landing.deliver(name, data, window)
        if name == "complaints":
            _deliver_leads(landing, window, data)
    _deliver_recusals_and_lotteries(landing, window)
    edges = business.related_parties(newcomers[-1], stream(seed, "related_parties", day), window)
    landing.deliver("related_parties", later.of_no_known_firm(edges), window)
    repairs = listings.credit_repairs(city, stream(seed, "credit_repairs", day), window, repairable)
    landing.deliver("credit_repairs", repairs, window)
    _deliver_again(landing, window)
    if landing.dirt:
        _deliver_out_of_order(landing, window)
        if window.day == _FIRST_LATER_DAY:
            _deliver_corrected(landing, window)
            mishaps.repeated_file(landing, f"judgment_defaulters/{calendar_day(window.end).isoformat()}")


def inspectors_of(seed: int) -> pl.DataFrame:
    """The directory of inspectors, the same on every day."""
    return directories.inspectors(stream(seed, "inspectors"), history())


def _deliver_leads(landing: Landing, window: Window, complaints: pl.DataFrame) -> None:
    rng = stream(landing.seed, "leads", window.day)
    landing.deliver("leads", supervision.leads(landing.city, rng, window, complaints), window)


def _deliver_recusals_and_lotteries(landing: Landing, window: Window) -> None:
    rng = stream(landing.seed, "recusals", window.day)
    people = inspectors_of(landing.seed)
    landing.deliver("recusals", supervision.recusals(landing.city, rng, window, people), window)
    landing.deliver("public_entropy", supervision.public_entropy(landing.seed, window), window)


def _deliver_snapshot(landing: Landing, window: Window, newcomers: list[City], vanishing: float) -> None:
    """The whole register once more, in which a few enterprises are missing."""
    rows, lost = later.snapshot(landing.city, newcomers, landing.seed, window, vanishing)
    delivered = landing.deliver("registrations", rows, window, clean=True, suffix="_snapshot")
    for one in delivered:
        landing.note("registrations", one.file, one.office, [Entry("full_snapshot", "file", note="全量快照")])
    gone = [Entry("silent_deletion", "accepted", expected_value=uscc, note="快照中缺失") for uscc in lost]
    landing.note("registrations", delivered[0].file, delivered[0].office, gone)


def _deliver_again(landing: Landing, window: Window) -> None:
    """Some rows of the go-live load once more, some withdrawn."""
    for name, sent in sorted(landing.sent.items()):
        if get_feed(name).information_kind == "directory" or len(sent) // 2 < _RESENT:
            continue
        # What was withdrawn is not sent again: that would be news.
        half = len(sent) // 2
        order = stream(landing.seed, f"again/{name}", window.day).permutation(half)
        chosen = np.sort(order[:_RESENT])
        if not landing.is_new_choice(name, chosen.tolist()):
            continue  # the same rows once more would be a file of known content
        again = sent[chosen]
        for one in landing.deliver(name, again, window, clean=True, suffix="_resent"):
            entry = Entry("exact_duplicate", "duplicate", "exact_duplicate", note="重复报送")
            landing.note(name, one.file, one.office, one.each_row(entry))
        place = half + window.day - _FIRST_LATER_DAY
        if name in later.WITHDRAWING_FEEDS and place < len(sent) - mishaps.WITHDRAWN_EARLY:
            back = later.later_state(sent[place : place + 1], window, "withdrawn")
            for one in landing.deliver(name, back, window, clean=True, suffix="_withdrawn"):
                entry = Entry(
                    "withdrawal",
                    "accepted",
                    column="record_status",
                    expected_value="withdrawn",
                    note=back["document_no"][0],
                )
                landing.note(name, one.file, one.office, one.each_row(entry))


def _deliver_out_of_order(landing: Landing, window: Window) -> None:
    """A withdrawal and a repair today of records that come tomorrow; and the records of yesterday's."""
    for name in later.WITHDRAWING_FEEDS:
        sent = landing.sent.get(name, pl.DataFrame())
        if len(sent) <= max(_OUT_OF_ORDER):
            continue
        first, second = (sent[place : place + 1] for place in _OUT_OF_ORDER)
        back = later.later_state(later.not_yet_sent(first, window.day), window, "withdrawn")
        _deliver_one(landing, name, back, window, "_ahead", "withdrawal_before_arrival")
        if name == "penalties":
            _deliver_early_repair(landing, later.not_yet_sent(second, window.day + 1_000), window)
        if window.day > _FIRST_LATER_DAY:
            late = later.not_yet_sent(first, window.day - 1)
            _deliver_one(landing, name, late, window, "_late", "original_after_withdrawal")
            if name == "penalties":
                late = later.not_yet_sent(second, window.day + 999)
                _deliver_one(landing, name, late, window, "_late_repaired", "record_after_repair")


def _deliver_one(
    landing: Landing, name: str, row: pl.DataFrame, window: Window, suffix: str, kind: str
) -> None:
    for one in landing.deliver(name, row, window, clean=True, suffix=suffix):
        status, number = row["record_status"][0], row["document_no"][0]
        entry = Entry(kind, "accepted", column="record_status", expected_value=status, note=number)
        landing.note(name, one.file, one.office, one.each_row(entry))


def _deliver_early_repair(landing: Landing, record: pl.DataFrame, window: Window) -> None:
    """The decision to repair a record that nobody has seen."""
    repairs = landing.sent.get("credit_repairs", pl.DataFrame())
    if repairs.is_empty():
        return
    row = repairs[:1].with_columns(
        repair_no=pl.lit(f"XF{window.day:05d}000"),
        uscc=pl.lit(record["uscc"][0]),
        enterprise_name=pl.lit(record["party_name"][0]),
        target_feed=pl.lit("penalties"),
        target_record_no=pl.lit(record["document_no"][0]),
    )
    for one in landing.deliver("credit_repairs", row, window, clean=True, suffix="_ahead"):
        entry = Entry("repair_before_record", "accepted", note=record["document_no"][0])
        landing.note("credit_repairs", one.file, one.office, one.each_row(entry))


def _deliver_corrected(landing: Landing, window: Window) -> None:
    """Rows of the go-live load that were refused, sent again as they should have been."""
    for name, rows in sorted(landing.refused.items()):
        for one in landing.deliver(name, rows[:_CORRECTED], window, clean=True, suffix="_corrected"):
            entry = Entry("corrected_again", "accepted", note="更正后重报")
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
