"""Dagster assets of stage 4 that Python makes: the draw and its inspectors. Frame and quotas are dbt models."""

import dagster as dg

from credit_pipeline.inspection.rounds import assign_inspectors, draw_due_round
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset


@daily_asset(
    "inspection",
    "inspection_draws",
    "Enterprises drawn for inspection. The round in force is frozen, committed and drawn when it is due, once; "
    "running this again shows the same draw and cannot make another.",
    "双随机抽取结果",
    opens_warehouse=True,
    deps=[
        ["inspection", "inspection_frame"],
        ["inspection", "inspection_quotas"],
        ["inspection", "inspection_rounds"],
        ["grading", "enterprise_grades"],
        ["grading", "unit_grades"],
    ],
    kinds={"duckdb", "python"},
    code_version="1",
)
def inspection_draws(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target = pipeline.target(as_of_date(context))
    outcome = draw_due_round(pipeline.settings, target, pipeline.audit(), context.run.run_id)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": outcome.drawn,
            "round": f"{outcome.plan_id} {outcome.round}",
            "state": outcome.state,
            "drawn_in_this_run": outcome.is_new,
            "missing_assurances": dg.MetadataValue.md(
                "\n".join(f"- {line}" for line in outcome.missing_assurances) or "none"
            ),
        }
    )


_ASSIGNED = dg.AssetCheckSpec(
    "every_drawn_enterprise_has_inspectors",
    asset=dg.AssetKey(["inspection", "inspector_assignments"]),
    description="Two inspectors at least for each drawn enterprise; units where that is impossible are named with the reason.",
)


@daily_asset(
    "inspection",
    "inspector_assignments",
    "At least two inspectors for each drawn enterprise, by seeded order with look-ahead.",
    "检查人员随机匹配",
    opens_warehouse=True,
    deps=[inspection_draws, ["staging", "stg_inspectors"]],
    kinds={"duckdb", "python"},
    tags={"pii": "true"},
    code_version="1",
    check_specs=[_ASSIGNED],
)
def inspector_assignments(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target = pipeline.target(as_of_date(context))
    outcome = assign_inspectors(pipeline.settings, target, pipeline.audit(), context.run.run_id)
    lines = "\n".join(f"- {unit}: {why}" for unit, why in sorted(outcome.unassigned.items()))
    return dg.MaterializeResult(
        metadata={"state": outcome.state, "units_without_inspectors": len(outcome.unassigned)},
        check_results=[
            dg.AssetCheckResult(
                passed=not outcome.unassigned,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"units": dg.MetadataValue.md(lines or "none")},
            )
        ],
    )


inspection_assets = [inspection_draws, inspector_assignments]
