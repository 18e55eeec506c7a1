"""Indicators to grades: dbt against the same compiled SQL run straight in one DuckDB process.

Makes a sample city, ingests it, copies its enterprises (with all their records and relations, under codes of their
own) until there are as many as asked for, lets dbt build what comes before the indicators, and then times both ways
from the indicators to the grades on copies of one warehouse: the same threads, memory, order of rows. Run: `make bench`.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.grading.registry import store_model
from credit_pipeline.grading.training import expert_card
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform.dbt import dbt_args, dbt_environment, dbt_executable, dbt_vars
from credit_pipeline.transform.sources import ensure_sources
from credit_pipeline.warehouse import connect, load_httpfs

BASE = 20_000
"""Enterprises of the city that is copied."""
BEFORE = ["+path:models/indicators", "+path:models/grading"]
TIMED = ["path:models/indicators", "path:models/grading"]
NOT_TIMED = "training_labels"
"""The training set is built once a month, elsewhere."""


@dataclass(frozen=True)
class Cost:
    """What a way took."""

    wall: float
    cpu: float


@contextmanager
def _measured(costs: list[Cost]) -> Iterator[None]:
    """Wall and CPU seconds of the processes started and ended within."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    yield
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    costs.append(Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))


def _base_lake(folder: Path, enterprises: int) -> tuple[Settings, date]:
    """The raw rows of a sample city."""
    from credit_pipeline.sample import generate

    landing, lake = folder / "landing", folder / "base"
    generate(landing, enterprises=enterprises, seed=7)
    day = date.fromisoformat((landing / "as_of").read_text().strip())
    settings = Settings(landing_dir=landing, lake_dir=lake, keys_dir=folder / "keys")
    ensure_sources(settings)
    for feed in load_catalogue().values():
        ingest_feed(feed, settings, day)
    return settings, day


def _copied(feed: Feed) -> str:
    """The columns of a feed for copy k: codes and keys get the number of the copy."""
    changed = {}
    for column in feed.stored_columns:
        if column.type == "uscc" or column.name in ("from_id", "uscc_sent"):
            # The sample's codes are all of one city: characters 3 to 6 are free for the number.
            name = column.name
            changed[name] = (
                f"case when length({name}) = 18 then substr({name}, 1, 2) || lpad(k::varchar, 4, '0') || substr({name}, 7) "
                f"else {name} || '-' || k end"
            )
        elif column.name in feed.business_key and column.type in ("code", "case_no", "reg_no"):
            changed[column.name] = f"{column.name} || '-' || k"
    changed["row_hash"] = "row_hash # k"
    changed["source_row"] = "source_row + k * 10000000"
    text = ", ".join(f"{value} as {name}" for name, value in changed.items())
    return f"* exclude (k) replace ({text})".replace("row_hash # k", "xor(row_hash, k)")


def _multiply(base: Settings, settings: Settings, copies: int) -> None:
    """The rows of the base lake, `copies` times."""
    with connect(settings) as connection:
        for feed in load_catalogue().values():
            for source in sorted((base.lake_dir / "raw" / feed.name).glob("*/*.parquet")):
                target = settings.lake_dir / "raw" / feed.name / source.parent.name / source.name
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.name == "schema.parquet" or not feed.has_uscc:
                    shutil.copyfile(source, target)
                    continue
                connection.execute(
                    f"copy (select {_copied(feed)} from read_parquet('{source}', hive_partitioning = false), "
                    f"range({copies}) as copies(k)) to '{target}' (format parquet, compression zstd)"
                )


