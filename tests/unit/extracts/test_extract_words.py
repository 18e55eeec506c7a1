"""What a unit reads in its extract: words instead of codes, and nobody else's enterprises."""

from __future__ import annotations

from datetime import date

from extract_warehouse import extract_warehouse

from credit_pipeline.extracts.builder import prepare_extracts, unit_tables
from credit_pipeline.extracts.grade_tables import OTHERS


def evidence() -> list[tuple[str, ...]]:
    """The unit U supervises the enterprises 1 and 2; 3 is another's; both are related to 1."""
    connection = extract_warehouse()
    prepare_extracts(connection, date(2026, 10, 31))
    sql = unit_tables("U", "某局", date(2026, 10, 31))["grade_evidence"]
    return connection.execute(f"select uscc, feed, record_no from ({sql}) order by all").fetchall()


def test_evidence_names_nobody_elses_enterprise() -> None:
    """Prevents an extract from telling a unit whose risk weighs on its enterprise, where it does not supervise it."""
    found = evidence()
    assert [row[2] for row in found if row[1] == "关联关系"] == ["2", OTHERS, OTHERS]
    assert {row[0] for row in found} == {"1"}


def test_evidence_is_in_plain_words() -> None:
    """Prevents feeds and schemes as internal names."""
    assert ("1", "行业信用评价", "纳税信用 2025") in evidence()
