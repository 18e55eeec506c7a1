"""The command `credit-pipeline`: arguments in, exit codes out. What a command does lives in the stages.

Exit codes: 0 done, 1 failed, 2 bad usage or bad input. Progress goes to stderr, results to stdout.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.settings import PROJECT_ROOT, TIME_ZONE, Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Grades a city's enterprises by credit, draws inspections and hands each supervising unit its extract.",
)
extract_app = typer.Typer(no_args_is_help=True, help="The units' encrypted extracts.")
app.add_typer(extract_app, name="extract")

Landing = Annotated[
    Path | None, typer.Option(help="Folder with one subfolder of files per feed.", file_okay=False)
]
Lake = Annotated[Path | None, typer.Option(help="Folder of the lake, made when missing.", file_okay=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]


def _settings(landing: Path | None = None, lake: Path | None = None) -> Settings:
    """Settings with the options on top; exported, so that Dagster's processes and dbt see the same."""
    given = {"landing_dir": landing, "lake_dir": lake}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    for name in ("landing_dir", "lake_dir", "keys_dir", "policy_dir"):
        os.environ[f"CREDIT_{name.upper()}"] = str(getattr(settings, name))
    return settings


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"--as-of {text!r} is not a day; write it as YYYY-MM-DD, for example 2026-10-31"
        ) from None


def _console() -> Console:
    """Stdout; into a file or pipe as wide as the widest table, so that nothing is cut."""
    return Console() if sys.stdout.isatty() else Console(width=160)


class _Progress(logging.Handler):
    """Prints the pipeline's own log lines with the seconds since the start."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        self.started = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        elapsed = time.monotonic() - self.started
        self.console.print(
            f"[dim]{elapsed:6.1f} s[/dim]  {record.getMessage()}", highlight=False, soft_wrap=True
        )


def _progress() -> Console:
    """Show progress on a copy of stderr: Dagster redirects the process's own while a step runs."""
    console = Console(file=os.fdopen(os.dup(2), "w", encoding="utf-8", buffering=1))
    logger = logging.getLogger("credit_pipeline")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Progress(console)]
    logger.propagate = False
    return console


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder to write the feeds to.", file_okay=False)],
    enterprises: Annotated[int, typer.Option(min=1, help="Number of enterprises.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    days: Annotated[int, typer.Option(min=1, help="Daily deliveries: the first holds all history.")] = 1,
    dirt: Annotated[float, typer.Option(min=0, max=0.5, help="Share of dirty rows.")] = 0.02,
) -> None:
    """Write the feeds of a synthetic city, and DIR/as_of with the day they end at."""
    from credit_pipeline.sample import generate

    _progress()
    log = logging.getLogger("credit_pipeline.sample")
    summary = generate(out, enterprises=enterprises, seed=seed, days=days, dirt=dirt, progress=log.info)
    rows = sum(summary.rows.values())
    typer.echo(f"{rows:,} rows of {len(summary.rows)} feeds in {out}, up to {summary.as_of}")


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

    settings = _settings(landing, lake)
    day = _day(as_of) if as_of else datetime.now(ZoneInfo(TIME_ZONE)).date()
    check_day(settings, day)
    _progress()
    summary = run_daily(settings, day)
    if as_json:
        typer.echo(json.dumps(summary.to_json(), ensure_ascii=False))
    else:
        render(settings, summary, _console())


@app.command()
def status(lake: Lake = None, as_json: Json = False) -> None:
    """Say what the lake holds: last day, feeds, grades, draws, extracts, audit log."""
    from credit_pipeline.summary import lake_status, render_status

    settings = _settings(lake=lake)
    found = lake_status(settings)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        render_status(found, _console())


@app.command()
def explain(
    uscc: Annotated[str, typer.Argument(help="Unified social credit code of the enterprise.")],
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Say why an enterprise has its grade, down to source file and row. Confidential output."""
    from credit_pipeline.audit.explain import explain_enterprise, render_explanation

    explanation = explain_enterprise(_settings(lake=lake), uscc)
    if as_json:
        typer.echo(json.dumps(explanation, ensure_ascii=False, default=str))
    else:
        render_explanation(explanation, _console())


@extract_app.command("list")
def extract_list(lake: Lake = None, as_json: Json = False) -> None:
    """List the current extract of every unit."""
    from credit_pipeline.extracts.catalogue import list_extracts, render_extracts

    found = list_extracts(_settings(lake=lake))
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    else:
        render_extracts(found, _console())


@extract_app.command("open")
def extract_open(
    unit: Annotated[str, typer.Argument(help="Unit id, as `extract list` shows it.")],
    lake: Lake = None,
    sql: Annotated[str | None, typer.Option(help="Run this query instead of listing the tables.")] = None,
    show_key: Annotated[
        bool, typer.Option("--show-key", help="Print file and key for plain duckdb.")
    ] = False,
) -> None:
    """Verify a unit's extract and look into it. Confidential output."""
    from credit_pipeline.extracts.catalogue import open_unit_extract

    open_unit_extract(_settings(lake=lake), unit, sql=sql, show_key=show_key, console=_console())


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    lake: Lake = None,
    landing: Landing = None,
) -> None:
    """Start the Dagster UI with its daemon on 127.0.0.1; history survives a restart."""
    from credit_pipeline.daily_run import dagster_home, forget_dead_runs, prepare

    settings = _settings(landing, lake)
    _progress()
    prepare(settings)
    dagster_home()
    forget_dead_runs(settings)
    os.chdir(PROJECT_ROOT)
    arguments = ["dev", "-w", str(PROJECT_ROOT / "workspace.yaml"), "-h", "127.0.0.1", "-p", str(port)]
    executable = str(Path(sys.executable).with_name("dagster"))
    os.execv(executable, [executable, *arguments])


@app.command()
def manifest() -> None:
    """Parse the dbt project, so that Dagster can load it (done by `make` and by `run` when it is stale)."""
    from credit_pipeline.transform.dbt import prepare_manifest

    typer.echo(f"parsed: {prepare_manifest(_settings())}")


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
