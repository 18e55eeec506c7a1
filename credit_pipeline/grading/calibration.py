"""From a score to a probability: a small table of steps over the micro score, so that SQL can do it exactly.

Here: the learning, checking and reading of that table. Not here: the scores it is learned from (they must be
out of fold, fitting.py sees to that) and the bounds of the grades (policy).

A step is (micro_lower, micro_upper, probability) and holds for micro_lower < micro_score <= micro_upper; an
open end is NULL. Probabilities never fall from step to step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.bins import Floats, Ints

SCHEMA = {"micro_lower": pl.Int64, "micro_upper": pl.Int64, "probability": pl.Float64}
MICRO = 1_000_000

# Measured on 60,000 held-out rows: Platt missed grade D (18.7 % predicted, 21.9 % observed), isotonic steps
# did not; below about 1,000 positives the steps follow noise.
ISOTONIC_FROM_POSITIVES = 1_000
CELLS = 200  # equal parts by rows, so that a step rests on 5 breaches or more on average
PLATT_STEP = 0.05  # log-odds between two steps: at most 0.6 points of probability lost
PLATT_MAX_STEPS = 400


def learn_calibration(
    micro_score: Ints, label: Floats, weights: Floats, groups: Ints
) -> tuple[pl.DataFrame, str]:
    """The calibration table and the method that made it ('isotonic' or 'platt').

    `micro_score` must come from scorecards that did not see the row. Isotonic from 1,000 positives on,
    Platt's sigmoid below; one group (enterprise) in many snapshots is one positive.
    """
    weights = weights / weights.mean()
    if len(np.unique(groups[label == 1])) >= ISOTONIC_FROM_POSITIVES:
        return _isotonic(micro_score, label, weights), "isotonic"
    return _platt(micro_score, label, weights), "platt"


def _isotonic(micro_score: Ints, label: Floats, weights: Floats) -> pl.DataFrame:
    from sklearn.isotonic import isotonic_regression

    distinct, row_of = np.unique(micro_score, return_inverse=True)
    rows_up_to = np.cumsum(np.bincount(row_of))
    cell_of = np.unique((rows_up_to - 1) * CELLS // len(label), return_inverse=True)[1]
    weight = np.bincount(cell_of[row_of], weights)
    bad = np.bincount(cell_of[row_of], weights * label)
    # Each cell gets one more row of average risk: the total stays what it was, and nobody is promised 0 or 1.
    rate = (bad + bad.sum() / weight.sum()) / (weight + 1)
    risen = isotonic_regression(rate, sample_weight=weight + 1)

    probability = risen[cell_of]
    ends = np.flatnonzero(np.diff(probability) > 0)
    uppers = (distinct[ends] + distinct[ends + 1]) // 2
    return _table(uppers, np.append(probability[ends], probability[-1]))


def _platt(micro_score: Ints, label: Floats, weights: Floats) -> pl.DataFrame:
    intercept, slope = _sigmoid_fit(micro_score / MICRO, label, weights)
    if slope <= 0:  # out of fold, a higher score does not mean more risk: all the table may say is the rate
        return _table(np.empty(0, dtype=np.int64), np.array([np.average(label, weights=weights)]))
    low, high = int(micro_score.min()), int(micro_score.max())
    steps = int(np.clip(np.ceil(slope * (high - low) / MICRO / PLATT_STEP), 1, PLATT_MAX_STEPS))
    bounds = np.unique(np.rint(np.linspace(low, high, steps + 1)).astype(np.int64))
    middles = (bounds[:-1] + bounds[1:]) / 2 / MICRO if len(bounds) > 1 else bounds / MICRO
    return _table(bounds[1:-1], 1 / (1 + np.exp(-(intercept + slope * middles))))


def _sigmoid_fit(score: Floats, label: Floats, weights: Floats) -> tuple[float, float]:
    """Platt's sigmoid with his softened targets, by Newton's method; (intercept, slope) on the score."""
    bad, good = float(weights @ label), float(weights @ (1 - label))
    target = np.where(label == 1, (bad + 1) / (bad + 2), 1 / (good + 2))
    design = np.column_stack([np.ones_like(score), score - score.mean()])
    beta = np.array([np.log((bad + 1) / (good + 1)), 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-(design @ beta)))
        slope = design.T @ (weights * (target - p))
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, slope).clip(-1, 1)
        beta = beta + step
        if np.abs(step).max() < 1e-10:
            break
    return float(beta[0] - beta[1] * score.mean()), float(beta[1])


def _table(uppers: Ints, probability: Floats) -> pl.DataFrame:
    bounds = [None, *uppers.tolist(), None]
    return pl.DataFrame(
        {"micro_lower": bounds[:-1], "micro_upper": bounds[1:], "probability": probability}, schema=SCHEMA
    )


def as_calibration(steps: pl.DataFrame | Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """A calibration table, checked: steps without gap or overlap, probabilities in 0..1 that never fall."""
    if not isinstance(steps, pl.DataFrame):
        steps = pl.DataFrame([{name: row.get(name) for name in SCHEMA} for row in steps], schema=SCHEMA)
    lacking = [name for name in SCHEMA if name not in steps.columns]
    if lacking:
        raise BadInput(f"the calibration table lacks the column {', '.join(lacking)}")
    table = steps.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
    table = table.sort("micro_lower", nulls_last=False)
    lowers, uppers = table["micro_lower"].to_list(), table["micro_upper"].to_list()
    if not lowers or lowers[0] is not None or uppers[-1] is not None or lowers[1:] != uppers[:-1]:
        raise BadInput(
            "the calibration table must cover every score once: the first micro_lower and the last "
            "micro_upper empty, each micro_upper equal to the next micro_lower"
        )
    bounds = uppers[:-1]
    if None in bounds or any(a >= b for a, b in pairwise(bounds)):
        raise BadInput("the calibration table has an empty step: bounds must rise from step to step")
    probability = table["probability"].to_numpy()
    if not ((probability >= 0) & (probability <= 1)).all():
        raise BadInput("the calibration table holds a probability outside 0..1")
    if (np.diff(probability) < 0).any():
        raise BadInput("the calibration table falls: a higher score must not have a lower probability")
    return table


def read_calibration(calibration: pl.DataFrame, micro_score: Ints) -> Floats:
    """The probability of each micro score."""
    uppers = calibration["micro_upper"].to_numpy()[:-1].astype(np.int64)
    return calibration["probability"].to_numpy()[np.searchsorted(uppers, micro_score, side="left")]
