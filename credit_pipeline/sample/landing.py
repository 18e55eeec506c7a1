"""Putting the files of a feed into the landing folder: split, rendered, spoilt, written, in the answer key.

Here: one delivery of one feed, and the list of files that are ours. Not here: which feeds on which day
(generator).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import feed_names, get_feed
from credit_pipeline.sample.answer_key import Entry, key_rows
from credit_pipeline.sample.city import City
from credit_pipeline.sample.dirt import Deck, spoil
from credit_pipeline.sample.dirt_codes import CODE_KINDS
from credit_pipeline.sample.dirt_rows import ROW_KINDS
from credit_pipeline.sample.dirt_values import VALUE_KINDS
from credit_pipeline.sample.office import Office
from credit_pipeline.sample.offices import deliveries
from credit_pipeline.sample.render import render
from credit_pipeline.sample.streams import GO_LIVE, Window, stream
from credit_pipeline.sample.writers import csv_bytes, write, write_zip

KINDS = [*CODE_KINDS, *VALUE_KINDS, *ROW_KINDS]
TRUTH = "_truth"
"""Folder of the hidden risk and the answer key; a name with an underscore is never a feed."""
_MANIFEST = "files.txt"
_REMEMBERED = 40
"""Clean rows of each feed's first file that are kept, to be sent again or withdrawn later."""
_NO_DIRT = ("inspection_items",)
"""The legal list of items: thirty rows, each of which matters."""


@dataclass(frozen=True)
class Delivered:
    """A file that was written."""

    file: str
    """Relative to the landing folder; members as `a.zip!b.csv`."""
    office: Office
    rows: int

    def each_row(self, entry: Entry) -> list[Entry]:
        """The entry for every row of the file."""
        return [replace(entry, row_number=self.office.row_number(i)) for i in range(self.rows)]


def make_room(out: Path) -> None:
    """Remove the files of an earlier sample; anything else in a feed's folder is somebody's data.

    Raises:
        BadInput: a feed's folder holds a file that no sample wrote.
    """
    listed = out / TRUTH / _MANIFEST
    if listed.exists():
        for name in listed.read_text(encoding="utf-8").splitlines():
            path = out / name
            if ".." not in path.parts:
                path.unlink(missing_ok=True)
                if path.parent.is_dir() and not any(path.parent.iterdir()):
                    path.parent.rmdir()
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
class Landing:
    """The landing folder while a sample is written to it."""

    out: Path
    seed: int
    dirt: float
    city: City
    progress: Callable[[str], None]
    files: list[str] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(feed_names(), 0))
    sent: dict[str, pl.DataFrame] = field(default_factory=dict)
    """By feed: clean rows of the go-live load."""
    _key: list[pl.DataFrame] = field(default_factory=list)

    def deliver(
        self, name: str, data: pl.DataFrame, window: Window, clean: bool = False, suffix: str = ""
    ) -> list[Delivered]:
        """Write a feed's files of a day, `clean` without dirt, `suffix` at the end of their names."""
        feed = get_feed(name)
        share = 0.0 if clean or name in _NO_DIRT else self.dirt
        deck = Deck.of(feed, KINDS, stream(self.seed, f"dirt/{name}", window.day), share)
        day = GO_LIVE + timedelta(days=window.day - 1)
        folder = name if window.is_history else f"{name}/{day.isoformat()}"
        delivered: list[Delivered] = []
        archives: dict[str, dict[str, bytes]] = {}
        for office, piece in deliveries(feed, data, len(self.city)):
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
            self.note(name, file, office, [*_traits(office), *spoilt.entries])
            if window.is_history and name == "registrations":
                self.city.in_register[np.delete(firms, spoilt.clean)] = False
            if window.is_history and name not in self.sent:
                self.sent[name] = piece[spoilt.clean[:_REMEMBERED]]
            delivered.append(Delivered(file, office, len(spoilt.rows)))
        for path, members in archives.items():
            self._announce(path)
            write_zip(self.out / path, members)
        total = sum(one.rows for one in delivered)
        self.rows[name] += total
        if delivered:
            self.progress(f"{folder}{suffix.replace('_', ' ')}: {total:,} rows in {len(delivered)} files")
        return delivered

    def note(self, feed: str, file: str, office: Office, entries: Iterable[Entry]) -> None:
        """Enter rows into the answer key."""
        sheet = office.layout.sheet if office.layout else ""
        self._key.append(key_rows(feed, file, (replace(entry, sheet=sheet) for entry in entries)))

    def _announce(self, path: str) -> None:
        """Enter a file into the list of ours before it is written, so that a broken run can be cleared."""
        self.files.append(path)
        with (self.out / TRUTH / _MANIFEST).open("a", encoding="utf-8") as listed:
            listed.write(path + "\n")

    def write_key(self) -> Path:
        """Write the answer key; day by day, so that a longer sample's begins with a shorter one's."""
        path = self.out / TRUTH / "answer_key.csv"
        pl.concat(self._key).write_csv(path)
        return path


def _traits(office: Office) -> list[Entry]:
    return [
        Entry(trait.kind, "file", trait.rule, column=trait.column, note=trait.note) for trait in office.traits
    ]


def _suffixed(name: str, suffix: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return f"{stem}{suffix}{dot}{extension}"
