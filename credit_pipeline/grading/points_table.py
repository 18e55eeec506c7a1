"""The points table: its columns, its rules, and its reading into one array of points per feature.

Here: the shape of the table and every check on it, whoever made it (a fit, an expert, a file). Not here: what
is done with the points (scorecard.py).

Rows: kind 'intercept' (once, feature ''), 'num' (lower < x <= upper, an open end is NULL), 'cat' (category,
text), 'missing' (once per feature; also for NaN and unknown categories). points are log-odds of a breach;
micro_points = round(points * 1e6) are what is summed, because integer sums are the same on every engine.
n_train counts training rows; standard_error is that of the mean over the seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.bins import Bins, Floats, Ints
from credit_pipeline.grading.calibration import MICRO

SCHEMA = {
    "feature": pl.String,
    "kind": pl.String,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "category": pl.String,
    "points": pl.Float64,
    "micro_points": pl.Int64,
    "n_train": pl.Int64,
    "standard_error": pl.Float64,
}
KIND_ORDER = {"intercept": 0, "num": 1, "cat": 2, "missing": 3}
MAX_POINTS = 1_000.0  # beyond any log-odds that means something; keeps every sum far inside BIGINT


@dataclass(frozen=True, eq=False)
class FeaturePoints:
    """One feature of a scorecard; points and micro_points hold one entry per bin, then missing."""

    feature: str
    bins: Bins
    points: Floats
    micro_points: Ints
    n_train: Ints


def to_micro(points: Floats) -> Ints:
    """round(points * 1e6), halves to the even number."""
    return np.rint(points * MICRO).astype(np.int64)


def as_points_table(rows: pl.DataFrame | Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Any points rows in the full schema and the canonical order; micro_points are computed anew.

    An empty text, NaN or infinite bound counts as open; an absent intercept as 0; absent n_train and
    standard_error as unknown. Structure is checked by `parse`.
    """
    given: list[Mapping[str, Any]] = list(rows.to_dicts()) if isinstance(rows, pl.DataFrame) else list(rows)
    table = []
    for number, row in enumerate(given, start=1):
        kind = row.get("kind")
        if kind not in KIND_ORDER:
            raise BadInput(
                f"points row {number}: kind {kind!r} is unknown; it must be one of {', '.join(KIND_ORDER)}"
            )
        points = _number(row, "points", number)
        if points is None or not abs(points) <= MAX_POINTS:
            raise BadInput(f"points row {number}: points must be a number within ±{MAX_POINTS:g}")
        category = row.get("category") if kind == "cat" else None
        if kind == "cat" and category is None:
            raise BadInput(f"points row {number}: a row of kind 'cat' must name its category")
        count = _number(row, "n_train", number)
        table.append(
            {
                "feature": str(row.get("feature") or ""),
                "kind": kind,
                "lower": _bound(row, "lower", number, -np.inf) if kind == "num" else None,
                "upper": _bound(row, "upper", number, np.inf) if kind == "num" else None,
                "category": None if category is None else str(category),
                "points": points + 0.0,  # -0.0 becomes 0.0: one number, one text
                "micro_points": int(to_micro(np.array([points]))[0]),
                "n_train": None if count is None else int(count),
                "standard_error": _number(row, "standard_error", number),
            }
        )
    if not any(row["kind"] == "intercept" for row in table):
        table.append({"feature": "", "kind": "intercept", "points": 0.0, "micro_points": 0})
    frame = pl.DataFrame(table, schema=SCHEMA)
    order = pl.col("kind").replace_strict(KIND_ORDER, return_dtype=pl.Int64)
    return frame.sort(
        "feature", order, "lower", "upper", "category", nulls_last=[False, False, False, True, False]
    )


def _number(row: Mapping[str, Any], name: str, number: int) -> float | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    try:
        result = float(value)
    except (TypeError, ValueError) as error:
        raise BadInput(f"points row {number}: {name} {value!r} is not a number") from error
    return None if np.isnan(result) else result


def _bound(row: Mapping[str, Any], name: str, number: int, open_end: float) -> float | None:
    value = _number(row, name, number)
    if value is not None and np.isinf(value) and value != open_end:
        raise BadInput(f"points row {number}: {name} {value} leaves an empty bin")
    return None if value == open_end else value


def parse(table: pl.DataFrame) -> tuple[float, int, tuple[FeaturePoints, ...]]:
    """(intercept, micro intercept, features) of a table made by `as_points_table`; BadInput if unsound."""
    intercepts = table.filter(pl.col("kind") == "intercept")
    if len(intercepts) != 1 or intercepts["feature"][0]:
        raise BadInput("a points table has exactly one row of kind 'intercept', with an empty feature")
    features = []
    for (name,), rows in table.filter(pl.col("kind") != "intercept").group_by("feature", maintain_order=True):
        if not name:
            raise BadInput("a points row names no feature")
        features.append(_feature(str(name), rows))
    if not features:
        raise BadInput("the points table has no feature")
    folded = [f.feature.casefold() for f in features]
    twins = sorted({f.feature for f in features if folded.count(f.feature.casefold()) > 1})
    if twins:
        raise BadInput(f"features {', '.join(twins)} differ only in case, which SQL does not tell apart")
    return float(intercepts["points"][0]), int(intercepts["micro_points"][0]), tuple(features)


def _feature(name: str, rows: pl.DataFrame) -> FeaturePoints:
    binned = rows.filter(pl.col("kind") != "missing")
    kinds = binned["kind"].unique().to_list()
    if len(rows) - len(binned) != 1:
        raise BadInput(
            f"feature {name}: exactly one row of kind 'missing' is needed, not {len(rows) - len(binned)}; "
            "say what an absent value scores"
        )
    if len(kinds) > 1:
        raise BadInput(f"feature {name}: has both 'num' and 'cat' rows")
    if kinds == ["num"]:
        bins = Bins(edges=_edges(name, binned["lower"].to_list(), binned["upper"].to_list()))
    else:
        categories = binned["category"].to_list()
        twice = sorted({c for c in categories if categories.count(c) > 1})
        if twice:
            raise BadInput(f"feature {name}: category {', '.join(twice)} appears more than once")
        bins = Bins(categories=tuple(categories))
    return FeaturePoints(
        name,
        bins,
        rows["points"].to_numpy(),
        rows["micro_points"].to_numpy(),
        rows["n_train"].fill_null(0).to_numpy(),
    )


def _edges(name: str, lowers: list[float | None], uppers: list[float | None]) -> Floats:
    if lowers[0] is not None:
        raise BadInput(
            f"feature {name}: gap, no bin covers values up to {lowers[0]!r}; leave the first lower empty"
        )
    for lower, upper in zip(lowers, uppers, strict=True):
        if lower is not None and upper is not None and lower >= upper:
            raise BadInput(f"feature {name}: the bin ({lower!r}, {upper!r}] is empty")
    for upper, following in zip(uppers, lowers[1:], strict=False):
        if upper is None or following is None or following < upper:
            raise BadInput(
                f"feature {name}: bins overlap, one ends at {'infinity' if upper is None else repr(upper)} "
                f"and the next begins after {'-infinity' if following is None else repr(following)}"
            )
        if following > upper:
            raise BadInput(f"feature {name}: gap, no bin covers {upper!r} < x <= {following!r}")
    if uppers[-1] is not None:
        raise BadInput(
            f"feature {name}: gap, no bin covers values over {uppers[-1]!r}; leave the last upper empty"
        )
    return np.array(uppers[:-1], dtype=np.float64)
