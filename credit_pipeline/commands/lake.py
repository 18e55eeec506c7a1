"""`credit-pipeline lake`: the care of the Parquet lake."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from typing import Annotated

import typer

from credit_pipeline.code_version import by_hand
from credit_pipeline.commands.shared import Json, Lake, command_settings, show_progress
from credit_pipeline.errors import IntegrityError

app = typer.Typer(no_args_is_help=True, help="The care of the lake: compact old months, check the accounts.")


@app.command()
def compact(
    lake: Lake = None,
    keep: Annotated[
        int, typer.Option(min=1, help="Months that stay one file per input file, the latest included.")
    ] = 2,
    as_json: Json = False,
) -> None:
    """Make one file of each past month of a feed; what the lake holds does not change."""
    from credit_pipeline.feeds.compaction import compact_lake, record_compaction
    from credit_pipeline.warehouse import lake_lock

    settings = command_settings(lake=lake)
    show_progress()
    with lake_lock(settings):
        done = compact_lake(settings, keep, logging.getLogger("credit_pipeline.lake").info)
        record_compaction(settings, done, by_hand())
    if as_json:
        typer.echo(json.dumps([asdict(month) for month in done], ensure_ascii=False))
    else:
        files, rows = sum(month.files for month in done), sum(month.rows for month in done)
        typer.echo(f"{files:,} files with {rows:,} rows became {len(done):,}")


@app.command()
def check(lake: Lake = None, as_json: Json = False) -> None:
    """Compare every file of the lake with the ledger, contents included."""
    from credit_pipeline.feeds.catalogue import load_catalogue
    from credit_pipeline.feeds.compaction import finish_compaction
    from credit_pipeline.feeds.ledger import reconcile
    from credit_pipeline.warehouse import lake_lock

    settings = command_settings(lake=lake)
    with lake_lock(settings):
        finish_compaction(settings)
        found = {feed.name: reconcile(settings, feed, thorough=True) for feed in load_catalogue().values()}
    differences = [f"{name}: {line}" for name, lines in found.items() for line in lines]
    if as_json:
        typer.echo(json.dumps({"differences": differences}, ensure_ascii=False))
    if differences:
        raise IntegrityError("the lake does not hold what its ledger says:\n" + "\n".join(differences))
    if not as_json:
        typer.echo(f"{len(found)} feeds hold what the ledger says")
