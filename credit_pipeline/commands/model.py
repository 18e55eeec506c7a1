"""`credit-pipeline model`: the models on file, which one grades, and how to go back to another."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, command_settings, output_console, parse_day
from credit_pipeline.errors import BadInput
from credit_pipeline.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="Models that grade or might: list, show, compare, go back, promote."
)
Day = Annotated[str, typer.Option("--as-of", help="First day it grades, YYYY-MM-DD.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the promotion.")]


def _auc(found: dict[str, float] | None) -> str:
    return f"{found['value']:.4f} ({found['low']:.4f}–{found['high']:.4f})" if found else "–"


@app.command("list")
def list_models(lake: Lake = None, as_json: Json = False) -> None:
    """List all models on file, the one that grades marked."""
    from credit_pipeline.grading.registry import models_on_file

    models = models_on_file(command_settings(lake=lake))
    if as_json:
        typer.echo(json.dumps([asdict(model) for model in models], ensure_ascii=False, default=str))
        return
    table = Table(title="Models")
    for name in ("", "model", "kind", "made for", "AUC out of time", "grades from", "decision"):
        table.add_column(name, overflow="fold")
    for model in models:
        table.add_row(
            "*" if model.is_champion else "",
            model.digest[:16],
            model.kind,
            model.made_for or "–",
            _auc(model.auc),
            ", ".join(model.grades_from) or "–",
            model.decision,
        )
    output_console().print(table)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Digest (8 digits or more) or `champion`.")] = "champion",
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Show a model's figures, what the gates said, and where its card lies."""
    from credit_pipeline.grading.registry import check_model, find_model, read_figures

    settings = command_settings(lake=lake)
    found = find_model(settings, model)
    check_model(settings, found.digest)
    figures = read_figures(settings, found.digest) or {}
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"figures": figures}, ensure_ascii=False, default=str))
        return
    console = output_console()
    console.print(f"Model {found.digest}", highlight=False)
    console.print(f"{found.kind}, made for {found.made_for or 'no day'}; {found.decision}", highlight=False)
    console.print(f"Grades from: {', '.join(found.grades_from) or 'never'}", highlight=False)
    console.print(f"AUC out of time: {_auc(found.auc)}", highlight=False)
    table = Table(title="Gates")
    for name in ("gate", "verdict", "words"):
        table.add_column(name, overflow="fold")
    for verdict in figures.get("verdicts", []):
        table.add_row(verdict["gate"], verdict["verdict"], verdict["words"])
    console.print(table)
    console.print(f"Card: {found.card or 'none'}", highlight=False, soft_wrap=True)


@app.command()
def compare(
    one: Annotated[str, typer.Argument(help="Digest (8 digits or more) or `champion`.")],
    other: Annotated[str, typer.Argument(help="Digest (8 digits or more) or `champion`.")],
    lake: Lake = None,
    as_json: Json = False,
) -> None:
    """Lay two models side by side: figures, rows they learned from, indicators that only one uses."""
    from credit_pipeline.grading.registry import find_model

    settings = command_settings(lake=lake)
    models = [find_model(settings, name) for name in (one, other)]
    told = [_told(settings, model.digest) for model in models]
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    table = Table(title="Two models")
    table.add_column("")
    for model in models:
        table.add_column(model.digest[:16] + (" *" if model.is_champion else ""), overflow="fold")
    for name in told[0]:
        table.add_row(name.replace("_", " "), *(str(side[name]) for side in told))
    output_console().print(table)


def _told(settings: Settings, digest: str) -> dict[str, Any]:
    from credit_pipeline.grading.registry import check_model, read_figures

    card = check_model(settings, digest)
    test = ((read_figures(settings, digest) or {}).get("validation") or {}).get("test") or {}
    notes, training = card.metadata.get("notes", {}), card.metadata.get("training", {})
    return {
        "digest": digest,
        "made_for": notes.get("as_of_date", ""),
        "auc": _auc(test.get("auc")),
        "brier": f"{test['brier']:.5f}" if test else "–",
        "calibration_error": f"{test['calibration_error']:.4f}" if test else "–",
        "observed_by_grade": ", ".join(f"{g['grade']} {g['rate']:.2%}" for g in test.get("grades", []) if g["rows"]) or "–",
        "rows": training.get("rows", "–"),
        "breaches": training.get("positives", "–"),
        "snapshots": f"{notes['snapshots'][0]} to {notes['snapshots'][-1]}" if notes.get("snapshots") else "–",
        "indicators": len(card.features),
        "features": ", ".join(card.features),
        "policy_digest": notes.get("policy_digest", "–"),
        "rows_digest": notes.get("rows_digest", "–"),
        "code_digest": notes.get("code_digest", "–"),
    }  # fmt: skip


@app.command()
def rollback(
    to: Annotated[str, typer.Option("--to", help="Model that graded before: digest, 8 digits or more.")],
    reason: Reason,
    as_of: Day,
    lake: Lake = None,
) -> None:
    """Let a former model grade again from a day on. Past days keep theirs; the audit log records it."""
    _promote(command_settings(lake=lake), to, parse_day(as_of), reason, "rollback")


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="Digest, 8 digits or more.")],
    reason: Reason,
    as_of: Day,
    override: Annotated[bool, typer.Option("--override", help="Although a gate failed.")] = False,
    approver: Annotated[str, typer.Option(help="Who answers for an override.")] = "",
    document: Annotated[str, typer.Option(help="Paper that allows an override.")] = "",
    lake: Lake = None,
) -> None:
    """Let a model on file grade from a day on; one that failed a gate only by an override."""
    if not override and (approver or document):
        raise BadInput("--approver and --document belong to --override")
    how = "override" if override else "gates"
    _promote(command_settings(lake=lake), model, parse_day(as_of), reason, how, approver, document)


def _promote(
    settings: Settings,
    model: str,
    day: date,
    reason: str,
    decided_by: str,
    approver: str = "",
    document: str = "",
) -> None:
    from credit_pipeline.audit.log import AuditLog
    from credit_pipeline.code_version import by_hand
    from credit_pipeline.grading.registry import promote_by_hand
    from credit_pipeline.warehouse import current_as_of_date, lake_lock

    with lake_lock(settings):
        current = current_as_of_date(settings)
        if current is not None and day < current:
            raise BadInput(
                f"{day} has been run already and keeps its model; remedy: --as-of {current} or later"
            )
        made, before = promote_by_hand(
            settings, model, day, reason, decided_by=decided_by, approver=approver, document=document
        )
        AuditLog(settings.audit_log_path).append(
            "model_rolled_back" if decided_by == "rollback" else "model_promoted",
            "grading",
            by_hand(),
            as_of_date=made.valid_from,
            model=made.digest,
            previous=before.digest if before else None,
            kind=made.kind,
            decided_by=made.decided_by,
            approver=approver,
            document=document,
            reason=reason,
        )
    typer.echo(
        f"model {made.digest[:16]} grades from {made.valid_from} on; it takes effect with the next run of that day"
    )
