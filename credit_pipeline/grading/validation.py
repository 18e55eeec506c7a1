"""How good a scorecard is on rows and days it has not seen, and how it moves the enterprises of today.

Here: which rows are the test, and all figures of it as plain JSON values. Not here: what is good enough (gates.py).

Out of time without overlap: the test is the newest labelled snapshot; the trial that is judged learned only from
snapshots whose whole horizon had ended before the test snapshot, so that no day lies in both. Only rows that were drawn
at random with a recorded chance are tested where there are any: the figures then speak for all enterprises. The test
holds each enterprise once, so intervals need no clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from credit_pipeline.grading import measures
from credit_pipeline.grading.measures import Floats, Ints, Rate
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.grading.snapshots import SEGMENTS, months_after

KNOWN_CHANCE = "random"
INSPECTED = ("random", "inspection")


@dataclass(frozen=True)
class Bounds:
    """Upper bounds of the grades' probabilities, best grade first; the last is 1."""

    grades: tuple[str, ...]
    uppers: tuple[float, ...]

    def rank(self, probability: Floats) -> Ints:
        """0 for the best grade."""
        return np.searchsorted(np.array(self.uppers[:-1]), probability, side="left").astype(np.int64)


def bounds_of(rows: pl.DataFrame) -> Bounds:
    """From the policy table grade_bounds."""
    ordered = rows.with_columns(pl.col("rank").cast(pl.Int64)).sort("rank")
    return Bounds(tuple(ordered["grade"]), tuple(ordered["probability_upper"].cast(pl.Float64)))


