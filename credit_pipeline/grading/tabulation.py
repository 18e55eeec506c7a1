"""From fitted models to the rows of a points table.

Here: the points of all seeds, the nuisance columns taken out, the rule on missing values, and the rows. Not
here: fitting (fitting.py), the rules of the table itself (points_table.py).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from credit_pipeline.grading.bins import Floats, Ints
from credit_pipeline.grading.training_data import Column, Sample


@dataclass(frozen=True, eq=False)
class Table:
    """What the models collapse to, seed by seed: an intercept, and per column points by bin, missing last."""

    intercepts: Floats
    points: tuple[Floats, ...]  # each of shape (seeds, bins + 1)

    @property
    def intercept(self) -> float:
        """The mean intercept over the seeds."""
        return float(self.intercepts.mean())

    def means(self) -> list[Floats]:
        """The mean points over the seeds, one array per column."""
        return [points.mean(axis=0) for points in self.points]

    def mean_at(self, positions: Ints) -> Floats:
        """Mean log-odds over the seeds of rows given by their positions in the bins."""
        total = np.full(len(positions), self.intercept)
        for j, points in enumerate(self.means()):
            total += points[positions[:, j]]
        return total


def references(table: Table, sample: Sample) -> list[float]:
    """The weighted mean points of every column over the training rows."""
    return [
        float(np.average(points[at], weights=sample.weights))
        for points, at in zip(table.means(), sample.positions.T, strict=True)
    ]


def drop_nuisance(table: Table, sample: Sample, columns: Sequence[Column]) -> Table:
    """Nuisance columns at their weighted mean, which moves to the intercept; their points become 0."""
    intercepts, points = table.intercepts.copy(), list(table.points)
    for j, column in enumerate(columns):
        if column.nuisance:
            intercepts += np.average(points[j][:, sample.positions[:, j]], axis=1, weights=sample.weights)
            points[j] = np.zeros_like(points[j])
    return replace(table, intercepts=intercepts, points=tuple(points))


def edit_missing(
    table: Table, sample: Sample, columns: Sequence[Column], must_report: Collection[str]
) -> tuple[Table, list[dict[str, Any]]]:
    """Raise missing to the best observed bin where hiding data would pay; what was changed is recorded."""
    points, edits = list(table.points), []
    for j, (column, mean) in enumerate(zip(columns, table.means(), strict=True)):
        observed = np.bincount(sample.positions[:, j], minlength=len(mean))[:-1] > 0
        if column.name not in must_report or not observed.any():
            continue
        best = np.flatnonzero(observed)[mean[:-1][observed].argmin()]
        if mean[-1] < mean[best]:
            points[j] = points[j].copy()
            points[j][:, -1] = points[j][:, best]
            edits.append(
                {
                    "feature": column.name,
                    "rule": "missing scores no better than the best observed bin",
                    "learned_points": float(mean[-1]),
                    "points": float(mean[best]),
                }
            )
    return replace(table, points=tuple(points)), edits


def points_rows(table: Table, sample: Sample, columns: Sequence[Column]) -> list[dict[str, Any]]:
    """The rows of the points table; neighbouring bins that no seed tells apart become one."""
    error = _standard_error(table.intercepts[:, None])[0]
    rows = [_row("", "intercept", table.intercept, error, len(sample.label))]
    for j, (column, mean) in enumerate(zip(columns, table.means(), strict=True)):
        if column.nuisance:
            continue
        points = table.points[j]
        errors = _standard_error(points)
        counts = np.bincount(sample.positions[:, j], minlength=len(mean))
        last = len(mean) - 1
        if column.bins.edges is None:
            for k, category in enumerate(column.bins.categories or ()):
                rows.append(_row(column.name, "cat", mean[k], errors[k], counts[k], category=category))
        else:
            cuts = np.flatnonzero((np.diff(points[:, :-1], axis=1) != 0).any(axis=0))
            bounds = [None, *column.bins.edges[cuts].tolist(), None]
            totals = np.add.reduceat(counts[:-1], np.append(0, cuts + 1))
            for i, k in enumerate(np.append(cuts, last - 1)):
                where = {"lower": bounds[i], "upper": bounds[i + 1]}
                rows.append(_row(column.name, "num", mean[k], errors[k], totals[i], **where))
        rows.append(_row(column.name, "missing", mean[last], errors[last], counts[last]))
    return rows


def _standard_error(points: Floats) -> Floats:
    """Of the mean over the seeds, for each bin; NaN for one seed."""
    seeds = len(points)
    if seeds == 1:
        return np.full(points.shape[1], np.nan)
    spread: Floats = points.std(axis=0, ddof=1)
    return spread / float(np.sqrt(seeds))


def _row(feature: str, kind: str, points: float, error: float, count: int, **where: Any) -> dict[str, Any]:
    return {
        "feature": feature,
        "kind": kind,
        "points": float(points),
        "n_train": int(count),
        "standard_error": float(error),
        **where,
    }
