"""The picture of a what-if: expected findings against visits, today, proposed, and a draw blind to grades."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

from credit_pipeline.grading.svg import BLUE, GREY, RED, Plot
from credit_pipeline.inspection.plans.simulation import Outcome


def findings_over_visits(
    curve: Sequence[Outcome], today: Outcome, blind: Outcome, proposed: Outcome | None = None
) -> str:
    """SVG: the line of scaled ratios, today's point (filled), the proposed one (red), the blind draw (dashed)."""
    points = sorted((item.total, item.findings) for item in (*curve, today))
    shown = [*curve, today, blind, *([proposed] if proposed else [])]
    high_x = _round_up(max(1.0, *(item.total for item in shown)))
    high_y = _round_up(max(1.0, *(item.findings for item in shown)))
    told = ", proposed red" if proposed else ""
    plot = Plot(
        f"Expected findings a year: today blue{told}, blind grey", (0, high_x), (0, high_y), "visits", "findings", width=520,
        height=300, x_ticks=_ticks(high_x), y_ticks=_ticks(high_y),
    )  # fmt: skip
    if blind.total > 0:
        slope = blind.findings / blind.total
        end = min(high_x, high_y / slope) if slope > 0 else high_x
        plot.line([(0, 0), (end, slope * end)], GREY, dashed=True)
    plot.line(points)
    plot.dot(blind.total, blind.findings, GREY, 4)
    plot.dot(today.total, today.findings, BLUE, 5)
    if proposed:
        plot.dot(proposed.total, proposed.findings, RED, 5)
    return plot.svg()


def _round_up(high: float) -> float:
    """The end of an axis: four equal steps of a round number, the highest point a little below it."""
    step = high * 1.03 / 4
    power = 10.0 ** floor(log10(step))
    return 4 * next(power * part for part in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if power * part >= step)


def _ticks(high: float) -> list[tuple[float, str]]:
    return [(high * k / 4, f"{high * k / 4:,.4g}" if high < 40 else f"{high * k / 4:,.0f}") for k in range(5)]
