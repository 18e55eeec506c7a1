"""`credit-pipeline draw`: the rounds of inspections, step by step.

What a party does on its own machine is `commands.draw_party`; what a step checks is `inspection.rounds.office`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from credit_pipeline.code_version import by_hand
from credit_pipeline.commands.draw_party import app as party_app
from credit_pipeline.commands.draw_party import read_json
from credit_pipeline.commands.draw_table import round_table
from credit_pipeline.commands.shared import Json, Lake, Landing, command_settings, output_console, parse_day
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError

if TYPE_CHECKING:
    from credit_pipeline.inspection.rounds.office import RoundOffice

app = typer.Typer(no_args_is_help=True, help="Draws of inspections: list, steps, parties, proof.")
app.add_typer(party_app, name="party")

Plan = Annotated[str, typer.Argument(help="Plan, as `draw list` shows it.")]
RoundNumber = Annotated[int, typer.Argument(help="Round of the plan.", min=1)]
Approvers = Annotated[
    list[str], typer.Option("--approver", help="Who approves; once for each person.", show_default=False)
]
_PARTY_FILES = ("rule.json", "freeze.json", "entropy.json")


@contextmanager
def _office(lake: Path | None, *, writes: bool) -> Iterator[RoundOffice]:
    """The rounds of a lake; a command that writes waits for a run and shows its result in the warehouse."""
    from credit_pipeline.inspection.rounds.daily import refresh_tables
    from credit_pipeline.inspection.rounds.office import RoundOffice
    from credit_pipeline.warehouse import lake_lock

    settings = command_settings(lake=lake)
    if not writes:
        yield RoundOffice(settings, run_id=by_hand())
        return
    with lake_lock(settings):
        yield RoundOffice(settings, run_id=by_hand())
        refresh_tables(settings)


@app.command("list")
def list_rounds(lake: Lake = None, as_json: Json = False) -> None:
    """List every round: its state, what it waits for, what its draw does not prove."""
    found: list[dict[str, Any]] = []
    with _office(lake, writes=False) as office:
        for record in office.store.records():
            line: dict[str, Any] = {
                "plan": record.plan_id,
                "plan_id": record.plan_id,
                "round": record.round,
                "state": str(record.state),
                "frozen_date": record.frozen_date.isoformat(),
                "frame": record.frame_size,
                "eligible": record.eligible_count,
                "drawn": record.drawn_count or 0,
                "top_ups": record.top_ups,
                "waves": record.waves,
                "waiting_for": "",
                "missing_assurances": [],
                "problem": "",
            }
            try:
                outcome = office.outcome(office.inspect(record.plan_id, record.round))
                line["waiting_for"] = outcome.waiting_for
                line["missing_assurances"] = list(outcome.missing_assurances)
            except CreditPipelineError as error:
                line["problem"] = str(error)
            found.append(line)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False))
        return
    table = Table("plan", "round", "state", "frame", "drawn", "waiting for", "problem")
    for line in found:
        table.add_row(
            *(
                str(line[name])
                for name in ("plan", "round", "state", "frame", "drawn", "waiting_for", "problem")
            )
        )
    output_console().print(table if found else "No round is begun yet; a run freezes those that are due.")


@app.command()
def show(
    plan: Plan,
    round_: RoundNumber,
    lake: Lake = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the files that the parties need, none confidential.", file_okay=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one round: rule, roots, parties, what it waits for, and who stands in the way where a unit has no inspectors."""
    from credit_pipeline.inspection.rounds.daily import conflicts_of_today

    with _office(lake, writes=False) as office:
        record = office.inspect(plan, round_)
        outcome = office.outcome(record)
        if out is not None:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = office.store.directory(plan, round_)
            names = [path.name for path in directory.glob("commitment-*.json")]
            names += [path.name for path in directory.glob("escrow-*.age")]
            for name in sorted([*names, *(one for one in _PARTY_FILES if one in record.files)]):
                (out / name).write_bytes((directory / name).read_bytes())
        facts = record.public_facts() | {
            "rule": office.store.rule(plan, round_),
            "waiting_for": outcome.waiting_for,
            "missing_assurances": list(outcome.missing_assurances),
            "without_inspectors": conflicts_of_today(office, record),
        }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    output_console().print(round_table(facts))


