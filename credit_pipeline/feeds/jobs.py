"""The jobs and the daily schedule. They stand in the first stage because its sensor starts them; assets are
selected by group, so no later stage is imported."""

import logging

import dagster as dg

from credit_pipeline.feeds import compaction
from credit_pipeline.settings import TIME_ZONE

log = logging.getLogger(__name__)

_training = dg.AssetSelection.assets(["grading", "training_set"], ["grading", "credit_model"])

daily = dg.define_asset_job(
    "daily",
    selection=dg.AssetSelection.all() - _training,
    description="Feeds → grades → due draws → extracts → checkpoint, for one as-of day. One run, one audit record.",
)

train_model = dg.define_asset_job(
    "train_model",
    selection=_training,
    description="Trains a challenger on monthly as-of snapshots; it becomes champion only if it is better by policy.",
)


@dg.op(
    required_resource_keys={"pipeline"},
    config_schema={"kept_months": dg.Field(int, default_value=compaction.KEPT_MONTHS)},
)
def compact_months(context: dg.OpExecutionContext) -> None:
    """One file for each past month of a feed. The resource holds the lake's lock meanwhile."""
    settings = context.resources.pipeline.settings
    done = compaction.compact_lake(settings, context.op_config["kept_months"], log.debug)
    compaction.record_compaction(settings, done, context.run_id)
    log.info("%d months became one file each", len(done))
    context.add_output_metadata(
        {
            "months": len(done),
            "files_before": sum(item.files for item in done),
            "rows": sum(item.rows for item in done),
        }
    )


@dg.job(
    description="Puts together the days of past months; the lake's content, ledger and results do not change.",
    executor_def=dg.in_process_executor,
)
def compact_lake() -> None:
    compact_months()


@dg.schedule(job=daily, cron_schedule="0 2 * * *", execution_timezone=TIME_ZONE)
def daily_at_two(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The daily job at 02:00, speaking for the day that has just begun."""
    day = context.scheduled_execution_time.date().isoformat()
    return dg.RunRequest(run_key=day, partition_key=day)


@dg.schedule(job=train_model, cron_schedule="0 4 1 * *", execution_timezone=TIME_ZONE)
def train_monthly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Training on the first of every month, after the daily job."""
    day = context.scheduled_execution_time.date().isoformat()
    return dg.RunRequest(run_key=day, partition_key=day)


@dg.schedule(job=compact_lake, cron_schedule="0 6 2 * *", execution_timezone=TIME_ZONE)
def compact_monthly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Compaction on the second of every month, after the daily job has opened the new month."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.date().isoformat())
