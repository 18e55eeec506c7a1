"""Takes texts that are no longer needed out of old Parquet files of the lake: the columns become null, everything else stays.

Here: which files are old, rewriting one, and the record that lets the accounts go on agreeing. Not here: how long texts are kept
(`audit.retention`). Rows, their places, rules and counts stay, so read = accepted + quarantined + duplicates holds as before,
and the ledger is not touched: beside it a record of the file says what it hashes to since. The record is written before the
file is replaced; until then, and after a crash in between, the file is the one the ledger names, which counts as well.
"""

from __future__ import annotations

import calendar
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.lake_files import file_sha256, lake_parquet, sync_folder, write_atomically
from credit_pipeline.feeds.lake_schema import parquet_options
from credit_pipeline.settings import Settings

TEXT_COLUMNS = {"quarantine": ("value", "row_text"), "repairs": ("value", "repaired")}
"""Columns that hold what a source sent, by kind of file; of raw rows the personal ones of the feed."""


@dataclass(frozen=True)
class BlankedFile:
    """One file without its texts."""

    path: str
    """Relative to the lake."""
    rows: int
    columns: tuple[str, ...]
    sha256_before: str
    sha256: str
    size: int


def text_columns(feed: Feed, kind: str) -> tuple[str, ...]:
    """The columns of a kind of file that a purge blanks."""
    if kind == "raw":
        return tuple(
            column.name
            for column in feed.columns
            if column.classification == "personal" and column.personal != "drop"
        )
    return TEXT_COLUMNS[kind]


def blank_old_files(
    settings: Settings, feed: Feed, kind: str, before: date, *, dry_run: bool = False
) -> list[BlankedFile]:
    """Blank the texts of all files whose newest row was received before the day; those that hold none are passed over.

    The caller holds the lake's lock and has recorded nothing yet. With `dry_run` nothing is written: `sha256` and `size` are
    the file's own then.
    """
    wanted = text_columns(feed, kind)
    folder = settings.lake_dir / kind
    done = []
    for path in lake_parquet(settings, feed.name):
        if path.is_relative_to(folder) and _last_day(path.parent.name) < before:
            columns = _filled(path, wanted)
            if columns:
                done.append(_blank(settings, feed.name, path, columns, dry_run))
    return done


class BlankedFiles:
    """The files of a feed that were blanked, and whether a file is one of them."""

    def __init__(self, settings: Settings, feed_name: str) -> None:
        paths = sorted((settings.lake_dir / "blanked" / feed_name).glob("*.json"))
        records: Iterable[Mapping[str, Any]] = (json.loads(path.read_bytes()) for path in paths)
        self._records = {record["path"]: record for record in records}

    def is_as_left(self, path: Path, output: Mapping[str, Any], *, thorough: bool) -> bool:
        """Whether a file is the one that was written (`size`, `sha256` of the ledger or of a month's record), or that one
        without its texts. Contents are hashed if `thorough`."""
        size = path.stat().st_size
        known = [
            item for item in (output, self._records.get(output["path"])) if item and item["size"] == size
        ]
        return bool(known) and (not thorough or file_sha256(path) in {item["sha256"] for item in known})


def _last_day(folder: str) -> date:
    """The last day that the rows of a folder `ingest_date=D` or `ingest_month=M` can have."""
    text = folder.partition("=")[2]
    if folder.startswith("ingest_date="):
        return date.fromisoformat(text)
    year, month = map(int, text.split("-"))
    return date(year, month, calendar.monthrange(year, month)[1])


def _filled(path: Path, columns: Iterable[str]) -> tuple[str, ...]:
    """Those of the columns that the file has and in which any value stands."""
    present = set(pq.read_schema(path).names)
    table = pq.read_table(path, columns=[name for name in columns if name in present], partitioning=None)
    return tuple(name for name in table.column_names if table.column(name).null_count < table.num_rows)


def _blank(
    settings: Settings, feed_name: str, path: Path, columns: tuple[str, ...], dry_run: bool
) -> BlankedFile:
    relative = path.relative_to(settings.lake_dir).as_posix()
    before = file_sha256(path)
    rows = pq.read_metadata(path).num_rows
    if dry_run:
        return BlankedFile(relative, rows, columns, before, before, path.stat().st_size)
    temporary = path.with_name(path.name + ".tmp")
    try:
        _write_without(path, temporary, set(columns))
        done = BlankedFile(relative, rows, columns, before, file_sha256(temporary), temporary.stat().st_size)
        name = f"{hashlib.sha256(relative.encode()).hexdigest()[:16]}.json"
        text = json.dumps(asdict(done), ensure_ascii=False, indent=1, sort_keys=True)
        write_atomically(settings.lake_dir / "blanked" / feed_name / name, text.encode() + b"\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return done


def _write_without(path: Path, temporary: Path, columns: set[str]) -> None:
    """Row group by row group, so that a file of a month fits into memory."""
    with pq.ParquetFile(path) as source:
        schema = source.schema_arrow
        sample = source.read_row_group(0) if source.num_row_groups else schema.empty_table()
        with pq.ParquetWriter(temporary, schema, **parquet_options(sample)) as writer:
            for number in range(source.num_row_groups):
                table = source.read_row_group(number)
                kept = [
                    pa.nulls(table.num_rows, field.type)
                    if field.name in columns
                    else table.column(field.name)
                    for field in schema
                ]
                group = pa.table(kept, schema=schema)
                writer.write_table(group, row_group_size=max(group.num_rows, 1))
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
