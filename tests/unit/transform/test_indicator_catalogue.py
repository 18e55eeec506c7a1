"""The catalogue of indicators, and what is written from it."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import polars as pl
import pytest
import yaml

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.settings import DBT_PROJECT_DIR
from credit_pipeline.transform.indicator_catalogue import (
    CATALOGUE_PATH,
    generated_files,
    load_indicators,
)

INDICATORS = load_indicators()
KINDS = [
    "registration",
    "licence",
    "penalty",
    "honour",
    "inspection",
    "complaint",
    "public_opinion",
    "related_party",
    "operation",
    "abnormal_change",
]
GROUPS = {"企业基础属性信息", "企业动态信息", "监管信息", "关联关系信息", "社会评价信息"}


@pytest.mark.parametrize("path", [p for p in generated_files() if p.suffix != ".sql"], ids=lambda p: p.name)
def test_written_files_are_the_catalogue(path: Path) -> None:
    """Prevents descriptions, tests and the page from speaking of other indicators than the catalogue."""
    assert path.read_text(encoding="utf-8") == generated_files()[path], (
        "stale; remedy: python -m credit_pipeline.transform.indicator_catalogue"
    )


def test_the_macro_is_the_catalogue() -> None:
    """Prevents models that compute other indicators than the catalogue describes."""
    text = (DBT_PROJECT_DIR / "macros" / "indicators.sql").read_text(encoding="utf-8")
    facts = ast.literal_eval(text.partition("return(")[2].rpartition(")")[0].strip())
    assert facts == [[i.name, i.feed, i.standardization, i.missing_rule] for i in INDICATORS]


def test_it_covers_what_the_notice_asks_for() -> None:
    """Prevents a kind of information or a group without an indicator, and an indicator of a feed that is none."""
    assert len(INDICATORS) >= 60
    assert {i.group_label for i in INDICATORS} == GROUPS
    assert {i.information_kind for i in INDICATORS} >= {*KINDS, "evaluation"}
    assert {feed for i in INDICATORS for feed in i.source_feeds} <= set(load_catalogue())
    assert any(i.is_safety_relevant for i in INDICATORS)


def test_nothing_negative_counts_beyond_36_months() -> None:
    """Prevents a window longer than the law lets a record count."""
    assert max(i.window_months or 0 for i in INDICATORS) <= 36


def test_a_wrong_value_is_named(tmp_path: Path) -> None:
    """Prevents a typing error of an official from turning an indicator round."""
    text = CATALOGUE_PATH.read_text(encoding="utf-8")
    wrong = tmp_path / "indicators.csv"
    wrong.write_text(text.replace('points,1,36,"3, 12', 'points,0,36,"3, 12'), encoding="utf-8")
    with pytest.raises(BadInput, match=r"penalty_weight has direction '0'"):
        load_indicators(wrong)


def test_every_evidence_view_has_its_indicators() -> None:
    """Prevents an indicator that no evidence view computes."""
    for path in generated_files():
        if path.name == "feed_indicators.yml":
            models = {m["name"]: m for m in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]}
    for indicator in INDICATORS:
        assert indicator.name in {c["name"] for c in models[f"evidence_{indicator.feed}"]["columns"]}
        sql = DBT_PROJECT_DIR / "models" / "indicators" / f"evidence_{indicator.feed}.sql"
        assert sql.exists(), indicator.feed


def test_the_experts_score_as_the_catalogue_says() -> None:
    """Prevents expert points against the direction, and a report kept back that scores better than the best one."""
    with (CATALOGUE_PATH.parent / "expert_scorecard.csv").open(encoding="utf-8", newline="") as file:
        rows = pl.DataFrame(list(csv.DictReader(file)))
    known = {i.name: i for i in INDICATORS}
    for feature in sorted(set(rows["feature"]) - {""}):
        of = rows.filter(pl.col("feature") == feature)
        points = of.filter(pl.col("kind") == "num")["points"].cast(pl.Float64).to_list()
        missing = of.filter(pl.col("kind") == "missing")["points"].cast(pl.Float64).to_list()
        indicator = known[feature]
        assert indicator.in_model, feature
        assert points == sorted(points, reverse=indicator.direction < 0), feature
        assert len(missing) == 1, feature
        if indicator.must_report:
            assert missing[0] >= min(points), feature
