"""How a round stands, per unit and in its state line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
from results_support import DAY, PLAN, Record, Rounds, draw, result, warehouse

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.inspection.outcomes.result_pictures import round_funnel, round_units
from credit_pipeline.inspection.outcomes.results import load_windows, make_progress, windows_of_rounds
from credit_pipeline.inspection.outcomes.round_report import (
    RoundLine,
    line_markdown,
    make_summary,
    summary_markdown,
)


def log(path: Path, *events: tuple[str, str], plan: str = PLAN) -> AuditLog:
    """Events at their moment in UTC."""
    for event, moment in events:
        at = datetime.fromisoformat(moment).replace(tzinfo=UTC)
        AuditLog(path / "log.jsonl", clock=lambda at=at: at).append(  # type: ignore[misc]
            event, "inspection", "r", plan_id=plan, round=1
        )
    return AuditLog(path / "log.jsonl")


def drawn() -> duckdb.DuckDBPyConnection:
    """U1: 4 in the frame, 3 eligible, 3 drawn and one top-up; U2: one without a team; U3 has nobody to draw."""
    connection = warehouse()
    connection.execute(f"""insert into inspection.inspection_frame
        select '{PLAN}', 1, unit, item, uscc, reason from (values
            ('U1', 'GENERAL', '1', ''), ('U1', 'SAFETY', '1', 'no_tag'), ('U1', 'GENERAL', '2', ''), ('U1', 'GENERAL', '3', ''),
            ('U1', 'GENERAL', '4', 'not_active'), ('U2', 'GENERAL', '5', ''), ('U3', 'GENERAL', '6', 'grade_a_exempt'))
            as f(unit, item, uscc, reason)""")
    draw(connection, "U1", "1")
    draw(connection, "U1", "2")
    draw(connection, "U1", "3", replaces="2")
    draw(connection, "U2", "5", inspectors=0)
    result(connection, f"{PLAN}-1-U1", "1", "no_problem")
    result(connection, f"{PLAN}-1-U1", "2", "cancelled")
    return connection


def summary(
    connection: duckdb.DuckDBPyConnection, audit: AuditLog, rounds: Rounds, day: date = DAY
) -> list[RoundLine]:
    load_windows(connection, windows_of_rounds(rounds, day))  # type: ignore[arg-type]
    make_progress(connection, day)
    return make_summary(connection, rounds, audit, day)  # type: ignore[arg-type]


EVENTS = (
    ("round_frame_frozen", "2026-03-01T20:00:00"), ("round_committed", "2026-03-01T20:01:00"),
    ("round_entropy", "2026-03-05T01:00:00"), ("round_drawn", "2026-03-05T01:00:01"),
)  # fmt: skip


def test_counts_of_every_unit(tmp_path: Path) -> None:
    """Prevents an enterprise from counting once per item, and units without a draw from being left out."""
    [line] = summary(drawn(), log(tmp_path, *EVENTS), Rounds())
    assert line.units == (
        ("U1", "甲局", (4, 3, 3, 1, 3, 0, 1, 1, 0, 1)),
        ("U2", "", (1, 1, 1, 0, 0, 1, 0, 0, 0, 1)),
        ("U3", "", (1, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
    )
    assert line.totals["drawn"] == 4 and line.totals["overdue"] == 2


def test_the_state_line_has_days_in_shanghai(tmp_path: Path) -> None:
    """Prevents the evening before from standing for the day of the freeze, and another plan's events."""
    audit = log(tmp_path, *EVENTS)
    log(tmp_path, ("round_closed", "2026-05-01T00:00:00"), plan="P2026OTHER")
    [line] = summary(drawn(), audit, Rounds(found=[Record(state="DRAWN")]))
    assert line_markdown(line) == (
        f"{PLAN} round 1: PLAN 2026-01-01 → FRAME_FROZEN 2026-03-02 → COMMITTED 2026-03-02 → ENTROPY 2026-03-05 → "
        "**DRAWN 2026-03-05** → ASSIGNED (not yet) → CLOSED (not yet)"
    )
    assert len(line.missing_assurances) == 2
    text = summary_markdown([line])
    assert "missing: No public entropy" in text and "| U3  | 1 | 0 |" in text


def test_a_round_that_is_only_planned(tmp_path: Path) -> None:
    """Prevents a round from looking drawn, or proven, before anything happened."""
    connection = warehouse()
    [line] = summary(connection, AuditLog(tmp_path / "log.jsonl"), Rounds(found=[]))
    assert line.state == "PLAN" and line.missing_assurances == () and line.units == ()
    assert "not drawn yet" in summary_markdown([line]) and "**PLAN 2026-01-01**" in line_markdown(line)
    connection.execute("delete from inspection.inspection_rounds")
    assert summary_markdown(summary(connection, AuditLog(tmp_path / "log.jsonl"), Rounds(found=[]))) == (
        "No round is in force."
    )


def test_a_replay_does_not_know_the_later_freeze(tmp_path: Path) -> None:
    """Prevents yesterday's summary from showing today's draw."""
    day = date(2026, 3, 1)
    [line] = summary(
        warehouse(), log(tmp_path, *EVENTS), Rounds(found=[Record(frozen_date=date(2026, 3, 2))]), day
    )
    assert line.state == "PLAN" and all(not when for _, when in line.steps[1:])


def test_an_aborted_round_says_so(tmp_path: Path) -> None:
    """Prevents an abort from vanishing from the line of states."""
    audit = log(tmp_path, *EVENTS[:2], ("round_aborted", "2026-03-04T00:00:00"))
    [line] = summary(warehouse(), audit, Rounds(found=[Record(state="ABORTED", entropy=None, files={})]))
    assert line.steps[-1] == ("ABORTED", "2026-03-04") and "**ABORTED 2026-03-04**" in line_markdown(line)


def test_pictures_show_every_unit_and_no_enterprise(tmp_path: Path) -> None:
    """Prevents a picture that leaves units out, or fails on an empty round."""
    [line] = summary(drawn(), log(tmp_path, *EVENTS), Rounds())
    units, funnel = round_units(line), round_funnel(line)
    assert all(f">{unit}</text>" in units for unit in ("U1", "U2", "U3")) and ">4</text>" in funnel
    empty: Any = RoundLine(PLAN, 1, "t", "PLAN", None, (), (), ())
    assert round_units(empty).startswith("<svg") and round_funnel(empty).startswith("<svg")
