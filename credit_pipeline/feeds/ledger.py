"""The ledger: one JSON per input file ever ingested, and whether the lake holds what it says.

An entry is written last and never changes; without it the Parquet of a file does not count.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.blanking import BlankedFiles
from credit_pipeline.feeds.catalogue import Feed, feed_names
from credit_pipeline.feeds.lake_files import MonthFiles, lake_parquet, write_atomically
from credit_pipeline.feeds.lake_schema import INGEST_DATE, KINDS
from credit_pipeline.settings import Settings

_ENTRY_NAME = re.compile(r"[0-9a-f]{64}\.json")
COUNTS = ("read", "accepted", "quarantined", "duplicates")
COUNT_OF_KIND = {
    "raw": "accepted",
    "quarantine": "quarantined",
    "repairs": "repaired",
    "duplicates": "duplicates",
}
"""Kind of output → the ledger's count of its source rows."""


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
    left: list[str] = field(default_factory=list)
    """Files that changed while they were read, vanished or cannot be read: left for the next run, with the reason."""

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
        """A table of the files for the UI, and what was left for the next run."""
        left = "".join(f"\n\n{line}" for line in self.left)
        if not self.files:
            return ("replay: nothing is read" if self.is_replay else "no new files") + left
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
        return "\n".join(lines) + left


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


def ledger_digest(entries: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 that names a set of ingested files: one line `<feed> <SHA-256 of the file> <day> <accepted rows>` each, in
    the order of the lines.
    """
    lines = sorted(
        f"{entry['feed']} {entry['sha256']} {entry['ingest_date']} {entry['accepted']}\n" for entry in entries
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def lake_ledger_digest(settings: Settings, as_of_date: date) -> str:
    """The digest of all files of all feeds that a run of that day counts."""
    entries = [entry for feed in feed_names() for entry in read_ledger(settings, feed)]
    return ledger_digest(entry for entry in entries if entry["ingest_date"] <= as_of_date.isoformat())


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


def reconcile(settings: Settings, feed: Feed, *, thorough: bool = False) -> list[str]:
    """Differences between the ledger of a feed and what its Parquet files really hold; empty when all
    agrees.

    Rows are counted in every file; contents are hashed for the last day's files and wherever the size
    differs. Of a month that was put together the record says how many rows came from which output.

    Args:
        thorough: hash the contents of all files.
    """
    entries = read_ledger(settings, feed.name)
    last_day = max((entry["ingest_date"] for entry in entries), default=None)
    months = MonthFiles(settings, feed.name)
    blanked = BlankedFiles(settings, feed.name)
    differences: list[str] = []
    for entry in entries:
        name = entry["file"]
        if entry["read"] != entry["accepted"] + entry["quarantined"] + entry["duplicates"]:
            differences.append(f"{name}: read is not accepted + quarantined + duplicates")
        found = dict.fromkeys(KINDS, 0)
        for output in entry["outputs"]:
            kind = output["path"].split("/")[0]
            moved = months.output(output["path"])
            if moved is not None:
                found[kind] += moved["source_rows"]
                continue
            whole = thorough or entry["ingest_date"] == last_day
            found[kind] += _check_file(settings, output, kind, name, differences, blanked, thorough=whole)
        for kind, count in COUNT_OF_KIND.items():
            if found[kind] != entry[count]:
                differences.append(
                    f"{name}: {entry[count]} rows {count} in the ledger, {found[kind]} in {kind}"
                )
    for record in months.records:
        name = f"{feed.name} {record['month']}"
        rows = _check_file(settings, record, "raw", name, differences, blanked, thorough=thorough)
        if rows != record["rows"] or rows != sum(output["rows"] for output in record["outputs"]):
            differences.append(f"{name}: {record['path']} holds {rows} rows, its record says another number")
    paths = [output["path"] for entry in entries for output in entry["outputs"]]
    named = {settings.lake_dir / path for path in [*months.places(paths)]}
    known = set(paths)
    differences += [
        f"{record['path']}: its record names {output['path']}, the ledger does not"
        for record in months.records
        for output in record["outputs"]
        if output["path"] not in known
    ]
    differences += [
        f"{path.relative_to(settings.lake_dir).as_posix()}: no ledger entry names this file, or its rows are "
        "in the file of its month too"
        for path in lake_parquet(settings, feed.name)
        if path not in named
    ]
    return differences


def _check_file(
    settings: Settings,
    output: dict[str, Any],
    kind: str,
    name: str,
    differences: list[str],
    blanked: BlankedFiles,
    *,
    thorough: bool,
) -> int:
    """Source rows of a file; adds to the differences if it is not the one that was written, with or without its texts."""
    path = settings.lake_dir / output["path"]
    try:
        rows = _rows(path, kind)
        dated = INGEST_DATE.name in pq.read_schema(path).names
        changed = not blanked.is_as_left(path, output, thorough=thorough)
    except (OSError, pa.ArrowException) as error:
        differences.append(f"{name}: {output['path']} cannot be read ({type(error).__name__})")
        return 0
    if changed:
        differences.append(f"{name}: {output['path']} is not the file that was written")
    if not dated:
        differences.append(
            f"{name}: {output['path']} has no column {INGEST_DATE.name}, so SQL does not see its rows; "
            "an older version wrote it, read the landing files into a new lake"
        )
    return rows


def _rows(path: Path, kind: str) -> int:
    """Rows of accepted rows and duplicates; distinct source rows of quarantine and repairs, which have one
    entry per rule or cell."""
    if kind in ("raw", "duplicates"):
        return pq.read_metadata(path).num_rows
    return source_rows(pl.read_parquet(path, columns=PLACE, hive_partitioning=False))


PLACE = ["file", "sheet", "row_number"]
"""Columns that say which row of the input an entry of quarantine or repairs is about."""


def source_rows(frame: pl.DataFrame) -> int:
    """Distinct rows of the input that entries of quarantine or repairs are about."""
    return frame.select(PLACE).n_unique()


def outputs_of(entries: Iterable[dict[str, Any]]) -> list[str]:
    """Paths of all Parquet files that ledger entries name."""
    return [output["path"] for entry in entries for output in entry["outputs"]]
