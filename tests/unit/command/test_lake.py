"""`credit-pipeline lake`: compaction and the check of accounts by command."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.cli import app
from credit_pipeline.errors import IntegrityError
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A lake with one delivery in each of three months."""
    found = Settings(landing_dir=tmp_path / "landing", lake_dir=tmp_path / "lake", keys_dir=tmp_path / "keys")
    for name in ("landing_dir", "lake_dir", "keys_dir"):
        monkeypatch.setenv(f"CREDIT_{name.upper()}", str(getattr(found, name)))
    for month in (8, 9, 10):
        day = date(2026, month, 3)
        path = found.landing_dir / "honours" / day.isoformat() / "a.csv"
        path.parent.mkdir(parents=True)
        path.write_text(
            f"认定文号,统一社会信用代码,荣誉名称,认定时间\n{month},x,先进,2026-01-0{month % 9 + 1}\n"
        )
        ingest_feed("honours", found, day)
    return found


def test_compact_and_check(settings: Settings) -> None:
    """Prevents a command that does not do what the job does, or leaves no trace in the audit log."""
    lake = ["--lake", str(settings.lake_dir)]
    done = CliRunner().invoke(app, ["lake", "compact", *lake, "--json"], catch_exceptions=False)
    months = json.loads(done.stdout)
    assert {(month["feed"], month["kind"], month["month"], month["files"]) for month in months} == {
        ("honours", "quarantine", "2026-08", 1)
    }
    assert AuditLog(settings.audit_log_path).head()[0] == 1
    done = CliRunner().invoke(app, ["lake", "compact", *lake, "--keep", "1"], catch_exceptions=False)
    assert "1 files with" in done.stdout and "became 1" in done.stdout
    done = CliRunner().invoke(app, ["lake", "check", *lake], catch_exceptions=False)
    assert "hold what the ledger says" in done.stdout


def test_check_names_the_damage(settings: Settings) -> None:
    """Prevents a check that is green on a lake that lost a file."""
    [path] = settings.quarantine_dir.glob("honours/ingest_date=2026-09-03/*.parquet")
    path.unlink()
    with pytest.raises(IntegrityError, match=r"honours: .*cannot be read"):
        CliRunner().invoke(app, ["lake", "check", "--lake", str(settings.lake_dir)], catch_exceptions=False)
