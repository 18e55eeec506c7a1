"""What is told to whom when something fails or is missing. Never an enterprise, a grade or a secret: ids, counts,
names of steps and feeds only."""

from __future__ import annotations

import json
import logging
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import current_as_of_date

log = logging.getLogger(__name__)

TIMEOUT_S = 10
FEEDS_ALERT = "feeds_need_attention"
INSPECTIONS_ALERT = "inspections_need_attention"
EXTRACTS_ALERT = "extracts_need_attention"
_TOPICS = {
    "arrived_in_time": "stale_feeds",
    "no_file_refused": "refused_files",
    "sources_reached": "failed_sources",
    "nothing_vanished": "vanishing_feeds",
}
"""Check of the daily run → what the message calls it."""
_INSPECTION_TOPICS = {
    "inspected_in_time": "overdue_visits",
    "published_in_time": "overdue_publications",
    "rectified_in_time": "overdue_rectifications",
    "results_agree_with_the_draw": "odd_results",
    "every_drawn_enterprise_has_inspectors": "units_without_inspectors",
}
"""Likewise; these name units with counts."""
_EXTRACT_TOPICS = {
    "receipts_agree_with_the_log": "contradicting_receipts",
    "extracts_confirmed": "unconfirmed_extracts",
}
"""Likewise."""
_REMEDIES = {
    "stale_feeds": "ask the owner of the feed for its delivery",
    "refused_files": "see the file's problem in the UI, mend it and put it into landing again",
    "failed_sources": "see the check sources_reached of the feed in the UI",
    "vanishing_feeds": "credit-pipeline absences list; nothing ends until it is confirmed",
    "other_checks": "see the check in the UI",
    "overdue_visits": "ask the unit for the results; its extract lists them in results_missing",
    "overdue_publications": "ask the unit to publish and to send published_date; its extract lists them in deadlines",
    "overdue_rectifications": "ask the unit to check the rectification; its extract lists them in deadlines",
    "contradicting_receipts": "credit-pipeline audit verify; ask the unit whether the receipt is its own and right",
    "unconfirmed_extracts": "ask the unit to open its extract and to send the receipt",
    "units_without_inspectors": "credit-pipeline draw show PLAN ROUND names who is in conflict; mend the directory of "
    "inspectors or the recusals, run, then credit-pipeline draw assign PLAN ROUND",
    "odd_results": "see finding in inspection/inspection_progress; the unit corrects its results",
}


@dataclass(frozen=True)
class Finding:
    """A check of a run that did not pass."""

    check: str
    asset: str
    """Key of the asset, its parts joined by /."""
    feeds: tuple[str, ...] = ()
    """The feeds it names; without any, the feed is the asset's."""
    units: tuple[str, ...] = ()
    """The units it names, each with its count: `U1: 3`."""


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
    _post(settings, message)


def alert_feeds(settings: Settings, *, run_id: str, as_of_date: str, findings: Sequence[Finding]) -> bool:
    """Tell the webhook which feeds need somebody after a daily run, and record it: once per day and change.

    Of a replay of a past day nothing is told.

    Returns:
        Whether there was something to tell that had not been told.

    Raises:
        CreditPipelineError: the webhook did not take the message; it is tried again after the next run.
    """
    topics: dict[str, list[str]] = {}
    for finding in findings:
        if finding.check in _INSPECTION_TOPICS or finding.check in _EXTRACT_TOPICS:
            continue
        topic = _TOPICS.get(finding.check, "other_checks")
        own = (
            [finding.asset.split("/")[-1]]
            if topic != "other_checks"
            else [f"{finding.asset}:{finding.check}"]
        )
        topics.setdefault(topic, []).extend(finding.feeds or own)
    return _alert(settings, FEEDS_ALERT, run_id, as_of_date, topics)


def alert_inspections(
    settings: Settings, *, run_id: str, as_of_date: str, findings: Sequence[Finding]
) -> bool:
    """Tell which units have overdue visits, publications and rectifications: unit ids and counts, never an enterprise.

    Otherwise as `alert_feeds`: once per day and change, nothing of a replay.
    """
    return _alert(
        settings, INSPECTIONS_ALERT, run_id, as_of_date, _units_by_topic(findings, _INSPECTION_TOPICS)
    )


def alert_extracts(settings: Settings, *, run_id: str, as_of_date: str, findings: Sequence[Finding]) -> bool:
    """Tell which units' receipts contradict the audit log, and which units have not confirmed a release in time.

    Otherwise as `alert_feeds`.
    """
    return _alert(settings, EXTRACTS_ALERT, run_id, as_of_date, _units_by_topic(findings, _EXTRACT_TOPICS))


ALERTS = (alert_feeds, alert_inspections, alert_extracts)
"""Every alert that follows a daily run."""


def _units_by_topic(findings: Sequence[Finding], names: Mapping[str, str]) -> dict[str, list[str]]:
    topics: dict[str, list[str]] = {}
    for finding in findings:
        if finding.check in names:
            topics.setdefault(names[finding.check], []).extend(finding.units)
    return topics


def _alert(
    settings: Settings, event: str, run_id: str, as_of_date: str, topics: Mapping[str, Sequence[str]]
) -> bool:
    current = current_as_of_date(settings)
    if not topics or (current is not None and as_of_date < current.isoformat()):
        return False
    found = {topic: sorted(set(names)) for topic, names in sorted(topics.items())}
    audit = AuditLog(settings.audit_log_path)
    last = None
    for record in audit.records(event):
        if record.details["as_of_date"] == as_of_date:
            last = record.details
    if last is not None and last["findings"] == found and last["is_delivered"]:
        return False
    problem: CreditPipelineError | None = None
    if settings.alert_webhook_url is not None:
        message = {
            "event": event,
            "run_id": run_id,
            "as_of_date": as_of_date,
            "count": sum(len(names) for names in found.values()),
            **found,
            "what_to_do": {topic: _REMEDIES[topic] for topic in found},
        }
        try:
            _post(settings, message)
        except CreditPipelineError as error:
            problem = error
    audit.append(event, "audit", run_id, as_of_date=as_of_date, findings=found, is_delivered=problem is None)
    if problem is not None:
        raise problem
    return True


def _post(settings: Settings, message: dict[str, Any]) -> None:
    """Post a message to the webhook."""
    if settings.alert_webhook_url is None:
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
