"""`credit-pipeline review`: who the rows mean that name no unified code, decided by people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from credit_pipeline.commands.shared import Json, Lake, Landing, command_settings, output_console
from credit_pipeline.errors import BadInput

app = typer.Typer(
    no_args_is_help=True, help="Rows whose enterprise nobody could tell for sure: list, decide, undo."
)
By = Annotated[str, typer.Option("--by", help="Who decides.")]
Why = Annotated[str, typer.Option("--reason", help="Why; kept with the decision.")]
NEXT_RUN = "it takes effect with the next run: credit-pipeline run"


@app.command("list")
def list_parties(
    lake: Lake = None,
    reason: Annotated[str | None, typer.Option(help="Only parties that wait for this reason.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many parties.")] = 20,
    decided: Annotated[bool, typer.Option("--decided", help="Show the decisions that stand.")] = False,
    as_json: Json = False,
) -> None:
    """List the parties that wait for a person, with their candidates."""
    from credit_pipeline.transform.identity_review import (
        REASONS,
        candidate_words,
        open_parties,
        queue_counts,
        sent_words,
        standing_decisions,
    )

    settings = command_settings(lake=lake)
    found = standing_decisions(settings) if decided else open_parties(settings, reason, limit)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, default=str))
        return
    console = output_console()
    table = Table(show_lines=not decided)
    if decided:
        for heading in ("决定编号", "主体", "结论", "决定人", "日期", "理由"):
            table.add_column(heading, overflow="fold")
        for item in found:
            who = f"{item['enterprise_name']} {item['uscc']}" if item["uscc"] else "无法识别"
            table.add_row(
                item["decision_id"], item["party_name"] or item["party_key"][:8], who, item["decided_by"] or "",
                str(item["decided_date"]), item["reason"] or "",
            )  # fmt: skip
        console.print(table)
        return
    for heading in ("编号", "报送内容", "原因", "数据", "候选企业"):
        table.add_column(heading, overflow="fold", min_width=9 if heading == "编号" else None)
    for party in found:
        candidates = [f"{item['rank']}. {candidate_words(item)}" for item in party["candidates"]]
        table.add_row(
            party["party_key"][:8],
            sent_words(party),
            REASONS[party["review_reason"]],
            f"{party['rows_by_feed'].replace('|', chr(10))}\n自 {party['waiting_since']}",
            "\n".join(candidates) or "无相近企业",
        )
    console.print(table)
    counts = queue_counts(settings)
    words = "，".join(f"{REASONS[name]} {count:,}" for name, count in counts.items())
    console.print(f"待核对主体 {sum(counts.values()):,} 个{'：' if words else ''}{words}", highlight=False)


@app.command("export")
def export_parties(
    out: Annotated[Path, typer.Option(help="Workbook to write.", dir_okay=False)],
    lake: Lake = None,
    reason: Annotated[str | None, typer.Option(help="Only parties that wait for this reason.")] = None,
) -> None:
    """Write the queue as a workbook; filled in, it goes into landing/identity_decisions/ as it is."""
    from credit_pipeline.transform.identity_review import export_review

    if out.suffix.lower() != ".xlsx":
        raise BadInput(f"--out {out} must end in .xlsx")
    parties = export_review(command_settings(lake=lake), out, reason)
    typer.echo(f"{parties:,} parties in {out}; fill in 核对结论 and put it into landing/identity_decisions/")


@app.command("decide")
def decide_party(
    party_key: Annotated[str, typer.Argument(help="编号 of the list, or its beginning.")],
    by: By,
    reason: Why,
    uscc: Annotated[str | None, typer.Option(help="The enterprise of the register that is meant.")] = None,
    not_identifiable: Annotated[
        bool, typer.Option("--not-identifiable", help="Nobody can tell; stop waiting.")
    ] = False,
    lake: Lake = None,
    landing: Landing = None,
) -> None:
    """Say who a party is, or that nobody can tell."""
    from credit_pipeline.transform.identity_review import decide

    if (uscc is None) != not_identifiable:
        raise BadInput("give either --uscc CODE or --not-identifiable")
    settings = command_settings(landing, lake)
    decision_id, path = decide(settings, party_key, uscc=uscc, decided_by=by, reason=reason)
    typer.echo(f"decision {decision_id} in {path}; {NEXT_RUN}")


@app.command("undo")
def undo_decision(
    decision_id: Annotated[str, typer.Argument(help="As `review list --decided` shows it.")],
    by: By,
    reason: Why,
    lake: Lake = None,
    landing: Landing = None,
) -> None:
    """Withdraw a decision, as if it had never been taken."""
    from credit_pipeline.transform.identity_review import undo

    path = undo(command_settings(landing, lake), decision_id, decided_by=by, reason=reason)
    typer.echo(f"undone by {path}; {NEXT_RUN}")
