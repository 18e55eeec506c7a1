"""Dagster assets of stage 4 that follow the draw: progress, clock, rates, and the summary of the rounds in force."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from credit_pipeline.grading.svg import as_markdown
from credit_pipeline.inspection.outcomes import (
    publication,
    rate_words,
    rates,
    result_pictures,
    results,
    round_report,
)
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset
from credit_pipeline.warehouse import connect

_DRAW = [
    ["inspection", "inspection_draws"],
    ["inspection", "inspector_assignments"],
    ["inspection", "inspection_rounds"],
]
_PROGRESS = dg.AssetKey(["inspection", "inspection_progress"])
_CLOCK = dg.AssetKey(["inspection", "publication_clock"])


def _unit_check(name: str, units: Mapping[str, int]) -> dg.AssetCheckResult:
    """A warning that names units and counts; the alert reads `units`."""
    return dg.AssetCheckResult(
        check_name=name,
        passed=not units,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "units": ", ".join(f"{unit or '?'}: {count}" for unit, count in sorted(units.items())) or "none",
            "count": sum(units.values()),
        },
    )


@daily_asset(
    "inspection",
    "inspection_progress",
    "Every drawn visit and every lead with its result: open, overdue, done, cannot be inspected, topped up; result codes "
    "checked, days left.",
    "抽查任务与线索核查进度",
    opens_warehouse=True,
    deps=[
        *_DRAW,
        ["staging", "stg_inspection_results"],
        ["inspection", "lead_checks"],
        ["policy", "inspection_result_codes"],
    ],
    kinds={"duckdb", "python"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "inspected_in_time",
            asset=_PROGRESS,
            description="Every drawn visit has a result before its round's window ends; units with overdue ones are named.",
        ),
        dg.AssetCheckSpec(
            "results_agree_with_the_draw",
            asset=_PROGRESS,
            description="Results use known codes that agree with each other, come from the unit that drew, after the draw, "
            "and none is for an enterprise that nobody drew.",
        ),
    ],
)
def inspection_progress(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target, store = pipeline.target(as_of_date(context)), RoundStore(pipeline.settings.draws_dir)
    with connect(pipeline.settings, target.path) as connection:
        results.load_windows(connection, results.windows_of_rounds(store, target.as_of_date))
        progress = results.make_progress(connection, target.as_of_date)
    odd = {
        unit: progress.findings.get(unit, 0) + progress.unmatched.get(unit, 0)
        for unit in {*progress.findings, *progress.unmatched}
    }
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": progress.rows,
            **{state: progress.states.get(state, 0) for state in results.STATES},
            "results_for_nobody_drawn": sum(progress.unmatched.values()),
        },
        check_results=[
            _unit_check("inspected_in_time", progress.overdue),
            _unit_check("results_agree_with_the_draw", odd),
        ],
    )


@daily_asset(
    "inspection",
    "publication_clock",
    "When each inspection's result has to be published (Chinese working days) and each rectification done; what is "
    "overdue.",
    "检查结果公示与改正时限",
    opens_warehouse=True,
    deps=[inspection_progress, ["quality", "working_days"], ["policy", "inspection_policy"]],
    kinds={"duckdb", "python"},
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(
            "published_in_time",
            asset=_CLOCK,
            description="Results are published within the working days of policy; units with overdue ones are named.",
        ),
        dg.AssetCheckSpec(
            "rectified_in_time",
            asset=_CLOCK,
            description="Ordered rectifications are done by their day; units with overdue ones are named.",
        ),
    ],
)
def publication_clock(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target, store = pipeline.target(as_of_date(context)), RoundStore(pipeline.settings.draws_dir)
    with connect(pipeline.settings, target.path) as connection:
        results.load_windows(connection, results.windows_of_rounds(store, target.as_of_date))
        results.match_results(connection, target.as_of_date)
        clock = publication.make_clock(connection, target.as_of_date)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": clock.rows,
            "in_years_without_holiday_table": clock.uncovered,
        },
        check_results=[
            _unit_check("published_in_time", clock.unpublished),
            _unit_check("rectified_in_time", clock.unrectified),
        ],
    )


@daily_asset(
    "inspection",
    "estimated_rates",
    "Share of supervised enterprises where an inspection would find a breach, from the drawn ones by their inclusion "
    "probabilities, with 95 % intervals: by grade, industry section, county and unit. Domains with too few are not shown.",
    "按抽样推断的问题发现率",
    opens_warehouse=True,
    deps=[
        inspection_progress,
        ["enterprises", "enterprises"],
        ["policy", "industry_divisions"],
        ["policy", "regions"],
        ["policy", "units"],
        ["policy", "inspection_policy"],
    ],
    kinds={"duckdb", "python"},
    code_version="1",
)
def estimated_rates(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target, store = pipeline.target(as_of_date(context)), RoundStore(pipeline.settings.draws_dir)
    with connect(pipeline.settings, target.path) as connection:
        estimates = rates.make_rates(connection, store, target.as_of_date)
        found = rates.read_table(connection, "inspection.estimated_rates")
    shown = max(estimates.years, default=target.as_of_date.year)
    of_year = [row for row in found if row["plan_year"] == shown]
    pictures = {
        kind: result_pictures.rates(
            [row for row in of_year if row["domain_kind"] == kind], f"Estimated rates {shown}: {words}", words
        )
        for kind, words in {"grade": "grade", "industry_section": "industry section", "county": "county"}.items()
    }  # fmt: skip
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": estimates.rates,
            "years": ", ".join(map(str, estimates.years)) or "none",
            "inspected": estimates.inspected,
            "domains_with_too_few": estimates.hidden,
            "report": dg.MetadataValue.md(rate_words.rates_markdown(of_year)),
            **{f"by_{kind}": _picture(f"rates by {kind}", svg) for kind, svg in pictures.items()},
        }
    )


@daily_asset(
    "inspection",
    "hit_rates",
    "What share of the visits found a breach, by grade, beside what a uniform draw over the same enterprises would have "
    "found, and the visits that the draw by grades saved.",
    "检查命中率与均匀抽取比较",
    opens_warehouse=True,
    deps=[estimated_rates],
    kinds={"duckdb", "python"},
    code_version="1",
)
def hit_rates(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target, store = pipeline.target(as_of_date(context)), RoundStore(pipeline.settings.draws_dir)
    with connect(pipeline.settings, target.path) as connection:
        rows = rates.make_hits(connection, store, target.as_of_date)
    years = [row["plan_year"] for row in rows]
    of_year = [row for row in rows if row["plan_year"] == max(years)]
    total: dict[str, Any] = next((row for row in of_year if row["grade"] == "all"), {})
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "inspected": total.get("inspected", 0),
            "hits": total.get("hits", 0),
            "lift": "unknown" if total.get("lift") is None else round(total["lift"], 2),
            "inspections_saved": "unknown"
            if total.get("inspections_saved") is None
            else total["inspections_saved"],
            "report": dg.MetadataValue.md(rate_words.hits_markdown(of_year)),
            "by_grade": _picture("hit rates", result_pictures.hit_rates(of_year)),
        }
    )


@daily_asset(
    "inspection",
    "round_summary",
    "How the rounds in force stand: states with their days, what their proof lacks, and per unit the frame, the eligible, "
    "drawn, assigned, waiting, done and overdue; look at its metadata.",
    "抽查轮次概览",
    opens_warehouse=True,
    deps=[inspection_progress, ["inspection", "inspection_frame"], ["policy", "units"]],
    kinds={"duckdb", "python"},
    code_version="1",
)
def round_summary(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    target, store = pipeline.target(as_of_date(context)), RoundStore(pipeline.settings.draws_dir)
    with connect(pipeline.settings, target.path) as connection:
        lines = round_report.make_summary(connection, store, pipeline.audit(), target.as_of_date)
    pictures = {}
    for line in lines:
        name = f"{line.plan_id}_{line.round}"
        pictures[f"funnel_{name}"] = _picture(f"{name} in all", result_pictures.round_funnel(line))
        pictures[f"units_{name}"] = _picture(f"{name} by unit", result_pictures.round_units(line))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(len(line.units) for line in lines),
            "states": dg.MetadataValue.md(
                "\n\n".join(round_report.line_markdown(line) for line in lines) or "none"
            ),
            "missing_assurances": dg.MetadataValue.md(
                "\n".join(
                    f"- {line.plan_id} {line.round}: {text}"
                    for line in lines
                    for text in line.missing_assurances
                )
                or "none"
            ),
            "summary": dg.MetadataValue.md(round_report.summary_markdown(lines)),
            **pictures,
        }
    )


def _picture(name: str, svg: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(as_markdown(name, svg))


result_assets = [inspection_progress, publication_clock, estimated_rates, hit_rates, round_summary]
