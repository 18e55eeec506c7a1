"""What a unit reads in its extract: words instead of codes, and nobody else's enterprises."""

from __future__ import annotations

from datetime import date

import duckdb

from credit_pipeline.extracts.builder import OTHERS, prepare_extracts, unit_tables


def evidence() -> list[tuple[str, ...]]:
    """The unit U supervises the enterprises 1 and 2; 3 is another's; both are related to 1."""
    connection = duckdb.connect()
    connection.execute("""
        create schema grading; create schema enterprises; create schema policy;
        create table enterprises.enterprise_units as
            select * from (values ('U', '1'), ('U', '2'), ('V', '3')) as u(unit_id, uscc);
        create table policy.indicators as
            select 'risky_related_bp' as indicator, '关联企业风险占比' as label, 'basis points' as unit, null::bigint as window_months,
                date '2015-01-01' as effective_from, date '9999-12-31' as effective_to;
        create table grading.grade_history (uscc varchar, old_grade varchar, new_grade varchar, as_of_date date, reason varchar);
        create table grading.grade_vetoes (uscc varchar, label varchar, record_no varchar, event_date date, veto_grade varchar, veto varchar);
        create table grading.grade_evidence as
            select x.uscc, 'risky_related_bp' as indicator, x.feed, x.record_no, date '2026-01-01' as event_date,
                null::date as effect_end, 'f.csv' as source_file, null::varchar as source_sheet, 2 as source_row,
                date '2026-10-31' as ingest_date
            from (values ('1', 'related_parties', '2'), ('1', 'related_parties', '3'), ('1', 'related_parties', 'P589'),
                ('1', 'industry_ratings', 'tax 2025'), ('3', 'penalties', '〔2026〕1号')) as x(uscc, feed, record_no);
    """)
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
