"""Alerts: a failed run is written to the audit log and posted to a webhook when one is configured."""

import dagster as dg

from credit_pipeline.audit.alerts import alert_run_failed
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
