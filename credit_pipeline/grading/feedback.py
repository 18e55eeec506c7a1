"""What draws by grade do to what is known: five years of inspections simulated on enterprises whose truth is known.

Here: the simulation, and two ways to estimate from it. It proves the method (docs/model.md, tests); the pipeline itself
does not run it.

Each year every enterprise has a true chance that an inspection finds a serious breach: a part that indicators show and
a part that only inspections ever see; both drift. The office grades by the model of last year, inspects a part of each
grade (bad grades more) at random, and learns from what it found. Two offices share the same enterprises and dice:

with floor: every enterprise has at least `floor` chance a year, in the best grade too; the chance is recorded and rates
are estimated by design weights (Hájek), the model learns with weight min(1 / chance, limit).
naive: the worst by the model's score until the inspectors' days are used up, no floor; the rate is the share of found
breaches, the model learns without weights.

Besides, leads (complaints) bring visits to enterprises that hide what no indicator shows; nobody knows their chance. With
weights they stay out of rates and base rates, the naive office takes them as one more visit.

Sources: Horvitz and Thompson 1952; Hájek 1971; scorecard.md §5 (measured there on real labels).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from credit_pipeline.grading.measures import Z95, Floats

GRADE_SHARES = (0.30, 0.35, 0.20, 0.10, 0.05)
"""A to E by the order of the model's score."""
GRADE_RATIOS = (0.0, 0.05, 0.15, 0.30, 0.60)
"""Yearly ratio of inspection by grade before the floor: A left alone, B 5 % (notice), the rest policy."""
LEAD_RATE, LEAD_SLOPE = 0.05, 1.2
"""Visits for a lead: 5 % of the enterprises a year, the more the worse what no indicator shows."""


@dataclass(frozen=True)
class Year:
    """One year of one office. Rates are shares of all enterprises (or of grade A) that a visit would find in breach."""

    year: int
    inspected: int
    found: int
    truth: float
    estimate: float
    low: float
    high: float
    best_truth: float
    """The same for the best grade."""
    best_estimate: float
    """NaN when nobody of the best grade was visited."""
    best_low: float
    best_high: float
    promised: float
    """Mean probability that the model learned by then gives to all enterprises of the next year."""
    next_truth: float
    """What it should be."""
    auc: float
    """Of that model, against the truth of all enterprises of the next year."""

    @property
    def covers(self) -> bool:
        return self.low <= self.truth <= self.high

    @property
    def covers_best(self) -> bool:
        return self.best_low <= self.best_truth <= self.best_high


@dataclass(frozen=True)
class World:
    """Enterprises: three indicators and what nobody sees, by year."""

    shown: tuple[NDArray[np.float64], ...]
    chance: tuple[Floats, ...]
    fails: tuple[NDArray[np.bool_], ...]
    dice: tuple[Floats, ...]
    leads: tuple[NDArray[np.bool_], ...]
    """Who is visited because of a lead."""


