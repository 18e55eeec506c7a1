"""`credit-pipeline plan`: the year's plans, whether units can carry them, and what other ratios would do.

Output is internal: counts per grade and unit, never an enterprise.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, command_settings, output_console
from credit_pipeline.errors import BadInput

app = typer.Typer(
    no_args_is_help=True, help="Inspection plans: list them, check capacity, simulate other ratios."
)
Template = Annotated[
    str | None, typer.Option("--plan", help="Plan template, as in inspection_plans.csv; all when not given.")
]


@app.command("list")
def list_plans(
    lake: Lake = None,
    year: Annotated[
        int | None, typer.Option(min=2015, max=9998, help="Year; that of the lake's day when not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the year's plans and their rounds: when due, until when, state, who approved them."""
    from credit_pipeline.inspection.plans.planning import lake_day, planned_rounds

    settings = command_settings(lake=lake)
    day = lake_day(settings)
    found = planned_rounds(settings, day, year or day.year)
    if as_json:
        typer.echo(json.dumps([item.to_json() for item in found], ensure_ascii=False))
        return
    table = Table(title=f"Inspection plans, as of {day}")
    for name in ("plan", "round", "state", "due", "until", "by", "items", "approved by", "title"):
        table.add_column(name, overflow="fold")
    for item in found:
        by = (
            "every unit"
            if item.initiator == "*"
            else "+".join(filter(None, [item.initiator, *item.cooperating_units.split("|")]))
        )
        approved = " ".join(filter(None, [item.approved_by, item.document_no]))
        table.add_row(
            item.plan_id, str(item.round), item.state, item.due_date, item.window_end, by, item.item_codes, approved, item.title,
        )  # fmt: skip
    output_console().print(table)


@app.command()
def check(lake: Lake = None, plan: Template = None, as_json: Json = False) -> None:
    """Compare every unit's visits with its inspectors' days. Exit code 1 when a unit cannot carry its plans."""
    from credit_pipeline.inspection.plans.planning import lake_day, open_workbench, unknown_items
    from credit_pipeline.inspection.plans.what_if import capacity_rows

    settings = command_settings(lake=lake)
    bench = open_workbench(settings, plan)
    rows = capacity_rows(bench)
    over = [row for row in rows if row["over_days"] > 0]
    missing = unknown_items(settings, lake_day(settings))
    if as_json:
        found = {
            "as_of_date": bench.as_of_date,
            "units": rows,
            "over_capacity": len(over),
            "unknown_items": [{"plan_template": template, "item_code": code} for template, code in missing],
        }
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        table = Table(title=f"A year's visits and inspector-days, as of {bench.as_of_date}")
        for name in (
            "unit",
            "visits",
            "days needed",
            "inspectors",
            "leaders",
            "days there",
            "over by",
            "C to E would fit at",
        ):
            table.add_column(name, justify="left" if name == "unit" else "right")
        for row in rows:
            table.add_row(
                row["unit_id"], f"{row['visits']:,.0f}", f"{row['inspector_days']:,.0f}", str(row["inspectors"]),
                str(row["leaders"]), f"{row['capacity_days']:,}", f"{row['over_days']:,.0f}" if row["over_days"] else "",
                row["would_fit"],
            )  # fmt: skip
        output_console().print(table)
        for template, code in missing:
            typer.echo(f"error: plan {template}: {code!r} is no item group and no valid item of the feed inspection_items; "
                       "remedy: correct item_codes in inspection_plans.csv, or deliver the item list")  # fmt: skip
        typer.echo(f"{len(over)} of {len(rows)} units are over capacity")
    if over or missing:
        raise typer.Exit(1)


@app.command()
def simulate(
    ratio: Annotated[
        list[str] | None, typer.Option(help="Other ratio of a grade, such as C=30%; may be repeated.")
    ] = None,
    lake: Lake = None,
    unit: Annotated[str | None, typer.Option(help="Only for this unit.")] = None,
    item: Annotated[str | None, typer.Option(help="Only for this item or item group.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, max=12, help="Other number of rounds a year.")] = None,
    plan: Template = None,
    out: Annotated[Path | None, typer.Option(help="Picture to write: .svg.", dir_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """Show what other ratios would cost and find: workload, expected findings, coverage, today's and blind to grades."""
    from credit_pipeline.inspection.plans.planning import open_workbench
    from credit_pipeline.inspection.plans.what_if import what_if

    if out is not None and out.suffix != ".svg":
        raise BadInput(f"--out {out} must end in .svg")
    if not ratio and rounds is None:
        raise BadInput("nothing to simulate; remedy: --ratio C=30% (or --rounds 2)")
    if rounds is not None and 12 % rounds:
        raise BadInput(
            f"--rounds {rounds}: the rounds do not divide the year's twelve months; use 1, 2, 3, 4, 6 or 12"
        )
    wanted = _ratios(ratio or [])
    bench = open_workbench(command_settings(lake=lake), plan)
    found = what_if(bench, wanted, unit=unit, item=item, plan=plan, rounds=rounds)
    if out is not None:
        out.write_text(found.svg, encoding="utf-8")
        out.chmod(0o600)
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
        return
    console = output_console()
    for part in found.tables():
        table = Table(
            title=part.title, caption=part.words or None, title_justify="left", caption_justify="left"
        )
        for place, name in enumerate(part.columns):
            table.add_column(name, justify="left" if place == 0 else "right")
        for row in part.rows:
            table.add_row(*(_shown(value) for value in row))
        console.print(table)
    if out is not None:
        typer.echo(f"picture: {out}")


def _shown(value: Any) -> str:
    return (
        f"{value:,.1f}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def _ratios(given: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for text in given:
        match = re.fullmatch(r"([A-E])=(\d{1,3}(?:\.\d{1,2})?)%", text.strip(), re.ASCII)
        if not match:
            raise BadInput(
                f"--ratio {text!r}: write a grade and a percentage with at most two decimals, such as C=30%"
            )
        whole, _, fraction = match[2].partition(".")
        ratio_bp = int(whole) * 100 + int(fraction.ljust(2, "0") or 0)
        if ratio_bp > 10000:
            raise BadInput(f"--ratio {text!r}: a ratio is at most 100 %")
        if match[1] in found:
            raise BadInput(f"--ratio: {match[1]} is given twice")
        found[match[1]] = ratio_bp
    return found
