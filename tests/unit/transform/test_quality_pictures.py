"""The quality report's table and pictures, from made-up figures."""

from __future__ import annotations

import base64
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.settings import Settings
from credit_pipeline.transform.quality_report import QualityReport, report_markdown, report_plots

DAY = date(2026, 10, 31)


def feed(name: str, **figures: Any) -> dict[str, Any]:
    return {
        "feed": name, "cadence_days": 7, "last_arrival": DAY, "is_stale": False, "read_rows": 100, "accepted": 90,
        "quarantined": 10, "reject_rate_bp": 1000, "top_rules": "code_unknown×10", "open_rows": 3, "in_review": 2,
        "duplicates": 0, "repaired_rows": 5, "coverage_bp": 5000, "lag_working_median": 3, "lag_working_p90": 8,
        "within_deadline_bp": None, "missing_records": 0, "is_vanishing": False, "uncovered_facts": 0,
    } | figures  # fmt: skip


@pytest.fixture
def report() -> QualityReport:
    feeds = [feed(name) for name in load_catalogue()]
    feeds[0] |= {"is_vanishing": True, "missing_records": 12}
    feeds[1] |= {"is_stale": True, "last_arrival": None, "read_rows": 0}
    feeds[2] |= {"coverage_bp": None, "uncovered_facts": 1}
    days = [(DAY - timedelta(days=back), 1000 * back, back, 0) for back in range(3)]
    lags = {"licences": [(1, 5), (30, 2)], "penalties": []}
    return QualityReport(DAY, feeds, days, lags, [("code_unknown", 10)])


def test_the_table_names_what_needs_somebody(report: QualityReport) -> None:
    """Prevents a stale feed or vanished records that drown among the figures."""
    lines = report_markdown(report).splitlines()
    assert lines[2].startswith("| registrations 登记注册 |") and lines[2].endswith("12 **alert** |")
    assert "| never **stale** |" in lines[3]
    assert "weekdays" in lines[-1]
    assert report.stale == [report.feeds[1]["feed"]] and report.vanishing == ["registrations"]
    assert report.total("open_rows") == 3 * len(report.feeds)


def test_the_pictures_are_small_and_always_the_same(report: QualityReport, tmp_path: Path) -> None:
    """Prevents an event log that grows by megabytes, and pictures that differ without a reason."""
    settings = Settings(lake_dir=tmp_path)
    plots = report_plots(report, settings)
    assert set(plots) == {"coverage", "reject_rate", "lag", "rows_per_day", "last_arrivals"}
    assert sum(map(len, plots.values())) < 100_000
    assert plots == report_plots(report, settings)
    for text in plots.values():
        assert base64.b64decode(text.split("base64,")[1].rstrip(")"))[:8] == b"\x89PNG\r\n\x1a\n"


def test_an_empty_lake_has_a_report(tmp_path: Path) -> None:
    """Prevents a first day without files from failing for want of figures."""
    feeds = [
        feed(name, last_arrival=None, read_rows=0, is_stale=True, coverage_bp=None)
        for name in load_catalogue()
    ]
    empty = QualityReport(DAY, feeds, [], {"licences": [], "penalties": []}, [])
    assert len(report_plots(empty, Settings(lake_dir=tmp_path))) == 5
