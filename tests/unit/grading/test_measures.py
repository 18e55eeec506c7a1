"""The figures by which a scorecard is judged, against other people's definitions of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.grading import measures as m


def sample(rows: int, seed: int) -> tuple[m.Floats, m.Floats, m.Floats]:
    random = np.random.default_rng(seed)
    score = np.round(random.normal(size=rows), 1)
    label = (random.random(rows) < 1 / (1 + np.exp(1 - score))).astype(float)
    return score, label, random.uniform(0.5, 8, rows)


def test_auc_is_that_of_scikit_learn_with_ties_and_weights() -> None:
    """Prevents a discrimination figure of our own invention."""
    from sklearn.metrics import roc_auc_score

    score, label, weights = sample(3_000, 1)
    assert m.auc(score, label, weights).value == pytest.approx(
        roc_auc_score(label, score, sample_weight=weights), abs=1e-12
    )


def test_auc_interval_is_that_of_the_bootstrap() -> None:
    """Prevents an interval that promises more than resampling enterprises shows."""
    random = np.random.default_rng(2)
    score, label, weights = sample(1_500, 2)
    other = score + random.normal(size=1_500)
    drawn = []
    for _ in range(400):
        rows = random.integers(0, 1_500, 1_500)
        first, second = (m.auc(values[rows], label[rows], weights[rows]).value for values in (score, other))
        drawn.append((first, first - second))
    errors = np.std(drawn, axis=0)
    assert m.auc(score, label, weights).error == pytest.approx(errors[0], rel=0.12)
    assert m.auc_difference(score, other, label, weights).error == pytest.approx(errors[1], rel=0.12)


def test_rows_of_one_enterprise_are_one_witness() -> None:
    """Prevents twelve snapshots of an enterprise from counting as twelve enterprises."""
    score, label, weights = sample(500, 3)
    once = m.auc(score, label, weights)
    often = [np.tile(values, 12) for values in (score, label, weights)]
    groups = np.tile(np.arange(500), 12)
    assert m.auc(*often, groups).error == pytest.approx(once.error)
    assert m.auc(*often).error == pytest.approx(once.error / np.sqrt(12))


def test_jeffreys_is_one_sided_and_counts_effective_rows() -> None:
    """Prevents a grade that promises too little from passing, and weights from inventing certainty."""
    label = np.r_[np.ones(30), np.zeros(970)]
    equal = m.rate_of(label, np.full(1_000, 0.02), np.ones(1_000))
    assert equal.effective == pytest.approx(1_000) and m.jeffreys(equal) < 0.05
    assert m.jeffreys(m.rate_of(label, np.full(1_000, 0.03), np.ones(1_000))) == pytest.approx(0.5, abs=0.05)
    assert m.jeffreys(m.rate_of(label, np.full(1_000, 0.06), np.ones(1_000))) > 0.99
    uneven = m.rate_of(label, np.full(1_000, 0.02), np.tile([1.0, 9.0], 500))
    assert uneven.effective == pytest.approx(5_000**2 / 41_000)
    assert uneven.low < equal.low < equal.rate < equal.high < uneven.high


def test_holm_keeps_order_and_multiplies() -> None:
    """Prevents five tests from failing a sound model by chance."""
    assert m.holm([0.04, 0.01, 0.5]) == pytest.approx([0.08, 0.03, 0.5])


def test_neighbouring_grades() -> None:
    """Prevents grades that only seem to differ."""
    low, high = (
        m.rate_of(np.r_[np.ones(bad), np.zeros(1_000 - bad)], np.full(1_000, 0.1), np.ones(1_000))
        for bad in (50, 100)
    )
    assert m.rises(low, high) < 0.001 and m.rises(high, low) > 0.999 and m.rises(low, low) == 0.5
    assert m.rises(low, m.rate_of(np.empty(0), np.empty(0), np.empty(0))) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 300))
def test_calibration_parts_hold_everybody_once(seed: int, rows: int) -> None:
    """Prevents enterprises from vanishing between two parts, and equal probabilities from being torn apart."""
    random = np.random.default_rng(seed)
    probability = np.round(random.random(rows), 1)
    label, weights = (random.random(rows) < probability).astype(float), random.uniform(0.1, 5, rows)
    parts = m.calibration_parts(probability, label, weights)
    assert sum(part.share for part in parts) == pytest.approx(1)
    rate = sum(part.share * part.rate for part in parts)
    assert rate == pytest.approx(np.average(label, weights=weights))
    means = [part.probability for part in parts]
    assert means == sorted(means) and len(parts) <= 10


def test_small_samples_are_not_called_badly_calibrated() -> None:
    """Prevents a sound model of a small city from failing by chance, and a wrong one of a large city from passing."""
    random = np.random.default_rng(6)
    for rows, wrong in ((500, 1.0), (50_000, 1.5)):
        probability = random.beta(1, 15, rows)
        label = (random.random(rows) < np.minimum(1, probability * wrong)).astype(float)
        parts = m.calibration_parts(probability, label, np.ones(rows))
        assert m.calibration_error(parts) > 0.01
        assert (m.calibration_error(parts, m.Z95) > 0.01) == (wrong > 1)


def test_stability_index() -> None:
    """Prevents missing values from hiding in a tenth, and an empty part from breaking the figure."""
    random = np.random.default_rng(5)
    before = random.normal(size=5_000)
    assert m.stability_index(*m.tenths(before, random.normal(size=5_000))) < 0.02
    assert m.stability_index(*m.tenths(before, before + 1)) > 0.25
    gone = np.where(random.random(5_000) < 0.5, np.nan, before)
    assert m.stability_index(*m.tenths(before, gone)) > 0.25
    assert m.stability_index(*m.tenths(np.full(9, np.nan), np.full(9, np.nan))) == pytest.approx(0)
