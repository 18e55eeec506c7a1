"""Months put together: same rows, same ledger, same answers, whenever the process dies."""

from __future__ import annotations

import json
import os
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feeds_support import Lake, penalty, registration

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError, IntegrityError
from credit_pipeline.feeds import compaction
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.compaction import compact_lake, finish_compaction, record_compaction
from credit_pipeline.feeds.lake_files import MONTH_RECORD
from credit_pipeline.feeds.lake_schema import KINDS
from credit_pipeline.feeds.ledger import read_ledger, reconcile

DAYS = [date(2026, 7, 1), date(2026, 7, 31), date(2026, 8, 2), date(2026, 8, 3), date(2026, 9, 1), date(2026, 10, 1)]  # fmt: skip
FEEDS = ("registrations", "penalties")


def _deliver(lake: Lake, day: date) -> None:
    """Accepted, repaired, refused and repeated rows every day; every second day two files."""
    number = DAYS.index(day) * 10 if day in DAYS else 900
    rows = [
        penalty(number + 1),
        penalty(number + 2, CF_JDRQ="2026/3/1"),
        penalty(number + 3, CF_NR=None),
        penalty(1),
    ]
    lake.put(f"penalties/{day}/b.csv", rows)
    if number % 20 == 0:
        lake.put(f"penalties/{day}/a.csv", [penalty(1, CF_NR=f"罚款{number + 1}元", CF_NR_FK=None)])
    lake.put(f"registrations/{day}/a.csv", [registration(number + 1), registration(number + 2, uniscid="?")])
    for feed in FEEDS:
        lake.ingest(feed, day)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("compaction") / "template")
    for day in DAYS:
        _deliver(lake, day)
    return lake


@pytest.fixture
def lake(template: Lake, tmp_path: Path) -> Lake:
    return Lake(shutil.copytree(template.root, tmp_path / "copy"))


def tables(lake: Lake, day: date = DAYS[-1]) -> dict[str, list[tuple[Any, ...]]]:
    """What a reader by the common pattern sees of every kind and feed as of a day, in one order."""
    return {
        f"{kind}/{feed}": duckdb.sql(
            f"""select * from read_parquet('{lake.settings.lake_dir}/{kind}/{feed}/*/*.parquet',
            hive_partitioning=false, union_by_name=true) where ingest_date <= date '{day}' order by all"""
        ).fetchall()
        for kind in KINDS
        for feed in FEEDS
    }


def whole(lake: Lake) -> bool:
    return all(reconcile(lake.settings, get_feed(feed), thorough=True) == [] for feed in FEEDS)


def test_every_past_day_reads_the_same(lake: Lake) -> None:
    """Prevents compaction from changing a row, a day's rows, the ledger, or a month that may still grow."""
    before = {day: tables(lake, day) for day in DAYS}
    ledger = {feed: read_ledger(lake.settings, feed) for feed in FEEDS}
    assert len(before[DAYS[-1]]["duplicates/penalties"]) >= 3
    done = compact_lake(lake.settings)
    assert {month.month for month in done} == {"2026-07", "2026-08"}
    assert {day: tables(lake, day) for day in DAYS} == before
    assert {feed: read_ledger(lake.settings, feed) for feed in FEEDS} == ledger
    assert whole(lake)
    folders = {path.name for path in (lake.settings.raw_dir / "penalties").iterdir()}
    assert folders == {
        "ingest_date=1970-01-01", "ingest_month=2026-07", "ingest_month=2026-08",
        "ingest_date=2026-09-01", "ingest_date=2026-10-01",
    }  # fmt: skip
    assert [path for path in lake.settings.lake_dir.rglob("*") if path.stat().st_mode & 0o077] == []
    assert not (lake.settings.lake_dir / "compacting").exists()
    assert compact_lake(lake.settings) == []


def test_rows_keep_the_order_of_their_arrival(lake: Lake) -> None:
    """Prevents a month whose order, and so whose bytes, depend on chance."""
    paths = [
        output["path"]
        for entry in read_ledger(lake.settings, "penalties")
        for output in entry["outputs"]
        if output["path"].startswith("raw/") and "=2026-07" in output["path"]
    ]
    rows = [row for path in paths for row in pq.read_table(lake.settings.lake_dir / path, partitioning=None).to_pylist()]  # fmt: skip
    compact_lake(lake.settings)
    [month] = lake.settings.raw_dir.glob("penalties/ingest_month=2026-07/*.parquet")
    assert pq.read_table(month, partitioning=None).to_pylist() == rows


