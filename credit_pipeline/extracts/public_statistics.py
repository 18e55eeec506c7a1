"""Counts of inspections for the press and the web page, from which no small group can be worked out (R41).

Here: which cells of the tables county × month, county × result, month × result are published, and rounded how. Not here: which
inspections count (`inspection.completed_inspections`), files and signatures (`extracts.public_results`).

A count below `small_cell` is not published. Since parts and their total say the same thing twice, a line (a total and its
parts) with one hidden cell, or with hidden cells that together are small, hides its next smallest cell too, until every line
has enough hidden. What is published is rounded, each cell by itself, so parts do not add up to their total by a little.
Neither grade nor unit nor kind of inspection is a dimension: those tables are not made at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

TOTAL = "*"
DIMENSIONS = ("county", "month", "outcome")
Cell = tuple[str, ...]
"""A value or `TOTAL` for each of `DIMENSIONS`; at most two are values."""


@dataclass(frozen=True)
class PublishedCell:
    """One count as the public sees it: None where it is not published."""

    cell: Cell
    inspections: int | None


def cells_of(counts: Mapping[Cell, int]) -> dict[Cell, int]:
    """Every cell of the tables with its exact count, zeros included, from the counts of (county, month, outcome)."""
    values = [sorted({cell[place] for cell in counts}) for place in range(len(DIMENSIONS))]
    cells = {cell: 0 for cell in product(*([TOTAL, *names] for names in values)) if cell.count(TOTAL) >= 1}
    for cell, count in counts.items():
        for shown in product(*((TOTAL, value) for value in cell)):
            if shown in cells:
                cells[shown] += count
    return cells


def lines_of(cells: Iterable[Cell]) -> Iterator[tuple[Cell, list[Cell]]]:
    """Each total with the parts that add up to it: what an attacker would subtract."""
    parts: dict[tuple[Cell, int], list[Cell]] = {}
    for cell in sorted(cells):
        for place, value in enumerate(cell):
            if value != TOTAL:
                total = (*cell[:place], TOTAL, *cell[place + 1 :])
                parts.setdefault((total, place), []).append(cell)
    for (total, _), members in sorted(parts.items()):
        yield total, members


def hidden_cells(cells: Mapping[Cell, int], small_cell: int) -> set[Cell]:
    """Cells that are not published: the small ones, and as many others as keep them from being worked out."""
    hidden = {cell for cell, count in cells.items() if count < small_cell}
    lines = list(lines_of(cells))
    size = -1
    while size != len(hidden):
        size = len(hidden)
        for total, parts in lines:
            gone = [cell for cell in (total, *parts) if cell in hidden]
            others = sorted(
                (cell for cell in parts if cell not in hidden), key=lambda cell: (cells[cell], cell)
            )
            others += [] if total in hidden else [total]
            while gone and others and (len(gone) < 2 or sum(cells[cell] for cell in gone) < small_cell):
                gone.append(others.pop(0))
            hidden.update(gone)
    return hidden


def published_cells(counts: Mapping[Cell, int], small_cell: int, rounding: int) -> list[PublishedCell]:
    """The tables as they are published, in the order of their cells."""
    cells = cells_of(counts)
    hidden = hidden_cells(cells, small_cell)
    return [
        PublishedCell(cell, None if cell in hidden else _rounded(count, rounding))
        for cell, count in sorted(cells.items())
    ]


def _rounded(count: int, base: int) -> int:
    return (2 * count + base) // (2 * base) * base
