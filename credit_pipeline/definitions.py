"""Composes the stages into one Dagster code location. Nothing else belongs here."""

import dagster as dg

from credit_pipeline.audit.assets import audit_assets
from credit_pipeline.audit.sensors import run_failed
from credit_pipeline.extracts.assets import extract_assets
from credit_pipeline.feeds.assets import raw_assets
from credit_pipeline.feeds.jobs import daily, daily_at_two, train_model, train_monthly
from credit_pipeline.feeds.sensors import file_drop
from credit_pipeline.grading.assets import grading_assets
from credit_pipeline.inspection.assets import inspection_assets
from credit_pipeline.orchestration import Pipeline
from credit_pipeline.transform.assets import dbt_build, dbt_cli

defs = dg.Definitions(
    assets=[*raw_assets, dbt_build, *grading_assets, *inspection_assets, *extract_assets, *audit_assets],
    jobs=[daily, train_model],
    schedules=[daily_at_two, train_monthly],
    sensors=[file_drop, run_failed],
    resources={"pipeline": Pipeline(), "dbt": dbt_cli},
    executor=dg.in_process_executor,
)
