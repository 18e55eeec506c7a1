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
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            """create table inspection_visits (uscc varchar, unit_id varchar, visit_date date, visit_year integer,
                kind varchar, source varchar, plan_id varchar, visit_key varchar);
            create table enterprise_grades (uscc varchar, platform_grade varchar);
            create table enterprises (uscc varchar, is_safety_related boolean);
            create table lead_checks (uscc varchar, unit_id varchar, received_date date)"""
        )
        connection.execute(f"insert into inspection_visits values {VISIT.format(kind=kind, plan=plan)}")
        connection.execute("insert into enterprise_grades values ('A1', $1)", [grade])
        connection.execute("insert into enterprises values ('A1', $1)", [is_safety])
        if lead_day:
            connection.execute("insert into lead_checks values ('A1', 'U1', cast($1 as date))", [lead_day])
        assert len(connection.execute(sql).fetchall()) == (warns and grade == "A")