def _dbt(settings: Settings, warehouse: Path, variables: dict[str, Any], arguments: Sequence[str]) -> Path:
    """Run dbt; the folder of its artefacts."""
    target = warehouse.with_suffix(".target")
    with dbt_environment(settings, warehouse):
        done = subprocess.run(
            [
                dbt_executable(), "--no-use-colors", "--quiet", *arguments, "--project-dir", str(DBT_PROJECT_DIR),
                "--profiles-dir", str(DBT_PROJECT_DIR), "--target-path", str(target), "--log-path", str(target),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout[-3000:] + done.stderr[-1000:])
    return target


def floor_plan(target: Path) -> list[dict[str, str]]:
    """The statements dbt ran, in its order, as plain SQL, from its artefacts."""
    manifest = json.loads((target / "manifest.json").read_text(encoding="utf-8"))
    results = json.loads((target / "run_results.json").read_text(encoding="utf-8"))["results"]
    plan = []
    for result in results:
        node = manifest["nodes"].get(result["unique_id"], {})
        if node.get("resource_type") != "model":
            continue
        sql = result["compiled_code"].strip()
        name = f'"{node["schema"]}"."{node["name"]}"'
        if node["config"]["materialized"] == "view":
            statement = f"create or replace view {name} as (\n{sql}\n)"
        else:
            statement = (
                f"create or replace table {name} as (select * from (\n{sql}\n) as unordered order by all)"
            )
        plan.append({"name": node["name"], "schema": node["schema"], "sql": statement})
    return plan


def run_floor(settings: Settings, warehouse: Path, plan: Path) -> None:
    """Run the statements in this process; prints the seconds of each."""
    with connect(settings, warehouse) as connection:
        load_httpfs(connection)
        connection.execute("set TimeZone = 'Asia/Shanghai'")
        for step in json.loads(plan.read_text(encoding="utf-8")):
            connection.execute(f'create schema if not exists "{step["schema"]}"')
            started = time.perf_counter()
            connection.execute(step["sql"])
            sys.stdout.write(f"{time.perf_counter() - started:8.2f} s  {step['name']}\n")


def _prepared(folder: Path, enterprises: int, base_enterprises: int) -> tuple[Settings, date]:
    """A warehouse with all that comes before the indicators, in a folder; what lies there is used again."""
    settings = Settings(lake_dir=folder / "lake", keys_dir=folder / "keys")
    if (folder / "day").exists():
        return settings, date.fromisoformat((folder / "day").read_text())
    base, day = _base_lake(folder, base_enterprises)
    _multiply(base, settings, max(1, round(enterprises / base_enterprises)))
    ensure_sources(settings)
    (folder / "prepared").mkdir()
    warehouse = folder / "prepared" / "warehouse.duckdb"
    variables = _variables(settings, day)
    _dbt(settings, warehouse, variables, dbt_args("seed", variables))
    without = ["--exclude", *TIMED, "resource_type:seed"]
    _dbt(settings, warehouse, variables, [*dbt_args("run", variables), "--select", *BEFORE, *without])
    (folder / "day").write_text(day.isoformat())
    return settings, day


def _variables(settings: Settings, day: date) -> dict[str, Any]:
    """Of a build that the experts' scorecard grades."""
    return dbt_vars(settings, day, store_model(settings, expert_card(settings, day)))


def compare(enterprises: int, base_enterprises: int, details: bool, kept: Path | None) -> None:
    """Prepare, time both ways, print."""
    with tempfile.TemporaryDirectory(prefix="grading-") as name:
        folder = kept or Path(name)
        settings, day = _prepared(folder, enterprises, base_enterprises)
        prepared = folder / "prepared" / "warehouse.duckdb"
        variables = _variables(settings, day)
        costs: list[Cost] = []
        ours, floor = folder / "ours" / "warehouse.duckdb", folder / "floor" / "warehouse.duckdb"
        for path in (ours, floor):
            shutil.rmtree(path.parent, ignore_errors=True)
            path.parent.mkdir()
            shutil.copyfile(prepared, path)
        # A parse left over from an earlier run, as the daily job has it.
        target = ours.with_suffix(".target")
        shutil.copytree(prepared.with_suffix(".target"), target)
        with _measured(costs):
            _dbt(
                settings, ours, variables,
                [*dbt_args("run", variables), "--select", *TIMED, "--exclude", NOT_TIMED],
            )  # fmt: skip
        plan = folder / "plan.json"
        plan.write_text(json.dumps(floor_plan(target)), encoding="utf-8")
        with _measured(costs):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.grading", "--floor", str(plan), "--warehouse", str(floor),
                 "--lake", str(settings.lake_dir)],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        with connect(settings, ours, read_only=True) as connection:
            [graded] = connection.execute("select count(*) from grading.enterprise_grades").fetchone() or [0]
            connection.execute(f"attach '{floor}' as other (read_only)")
            [unlike] = connection.execute(
                "select count(*) from (select * from grading.enterprise_scores "
                "except all select * from other.grading.enterprise_scores)"
            ).fetchone() or [0]
    if details:
        sys.stdout.write(done.stdout)
    ours_cost, floor_cost = costs
    sys.stdout.write(
        f"indicators to grades, {graded:,} enterprises graded, {unlike} scores differ\n"
        f"  dbt    wall {ours_cost.wall:7.1f} s  CPU {ours_cost.cpu:7.1f} s\n"
        f"  floor  wall {floor_cost.wall:7.1f} s  CPU {floor_cost.cpu:7.1f} s\n"
        f"  ratio  wall {ours_cost.wall / floor_cost.wall:7.2f}    CPU {ours_cost.cpu / floor_cost.cpu:7.2f}\n"
    )


def main() -> None:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=200_000)
    parser.add_argument("--base", type=int, default=BASE, help="enterprises of the city that is copied")
    parser.add_argument("--folder", type=Path, help="work here and keep what was prepared")
    parser.add_argument("--details", action="store_true", help="print the floor's seconds per model")
    parser.add_argument("--floor", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--warehouse", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.floor:
        run_floor(Settings(lake_dir=chosen.lake), chosen.warehouse, chosen.floor)
    else:
        compare(chosen.enterprises, chosen.base, chosen.details, chosen.folder)


if __name__ == "__main__":
    main()