@app.command()
def commit(
    plan: Plan,
    round_: RoundNumber,
    file: Annotated[Path, typer.Argument(help="commitment-<party>.json", dir_okay=False)],
    escrow: Annotated[
        Path | None,
        typer.Option(help="escrow-<party>.age; beside the commitment when not given.", dir_okay=False),
    ] = None,
    lake: Lake = None,
) -> None:
    """Import a party's commitment with its escrow."""
    statement = read_json(file)
    path = escrow or file.with_name(f"escrow-{statement.get('party')}.age")
    with _office(lake, writes=True) as office:
        missing = office.receive(plan, round_, statement, path.read_bytes() if path.is_file() else None)
    typer.echo(
        f"still missing: {', '.join(missing)}"
        if missing
        else "all parties have committed; next: draw advance"
    )


@app.command()
def reveal(
    plan: Plan,
    round_: RoundNumber,
    file: Annotated[Path, typer.Argument(help="reveal-<party>.json", dir_okay=False)],
    lake: Lake = None,
) -> None:
    """Import a party's reveal, once the entropy stands. It is kept with the keys, never in the lake."""
    with _office(lake, writes=True) as office:
        missing = office.keep_reveal(plan, round_, read_json(file))
    typer.echo(
        f"still missing: {', '.join(missing)}" if missing else "all reveals are here; next: draw advance"
    )


