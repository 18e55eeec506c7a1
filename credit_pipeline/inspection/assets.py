"""Dagster assets of stage 4 that Python makes: the draws and their inspectors. Frame and quotas are dbt models."""

from collections import Counter

import dagster as dg

from credit_pipeline.inspection.rounds.daily import (
    assign_inspectors,
    draw_due_rounds,
    round_problems,
    rounds_for_audit,
    summary_table,
)
from credit_pipeline.inspection.teams.team_load import load_table, team_load
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset
from credit_pipeline.transform.tables import table_digests
from credit_pipeline.warehouse import connect


@daily_asset(
    "inspection",
    "inspection_draws",
    "Enterprises drawn for inspection. Every round that is due or unfinished goes as far as it can: frozen, committed, "
    "drawn, each once; running this again shows the same draw and cannot make another.",
    "双随机抽取结果",
    opens_warehouse=True,
    deps=[
        ["inspection", "inspection_frame"],
        ["inspection", "inspection_quotas"],
        ["inspection", "inspection_rounds"],
        ["inspection", "plan_items"],
        ["inspection", "inspection_roster"],
        ["inspection", "inspection_recusals"],
        ["staging", "stg_public_entropy"],
        ["grading", "enterprise_grades"],
        ["grading", "unit_grades"],
    ],
    kinds={"duckdb", "python"},
    code_version="2",
)
def inspection_draws(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target = pipeline.target(as_of_date(context))
    outcomes = draw_due_rounds(pipeline.settings, target, pipeline.audit(), context.run.run_id)
    with connect(pipeline.settings, target.path, read_only=True) as connection:
        digests = table_digests(connection, ["inspection.inspection_draws"])
    pipeline.audit().append(
        "rounds_drawn",
        "inspection",
        context.run.run_id,
        **pipeline.run_facts(target.as_of_date),
        is_replay=target.is_replay,
        rounds=rounds_for_audit(outcomes),
        outputs=digests,
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(outcome.drawn for outcome in outcomes),
            "rounds": dg.MetadataValue.md(summary_table(outcomes)),
            "rounds_waiting": sum(bool(outcome.waiting_for) for outcome in outcomes),
            "frozen_in_this_run": sum(outcome.is_new for outcome in outcomes),
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
    "At least two inspectors for each drawn enterprise, by seeded order with look-ahead, from the roster frozen with "
    "the frame.",
    "检查人员随机匹配",
    opens_warehouse=True,
    deps=[inspection_draws, ["inspection", "inspection_roster"], ["inspection", "inspection_recusals"]],
    kinds={"duckdb", "python"},
    tags={"pii": "true"},
    code_version="2",
    check_specs=[_ASSIGNED],
)
def inspector_assignments(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target = pipeline.target(as_of_date(context))
    outcomes = assign_inspectors(pipeline.settings, target, pipeline.audit(), context.run.run_id)
    with connect(pipeline.settings, target.path, read_only=True) as connection:
        loads = team_load(connection.table("inspection.inspector_assignments").to_arrow_table())
        digests = table_digests(connection, ["inspection.inspector_assignments"])
    pipeline.audit().append(
        "inspectors_assigned",
        "inspection",
        context.run.run_id,
        **pipeline.run_facts(target.as_of_date),
        is_replay=target.is_replay,
        rounds=rounds_for_audit(outcomes),
        outputs=digests,
    )
    without = [
        f"- {outcome.plan_id} {outcome.round}, {unit}: {why}"
        for outcome in outcomes
        for unit, why in sorted(outcome.unassigned.items())
    ]
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        counts.update(outcome.without_team)
    return dg.MaterializeResult(
        metadata={
            "rounds": dg.MetadataValue.md(summary_table(outcomes)),
            "team_load": dg.MetadataValue.md(load_table(loads)),
            "units_without_inspectors": len(counts),
            "problems": dg.MetadataValue.json(round_problems(outcomes)),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not without and not counts,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "units": ", ".join(f"{unit}: {count}" for unit, count in sorted(counts.items())),
                    "why": dg.MetadataValue.md("\n".join(without) or "none"),
                },
            )
        ],
    )


inspection_assets = [inspection_draws, inspector_assignments]
