"""Who is to be visited in a round once top-ups and late recusals are counted in. Pure: tables and statements in.

Here: the enterprises drawn and added, who replaces whom, the visits without inspectors, the inspectors as they are
now, and the next one in an enterprise's order. Not here: files (`inspection.rounds.store`), the assignment of a wave
(`inspection.teams.assignment`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol


@dataclass(frozen=True)
class DrawnSet:
    """`table`: the rows of the draw that are drawn or were added, with is_top_up and replaces ('' or the USCC whose
    place it takes). `closed`: the (unit_id, uscc) that cannot be inspected.
    """

    table: pa.Table
    closed: frozenset[tuple[str, str]]

    def visits(self) -> list[tuple[str, str]]:
        """(unit_id, uscc) of every enterprise to be visited, once whatever the number of its items."""
        pairs = zip(self.table["unit_id"].to_pylist(), self.table["uscc"].to_pylist(), strict=True)
        return sorted(set(pairs) - self.closed)


def drawn_set(draw: pa.Table, top_ups: Iterable[Mapping[str, Any]]) -> DrawnSet:
    """Applies top-ups in their order: for each cell in which the closed one was drawn, the next rank not yet drawn.

    A cell without reserve adds nobody. Raises `BadInput` for an enterprise that is not drawn, or is closed already.
    """
    drawn = draw.filter(draw["is_drawn"])
    statements = list(top_ups)
    cells: dict[tuple[str, str], list[tuple[str, str]]] = {}
    names = ("unit_id", "uscc", "item_code", "platform_grade")
    if statements:
        for unit, uscc, item, grade in zip(*(drawn[name].to_pylist() for name in names), strict=True):
            cells.setdefault((unit, uscc), []).append((item, grade))
    taken: dict[tuple[str, str, str], int] = {}
    closed: set[tuple[str, str]] = set()
    added: list[tuple[dict[str, Any], str]] = []
    for statement in statements:
        pair = (statement["unit_id"], statement["uscc"])
        if pair not in cells:
            raise BadInput(
                f"unit {pair[0]} did not draw enterprise {pair[1]}; only a drawn one can be topped up"
            )
        if pair in closed:
            raise BadInput(f"enterprise {pair[1]} of unit {pair[0]} was topped up already")
        closed.add(pair)
        for item, grade in sorted(cells[pair]):
            row = _next_of_cell(draw, pair[0], item, grade, taken)
            if row is not None:
                added.append((row, pair[1]))
                cells.setdefault((pair[0], row["uscc"]), []).append((item, grade))
    table = pa.concat_tables([drawn, pa.Table.from_pylist([row for row, _ in added], schema=drawn.schema)])
    flags = pa.array([False] * drawn.num_rows + [True] * len(added), pa.bool_())
    replaced = pa.array([""] * drawn.num_rows + [uscc for _, uscc in added], pa.string())
    table = table.append_column("is_top_up", flags).append_column("replaces", replaced)
    return DrawnSet(table, frozenset(closed))


def _next_of_cell(
    draw: pa.Table, unit: str, item: str, grade: str, taken: dict[tuple[str, str, str], int]
) -> dict[str, Any] | None:
    mask = pc.and_(pc.equal(draw["unit_id"], unit), pc.equal(draw["item_code"], item))
    cell = draw.filter(pc.and_(mask, pc.equal(draw["platform_grade"], grade)))
    number = taken.get((unit, item, grade), 0) + 1
    rows = cell.filter(pc.equal(cell["rank"], pc.add(cell["quota"], number))).to_pylist()
    if not rows:
        return None
    taken[unit, item, grade] = number
    row: dict[str, Any] = rows[0]
    return row


def visiting_units(rule: Mapping[str, Any], draw_unit: str) -> list[str]:
    """The units whose inspectors go to an enterprise that `draw_unit` drew: itself, in a joint plan also the
    cooperating ones.
    """
    if rule["initiator"] == "*":
        return [draw_unit]
    return sorted({draw_unit, *rule["cooperating_units"]})


def open_visits(
    drawn: DrawnSet, assigned: Iterable[pa.Table], rule: Mapping[str, Any]
) -> list[tuple[str, str, str]]:
    """(inspectors' unit, draw unit, uscc) of every visit that no wave has given inspectors yet."""
    wanted = {(unit, draw, uscc) for draw, uscc in drawn.visits() for unit in visiting_units(rule, draw)}
    for table in assigned:
        wanted -= set(
            zip(*(table[name].to_pylist() for name in ("unit_id", "draw_unit_id", "uscc")), strict=True)
        )
    return sorted(wanted)


def current_assignments(
    assigned: Sequence[pa.Table], replacements: Iterable[Mapping[str, Any]], closed: Iterable[tuple[str, str]]
) -> pa.Table:
    """All waves as one table: closed enterprises left out, replaced inspectors exchanged."""
    table = pa.concat_tables(assigned)
    gone = set(closed)
    pairs = zip(table["draw_unit_id"].to_pylist(), table["uscc"].to_pylist(), strict=True)
    table = table.filter(pa.array([pair not in gone for pair in pairs], pa.bool_()))
    inspectors = table["inspector_id"].to_pylist()
    places = {
        key: index
        for index, key in enumerate(
            zip(table["unit_id"].to_pylist(), table["uscc"].to_pylist(), inspectors, strict=True)
        )
    }
    for one in replacements:
        # A replaced enterprise may have been closed later: then nobody goes there.
        index = places.pop((one["unit_id"], one["uscc"], one["inspector_id"]), None)
        if index is not None:
            inspectors[index] = one["replaced_by"]
            places[one["unit_id"], one["uscc"], one["replaced_by"]] = index
    column = table.column_names.index("inspector_id")
    return table.set_column(column, "inspector_id", pa.array(inspectors, pa.string()))


def next_inspector(
    team: Iterable[str],
    leaving: str,
    allowed: Mapping[str, bool],
    *,
    was_leader: bool,
    already_replaced: Iterable[str],
    seed: str,
    uscc: str,
) -> str | None:
    """Who takes the place of `leaving`: the first in the enterprise's order who is lawful, not in the team and was
    not replaced there before; a leader in place of a leader if there is any.

    `allowed`: inspector -> is_leader, of those who may lawfully visit the enterprise. None if nobody is left.
    """
    staying = set(team) - {leaving}
    free = sorted(set(allowed) - staying - {leaving, *already_replaced})
    if was_leader and any(allowed[one] for one in free):
        free = [one for one in free if allowed[one]]
    ordered = sorted((protocol.candidate_order(seed, uscc, one), one) for one in free)
    return ordered[0][1] if ordered else None
