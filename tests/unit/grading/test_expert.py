"""Scorecards written by people: same artefact, and faults named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.grading import Scorecard, expert_scorecard

CALIBRATION: list[dict[str, Any]] = [
    {"micro_lower": None, "micro_upper": -1_000_000, "probability": 0.02},
    {"micro_lower": -1_000_000, "micro_upper": 0, "probability": 0.1},
    {"micro_lower": 0, "micro_upper": None, "probability": 0.4},
]


def row(
    feature: str, kind: str, points: Any, lower: Any = None, upper: Any = None, category: Any = None
) -> dict:
    return {
        "feature": feature,
        "kind": kind,
        "lower": lower,
        "upper": upper,
        "category": category,
        "points": points,
    }


ROWS = [
    row("", "intercept", -1.5),
    row("penalties", "num", 1.0, 0.5, 2.5),
    row("penalties", "num", 0.0, None, 0.5),
    row("penalties", "num", 2.0, 2.5, None),
    row("penalties", "missing", 0.0),
    row("trade", "cat", 0.25, category="餐饮"),
    row("trade", "cat", -0.25, category="零售"),
    row("trade", "missing", 0.0),
]
FRAME = pl.DataFrame(
    {"uscc": [1, 2, 3, 4], "penalties": [0, 1, 9, None], "trade": ["餐饮", "零售", "别的", None]}
)


def test_it_scores_like_any_other(tmp_path: Path) -> None:
    """Without labels the same SQL, file and reasons must work, from the table alone."""
    card = expert_scorecard(ROWS, CALIBRATION, directions={"penalties": 1}, notes={"approved": "2026-01"})
    assert card.micro_score(FRAME).tolist() == [-1_250_000, -750_000, 500_000, -1_500_000]
    assert card.probability(FRAME).tolist() == [0.02, 0.1, 0.4, 0.02]
    result = duckdb.sql(card.to_sql(table="FRAME", key="uscc")).pl().sort("uscc")
    assert result["micro_score"].to_list() == card.micro_score(FRAME).tolist()
    assert Scorecard.load(card.save(tmp_path / "card.json")).digest == card.digest
    assert card.metadata["origin"] == "expert" and card.metadata["notes"] == {"approved": "2026-01"}
    assert card.reasons(FRAME).filter(pl.col("row") == 2)["feature"].to_list() == ["penalties", "trade"]


def test_order_and_spelling_do_not_matter() -> None:
    """Officials sort tables and leave cells empty; the card stays the same."""
    texts = [{k: "" if v is None else str(v) for k, v in r.items()} for r in reversed(ROWS)]
    for text in texts:
        if text["lower"] == "" and text["kind"] == "num":
            text["lower"] = "-inf"
    assert expert_scorecard(texts, reversed(CALIBRATION)).digest == expert_scorecard(ROWS, CALIBRATION).digest
    assert expert_scorecard(pl.DataFrame(ROWS), pl.DataFrame(CALIBRATION)).features == ("penalties", "trade")


def test_reference_can_be_given() -> None:
    """Without training data the best bin is the reference, unless policy names another."""
    assert expert_scorecard(ROWS, CALIBRATION).reference == {"penalties": 0.0, "trade": -0.25}
    card = expert_scorecard(ROWS, CALIBRATION, reference={"penalties": 1.0})
    assert card.reference == {"penalties": 1.0, "trade": -0.25}
    assert card.reasons(FRAME).filter(pl.col("feature") == "penalties")["points"].to_list() == [1.0]


MISSING = row("x", "missing", 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no feature"),
        ([row("x", "num", 0)], "feature x: exactly one row of kind 'missing'"),
        ([row("x", "num", 0), MISSING, MISSING], "exactly one row of kind 'missing' is needed, not 2"),
        ([row("x", "bin", 0), MISSING], "points row 1: kind 'bin' is unknown"),
        ([row("x", "num", "many"), MISSING], "points row 1: points 'many' is not a number"),
        ([row("x", "num", None), MISSING], "points row 1: points must be a number"),
        ([row("x", "num", float("inf")), MISSING], "points row 1: points must be a number within"),
        (
            [row("x", "num", 0, None, 1), row("x", "num", 1, 2, None), MISSING],
            "feature x: gap, no bin covers 1.0 < x",
        ),
        (
            [row("x", "num", 0, None, 2), row("x", "num", 1, 1, None), MISSING],
            "feature x: bins overlap, one ends at 2.0",
        ),
        ([row("x", "num", 0), row("x", "num", 1), MISSING], "feature x: bins overlap"),
        ([row("x", "num", 0, 1, None), MISSING], "gap, no bin covers values up to 1.0"),
        ([row("x", "num", 0, None, 1), MISSING], "gap, no bin covers values over 1.0"),
        ([row("x", "num", 0, None, 1), row("x", "num", 0, 1, 1), MISSING], r"\(1.0, 1.0\] is empty"),
        ([row("x", "num", 0, float("inf"), None), MISSING], "lower inf leaves an empty bin"),
        ([row("x", "cat", 0), MISSING], "must name its category"),
        (
            [row("x", "cat", 0, category="a"), row("x", "cat", 1, category="a"), MISSING],
            "category a appears more",
        ),
        ([row("x", "cat", 0, category="a"), row("x", "num", 0), MISSING], "both 'num' and 'cat'"),
        ([row("", "num", 0), row("", "missing", 0)], "names no feature"),
        ([row("x", "intercept", 0), row("x", "num", 0), MISSING], "exactly one row of kind 'intercept'"),
        ([*ROWS, row("", "intercept", 0)], "exactly one row of kind 'intercept'"),
        ([row("x", "num", 0), MISSING, row("X", "num", 0), row("X", "missing", 0)], "differ only in case"),
    ],
)
def test_faults_are_named(rows: list[dict], message: str) -> None:
    """A gap leaves enterprises ungraded, an overlap grades by row order: both must stop, and say where."""
    with pytest.raises(BadInput, match=message):
        expert_scorecard(rows, CALIBRATION)


def test_directions_and_references_are_checked() -> None:
    """Points that fall where risk rises, or settings for a feature that is not there, are slips."""
    with pytest.raises(BadInput, match="points of penalties go against"):
        expert_scorecard(ROWS, CALIBRATION, directions={"penalties": -1})
    with pytest.raises(BadInput, match="name fines, which has no points"):
        expert_scorecard(ROWS, CALIBRATION, directions={"fines": 1})
    with pytest.raises(BadInput, match="name fines"):
        expert_scorecard(ROWS, CALIBRATION, reference={"fines": 1})
