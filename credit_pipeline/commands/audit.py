"""`credit-pipeline audit`: the log, verified, read, and followed from a draw to the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from credit_pipeline.commands.shared import (
    Json,
    Lake,
    command_settings,
    output_console,
    parse_day,
    show_progress,
)
from credit_pipeline.errors import BadInput

app = typer.Typer(no_args_is_help=True, help="The audit log: verify it, read it, trace a draw to its files.")


@app.command()
def verify(
    witness: Annotated[
        list[Path] | None,
        typer.Option(
            help="File or folder that somebody outside kept: a manifest, a checkpoint, a receipt (JSON, CSV), a text with "
            "number of records and head. May be repeated."
        ),
    ] = None,
    public_key: Annotated[
        list[str] | None,
        typer.Option(
            help="Trust this signing key, 64 hexadecimal digits, instead of the one in the key folder."
        ),
    ] = None,
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Compare the log with its hash chain, its checkpoints, the units' manifests and receipts, and outside witnesses.

    Exit code 0: intact; 1: something does not agree; 2: it could not be verified.
    """
    from credit_pipeline.audit.checkpoints import trusted_signing_keys
    from credit_pipeline.audit.verification import verify_audit
    from credit_pipeline.audit.verification_words import render_report
    from credit_pipeline.audit.witnesses import given_witnesses
    from credit_pipeline.keys import public_key_from_hex, public_key_id

    settings = command_settings(lake=lake)
    if not settings.lake_dir.is_dir():
        raise BadInput(f"there is no lake {settings.lake_dir}; remedy: --lake DIR")
    given = [public_key_from_hex(text) for text in public_key or []]
    keys = {public_key_id(key): key for key in given} or trusted_signing_keys(settings)
    report = verify_audit(settings, keys, given_witnesses(witness or []))
    if as_json:
        typer.echo(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        render_report(report, output_console())
    if not report.is_intact:
        raise typer.Exit(1)


@app.command()
def show(
    event: Annotated[str | None, typer.Option(help="Only this event, such as round_drawn.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage, such as inspection.")] = None,
    since: Annotated[str | None, typer.Option(help="From this day on, YYYY-MM-DD, in local time.")] = None,
    until: Annotated[str | None, typer.Option(help="Up to this day, YYYY-MM-DD.")] = None,
    run: Annotated[str | None, typer.Option(help="Only this run; the beginning of its id will do.")] = None,
    plan: Annotated[str | None, typer.Option(help="Only what names this inspection plan.")] = None,
    unit: Annotated[str | None, typer.Option(help="Only what names this unit.")] = None,
    feed: Annotated[str | None, typer.Option(help="Only what names this feed.")] = None,
    last: Annotated[int, typer.Option(min=1, help="The last so many; with --json all.")] = 50,
    lang: Annotated[str, typer.Option(help="Names of events: zh or en.")] = "zh",
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Show what the log says. It is read, not verified: `audit verify` does that."""
    from credit_pipeline.audit.log import AuditLog
    from credit_pipeline.audit.show import Asked, render, select

    if lang not in ("zh", "en"):
        raise BadInput(f"--lang {lang!r} is no language of this command; give zh or en")
    settings = command_settings(lake=lake)
    if not settings.audit_log_path.exists():
        raise BadInput(
            f"there is no audit log {settings.audit_log_path}; remedy: --lake DIR, or run the lake first"
        )
    asked = Asked(
        event=event,
        stage=stage,
        since=parse_day(since, "--since") if since else None,
        until=parse_day(until, "--until") if until else None,
        run=run,
        plan=plan,
        unit=unit,
        feed=feed,
    )
    found = select(AuditLog(settings.audit_log_path), asked, None if as_json else last)
    if as_json:
        typer.echo(json.dumps([vars(record) for record in found], ensure_ascii=False))
    else:
        render(found, output_console(), lang)


@app.command()
def trace(
    plan: Annotated[str, typer.Argument(help="Plan, such as P2026GENERAL.")],
    round_: Annotated[str, typer.Argument(metavar="ROUND", help="Round of the plan.")],
    uscc: Annotated[str, typer.Argument(help="Unified social credit code of the enterprise.")],
    unit: Annotated[str | None, typer.Option(help="Only this unit's task.")] = None,
    show_sql: Annotated[
        bool, typer.Option("--sql", help="Print the query instead: it runs in plain duckdb.")
    ] = False,
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Follow a draw to grade, indicators, rows and files. Confidential output.

    A round of an earlier day is reproduced: its day is computed anew in a private file and compared with what was stored.
    """
    import logging

    from credit_pipeline.audit.trace import trace_draw
    from credit_pipeline.audit.trace_words import render_trace

    show_progress()
    found = trace_draw(
        command_settings(lake=lake),
        plan,
        int(round_) if round_.isdecimal() else round_,
        uscc,
        unit_id=unit,
        progress=logging.getLogger("credit_pipeline.trace").info,
    )
    if show_sql:
        typer.echo(found.query)
    elif as_json:
        typer.echo(
            json.dumps({"reproduced": found.reproduced, "rows": found.lines}, ensure_ascii=False, default=str)
        )
    else:
        render_trace(found, output_console())
