"""Choosing the rows to spoil, spoiling them and keeping the answer key.

Here: the deck of kinds, one kind to a row, extra rows (duplicates, versions, withdrawals), final row numbers.
Not here: what each kind does to a row (dirt_codes, dirt_values, dirt_rows).

A feed's deck first holds every kind that suits it once, then random ones: small samples show as many
kinds as they have dirty rows. A kind that no row of a file suits goes to the feed's next file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import polars as pl

from credit_pipeline.feeds.catalogue import Column, Feed
from credit_pipeline.sample.answer_key import Entry, Outcome
from credit_pipeline.sample.city import City
from credit_pipeline.sample.office import Office
from credit_pipeline.sample.streams import Ints

Place = Literal["here", "before", "after", "end"]
_TRIES = 25
_BLOCK = 400
_RARE_WEIGHT, _FEW_FEEDS = 4.0, 3
_TYPED = ("date", "money", "integer", "decimal", "boolean")
"""Types that Parquet files hold as such, so that no wrong text can stand there."""


@dataclass(frozen=True)
class Mutation:
    """What a kind does to one row.

    `place` other than `here` leaves the row as it is and adds a changed copy before it, after it or at
    the end of the file. `damage` is done to the line of a CSV file: one field too many or two too few.
    `outcome` and `rule` say what becomes of this row where it is not what becomes of others of its kind.
    """

    column: str
    changes: dict[str, str | None]
    expected: str = ""
    note: str = ""
    place: Place = "here"
    damage: Literal["", "extra", "short"] = ""
    outcome: Outcome | None = None
    rule: str | None = None


@dataclass(frozen=True)
class Case:
    """One clean row as text, where it stands and what is known about its enterprise."""

    feed: Feed
    office: Office
    row: dict[str, Any]
    firm: int
    city: City
    as_of: int
    rng: np.random.Generator

    def pick(self, options: list[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def columns(self, *types: str) -> list[Column]:
        """The office's columns of those types that hold text."""
        found = [self.feed.column(name) for name in self.office.columns]
        typed = _TYPED if self.office.format == "parquet" else ()
        return [column for column in found if column.type in types and column.type not in typed]

    def pick_column(self, columns: list[Column]) -> Column | None:
        return columns[int(self.rng.integers(len(columns)))] if columns else None

    def has(self, *names: str) -> bool:
        """Whether the office sends all those columns."""
        return all(name in self.office.columns for name in names)

    def present(self, changes: dict[str, str | None]) -> dict[str, str | None]:
        """Those of the changes whose column the office sends."""
        return {name: value for name, value in changes.items() if self.has(name)}

    @property
    def name_column(self) -> str | None:
        """Column with the name of the enterprise."""
        return next((n for n in ("party_name", "enterprise_name") if n in self.office.columns), None)


@dataclass(frozen=True)
class Kind:
    """A kind of dirt: what becomes of the row (`rule` of the quarantine or repair), and how it is made."""

    name: str
    outcome: Outcome
    rule: str
    spoil: Callable[[Case], Mutation | None]
    feeds: tuple[str, ...] = ()
    """Only in these feeds; empty: wherever a row suits."""
    formats: tuple[str, ...] = ()
    firms: Callable[[City, Ints], np.ndarray] | None = None
    """Which enterprises suit; others are not tried."""

    def suits(self, feed: Feed, office: Office) -> bool:
        return (not self.feeds or feed.name in self.feeds) and (
            not self.formats or office.format in self.formats
        )


@dataclass
class SpoiltFile:
    """A file ready to write, with its part of the answer key.

    `clean`: positions in the frame of the rows that nothing happened to; `unchanged`: of these and of rows of
    which only a copy was changed; `corrigible`: of rows that are refused although their key and enterprise
    can be read.
    """

    rows: pl.DataFrame
    broken_lines: dict[int, str]
    entries: list[Entry]
    clean: Ints
    unchanged: Ints
    corrigible: Ints


