"""Pictures of rounds and of what they found, as SVG: counts of units, rates of grades, sections and counties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from credit_pipeline.grading.svg import AMBER, BLUE, GREEN, GREY, RED, Plot
from credit_pipeline.inspection.outcomes.round_report import COUNTS, RoundLine


def _percent_ticks(high: float) -> list[tuple[float, str]]:
    return [(high * k / 4, f"{high * k / 4:.1%}") for k in range(5)]


def _count_ticks(high: int) -> list[tuple[float, str]]:
    """Round whole numbers, at most six of them."""
    power = 10 ** max(0, len(str(high // 5)) - 1)
    step = next(part * power for part in (1, 2, 5, 10) if part * power * 5 >= high)
    return [(value, f"{value:,}") for value in range(0, high + 1, step)]


def round_units(line: RoundLine) -> str:
    """A bar per unit: done, cannot be inspected, with a team, waiting for one; overdue as a line at the end."""
    units = [(unit, dict(zip(COUNTS, counts, strict=True))) for unit, _, counts in line.units]
    high = max([1, *(counts["drawn"] for _, counts in units)])
    size = len(units)
    plot = Plot(
        f"{line.plan_id} round {line.round}: done green, impossible amber, with a team blue, waiting grey, overdue red",
        (0, high * 1.02), (-0.6, max(size, 1) - 0.4), "visits", "",
        width=760, height=90 + 15 * max(size, 1), left=76, x_ticks=_count_ticks(high),
        y_ticks=[(size - 1 - place, unit) for place, (unit, _) in enumerate(units)],
    )  # fmt: skip
    for place, (_, counts) in enumerate(units):
        y, start = size - 1 - place, 0
        running = counts["drawn"] - counts["done"] - counts["cannot_inspect"] - counts["waiting"]
        parts = (
            (counts["done"], GREEN), (counts["cannot_inspect"], AMBER), (running, BLUE), (counts["waiting"], GREY),
        )  # fmt: skip
        for count, colour in parts:
            if count > 0:
                plot.box(start, start + count, y - 0.42, y + 0.42, colour)
                start += count
        if counts["overdue"]:
            plot.line([(counts["drawn"] - counts["overdue"], y), (counts["drawn"], y)], RED)
    return plot.svg()


def round_funnel(line: RoundLine) -> str:
    """The whole round from frame to result."""
    totals = line.totals
    steps = [
        ("drawn", totals["drawn"], GREY), ("with a team", totals["assigned"], BLUE), ("waiting", totals["waiting"], AMBER),
        ("done", totals["done"], GREEN), ("impossible", totals["cannot_inspect"], GREY), ("open", totals["open"], BLUE),
        ("overdue", totals["overdue"], RED),
    ]  # fmt: skip
    high = max(1, *(count for _, count, _ in steps)) * 1.15
    plot = Plot(
        f"{line.plan_id} round {line.round}: {totals['frame_size']:,} in the frame, {totals['eligible']:,} eligible",
        (-0.6, len(steps) - 0.4), (0, high), "", "visits", width=640, y_ticks=_count_ticks(int(high)),
        x_ticks=[(place, name) for place, (name, _, _) in enumerate(steps)],
    )  # fmt: skip
    for place, (_, count, colour) in enumerate(steps):
        plot.box(place - 0.35, place + 0.35, 0, count, colour)
        plot.words(place, count + high * 0.03, f"{count:,}")
    return plot.svg()


def rates(rows: Sequence[Mapping[str, Any]], title: str, name: str) -> str:
    """Estimated rates of domains with their 95 % intervals; those with too few inspections stand without a dot."""
    high = max([0.01, *(row["high"] for row in rows if row["high"] is not None)]) * 1.08
    size = max(len(rows), 1)
    plot = Plot(
        title, (-0.6, size - 0.4), (0, high), name, "share with a breach", width=max(360, 90 + 52 * size),
        x_ticks=[(place, str(row["domain"]) or "?") for place, row in enumerate(rows)], y_ticks=_percent_ticks(high),
    )  # fmt: skip
    for place, row in enumerate(rows):
        if row["rate"] is None:
            plot.words(place, high * 0.02, "too few" if row["inspected"] else "none", GREY)
            continue
        plot.bar(place, row["low"], row["high"], BLUE)
        plot.dot(place, row["rate"])
    return plot.svg()


def hit_rates(rows: Sequence[Mapping[str, Any]]) -> str:
    """Hit rate of the visits by grade; dashed: what a uniform draw would have found."""
    shown = [row for row in rows if row["grade"] != "all"]
    uniform = next((row["uniform_rate"] for row in rows if row["grade"] == "all"), None)
    values = [row["hit_rate"] for row in shown if row["hit_rate"] is not None]
    high = max([0.01, uniform or 0, *values]) * 1.15
    plot = Plot(
        "Hit rate by grade (dashed: a uniform draw)", (-0.6, max(len(shown), 1) - 0.4), (0, high), "grade",
        "share of visits with a breach", width=420,
        x_ticks=[(place, str(row["grade"])) for place, row in enumerate(shown)], y_ticks=_percent_ticks(high),
    )  # fmt: skip
    for place, row in enumerate(shown):
        if row["hit_rate"] is None:
            plot.words(place, high * 0.02, "too few" if row["inspected"] else "none", GREY)
            continue
        plot.box(place - 0.35, place + 0.35, 0, row["hit_rate"])
        if row["lift"] is not None:
            plot.words(place, row["hit_rate"] + high * 0.02, f"×{row['lift']:.1f}")
    if uniform is not None:
        plot.line([(-0.6, uniform), (max(len(shown), 1) - 0.4, uniform)], RED, dashed=True)
    return plot.svg()