def make_world(enterprises: int, years: int, seed: int) -> World:
    """A world that drifts, and of whose risk the indicators tell about two thirds."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=enterprises)
    columns = random.normal(size=(enterprises, 3))
    shown, chance, fails, dice, leads = [], [], [], [], []
    for year in range(years + 1):
        # What an indicator tells changes with time: breaches move from what the first shows to what the third shows.
        turn = np.pi / 2 * year / years
        risk = (
            np.cos(turn) * columns[:, 0] + 0.5 * columns[:, 1] + np.sin(turn) * columns[:, 2] + 0.7 * hidden
        )
        odds = -3.2 + 0.9 * risk
        shown.append(columns.copy())
        chance.append(1 / (1 + np.exp(-odds)))
        fails.append(random.random(enterprises) < chance[-1])
        dice.append(random.random(enterprises))
        leads.append(random.random(enterprises) < LEAD_RATE * np.exp(LEAD_SLOPE * hidden - LEAD_SLOPE**2 / 2))
        columns = 0.9 * columns + np.sqrt(1 - 0.81) * random.normal(size=columns.shape)
        hidden = 0.9 * hidden + np.sqrt(1 - 0.81) * random.normal(size=enterprises)
    return World(tuple(shown), tuple(chance), tuple(fails), tuple(dice), tuple(leads))


def simulate(
    world: World, *, floor: float, weighted: bool, greedy: bool = False, limit: float = 20.0
) -> list[Year]:
    """The years of one office. floor: least chance of every enterprise; greedy: worst scores first, nothing at random."""
    score = world.shown[0] @ np.array([1.0, 0.5, 0.0])  # the expert card of the first year
    told: list[Year] = []
    learned: list[tuple[NDArray[np.float64], Floats, Floats]] = []
    for year in range(len(world.shown) - 1):
        grade = _grades(score)
        planned = np.maximum(np.array(GRADE_RATIOS)[grade], floor)
        if greedy:
            visits = round(float(planned.sum()))
            chance = np.zeros_like(planned)
            chance[np.argsort(-score, kind="stable")[:visits]] = 1.0
        else:
            chance = planned
        visited = world.dice[year] < chance
        if not weighted:
            visited |= world.leads[year]
            chance = np.where(visited, np.maximum(chance, floor), chance)
        label = world.fails[year][visited].astype(np.float64)
        weight = 1 / chance[visited] if weighted else np.ones(int(visited.sum()))
        estimate, low, high = hajek(label, weight, chance[visited])
        best = grade[visited] == 0
        in_best = hajek(label[best], weight[best], chance[visited][best])
        learned.append((world.shown[year][visited], label, np.minimum(weight, limit)))
        score = _model(learned[-2:], world.shown[year + 1])
        told.append(
            Year(
                year + 1, int(visited.sum()), int(label.sum()), float(world.chance[year].mean()), estimate, low, high,
                float(world.chance[year][grade == 0].mean()), *in_best, float((1 / (1 + np.exp(-score))).mean()),
                float(world.chance[year + 1].mean()), _auc(score, world.chance[year + 1]),
            )
        )  # fmt: skip
    return told


def hajek(label: Floats, weight: Floats, chance: Floats) -> tuple[float, float, float]:
    """Rate among all from those visited, with its 95 % interval: (estimate, low, high); NaN without a visit.

    Error by linearisation for Poisson sampling; the part that the truth itself scatters about its mean is added, so that
    the interval speaks of the chance of a breach and not of this year's dice.
    """
    if not len(label):
        return float("nan"), float("nan"), float("nan")
    size = weight.sum()
    rate = float((weight * label).sum() / size)
    residual = weight * (label - rate)
    error = float(np.sqrt((residual**2 * (1 - chance)).sum() + (residual**2 * chance).sum())) / float(size)
    if label.sum() in (0, len(label)):  # no scatter to measure: the rule of three
        error = max(error, 3 / len(label) / Z95)
    return rate, max(0.0, rate - Z95 * error), min(1.0, rate + Z95 * error)


def _grades(score: Floats) -> NDArray[np.int64]:
    order = np.argsort(np.argsort(score, kind="stable"), kind="stable") / len(score)
    return np.searchsorted(np.cumsum(GRADE_SHARES)[:-1], order, side="right").astype(np.int64)


def _model(learned: list[tuple[NDArray[np.float64], Floats, Floats]], columns: NDArray[np.float64]) -> Floats:
    """Next year's score: logistic regression on the visits of the last two years."""
    x = np.concatenate([part[0] for part in learned])
    y = np.concatenate([part[1] for part in learned])
    w = np.concatenate([part[2] for part in learned])
    design = np.column_stack([np.ones(len(x)), x])
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-(design @ beta)))
        slope = design.T @ (w * (y - p)) - 1e-3 * beta
        curvature = (design * (w * p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(len(beta))
        beta = beta + np.linalg.solve(curvature, slope).clip(-2, 2)
    return np.column_stack([np.ones(len(columns)), columns]) @ beta


def _auc(score: Floats, chance: Floats) -> float:
    """AUC expected over the truth: every enterprise counts as breaching with its chance, as sound with the rest."""
    order = np.argsort(score, kind="stable")
    bad, good = chance[order], 1 - chance[order]
    return float((bad * (np.cumsum(good) - good / 2)).sum() / (bad.sum() * good.sum()))
