"""The warning about visits to grade A that nothing ordered, on rows of its own: a check that never warns is none."""

from __future__ import annotations

from pathlib import Path

import duckdb
import jinja2
import pytest

SQL = Path(__file__).parents[3] / "dbt_project" / "tests" / "grade_a_is_visited_for_a_reason.sql"
VISIT = "('A1', 'U1', date '2026-05-02', 2026, '{kind}', 'result', {plan}, 'k')"


@pytest.fixture(scope="module")
def sql() -> str:
    names = {
        "ref": lambda name: name,
        "as_of": lambda: "date '2026-06-01'",
        "config": lambda **_: "",
        "frozen_frames": lambda: "frames",
    }
    return jinja2.Template(SQL.read_text(encoding="utf-8")).render(names)


@pytest.mark.parametrize(
    ("kind", "plan", "lead_day", "is_safety", "warns"),
    [
        ("case", "null", None, False, True),
        ("case", "null", "2026-05-01", False, False),
        ("case", "null", "2026-05-03", False, True),
        ("random", "null", "2026-05-01", False, True),
        ("random", "'P2026GENERAL'", None, False, False),
        ("campaign", "null", None, False, True),
        ("campaign", "null", None, True, False),
        ("superior_task", "null", None, False, False),
    ],
)
@pytest.mark.parametrize("grade", ["A", "B"])
def test_a_visit_to_grade_a_needs_a_reason(
    sql: str, kind: str, plan: str, lead_day: str | None, is_safety: bool, warns: bool, grade: str
) -> None:
    assert _warnings(sql, kind, plan, lead_day, is_safety, grade, []) == (warns and grade == "A")


@pytest.mark.parametrize(
    ("frames", "today", "warns"),
    [
        ([("B", "2026-01-02")], "A", False),
        ([("A", "2026-01-02")], "D", True),
        ([("A", "2026-01-02"), ("C", "2026-04-01")], "A", False),
        ([("C", "2026-01-02"), ("A", "2026-05-02")], "C", True),
        ([("A", "2026-05-03")], "B", False),
        ([("B", "2026-05-03")], "A", True),
    ],
)
def test_the_grade_is_that_of_the_day_of_the_visit(
    sql: str, frames: list[tuple[str, str]], today: str, warns: bool
) -> None:
    """Who fell from A after a visit without a reason was no longer warned of, and who rose was, for what was right then."""
    assert _warnings(sql, "case", "null", None, False, today, frames) == warns


def _warnings(
    sql: str,
    kind: str,
    plan: str,
    lead_day: str | None,
    is_safety: bool,
    grade: str,
    frames: list[tuple[str, str]],
) -> int:
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            """create table inspection_visits (uscc varchar, unit_id varchar, visit_date date, visit_year integer,
                kind varchar, source varchar, plan_id varchar, visit_key varchar);
            create table enterprise_grades (uscc varchar, platform_grade varchar);
            create table enterprises (uscc varchar, is_safety_related boolean);
            create table lead_checks (uscc varchar, unit_id varchar, received_date date);
            create table frames (uscc varchar, platform_grade varchar, frozen_date date, item_code varchar)"""
        )
        connection.execute(f"insert into inspection_visits values {VISIT.format(kind=kind, plan=plan)}")
        connection.execute("insert into enterprise_grades values ('A1', $1)", [grade])
        connection.execute("insert into enterprises values ('A1', $1)", [is_safety])
        if lead_day:
            connection.execute("insert into lead_checks values ('A1', 'U1', cast($1 as date))", [lead_day])
        for known, day in frames:
            connection.execute(
                "insert into frames select 'A1', $1, cast($2 as date), unnest(['GENERAL', 'SAFETY'])",
                [known, day],
            )
        return len(connection.execute(sql).fetchall())
