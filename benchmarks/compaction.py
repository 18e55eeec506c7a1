"""Reading a lake of many small days, before and after its months were put together.

Makes a lake of one feed with one small file a day (1,000 days by default) by the pipeline's own writer and
ledger, reads it as dbt does, compacts it and reads it again. Run: `make bench`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from benchmarks.delivery import AS_OF, City, write_delivery
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.compaction import compact_lake
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.feeds.lake_files import LakeWriter, MonthFiles, private_files
from credit_pipeline.feeds.lake_schema import ensure_schema_files
from credit_pipeline.feeds.ledger import (
    FileReport,
    outputs_of,
    read_ledger,
    reconcile,
    write_entry,
)
from credit_pipeline.feeds.versions import VersionIndex
from credit_pipeline.settings import Settings

FEED = "penalties"


def _fill(settings: Settings, days: int, rows: int) -> None:
    """One file of accepted rows a day; the first day is ingested, the others are its rows under other numbers."""
    write_delivery(settings.landing_dir, rows * 5, 0.0)
    feed = get_feed(FEED)
    first = AS_OF + timedelta(days=1)
    ingest_feed(feed, settings, first)
    [entry] = read_ledger(settings, FEED)
    [path] = [output["path"] for output in entry["outputs"] if output["path"].startswith("raw/")]
    sample = pl.read_parquet(settings.lake_dir / path, hive_partitioning=False)
    codes = City(rows).codes(np.arange(rows))
    for number in range(1, days):
        day = first + timedelta(days=number)
        digest = f"{number:064x}"
        with private_files():
            writer = LakeWriter(settings, feed, day, f"{number:016x}")
            frame = sample.with_columns(
                codes.alias("uscc"),
                pl.concat_str(pl.col("document_no"), pl.lit(f"-{number}")).alias("document_no"),
                (pl.col("row_hash") ^ number).alias("row_hash"),
            )
            writer.write("raw", frame)
            outputs = [asdict(output) for output in writer.commit()]
            report = FileReport(
                **{field: entry[field] for field in FileReport.__dataclass_fields__}
                | {"sha256": digest, "ingest_date": day.isoformat(), "sequence": number + 1, "outputs": outputs,
                   "accepted": rows, "read": rows, "repaired": 0, "quarantined": 0, "duplicates": 0}
            )  # fmt: skip
            write_entry(settings, report)


def _seconds(work: Callable[[], object], repeats: int = 5) -> float:
    """The best of some runs."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return min(found)


def _measure(settings: Settings) -> dict[str, float]:
    pattern = (
        f"read_parquet('{settings.raw_dir}/{FEED}/*/*.parquet', hive_partitioning=false, union_by_name=true)"
    )
    some_day = AS_OF + timedelta(days=400)

    def load() -> None:
        paths = [path for path in outputs_of(read_ledger(settings, FEED)) if path.startswith("raw/")]
        places = MonthFiles(settings, FEED).places(paths)
        VersionIndex(get_feed(FEED)).load([settings.lake_dir / place for place in places])

    with duckdb.connect(config={"threads": 2}) as connection:
        return {
            "count and sum of a column": _seconds(
                lambda: connection.execute(f"select count(*), sum(fine_fen) from {pattern}").fetchall()
            ),
            "rows of one past day": _seconds(
                lambda: connection.execute(
                    f"select count(*), sum(fine_fen) from {pattern} where ingest_date = date '{some_day}'"
                ).fetchall()
            ),
            "all columns": _seconds(
                lambda: connection.execute(f"create or replace temp table t as from {pattern}")
            ),
            "known versions, at the start of an ingest": _seconds(load, 2),
            "check of accounts": _seconds(lambda: reconcile(settings, get_feed(FEED)), 2),
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=200, help="rows a day")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        settings = Settings(landing_dir=root / "landing", lake_dir=root / "lake")
        ensure_schema_files(settings)
        _fill(settings, arguments.days, arguments.rows)
        before = _measure(settings)
        started = time.perf_counter()
        done = compact_lake(settings)
        seconds = time.perf_counter() - started
        after = _measure(settings)
    finally:
        shutil.rmtree(root)
    raw = [month for month in done if month.kind == "raw"]
    print(
        f"{arguments.days:,} days of {arguments.rows} rows of {FEED}; compaction took {seconds:.1f} s: "
        f"{sum(month.files for month in raw):,} files, {sum(month.size_before for month in raw) / 1e6:.1f} MB "
        f"became {len(raw)} files, {sum(month.size for month in raw) / 1e6:.1f} MB"
    )
    print("| seconds | one file a day | one file a month | times faster |\n|---|--:|--:|--:|")
    for name, slow in before.items():
        print(f"| {name} | {slow:.3f} | {after[name]:.3f} | {slow / after[name]:.1f} |")


if __name__ == "__main__":
    main()
