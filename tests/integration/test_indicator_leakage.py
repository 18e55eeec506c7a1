"""A result of a day knows only what was known on that day: proved on whole lakes, feed by feed, not by reading SQL."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform.dbt import dbt_args, dbt_environment, dbt_executable, dbt_vars
from credit_pipeline.transform.indicator_catalogue import by_feed, load_indicators
from tests_support import Place

PAST = date(2025, 6, 30)
FEEDS = sorted(by_feed(load_indicators()))
RESULTS = ["enterprise_indicators", "standardized_indicators", *(f"evidence_{feed}" for feed in FEEDS)]
MODELS = "+standardized_indicators path:models/indicators/evidence_*"
CHANGED_ROWS = 12


def _built(lake: Path, warehouse: Path, day: date, snapshots: list[date]) -> Path:
    """A warehouse with the indicators of the days."""
    settings = Settings(lake_dir=lake, keys_dir=warehouse.parent / "keys")
    variables = dbt_vars(settings, day, lake / "models", snapshots)
    target = warehouse.with_suffix(".target")
    with dbt_environment(settings, warehouse):
        done = subprocess.run(
            [
                dbt_executable(), "--no-use-colors", "--quiet", *dbt_args("seed", variables),
                "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
                "--target-path", str(target), "--log-path", str(target),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:]
        done = subprocess.run(
            [
                dbt_executable(), "--no-use-colors", "--quiet", *dbt_args("run", variables), "--select",
                *MODELS.split(), "--exclude", "resource_type:seed",
                "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
                "--target-path", str(target), "--log-path", str(target),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    return warehouse


def _files(folder: Path) -> str:
    return f"read_parquet('{folder}/*/*.parquet', union_by_name = true, hive_partitioning = false)"


def _write(rows: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"copy ({rows}) to '{path}' (format parquet)")


def _coded(feed: str) -> str:
    """Rows without a unified code are left out: who they are is looked up later than they were known, on purpose."""
    return "uscc is not null or source_row is null" if load_catalogue()[feed].has_uscc else "true"


def _known_on(lake: Path, day: date, target: Path) -> Path:
    """The lake as it would be had it begun on a day: of the first delivery what was known by then."""
    for name, feed in load_catalogue().items():
        event = f"greatest(reported_date, {feed.event_date})" if feed.event_date else "reported_date"
        names = [column.name for column in feed.stored_columns]
        if "reported_date" not in names:
            event = feed.event_date or "null::date"
        rows = f"""
            select * replace (date '{day}' as ingest_date) from {_files(lake / "raw" / name)}
            where source_row is null or ({_coded(name)}) and least({event}, ingest_date) <= date '{day}'
        """
        _write(rows, target / "raw" / name / f"ingest_date={day}" / "part.parquet")
    return target


def _with_news(lake: Path, warehouse: Path, day: date, target: Path) -> Path:
    """The lake and what it received a day later: of every feed corrected records, and withdrawn ones, and repairs."""
    next_day = day + timedelta(days=1)
    for name in load_catalogue():
        rows = f"select * from {_files(lake / 'raw' / name)} where {_coded(name)}"
        _write(
            f"select * replace (date '{day}' as ingest_date) from ({rows})",
            target / "raw" / name / f"ingest_date={day}" / "part.parquet",
        )
        if name not in FEEDS:
            continue
        news = f"""
            with used as (
                select source_file, source_sheet, source_row,
                    row_number() over (order by source_file, source_sheet, source_row) as place
                from (
                    select distinct source_file, source_sheet, source_row
                    from now.indicators.evidence_{name} where as_of_date = date '{day}' and source_row is not null
                )
            )
            select r.*
                replace (
                    date '{next_day}' as ingest_date,
                    date '{next_day}' as reported_date,
                    case when place % 2 = 0 then 'withdrawn' else 'corrected' end as record_status,
                    'news/' || r.source_file as source_file
                )
            from ({rows}) as r
            join used as u on u.source_file = r.source_file and u.source_row = r.source_row
                and u.source_sheet is not distinct from r.source_sheet
            where place <= {CHANGED_ROWS}
        """
        path = target / "raw" / name / f"ingest_date={next_day}" / "part.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect() as connection:
            connection.execute(f"attach '{warehouse}' as now (read_only)")
            connection.execute(f"copy ({news}) to '{path}' (format parquet)")
    repairs = f"""
        select r.* replace (
            date '{next_day}' as ingest_date,
            'news-' || row_number() over (order by e.uscc, e.record_no) as repair_no, e.uscc as uscc,
            'penalties' as target_feed, e.record_no as target_record_no, date '{day}' as decided_date,
            date '{day}' as effective_date, date '{next_day}' as reported_date, null as record_status
        )
        from (select * from {_files(lake / "raw" / "credit_repairs")} where source_row is not null limit 1) as r
        cross join (
            select distinct uscc, record_no from now.indicators.evidence_penalties
            where as_of_date = date '{day}' and penalty_weight > 0 order by uscc desc, record_no desc limit 3
        ) as e
    """
    path = target / "raw" / "credit_repairs" / f"ingest_date={next_day}" / "part.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{warehouse}' as now (read_only)")
        connection.execute(f"copy ({repairs}) to '{path}' (format parquet)")
    return target


@pytest.fixture(scope="module")
def warehouses(
    finished_run: dict[str, Any], city: Place, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Built from: what was known long ago; the lake as it is; the lake with a day's news, seen from that day."""
    root = tmp_path_factory.mktemp("leakage")
    day = date.fromisoformat(city.as_of)
    for name in ("past", "now", "news"):
        (root / name / "models").mkdir(parents=True)
        for kind in ("quarantine", "repairs", "duplicates", "ledger"):
            if (city.lake / kind).exists():
                shutil.copytree(city.lake / kind, root / name / kind)
    _known_on(city.lake, PAST, root / "past")
    for name in load_catalogue():
        _write(
            f"select * replace (date '{day}' as ingest_date) from {_files(city.lake / 'raw' / name)} where {_coded(name)}",
            root / "now" / "raw" / name / f"ingest_date={day}" / "part.parquet",
        )
    now = _built(root / "now", root / "now.duckdb", day, [])
    _with_news(city.lake, now, day, root / "news")
    return {
        "past": _built(root / "past", root / "past.duckdb", PAST, []),
        "now": now,
        "news": _built(root / "news", root / "news.duckdb", day + timedelta(days=1), [PAST, day]),
    }


