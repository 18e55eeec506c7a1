"""A failed run reaches the log and a real webhook, without secrets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest

from credit_pipeline.audit.alerts import (
    ALERTS,
    Finding,
    alert_extracts,
    alert_feeds,
    alert_inspections,
    alert_run_failed,
)
from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.sensors import feeds_need_attention
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import mark_current


class _Webhook(BaseHTTPRequestHandler):
    received: ClassVar[list[dict[str, Any]]] = []
    answer: ClassVar[int] = 200

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self.answer)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    _Webhook.received.clear()
    server = HTTPServer(("127.0.0.1", 0), _Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook?token=SECRET"
    server.shutdown()
    server.server_close()


FAILURE: dict[str, Any] = {
    "run_id": "r1",
    "job": "daily",
    "partition": "2026-10-31",
    "failed_steps": ["dbt_build"],
}


def test_failure_is_logged_and_posted_once(tmp_path: Path, address: str) -> None:
    """Prevents a failure that nobody hears of."""
    _Webhook.answer = 200
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    alert_run_failed(settings, **FAILURE)
    [message] = _Webhook.received
    assert message["failed_steps"] == ["dbt_build"] and message["what_to_do"]
    [record] = AuditLog(settings.audit_log_path).records("run_failed")
    assert record.run_id == "r1"


def test_refused_webhook_is_an_error_without_its_address(tmp_path: Path, address: str) -> None:
    """Prevents the webhook's token from reaching a log."""
    _Webhook.answer = 500
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    with pytest.raises(CreditPipelineError) as caught:
        alert_run_failed(settings, **FAILURE)
    assert "SECRET" not in str(caught.value) and caught.value.__cause__ is None
    assert "SECRET" not in repr(settings)


FINDINGS = [
    Finding("arrived_in_time", "raw/penalties"),
    Finding("arrived_in_time", "raw/licences"),
    Finding("no_file_refused", "raw/complaints"),
    Finding("nothing_vanished", "quality/feed_quality_report", ("registrations", "related_parties")),
    Finding("holidays_cover_the_year", "quality/working_days"),
]


def test_feeds_are_told_once_per_day_and_change(tmp_path: Path, address: str) -> None:
    """Prevents a feed that stopped from going unnoticed, and the same message after each run of a day."""
    _Webhook.answer = 200
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    assert alert_feeds(settings, run_id="r1", as_of_date="2026-10-31", findings=FINDINGS)
    [message] = _Webhook.received
    assert message["stale_feeds"] == ["licences", "penalties"] and message["refused_files"] == ["complaints"]
    assert message["vanishing_feeds"] == ["registrations", "related_parties"] and message["count"] == 6
    assert message["other_checks"] == ["quality/working_days:holidays_cover_the_year"]
    assert set(message["what_to_do"]) == {
        "stale_feeds", "refused_files", "vanishing_feeds", "other_checks",
    }  # fmt: skip
    assert not alert_feeds(settings, run_id="r2", as_of_date="2026-10-31", findings=FINDINGS[::-1])
    assert alert_feeds(settings, run_id="r3", as_of_date="2026-10-31", findings=FINDINGS[1:])
    assert alert_feeds(settings, run_id="r4", as_of_date="2026-11-01", findings=FINDINGS[1:])
    assert not alert_feeds(settings, run_id="r5", as_of_date="2026-11-01", findings=[])
    assert len(_Webhook.received) == 3
    records = list(AuditLog(settings.audit_log_path).records("feeds_need_attention"))
    assert [record.run_id for record in records] == ["r1", "r3", "r4"]


def test_feeds_not_told_are_told_after_the_next_run(tmp_path: Path, address: str) -> None:
    """Prevents a webhook that was down for a minute from swallowing an alert."""
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    _Webhook.answer = 500
    with pytest.raises(CreditPipelineError) as caught:
        alert_feeds(settings, run_id="r1", as_of_date="2026-10-31", findings=FINDINGS)
    assert "SECRET" not in str(caught.value)
    _Webhook.answer = 200
    assert alert_feeds(settings, run_id="r2", as_of_date="2026-10-31", findings=FINDINGS)
    assert [r.details["is_delivered"] for r in AuditLog(settings.audit_log_path).records()] == [False, True]


def test_a_replay_alarms_nobody(tmp_path: Path, address: str) -> None:
    """Prevents an alert about a day long past when it is computed again."""
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    mark_current(settings, date(2026, 11, 5))
    assert not alert_feeds(settings, run_id="r1", as_of_date="2026-10-31", findings=FINDINGS)
    assert _Webhook.received == []


OVERDUE = [
    Finding("published_in_time", "inspection/publication_clock", units=("411302MS: 3", "411321MS: 1")),
    Finding("rectified_in_time", "inspection/publication_clock", units=("411302MS: 2",)),
    Finding("inspected_in_time", "inspection/inspection_progress", units=("411303MS: 7",)),
]


