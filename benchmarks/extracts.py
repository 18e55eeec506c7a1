"""Extracts of all units against plain COPY of the same rows.

Takes a lake that has been run, copies its enterprises (with their grades, reasons, evidence, draws, under codes of their
own) as often as asked, and times on that warehouse: what all units share; then, unit by unit, the same slices as plain
COPY to Parquet and to CSV, as CREATE TABLE AS in a plain DuckDB file, and as an encrypted extract, read back, hashed and
synced. What counts is (shared + extracts) / (shared + COPY to Parquet); the other floors are printed beside it.
Workbooks, keys and manifests are not timed here. Run: python -m benchmarks.extracts --lake LAKE [--copies 5].
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from credit_pipeline.extracts.builder import extract_comments, prepare_extracts, unit_tables, unit_views
from credit_pipeline.extracts.encrypted_file import build_encrypted
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

COPIED = ("enterprises", "grading", "inspection")
"""Schemas whose rows about an enterprise are copied with it."""


Costs = dict[str, list[float]]
"""Phase -> wall and CPU seconds; on a machine that others use, CPU is what can be compared."""


@contextmanager
def timed(costs: Costs, name: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    before = costs.get(name, [0.0, 0.0])
    costs[name] = [before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu]


def multiply(connection: duckdb.DuckDBPyConnection, copies: int) -> None:
    """Every enterprise `copies` times, each under a code of its own."""
    tables = connection.execute(
        f"""select schema_name, table_name from duckdb_columns()
        where column_name = 'uscc' and schema_name in {COPIED}
            and table_name in (select table_name from duckdb_tables()) group by all order by all"""
    ).fetchall()
    for schema, table in tables:
        connection.execute(
            f"""insert into {schema}.{table}
            select * exclude (k) replace (uscc || '-' || k as uscc) from {schema}.{table}, range(1, {copies}) as t(k)"""
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", type=Path, required=True, help="a lake after a run; it is not changed")
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="only the floor that counts")
    parser.add_argument("--out", type=Path, help="JSON of the result")
    arguments = parser.parse_args()
    source = Settings(lake_dir=arguments.lake)
    day = current_as_of_date(source)
    if day is None:
        parser.error(f"{arguments.lake} has not been run")
    costs: Costs = {}
    with tempfile.TemporaryDirectory(dir=arguments.lake.parent) as folder:
        settings = Settings(lake_dir=Path(folder))
        shutil.copy(source.warehouse_path, settings.warehouse_path)
        with connect(settings, settings.warehouse_path) as connection:
            multiply(connection, arguments.copies)
            [(enterprises,)] = connection.execute("select count(*) from enterprises.enterprises").fetchall()
            with timed(costs, "shared"):
                prepare_extracts(connection, day, quarantine_dir=source.quarantine_dir)
            units = connection.execute(
                "select unit_id, unit_name from extract_units order by unit_id"
            ).fetchall()
            rows = 0
            for unit_id, unit_name in units:
                tables = unit_tables(unit_id, unit_name, day, release_seq=1)
                queries = {name: sql for name, sql in tables.items() if isinstance(sql, str)}
                for kind in ("parquet",) if arguments.quick else ("parquet", "csv"):
                    with timed(costs, f"copy {kind}"):
                        for name, sql in queries.items():
                            connection.execute(f"copy ({sql}) to '{folder}/{name}.{kind}' (format {kind})")
                if not arguments.quick:
                    with timed(costs, "plain duckdb"):
                        _plain(connection, queries, Path(folder) / "plain.duckdb")
                target = Path(folder) / "extract.duckdb"
                with timed(costs, "extracts"):
                    built = build_encrypted(
                        connection,
                        tables,
                        target,
                        secrets.token_hex(32),
                        comments=extract_comments(),
                        views=unit_views(),
                    )
                rows += sum(built.tables.values())
                _remove(Path(folder), lambda path: path.name not in ("warehouse.duckdb", "tmp"))
    _report(costs, {"enterprises": enterprises, "units": len(units), "rows": rows}, arguments.out)


def _plain(connection: duckdb.DuckDBPyConnection, queries: dict[str, str], path: Path) -> None:
    connection.execute(f"attach '{path}' as plain")
    for name, sql in queries.items():
        connection.execute(f'create table plain."{name}" as {sql}')
    connection.execute("checkpoint plain")
    connection.execute("detach plain")


def _remove(folder: Path, chosen: Callable[[Path], bool]) -> None:
    for path in folder.iterdir():
        if path.is_file() and chosen(path):
            path.unlink()


def _report(costs: Costs, facts: dict[str, int], out: Path | None) -> None:
    floors = [name for name in costs if name not in ("shared", "extracts")]
    ratios = {
        kind: {
            name: round(
                (costs["shared"][at] + costs["extracts"][at]) / (costs["shared"][at] + costs[name][at]), 2
            )
            for name in floors
        }
        for at, kind in enumerate(("wall", "cpu"))
    }
    seconds = {name: {"wall": round(wall, 2), "cpu": round(cpu, 2)} for name, (wall, cpu) in costs.items()}
    found = {**facts, "seconds": seconds, "ratios": ratios, "counts": "copy parquet", "cores": os.cpu_count()}
    text = json.dumps(found, ensure_ascii=False, indent=1)
    print(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
