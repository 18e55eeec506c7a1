"""What became of visits and leads, and by when results are due."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import pytest
from results_support import DAY, PLAN, Rounds, draw, result, warehouse

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.inspection.outcomes.publication import Clock, make_clock
from credit_pipeline.inspection.outcomes.results import (
    Progress,
    load_windows,
    make_progress,
    windows_of_rounds,
)


def made(
    connection: duckdb.DuckDBPyConnection, day: date = DAY, rounds: Rounds | None = None
) -> tuple[Progress, Clock]:
    load_windows(connection, windows_of_rounds(rounds or Rounds(), day))  # type: ignore[arg-type]
    return make_progress(connection, day), make_clock(connection, day)


def visits(connection: duckdb.DuckDBPyConnection, columns: str = "uscc, state, matched_by") -> list[Any]:
    return connection.execute(
        f"select {columns} from inspection.inspection_progress order by kind desc, unit_id, uscc, task_no"
    ).fetchall()


def test_every_state_of_a_visit() -> None:
    """Prevents a visit that is counted twice, or as done because somebody looked for it."""
    connection = warehouse()
    for uscc in ("1", "2", "3", "4", "5"):
        draw(connection, "U1", uscc, ("GENERAL", "SAFETY"))
    draw(connection, "U1", "6", replaces="4")
    result(connection, f"{PLAN}-1-U1", "1", "no_problem", item="A")
    result(connection, f"{PLAN}-1-U1", "1", "corrected", item="B")
    result(connection, f"{PLAN}-1-U1", "3", "cancelled")
    result(connection, f"{PLAN}-1-U1", "4", "moved_out")
    result(connection, f"{PLAN}-1-U1", "5", "no_activity")
    progress, _ = made(connection)
    assert visits(connection, "uscc, state, outcome, item_codes, is_top_up") == [
        ("1", "done", "problem", "GENERAL|SAFETY", False),
        ("2", "overdue", "", "GENERAL|SAFETY", False),
        ("3", "cannot_inspect", "not_inspectable", "GENERAL|SAFETY", False),
        ("4", "topped_up", "not_inspectable", "GENERAL|SAFETY", False),
        ("5", "done", "neutral", "GENERAL|SAFETY", False),
        ("6", "overdue", "", "GENERAL", True),
    ]
    assert progress.overdue == {"U1": 2} and progress.states["done"] == 2
    assert visits(connection, "task_no")[0] == (f"{PLAN}-1-U1",)
    progress, _ = made(connection, date(2026, 6, 15))
    assert progress.states["open"] == 2 and not progress.overdue
    assert visits(connection, "days_left")[1] == (0,)


def test_results_find_their_visit_by_task_then_plan_then_window() -> None:
    """Prevents results without our task number from being lost, and another's from being taken."""
    connection = warehouse()
    for uscc in "12345":
        draw(connection, "U1", uscc)
    draw(connection, "U2", "1")
    result(connection, f"{PLAN}-1-U1", "1", "no_problem")
    result(connection, "T2", "2", "no_problem", plan=PLAN)
    result(connection, "T3", "3", "no_problem", plan="JH411302MS2026")
    result(connection, "T4", "4", "no_problem", origin="case")
    result(connection, "T5", "5", "no_problem", checked=date(2026, 2, 27))
    made(connection)
    assert visits(connection, "unit_id, uscc, state, matched_by") == [
        ("U1", "1", "done", "task_no"), ("U1", "2", "done", "plan_no"), ("U1", "3", "done", "window"),
        ("U1", "4", "overdue", ""), ("U1", "5", "overdue", ""), ("U2", "1", "overdue", ""),
    ]  # fmt: skip


def test_only_what_was_known_on_the_day_counts() -> None:
    """Prevents a replay of a past day from knowing tomorrow's results, or publications of the future."""
    connection = warehouse()
    draw(connection, "U1", "1")
    result(
        connection, f"{PLAN}-1-U1", "1", "no_problem", checked=date(2026, 5, 6), published=date(2026, 6, 20)
    )
    made(connection, date(2026, 5, 6))
    assert visits(connection) == [("1", "open", "")]
    _, clock = made(connection, date(2026, 6, 10))
    assert visits(connection, "state, published_date") == [("done", None)] and clock.unpublished == {"U1": 1}
    _, clock = made(connection, date(2026, 6, 20))
    assert not clock.unpublished


