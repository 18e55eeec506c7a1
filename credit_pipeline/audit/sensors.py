"""Alerts: a failed run, and feeds that need somebody after a good one, are written to the audit log and posted to a
webhook when one is configured."""

from collections.abc import Iterable

import dagster as dg

from credit_pipeline.audit.alerts import ALERTS, Finding, alert_run_failed
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.feeds.jobs import daily
from credit_pipeline.settings import Settings


@dg.run_failure_sensor(
    description="Writes every failed run to the audit log and posts it to CREDIT_ALERT_WEBHOOK_URL when that is set.",
    monitor_all_code_locations=True,
)
def run_failed(context: dg.RunFailureSensorContext) -> None:
    run = context.dagster_run
    steps = sorted({event.step_key for event in context.get_step_failure_events() if event.step_key})
    alert_run_failed(
        Settings(),
        run_id=run.run_id,
        job=run.job_name,
        partition=run.tags.get("dagster/partition"),
        failed_steps=steps,
    )


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[daily],
    description="After a daily run: feeds that stopped, files refused, sources that failed, records that vanished, units "
    "whose visits, publications or rectifications are overdue, whose receipts are missing or contradict the log, as its "
    "checks found them; once per day and change to "
    "CREDIT_ALERT_WEBHOOK_URL and the audit log.",
)
def feeds_need_attention(context: dg.RunStatusSensorContext) -> None:
    run = context.dagster_run
    records = context.instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ).records
    events = [record.event_log_entry.dagster_event for record in records]
    findings = check_findings(event.asset_check_evaluation_data for event in events if event is not None)
    day = run.tags.get("dagster/partition", "")
    problems = []
    for alert in ALERTS:
        try:
            alert(Settings(), run_id=run.run_id, as_of_date=day, findings=findings)
        except CreditPipelineError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def check_findings(evaluations: Iterable[dg.AssetCheckEvaluation]) -> list[Finding]:
    """The evaluations that did not pass, with the feeds and units that their metadata name."""
    found = []
    for evaluation in evaluations:
        if evaluation.passed:
            continue
        named = evaluation.metadata.get("feeds")
        feeds = tuple(str(named.value).split(", ")) if named is not None else ()
        counted = evaluation.metadata.get("units")
        units = tuple(str(counted.value).split(", ")) if counted is not None else ()
        found.append(Finding(evaluation.check_name, evaluation.asset_key.to_user_string(), feeds, units))
    return found
