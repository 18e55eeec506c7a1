"""`credit-pipeline extract template` and `extract trace`: files that units send back, and whose extract leaked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from credit_pipeline.commands.shared import Lake, command_settings
from credit_pipeline.errors import BadInput


def template(
    feed: Annotated[str, typer.Argument(help="Feed, for example inspection_results.")],
    out: Annotated[Path, typer.Option(help="File to write: .xlsx or .csv.", dir_okay=False)],
    unit: Annotated[
        str | None, typer.Option(help="Prefill with this unit's open tasks or parties to review.")
    ] = None,
    lake: Lake = None,
) -> None:
    """Write the form that a unit fills in for a feed: headers, lists of codes, notes, open tasks."""
    from credit_pipeline.extracts.templates import write_template

    rows = write_template(command_settings(lake=lake), feed, out, unit)
    typer.echo(f"{out}: {rows:,} rows prefilled; filled in, it goes into landing/{feed}/")


def trace(
    mark: Annotated[str, typer.Argument(help="The mark on a leaked list, or eight of its digits.")],
    lake: Lake = None,
) -> None:
    """Say whose extract, and which release, carries a mark."""
    from credit_pipeline.extracts.catalogue import list_extracts
    from credit_pipeline.extracts.watermark import trace as trace_mark
    from credit_pipeline.keys import KeyStore

    settings = command_settings(lake=lake)
    newest = {item["unit_id"]: int(item["release_seq"]) for item in list_extracts(settings)}
    found = trace_mark(mark, newest, KeyStore(settings.keys_dir).watermark)
    if not found:
        raise BadInput(f"no release of the {len(newest)} units of this lake carries {mark}")
    for one in found:
        typer.echo(f"{one.watermark}  unit {one.unit_id}  release {one.release_seq}")
