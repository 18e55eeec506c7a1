"""What a unit receives about inspections, and that nothing in it is a code or a secret."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from extract_warehouse import DAY, extract_warehouse

from credit_pipeline.extracts.builder import (
    EXTRACT_TABLES,
    extract_comments,
    prepare_extracts,
    unit_tables,
)


@pytest.fixture(scope="module")
def warehouse() -> duckdb.DuckDBPyConnection:
    connection = extract_warehouse()
    prepare_extracts(connection, DAY)
    return connection


def rows(warehouse: duckdb.DuckDBPyConnection, unit: str, table: str) -> list[dict[str, Any]]:
    sql = unit_tables(unit, "某局", DAY)[table]
    answer = warehouse.execute(str(sql))
    names = [column[0] for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def test_every_column_is_explained_in_chinese() -> None:
    """Prevents columns that the unit has to guess."""
    for name, comments in extract_comments().items():
        for column, text in {"": comments.table, **comments.columns}.items():
            assert any("\u4e00" <= sign <= "\u9fff" for sign in text), (name, column)


def test_tasks_name_the_items_of_the_units_line(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents group codes that tell an inspector nothing, and items of other lines and industries."""
    tasks = {(row["task_no"], row["uscc"]): row for row in rows(warehouse, "U", "inspection_tasks")}
    assert set(tasks) == {("P2026GENERAL-1-U", "1"), ("P2026GENERAL-1-U", "2"), ("P2026JOINT-1-V", "1")}
    both = tasks["P2026GENERAL-1-U", "1"]
    assert both["items"] == "一般事项合并检查；安全重点事项合并检查"
    assert both["items_to_check"] == "登记事项检查；食品经营检查"
    assert tasks["P2026GENERAL-1-U", "2"]["items_to_check"] == "食品经营检查"
    joint = tasks["P2026JOINT-1-V", "1"]
    assert (joint["part"], joint["initiating_unit"], joint["items_to_check"]) == (
        "配合",
        "乙局",
        "食品经营检查",
    )
    [own] = [row for row in rows(warehouse, "V", "inspection_tasks") if row["task_no"] == "P2026JOINT-1-V"]
    assert (own["part"], own["items_to_check"]) == ("发起", "消防设施检查")
    assert both["state"] == "待检查" and joint["outcome"] == "发现问题"


def test_a_unit_sees_the_teams_of_its_visits_only(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents a joint team of which each unit knows half, and teams of visits that are none of its business."""
    found = {(row["task_no"], row["inspector_id"], row["role"]) for row in rows(warehouse, "U", "inspectors")}
    assert found == {
        ("P2026JOINT-1-V", "V-1", "组长"), ("P2026JOINT-1-V", "U-1", "组员"), ("P2026GENERAL-1-U", "U-1", "组长"),
    }  # fmt: skip


def test_results_that_are_missing(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents a cooperating unit from never hearing that its own results of a joint visit are due."""
    missing = {(row["task_no"], row["uscc"], row["state"]) for row in rows(warehouse, "U", "results_missing")}
    assert missing == {
        ("P2026GENERAL-1-U", "1", "待检查"), ("P2026JOINT-1-V", "1", "待检查"), ("L1", "2", "待检查"),
    }  # fmt: skip
    assert {row["task_no"] for row in rows(warehouse, "V", "results_missing")} == {"P2026GENERAL-1-V"}


def test_leads_campaigns_quotas_and_deadlines_in_words(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents codes, and B or exempt A in a campaign's list."""
    [lead] = rows(warehouse, "U", "leads")
    assert (lead["lead_type"], lead["scope"], lead["item"], lead["state"]) == (
        "投诉举报",
        "标签",
        "食品经营检查",
        "待检查",
    )
    assert [(row["uscc"], row["rule"]) for row in rows(warehouse, "U", "campaign_targets")] == [
        ("1", "按整治方案")
    ]
    [quota] = rows(warehouse, "U", "quotas")
    assert (quota["rounding"], quota["basis"], quota["item_name"]) == (
        "向上取整",
        "政策默认值，非法律规定",
        "一般事项合并检查",
    )
    assert quota["arithmetic"] == (
        "向上取整((20 + 0) × 500 × 1 ÷ (10000 × 1)) = 1；减此前已抽 0，不少于 0、不多于可抽企业数：1"
    )
    [deadline] = rows(warehouse, "U", "deadlines")
    assert deadline["publication_state"] == "逾期未公示" and "节假日表" in deadline["calendar_note"]
    assert rows(warehouse, "V", "deadlines") == []


def test_enterprises_tell_visits_tags_and_advice(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents a seventh visit because nobody knew of the six, and advice that the policy does not give."""
    first, second = rows(warehouse, "U", "enterprises")
    assert first["safety_tags"] == "消防重点场所；食品" and str(first["last_checked_on"]) == "2026-05-04"
    assert (first["visits_this_year"], first["visits_planned"], first["visits_left"]) == (1, 2, 3)
    assert (second["visits_this_year"], second["visits_left"], second["last_checked_on"]) == (0, 6, None)
    assert "不予行政处罚" in first["minor_violation_advice"] and first["honours_priority"]
    assert "警告为主" in second["minor_violation_advice"] and not second["honours_priority"]
    [other] = rows(warehouse, "V", "enterprises")
    assert other["minor_violation_advice"] == "" and other["recheck"]


def test_nothing_secret_and_nobody_elses_enterprise(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents tickets, reasons for skipping an inspector, and enterprises that the unit neither supervises nor visits."""
    everything = {name: rows(warehouse, "U", name) for name in EXTRACT_TABLES}
    assert "SECRET" not in repr(everything)
    assert {row["uscc"] for table in everything.values() for row in table if "uscc" in row} == {"1", "2"}


def test_no_english_code_is_left(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Prevents a code without a word: every text in the tables of inspections but ids is Chinese or empty."""
    ids = {"task_no", "plan_id", "uscc", "item_code", "inspector_id", "region", "platform_grade", "grade", "source_ref",
        "campaign_id", "exception_id", "replaces"}  # fmt: skip
    for name in EXTRACT_TABLES:
        if name in (
            "grade_reasons",
            "grade_evidence",
            "grade_changes",
            "enterprises",
            "refused_rows",
            "parties_to_review",
        ):
            continue
        for row in rows(warehouse, "U", name):
            for column, value in row.items():
                if isinstance(value, str) and column not in ids:
                    assert not any("a" <= sign <= "z" for sign in value), (name, column, value)
