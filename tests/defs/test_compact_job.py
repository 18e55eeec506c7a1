"""The job that compacts the lake runs as Dagster runs it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.feeds.jobs import compact_lake
from credit_pipeline.orchestration import Pipeline
from credit_pipeline.settings import Settings


def test_compact_lake_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a job that only fails on the second of the month, and a run without a line in the audit log."""
    settings = Settings(landing_dir=tmp_path / "landing", lake_dir=tmp_path / "lake")
    monkeypatch.setenv("CREDIT_LANDING_DIR", str(settings.landing_dir))
    monkeypatch.setenv("CREDIT_LAKE_DIR", str(settings.lake_dir))
    for month in (8, 10):
        day = date(2026, month, 3)
        path = settings.landing_dir / "honours" / day.isoformat() / "a.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"认定文号,统一社会信用代码,荣誉名称,认定时间\n{month},x,先进,2026-01-02\n")
        ingest_feed("honours", settings, day)
    with dg.DagsterInstance.ephemeral() as instance:
        result = compact_lake.execute_in_process(instance=instance, resources={"pipeline": Pipeline()})
    assert result.success
    assert list(settings.quarantine_dir.glob("honours/ingest_month=2026-08/*.parquet"))
    started, done = AuditLog(settings.audit_log_path).records()
    assert (started.event, done.event) == ("run_started", "lake_compacted")
    assert started.details["launched_by"] == {"started_by": "ui"} and started.details["as_of_date"] is None
