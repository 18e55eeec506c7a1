"""`credit-pipeline sources`: the databases and APIs that feeds come from."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, command_settings, output_console, show_progress
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The databases and APIs that feeds come from, besides files.")


@app.command("list")
def list_sources(lake: Lake = None, as_json: Json = False) -> None:
    """List every source with its last cursor; shows no secret."""
    from credit_pipeline.feeds.sources.trial import listed

    settings = command_settings(lake=lake)
    found = listed(settings)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    if not found:
        typer.echo(f"no sources: {settings.sources_file} names none; feeds come as files only")
        return
    _print(found)


@app.command()
def test(
    feed: Annotated[str | None, typer.Argument(help="Only the sources of this feed.")] = None,
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Connect to the sources, read one row or page, and say which of its columns the catalogue knows."""
    from credit_pipeline.feeds.sources.trial import tried

    settings = command_settings(lake=lake)
    show_progress()
    _check_feed(feed)
    found = tried(settings, feed, logging.getLogger("credit_pipeline.sources").info)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif not found:
        typer.echo(f"no sources to try: {settings.sources_file}")
    else:
        _print(found)
    failed = [f"{line['feed']} from {line['source']}: {line['problem']}" for line in found if line["problem"]]
    if failed:
        raise CreditPipelineError("\n".join(failed))


@app.command()
def reset(
    feed: Annotated[str, typer.Argument(help="Feed of the source.")],
    source: Annotated[str, typer.Argument(help="Name of the source.")],
    to: Annotated[
        str | None, typer.Option(help="Cursor to start at; from the beginning when not given.")
    ] = None,
    lake: Lake = None,
) -> None:
    """Let the next fetch start at another cursor. What comes again falls out as duplicates."""
    from credit_pipeline.feeds.sources.trial import reset_source
    from credit_pipeline.warehouse import lake_lock

    settings: Settings = command_settings(lake=lake)
    _check_feed(feed)
    with lake_lock(settings):
        before = reset_source(settings, feed, source, to)
    typer.echo(f"{feed} from {source}: {before or 'the beginning'} → {to or 'the beginning'}")


def _check_feed(feed: str | None) -> None:
    if feed is not None and feed not in feed_names():
        raise BadInput(f"there is no feed {feed}; feeds are: {', '.join(sorted(feed_names()))}")


def _print(lines: list[dict[str, Any]]) -> None:
    table = Table(box=None, header_style="bold")
    names = list(lines[0])
    for name in names:
        table.add_column(name.replace("_", " "), overflow="fold")
    for line in lines:
        cells = [line[name] for name in names]
        table.add_row(*(", ".join(cell) if isinstance(cell, list) else str(cell or "") for cell in cells))
    output_console().print(table)
