"""The table of probabilities: how it is learned, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.calibration import as_calibration, learn_calibration, read_calibration


def sample(rows: int, slope: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(9)
    score = np.rint(random.normal(-1.5, 1.2, rows) * 1e6).astype(np.int64)
    chance = 1 / (1 + np.exp(-slope * score / 1e6))
    return score, (random.random(rows) < chance).astype(float), chance


@pytest.mark.parametrize(("rows", "method"), [(20_000, "isotonic"), (1_500, "platt")])
def test_probabilities_are_recovered(rows: int, method: str) -> None:
    """Either method must give back the probabilities that made the labels, and never 0 or 1."""
    score, label, chance = sample(rows)
    table, used = learn_calibration(score, label, np.ones(rows), np.arange(rows))
    assert used == method and as_calibration(table).equals(table)
    got = read_calibration(table, score)
    assert np.abs(got - chance).mean() < 0.025
    assert got.mean() == pytest.approx(label.mean(), abs=0.005)
    extremes = read_calibration(table, np.array([-(10**12), 10**12]))
    assert 0 < extremes[0] < extremes[1] < 1


def test_isotonic_survives_a_perfect_score() -> None:
    """Where all rows of a part are good, nobody may be promised a probability of exactly 0."""
    label = (np.arange(10_000) >= 8_000).astype(float)
    table, _ = learn_calibration(np.arange(10_000), label, np.ones(10_000), np.arange(10_000))
    probability = table["probability"].to_numpy()
    assert 0 < probability.min() < 0.01 and 0.98 < probability.max() < 1


def test_weights_and_groups_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights change the rate; rows of one enterprise are one positive when the method is chosen."""
    score, label, _ = sample(20_000)
    weights = np.where(label == 1, 1.0, 2.0)
    table, _ = learn_calibration(score, label, weights, np.arange(20_000))
    got = np.average(read_calibration(table, score), weights=weights)
    assert got == pytest.approx(np.average(label, weights=weights), abs=0.003)
    assert learn_calibration(score, label, weights, np.arange(20_000) // 40)[1] == "platt"


def test_a_score_that_misleads_gets_the_plain_rate() -> None:
    """If out of fold a higher score means less risk, the table must not sell it as knowledge."""
    score, label, _ = sample(900, slope=-1.0)
    table, method = learn_calibration(score, label, np.ones(900), np.arange(900))
    assert method == "platt" and len(table) == 1
    assert read_calibration(table, score).mean() == pytest.approx(label.mean(), abs=0.01)


def test_one_score_for_all() -> None:
    """A card without knowledge gives everybody one score: still a table, with the rate in it."""
    label = (np.arange(6_000) % 3 == 0).astype(float)
    for rows in (300, 6_000):
        table, _ = learn_calibration(np.full(rows, -5), label[:rows], np.ones(rows), np.arange(rows))
        assert len(table) == 1 and table["probability"][0] == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "cover every score"),
        ([(0, None, 0.1)], "cover every score"),
        ([(None, 0, 0.1), (1, None, 0.2)], "cover every score"),
        ([(None, 5, 0.1), (5, 5, 0.2), (5, None, 0.3)], "empty step"),
        ([(None, 0, 0.3), (0, None, 0.2)], "falls"),
        ([(None, None, 1.5)], "outside 0..1"),
        ([(None, None, None)], "outside 0..1"),
    ],
)
def test_unsound_tables_are_refused(steps: list[tuple[Any, Any, Any]], message: str) -> None:
    """A hole in the table would leave enterprises without a grade."""
    names = ("micro_lower", "micro_upper", "probability")
    with pytest.raises(BadInput, match=message):
        as_calibration([dict(zip(names, step, strict=True)) for step in steps])
