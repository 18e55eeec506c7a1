"""Figures by which a scorecard is judged: discrimination, calibration, stability, each with its uncertainty.

Pure functions of arrays. Here: the arithmetic. Not here: which rows are judged (validation.py) and which figure is good
enough (gates.py, policy).

Rows carry design weights, so every interval is that of a weighted mean: each row's (or each enterprise's) influence is
squared and added. With equal weights the AUC's is DeLong's (DeLong, DeLong and Clarke-Pearson 1988, in the form of Sun
and Xu 2014), the counts behind Jeffreys' test are the plain counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Z95 = 1.959963984540054
PSI_FLOOR = 1e-4
"""Share given to an empty part, so that its logarithm exists."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval and standard error."""

    value: float
    low: float
    high: float
    error: float

    @classmethod
    def of(cls, value: float, error: float, least: float = 0.0, most: float = 1.0) -> Estimate:
        return cls(value, max(least, value - Z95 * error), min(most, value + Z95 * error), error)


def _influences(score: Floats, label: Floats, weights: Floats) -> tuple[float, Floats]:
    """The weighted AUC, and how much each row moves it."""
    order = np.argsort(score, kind="stable")
    s, y, w = score[order], label[order], weights[order]
    _, start, tie = np.unique(s, return_index=True, return_inverse=True)
    good_at = np.add.reduceat(w * (1 - y), start)
    bad_at = np.add.reduceat(w * y, start)
    good, bad = good_at.sum(), bad_at.sum()
    below = (np.cumsum(good_at) - good_at / 2) / good
    above = (bad - np.cumsum(bad_at) + bad_at / 2) / bad
    placed = np.where(y == 1, below[tie], above[tie])
    auc = float((bad_at * below).sum() / bad)
    influence = np.empty_like(placed)
    influence[order] = w * (placed - auc) / np.where(y == 1, bad, good)
    return auc, influence


def _error(influence: Floats, groups: Ints | None) -> float:
    if groups is not None:
        return float(np.sqrt((np.bincount(np.unique(groups, return_inverse=True)[1], influence) ** 2).sum()))
    return float(np.sqrt((influence**2).sum()))


def auc(score: Floats, label: Floats, weights: Floats, groups: Ints | None = None) -> Estimate:
    """Chance that a breaching row scores above a sound one, with DeLong's interval; rows of a group move together.

    Both labels must occur.
    """
    value, influence = _influences(score, label, weights)
    return Estimate.of(value, _error(influence, groups))


def auc_difference(
    score: Floats, other: Floats, label: Floats, weights: Floats, groups: Ints | None = None
) -> Estimate:
    """AUC of `score` less that of `other` on the same rows, with the interval of the paired difference."""
    first, influence = _influences(score, label, weights)
    second, against = _influences(other, label, weights)
    return Estimate.of(first - second, _error(influence - against, groups), -1.0, 1.0)


def kolmogorov_smirnov(score: Floats, label: Floats, weights: Floats) -> float:
    """Largest distance between the score's distributions of breaching and sound rows."""
    order = np.argsort(score, kind="stable")
    last = np.append(np.diff(score[order]) > 0, True)
    bad = np.cumsum((weights * label)[order])[last] / (weights * label).sum()
    good = np.cumsum((weights * (1 - label))[order])[last] / (weights * (1 - label)).sum()
    return float(np.abs(bad - good).max())


def brier(probability: Floats, label: Floats, weights: Floats) -> float:
    """Weighted mean squared error of the probability."""
    return float(np.average((label - probability) ** 2, weights=weights))


@dataclass(frozen=True)
class CalibrationPart:
    """Rows of like probability: what was promised and what was found."""

    probability: float
    rate: float
    share: float
    """Of the weight of all rows."""
    error: float
    """Standard error of the rate if the promise is true, on effective rows."""


def calibration_parts(
    probability: Floats, label: Floats, weights: Floats, parts: int = 10
) -> list[CalibrationPart]:
    """Parts of about equal weight by probability; equal probabilities stay together."""
    order = np.argsort(probability, kind="stable")
    p, y, w = probability[order], label[order], weights[order]
    first = np.append(True, np.diff(p) > 0)
    middle = (np.cumsum(w) - w / 2) / w.sum()
    part = np.minimum((middle[first] * parts).astype(int), parts - 1)[np.cumsum(first) - 1]
    found = []
    for k in np.unique(part):
        some = part == k
        promised = float(np.average(p[some], weights=w[some]))
        effective = float(w[some].sum() ** 2 / (w[some] ** 2).sum())
        found.append(
            CalibrationPart(
                promised,
                float(np.average(y[some], weights=w[some])),
                float(w[some].sum() / w.sum()),
                float(np.sqrt(promised * (1 - promised) / effective)),
            )
        )
    return found