def test_units_are_told_apart_from_feeds_once_per_day_and_change(tmp_path: Path, address: str) -> None:
    """Prevents overdue publications from going unnoticed, the same message twice, and feeds told as units."""
    _Webhook.answer = 200
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    everything = [*FINDINGS, *OVERDUE]
    assert alert_inspections(settings, run_id="r1", as_of_date="2026-10-31", findings=everything)
    [message] = _Webhook.received
    assert message["event"] == "inspections_need_attention"
    assert message["overdue_publications"] == ["411302MS: 3", "411321MS: 1"]
    assert message["overdue_rectifications"] == ["411302MS: 2"] and message["overdue_visits"] == [
        "411303MS: 7"
    ]
    assert set(message["what_to_do"]) == {"overdue_publications", "overdue_rectifications", "overdue_visits"}
    assert not alert_inspections(settings, run_id="r2", as_of_date="2026-10-31", findings=everything)
    assert alert_inspections(settings, run_id="r3", as_of_date="2026-10-31", findings=OVERDUE[:2])
    assert not alert_inspections(settings, run_id="r4", as_of_date="2026-10-31", findings=FINDINGS)
    assert alert_feeds(settings, run_id="r5", as_of_date="2026-10-31", findings=everything)
    assert "overdue_publications" not in _Webhook.received[-1] and _Webhook.received[-1]["count"] == 6


def test_units_without_inspectors_are_told_with_what_helps(tmp_path: Path, address: str) -> None:
    """Prevents a unit that inspects nobody from hiding behind the name of a check."""
    _Webhook.answer = 200
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    settings.audit_dir.mkdir()
    found = Finding(
        "every_drawn_enterprise_has_inspectors",
        "inspection/inspector_assignments",
        units=("411302MS: 12", "411330EE: 3"),
    )
    assert alert_inspections(settings, run_id="r1", as_of_date="2026-10-31", findings=[found])
    [message] = _Webhook.received
    assert message["units_without_inspectors"] == ["411302MS: 12", "411330EE: 3"]
    assert "draw assign" in message["what_to_do"]["units_without_inspectors"]
    assert not alert_feeds(settings, run_id="r1", as_of_date="2026-10-31", findings=[found])


def test_the_sensor_reads_the_checks_of_the_run(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a sensor that looks at another run, or takes a passed check for a failed one."""
    _Webhook.answer = 200
    monkeypatch.setenv("CREDIT_LAKE_DIR", str(tmp_path))
    monkeypatch.setenv("CREDIT_ALERT_WEBHOOK_URL", address)
    (tmp_path / "audit").mkdir()

    def check(name: str, feed: str, *, passed: bool, **metadata: str) -> dg.AssetsDefinition:
        key = dg.AssetKey(["raw", feed])

        @dg.asset(key=key, check_specs=[dg.AssetCheckSpec(name, asset=key)])
        def raw() -> dg.MaterializeResult:
            result = dg.AssetCheckResult(
                passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=dict(metadata)
            )
            return dg.MaterializeResult(check_results=[result])

        return raw

    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        result = dg.materialize(
            [
                check("arrived_in_time", "honours", passed=False),
                check("arrived_in_time", "licences", passed=True),
                check("nothing_vanished", "report", passed=False, feeds="inspectors, registrations"),
                check(
                    "published_in_time", "clock", passed=False, units="411302MS: 3, 411321MS: 1", count="4"
                ),
            ],
            instance=instance,
            tags={"dagster/partition": "2026-10-31"},
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="feeds_need_attention",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.all_events[-1],
        )
        feeds_need_attention(context)
    [message, overdue] = _Webhook.received
    assert overdue["overdue_publications"] == ["411302MS: 3", "411321MS: 1"]
    assert message["as_of_date"] == "2026-10-31" and message["run_id"] == result.run_id
    assert message["stale_feeds"] == ["honours"]
    assert message["vanishing_feeds"] == ["inspectors", "registrations"]


def test_units_without_receipts_are_told_by_their_own_alert(tmp_path: Path, address: str) -> None:
    """Prevents a contradicting receipt from hiding among feeds, and one message about it from being sent twice."""
    _Webhook.answer = 200
    settings = Settings(lake_dir=tmp_path, alert_webhook_url=address)
    mark_current(settings, date(2026, 11, 3))
    found = [
        Finding("receipts_agree_with_the_log", "audit/receipts", units=("411300MS: 1",)),
        Finding("extracts_confirmed", "audit/receipts", units=("411300EM: 2", "411300HC: 1")),
    ]
    told = [alert(settings, run_id="r1", as_of_date="2026-11-03", findings=found) for alert in ALERTS]
    assert told == [False, False, True]
    [message] = _Webhook.received
    assert message["event"] == "extracts_need_attention" and message["count"] == 3
    assert message["contradicting_receipts"] == ["411300MS: 1"]
    assert set(message["what_to_do"]) == {"contradicting_receipts", "unconfirmed_extracts"}
    assert not alert_extracts(settings, run_id="r2", as_of_date="2026-11-03", findings=found)
    [record] = AuditLog(settings.audit_log_path).records("extracts_need_attention")
    assert record.details["is_delivered"]