def _differences(one: Path, other: Path, table: str, day: date) -> tuple[int, int, int]:
    """Rows of the day in both, in the first only, in the second only; the day of receipt may differ."""
    with duckdb.connect() as connection:
        # A view names its database: each is attached under the name of its file.
        connection.execute(f"attach '{one}' (read_only); attach '{other}' (read_only)")
        columns = connection.execute(f"select * from {one.stem}.indicators.{table} limit 0").description or []
        kept = ", ".join(f'"{column[0]}"' for column in columns if column[0] != "ingest_date")
        rows = {
            side: f"select {kept} from {path.stem}.indicators.{table} where as_of_date = date '{day}'"
            for side, path in (("a", one), ("b", other))
        }
        count = connection.execute(f"select count(*) from ({rows['a']})").fetchone()
        less = connection.execute(f"select count(*) from ({rows['a']} except all {rows['b']})").fetchone()
        more = connection.execute(f"select count(*) from ({rows['b']} except all {rows['a']})").fetchone()
    assert count and less and more
    return count[0], less[0], more[0]


@pytest.mark.parametrize("table", RESULTS)
def test_a_past_day_is_as_if_nothing_had_come_since(warehouses: dict[str, Path], table: str) -> None:
    """Prevents training on what became known later: a past day from today's lake is that day's lake's day."""
    count, less, more = _differences(warehouses["past"], warehouses["news"], table, PAST)
    assert (less, more) == (0, 0)
    assert count > 0 or table == "evidence_public_credit_evaluations", "nothing was compared"


@pytest.mark.parametrize("table", RESULTS)
def test_what_comes_a_day_later_changes_nothing(warehouses: dict[str, Path], table: str) -> None:
    """Prevents a correction, withdrawal or repair from counting before it was received."""
    count, less, more = _differences(
        warehouses["now"], warehouses["news"], table, date.fromisoformat(_day(warehouses))
    )
    assert (less, more) == (0, 0)
    assert count > 0, "nothing was compared"


def _day(warehouses: dict[str, Path]) -> str:
    with duckdb.connect(str(warehouses["now"]), read_only=True) as connection:
        row = connection.execute(
            "select max(as_of_date)::varchar from indicators.enterprise_indicators"
        ).fetchone()
    assert row
    return str(row[0])


@pytest.mark.parametrize("feed", FEEDS)
def test_but_it_counts_on_that_day(warehouses: dict[str, Path], feed: str) -> None:
    """Prevents the two tests above from passing because the news never counts at all."""
    day = date.fromisoformat(_day(warehouses))
    with duckdb.connect(str(warehouses["news"]), read_only=True) as connection:
        row = connection.execute(
            f"""
            select
                count(*) filter (as_of_date = date '{day}' and source_file like 'news/%'),
                count(*) filter (as_of_date > date '{day}' and source_file like 'news/%'),
                count(distinct case when as_of_date = date '{day}' then record_no || uscc end)
            from indicators.evidence_{feed}
            """
        ).fetchone()
    assert row
    assert row[0] == 0
    assert row[1] > 0 or row[2] < 1


def test_a_repair_takes_effect_when_it_is_known(warehouses: dict[str, Path]) -> None:
    """Prevents a repaired penalty from weighing on, and a repair from reaching back before it was known."""
    day = date.fromisoformat(_day(warehouses))
    with duckdb.connect(str(warehouses["news"]), read_only=True) as connection:
        rows = connection.execute(
            f"""
            select e.as_of_date > date '{day}' as is_later, count(*)
            from indicators.evidence_penalties as e
            join staging.stg_credit_repairs as r on r.target_record_no = e.record_no and r.uscc = e.uscc
            where r.repair_no like 'news-%' and e.as_of_date >= date '{day}' and e.penalty_weight > 0
            group by 1
            """
        ).fetchall()
    assert dict(rows).get(False, 0) > 0
    assert dict(rows).get(True, 0) == 0
