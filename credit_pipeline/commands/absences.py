"""`credit-pipeline absences`: records missing from full deliveries, listed and decided on."""

from __future__ import annotations

import json
from datetime import date
from typing import Annotated

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, Landing, command_settings, output_console
from credit_pipeline.errors import BadInput

app = typer.Typer(
    no_args_is_help=True,
    help="Records that are missing from a full delivery of their feed: list, confirm that they ended, undo.",
)
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
NEXT_RUN = "it takes effect with the next run: credit-pipeline run"


@app.command("list")
def list_missing(
    lake: Lake = None,
    feed: Annotated[str | None, typer.Option(help="Only this feed.")] = None,
    status: Annotated[str, typer.Option(help="open, confirmed, reappeared or all.")] = "open",
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many records.")] = 50,
    as_json: Json = False,
) -> None:
    """List missing records. Nothing ends by being missing: until it is confirmed, a record goes on."""
    from credit_pipeline.feeds.absences import list_absences

    wanted = None if status == "all" else status
    found = list_absences(command_settings(lake=lake), feed, wanted, None if as_json else limit)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, default=str))
        return
    table = Table(title="Records missing from full deliveries")
    for name in ("record", "feed", "key", "last seen", "missing since", "status", "confirmation"):
        table.add_column(name, overflow="fold")
    for item in found:
        table.add_row(
            item["record_hash"][:12],
            item["feed"],
            item["record_key"],
            f"{item['last_seen']} {item['source_file']}:{item['source_row']}",
            str(item["missing_since"]),
            item["status"] + (f" {item['reappeared_on']}" if item["reappeared_on"] else ""),
            item["confirmation_id"] or "",
        )
    output_console().print(table)


@app.command()
def confirm(
    feed: Annotated[str, typer.Option(help="Feed of the records.")],
    by: By,
    reason: Why,
    records: Annotated[
        list[str] | None, typer.Argument(help="Records as the list shows them, or their beginnings.")
    ] = None,
    all_since: Annotated[
        str | None, typer.Option(help="Instead: all open records missing since this day, YYYY-MM-DD.")
    ] = None,
    lake: Lake = None,
    landing: Landing = None,
) -> None:
    """Confirm that missing records have ended: they weigh nothing from today on; history is kept."""
    from credit_pipeline.feeds.absences import confirm_absences

    if bool(records) == (all_since is not None):
        raise BadInput("name records, or all of a day with --all-since YYYY-MM-DD")
    try:
        since = date.fromisoformat(all_since) if all_since else None
    except ValueError:
        raise BadInput(f"--all-since {all_since!r} is not a day; write it as YYYY-MM-DD") from None
    ids, path = confirm_absences(
        command_settings(landing, lake),
        feed,
        records or [],
        decided_by=by,
        reason=reason,
        missing_since=since,
    )
    typer.echo(
        f"{len(ids):,} decisions ({', '.join(ids[:5])}{', …' if len(ids) > 5 else ''}) in {path}; {NEXT_RUN}"
    )


@app.command()
def undo(
    confirmations: Annotated[list[str], typer.Argument(help="Decisions as the list shows them.")],
    by: By,
    reason: Why,
    lake: Lake = None,
    landing: Landing = None,
) -> None:
    """Withdraw decisions: their records count again."""
    from credit_pipeline.feeds.absences import undo_absences

    path = undo_absences(command_settings(landing, lake), confirmations, decided_by=by, reason=reason)
    typer.echo(f"{len(confirmations):,} decisions withdrawn in {path}; {NEXT_RUN}")