def calibration_error(parts: Sequence[CalibrationPart], beyond: float = 0.0) -> float:
    """ECE: mean distance of promise and observed rate over the parts.

    beyond: standard errors that chance may explain and that do not count; with 0 a small sample looks badly calibrated
    whatever the model (1,000 rows of rate 5 %: 0.02 by chance alone).
    """
    return float(
        sum(one.share * max(0.0, abs(one.probability - one.rate) - beyond * one.error) for one in parts)
    )


@dataclass(frozen=True)
class Rate:
    """An observed rate of breaches, design-weighted, and the plain sample that would be as certain.

    rows: rows seen. effective: rows of a simple sample with the same standard error; at most `rows`.
    """

    rows: int
    breaches: int
    rate: float
    effective: float
    probability: float
    """Mean calibrated probability of the rows, with the same weights."""

    @property
    def low(self) -> float:
        return _jeffreys_bound(self, 0.025)

    @property
    def high(self) -> float:
        return _jeffreys_bound(self, 0.975)


def rate_of(label: Floats, probability: Floats, weights: Floats) -> Rate:
    """The rate of some rows. Effective rows: Kish's (sum w)^2 / sum w^2."""
    if not len(label):
        return Rate(0, 0, 0.0, 0.0, 0.0)
    return Rate(
        len(label),
        int(label.sum()),
        float(np.average(label, weights=weights)),
        float(weights.sum() ** 2 / (weights**2).sum()),
        float(np.average(probability, weights=weights)),
    )


def _jeffreys_bound(rate: Rate, at: float) -> float:
    from scipy.stats import beta

    found = rate.rate * rate.effective
    return float(beta.ppf(at, found + 0.5, rate.effective - found + 0.5))


def jeffreys(rate: Rate) -> float:
    """Jeffreys' test, one-sided: how likely the true rate is at most the promised probability (ECB 2019).

    Small: more was found than promised. On design-weighted effective counts.
    """
    from scipy.stats import beta

    found = rate.rate * rate.effective
    return float(beta.cdf(rate.probability, found + 0.5, rate.effective - found + 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number by Holm's method, in the order given."""
    order = np.argsort(p_values, kind="stable")
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for step, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - step) * p_values[index]))
        adjusted[index] = highest
    return [float(p) for p in adjusted]


def rises(better: Rate, worse: Rate) -> float:
    """One-sided z test of two rates: small when the worse grade's is surely higher (pooled, effective counts)."""
    from scipy.stats import norm

    if not better.effective or not worse.effective:
        return 1.0
    total = better.effective + worse.effective
    pooled = (better.rate * better.effective + worse.rate * worse.effective) / total
    error = np.sqrt(pooled * (1 - pooled) * (1 / better.effective + 1 / worse.effective))
    if error == 0:
        return 1.0
    return float(norm.sf((worse.rate - better.rate) / error))


def shares(part: Ints, parts: int, weights: Floats | None = None) -> Floats:
    """The share of rows in each part."""
    counts = np.bincount(part, weights, minlength=parts).astype(np.float64)
    return counts / counts.sum()


def stability_index(before: Floats, now: Floats) -> float:
    """PSI of two distributions over the same parts; under .10 stable, over .25 another population."""
    b, n = np.maximum(before, PSI_FLOOR), np.maximum(now, PSI_FLOOR)
    return float(((n - b) * np.log(n / b)).sum())


def tenths(before: Floats, now: Floats, parts: int = 10) -> tuple[Floats, Floats]:
    """Shares of two samples in parts cut at the first one's tenths; missing is a part of its own."""
    known = before[~np.isnan(before)]
    cuts = np.unique(np.quantile(known, np.linspace(0, 1, parts + 1)[1:-1])) if len(known) else np.empty(0)

    def placed(values: Floats) -> Floats:
        part = np.where(np.isnan(values), len(cuts) + 1, np.searchsorted(cuts, values, side="left"))
        return shares(part.astype(np.int64), len(cuts) + 2)

    return placed(before), placed(now)
