"""What an explanation says of records and of points: true, in plain words, with units."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from rich.console import Console

from credit_pipeline.audit.explain_render import render_explanation
from credit_pipeline.audit.explain_words import RISK_WORDS, fact_words, record_words, status_words, words_of

PLACE = {"source_file": "f.csv", "source_sheet": None, "source_row": 2}


@pytest.mark.parametrize(
    ("feed", "column", "value", "chinese", "english"),
    [
        ("operations", "tax_arrears_fen", 1_080_000, "1.08万元", "CNY 10,800.00"),
        ("operations", "is_assets_published", True, "是", "yes"),
        ("registrations", "status", "active", "存续", "active"),
        ("inspection_results", "result_codes", "corrected|quality", "发现问题已责令改正、质量", "corrected, quality"),
        ("penalties", "penalty_kinds", "fine|warning", "罚款、警告", "fine, warning"),
        ("operations", "employee_count", 6, "6", "6"),
    ],
)  # fmt: skip
def test_facts_have_units_and_words(feed: str, column: str, value: Any, chinese: str, english: str) -> None:
    """Prevents fen read as yuan, and codes and True where words belong."""
    assert fact_words(feed, column, value, "zh", {"quality": "质量"}) == chinese
    assert fact_words(feed, column, value, "en") == english


def test_why_there_is_no_grade() -> None:
    """Prevents 'not graded: status active' for an individual business, and a status as a code."""
    business = {"is_gradable_kind": False, "subject_kind": "individual_business", "status": "active"}
    kinds = {"individual_business": "个体工商户"}
    assert status_words(business, kinds, "zh") == "主体类别为个体工商户，不属于定级范围"
    assert status_words(business, kinds, "en") == "its kind, individual business, is not graded"
    gone = {"is_gradable_kind": True, "subject_kind": "enterprise", "status": "cancelled"}
    assert status_words(gone, kinds, "zh") == "登记状态为注销"


def test_relations_in_words() -> None:
    """Prevents the flags of a related enterprise from being read as codes."""
    assert words_of("listed revoked ", RISK_WORDS, "zh") == "列入名录名单、吊销"
    assert words_of(None, RISK_WORDS, "en") == ""


def test_record_numbers_made_of_codes() -> None:
    """Prevents `tax 2025` as the number of a rating."""
    assert record_words("industry_ratings", "tax 2025", "zh") == "纳税信用 2025"
    assert record_words("registration_changes", "address 1", "zh") == "住所变更 1"
    assert record_words("penalties", "宛市监处罚 1号", "zh") == "宛市监处罚 1号"
    assert record_words("industry_ratings", "tax 2025", "en") == "tax 2025"


def explained(language: str) -> str:
    def record(event: date, end: date, contribution: int) -> dict[str, Any]:
        return {"feed": "inspection_results", "record_no": "SC1", "event_date": event, "effect_end": end,
                "contribution": contribution, **PLACE}  # fmt: skip

    problem = {
        "indicator": "inspection_problem_weight", "label": "抽查检查问题分", "value": 5, "value_text": "5分", "micro_points": 900_000,
        "norm_micro": -61_000, "points_over": 961_000, "sentence": "近24个月内抽查检查问题分为5分",
        "records": [record(date(2026, 9, 28), date(2028, 9, 28), 0), record(date(2025, 1, 18), date(2027, 1, 18), 5)],
    }  # fmt: skip
    ended = {
        "record_no": "〔2026〕2号", "event_date": date(2026, 6, 10), "effect_end": date(2026, 9, 10), "in_objection": False,
        "contributions": {}, "contribution_words": {}, "weighs_in": ["negative_count_12m"], "facts": {}, "others": {}, **PLACE,
    }  # fmt: skip
    found: dict[str, Any] = {
        "uscc": "91411300430430019G", "as_of_date": date(2026, 10, 31), "notice": "内部资料", "language": language, "labels": {},
        "enterprise": {"enterprise_name": "某厂"}, "compared": None, "known_later": [], "platform_grade": "D", "grade_label": "D失信",
        "probability": 0.2, "data_completeness": 5, "vetoes": [], "points": [problem], "intercept_micro": -3_600_400,
        "score_micro": -2_700_400, "records": {"penalties": [ended]}, "no_longer": [], "awaiting": [], "missing": [], "changes": [],
        "affected": [], "units": [], "unit_names": {}, "system_labels": {"environment": "生态环境分类指标体系"}, "result_labels": {},
        "steps": [
            {"step": "data_poor", "step_no": 3, "unit_id": None, "grade_before": "D", "grade_after": "D",
             "rule": "insufficient_data", "detail": "kinds_of_information=2"},
            {"step": "unit_system", "step_no": 7, "unit_id": "411300EE", "grade_before": "D", "grade_after": "D", "rule": "equal",
             "detail": "system=environment; score_bp=1; system_grade=D; combination=one_step"},
        ],
    }  # fmt: skip
    page = io.StringIO()
    render_explanation(found, Console(file=page, width=200))
    return page.getvalue()


def test_a_reason_ends_when_its_last_weighing_record_ends() -> None:
    """Prevents a clean inspection (no points) from prolonging the effect of a problem found before it."""
    assert "影响至 2027-01-17" in explained("zh") and "2028" not in explained("zh")
    assert "weighs until 2027-01-17" in explained("en")


def test_the_page_adds_up_to_the_score() -> None:
    """Prevents points whose way to the score and the probability is not shown."""
    page = explained("zh")
    for line, value in (("各指标得分合计", "+0.900"), ("起点分", "-3.600"), ("总分", "-2.700")):
        assert any(line in row and value in row for row in page.splitlines()), line
    assert "-0.000" not in page


def test_a_record_without_points_says_what_it_counts_for() -> None:
    """Prevents an ended penalty among the records that count without a word why, as if it still had points."""
    page = explained("zh")
    assert "不计分，计入近12个月不良记录数" in page and "计分的影响期已满，最后一日 2026-09-09" in page


def test_the_steps_say_no_codes_and_nothing_false() -> None:
    """Prevents system and combination as codes, and 'neutral grade' said of an enterprise that stays worse."""
    page = explained("zh")
    assert "生态环境分类指标体系" in page and "至多移动一级" in page
    assert "one_step" not in page and "environment" not in page
    assert "不得优于中性等级" in page and "按中性等级" not in page
