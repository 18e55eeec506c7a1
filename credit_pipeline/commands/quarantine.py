"""`credit-pipeline quarantine`: refused rows, listed and sent back to their units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, command_settings, output_console

app = typer.Typer(no_args_is_help=True, help="Refused rows: list them, send them back to be corrected.")

AllStatus = Annotated[
    bool, typer.Option("--all-status", help="Also rows that were corrected or sent again since.")
]


@app.command("list")
def list_rows(lake: Lake = None, all_status: AllStatus = False, as_json: Json = False) -> None:
    """Count refused rows per unit, feed and rule."""
    from credit_pipeline.feeds.quarantine import feed_label, list_quarantine
    from credit_pipeline.feeds.rules import rule_label

    found = list_quarantine(command_settings(lake=lake), all_status=all_status)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    table = Table(title="Refused rows" + ("" if all_status else " that wait for a correction"))
    for name, justify in (
        ("unit", "left"),
        ("name", "left"),
        ("feed", "left"),
        ("rule", "left"),
        ("rows", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for entry in found:
        table.add_row(
            entry["unit_id"],
            entry["unit_name"],
            f"{entry['feed']} {feed_label(entry['feed'])}",
            f"{entry['rule']} {rule_label(entry['rule'])}",
            f"{entry['rows']:,}",
        )
    output_console().print(table)


@app.command()
def export(
    unit: Annotated[str, typer.Option(help="Unit id, or office for rows that name no known unit.")],
    out: Annotated[Path, typer.Option(help="Workbook to write, or a folder: one workbook per feed.")],
    lake: Lake = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed.")] = None,
    all_status: AllStatus = False,
    as_json: Json = False,
) -> None:
    """Write a unit's refused rows as XLSX, to be corrected and put into landing again."""
    from credit_pipeline.feeds.quarantine import export_quarantine

    done = export_quarantine(command_settings(lake=lake), unit, out, feed, all_status=all_status)
    if as_json:
        typer.echo(json.dumps(done, ensure_ascii=False))
    else:
        typer.echo(
            f"{done['rows']:,} rows and {done['tables']:,} whole files of {done['unit_name']} in "
            + ", ".join(done["files"])
        )
