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
from credit_pipeline.sample.answer_key import Entry, file_rows, key_rows
from credit_pipeline.sample.city import City
from credit_pipeline.sample.column_sums import column_sums
from credit_pipeline.sample.dirt import Deck, SpoiltFile, spoil
from credit_pipeline.sample.dirt_codes import CODE_KINDS
from credit_pipeline.sample.dirt_identity import IDENTITY_KINDS
from credit_pipeline.sample.dirt_rows import ROW_KINDS
from credit_pipeline.sample.dirt_values import VALUE_KINDS
from credit_pipeline.sample.office import Office
from credit_pipeline.sample.offices import deliveries
from credit_pipeline.sample.render import render
from credit_pipeline.sample.streams import GO_LIVE, Window, stream
from credit_pipeline.sample.writers import HIDDEN_SHEET, csv_bytes, write, write_zip

KINDS = [*IDENTITY_KINDS, *CODE_KINDS, *VALUE_KINDS, *ROW_KINDS]
TRUTH = "_truth"
"""Folder of the hidden risk and the answer key; a name with an underscore is never a feed."""
ANSWER_KEY, FILE_ROWS, COLUMN_SUMS = "answer_key.csv", "file_rows.csv", "column_sums.csv"
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
    """By feed: clean rows of the go-live load, of one file."""
    refused: dict[str, pl.DataFrame] = field(default_factory=dict)
    """By feed: rows of the go-live load as they should have been, whose spoilt form will be refused."""
    _key: list[pl.DataFrame] = field(default_factory=list)
    _rows: list[pl.DataFrame] = field(default_factory=list)
    _sums: list[pl.DataFrame] = field(default_factory=list)
    _chosen: set[tuple[str | int, ...]] = field(default_factory=set)

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
            self.holds(name, file, office, len(spoilt.rows))
            sheet = office.layout.sheet if office.layout else ""
            self._sums.append(column_sums(feed, file, sheet, office.columns, piece, spoilt.unchanged))
            if window.is_history and not clean:
                self._remember(name, office, piece, spoilt)
            delivered.append(Delivered(file, office, len(spoilt.rows)))
        for path, members in archives.items():
            self._announce(path)
            write_zip(self.out / path, members)
        total = sum(one.rows for one in delivered)
        if delivered:
            self.progress(f"{folder}{suffix.replace('_', ' ')}: {total:,} rows in {len(delivered)} files")
        return delivered

    def _remember(self, name: str, office: Office, piece: pl.DataFrame, spoilt: SpoiltFile) -> None:
        """What the go-live load lets a reader know, and rows for later deliveries."""
        city, firms = self.city, piece["_firm"].to_numpy()
        clean = firms[spoilt.clean]
        if name == "registrations":
            city.in_register[np.delete(firms, spoilt.clean)] = False
            if "reg_no" in office.columns:
                city.reg_no_in_register[clean] = city.reg_no[clean].is_not_null().to_numpy()
        elif name == "registration_changes":
            renamed = (piece["changed_field"] == "name").to_numpy()
            city.rename_in_register[clean[renamed[spoilt.clean]]] = True
        if name not in self.sent:
            self.sent[name] = piece[spoilt.clean[:_REMEMBERED]]
        if name not in self.refused and len(spoilt.corrigible):
            self.refused[name] = piece[spoilt.corrigible[:_REMEMBERED]]

    def deliver_broken(
        self,
        name: str,
        rows: pl.DataFrame,
        file: str,
        *,
        change: Callable[[Office], Office] = lambda office: office,
        damage: Callable[[bytes], bytes] = lambda data: data,
    ) -> tuple[Office, int]:
        """Write a few rows of a feed as one file of any name, whose office or bytes are changed.

        Returns the office and the number of rows; nothing is entered into the key.
        """
        feed = get_feed(name)
        [(office, piece), *_] = deliveries(feed, rows, len(self.city))
        office = change(replace(office, file=office.file.partition("!")[2] or office.file))
        self._announce(file)
        write(self.out / file, office, feed, render(piece, feed, office), {}, damage)
        return office, len(piece)

    def copy(self, of: str, to: str) -> None:
        """The same content under another name."""
        self._announce(to)
        path = self.out / to
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((self.out / of).read_bytes())

    def write_bytes(self, file: str, content: bytes) -> None:
        """A file of any content."""
        self._announce(file)
        path = self.out / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def holds(self, feed: str, file: str, office: Office, rows: int) -> None:
        """Enter how many rows a file holds, and where."""
        layout = office.layout
        blank = layout.blank_after if layout else 0
        blank_row = office.first_row + blank if blank and rows > blank else None
        sheet = layout.sheet if layout else ""
        self.rows[feed] += rows
        self._rows.append(file_rows(feed, file, sheet, rows, office.first_row, blank_row))

    def is_new_choice(self, feed: str, rows: list[int]) -> bool:
        """Whether just these remembered rows of a feed were not chosen before."""
        choice: tuple[str | int, ...] = (feed, *rows)
        if choice in self._chosen:
            return False
        self._chosen.add(choice)
        return True

    def note_hidden(self, feed: str, file: str, rows: int, entry: Entry) -> None:
        """Enter the rows below the header of a hidden sheet."""
        self.rows[feed] += rows
        self._rows.append(file_rows(feed, file, HIDDEN_SHEET, rows, 2, None))
        entries = [replace(entry, sheet=HIDDEN_SHEET, row_number=place + 2) for place in range(rows)]
        self._key.append(key_rows(feed, file, entries))

    def note(self, feed: str, file: str, office: Office, entries: Iterable[Entry]) -> None:
        """Enter rows into the answer key."""
        sheet = office.layout.sheet if office.layout else ""
        self._key.append(key_rows(feed, file, (replace(entry, sheet=sheet) for entry in entries)))

    def note_file(self, feed: str, file: str, entry: Entry) -> None:
        """Enter what becomes of a whole file into the answer key."""
        self._key.append(key_rows(feed, file, [entry]))

    def _announce(self, path: str) -> None:
        """Enter a file into the list of ours before it is written, so that a broken run can be cleared."""
        self.files.append(path)
        with (self.out / TRUTH / _MANIFEST).open("a", encoding="utf-8") as listed:
            listed.write(path + "\n")

    def extend_key(self) -> None:
        """Add what was written since to the answer key of an earlier sample in the same folder."""
        for name, parts in ((ANSWER_KEY, self._key), (FILE_ROWS, self._rows), (COLUMN_SUMS, self._sums)):
            with (self.out / TRUTH / name).open("ab") as file:
                pl.concat(parts).write_csv(file, include_header=False)

    def write_key(self) -> Path:
        """Write the answer key, the list of rows and the sums over clean ones; day by day, so that a longer sample's begins with a shorter one's."""
        path = self.out / TRUTH / ANSWER_KEY
        pl.concat(self._key).write_csv(path)
        pl.concat(self._rows).write_csv(self.out / TRUTH / FILE_ROWS)
        pl.concat(self._sums).write_csv(self.out / TRUTH / COLUMN_SUMS)
        return path


def _traits(office: Office) -> list[Entry]:
    return [
        Entry(trait.kind, "file", trait.rule, column=trait.column, note=trait.note) for trait in office.traits
    ]


def _suffixed(name: str, suffix: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return f"{stem}{suffix}{dot}{extension}"
