"""The ledger: one JSON per input file ever ingested, and whether the lake holds what it says.

An entry is written last and never changes; without it the Parquet of a file does not count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.lake_files import file_sha256, lake_parquet, write_atomically
from credit_pipeline.settings import Settings

_ENTRY_NAME = re.compile(r"[0-9a-f]{64}\.json")
COUNTS = ("read", "accepted", "quarantined", "duplicates")


@dataclass(frozen=True)
class FileReport:
    """What became of one input file; the ledger entry has the same fields."""

    feed: str
    file: str
    """Path relative to landing."""
    sha256: str
    size: int
    format: str
    """csv, excel, json, json_lines, parquet; several joined by + for an archive (zip:csv+excel)."""
    encoding: str | None
    sheets: list[str]
    ingest_date: str
    sequence: int
    """Position among all files of the feed, from 1: the order in which versions of a fact arrived."""
    read: int
    accepted: int
    quarantined: int
    """Rows, not broken rules."""
    duplicates: int
    repaired: int
    """Accepted rows with at least one repaired cell."""
    rules: dict[str, int]
    """Broken rule → times; a row may break several."""
    repairs: dict[str, int]
    unknown_columns: list[str]
    """Headers whose values went into `extra`."""
    missing_columns: list[str]
    """Stored columns that no table of the file sends."""
    dropped_columns: list[str]
    """Headers of personal data that were not read."""
    conflicts: dict[str, int]
    """Column sent under two headers → rows in which they differ; the second is in `extra`."""
    layout_rows: int
    """Titles, unit lines, footers and blank rows; not counted as read."""
    problem: dict[str, str | None] | None
    """The first of `problems`."""
    problems: list[dict[str, str | None]]
    """file, sheet, rule, message, remedy of every refused file, sheet or archive member."""
    outputs: list[dict[str, Any]]
    """path (relative to the lake), sha256, size, rows of every Parquet written."""


@dataclass(frozen=True)
class FeedReport:
    """What an ingest of one feed did."""

    feed: str
    as_of_date: date
    files: list[FileReport] = field(default_factory=list)
    known_files: int = 0
    """Files in landing whose content was ingested before."""
    is_replay: bool = False
    """The day lies before the last ingested one, so nothing was read."""
    rows_in_lake: int = 0
    """Accepted rows of the feed over all days."""

    @property
    def read(self) -> int:
        return sum(file.read for file in self.files)

    @property
    def accepted(self) -> int:
        return sum(file.accepted for file in self.files)

    @property
    def quarantined(self) -> int:
        return sum(file.quarantined for file in self.files)

    @property
    def duplicates(self) -> int:
        return sum(file.duplicates for file in self.files)

    @property
    def repaired(self) -> int:
        return sum(file.repaired for file in self.files)

    def to_markdown(self) -> str:
        """A table of the files for the UI."""
        if not self.files:
            return "replay: nothing is read" if self.is_replay else "no new files"
        lines = [
            "| file | read | accepted | quarantined | duplicates | repaired | remarks |",
            "|---|--:|--:|--:|--:|--:|---|",
        ]
        for file in self.files:
            remarks = [f"{item['rule']}: {item['message']}" for item in file.problems]
            remarks += [f"{rule} × {count}" for rule, count in file.rules.items() if not file.problems]
            remarks += [f"unknown columns {', '.join(file.unknown_columns)}"] if file.unknown_columns else []
            cells = [file.file, *(f"{n:,}" for n in _counts(file)), "; ".join(remarks)]
            lines.append(
                "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
            )
        return "\n".join(lines)


def _counts(file: FileReport) -> tuple[int, ...]:
    return file.read, file.accepted, file.quarantined, file.duplicates, file.repaired


def write_entry(settings: Settings, report: FileReport) -> None:
    """Write the ledger entry of a file; from now on the file is in the lake."""
    text = json.dumps(asdict(report), ensure_ascii=False, indent=1, sort_keys=True)
    write_atomically(
        settings.ledger_dir / report.feed / f"{report.sha256}.json", text.encode("utf-8") + b"\n"
    )


@lru_cache(maxsize=100_000)
def _read_entry(path: Path, modified: int, size: int) -> dict[str, Any]:
    """Entries never change, so each is parsed once per process."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_ledger(settings: Settings, feed_name: str) -> list[dict[str, Any]]:
    """Entries of a feed in the order of ingestion; fields as in `FileReport`."""
    folder = settings.ledger_dir / feed_name
    if not folder.is_dir():
        return []
    entries = []
    for path in folder.iterdir():
        if _ENTRY_NAME.fullmatch(path.name):
            status = path.stat()
            entries.append(dict(_read_entry(path, status.st_mtime_ns, status.st_size)))
    return sorted(entries, key=lambda entry: entry["sequence"])


