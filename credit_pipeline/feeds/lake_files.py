"""Writes the Parquet of one input file so that it is wholly in the lake or wholly out.

Everything goes to temporary files; they get their names when the file is complete, and the ledger entry,
written last, makes them count. Files without an entry are what a crash left and are swept before the next
file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.lake_schema import (
    PARQUET_OPTIONS,
    QUARANTINE_SCHEMA,
    REPAIRS_SCHEMA,
    lake_schema,
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
        if self.writer is None:
            self.final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.writer = pq.ParquetWriter(self.temporary, _with_views(self.schema), **PARQUET_OPTIONS)
        table = pa.concat_tables(self.waiting).combine_chunks()
        self.waiting = []
        self.writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None


class LakeWriter:
    """Takes the accepted, quarantined and repaired rows of one input file; `commit` or `abort` ends it."""

    def __init__(self, settings: Settings, feed: Feed, ingest_date: date, name: str) -> None:
        self._lake = settings.lake_dir
        partition = Path(feed.name) / f"ingest_date={ingest_date.isoformat()}" / f"{name}.parquet"
        self._parts = {
            "quarantine": _Part(settings.quarantine_dir / partition, QUARANTINE_SCHEMA),
            "repairs": _Part(settings.repairs_dir / partition, REPAIRS_SCHEMA),
            "raw": _Part(settings.raw_dir / partition, lake_schema(feed)),
        }

    def write(self, kind: str, frame: pl.DataFrame) -> None:
        """Add rows to `raw`, `quarantine` or `repairs`; columns are taken by name."""
        if not frame.is_empty():
            part = self._parts[kind]
            part.add(_as_table(frame, part.schema))

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
            _sync_folder(part.final.parent)
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


def _sync_folder(folder: Path) -> None:
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
    _sync_folder(path.parent)


def lake_parquet(settings: Settings, feed_name: str) -> list[Path]:
    """Every Parquet file of a feed but the zero-row ones, sorted."""
    found = []
    for folder in (settings.raw_dir, settings.quarantine_dir, settings.repairs_dir):
        empty = schema_file(folder, feed_name)
        found += [path for path in (folder / feed_name).glob("ingest_date=*/*.parquet") if path != empty]
    return sorted(found)


def sweep(settings: Settings, feed_name: str, kept: Iterable[str]) -> list[Path]:
    """Remove what a crash left of a feed: temporary files and Parquet that no ledger entry names.

    Args:
        kept: paths of outputs in the ledger, relative to the lake.
    """
    known = {settings.lake_dir / path for path in kept}
    swept = [path for path in lake_parquet(settings, feed_name) if path not in known]
    for folder in (settings.raw_dir, settings.quarantine_dir, settings.repairs_dir, settings.ledger_dir):
        swept += sorted((folder / feed_name).rglob("*.tmp"))
    for path in swept:
        path.unlink()
        if path.parent.name != feed_name and not any(path.parent.iterdir()):
            path.parent.rmdir()
    return swept
