"""Which ratio holds for a unit, an item and a grade: the most specific row, the exploration floor, the item's cap.

Pure arithmetic on rows of `inspection_ratios`; the same rules as the SQL of `inspection_quotas`, for the check of a pack
and for what-if plans. Nothing here reads a file or a warehouse.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

ALL = "*"


class Cells(Protocol):
    """A row by column name."""

    def __getitem__(self, column: str, /) -> str: ...


R = TypeVar("R", bound=Cells)


def specificity(row: Cells, unit_id: str, item_code: str) -> int | None:
    """How specific a row is for a unit and an item: 3 unit and item, 2 item, 1 unit, 0 all; None if it is for others."""
    if row["unit_id"] not in (unit_id, ALL) or row["item_code"] not in (item_code, ALL):
        return None
    return (2 if row["item_code"] != ALL else 0) + (1 if row["unit_id"] != ALL else 0)


def most_specific(rows: Iterable[R], unit_id: str, item_code: str, grade: str, is_safety: bool) -> R | None:
    """The row that holds for the cell among rows in force; None when no row reaches it."""
    found: R | None = None
    best = -1
    for row in rows:
        if row["grade"] != grade or row["is_safety_related"] != ("true" if is_safety else "false"):
            continue
        rank = specificity(row, unit_id, item_code)
        if rank is not None and rank > best:
            found, best = row, rank
    return found


RATIO_KINDS = ("ratio", "uniform_draw")
"""Kinds of exceptions that put another ratio in place of the ordinary one; a superior's task also opens what is closed."""


def exception_for(rows: Iterable[R], unit_id: str, item_code: str, grade: str) -> R | None:
    """The exception that replaces a cell's ratio among rows in force: the most specific one, the newest of equals."""
    found: R | None = None
    best: tuple[int, str, str] | None = None
    for row in rows:
        if row["kind"] not in RATIO_KINDS or row["uscc"] or row["ratio_bp"] == "":
            continue
        rank = specificity(row, unit_id, item_code)
        if rank is None or row["grade"] not in (grade, ALL):
            continue
        place = 2 * rank + (1 if row["grade"] != ALL else 0)
        if best is None or (-place, best[1], row["exception_id"]) < (
            -best[0],
            row["effective_from"],
            best[2],
        ):
            found, best = row, (place, row["effective_from"], row["exception_id"])
    return found


def may_be_visited(ratio_bp: int, grade: str, is_safety: bool) -> bool:
    """Whether law lets the draw visit a stratum: a ratio above 0, or grade A in a safety item (R23, R24)."""
    return ratio_bp > 0 or (grade == "A" and is_safety)


def effective_ratio_bp(ratio_bp: int, grade: str, is_safety: bool, floor_bp: int, cap_bp: int) -> int:
    """The ratio that is drawn with: at least the exploration floor where visits are lawful, at most the item's cap."""
    if not may_be_visited(ratio_bp, grade, is_safety):
        return 0
    return min(max(ratio_bp, floor_bp), cap_bp)