def totals(settings: Settings, feed_name: str) -> dict[str, int]:
    """read, accepted, quarantined and duplicates of a feed over all files ever ingested."""
    entries = read_ledger(settings, feed_name)
    return {name: sum(entry[name] for entry in entries) for name in COUNTS}


def last_ingest_date(settings: Settings) -> date | None:
    """The last day on which any feed of the lake took in a file; None for an empty lake."""
    if not settings.ledger_dir.is_dir():
        return None
    days = [
        entry["ingest_date"]
        for folder in settings.ledger_dir.iterdir()
        if folder.is_dir()
        for entry in read_ledger(settings, folder.name)
    ]
    return date.fromisoformat(max(days)) if days else None


def reconcile(settings: Settings, feed: Feed) -> list[str]:
    """Differences between the ledger of a feed and what its Parquet files really hold; empty when all
    agrees.

    Rows are counted in every file; contents are hashed for the last day's files and wherever the size
    differs.
    """
    entries = read_ledger(settings, feed.name)
    last_day = max((entry["ingest_date"] for entry in entries), default=None)
    differences = []
    for entry in entries:
        name = entry["file"]
        if entry["read"] != entry["accepted"] + entry["quarantined"] + entry["duplicates"]:
            differences.append(f"{name}: read is not accepted + quarantined + duplicates")
        found = {"raw": 0, "quarantine": 0, "repairs": 0}
        for output in entry["outputs"]:
            path = settings.lake_dir / output["path"]
            kind = output["path"].split("/")[0]
            try:
                found[kind] += _rows(path, kind)
                changed = path.stat().st_size != output["size"] or (
                    entry["ingest_date"] == last_day and file_sha256(path) != output["sha256"]
                )
            except (OSError, pa.ArrowException) as error:
                differences.append(f"{name}: {output['path']} cannot be read ({type(error).__name__})")
                continue
            if changed:
                differences.append(f"{name}: {output['path']} is not the file that was written")
        for kind, count in (("raw", "accepted"), ("quarantine", "quarantined"), ("repairs", "repaired")):
            if found[kind] != entry[count]:
                differences.append(
                    f"{name}: {entry[count]} rows {count} in the ledger, {found[kind]} in {kind}"
                )
    named = {settings.lake_dir / output["path"] for entry in entries for output in entry["outputs"]}
    differences += [
        f"{path.relative_to(settings.lake_dir).as_posix()}: no ledger entry names this file"
        for path in lake_parquet(settings, feed.name)
        if path not in named
    ]
    return differences


def _rows(path: Path, kind: str) -> int:
    """Rows of a raw file; distinct source rows of quarantine and repairs, which have one entry per rule or
    cell."""
    if kind == "raw":
        return pq.read_metadata(path).num_rows
    places = pl.read_parquet(path, columns=["file", "sheet", "row_number"], hive_partitioning=False)
    return places.n_unique()


def outputs_of(entries: Iterable[dict[str, Any]]) -> list[str]:
    """Paths of all Parquet files that ledger entries name."""
    return [output["path"] for entry in entries for output in entry["outputs"]]