def test_ingestion_goes_on_after_it(lake: Lake) -> None:
    """Prevents rows of old months being accepted again, swept away, or counted as lost; and a second
    compaction that forgets the first."""
    other = Lake(shutil.copytree(lake.root, lake.root.parent / "other"))
    compact_lake(lake.settings)
    for place in (lake, other):
        _deliver(place, date(2026, 12, 5))
        place.put("penalties/2026-12-06/again.csv", [penalty(2), penalty(1)])
        [file] = place.ingest("penalties", date(2026, 12, 6)).files
        assert (file.accepted, file.duplicates) == (0, 2)
    assert tables(lake, date(2026, 12, 31)) == tables(other, date(2026, 12, 31)) and whole(lake)
    compact_lake(lake.settings, kept_months=1)
    compact_lake(other.settings, kept_months=1)
    assert tables(lake, date(2026, 12, 31)) == tables(other, date(2026, 12, 31))
    assert whole(lake) and lake.bytes() == other.bytes()


def test_a_month_of_many_days_is_pruned_by_day(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents row groups that all span the whole month."""
    monkeypatch.setattr(compaction, "ROW_GROUP_ROWS", 2)
    compact_lake(lake.settings)
    [path] = lake.settings.raw_dir.glob("penalties/ingest_month=2026-08/*.parquet")
    meta = pq.read_metadata(path)
    column = meta.schema.names.index("ingest_date")
    groups = [meta.row_group(index).column(column).statistics for index in range(meta.num_row_groups)]
    assert [meta.row_group(index).num_rows for index in range(meta.num_row_groups)] == [2, 2, 2]
    assert groups[0].max < groups[-1].min


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, and nothing is cleared up."""


def _kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """Let the process die just before its step-th change of the file system; what was done until then."""
    seen: list[str] = []

    def dying(name: str, real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(seen) == step:
                raise Killed
            seen.append(name)
            return real(*arguments, **options)

        return call

    for name in ("link", "rename", "replace", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(os, name, dying(name, getattr(os, name)))
    monkeypatch.setattr(compaction, "_exchange_at_once", dying("exchange", compaction._exchange_at_once))
    monkeypatch.setattr(pq.ParquetWriter, "write_table", dying("write", pq.ParquetWriter.write_table))
    return seen


@pytest.mark.parametrize("at_once", [True, False], ids=["exchanged", "renamed"])
def test_a_kill_between_any_two_steps(
    template: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """Prevents rows that are there twice, or not at all, after a kill: a reader sees old files or new ones,
    the next run puts all in order, and another compaction ends with the same bytes."""
    exchange = compaction._exchange_at_once if at_once else (lambda one, other: False)
    monkeypatch.setattr(compaction, "_exchange_at_once", exchange)
    monkeypatch.setattr(compaction, "KINDS", ("raw",))
    monkeypatch.setattr(compaction, "load_catalogue", lambda: {"penalties": get_feed("penalties")})

    def seen_by_a_reader(lake: Lake) -> list[tuple[Any, ...]]:
        return duckdb.sql(
            f"from read_parquet('{lake.settings.raw_dir}/penalties/*/*.parquet', hive_partitioning=false) order by all"
        ).fetchall()

    wanted = seen_by_a_reader(template)
    undisturbed = Lake(shutil.copytree(template.root, tmp_path / "undisturbed"))
    with monkeypatch.context() as patched:
        steps = _kill_at(patched, 10_000)
        compact_lake(undisturbed.settings)
    end = undisturbed.bytes()
    assert {"link", "rename", "write", "exchange", "unlink"} <= set(steps) and len(steps) > 25
    gaps = 0
    for step in range(0 if at_once else steps.index("exchange"), len(steps)):
        lake = Lake(shutil.copytree(template.root, tmp_path / "killed"))
        with monkeypatch.context() as patched, pytest.raises(Killed):
            _kill_at(patched, step)
            compact_lake(lake.settings)
        try:
            assert seen_by_a_reader(lake) == wanted, step
        except duckdb.IOException:
            # Without an exchange there is a moment in which the old folder has lost its name: a loud failure.
            assert not at_once and steps[step - 1 : step + 1] == ["rename", "rename"]
            gaps += 1
        finish_compaction(lake.settings)
        assert seen_by_a_reader(lake) == wanted, step
        assert reconcile(lake.settings, get_feed("penalties")) == [], step
        compact_lake(lake.settings)
        assert lake.bytes() == end, step
        shutil.rmtree(lake.root)
    assert gaps == (0 if at_once else 1)


def test_a_damaged_file_stops_it(lake: Lake) -> None:
    """Prevents damage being made permanent, by an old file that differs or a new one that would."""
    before = lake.bytes()
    [path] = lake.settings.raw_dir.glob("penalties/ingest_date=2026-08-03/*.parquet")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    with pytest.raises(IntegrityError, match="not the file that was written"):
        compact_lake(lake.settings)
    path.write_bytes(content)
    assert not (lake.settings.lake_dir / "compacting").exists()
    assert {name for name in lake.bytes() if "/penalties/" in name} == {
        name for name in before if "/penalties/" in name
    }
    compact_lake(lake.settings)
    assert whole(lake)


def test_a_month_that_does_not_hold_what_its_files_held_is_refused(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a fault of the Parquet library from costing a month."""
    before = lake.bytes()
    real = compaction._tables
    monkeypatch.setattr(
        compaction,
        "_tables",
        lambda path, schema: (
            table.slice(0, table.num_rows - 1) if path.suffix == ".tmp" else table
            for table in real(path, schema)
        ),
    )
    with pytest.raises(IntegrityError, match="does not hold"):
        compact_lake(lake.settings)
    assert lake.bytes() == before


def test_reconcile_sees_tampering_with_a_month(lake: Lake) -> None:
    """Prevents compaction from blinding the check of accounts."""
    compact_lake(lake.settings)
    feed = get_feed("penalties")
    [path] = lake.settings.raw_dir.glob("penalties/ingest_month=2026-08/*.parquet")
    content = path.read_bytes()
    table = pq.read_table(path, partitioning=None)
    pq.write_table(table.slice(1), path)
    assert len(reconcile(lake.settings, feed)) == 2
    path.write_bytes(content.replace(b"PAR1", b"PAR2"))
    assert any("cannot be read" in line for line in reconcile(lake.settings, feed))
    path.write_bytes(content[:40] + bytes([content[40] ^ 1]) + content[41:])
    assert reconcile(lake.settings, feed, thorough=True)
    path.write_bytes(content)
    record = path.with_name(MONTH_RECORD)
    text = record.read_text()
    record.unlink()
    assert len(reconcile(lake.settings, feed)) > 1
    lake.ingest("penalties", DAYS[-1])
    assert path.exists(), "a month without its record is never swept"
    record.write_text(text)
    assert whole(lake)
    name = json.loads(text)["outputs"][0]["path"]
    (lake.settings.lake_dir / name).parent.mkdir()
    (lake.settings.lake_dir / name).write_bytes(content)
    assert any("month too" in line for line in reconcile(lake.settings, feed))


def test_columns_that_came_later(tmp_path: Path) -> None:
    """Prevents a month over a change of the catalogue from losing a column, old or new."""
    schema = pa.schema([("a", pa.string()), ("b", pa.int64()), ("ingest_date", pa.date32())])
    old = pa.table({"a": ["1"], "c": [2.5], "ingest_date": pa.array([1], pa.date32())})
    pq.write_table(old, tmp_path / "old.parquet")
    common = compaction._common_schema(schema, [tmp_path / "old.parquet"])
    assert common.names == ["a", "b", "c", "ingest_date"]
    [table] = compaction._tables(tmp_path / "old.parquet", common)
    assert table.to_pylist() == [{"a": "1", "b": None, "c": 2.5, "ingest_date": date(1970, 1, 2)}]
    pq.write_table(pa.table({"b": ["text"]}), tmp_path / "odd.parquet")
    with pytest.raises(IntegrityError, match="column b"):
        compaction._common_schema(schema, [tmp_path / "odd.parquet"])


def test_limits_and_record(lake: Lake, tmp_path: Path) -> None:
    """Prevents compaction of the month that still grows, and one that leaves no trace in the audit log."""
    with pytest.raises(CreditPipelineError):
        compact_lake(lake.settings, kept_months=0)
    assert compact_lake(Lake(tmp_path / "empty").settings) == []
    assert compact_lake(lake.settings, kept_months=4) == []
    done = compact_lake(lake.settings, kept_months=3)
    assert {month.month for month in done} == {"2026-07"}
    record_compaction(lake.settings, done, "run")
    record_compaction(lake.settings, [], "run")
    assert AuditLog(lake.settings.audit_log_path).head()[0] == 1
