"""Dagster assets of stage 5: the units' encrypted extracts, and the published results of inspections."""

import dagster as dg

from credit_pipeline.extracts.catalogue import office_held_line, publish_all
from credit_pipeline.extracts.public_results import publish_public_results
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset


@daily_asset(
    "extracts",
    "unit_extracts",
    "One encrypted DuckDB file per supervising unit with only its own enterprises, replaced as a whole, current "
    "once its signed manifest stands.",
    "单位数据包",
    opens_warehouse=True,
    deps=[
        ["inspection", "inspector_assignments"],
        ["inspection", "inspection_draws"],
        ["inspection", "inspection_quotas"],
        ["inspection", "plan_items"],
        ["inspection", "inspection_visits"],
        ["inspection", "lead_checks"],
        ["inspection", "campaign_targets"],
        ["inspection", "inspection_progress"],
        ["inspection", "publication_clock"],
        ["enterprises", "enterprise_safety_tags"],
        ["enterprises", "enterprise_units"],
        ["enterprises", "enterprises"],
        ["grading", "enterprise_grades"],
        ["grading", "unit_grades"],
        ["grading", "grade_reasons"],
        ["grading", "grade_evidence"],
        ["grading", "grade_history"],
        ["grading", "grade_vetoes"],
        ["policy", "excluded_enterprises"],
        ["policy", "extract_options"],
        ["policy", "measures"],
        ["quality", "identity_review"],
        ["quality", "identity_review_senders"],
        ["quality", "quarantined_rows"],
    ],
    kinds={"duckdb"},
)
def unit_extracts(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target = pipeline.target(as_of_date(context))
    published = publish_all(pipeline.settings, target, pipeline.audit(), context.run.run_id)
    if not target.is_replay:
        pipeline.audit().append(
            "extracts_finished",
            "extracts",
            context.run.run_id,
            **pipeline.run_facts(target.as_of_date),
            units=published.units,
            new_releases=published.new,
            rows=published.rows,
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": published.rows,
            "units": published.units,
            "new_releases": published.new,
            "office_held_keys": published.office_held,
            "keys": office_held_line(published.office_held) or "every unit holds its own key",
            "folder": dg.MetadataValue.path(pipeline.settings.extracts_dir),
        }
    )


@daily_asset(
    "extracts",
    "public_results",
    "Results of completed inspections of all kinds in one list for the public, with statistics in which no small group shows; "
    "signed. Reads neither draws nor grades.",
    "检查结果公示文件",
    opens_warehouse=True,
    deps=[
        ["public", "inspection_results"],
        ["inspection", "completed_inspections"],
        ["policy", "public_policy"],
    ],
    kinds={"csv", "json"},
)
def public_results(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target = pipeline.target(as_of_date(context))
    release = publish_public_results(pipeline.settings, target, pipeline.audit(), context.run.run_id)
    manifest = release.manifest or {"results": 0, "removed": 0}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": manifest["results"],
            "removed": manifest["removed"],
            "new": release.is_new,
            "folder": dg.MetadataValue.path(pipeline.settings.public_dir),
        }
    )


extract_assets = [unit_extracts, public_results]
