"""Generating the synthetic city: the order of feeds and days, files, truth and answer key.

Here: the one function that callers use. Not here: content (modules of the feeds), form (offices, render, writers),
dirt (dirt*).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import feed_names, get_feed
from credit_pipeline.sample import business, directories, enforcement, listings, permits, ratings, society
from credit_pipeline.sample import days as later
from credit_pipeline.sample.city import City, build_city
from credit_pipeline.sample.dirt import KEY_COLUMNS, Deck, file_key, spoil
from credit_pipeline.sample.dirt_codes import CODE_KINDS
from credit_pipeline.sample.dirt_rows import ROW_KINDS
from credit_pipeline.sample.dirt_values import VALUE_KINDS
from credit_pipeline.sample.offices import Office, deliveries
from credit_pipeline.sample.render import render
from credit_pipeline.sample.streams import GO_LIVE, Window, history, increment, stream
from credit_pipeline.sample.writers import csv_bytes, write, write_zip

KINDS = [*CODE_KINDS, *VALUE_KINDS, *ROW_KINDS]
TRUTH = "_truth"
"""Folder of the hidden risk and the answer key; a name with an underscore is never a feed."""
_MANIFEST = "files.txt"
_RESENT = 40
"""Clean rows of each feed's first file that are remembered, to be sent again or withdrawn later."""