def _commonness(kind: Kind) -> tuple[bool, bool, int]:
    return (not kind.formats, kind.firms is None, len(kind.feeds) or 99)


@dataclass
class Deck:
    """The kinds of one feed on one day, dealt to its files one after the other."""

    kinds: list[Kind]
    rng: np.random.Generator
    share: float
    waiting: list[Kind] = field(default_factory=list)
    seen: int = 0
    dealt: int = 0

    @classmethod
    def of(cls, feed: Feed, kinds: list[Kind], rng: np.random.Generator, share: float) -> Deck:
        usable = [kind for kind in kinds if not kind.feeds or feed.name in kind.feeds]
        order = [usable[i] for i in rng.permutation(len(usable))]
        # What few feeds or enterprises can show comes first, so that few dirty rows are enough to show it.
        return cls(usable, rng, share, sorted(order, key=_commonness))

    def wanted(self, rows: int) -> int:
        """How many rows of a file of so many to spoil: the share of all rows so far, rounded."""
        self.seen += rows
        due = int(self.seen * self.share + 0.5) - self.dealt
        self.dealt += due
        return due

    def deal(self, feed: Feed, office: Office, unfit: set[str]) -> Kind | None:
        """The next kind for the file, none of those that no row of it suited; None when there is no other."""
        for place, kind in enumerate(self.waiting):
            if kind.name not in unfit and kind.suits(feed, office):
                return self.waiting.pop(place)
        pool = [kind for kind in self.kinds if kind.name not in unfit and kind.suits(feed, office)]
        if not pool:
            return None
        # Kinds that only few feeds can have come more often there.
        shares = np.cumsum([_RARE_WEIGHT if 0 < len(kind.feeds) <= _FEW_FEEDS else 1.0 for kind in pool])
        return pool[int(np.searchsorted(shares, self.rng.random() * shares[-1], side="right"))]

    def give_back(self, kind: Kind) -> None:
        """Keep a kind that no row of a file suited for the feed's next file."""
        if kind not in self.waiting:
            self.waiting.append(kind)


def spoil(
    feed: Feed, office: Office, rows: pl.DataFrame, firms: Ints, city: City, as_of: int, deck: Deck
) -> SpoiltFile:
    """Spoil the deck's share of a rendered file; rows keep their order, extra rows come in between or at
    the end."""
    candidates = _Candidates(rows, firms, deck.rng.permutation(len(rows)))
    wanted = deck.wanted(len(rows))
    unfit: set[str] = set()
    hits: list[tuple[int, Kind, Mutation]] = []
    while len(hits) < wanted:
        kind = deck.deal(feed, office, unfit)
        if kind is None:
            break
        found = candidates.find(kind, feed, office, city, as_of, deck.rng)
        if found is None:
            unfit.add(kind.name)
            deck.give_back(kind)
        else:
            hits.append((found[0], kind, found[1]))
    return _assemble(feed, office, rows, hits)


