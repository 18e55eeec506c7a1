"""What lets a challenger grade."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.gates import blocking, judge, judge_by
from credit_pipeline.settings import Settings

AUC = {"value": 0.75, "low": 0.72, "high": 0.78}


def grade(name: str, rate: float, p: float) -> dict[str, Any]:
    return {
        "grade": name, "rows": 900, "rate": rate, "probability": rate, "effective": 800.0, "jeffreys_holm": p,
    }  # fmt: skip


SOUND: dict[str, Any] = {
    "champion": None,
    "test": {
        "auc": AUC,
        "grades": [grade("A", 0.01, 0.8), grade("B", 0.03, 0.4), {"grade": "C", "rows": 0}],
        "adjacent": [{"better": "A", "worse": "B", "falls": False, "p": 0.001}],
        "portfolio": {"probability": 0.03, "rate": 0.03, "jeffreys": 0.5},
        "brier": 0.03,
        "brier_skill": 0.05,
        "calibration_error": 0.004,
        "calibration_error_beyond_chance": 0.001,
        "segments": {
            name: [{"value": "x", "auc": AUC}, {"value": "y", "auc": None}]
            for name in ("industry_section", "size_class", "region")
        },
    },
    "free_boosting_auc": AUC,
    "population": {
        "day": "2026-10-31", "compared_with": "2025-10-31", "psi_grades": 0.02, "psi_scores": 0.03,
        "csi": {"age": 0.9}, "largest_share": 0.5, "shares": {"A": 0.5, "B": 0.5},
    },
}  # fmt: skip
DAY = date(2026, 10, 31)


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {verdict.gate: verdict.verdict for verdict in judge(Settings(), DAY, found)}


def test_first_model_needs_no_champion() -> None:
    """Prevents a first model that can never pass, and an indicator's drift from stopping one."""
    found = verdicts(SOUND)
    assert found.pop("auc_gain") == found.pop("migration") == "not applicable"
    assert found.pop("csi_indicators") == "warn", "reported, does not block"
    assert set(found.values()) == {"pass"}


@pytest.mark.parametrize(
    ("place", "value", "gate"),
    [
        (("test", "auc"), {"value": 0.6, "low": 0.5, "high": 0.7}, "auc_floor"),
        (("test", "grades"), [grade("A", 0.05, 0.005), grade("B", 0.06, 0.5)], "jeffreys_grades"),
        (("test", "adjacent"), [{"better": "A", "worse": "B", "falls": True, "p": 0.9}], "grade_order"),
        (("test", "portfolio"), {"probability": 0.02, "rate": 0.03, "jeffreys": 0.0}, "jeffreys_portfolio"),
        (("test", "brier_skill"), -0.01, "brier_skill"),
        (("test", "calibration_error_beyond_chance"), 0.05, "calibration_error"),
        (("population", "psi_scores"), 0.3, "psi_scores"),
        (("population", "largest_share"), 0.9, "concentration"),
        (("test", "segments", "region"), [{"value": "x", "auc": {"value": 0.4, "low": 0.3, "high": 0.45}}], "auc_region"),
    ],
)  # fmt: skip
def test_each_fault_is_caught_by_its_gate(place: tuple[str, ...], value: Any, gate: str) -> None:
    """Prevents a gate that reads nothing."""
    found = copy.deepcopy(SOUND)
    at = found
    for name in place[:-1]:
        at = at[name]
    at[place[-1]] = value
    failed = blocking(judge(Settings(), DAY, found))
    assert [verdict.gate for verdict in failed] == [gate]
    assert failed[0].words and failed[0].figure is not None


def test_promises_that_are_too_high_are_told_and_do_not_block() -> None:
    """Prevents caution beyond reason from passing in silence: Jeffreys' test looks at one side only."""
    found = copy.deepcopy(SOUND)
    found["test"]["portfolio"] = {"probability": 0.04, "rate": 0.03, "jeffreys": 1.0}
    verdicts = {verdict.gate: verdict for verdict in judge(Settings(), DAY, found)}
    assert verdicts["promise_excess"].verdict == "warn" and "+33%" in verdicts["promise_excess"].words
    assert blocking(tuple(verdicts.values())) == []


def test_champion_is_compared() -> None:
    """Prevents a worse model from taking over, and the expert card from standing in the way by being different."""
    worse = {"digest": "d", "kind": "trained", "how": "same rows", "auc": AUC, "difference": {"value": -0.02, "low": -0.03, "high": -0.01}}  # fmt: skip
    moved = {"moved_two": 0.5, "worse": 0.3, "better": 0.3}
    found = SOUND | {"champion": worse, "population": SOUND["population"] | {"migration": moved}}
    assert {v.gate for v in blocking(judge(Settings(), DAY, found))} == {"auc_gain", "migration"}
    expert = worse | {"kind": "expert", "difference": {"value": 0.02, "low": 0.0, "high": 0.04}}
    assert blocking(judge(Settings(), DAY, found | {"champion": expert})) == []


def test_what_cannot_be_judged_does_not_grade() -> None:
    """Prevents a model without a test from grading because no gate could fail."""
    found = SOUND | {"test": None, "not_judged": "no rows"}
    failed = blocking(judge(Settings(), DAY, found))
    assert "auc_floor" in {verdict.gate for verdict in failed} and "no rows" in failed[0].words


def test_policy_mistakes_are_named() -> None:
    """Prevents a gate of policy that the program never looks at."""
    row = {"gate": "auc_flor", "label": "", "measure": "", "better": "higher", "green": "1", "amber": "0", "blocks": "true"}  # fmt: skip
    with pytest.raises(BadInput, match="unknown gate auc_flor"):
        judge_by([row], SOUND)
    with pytest.raises(BadInput, match="auc_floor"):
        judge_by([row | {"gate": "auc_floor", "amber": "2"}], SOUND)
