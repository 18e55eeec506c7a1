"""A failed run reaches the log and a real webhook, without secrets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from credit_pipeline.audit.alerts import alert_run_failed
from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import Settings


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
