"""The command `credit-pipeline`: arguments in, exit codes out. What a command does lives in the stages.

Exit codes: 0 done, 1 failed, 2 bad usage or bad input. Progress goes to stderr, results to stdout.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from credit_pipeline.commands.absences import app as absences_app
from credit_pipeline.commands.audit import app as audit_app
from credit_pipeline.commands.backup import app as backup_app
from credit_pipeline.commands.draw import app as draw_app
from credit_pipeline.commands.explain import explain
from credit_pipeline.commands.extract import app as extract_app
from credit_pipeline.commands.keys import app as keys_app
from credit_pipeline.commands.lake import app as lake_app
from credit_pipeline.commands.model import app as model_app
from credit_pipeline.commands.plan import app as plan_app
from credit_pipeline.commands.policy import app as policy_app
from credit_pipeline.commands.quarantine import app as quarantine_app
from credit_pipeline.commands.review import app as review_app
from credit_pipeline.commands.sample import app as sample_app
from credit_pipeline.commands.shared import (
    Json,
    Lake,
    Landing,
    command_settings,
    output_console,
    parse_day,
    show_progress,
)
from credit_pipeline.commands.sources import app as sources_app
from credit_pipeline.commands.unit_files import template, trace
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.settings import PROJECT_ROOT, TIME_ZONE

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Grades a city's enterprises by credit, draws inspections and hands each supervising unit its extract.",
)
app.add_typer(extract_app, name="extract")
app.add_typer(absences_app, name="absences")
app.add_typer(audit_app, name="audit")
app.add_typer(backup_app, name="backup")
app.add_typer(draw_app, name="draw")
app.add_typer(keys_app, name="keys")
app.add_typer(lake_app, name="lake")
app.add_typer(plan_app, name="plan")
app.add_typer(policy_app, name="policy")
app.add_typer(model_app, name="model")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(review_app, name="review")
app.add_typer(sources_app, name="sources")
app.add_typer(sample_app, name="sample")


@app.command()
def run(
    landing: Landing = None,
    lake: Lake = None,
    as_of: Annotated[
        str | None, typer.Option(help="Day the results speak for, YYYY-MM-DD; today when not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the daily job: read feeds, grade, draw, publish extracts."""
    from credit_pipeline.daily_run import check_day, run_daily
    from credit_pipeline.summary import render

    settings = command_settings(landing, lake)
    day = parse_day(as_of) if as_of else datetime.now(ZoneInfo(TIME_ZONE)).date()
    check_day(settings, day)
    show_progress()
    summary = run_daily(settings, day)
    if as_json:
        typer.echo(json.dumps(summary.to_json(), ensure_ascii=False))
    else:
        render(settings, summary, output_console())


@app.command()
def status(lake: Lake = None, as_json: Json = False) -> None:
    """Say what the lake holds: last day, feeds, grades, draws, extracts, audit log."""
    from credit_pipeline.summary import lake_status, render_status

    settings = command_settings(lake=lake)
    found = lake_status(settings)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        render_status(found, output_console())


app.command()(explain)
extract_app.command("template")(template)
extract_app.command("trace")(trace)


@app.command()
def ui(
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="3000, or 3001 with --read-only, when not given.")
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="For who looks on: starts, changes and deletes nothing.")
    ] = False,
    lake: Lake = None,
    landing: Landing = None,
) -> None:
    """Start the Dagster UI on 127.0.0.1: with its daemon for the operator, or --read-only; history survives a restart."""
    from credit_pipeline.daily_run import dagster_home, forget_dead_runs, prepare

    settings = command_settings(landing, lake)
    show_progress()
    prepare(settings)
    dagster_home()
    os.chdir(PROJECT_ROOT)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = os.environ["DO_NOT_TRACK"] = "1"
    where = ["-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", "127.0.0.1"]
    if read_only:
        arguments = ["dagster-webserver", "--read-only", *where, "-p", str(port or 3001)]
    else:
        forget_dead_runs(settings)
        arguments = ["dagster", "dev", *where, "-p", str(port or 3000)]
    os.execv(Path(sys.executable).with_name(arguments[0]), arguments)


@app.command()
def manifest() -> None:
    """Parse the dbt project, so that Dagster can load it (done by `make` and by `run` when it is stale)."""
    from credit_pipeline.transform.dbt import prepare_manifest

    typer.echo(f"parsed: {prepare_manifest(command_settings())}")


def main() -> None:
    """Entry point of the console script."""
    os.umask(0o077)
    try:
        app()
    except BadInput as error:
        typer.echo(f"credit-pipeline: {error}", err=True)
        raise SystemExit(2) from None
    except CreditPipelineError as error:
        typer.echo(f"credit-pipeline: {error}", err=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
