"""`credit-pipeline sample`: the synthetic city, how well the lake holds against its answer key, its units at work."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from credit_pipeline.commands.shared import (
    Json,
    Lake,
    Landing,
    command_settings,
    output_console,
    parse_day,
    show_progress,
)
from credit_pipeline.errors import BadInput

if TYPE_CHECKING:
    from credit_pipeline.sample.comparison import Comparison

app = typer.Typer(
    help="The synthetic city: write its feeds, compare a lake with its answer key, make the drawn visits."
)
_SHOWN = 20


@app.callback(invoke_without_command=True)
def sample(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Folder to write the feeds to.", file_okay=False)] = None,
    enterprises: Annotated[int, typer.Option(min=1, help="Number of enterprises.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 7,
    days: Annotated[int, typer.Option(min=1, help="Daily deliveries: the first holds all history.")] = 1,
    dirt: Annotated[float, typer.Option(min=0, max=0.5, help="Share of dirty rows.")] = 0.02,
    vanishing: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of the register missing in each later snapshot.")
    ] = 0.001,
) -> None:
    """Write the feeds of a synthetic city, and DIR/as_of with the day they end at."""
    if context.invoked_subcommand is not None:
        return
    if out is None:
        raise BadInput("say where to write the city: credit-pipeline sample --out DIR")
    from credit_pipeline.sample import generate

    show_progress()
    log = logging.getLogger("credit_pipeline.sample")
    summary = generate(
        out,
        enterprises=enterprises,
        seed=seed,
        days=days,
        dirt=dirt,
        vanishing=vanishing,
        progress=log.info,
    )
    rows = sum(summary.rows.values())
    typer.echo(f"{rows:,} rows of {len(summary.rows)} feeds in {out}, up to {summary.as_of}")


@app.command()
def check(landing: Landing = None, lake: Lake = None, as_json: Json = False) -> None:
    """Compare a lake with the answer key of the city it was fed: the confusion table of the dirt.

    Exit code 1 if any row did not end as it should.
    """
    from credit_pipeline.sample.comparison import compare

    found = compare(command_settings(landing, lake))
    if as_json:
        typer.echo(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        _print(found, output_console())
    if not found.is_right:
        raise typer.Exit(1)


@app.command("inspect")
def inspect_drawn(
    landing: Landing = None,
    lake: Lake = None,
    seed: Annotated[int, typer.Option(help="The same seed finds the same.")] = 7,
    share: Annotated[str, typer.Option(help="Share of the open visits and leads that are checked.")] = "80%",
    day: Annotated[
        str | None, typer.Option(help="Day of the delivery; by default 21 days after the lake's.")
    ] = None,
) -> None:
    """Play the units: check what was drawn, by the city's hidden truth, and deliver the results for the next run."""
    from credit_pipeline.sample.visits import inspect

    show_progress()
    log = logging.getLogger("credit_pipeline.sample")
    settings = command_settings(landing, lake)
    done = inspect(settings, seed, _parse_share(share), parse_day(day, "--day") if day else None, log.info)
    typer.echo(
        f"{done.visits:,} drawn visits and {done.cases:,} leads checked, {done.left:,} left for later: {done.rows:,} results"
        f" in {len(done.files)} files; next: credit-pipeline run --landing {settings.landing_dir}"
        f" --lake {settings.lake_dir} --as-of {done.day}"
    )


def _parse_share(text: str) -> float:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise BadInput(f"--share {text!r} is not a share; write it as 80% or 0.8") from None


def _print(found: Comparison, console: Console) -> None:
    from credit_pipeline.sample.comparison import VERDICTS

    table = Table(title="Dirt by kind")
    table.add_column("kind")
    used = [name for name in VERDICTS if any(counts.get(name) for counts in found.kinds.values())]
    for name in ("rows", *used):
        table.add_column(name.replace("_", " "), justify="right")
    for kind, counts in sorted(found.kinds.items()):
        table.add_row(
            kind, *(f"{counts.get(name, 0):,}" if counts.get(name) else "" for name in ("rows", *used))
        )
    total = [sum(counts.get(name, 0) for counts in found.kinds.values()) for name in ("rows", *used)]
    table.add_section()
    table.add_row("all", *(f"{number:,}" for number in total))
    console.print(table)
    console.print(
        f"clean rows: {found.clean_rows:,}; refused: {found.clean_refused:,}; changed unannounced:"
        f" {found.clean_changed:,}; columns of files altered: {found.columns_altered:,} of {found.columns_compared:,}; rows nowhere or twice: {found.unaccounted:,}"
    )
    for rule, rows in found.clean_repairs.items():
        console.print(f"clean rows evened out by {rule}: {rows:,}")
    for remark in found.remarks:
        console.print(f"remark: {remark}")
    for one in found.deviations[:_SHOWN]:
        where = f"{one.file}{' ' + one.sheet if one.sheet else ''}:{one.row_number}"
        console.print(
            f"{one.kind}: {one.verdict} at {where}; expected {one.expected!r}, found {one.found!r}",
            markup=False,
        )
    if len(found.deviations) > _SHOWN:
        console.print(f"… and {len(found.deviations) - _SHOWN} more (--json shows up to a thousand)")
    console.print(
        "everything is as it should be" if found.is_right else "the lake deviates from the answer key"
    )
