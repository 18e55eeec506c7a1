"""Purging by policy: what goes, what stays, and that the accounts agree afterwards."""

from __future__ import annotations

import json
import os
import shutil
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.retention import Purged, horizon, keep_days, purge_lake, record_purge
from credit_pipeline.cli import app
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.extracts.manifest import manifest_bytes
from credit_pipeline.feeds import blanking
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.compaction import compact_lake
from credit_pipeline.feeds.ledger import read_ledger, reconcile, totals
from credit_pipeline.settings import POLICY_DIR, Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "feeds"))
from feeds_support import Lake, penalty

OLD, NEW, DAY = date(2014, 3, 3), date(2026, 9, 1), date(2026, 10, 31)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two deliveries, twelve years apart, each with an accepted, a repaired, a refused and a repeated row."""
    found = Lake(tmp_path)
    for number, day in enumerate((OLD, NEW)):
        rows = [
            penalty(10 * number + 1, CF_JDRQ="2014-03-01", CF_FRDB="张三丰"),
            penalty(10 * number + 2, CF_JDRQ="2014/3/1", CF_FRDB="李四光"),
            penalty(10 * number + 3, CF_NR=None, CF_JDRQ="2014-03-01"),
            penalty(10 * number + 1, CF_JDRQ="2014-03-01", CF_FRDB="张三丰"),
        ]
        found.put(f"penalties/{day}/a.csv", rows)
        found.ingest("penalties", day)
    return found


def purge(settings: Settings, day: date = DAY, *, dry_run: bool = False) -> dict[str, Purged]:
    done = list(purge_lake(settings, day, dry_run=dry_run))
    if not dry_run:
        record_purge(settings, done)
    return {item.record_kind: item for item in done}


def cells(settings: Settings, kind: str) -> pl.DataFrame:
    """Rows of a kind, oldest first."""
    files = sorted((settings.lake_dir / kind / "penalties").glob("*/*.parquet"))
    tables = [
        pl.DataFrame(pl.from_arrow(pq.ParquetFile(path).read())) for path in files if path.stem != "schema"
    ]
    return pl.concat(tables).sort("ingest_date")


def content(lake_dir: Path) -> dict[str, bytes]:
    return {
        path.relative_to(lake_dir).as_posix(): path.read_bytes()
        for path in lake_dir.rglob("*")
        if path.is_file()
    }


def test_old_texts_go_and_the_accounts_still_agree(lake: Lake) -> None:
    """Prevents a purge that leaves texts, takes rows, or makes `lake check` call the lake damaged."""
    settings, feed = lake.settings, get_feed("penalties")
    before, ledger = totals(settings, "penalties"), read_ledger(settings, "penalties")
    counts = {kind: cells(settings, kind).height for kind in ("raw", "quarantine", "repairs", "duplicates")}
    done = purge(settings)
    assert {kind for kind, item in done.items() if item.files} == {
        "raw_personal",
        "quarantine_texts",
        "repair_texts",
    }
    assert reconcile(settings, feed, thorough=True) == []
    assert totals(settings, "penalties") == before and read_ledger(settings, "penalties") == ledger
    assert {kind: cells(settings, kind).height for kind in counts} == counts
    raw = cells(settings, "raw")
    assert raw["legal_representative"].to_list() == [None, None, "张三丰", "李四光"]
    assert raw["decision_no" if "decision_no" in raw.columns else "document_no"].null_count() == 0
    for kind, columns in blanking.TEXT_COLUMNS.items():
        table = cells(settings, kind)
        for column in columns:
            values = table.filter(pl.col("ingest_date") == OLD)[column]
            assert values.null_count() == len(values) > 0, (kind, column)
        assert table.filter(pl.col("ingest_date") == NEW)[columns[-1]].null_count() == 0
        assert table["rule"].null_count() == 0
    assert not any(
        "张三丰" in data.decode("utf-8", "ignore")
        for name, data in content(settings.lake_dir).items()
        if "2014-03-03" in name
    )


def test_the_log_says_what_went_without_saying_it(lake: Lake) -> None:
    """Prevents an unrecorded purge, a second record for nothing, and texts in the record."""
    log = AuditLog(lake.settings.audit_log_path)
    done = purge(lake.settings)
    [record] = list(log.records())
    assert record.event == "retention_purged"
    assert {item["record_kind"]: item["files"] for item in record.details["kinds"]} == {
        kind: item.files for kind, item in done.items() if item.files
    }
    assert all(len(item["digest"]) == 64 and item["rows"] for item in record.details["kinds"])
    assert "张三丰" not in log.path.read_text() and "李四光" not in log.path.read_text()
    assert not any(item.files for item in purge(lake.settings).values())
    assert log.head()[0] == 1


def test_a_dry_run_tells_the_same_and_touches_nothing(lake: Lake) -> None:
    """Prevents a dry run that removes, or that announces something else than what then goes."""
    before = content(lake.settings.lake_dir)
    told = purge(lake.settings, dry_run=True)
    assert content(lake.settings.lake_dir) == before
    done = purge(lake.settings)
    assert {kind: (item.files, item.rows, item.digest) for kind, item in told.items()} == {
        kind: (item.files, item.rows, item.digest) for kind, item in done.items()
    }


def test_damage_is_still_found_after_a_purge(lake: Lake) -> None:
    """Prevents a record of blanking that excuses any other change of the file."""
    purge(lake.settings)
    for kind in ("raw", "quarantine"):
        [path] = (lake.settings.lake_dir / kind / "penalties").glob(f"ingest_date={OLD}/*.parquet")
        whole = path.read_bytes()
        path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
        assert any("not the file that was written" in line or "cannot be read" in line
                   for line in reconcile(lake.settings, get_feed("penalties"), thorough=True))  # fmt: skip
        path.write_bytes(whole)
    assert reconcile(lake.settings, get_feed("penalties"), thorough=True) == []


@pytest.mark.parametrize("compact_first", [True, False])
def test_months_and_purges_come_in_any_order(lake: Lake, compact_first: bool) -> None:
    """Prevents compaction from refusing a month that was blanked, and a purge from passing over a month that was compacted."""
    steps = [lambda: compact_lake(lake.settings), lambda: purge(lake.settings)]
    for step in steps if compact_first else steps[::-1]:
        step()
    assert reconcile(lake.settings, get_feed("penalties"), thorough=True) == []
    assert cells(lake.settings, "raw")["legal_representative"].to_list() == [None, None, "张三丰", "李四光"]


def test_a_kill_between_record_and_file_is_mended(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a half purge from making the lake disagree with its ledger, or from never being finished."""

    def killed(path: Path, content: bytes) -> None:
        real(path, content)
        raise KeyboardInterrupt

    real = blanking.write_atomically
    with monkeypatch.context() as patched:
        patched.setattr(blanking, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            purge(lake.settings)
    assert reconcile(lake.settings, get_feed("penalties"), thorough=True) == []
    assert purge(lake.settings)["raw_personal"].files == 1
    assert reconcile(lake.settings, get_feed("penalties"), thorough=True) == []


def test_raw_rows_inside_an_effect_period_stay_whole(tmp_path: Path) -> None:
    """Prevents a policy from taking evidence that still counts: three years are kept whatever keep_days says."""
    policy = tmp_path / "policy"
    shutil.copytree(POLICY_DIR, policy)
    settings = Settings(policy_dir=policy, lake_dir=tmp_path / "lake")
    assert horizon(settings, "raw_personal", 1, DAY) <= date(2023, 10, 31)
    assert horizon(settings, "quarantine_texts", 1, DAY) == date(2026, 10, 30)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("draws,抽取结果,0", "draws,抽取结果,10", "draws is evidence and never purged"),
        ("audit_log,审计日志,0", "audit_log,审计日志,9999", "audit_log is evidence"),
        ("replays,", "replay,", "missing ..replays..*unknown ..replay.."),
        ("结果,30,", "结果,soon,", "keep_days of replays must be a whole number"),
    ],
)
def test_policy_that_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Prevents a slip in the table from ending evidence or from keeping a kind for ever unnoticed."""
    policy = tmp_path / "policy"
    shutil.copytree(POLICY_DIR, policy)
    path = policy / "retention_policy.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        keep_days(Settings(policy_dir=policy), DAY)


def _manifest(content: dict[str, Any]) -> str:
    return manifest_bytes(content).decode()


def test_whole_files_go_by_age_and_what_is_current_stays(lake: Lake) -> None:
    """Prevents the current release, the newest training set, the published list or draws and log from going with the old."""
    settings = lake.settings
    root = settings.lake_dir
    made = {
        "extracts/U/U-000001.duckdb": "x", "extracts/U/U-000001.key.age": "x", "extracts/U/U-000002.duckdb": "x",
        "extracts/U/U-000001.manifest.json": _manifest({"unit_id": "U", "release_seq": 1, "as_of_date": "2026-01-01"}),
        "extracts/U/manifest.json": _manifest({"unit_id": "U", "release_seq": 2, "as_of_date": "2026-02-01"}),
        "training/as_of=2020-01-01/training_set.parquet": "x", "training/as_of=2021-01-01/training_set.parquet": "x",
        "replays/2026-01-01.duckdb": "x", "replays/2026-01-02.duckdb": "x",
        "draws/P/1/frame.parquet": "x", "audit/log.jsonl": "", "models/m/points.parquet": "x",
    }  # fmt: skip
    for day in ("2024-01-01", "2025-01-01", "2025-02-01"):
        made |= {
            f"public/inspection-results-{day}.csv": "x",
            f"public/inspection-results-{day}.manifest.json": "{}",
        }
    made["public/manifest.json"] = "{}"
    for name, text in made.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    os.utime(root / "replays/2026-01-01.duckdb", (datetime(2026, 9, 1).timestamp(),) * 2)
    os.utime(root / "replays/2026-01-02.duckdb", (datetime(2026, 10, 30).timestamp(),) * 2)
    done = purge(settings)
    gone = {name for name in made if not (root / name).exists()}
    assert gone == {
        "extracts/U/U-000001.duckdb", "extracts/U/U-000001.key.age", "extracts/U/U-000001.manifest.json",
        "training/as_of=2020-01-01/training_set.parquet", "replays/2026-01-01.duckdb",
        "public/inspection-results-2024-01-01.csv", "public/inspection-results-2024-01-01.manifest.json",
    }  # fmt: skip
    assert {kind: done[kind].files for kind in ("extracts", "training_sets", "replays", "public_results")} == {
        "extracts": 3, "training_sets": 1, "replays": 1, "public_results": 2,
    }  # fmt: skip


def test_the_command_purges_lake_and_run_history(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a command that leaves Dagster's runs, forgets the record, or purges for a day that has not come."""
    import dagster as dg
    from dagster._core.test_utils import create_run_for_test

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    monkeypatch.setenv("CREDIT_LAKE_DIR", str(lake.settings.lake_dir))
    from credit_pipeline.daily_run import dagster_instance

    with dagster_instance() as instance:
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.SUCCESS)
        logs = Path(instance.storage_directory()) / run.run_id / "compute_logs"
        logs.mkdir(parents=True)
        (logs / "step.out").write_text("x")
    call = ["lake", "purge", "--lake", str(lake.settings.lake_dir)]
    told = CliRunner().invoke(app, [*call, "--dry-run"], catch_exceptions=False).stdout
    assert "raw_personal: 1 before" in told and "nothing was removed" in told and logs.exists()
    monkeypatch.setattr(
        "credit_pipeline.audit.retention.horizon", lambda settings, kind, days, day: date(2030, 1, 1)
    )
    done = CliRunner().invoke(app, [*call, "--json"], catch_exceptions=False)
    assert {item["record_kind"]: item["files"] for item in json.loads(done.stdout)}["dagster_runs"] == 1
    assert not logs.exists()
    with dagster_instance() as instance:
        assert instance.get_runs() == []
    assert [record.event for record in AuditLog(lake.settings.audit_log_path).records()] == [
        "retention_purged"
    ]
    with pytest.raises(CreditPipelineError, match="future"):
        CliRunner().invoke(app, [*call, "--as-of", "2999-01-01"], catch_exceptions=False)
