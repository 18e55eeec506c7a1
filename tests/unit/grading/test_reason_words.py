"""Reasons in plain words: one wording for `explain` and for the units' extracts."""

from __future__ import annotations

import csv

import duckdb
import pytest

from credit_pipeline.grading.reason_words import CHANGE_WORDS, VETO_WORDS, sentence, value_words
from credit_pipeline.settings import POLICY_DIR

ROW = "(select '{indicator}' as indicator, '{label}' as label, '{unit}' as unit, {window} as window_months, {value} as indicator_value, {over} as points_over, '{level}' as peer_level)"


def said(expression: str, **facts: object) -> str:
    row = {
        "indicator": "penalty_count_36m", "label": "行政处罚次数", "unit": "count", "window": 36, "value": 2, "over": 830_000,
        "level": "section_size",
    } | facts  # fmt: skip
    answer = duckdb.sql(f"select {expression} from {ROW.format(**row)}").fetchone()
    assert answer is not None
    return str(answer[0])


@pytest.mark.parametrize(
    ("facts", "chinese", "english"),
    [
        (
            {},
            "近36个月内行政处罚次数为2次，风险分比同行业同规模企业平均高0.83分",
            "penalty count: 2 within 36 months; 0.83 risk points above the average of enterprises of the same industry and size",
        ),
        (
            {"indicator": "tax_arrears_fen", "label": "欠税余额", "unit": "fen", "window": "null", "value": 1_234_500_000, "level": "section"},
            "欠税余额为1,234.50万元，风险分比同行业企业平均高0.83分",
            "tax arrears: CNY 12,345,000.00; 0.83 risk points above the average of enterprises of the same industry",
        ),
        (
            {"indicator": "debt_ratio_bp", "label": "资产负债率", "unit": "basis points", "window": "null", "value": 9462, "over": -410_000, "level": "all"},
            "资产负债率为94.62%，风险分比全市企业平均低0.41分",
            "debt ratio: 94.62%; 0.41 risk points below the average of all enterprises of the city",
        ),
        (
            {"label": "近一年处罚次数", "value": "null", "over": 1000},
            "近一年处罚次数无数据，与同行业同规模企业平均相当",
            "penalty count: no data within 36 months; about the average of enterprises of the same industry and size",
        ),
    ],
)  # fmt: skip
def test_a_reason_reads_like_a_sentence(facts: dict[str, object], chinese: str, english: str) -> None:
    """Prevents codes, wrong units and a window said twice in what people read."""
    assert said(sentence("zh"), **facts) == chinese
    assert said(sentence("en"), **facts) == english


@pytest.mark.parametrize(
    ("unit", "value", "chinese", "english"),
    [
        ("months", 18, "18个月", "18 months"),
        ("points", 13, "13分", "13 points"),
        ("level", 3, "第3档", "level 3"),
        ("fen", 200, "0.00万元", "CNY 2.00"),
    ],
)
def test_values_carry_their_unit(unit: str, value: int, chinese: str, english: str) -> None:
    """Prevents fen shown as yuan and basis points shown as percent."""
    assert said(value_words("zh"), unit=unit, value=value) == chinese
    assert said(value_words("en"), unit=unit, value=value) == english


def test_a_number_of_levels_is_not_a_level() -> None:
    """Prevents 「第0档」 for an evaluation that did not drop."""
    assert said(value_words("zh"), unit="level", label="公共信用综合评价下降档数", value=0) == "0档"
    assert said(value_words("en"), unit="level", label="公共信用综合评价下降档数", value=0) == "0 levels"


def test_every_veto_of_the_policy_has_words() -> None:
    """Prevents a veto that people see as a code."""
    with (POLICY_DIR / "vetoes.csv").open(encoding="utf-8") as file:
        vetoes = {row["veto"]: row["label"] for row in csv.DictReader(file)}
    assert {veto: words[0] for veto, words in VETO_WORDS.items()} == vetoes
    assert all(chinese and english for chinese, english in CHANGE_WORDS.values())
