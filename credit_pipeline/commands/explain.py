"""`credit-pipeline explain`: why an enterprise has its grade."""

from __future__ import annotations

import json
import logging
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


def explain(
    uscc: Annotated[str, typer.Argument(help="Unified social credit code of the enterprise.")],
    as_of: Annotated[
        str | None, typer.Option(help="Another day than the current one, YYYY-MM-DD; it is computed anew.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(help="Only this unit's grade, with the points of its system.")
    ] = None,
    lang: Annotated[str, typer.Option(help="Language of the words: zh or en.")] = "zh",
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Say why an enterprise has its grade, down to source file and row. Confidential output."""
    if lang not in ("zh", "en"):
        raise BadInput(f"--lang {lang!r} is no language of this command; give zh or en")
    day = parse_day(as_of) if as_of else None
    from credit_pipeline.audit.explain import explain_enterprise

    if day is not None:
        show_progress()
    found = explain_enterprise(
        command_settings(lake=lake),
        uscc,
        as_of_date=day,
        unit_id=unit,
        language=lang,
        progress=logging.getLogger("credit_pipeline.explain").info,
    )
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, default=str))
        return
    from credit_pipeline.audit.explain_render import render_explanation

    render_explanation(found, output_console())
