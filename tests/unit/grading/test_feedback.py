"""Five years of draws: what weights and floors are for (acceptance 5 of the grading issue)."""

from __future__ import annotations

import numpy as np
import pytest

from credit_pipeline.grading.feedback import Year, hajek, make_world, simulate

WORLDS = 12
YEARS = 5


@pytest.fixture(scope="module")
def offices() -> dict[str, list[Year]]:
    """The same worlds and dice for every office."""
    found: dict[str, list[Year]] = {"floor": [], "naive": [], "unweighted": [], "no_floor": []}
    for seed in range(WORLDS):
        world = make_world(12_000, YEARS, seed)
        found["floor"] += simulate(world, floor=0.02, weighted=True)
        found["naive"] += simulate(world, floor=0.0, weighted=False, greedy=True)
        found["unweighted"] += simulate(world, floor=0.02, weighted=False)
        found["no_floor"] += simulate(world, floor=0.0, weighted=True)
    return found


def test_weights_and_floor_keep_the_truth_in_the_interval(offices: dict[str, list[Year]]) -> None:
    """Prevents a design that no longer knows the true breach rate after some years of grading by it."""
    years = offices["floor"]
    assert np.mean([year.covers for year in years]) >= 0.90
    assert np.mean([year.covers_best for year in years]) >= 0.90
    for k in range(1, YEARS + 1):
        some = [year for year in years if year.year == k]
        bias = np.mean([year.estimate - year.truth for year in some])
        assert abs(bias) < 0.08 * np.mean([year.truth for year in some]), f"year {k}"


def test_naive_learning_loses_the_truth(offices: dict[str, list[Year]]) -> None:
    """Prevents trust in the share of found breaches: whoever looks where it is worst finds the worst."""
    for name in ("naive", "unweighted"):
        assert not any(year.covers for year in offices[name])
        assert all(year.estimate > 1.4 * year.truth for year in offices[name])
    assert np.mean([year.covers for year in offices["no_floor"]]) < 0.6, "weights without a floor are biased"
    assert all(np.isnan(year.best_estimate) for year in offices["no_floor"]), "grade A is never drawn"


def test_a_model_learned_with_weights_promises_what_is_true(offices: dict[str, list[Year]]) -> None:
    """Prevents probabilities that speak of the inspected instead of all enterprises; ranking alone would not show it."""
    share = {
        name: np.mean([year.promised for year in years]) / np.mean([year.next_truth for year in years])
        for name, years in offices.items()
    }
    assert 0.93 < share["floor"] < 1.07
    assert share["naive"] > 1.15 and share["unweighted"] > 1.15
    assert np.mean([year.auc for year in offices["floor"]]) > 0.65


def test_hajek_of_an_equal_chance_is_the_share() -> None:
    """Prevents weights that change a simple random sample."""
    label = np.array([1.0, 0, 0, 0] * 50)
    rate, low, high = hajek(label, np.full(200, 10.0), np.full(200, 0.1))
    assert rate == pytest.approx(0.25) and low < 0.25 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 * 0.75 / 200), rel=0.01)