@pytest.mark.parametrize(
    ("codes", "more", "finding"),
    [
        ("no_problem|corrected", {}, "no_problem_with_others"),
        ("cancelled|corrected", {}, "contradictory"),
        ("invented", {}, "unknown_code"),
        ("no_problem", {"unit": "U2"}, "checked_by_another_unit"),
        ("no_problem", {"checked": date(2026, 3, 1)}, "checked_before_the_draw"),
        ("no_problem", {}, ""),
    ],
)
def test_odd_results_are_told(codes: str, more: dict[str, Any], finding: str) -> None:
    """Prevents contradictory results from passing as good ones."""
    connection = warehouse()
    draw(connection, "U1", "1")
    result(connection, f"{PLAN}-1-U1", "1", codes, **more)
    progress, _ = made(connection)
    assert visits(connection, "finding") == [(finding,)]
    assert progress.findings == ({"U1": 1} if finding else {})


def test_results_for_nobody_drawn_are_counted() -> None:
    """Prevents a manual visit from hiding behind the plan's number."""
    connection = warehouse()
    draw(connection, "U1", "1")
    result(connection, f"{PLAN}-1-U1", "9", "no_problem")
    result(connection, "T", "8", "no_problem", plan=PLAN)
    progress, _ = made(connection)
    assert progress.unmatched == {"U1": 2}


def test_units_of_a_joint_visit_report_under_it() -> None:
    """Prevents the cooperating unit's result from being called a stranger's, and the door from opening twice."""
    connection = warehouse()
    for uscc in "12":
        draw(connection, "U1", uscc)
    result(connection, f"{PLAN}-1-U1", "1", "no_problem", item="A")
    result(connection, f"{PLAN}-1-U1", "1", "corrected", item="B", unit="U2")
    result(connection, "T", "2", "no_problem", unit="U2", plan="JH")
    progress, _ = made(connection, rounds=Rounds(cooperating=["U2", "U3"]))
    assert visits(connection, "state, outcome, units, reported_units, visits_done") == [
        ("done", "problem", "U1|U2|U3", "U1|U2", 1), ("done", "clean", "U1|U2|U3", "U2", 1),
    ]  # fmt: skip
    assert not progress.findings


def test_two_visits_owed_are_done_with_the_second() -> None:
    """Prevents a D enterprise with two visits a year from counting as done after the first."""
    connection = warehouse()
    draw(connection, "U1", "1")
    connection.execute(
        f"insert into inspection.inspection_tasks values ('{PLAN}', 1, 'U1', '1', 1, 2), ('{PLAN}', 1, 'U1', '1', 2, 2)"
    )
    result(connection, f"{PLAN}-1-U1", "1", "corrected", item="A")
    made(connection, date(2026, 5, 1))
    assert visits(connection, "state, visits_done, days_left") == [("open", 1, 45)]
    result(connection, f"{PLAN}-1-U1-2", "1", "no_problem", item="A", checked=date(2026, 6, 1))
    made(connection)
    assert visits(connection, "state, visits_done, days_left") == [("done", 2, None)]


def test_leads_and_their_results() -> None:
    """Prevents a lead's check from being taken for a drawn visit, or one result from answering two leads."""
    connection = warehouse()
    draw(connection, "U1", "1")
    connection.execute("""insert into inspection.lead_checks values
        ('L1', 'complaint', '1', 'U1', date '2026-04-01', '食品标签', '', '12345', null),
        ('L2', 'monitoring', '1', 'U1', date '2026-04-10', '', '', '', null),
        ('L3', 'transferred', '2', 'U1', date '2026-04-10', '', '', '', date '2026-04-12'),
        ('L4', 'transferred', '3', 'U1', date '2026-04-10', '', '', '', null),
        ('L5', 'transferred', '3', 'U1', date '2026-07-10', '', '', '', null)""")
    result(connection, "L1", "1", "corrected", origin="case")
    result(connection, "C77", "1", "no_problem", origin="case")
    made(connection)
    assert visits(connection, "coalesce(lead_id, 'visit'), state, outcome, matched_by") == [
        ("visit", "overdue", "", ""), ("L1", "done", "problem", "task_no"), ("L2", "done", "clean", "window"),
        ("L3", "closed", "", ""), ("L4", "open", "", ""),
    ]  # fmt: skip