def known_chance(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows that speak for all enterprises: drawn by recorded chance; all inspected ones when there are none."""
    drawn = frame.filter(pl.col("observed_by") == KNOWN_CHANCE)
    return drawn if drawn.height else frame.filter(pl.col("observed_by").is_in(INSPECTED))


def out_of_time(frame: pl.DataFrame, horizon_months: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows a trial may learn from, and the test: the newest snapshot, and those whose horizon ended by then."""
    days = sorted(frame["as_of_date"].unique())
    if not days:
        return frame, frame
    newest = days[-1]
    over = [day for day in days if months_after(day, horizon_months) <= newest]
    return (
        frame.filter(pl.col("as_of_date").is_in(over)),
        known_chance(frame.filter(pl.col("as_of_date") == newest)),
    )


def can_judge(test: pl.DataFrame) -> bool:
    """Whether the test holds both labels."""
    return test.height > 0 and test["label"].n_unique() == 2


def estimate(found: measures.Estimate) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _rate(found: Rate) -> dict[str, Any]:
    return asdict(found) | {"low": found.low, "high": found.high}


def judge_rows(card: Scorecard, test: pl.DataFrame, bounds: Bounds, minimum_breaches: int) -> dict[str, Any]:
    """All figures of a card on test rows: discrimination, calibration, grades, segments."""
    score, probability = card.score(test), card.probability(test)
    label = test["label"].to_numpy().astype(np.float64)
    weights = test["weight"].to_numpy()
    found = measures.auc(score, label, weights)
    parts = measures.calibration_parts(probability, label, weights)
    portfolio = measures.rate_of(label, probability, weights)
    squared = measures.brier(probability, label, weights)
    constant = portfolio.rate * (1 - portfolio.rate)
    return {
        "rows": test.height,
        "breaches": int(label.sum()),
        "auc": estimate(found),
        "gini": 2 * found.value - 1,
        "ks": measures.kolmogorov_smirnov(score, label, weights),
        "brier": squared,
        "brier_skill": 1 - squared / constant if constant else 0.0,
        "calibration_error": measures.calibration_error(parts),
        "calibration_error_beyond_chance": measures.calibration_error(parts, measures.Z95),
        "calibration": [asdict(part) for part in parts],
        "portfolio": _rate(portfolio) | {"jeffreys": measures.jeffreys(portfolio)},
        **_grades(label, probability, weights, bounds),
        "segments": {
            name: _segments(test[name], score, label, weights, minimum_breaches) for name in SEGMENTS
        },
    }


def _grades(label: Floats, probability: Floats, weights: Floats, bounds: Bounds) -> dict[str, Any]:
    rank = bounds.rank(probability)
    rates = [
        measures.rate_of(label[rank == k], probability[rank == k], weights[rank == k])
        for k in range(len(bounds.grades))
    ]
    seen = [k for k, rate in enumerate(rates) if rate.rows]
    adjusted = dict(zip(seen, measures.holm([measures.jeffreys(rates[k]) for k in seen]), strict=True))
    share = measures.shares(rank, len(rates), weights)
    rows = [
        {
            "grade": grade,
            "upper": upper,
            "share": float(share[k]),
            **(_rate(rates[k]) if k in adjusted else {"rows": 0}),
            **(
                {"jeffreys": measures.jeffreys(rates[k]), "jeffreys_holm": adjusted[k]}
                if k in adjusted
                else {}
            ),
        }
        for k, (grade, upper) in enumerate(zip(bounds.grades, bounds.uppers, strict=True))
    ]
    adjacent = [
        {
            "better": bounds.grades[a],
            "worse": bounds.grades[b],
            "falls": rates[b].rate < rates[a].rate,
            "p": measures.rises(rates[a], rates[b]),
        }
        for a, b in pairwise(seen)
    ]
    return {"grades": rows, "adjacent": adjacent}


def _segments(
    segment: pl.Series, score: Floats, label: Floats, weights: Floats, minimum: int
) -> list[dict[str, Any]]:
    """AUC and rate by the values of a column; small ones without AUC: they would show noise, or an enterprise."""
    names = segment.to_numpy()
    found = []
    for value in sorted(segment.unique().drop_nulls()):
        some = names == value
        y, w = label[some], weights[some]
        enough = y.sum() >= minimum and (1 - y).sum() >= minimum
        found.append(
            {
                "value": value,
                "rows": int(some.sum()),
                "breaches": int(y.sum()) if enough else None,
                "rate": float(np.average(y, weights=w)) if enough else None,
                "auc": estimate(measures.auc(score[some], y, w)) if enough else None,
            }
        )
    return found


def compare(card: Scorecard, other: Scorecard, test: pl.DataFrame) -> dict[str, Any]:
    """Another card's AUC on the same rows, and the paired difference (ours less theirs)."""
    label = test["label"].to_numpy().astype(np.float64)
    weights = test["weight"].to_numpy()
    ours, theirs = card.score(test), other.score(test)
    return {
        "auc": estimate(measures.auc(theirs, label, weights)),
        "difference": estimate(measures.auc_difference(ours, theirs, label, weights)),
    }


def free_boosting_auc(learned: pl.DataFrame, test: pl.DataFrame, names: Sequence[str]) -> dict[str, float]:
    """AUC of boosting without form or direction on the same rows: what the points table gives up for being one."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    names = [name for name in names if learned[name].drop_nulls().n_unique() > 1]
    # Same columns, same weights; the enterprise may stand on both sides of its early stopping, which favours it.
    model = HistGradientBoostingClassifier(
        learning_rate=0.1, max_leaf_nodes=15, min_samples_leaf=30, l2_regularization=1.0, max_iter=300,
        early_stopping=True, random_state=0,
    )  # fmt: skip
    with threadpool_limits(1, user_api="openmp"):
        model.fit(_matrix(learned, names), learned["label"].to_numpy(), learned["weight"].to_numpy())
        score = model.decision_function(_matrix(test, names))
    return estimate(
        measures.auc(score, test["label"].to_numpy().astype(np.float64), test["weight"].to_numpy())
    )


def _matrix(frame: pl.DataFrame, names: Sequence[str]) -> Floats:
    return np.column_stack(
        [frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in names]
    )


def judge_population(
    card: Scorecard, population: pl.DataFrame, bounds: Bounds, champion: Scorecard | None
) -> dict[str, Any]:
    """Today's enterprises against those of a year before: PSI, CSI, concentration; and where they move.

    Grades here are the model's alone, before vetoes and floors.
    """
    days = sorted(population["as_of_date"].unique())
    before, now = (population.filter(pl.col("as_of_date") == day) for day in (days[0], days[-1]))
    rank_before, rank_now = (bounds.rank(card.probability(part)) for part in (before, now))
    parts = len(bounds.grades)
    share = measures.shares(rank_now, parts)
    found: dict[str, Any] = {
        "day": days[-1].isoformat(),
        "compared_with": days[0].isoformat(),
        "rows": now.height,
        "shares": dict(zip(bounds.grades, share.tolist(), strict=True)),
        "shares_before": dict(zip(bounds.grades, measures.shares(rank_before, parts).tolist(), strict=True)),
        "largest_share": float(share.max()),
        "herfindahl": float((share**2).sum()),
        "psi_grades": measures.stability_index(measures.shares(rank_before, parts), share),
        "psi_scores": measures.stability_index(*measures.tenths(card.score(before), card.score(now))),
        "csi": {
            name: measures.stability_index(
                *measures.tenths(_matrix(before, [name])[:, 0], _matrix(now, [name])[:, 0])
            )
            for name in card.features
        },
    }
    if champion is not None and set(champion.features) <= set(now.columns):
        was = bounds.rank(champion.probability(now))
        matrix = np.zeros((parts, parts), dtype=np.int64)
        np.add.at(matrix, (was, rank_now), 1)
        moved = np.abs(was - rank_now)
        found["migration"] = {
            "matrix": matrix.tolist(),
            "moved_two": float((moved >= 2).mean()),
            "moved_one": float((moved == 1).mean()),
            "worse": float((rank_now > was).mean()),
            "better": float((rank_now < was).mean()),
        }
    return found


def snapshots_said(frame: pl.DataFrame) -> Mapping[str, Any]:
    """First, last and number of the snapshots of some rows, with rows, breaches and enterprises."""
    days: list[date] = sorted(frame["as_of_date"].unique())
    return {
        "first": days[0].isoformat() if days else None,
        "last": days[-1].isoformat() if days else None,
        "snapshots": len(days),
        "rows": frame.height,
        "breaches": int(frame["label"].sum() or 0),
        "enterprises": frame["uscc"].n_unique(),
    }
