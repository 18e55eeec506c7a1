"""The picture of docs/model.md: five years of draws, what each office believes and what is true.

Run: python -m benchmarks.feedback_plot (writes docs/img/feedback.svg and prints the table).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from credit_pipeline.grading.feedback import Year, make_world, simulate
from credit_pipeline.grading.svg import AMBER, BLUE, GREEN, GREY, RED, Plot

WORLDS, ENTERPRISES, YEARS = 12, 12_000, 5
OFFICES = {
    "weights and floor 2 %": (BLUE, partial(simulate, floor=0.02, weighted=True)),
    "weights, no floor": (GREEN, partial(simulate, floor=0.0, weighted=True)),
    "floor, no weights": (AMBER, partial(simulate, floor=0.02, weighted=False)),
    "worst first, no weights": (RED, partial(simulate, floor=0.0, weighted=False, greedy=True)),
}


def main() -> None:
    worlds = [make_world(ENTERPRISES, YEARS, seed) for seed in range(WORLDS)]
    plot = Plot(
        "Breach rate of all enterprises: estimates over the truth (mean, 95 % interval)", (0.5, YEARS + 0.5), (0, 4),
        "year", "estimate / truth", width=640, height=320,
        x_ticks=[(year, str(year)) for year in range(1, YEARS + 1)], y_ticks=[(k, str(k)) for k in range(5)],
    )  # fmt: skip
    plot.line([(0.5, 1), (YEARS + 0.5, 1)], GREY, dashed=True)
    print(
        "| office | truth in the interval | truth of A in its interval | estimate / truth | model's promise / truth | AUC |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    for number, (name, (colour, draws)) in enumerate(OFFICES.items()):
        years = [year for world in worlds for year in draws(world)]
        for k in range(1, YEARS + 1):
            some = [year for year in years if year.year == k]
            place = k + (number - 1.5) * 0.12
            plot.bar(place, _mean(some, "low"), _mean(some, "high"), colour)
            plot.dot(place, _mean(some, "estimate"), colour)
        plot.words(YEARS - 0.9, 3.8 - 0.22 * number, name, colour)
        truth = np.mean([year.truth for year in years])
        print(
            f"| {name} | {np.mean([year.covers for year in years]):.0%} | {np.mean([year.covers_best for year in years]):.0%} | "
            f"{np.mean([year.estimate for year in years]) / truth:.2f} | "
            f"{np.mean([year.promised for year in years]) / np.mean([year.next_truth for year in years]):.2f} | "
            f"{np.mean([year.auc for year in years]):.3f} |"
        )
    path = Path(__file__).parents[1] / "docs" / "img" / "feedback.svg"
    path.parent.mkdir(exist_ok=True)
    path.write_text(plot.svg() + "\n", encoding="utf-8")


def _mean(years: list[Year], name: str) -> float:
    """Mean over the worlds of a figure as a multiple of that world's truth."""
    return float(np.mean([getattr(year, name) / year.truth for year in years]))


if __name__ == "__main__":
    main()