def clock_rows(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    return connection.execute(
        "select publication_due_date, publication_state, publication_days_left, is_calendar_covered "
        "from inspection.publication_clock order by task_no"
    ).fetchall()


def test_publication_counts_chinese_working_days() -> None:
    """Prevents holidays from counting and make-up days from not.

    20 working days after Monday 20 April 2026 with 1, 4, 5 May off and Saturday 9 May worked: 21-24 (4), 27-30 (8),
    6-9 May (12), 11-15 (17), 18, 19, 20 May (20).
    """
    connection = warehouse()
    result(connection, "T1", "1", "no_problem")
    made(connection, date(2026, 5, 20))
    assert clock_rows(connection) == [(date(2026, 5, 20), "due", 0, True)]
    _, clock = made(connection, date(2026, 5, 21))
    assert clock_rows(connection) == [(date(2026, 5, 20), "overdue", -1, True)]
    assert clock.unpublished == {"U1": 1}


def test_an_inspection_on_a_day_off_has_its_full_time() -> None:
    """Prevents a day less for who inspects on a Sunday."""
    connection = warehouse()
    result(connection, "T1", "1", "no_problem", checked=date(2026, 3, 1))
    result(connection, "T2", "1", "no_problem", checked=date(2026, 2, 27))
    made(connection)
    assert [row[0] for row in clock_rows(connection)] == [date(2026, 3, 27), date(2026, 3, 27)]


def test_late_and_incomplete_publication() -> None:
    """Prevents a task from counting as published when one of its items is not."""
    connection = warehouse()
    result(connection, "T1", "1", "no_problem", published=date(2026, 5, 20))
    result(connection, "T2", "1", "no_problem", published=date(2026, 5, 21))
    result(connection, "T3", "1", "no_problem", item="A", published=date(2026, 5, 1))
    result(connection, "T3", "1", "no_problem", item="B")
    made(connection)
    assert [row[1] for row in clock_rows(connection)] == ["published", "published_late", "overdue"]


def test_years_without_holiday_table_say_so() -> None:
    """Prevents a due date that looks exact although nobody knows the holidays."""
    connection = warehouse()
    result(connection, "T1", "1", "no_problem", checked=date(2026, 12, 20), known=date(2026, 12, 21))
    _, clock = made(connection, date(2026, 12, 30))
    assert [row[3] for row in clock_rows(connection)] == [False] and clock.uncovered == 1


def test_rectifications() -> None:
    """Prevents a rectification that nobody asks for, or that is late in one item of two."""
    connection = warehouse()
    due = date(2026, 5, 20)
    result(connection, "T1", "1", "corrected", rectify_due=due)
    result(connection, "T2", "1", "corrected", rectify_due=due, rectified=due)
    result(connection, "T3", "1", "corrected", rectify_due=due, rectified=date(2026, 5, 21))
    result(connection, "T4", "1", "corrected", rectify_due=date(2026, 7, 20))
    result(connection, "T5", "1", "no_problem")
    result(connection, "T6", "1", "corrected", item="A", rectify_due=due)
    result(connection, "T6", "1", "corrected", item="B", rectify_due=due, rectified=due)
    _, clock = made(connection)
    states = connection.execute(
        "select rectification_state from inspection.publication_clock order by task_no"
    ).fetchall()
    assert [state for (state,) in states] == ["overdue", "done", "done_late", "due", "", "overdue"]
    assert clock.unrectified == {"U1": 2}


def test_no_period_in_policy_is_an_error() -> None:
    """Prevents a clock without a period."""
    connection = warehouse()
    connection.execute("delete from policy.inspection_policy")
    with pytest.raises(CreditPipelineError, match="publication_working_days"):
        made(connection)


def test_the_same_rows_make_the_same_tables() -> None:
    """Prevents results that depend on the order of rows."""
    tables = []
    for backwards in (False, True):
        connection = warehouse()
        for uscc in "123":
            draw(connection, "U1", uscc)
        rows = [(f"{PLAN}-1-U1", "1", "no_problem"), ("T2", "2", "corrected"), ("T3", "2", "no_problem")]
        for task, uscc, codes in reversed(rows) if backwards else rows:
            result(connection, task, uscc, codes)
        made(connection)
        tables.append(
            [
                connection.execute(f"select * from inspection.{name}").fetchall()
                for name in ("inspection_progress", "publication_clock")
            ]
        )
    assert tables[0] == tables[1]
