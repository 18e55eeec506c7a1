"""Composes the stages into one Dagster code location. Nothing else belongs here."""

import dagster as dg

from credit_pipeline.audit.assets import audit_assets
from credit_pipeline.audit.sensors import feeds_need_attention, run_failed
from credit_pipeline.extracts.assets import extract_assets
from credit_pipeline.feeds.assets import lake_assets, raw_assets
from credit_pipeline.feeds.jobs import (
    compact_lake,
    compact_monthly,
    daily,
    daily_at_two,
    train_model,
    train_monthly,
)
from credit_pipeline.feeds.sensors import file_drop
from credit_pipeline.grading.assets import grading_assets
from credit_pipeline.inspection.assets import inspection_assets
from credit_pipeline.inspection.planning_assets import planning_assets
from credit_pipeline.inspection.result_assets import result_assets
from credit_pipeline.orchestration import Pipeline
from credit_pipeline.transform.assets import dbt_build, dbt_cli, feed_quality_report

defs = dg.Definitions(
    assets=[
        *raw_assets,
        *lake_assets,
        dbt_build,
        feed_quality_report,
        *grading_assets,
        *inspection_assets,
        *result_assets,
        *planning_assets,
        *extract_assets,
        *audit_assets,
    ],
    jobs=[daily, train_model, compact_lake],
    schedules=[daily_at_two, train_monthly, compact_monthly],
    sensors=[file_drop, run_failed, feeds_need_attention],
    resources={"pipeline": Pipeline(), "dbt": dbt_cli},
    executor=dg.in_process_executor,
)
