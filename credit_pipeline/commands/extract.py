"""`credit-pipeline extract`: the releases that units receive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from credit_pipeline.commands.shared import Json, Lake, command_settings, output_console

app = typer.Typer(no_args_is_help=True, help="The units' encrypted extracts.")


@app.command("list")
def list_(lake: Lake = None, as_json: Json = False) -> None:
    """List the current extract of every unit."""
    from credit_pipeline.extracts.catalogue import list_extracts, render_extracts

    found = list_extracts(command_settings(lake=lake))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        render_extracts(found, output_console())


@app.command("open")
def open_(
    unit: Annotated[str, typer.Argument(help="Unit id, as `extract list` shows it.")],
    lake: Lake = None,
    sql: Annotated[str | None, typer.Option(help="Run this query instead of listing the tables.")] = None,
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Print file and key for plain duckdb.")
    ] = False,
    excel_password: Annotated[
        bool, typer.Option("--excel-password", help="Print the password of the release's workbook.")
    ] = False,
    identity: Annotated[
        Path | None,
        typer.Option(help="age identity to open with; else what this machine holds.", dir_okay=False),
    ] = None,
) -> None:
    """Verify a unit's extract and look into it. Confidential output; the opening is recorded."""
    from credit_pipeline.audit.log import AuditLog
    from credit_pipeline.extracts.catalogue import open_unit_extract

    settings = command_settings(lake=lake)
    open_unit_extract(
        settings,
        AuditLog(settings.audit_log_path),
        unit,
        sql=sql,
        show_key=show_key,
        show_password=excel_password,
        identity=identity,
        console=output_console(),
    )
