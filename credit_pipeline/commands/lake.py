"""`credit-pipeline lake`: the care of the Parquet lake."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from credit_pipeline.code_version import by_hand
from credit_pipeline.commands.shared import Json, Lake, command_settings, parse_day, show_progress
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.settings import TIME_ZONE

app = typer.Typer(
    no_args_is_help=True,
    help="The care of the lake: compact old months, check the accounts, purge what is kept no longer.",
)


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


@app.command()
def purge(
    lake: Lake = None,
    as_of: Annotated[
        str | None, typer.Option(help="Day whose policy and age count, YYYY-MM-DD; today when not given.")
    ] = None,
    backups: Annotated[
        Path | None, typer.Option(help="Folder of backups that are purged too.", file_okay=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove what retention_policy.csv keeps no longer: texts, old releases, run history; rows, draws and the log stay."""
    from credit_pipeline.audit.retention import (
        Purged,
        horizon,
        keep_days,
        purge_backups,
        purge_lake,
        record_purge,
    )
    from credit_pipeline.daily_run import forget_old_runs
    from credit_pipeline.warehouse import lake_lock

    settings = command_settings(lake=lake)
    today = datetime.now(ZoneInfo(TIME_ZONE)).date()
    day = parse_day(as_of) if as_of else today
    if day > today:
        raise BadInput(f"--as-of {day} lies in the future; a purge cannot be undone")
    kept = keep_days(settings, day)
    done: list[Purged] = []
    with lake_lock(settings):
        try:
            for purged in purge_lake(settings, day, dry_run=dry_run):
                done.append(purged)
            if backups is not None:
                done.append(purge_backups(backups, day, kept["backups"], dry_run=dry_run))
            if kept["dagster_runs"]:
                before = horizon(settings, "dagster_runs", kept["dagster_runs"], day)
                runs = forget_old_runs(before, dry_run=dry_run)
                done.append(Purged("dagster_runs", before, files=len(runs)))
        finally:
            if not dry_run:
                record_purge(settings, done)
    if as_json:
        typer.echo(json.dumps([asdict(item) | {"before": item.before.isoformat()} for item in done]))
        return
    for item in done:
        rows = f", {item.rows:,} rows" if item.rows else ""
        typer.echo(f"{item.record_kind}: {item.files:,} before {item.before}{rows}, {item.size:,} bytes")
    if dry_run:
        typer.echo("nothing was removed (--dry-run)")
