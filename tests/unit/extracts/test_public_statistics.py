"""Published counts: whoever subtracts what is published from what is published learns no small count."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import linprog

from credit_pipeline.extracts.public_statistics import (
    TOTAL,
    Cell,
    PublishedCell,
    cells_of,
    hidden_cells,
    lines_of,
    published_cells,
)

SMALL, BASE = 10, 5


def city(seed: int, counties: int = 6, months: int = 6) -> dict[Cell, int]:
    """Counts as they are: a few large counties, many small cells, most inspections without a finding."""
    dice = random.Random(seed)
    return {
        (f"county{c}", f"2026-{m:02d}", outcome): dice.randrange(int(scale * (30 if c < 2 else 8)) + 1)
        for c in range(counties)
        for m in range(1, months + 1)
        for outcome, scale in (("clean", 1.0), ("neutral", 0.1), ("problem", 0.4))
    }


def attack(
    published: list[PublishedCell], counts: dict[Cell, int], slack: int
) -> dict[Cell, tuple[float, float]]:
    """The least and largest count of every hidden cell that agrees with all that is published: exact bounds of the linear
    program over the whole cube, which is what the best attacker without other knowledge can do."""
    cube = sorted(counts)
    values = [sorted({cell[place] for cell in cube}) for place in range(3)]
    places = {
        cell: number
        for number, cell in enumerate((a, b, c) for a in values[0] for b in values[1] for c in values[2])
    }

    def row(cell: Cell) -> np.ndarray:
        wanted = [all(v in (TOTAL, x) for v, x in zip(cell, point, strict=True)) for point in places]
        return np.array(wanted, dtype=float)

    shown = [item for item in published if item.inspections is not None]
    matrix = np.array([row(item.cell) for item in shown])
    count = np.array([item.inspections for item in shown], dtype=float)
    if len(shown):
        limits = {
            "A_ub": np.vstack([matrix, -matrix]),
            "b_ub": np.concatenate([count + slack, slack - count]),
        }
    else:
        limits = {}
    found = {}
    for item in published:
        if item.inspections is None:
            target = row(item.cell)
            low, high = (linprog(sign * target, **limits, bounds=(0, None)) for sign in (1, -1))
            assert low.status == 0, "what is published contradicts itself"
            found[item.cell] = (low.fun, -high.fun if high.status == 0 else float("inf"))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_no_hidden_count_can_be_worked_out(seed: int) -> None:
    """Prevents marginals from giving back what was suppressed: every hidden cell keeps at least six possible values."""
    counts = city(seed)
    published = published_cells(counts, SMALL, BASE)
    bounds = attack(published, counts, slack=BASE // 2)
    hidden = {item.cell for item in published if item.inspections is None}
    assert hidden and len(hidden) < len(published)
    narrow = {cell: bound for cell, bound in bounds.items() if bound[1] - bound[0] < BASE}
    assert narrow == {}


@pytest.mark.parametrize("seed", range(6))
def test_hiding_alone_withstands_exact_marginals(seed: int) -> None:
    """Prevents protection that lives by rounding only: were the other cells exact, no hidden one would be determined."""
    counts = city(seed)
    cells = cells_of(counts)
    hidden = hidden_cells(cells, SMALL)
    exact = [PublishedCell(cell, None if cell in hidden else count) for cell, count in sorted(cells.items())]
    assert {cell for cell, (low, high) in attack(exact, counts, 0).items() if high - low < 1} == set()


def test_the_attack_succeeds_where_only_small_cells_are_hidden() -> None:
    """Prevents a test of secondary suppression that no lack of it would fail."""
    counts = city(3)
    cells = cells_of(counts)
    naive = [PublishedCell(cell, None if count < SMALL else count) for cell, count in sorted(cells.items())]
    found = attack(naive, counts, 0)
    solved = [cell for cell, (low, high) in found.items() if high - low < 1e-6]
    assert solved
    assert all(abs(found[cell][0] - cells[cell]) < 1e-6 for cell in solved)


@pytest.mark.parametrize("seed", range(30))
def test_every_line_hides_enough(seed: int) -> None:
    """Prevents a line with one hidden cell, or with hidden cells that together are a small group."""
    cells = cells_of(city(seed, counties=3 + seed % 5, months=2 + seed % 4))
    hidden = hidden_cells(cells, SMALL)
    for total, parts in lines_of(cells):
        gone = [cell for cell in (total, *parts) if cell in hidden]
        everything = len(gone) == len(parts) + 1
        assert not gone or everything or (len(gone) >= 2 and sum(cells[cell] for cell in gone) >= SMALL)
    assert all(count >= SMALL for cell, count in cells.items() if cell not in hidden)


def test_counts_are_rounded_and_grades_are_no_dimension() -> None:
    """Prevents exact counts, and a table by grade or unit, from entering the statistics."""
    published = published_cells(city(1), SMALL, BASE)
    assert all(item.inspections is None or item.inspections % BASE == 0 for item in published)
    assert all(TOTAL in item.cell for item in published)
    large = {
        ("n", "2026-01", "clean"): 13,
        ("n", "2026-01", "problem"): 12,
        ("s", "2026-01", "clean"): 17,
        ("s", "2026-01", "problem"): 18,
    }
    shown = {item.cell: item.inspections for item in published_cells(large, SMALL, BASE)}
    assert (
        shown[("n", TOTAL, "clean")] == 15
        and shown[("n", TOTAL, "problem")] == 10
        and shown[(TOTAL,) * 3] == 60
    )


def test_an_empty_year_publishes_nothing() -> None:
    """Prevents a new city without inspections from failing, or from publishing a zero that is a small cell."""
    assert [item for item in published_cells({}, SMALL, BASE) if item.inspections is not None] == []
