"""The reading of scikit-learn's trees, on raw values, trap by trap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from credit_pipeline.errors import IntegrityError
from credit_pipeline.grading.collapse import collapse


def fitted(x: np.ndarray, y: np.ndarray, **options: Any) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    settings = {"interaction_cst": "no_interactions", "max_leaf_nodes": 4, "max_iter": 60, "random_state": 0}
    return HistGradientBoostingClassifier(**(settings | options)).fit(x, y)


def total(model: Any, x: np.ndarray) -> np.ndarray:
    read = collapse(model)
    result = np.full(len(x), read.intercept)
    for j, steps in enumerate(read.features):
        result += steps.at(x[:, j] if steps.categories is not None else x[:, j].astype(float))
    return result


def test_numbers_with_gaps_on_and_beside_every_threshold() -> None:
    """Thresholds belong to the left; missing has its own way at each split."""
    random = np.random.default_rng(3)
    x = random.normal(size=(3_000, 3)).round(2)
    x[random.random(x.shape) < 0.1] = np.nan
    y = (np.nan_to_num(x, nan=1.5).sum(axis=1) + random.logistic(size=3_000) > 0).astype(int)
    model = fitted(x, y, monotonic_cst=[1, 0, 1])
    read = collapse(model)
    tried = [x]
    for j, steps in enumerate(read.features):
        t = steps.thresholds
        values = np.concatenate(
            [t, np.nextafter(t, np.inf), np.nextafter(t, -np.inf), [np.nan, np.inf, -np.inf]]
        )
        rows = np.repeat(x[:1], len(values), axis=0)
        rows[:, j] = values
        tried.append(rows)
    rows = np.concatenate(tried)
    assert np.abs(total(model, rows) - model.decision_function(rows)).max() <= 1e-9


def test_missing_against_the_rest() -> None:
    """Where only being absent matters, the threshold is +inf: no cut point, and all numbers go left."""
    random = np.random.default_rng(4)
    x = random.normal(size=(2_000, 1))
    x[random.random(2_000) < 0.3] = np.nan
    y = (random.random(2_000) < np.where(np.isnan(x[:, 0]), 0.8, 0.2)).astype(int)
    model = fitted(x, y, max_leaf_nodes=2, max_iter=10)
    (steps,) = collapse(model).features
    assert any(np.isinf(tree.nodes["num_threshold"]).any() for (tree,) in model._predictors)
    assert np.isfinite(steps.thresholds).all()
    assert steps.missing > steps.points.max() + 1
    rows = np.array([[np.nan], [np.inf], [-np.inf], [0.0]])
    assert np.abs(total(model, rows) - model.decision_function(rows)).max() <= 1e-9


def test_categories_in_the_middle_rare_unseen_and_missing() -> None:
    """The model moves categories to the front, codes them anew, and treats unknown ones as missing."""
    random = np.random.default_rng(5)
    n = 3_000
    x = np.empty((n, 4), dtype=object)
    x[:, 0] = random.normal(size=n)
    x[:, 1] = random.choice(["b", "a", "d", "c"], n)
    x[:, 2] = random.normal(size=n)
    x[:, 3] = random.choice([30.0, 10.0, 20.0, np.nan], n)
    effect = {"a": -1.0, "b": 1.0, "c": 0.0, "d": 2.0}
    signal = x[:, 0].astype(float) + np.array([effect[c] for c in x[:, 1]]) + (x[:, 3] == 20.0)
    y = (signal + random.logistic(size=n) > 1).astype(int)
    x[0, 1] = "rare"
    rest = {"early_stopping": True, "validation_fraction": 0.5}
    for seed in range(4):  # in some of them the rare category is only in the validation part
        model = fitted(x, y, categorical_features=[1, 3], random_state=seed, **rest)
        rows = np.concatenate([x, x[:3]])
        rows[-3, 1], rows[-2, 1], rows[-1, 3] = "unseen", np.nan, 99.0
        assert np.abs(total(model, rows) - model.decision_function(rows)).max() <= 1e-9


def test_an_interaction_is_refused() -> None:
    """A model that combines features has no points table; reading one out of it would be false."""
    random = np.random.default_rng(6)
    x = random.normal(size=(2_000, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(int)
    with pytest.raises(IntegrityError, match="interaction"):
        collapse(fitted(x, y, interaction_cst=None))


def test_a_model_of_nothing_is_its_intercept() -> None:
    """Without a split, all is intercept: leaf-only trees and baseline."""
    x = np.ones((500, 2))
    y = np.arange(500) % 5 == 0
    model = fitted(x, y, max_iter=3)
    read = collapse(model)
    assert read.intercept == pytest.approx(model.decision_function(x[:1])[0], abs=1e-12)
    assert all(len(s.points) == 1 and s.points[0] == s.missing == 0 for s in read.features)
