"""Speed of the intake: our ingestion of CSV, contracts on, against DuckDB writing the same Parquet unchecked.

The floor reads the same CSV files and writes zstd Parquet, once with the types of the lake given
beforehand, once all as text; both keep the order of rows as we do. Floor and ours run as processes of their
own, in turns, in the same folder and with the same number of threads. Peak memory is that of the process
(no part starts others). Run: `make bench`, `make bench ROWS=10000000`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

THREADS = 2


@dataclass(frozen=True)
class Measured:
    """One process from start to end, imports included."""

    wall: float
    cpu: float
    peak_gb: float
    answer: dict[str, int]


def _measured(task: str, folder: Path) -> Measured:
    """Run one task of this module in a process of its own."""
    environment = os.environ | {"POLARS_MAX_THREADS": str(THREADS), "CREDIT_THREADS": str(THREADS)}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.ingest", "--task", task, "--folder", str(folder)],
        stdout=subprocess.PIPE,
        env=environment,
    )
    with process.stdout as stream:  # type: ignore[union-attr]
        output = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"task {task} failed")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20, json.loads(output))


def _floor(folder: Path, *, typed: bool) -> dict[str, int]:
    """DuckDB alone: CSV in, Parquet out."""
    import duckdb

    from benchmarks.delivery import FEEDS
    from credit_pipeline.feeds.catalogue import get_feed
    from credit_pipeline.feeds.headers import match_headers

    sql_types = {"date": "DATE", "integer": "BIGINT", "money": "DOUBLE", "decimal": "DOUBLE"}
    rows = 0
    with duckdb.connect(config={"threads": THREADS}) as connection:
        for name in FEEDS:
            feed = get_feed(name)
            for path in sorted((folder / "landing" / name).iterdir()):
                options = "all_varchar=true"
                if typed:
                    with path.open(encoding="utf-8") as stream:
                        header = stream.readline().strip().split(",")
                    columns = match_headers(feed, header).columns
                    types = {
                        header[sources[0].position]: sql_types[feed.column(column).type]
                        for column, sources in columns.items()
                        if feed.column(column).type in sql_types
                    }
                    # Two columns of the delivery hold words among their days (长期), so they stay text.
                    types = {key: value for key, value in types.items() if key != "opto"}
                    options = f"types={types}"
                out = folder / f"{name}-{path.stem}.parquet"
                [(count,)] = connection.execute(
                    f"copy (select * from read_csv('{path}', header=true, {options})) to '{out}' "
                    "(format parquet, compression zstd)"
                ).fetchall()
                rows += count
                out.unlink()
    return {"rows": rows}


def _ours(folder: Path) -> dict[str, int]:
    """The intake as the daily job calls it."""
    from benchmarks.delivery import AS_OF, FEEDS
    from credit_pipeline.feeds.ingest import ingest_feed
    from credit_pipeline.settings import Settings

    settings = Settings(landing_dir=folder / "landing", lake_dir=folder / "lake", threads=THREADS)
    reports = [ingest_feed(name, settings, AS_OF) for name in FEEDS]
    shutil.rmtree(folder / "lake")
    return {
        "rows": sum(report.read for report in reports),
        "accepted": sum(report.accepted for report in reports),
        "quarantined": sum(report.quarantined for report in reports),
        "duplicates": sum(report.duplicates for report in reports),
        "repaired": sum(report.repaired for report in reports),
    }


def _task(task: str, folder: Path) -> dict[str, int]:
    if task == "ours":
        return _ours(folder)
    return _floor(folder, typed=task == "typed")


def compare(rows: int, dirt: float, repeats: int, folder: Path) -> dict[str, Measured]:
    """Measure floor and ours in turns; the run with the median wall time of each."""
    from benchmarks.delivery import write_delivery

    write_delivery(folder / "landing", rows, dirt)
    runs: dict[str, list[Measured]] = {"text": [], "ours": []} | ({} if dirt else {"typed": []})
    for _ in range(repeats):
        for task, done in runs.items():
            done.append(_measured(task, folder))
    middle = {}
    for task, done in runs.items():
        wall = median(sorted(run.wall for run in done)[: len(done) | 1])
        middle[task] = min(done, key=lambda run: abs(run.wall - wall))
    shutil.rmtree(folder / "landing")
    return middle


def _line(rows: int, dirt: float, found: dict[str, Measured]) -> str:
    ours, text, typed = found["ours"], found["text"], found.get("typed")
    # Dirty cells (2026-13-45) have no type, so DuckDB alone can only read them as text.
    times = f"{typed.wall:.1f} / {typed.cpu:.1f}" if typed else "–"
    ratio = f"{ours.wall / typed.wall:.2f} / {ours.cpu / typed.cpu:.2f}" if typed else "–"
    return (
        f"| {rows:,} | {dirt:.0%} | {text.wall:.1f} / {text.cpu:.1f} | {times} "
        f"| {ours.wall:.1f} / {ours.cpu:.1f} | {ours.wall / text.wall:.2f} / {ours.cpu / text.cpu:.2f} | {ratio} "
        f"| {rows / ours.wall / 1000:,.0f} | {ours.peak_gb:.2f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000], help="sizes, the smallest first")
    parser.add_argument("--dirt", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--task", choices=["text", "typed", "ours"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(_task(arguments.task, arguments.folder)))
        return
    print(
        f"five feeds of CSV, {THREADS} threads, median of {arguments.repeats}; seconds as wall / CPU, imports included"
    )
    print(
        "| rows | dirt | DuckDB, text | DuckDB, typed | ours | ratio to text | ratio to typed | ours, 1,000 rows/s | ours, peak GB |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    walls: dict[float, list[tuple[int, float]]] = {}
    for rows in arguments.rows:
        for dirt in arguments.dirt:
            folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.folder))
            try:
                found = compare(rows, dirt, arguments.repeats, folder)
            finally:
                shutil.rmtree(folder)
            print(_line(rows, dirt, found), flush=True)
            print(f"  ours: {found['ours'].answer}", file=sys.stderr)
            walls.setdefault(dirt, []).append((rows, found["ours"].wall))
    for dirt, measured in walls.items():
        (first_rows, first), (last_rows, last) = measured[0], measured[-1]
        if last_rows > first_rows:
            print(f"growth with {dirt:.0%} dirt: {last_rows / first_rows:.0f} x the rows take {last / first:.1f} x the time")  # fmt: skip


if __name__ == "__main__":
    main()
