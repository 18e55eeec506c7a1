"""A scorecard written by people, for as long as there are no labels to learn from.

Here: turning policy rows into the same artefact that a fit makes. Not here: the policy itself (dbt seeds).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.calibration import as_calibration
from credit_pipeline.grading.points_table import as_points_table, parse
from credit_pipeline.grading.scorecard import Scorecard


def expert_scorecard(
    rows: pl.DataFrame | Iterable[Mapping[str, Any]],
    calibration: pl.DataFrame | Iterable[Mapping[str, Any]],
    *,
    directions: Mapping[str, int] | None = None,
    reference: Mapping[str, float] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Scorecard:
    """A scorecard from policy rows.

    rows: feature, kind ('num', 'cat', 'missing', one 'intercept' if not 0), lower, upper, category, points;
    points are log-odds, bins are lower < x <= upper and must cover every number once; every feature says what
    missing scores. calibration: micro_lower, micro_upper, probability over points * 1e6.
    directions: +1 or -1 per feature; the bins are checked against it. reference: points per feature that
    reasons are measured against; without it, the best bin of each feature.
    Raises BadInput naming the feature and the fault.
    """
    table = as_points_table(rows)
    features = parse(table)[2]
    names = {f.feature for f in features}
    for argument in (directions or {}, reference or {}):
        unknown = sorted(set(argument) - names)
        if unknown:
            raise BadInput(f"directions or reference name {', '.join(unknown)}, which has no points")
    card = Scorecard(
        table,
        as_calibration(calibration),
        {f.feature: float(f.points.min()) for f in features} | dict(reference or {}),
        {"origin": "expert", "directions": dict(directions or {}), "edits": [], "notes": dict(notes or {})},
    )
    falling = card.monotone_violations()
    if falling:
        raise BadInput(f"the points of {', '.join(falling)} go against the direction given for it")
    return card