class _Candidates:
    """Rows not yet spoilt, in random order; read in blocks, since a row at a time is slow."""

    def __init__(self, rows: pl.DataFrame, firms: Ints, order: Ints) -> None:
        self.rows, self.firms, self.order = rows, firms, order
        self.used: set[int] = set()
        self.next = 0
        self._block: list[dict[str, Any]] = []
        self._block_start = 0
        self._fitting: dict[str, Ints] = {}

    def _row(self, place: int) -> dict[str, Any]:
        """The row at that place of the random order."""
        if not self._block_start <= place < self._block_start + len(self._block):
            self._block_start = place
            self._block = self.rows[self.order[place : place + _BLOCK]].to_dicts()
        return self._block[place - self._block_start]

    def _ahead(self, kind: Kind, city: City) -> Iterator[tuple[int, dict[str, Any]]]:
        """Unused rows: position and content."""
        if kind.firms is None:
            while self.next < len(self.order) and int(self.order[self.next]) in self.used:
                self.next += 1
            for place in range(self.next, len(self.order)):
                position = int(self.order[place])
                if position not in self.used:
                    yield position, self._row(place)
            return
        if kind.name not in self._fitting:
            fit = kind.firms(city, self.firms)
            self._fitting[kind.name] = self.order[fit[self.order]]
        for position in self._fitting[kind.name]:
            if int(position) not in self.used:
                yield int(position), self.rows.row(int(position), named=True)

    def find(
        self, kind: Kind, feed: Feed, office: Office, city: City, as_of: int, rng: np.random.Generator
    ) -> tuple[int, Mutation] | None:
        """The first row that the kind suits, spoilt; None when a few dozen do not suit."""
        for position, row in islice(self._ahead(kind, city), _TRIES):
            mutation = kind.spoil(Case(feed, office, row, int(self.firms[position]), city, as_of, rng))
            if mutation is not None:
                self.used.add(position)
                return position, mutation
        return None


def _assemble(
    feed: Feed, office: Office, rows: pl.DataFrame, hits: list[tuple[int, Kind, Mutation]]
) -> SpoiltFile:
    count = len(rows)
    changed: dict[str, tuple[list[int], list[str | None]]] = {}
    extra: list[dict[str, Any]] = []
    extra_order: list[float] = []
    spots: list[float] = []
    for position, _, mutation in hits:
        if mutation.place == "here":
            for name, value in mutation.changes.items():
                places, values = changed.setdefault(name, ([], []))
                places.append(position)
                values.append(value)
            spots.append(float(position))
            continue
        extra.append(rows.row(position, named=True) | mutation.changes)
        spots.append(
            {"before": position - 0.5, "after": position + 0.5, "end": count + len(extra)}[mutation.place]
        )
        extra_order.append(spots[-1])
    for name, (places, values) in changed.items():
        series = rows[name].scatter(places, pl.Series(values, dtype=rows.schema[name]))
        rows = rows.with_columns(series.alias(name))
    order = np.arange(count, dtype=float)
    if extra:
        rows = pl.concat([rows, pl.DataFrame(extra, schema=rows.schema)])
        order = np.append(order, extra_order)
        sorting = np.argsort(order, kind="stable")
        rows, order = rows[sorting], order[sorting]
    final = np.searchsorted(order, np.array(spots)) if spots else np.arange(0)
    broken: dict[int, str] = {
        int(at): hit[2].damage for at, hit in zip(final, hits, strict=True) if hit[2].damage
    }
    entries = [
        Entry(
            kind.name,
            mutation.outcome or kind.outcome,
            kind.rule if mutation.rule is None else mutation.rule,
            row_number=office.row_number(int(at)),
            column=mutation.column,
            expected_value=mutation.expected,
            note=mutation.note,
        )
        for at, (_, kind, mutation) in zip(final, hits, strict=True)
    ]
    touched = np.array([hit[0] for hit in hits], dtype=np.int64)
    changed_rows = np.array([hit[0] for hit in hits if hit[2].place == "here"], dtype=np.int64)
    corrigible = [position for position, kind, mutation in hits if _is_corrigible(feed, kind, mutation)]
    return SpoiltFile(
        rows,
        broken,
        entries,
        np.delete(np.arange(count), touched),
        np.delete(np.arange(count), changed_rows),
        np.array(sorted(corrigible), dtype=np.int64),
    )


def _is_corrigible(feed: Feed, kind: Kind, mutation: Mutation) -> bool:
    """Whether a corrected row can be recognised as this refused one by its key."""
    kept = {*feed.business_key, "uscc", "party_name", "enterprise_name"}
    outcome = mutation.outcome or kind.outcome
    readable = bool(mutation.changes) and kind.name not in ("undecodable", "foreign_row")
    return outcome == "quarantined" and readable and not kept & set(mutation.changes)