FeedFunction = Callable[[City, np.random.Generator, Window], pl.DataFrame]
_FEEDS: dict[str, FeedFunction] = {
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
_KEPT = ("penalties", "abnormal_listings", "serious_violations")
_NO_DIRT = ("inspection_items",)


@dataclass(frozen=True)
class SampleSummary:
    """What was written: files relative to `out`, rows as they stand in the files, the last day, the answer key."""

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
    """Write the feeds of a synthetic Nanyang to `out`, one folder per feed, and `out/as_of` with the last day.

    The same (enterprises, seed, days, dirt) give the same bytes; day 1 is the same whatever `days` is. `dirt` is the
    share of spoilt rows, one kind to a row, each in `out/_truth/answer_key.csv`; the hidden risk of each enterprise
    is in `out/_truth/risk.parquet`. Files of an earlier sample in `out` are replaced.

    Raises:
        BadInput: an argument is out of range, or `out` holds feed files that no sample wrote.
    """
    if enterprises < 1 or days < 1 or not 0 <= dirt <= 0.5:
        raise BadInput(
            f"a sample needs at least one enterprise and one day and a share of dirt from 0 to 0.5,"
            f" not enterprises={enterprises}, days={days}, dirt={dirt}"
        )
    _make_room(out)
    run = _Run(out, enterprises, seed, dirt, progress or (lambda message: None))
    run.history()
    for day in range(2, days + 1):
        run.increment(day)
    as_of = GO_LIVE + timedelta(days=days - 1)
    return run.finish(as_of)


def _make_room(out: Path) -> None:
    """Remove the files of an earlier sample; anything else in a feed's folder is somebody's data and stops us."""
    listed = out / TRUTH / _MANIFEST
    if listed.exists():
        for name in listed.read_text(encoding="utf-8").splitlines():
            path = out / name
            if ".." not in path.parts:
                path.unlink(missing_ok=True)
        (out / "as_of").unlink(missing_ok=True)
    foreign = [path for name in feed_names() for path in sorted((out / name).rglob("*")) if path.is_file()]
    if foreign:
        raise BadInput(
            f"{out} already holds feed files that no sample wrote, such as {foreign[0].relative_to(out)}:"
            " choose an empty folder or move them away"
        )
    (out / TRUTH).mkdir(parents=True, exist_ok=True)
    listed.write_text("", encoding="utf-8")


@dataclass
class _Run:
    """State of one generation: the city, the key, what later days refer to."""

    out: Path
    enterprises: int
    seed: int
    dirt: float
    progress: Callable[[str], None]
    files: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(feed_names(), 0))
    key: list[pl.DataFrame] = field(default_factory=list)
    kept: dict[str, pl.DataFrame] = field(default_factory=dict)
    sent: dict[str, pl.DataFrame] = field(default_factory=dict)
    newcomers: list[City] = field(default_factory=list)

    def history(self) -> None:
        """Day 1: the go-live load, flat in each feed's folder."""
        self.city = build_city(self.enterprises, self.seed)
        self.progress(f"city of {self.enterprises:,} enterprises")
        window = history()
        self._deliver("registrations", later.register_of(self.city, self.seed), window)
        for name, function in _FEEDS.items():
            data = function(self.city, stream(self.seed, name), window)
            if name in _KEPT:
                self.kept[name] = data
            self._deliver(name, data, window)
        self._deliver("related_parties", business.related_parties(self.city, self._stream("related_parties", 1), window), window)
        self._deliver("credit_repairs", self._repairs(window), window)
        self._deliver("inspectors", directories.inspectors(self.city, self._stream("inspectors", 1), window), window)
        self._deliver("inspection_items", directories.inspection_items(self.city, self._stream("inspection_items", 1), window), window)

    def increment(self, day: int) -> None:
        """A later day: what is new, in a folder of that date."""
        window = increment(day)
        new = later.newly_registered(self.enterprises, self.seed, day)
        self.newcomers.append(new)
        changed, log = later.changed(self.city, self.seed, window)
        fresh = later.register_of(new, self.seed).filter(pl.col("region") != later.SNAPSHOT_REGION)
        # Positions of newcomers mean another city: their rows are spoilt by what needs no city only.
        self._deliver("registrations", pl.concat([changed, fresh.with_columns(_part=pl.lit(later.CITY_PART), _firm=pl.lit(0, dtype=pl.Int64))]), window)
        self._snapshot(window)
        for name, function in _FEEDS.items():
            data = function(self.city, self._stream(name, day), window)
            if name == "registration_changes":
                data = pl.concat([data, log.select(data.columns)])
            if name in later.REGIONAL_FEEDS:
                data = data.with_columns(_part=pl.lit(later.CITY_PART))
            self._deliver(name, data, window)
        edges = business.related_parties(new, self._stream("related_parties", day), window)
        self._deliver("related_parties", edges.with_columns(_firm=pl.lit(0, dtype=pl.Int64)), window)
        self._deliver("credit_repairs", self._repairs(window), window)
        self._again(window)

    def _stream(self, name: str, day: int) -> np.random.Generator:
        return stream(self.seed, name, day)

    def _repairs(self, window: Window) -> pl.DataFrame:
        return listings.credit_repairs(self.city, self._stream("credit_repairs", window.day), window, self.kept)

    def _snapshot(self, window: Window) -> None:
        rows, lost = later.snapshot(self.city, self.newcomers, self.seed, window)
        if rows.is_empty():
            return
        for file, _ in self._deliver("registrations", rows, window, share=0.0, suffix="_snapshot"):
            whole = {"kind": "full_snapshot", "outcome": "file", "note": f"{later.SNAPSHOT_REGION} 全量快照"}
            gone = [{"kind": "silent_deletion", "outcome": "accepted", "expected_value": uscc, "note": "快照中缺失"} for uscc in lost]
            self._note("registrations", file, [whole, *gone])

    def _again(self, window: Window) -> None:
        """Rows of the go-live load sent once more, and some withdrawn."""
        for name, sent in sorted(self.sent.items()):
            rng = self._stream(f"again/{name}", window.day)
            order = rng.permutation(len(sent))
            if get_feed(name).information_kind == "directory" or len(sent) < 3:
                continue
            resent = sent[np.sort(order[:2])]
            for file, office in self._deliver(name, resent, window, share=0.0, suffix="_resent"):
                marks = {"kind": "exact_duplicate", "outcome": "duplicate", "rule": "exact_duplicate", "note": "重复报送"}
                self._note(name, file, [marks | {"row_number": office.row_number(i)} for i in range(office_rows(resent, office))])
            if name not in ("penalties", "licences"):
                continue
            back = later.withdrawn(sent[np.sort(order[2:3])], window)
            for file, office in self._deliver(name, back, window, share=0.0, suffix="_withdrawn"):
                marks = {"kind": "withdrawal", "outcome": "accepted", "column": "record_status", "expected_value": "withdrawn"}
                self._note(name, file, [marks | {"row_number": office.row_number(0), "note": back["document_no"][0]}])

    def _deliver(
        self, name: str, data: pl.DataFrame, window: Window, share: float | None = None, suffix: str = ""
    ) -> list[tuple[str, Office]]:
        """Write a feed's files of a day; returns them relative to `out`."""
        feed = get_feed(name)
        rng = self._stream(f"dirt/{name}", window.day)
        share = 0.0 if name in _NO_DIRT else self.dirt if share is None else share
        deck = Deck.of(feed, KINDS, rng, share)
        folder = name if window.is_history else f"{name}/{(GO_LIVE + timedelta(days=window.day - 1)).isoformat()}"
        written: list[tuple[str, Office]] = []
        archives: dict[str, dict[str, bytes]] = {}
        total = 0
        for office, piece in deliveries(feed, data, self.enterprises):
            firms = piece["_firm"].to_numpy()
            spoilt = spoil(feed, office, render(piece, feed, office), firms, self.city, window.as_of, deck)
            base, _, member = office.file.partition("!")
            path = f"{folder}/{_suffixed(base, suffix)}"
            file = f"{path}!{member}" if member else path
            if member:
                content = csv_bytes(office, spoilt.rows.rename(office.headers), spoilt.broken_lines)
                archives.setdefault(path, {})[member] = content
            else:
                self._announce(path)
                write(self.out / path, office, feed, spoilt.rows, spoilt.broken_lines)
            self.key.append(self._located(name, file, pl.concat([file_key(office), spoilt.key])))
            if window.is_history and name not in self.sent:
                self.sent[name] = piece[spoilt.clean[:_RESENT]]
            total += len(spoilt.rows)
            written.append((file, office))
        for path, members in archives.items():
            self._announce(path)
            write_zip(self.out / path, members)
        self.rows[name] += total
        if written:
            self.progress(f"{folder}{suffix and ' ' + suffix[1:]}: {total:,} rows in {len(written)} files")
        return written

    def _announce(self, path: str) -> None:
        """Enter a file into the list of ours before it is written, so that a broken run can be cleared."""
        self.files.append(path)
        with (self.out / TRUTH / _MANIFEST).open("a", encoding="utf-8") as listed:
            listed.write(path + "\n")

    def _located(self, feed: str, file: str, key: pl.DataFrame) -> pl.DataFrame:
        return key.with_columns(feed=pl.lit(feed), file=pl.lit(file)).select(KEY_COLUMNS)

    def _note(self, feed: str, file: str, rows: list[dict[str, str | int]]) -> None:
        schema = {name: pl.Int64 if name == "row_number" else pl.String for name in KEY_COLUMNS[2:]}
        full = [{column: row.get(column, None if column == "row_number" else "") for column in schema} for row in rows]
        self.key.append(self._located(feed, file, pl.DataFrame(full, schema=schema)))

    def finish(self, as_of: date) -> SampleSummary:
        """Truth, answer key and, last of all, the as-of day."""
        truth = self.out / TRUTH
        day = history().end + (as_of - GO_LIVE).days
        cities = [self.city, *self.newcomers]
        risk = pl.concat(
            pl.DataFrame(
                {
                    "uscc": city.uscc,
                    "latent_risk": city.risk_at(day),
                    "breach_probability_12m": enforcement.breach_probability(city, day),
                }
            )
            for city in cities
        )
        risk.write_parquet(truth / "risk.parquet", compression="zstd")
        answer_key = truth / "answer_key.csv"
        pl.concat(self.key).write_csv(answer_key)
        (self.out / "as_of").write_text(as_of.isoformat() + "\n", encoding="utf-8")
        return SampleSummary(self.out, as_of, sum(map(len, cities)), tuple(self.files), self.rows, answer_key)


def office_rows(data: pl.DataFrame, office: Office) -> int:
    """Rows of a small frame that went to one office: all, unless the feed splits its rows over two members."""
    return (len(data) + 1) // 2 if "_a.csv" in office.file else len(data) // 2 if "_b.csv" in office.file else len(data)


def _suffixed(name: str, suffix: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return f"{stem}{suffix}{dot}{extension}"
