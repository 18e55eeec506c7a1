"""The pictures of a model card: reliability, grades, and the points of every indicator."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import polars as pl

from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.grading.svg import BLUE, GREY, RED, Plot


def _percent_ticks(high: float) -> list[tuple[float, str]]:
    return [(high * k / 4, f"{high * k / 4:.1%}") for k in range(5)]


def reliability(test: Mapping[str, Any]) -> str:
    """Promised probability against the observed rate, by tenths of the test."""
    parts = test["calibration"]
    high = max(0.01, *(max(part["probability"], part["rate"]) for part in parts)) * 1.05
    plot = Plot(
        "Reliability out of time", (0, high), (0, high), "promised probability", "observed rate",
        x_ticks=_percent_ticks(high), y_ticks=_percent_ticks(high),
    )  # fmt: skip
    plot.line([(0, 0), (high, high)], GREY, dashed=True)
    plot.line([(part["probability"], part["rate"]) for part in parts])
    for part in parts:
        reach = 1.96 * part["error"]
        plot.bar(part["probability"], max(0.0, part["rate"] - reach), min(high, part["rate"] + reach))
        plot.dot(part["probability"], part["rate"])
    return plot.svg()


def grades(test: Mapping[str, Any]) -> str:
    """Observed rate of every grade with its 95 % interval, and the promised probability."""
    seen = [grade for grade in test["grades"] if grade["rows"]]
    high = max(0.01, *(max(grade["high"], grade["probability"]) for grade in seen)) * 1.08
    plot = Plot(
        "Breaches by grade (red: promised)", (-0.5, len(seen) - 0.5), (0, high), "grade",
        "share of enterprises", x_ticks=[(k, grade["grade"]) for k, grade in enumerate(seen)],
        y_ticks=_percent_ticks(high),
    )  # fmt: skip
    for k, grade in enumerate(seen):
        plot.box(k - 0.3, k + 0.3, 0, grade["rate"])
        plot.bar(k, grade["low"], grade["high"], BLUE)
        plot.dot(k, grade["probability"], RED)
    return plot.svg()


def indicator_points(card: Scorecard, feature: str, direction: int) -> str:
    """Points over the standardized value; the dashed line is missing, bars are the seeds' standard error."""
    rows = card.points.filter(pl.col("feature") == feature)
    bins = rows.filter(pl.col("kind") == "num")
    missing = rows.filter(pl.col("kind") == "missing")["points"][0]
    title = f"{feature} ({'+' if direction > 0 else '−' if direction < 0 else '±'})"
    if bins.is_empty():
        return ""
    edges = [value for value in bins["upper"].to_list() if value is not None]
    low, high = (min(0.0, *edges), max(1.0, *edges)) if edges else (0.0, 1.0)
    ends = [low, *edges, high]
    values = bins["points"].to_list()
    errors = [error or 0.0 for error in bins["standard_error"].to_list()]
    least = min(missing, *(p - e for p, e in zip(values, errors, strict=True)), 0.0)
    most = max(missing, *(p + e for p, e in zip(values, errors, strict=True)), least + 0.01)
    plot = Plot(title, (low, high), (least, most), width=280, height=170)
    for (left, right), points, error in zip(pairwise(ends), values, errors, strict=True):
        plot.line([(left, points), (right, points)])
        if error:
            plot.bar((left + right) / 2, points - error, points + error)
    for place, (a, b) in zip(edges, pairwise(values), strict=True):
        plot.bar(place, a, b, BLUE)
    plot.line([(low, missing), (high, missing)], RED, dashed=True)
    return plot.svg()
