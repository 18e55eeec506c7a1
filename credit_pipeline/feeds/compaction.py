"""Puts the days of past months together: one Parquet per feed, kind and month instead of one per input file.

Rows, their order and the ledger stay; only files change. What a reader sees changes in one step: all that a
feed has of a kind is prepared beside the lake (unchanged files as hard links), then the two folders change
places. A process that is killed leaves the old files or the new ones under the reader's pattern, never both
and never none; what lies beside is removed at the next start. The record of a month stands in the month's
own folder, so that it appears and vanishes with the file.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError, IntegrityError
from credit_pipeline.feeds.blanking import BlankedFiles
from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.lake_files import (
    MONTH_RECORD,
    ROW_GROUP_ROWS,
    MonthFiles,
    file_sha256,
    private_files,
    sync_folder,
    write_atomically,
)
from credit_pipeline.feeds.lake_schema import KINDS, kind_schema, parquet_options
from credit_pipeline.feeds.ledger import last_ingest_date, read_ledger, source_rows
from credit_pipeline.feeds.versions import hash_rows
from credit_pipeline.settings import Settings

KEPT_MONTHS = 2
"""Months that keep one file per input file, the month of the last ingested day being the first."""
_FOLDER = "compacting"
"""Folder of the lake in which months are prepared."""


@dataclass(frozen=True)
class CompactedMonth:
    """One month of one kind of a feed that became one file."""

    feed: str
    kind: str
    month: str
    files: int
    """How many there were."""
    rows: int
    size_before: int
    size: int
    content_hash: str
    """SHA-256 over the row hashes of all columns in order (`versions.hash_rows`, 8 bytes each, little-endian):
    the same before and after."""


def compact_lake(
    settings: Settings,
    kept_months: int = KEPT_MONTHS,
    progress: Callable[[str], object] = lambda message: None,
) -> list[CompactedMonth]:
    """Put together all past months of every feed but the latest ones. The caller holds the lake's lock.

    Args:
        kept_months: how many months stay as they are; at least the one of the last ingested day, as files
            may still come for it.
        progress: called with one line per month; carries counts only.

    Raises:
        IntegrityError: a file is not the one that was written, or a month does not hold what its files held;
            nothing of that feed and kind has changed.
    """
    if kept_months < 1:
        raise CreditPipelineError("at least one month must stay as it is: files may still come for it")
    finish_compaction(settings)
    last = last_ingest_date(settings)
    if last is None:
        return []
    first_kept = _month_before(last, kept_months - 1)
    done: list[CompactedMonth] = []
    with private_files():
        for feed in load_catalogue().values():
            for kind in KINDS:
                months = _open_months(settings, feed, kind, first_kept)
                if months:
                    done += _compact(settings, feed, kind, months)
                    for month in done[-len(months) :]:
                        progress(
                            f"{month.kind}/{month.feed} {month.month}: {month.files:,} files, "
                            f"{month.rows:,} rows, {month.size_before:,} to {month.size:,} bytes"
                        )
    return done


def record_compaction(settings: Settings, done: Sequence[CompactedMonth], run_id: str | None) -> None:
    """Append to the audit log what was put together; nothing if nothing was."""
    if not done:
        return
    months = [
        {"table": f"{month.kind}/{month.feed}", "month": month.month, "files": month.files, "rows": month.rows,
         "content_hash": month.content_hash}
        for month in done
    ]  # fmt: skip
    AuditLog(settings.audit_log_path).append("lake_compacted", "feeds", run_id, months=months)


def finish_compaction(settings: Settings) -> None:
    """Clear away what a killed compaction left. Under the reader's pattern all is whole already, but on file
    systems that cannot exchange two folders: there the old folder may have to get its name back."""
    beside = settings.lake_dir / _FOLDER
    if not beside.exists():
        return
    for kind in KINDS:
        for old in sorted((beside / kind).glob("*.old")):
            live = settings.lake_dir / kind / old.stem
            if not live.exists():
                old.rename(live)
                sync_folder(live.parent)
    shutil.rmtree(beside)


def _month_before(day: date, months: int) -> str:
    number = day.year * 12 + day.month - 1 - months
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


def _open_months(
    settings: Settings, feed: Feed, kind: str, first_kept: str
) -> dict[str, list[dict[str, Any]]]:
    """Outputs of past months that still have files of their own, by month, in the order of ingestion.

    Order of the rows in a month: day received, sequence in the ledger, place in the file. The sequence grows
    with the day, since a run for a day before the last one reads nothing.
    """
    months = MonthFiles(settings, feed.name)
    found: dict[str, list[dict[str, Any]]] = {}
    entries = sorted(
        read_ledger(settings, feed.name), key=lambda entry: (entry["ingest_date"], entry["sequence"])
    )
    for entry in entries:
        month = entry["ingest_date"][:7]
        for output in entry["outputs"]:
            is_open = output["path"].startswith(f"{kind}/") and months.output(output["path"]) is None
            if is_open and month < first_kept:
                found.setdefault(month, []).append(output)
    closed = {record["month"] for record in months.records if record["kind"] == kind}
    if closed & found.keys():
        raise IntegrityError(
            f"{kind}/{feed.name}: files of {', '.join(sorted(closed & found.keys()))} lie beside the file of "
            "their month; remedy: credit-pipeline lake check, then restore the lake from its backup"
        )
    return dict(sorted(found.items()))


def _compact(
    settings: Settings,
    feed: Feed,
    kind: str,
    months: dict[str, list[dict[str, Any]]],
) -> list[CompactedMonth]:
    """Prepare the folder of a feed and kind with these months put together, and let it take its place."""
    live = settings.lake_dir / kind / feed.name
    stage = settings.lake_dir / _FOLDER / kind / feed.name
    stage.mkdir(parents=True, mode=0o700)
    gone = {settings.lake_dir / output["path"] for outputs in months.values() for output in outputs}
    try:
        done = [
            _write_month(settings, feed, kind, month, outputs, stage) for month, outputs in months.items()
        ]
        for path in sorted(live.rglob("*")):
            if path.is_file() and path not in gone:
                copy = stage / path.relative_to(live)
                copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.link(path, copy)
        for folder in [stage, *(path for path in stage.iterdir() if path.is_dir())]:
            sync_folder(folder)
    except Exception:
        shutil.rmtree(settings.lake_dir / _FOLDER)
        raise
    _exchange(live, stage)
    sync_folder(live.parent)
    sync_folder(stage.parent)
    shutil.rmtree(settings.lake_dir / _FOLDER)
    return done


def _write_month(
    settings: Settings,
    feed: Feed,
    kind: str,
    month: str,
    outputs: Sequence[dict[str, Any]],
    stage: Path,
) -> CompactedMonth:
    """Write the file of a month and its record into the prepared folder."""
    paths = [settings.lake_dir / output["path"] for output in outputs]
    blanked = BlankedFiles(settings, feed.name)
    for path, output in zip(paths, outputs, strict=True):
        if not path.exists() or not blanked.is_as_left(path, output, thorough=True):
            raise IntegrityError(
                f"{output['path']} is not the file that was written, so {month} is left as it is; "
                "remedy: restore it from the backup, see credit-pipeline lake check"
            )
    schema = _common_schema(kind_schema(kind, feed), paths)
    folder = stage / f"ingest_month={month}"
    folder.mkdir(mode=0o700)
    temporary = folder / "month.tmp"
    counts: list[dict[str, Any]] = []
    before = hashlib.sha256()
    sample = pa.concat_tables([schema.empty_table(), *(next(_tables(path, schema)) for path in paths[:5])])
    with pq.ParquetWriter(temporary, schema, **parquet_options(sample)) as writer:
        waiting: list[pa.Table] = []
        for path, output in zip(paths, outputs, strict=True):
            rows, places = 0, []
            for table in _tables(path, schema):
                before.update(_row_hashes(table))
                rows += table.num_rows
                if kind in ("quarantine", "repairs"):
                    places.append(pl.DataFrame(pl.from_arrow(table.select(["file", "sheet", "row_number"]))))
                waiting.append(table)
                if sum(item.num_rows for item in waiting) >= ROW_GROUP_ROWS:
                    waiting = [_write_groups(writer, waiting)]
            counts.append(
                {
                    "path": output["path"],
                    "rows": rows,
                    "source_rows": source_rows(pl.concat(places)) if places else rows,
                }
            )
        if waiting:
            _write_groups(writer, waiting, whole=True)
    after = hashlib.sha256()
    for table in _tables(temporary, schema):
        after.update(_row_hashes(table))
    if after.digest() != before.digest():
        raise IntegrityError(f"{kind}/{feed.name}: the file of {month} does not hold what its files held")
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    final = folder / f"{before.hexdigest()[:16]}.parquet"
    temporary.rename(final)
    relative = f"{kind}/{feed.name}/{folder.name}/{final.name}"
    done = CompactedMonth(
        feed=feed.name,
        kind=kind,
        month=month,
        files=len(paths),
        rows=sum(item["rows"] for item in counts),
        size_before=sum(output["size"] for output in outputs),
        size=final.stat().st_size,
        content_hash=before.hexdigest(),
    )
    record = asdict(done) | {"path": relative, "sha256": file_sha256(final), "outputs": counts}
    text = json.dumps(record, ensure_ascii=False, indent=1, sort_keys=True)
    write_atomically(folder / MONTH_RECORD, text.encode("utf-8") + b"\n")
    return done


def _common_schema(schema: pa.Schema, paths: Sequence[Path]) -> pa.Schema:
    """The columns of today's catalogue and those that older files have besides; `ingest_date` stays last."""
    fields = {field.name: field for field in schema}
    last = fields.pop(schema.names[-1])
    for path in paths:
        for field in pq.read_schema(path):
            known = last if field.name == last.name else fields.setdefault(field.name, field)
            if known.type != field.type:
                raise IntegrityError(
                    f"{path.name}: column {field.name} is {field.type} there and {known.type} elsewhere; "
                    "remedy: give the changed column another name in the catalogue"
                )
    return pa.schema([*fields.values(), last])


