"""Writes the Parquet of one input file so that it is wholly in the lake or wholly out.

Everything goes to temporary files; they get their names when the file is complete, and the ledger entry,
written last, makes them count. Files without an entry are what a crash left and are swept before the next
file. Months that were put together (`compaction`) are listed here too: whoever wants the files of a ledger
entry asks `MonthFiles` where they are now.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.lake_schema import (
    INGEST_DATE,
    KINDS,
    kind_schema,
    parquet_options,
    schema_file,
)
from credit_pipeline.settings import Settings

ROW_GROUP_ROWS = 122_880
"""Rows collected before they are written: DuckDB's own size of a row group."""


@dataclass(frozen=True)
class Output:
    """A Parquet file in the lake."""

    path: str
    """Relative to the lake."""
    sha256: str
    size: int
    rows: int


@contextmanager
def private_files() -> Iterator[None]:
    """The lake holds personal and confidential data: its files are for their owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Part:
    """One Parquet file in the making."""

    def __init__(self, final: Path, schema: pa.Schema) -> None:
        self.final, self.schema = final, schema
        self.temporary = final.with_name(final.name + ".tmp")
        self.writer: pq.ParquetWriter | None = None
        self.waiting: list[pa.Table] = []
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        self.waiting.append(table)
        self.rows += table.num_rows
        if sum(item.num_rows for item in self.waiting) >= ROW_GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        if not self.waiting:
            return
        table = pa.concat_tables(self.waiting).combine_chunks()
        self.waiting = []
        if self.writer is None:
            self.final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.writer = pq.ParquetWriter(self.temporary, _with_views(self.schema), **parquet_options(table))
        self.writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class LakeWriter:
    """Takes what became of the rows of one input file; `commit` or `abort` ends it."""

    def __init__(self, settings: Settings, feed: Feed, ingest_date: date, name: str) -> None:
        self._lake = settings.lake_dir
        self._day = pl.lit(ingest_date, dtype=pl.Date).alias(INGEST_DATE.name)
        partition = Path(feed.name) / f"ingest_date={ingest_date.isoformat()}" / f"{name}.parquet"
        self._parts = {
            kind: _Part(settings.lake_dir / kind / partition, kind_schema(kind, feed))
            for kind in reversed(KINDS)
        }

    def write(self, kind: str, frame: pl.DataFrame) -> None:
        """Add rows to one of `KINDS`; columns are taken by name, `ingest_date` is added."""
        if not frame.is_empty():
            part = self._parts[kind]
            part.add(_as_table(frame.with_columns(self._day), part.schema))

    def commit(self) -> list[Output]:
        """Give all files their names, accepted rows last; they count once the ledger says so."""
        for part in self._parts.values():
            part.flush()
            part.close()
        written = [part for part in self._parts.values() if part.rows]
        outputs = []
        for part in written:
            with part.temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            size = part.temporary.stat().st_size
            relative = part.final.relative_to(self._lake).as_posix()
            outputs.append(Output(relative, file_sha256(part.temporary), size, part.rows))
        for part in written:
            part.temporary.replace(part.final)
            sync_folder(part.final.parent)
        return outputs

    def abort(self) -> None:
        """Remove what was written so far."""
        for part in self._parts.values():
            part.close()
            part.temporary.unlink(missing_ok=True)


def _as_table(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """Arrow without copying the strings; casting views to strings took as long as writing them."""
    table = frame.select(schema.names).to_arrow(compat_level=pl.CompatLevel.newest())
    return table.cast(_with_views(schema))


def _with_views(schema: pa.Schema) -> pa.Schema:
    """The same Parquet types; text as the views polars keeps, which are written as plain VARCHAR."""
    return pa.schema(
        [field.with_type(pa.string_view()) if field.type == pa.string() else field for field in schema]
    )


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a small file so that a reader or a crash sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


MONTH_RECORD = "_record.json"
"""Beside the Parquet of a month; readers of a folder pass over names that begin with an underscore."""


class MonthFiles:
    """The months of a feed that were put together: which files they took the place of, and what they hold."""

    def __init__(self, settings: Settings, feed_name: str) -> None:
        self.records = [
            _read_record(path, path.stat().st_mtime_ns)
            for kind in KINDS
            for path in sorted((settings.lake_dir / kind / feed_name).glob(f"ingest_month=*/{MONTH_RECORD}"))
        ]
        """kind, month, path, sha256, size, rows, content_hash, outputs (path, rows, source_rows); see
        `compaction`."""
        self._places = {
            output["path"]: (record["path"], output)
            for record in self.records
            for output in record["outputs"]
        }

    def place(self, path: str) -> str:
        """Where the rows of an output are now: the path of its month, or its own."""
        return self._places[path][0] if path in self._places else path

    def output(self, path: str) -> dict[str, Any] | None:
        """What the record of its month says of an output; None if it still has a file of its own."""
        return self._places[path][1] if path in self._places else None

    def places(self, paths: Iterable[str]) -> list[str]:
        """The files that hold the rows of these outputs, each once, in the order of the outputs."""
        return list(dict.fromkeys(map(self.place, paths)))


@lru_cache(maxsize=100_000)
def _read_record(path: Path, modified: int) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def lake_parquet(settings: Settings, feed_name: str) -> list[Path]:
    """Every Parquet file of a feed but the zero-row ones, sorted."""
    found = []
    for kind in KINDS:
        folder = settings.lake_dir / kind
        empty = schema_file(folder, feed_name)
        found += [path for path in (folder / feed_name).glob("*/*.parquet") if path != empty]
    return sorted(found)


def sweep(settings: Settings, feed_name: str, kept: Iterable[str]) -> list[Path]:
    """Remove what a crash left of a feed: temporary files, and Parquet of a day that no ledger entry names.

    A month's file is never swept: if its record were damaged, the rows would be gone.

    Args:
        kept: paths of outputs in the ledger, relative to the lake.
    """
    known = {settings.lake_dir / path for path in kept}
    swept = [
        path
        for path in lake_parquet(settings, feed_name)
        if path not in known and path.parent.name.startswith("ingest_date=")
    ]
    for folder in (*KINDS, "ledger"):
        swept += sorted((settings.lake_dir / folder / feed_name).rglob("*.tmp"))
    for path in swept:
        path.unlink()
        if path.parent.name != feed_name and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return swept
