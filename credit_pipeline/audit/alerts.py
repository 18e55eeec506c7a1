"""What is told to whom when something fails. Never an enterprise, a grade or a secret: ids and step names only."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from typing import Any

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import Settings

log = logging.getLogger(__name__)

TIMEOUT_S = 10


def alert_run_failed(
    settings: Settings, *, run_id: str, job: str, partition: str | None, failed_steps: list[str]
) -> None:
    """Record a failed run and tell the webhook.

    Raises:
        CreditPipelineError: the webhook did not take the message; the record in the log stands.
    """
    message: dict[str, Any] = {
        "event": "run_failed",
        "job": job,
        "run_id": run_id,
        "as_of_date": partition,
        "failed_steps": failed_steps,
        "what_to_do": "open the run in the UI, read the failed step's error, mend it and run the same day again",
    }
    AuditLog(settings.audit_log_path).append(
        "run_failed", "audit", run_id, job=job, as_of_date=partition, failed_steps=failed_steps
    )
    if settings.alert_webhook_url is None:
        log.info("run %s of %s failed; no webhook is configured", run_id, job)
        return
    url = settings.alert_webhook_url.get_secret_value()
    if not url.startswith(("http://", "https://")):
        raise CreditPipelineError("CREDIT_ALERT_WEBHOOK_URL is not an http(s) address")
    request = urllib.request.Request(  # noqa: S310 (the scheme was checked)
        url, json.dumps(message).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            response.read()
    except (urllib.error.URLError, TimeoutError) as error:
        # The address may hold a token: only the kind of failure is told.
        raise CreditPipelineError(
            f"the alert webhook did not take the message: {type(error).__name__}"
        ) from None