def _tables(path: Path, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows of a file in pieces, under a schema of which it may lack columns."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS):
            names = set(batch.schema.names)
            yield pa.table(
                [
                    batch.column(field.name) if field.name in names else pa.nulls(len(batch), field.type)
                    for field in schema
                ],
                schema=schema,
            )


def _row_hashes(table: pa.Table) -> bytes:
    return hash_rows(pl.DataFrame(pl.from_arrow(table))).astype("<i8").tobytes()


def _write_groups(writer: pq.ParquetWriter, waiting: list[pa.Table], *, whole: bool = False) -> pa.Table:
    """Write row groups of one size, so that each spans few days and statistics rule out the others; what is
    left over."""
    table = pa.concat_tables(waiting)
    full = table.num_rows if whole else table.num_rows // ROW_GROUP_ROWS * ROW_GROUP_ROWS
    if full:
        writer.write_table(table.slice(0, full).combine_chunks(), row_group_size=ROW_GROUP_ROWS)
    return table.slice(full)


def _exchange(live: Path, stage: Path) -> None:
    """Let two folders change places in one step (Linux, on any local file system).

    Where the system cannot, the old one is put aside first: for a moment there is no folder, so a reader
    fails rather than sees half, and `finish_compaction` gives the old one its name back after a kill.
    """
    if not _exchange_at_once(live, stage):
        aside = stage.with_name(f"{stage.name}.old")
        live.rename(aside)
        stage.rename(live)


def _exchange_at_once(one: Path, other: Path) -> bool:
    """renameat2 with RENAME_EXCHANGE; False if the system or the file system does not know it."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2
    if rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(one))
