"""`credit-pipeline policy`: check a policy pack, see what a change would do, start a unit's own indicator system."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from credit_pipeline.commands.shared import (
    Json,
    Lake,
    command_settings,
    output_console,
    parse_day,
    show_progress,
)
from credit_pipeline.errors import BadInput

app = typer.Typer(
    no_args_is_help=True, help="The policy tables: check them, compare two packs, copy a template."
)


@app.command()
def check(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Folder of the pack; the one in force when not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check every table of a policy pack. Exit code 2 when it has errors."""
    from credit_pipeline.transform.policy_check import check_pack, findings_json

    folder = (folder or command_settings().policy_dir).absolute()
    findings = check_pack(folder)
    errors = sum(item.severity == "error" for item in findings)
    if as_json:
        typer.echo(findings_json(findings))
    else:
        for item in findings:
            typer.echo(f"{item.severity}: {item}")
        typer.echo(
            f"{folder}: {errors} errors, {len(findings) - errors} warnings"
            + ("" if errors else "; the pack may grade")
        )
    if errors:
        raise typer.Exit(2)


@app.command()
def diff(
    to: Annotated[Path, typer.Option(help="Folder of the new pack.", file_okay=False)],
    as_of: Annotated[
        str | None,
        typer.Option(help="Day to grade for, YYYY-MM-DD, also one to come; the lake's day when not given."),
    ] = None,
    lake: Lake = None,
    as_json: Json = False,
    out: Annotated[Path | None, typer.Option(help="Report to write: .md or .html.", dir_okay=False)] = None,
) -> None:
    """Grade the lake with the present and a new pack and count what moves. Counts only, but internal."""
    from credit_pipeline.transform.policy_diff import compare_policies
    from credit_pipeline.transform.policy_report import as_json as diff_json
    from credit_pipeline.transform.policy_report import html_page, markdown, sections

    if out is not None and out.suffix not in (".md", ".html"):
        raise BadInput(f"--out {out} must end in .md or .html")
    settings = command_settings(lake=lake)
    day = parse_day(as_of) if as_of else None
    show_progress()
    found = compare_policies(settings, to.absolute(), day)
    if out is not None:
        out.write_text(markdown(found) if out.suffix == ".md" else html_page(found), encoding="utf-8")
        out.chmod(0o600)
    if as_json:
        typer.echo(diff_json(found))
    elif out is not None:
        typer.echo(
            f"{out}: {len(found.changes)} changed rows; {found.platform_moved:,} platform grades and "
            f"{found.unit_moved:,} grades of units move"
        )
    else:
        console = output_console()
        for part in sections(found):
            table = Table(title=part.title, caption=part.words or None, title_justify="left")
            for name in part.columns:
                table.add_column(name)
            for row in part.rows:
                table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in row))
            console.print(table if part.rows else f"{part.title}: {part.words}")


@app.command()
def exceptions(lake: Lake = None, as_json: Json = False) -> None:
    """List the special needs (特殊需求) in force: document, approver, scope, days left."""
    from credit_pipeline.inspection.plans.planning import lake_day
    from credit_pipeline.transform.policy import exceptions_in_force

    settings = command_settings(lake=lake)
    day = lake_day(settings)
    found = exceptions_in_force(settings, day)
    if as_json:
        typer.echo(json.dumps({"as_of_date": day.isoformat(), "exceptions": found}, ensure_ascii=False))
        return
    table = Table(title=f"Special needs in force on {day}")
    for name in (
        "exception",
        "kind",
        "unit",
        "item",
        "grade",
        "ratio",
        "document",
        "approver",
        "ends",
        "days left",
        "reason",
    ):
        table.add_column(name, overflow="fold")
    for row in found:
        ratio = f"{int(row['ratio_bp']) / 100:g} %" if row["ratio_bp"] else ""
        table.add_row(
            row["exception_id"], row["kind"], row["unit_id"], row["item_code"], row["grade"], ratio, row["document_no"],
            row["approver"], row["effective_to"], str(row["days_left"]), row["reason"],
        )  # fmt: skip
    output_console().print(table)
    typer.echo(f"{len(found)} special needs are in force")


@app.command()
def template(
    line: Annotated[str, typer.Argument(help="Line of supervision, as in units.csv, or the unit's id.")],
    out: Annotated[
        Path, typer.Option(help="Folder of the new pack: a copy of the one in force with the new system.")
    ],
    start: Annotated[str, typer.Option("--from", help="First day of the system, YYYY-MM-DD.")],
    template: Annotated[str, typer.Option(help="System to start from.")] = "template_general",
) -> None:
    """Copy the pack and add a system for a line or unit, started from a template, to be edited."""
    from credit_pipeline.transform.policy_template import start_system

    written = start_system(command_settings().policy_dir, out.absolute(), line, parse_day(start), template)
    typer.echo("\n".join(written))
    typer.echo(
        f"next: edit these rows, then credit-pipeline policy check --dir {out} and policy diff --to {out}"
    )
