"""The jobs and the daily schedule. They stand in the first stage because its sensor starts them; assets are
selected by group, so no later stage is imported."""

import dagster as dg

from credit_pipeline.settings import TIME_ZONE

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
