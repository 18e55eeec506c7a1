"""Dagster asset of stage 4 that looks ahead: what the plans in force cost and find, and at other ratios."""

import dagster as dg

from credit_pipeline.grading.svg import as_markdown
from credit_pipeline.inspection.plans.plan_pictures import findings_over_visits
from credit_pipeline.inspection.plans.planning import read_workbench, write_what_if
from credit_pipeline.inspection.plans.simulation import simulate, uniform
from credit_pipeline.inspection.plans.what_if import capacity_rows, curve, what_if_rows, workload_markdown
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset
from credit_pipeline.warehouse import connect

_CARRIED = dg.AssetCheckSpec(
    "units_can_carry_their_plan",
    asset=dg.AssetKey(["inspection", "plan_what_if"]),
    description="Every unit's inspectors have days enough for the visits of its plans; units over capacity are named.",
)


@daily_asset(
    "inspection",
    "plan_what_if",
    "Visits, inspector-days and expected findings of every unit in a year, with today's ratios of C to E and with 0.5 to 2 "
    "times as much. Counts only.",
    "抽查计划推演",
    opens_warehouse=True,
    deps=[
        ["inspection", "inspection_frame"],
        ["inspection", "inspection_quotas"],
        ["inspection", "inspection_rounds"],
        ["inspection", "plan_items"],
        ["grading", "enterprise_grades"],
        ["staging", "stg_inspectors"],
        ["policy", "inspection_policy"],
    ],
    kinds={"duckdb", "python"},
    code_version="1",
    check_specs=[_CARRIED],
)
def plan_what_if(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    day = as_of_date(context)
    with connect(pipeline.settings, pipeline.target(day).path) as connection:
        # Rates of this run may not be there yet: the table must not depend on the order of steps.
        bench = read_workbench(connection, day, with_rates=False)
        rows = what_if_rows(bench)
        write_what_if(connection, day, rows)
    today = simulate(bench, bench.today())
    units = capacity_rows(bench)
    over = {row["unit_id"]: round(row["over_days"]) for row in units if row["over_days"]}
    picture = findings_over_visits(curve(bench), today, uniform(bench, today))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "visits": round(today.total, 1),
            "expected_findings": round(today.findings, 1),
            "units_over_capacity": len(over),
            "findings_over_visits": dg.MetadataValue.md(
                as_markdown("expected findings over visits", picture)
            ),
            "workload": dg.MetadataValue.md(workload_markdown(units)),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=_CARRIED.name,
                passed=not over,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "units": ", ".join(f"{unit}: {days} days over" for unit, days in sorted(over.items()))
                    or "none",
                    "count": len(over),
                },
            )
        ],
    )


planning_assets = [plan_what_if]