@app.command()
def entropy(
    source: Annotated[str, typer.Argument(help="KL8, SSQ or DLT.")],
    issue: Annotated[str, typer.Argument(help="Issue of the lottery, such as 2026123.")],
    announced: Annotated[str, typer.Option(help="Day of the announcement, YYYY-MM-DD.")],
    numbers: Annotated[str, typer.Option(help="Numbers as announced; SSQ and DLT: second part after +.")],
    announcement: Annotated[str, typer.Option(help="Where the announcement can be read again.")] = "",
    landing: Landing = None,
) -> None:
    """Write an announced lottery issue as a file of the feed public_entropy; the next run reads it."""
    from credit_pipeline.audit.log import write_durably
    from credit_pipeline.inspection.draws.entropy import encode

    text = encode(source, issue, numbers)
    folder = command_settings(landing).landing_dir / "public_entropy"
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(["source", "issue", "announced_date", "numbers", "announcement"])
    writer.writerow([source, issue, parse_day(announced).isoformat(), text.split(":")[2], announcement])
    path, content = folder / f"{source}-{issue}.csv", sheet.getvalue().encode()
    if path.exists() and path.read_bytes() != content:
        raise BadInput(
            f"{path}: this issue was written with other numbers or another day; compare both with the announcement, "
            "then remove the wrong file"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_durably(path, content)
    typer.echo(f"{path}\nnext: credit-pipeline run")


@app.command()
def advance(plan: Plan, round_: RoundNumber, lake: Lake = None, as_json: Json = False) -> None:
    """Take a round as far as it can go now: commitments, entropy, draw, first assignment. Made again: no change."""
    from credit_pipeline.inspection.rounds.daily import advance_round

    with _office(lake, writes=True) as office:
        outcome = advance_round(office, plan, round_)
    if as_json:
        typer.echo(json.dumps(asdict(outcome), ensure_ascii=False))
        return
    waiting = f", waiting for {outcome.waiting_for}" if outcome.waiting_for else ""
    typer.echo(f"{outcome.plan_id} round {outcome.round}: {outcome.state}, {outcome.drawn} drawn{waiting}")
    for unit, why in outcome.unassigned.items():
        typer.echo(f"{unit}: {why}")


@app.command("top-up")
def top_up(
    plan: Plan,
    round_: RoundNumber,
    unit: Annotated[str, typer.Option(help="Unit that drew the enterprise.")],
    uscc: Annotated[str, typer.Option(help="The enterprise that cannot be inspected.")],
    reason: Annotated[str, typer.Option(help="A reason of the frozen list (topup_reasons).")],
    event: Annotated[str, typer.Option(help="Number of the entry in the register that says so.")],
    event_date: Annotated[str, typer.Option(help="Its day, later than the freeze, YYYY-MM-DD.")],
    approver: Approvers,
    lake: Lake = None,
) -> None:
    """Put the next rank in the place of a drawn enterprise that cannot be inspected. Two approvers."""
    with _office(lake, writes=True) as office:
        record = office.top_up(
            plan,
            round_,
            unit_id=unit,
            uscc=uscc,
            reason=reason,
            event_id=event,
            event_date=event_date,
            approvers=approver,
        )
    typer.echo(f"{record.top_ups} top-up(s); next: credit-pipeline draw assign {plan} {round_}")


@app.command("replace-inspector")
def replace_inspector(
    plan: Plan,
    round_: RoundNumber,
    unit: Annotated[str, typer.Option(help="The inspectors' unit.")],
    uscc: Annotated[str, typer.Option(help="The enterprise to be visited.")],
    inspector: Annotated[str, typer.Option(help="Who cannot go.")],
    reason: Annotated[str, typer.Option(help="Why: relative, former_employer, shareholding, other.")],
    document: Annotated[str, typer.Option(help="Number of the document that declares it.")],
    declared: Annotated[str, typer.Option(help="Day of the declaration, YYYY-MM-DD.")],
    approver: Approvers,
    lake: Lake = None,
) -> None:
    """Exchange an inspector after a late recusal for the next one in the enterprise's order. Two approvers."""
    with _office(lake, writes=True) as office:
        _, chosen = office.replace_inspector(
            plan,
            round_,
            unit_id=unit,
            uscc=uscc,
            inspector_id=inspector,
            reason=reason,
            document_no=document,
            declared_date=declared,
            approvers=approver,
        )
        standing = office.store.assignments(plan, round_)
    visits = 0 if standing is None else standing["inspector_id"].to_pylist().count(chosen)
    typer.echo(f"{inspector} is replaced by {chosen}, who now has {visits} visit(s) of this round")


@app.command()
def assign(plan: Plan, round_: RoundNumber, lake: Lake = None) -> None:
    """Assign the visits without inspectors (top-ups, units that had none) in a new wave, from today's roster."""
    from credit_pipeline.inspection.rounds.daily import assign_wave

    with _office(lake, writes=True) as office:
        outcome = assign_wave(office, plan, round_)
    typer.echo(
        f"{outcome.plan_id} round {outcome.round}: {outcome.state}; {outcome.waiting_for or 'all assigned'}"
    )
    if outcome.unassigned:
        raise CreditPipelineError("\n".join(outcome.unassigned.values()))


@app.command()
def close(
    plan: Plan,
    round_: RoundNumber,
    even_if_open: Annotated[
        bool, typer.Option("--even-if-open", help="Also while visits have no result or no inspectors.")
    ] = False,
    lake: Lake = None,
) -> None:
    """Close a round whose inspections are done. It is not opened again."""
    from credit_pipeline.inspection.rounds.daily import unfinished_visits

    with _office(lake, writes=True) as office:
        if office.existing(plan, round_).state == "ASSIGNED" and not even_if_open:
            without_result, without_team = unfinished_visits(office, plan, round_)
            if without_result or without_team:
                raise BadInput(
                    f"{plan} round {round_}: {without_result:,} visit(s) have no result yet, {without_team:,} no inspectors; a "
                    "closed round is not opened again. Remedy: wait for the results (credit-pipeline run), or --even-if-open"
                )
        typer.echo(f"{plan} round {round_}: {office.close(plan, round_).state}")


@app.command()
def abort(
    plan: Plan,
    round_: RoundNumber,
    reason: Annotated[str, typer.Option(help="Why the round ends without a result.")],
    approver: Approvers,
    lake: Lake = None,
) -> None:
    """End a round for good; its number is not used again. One approver before the entropy, three after."""
    with _office(lake, writes=True) as office:
        typer.echo(f"{plan} round {round_}: {office.abort(plan, round_, reason, approver).state}")


@app.command()
def bundle(
    plan: Plan,
    round_: RoundNumber,
    out: Annotated[Path, typer.Option(help="New folder for the proof.", file_okay=False)],
    public: Annotated[
        bool, typer.Option("--public", help="Roots and counts only, no seed, no list.")
    ] = False,
    lake: Lake = None,
) -> None:
    """Write the proof of a round as plain CSV and JSON; verify it with verify_draw.py. CONFIDENTIAL unless --public."""
    from credit_pipeline.inspection.rounds.bundle import write_bundle

    with _office(lake, writes=False) as office:
        office.inspect(plan, round_)
        write_bundle(office.settings, plan, round_, out, public)
    if not (out / "bundle.json").exists():
        raise IntegrityError(f"{out}: the bundle is not complete")
    typer.echo(str(out))
