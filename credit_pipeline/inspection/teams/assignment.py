"""Who inspects whom: the inspectors of all units of a round, from tables to a table.

Here: `assign`, its result and the report of units without a lawful assignment. The algorithm
and its exact description are `inspection.teams.team_choice`. Not here: who is valid on the day and who is recused (models
`inspection_roster` and `inspection_recusals`), the draw of enterprises (`inspection.draws.draw`).

Interface in short:

    assign(visits, roster, recusals, seed, inspectors_per_visit=2, wave=1, already=None)

`visits`: unit_id (whose inspectors go), draw_unit_id (who drew), uscc, region ('' if unknown), required_skills
(joined with '+', '' for none). One row per unit and enterprise: in a joint plan every participating unit has its own
row and brings its own team. `roster`: unit_id, inspector_id, is_leader, region_prefix, skills, excluded_reason; those
with a reason take no part but are named in conflicts. `recusals`: inspector_id, uscc, reason. `already`: the
assignments of earlier waves (columns of `SCHEMA`); their loads and pairs count. Other columns are
ignored, and the order of rows never matters.

Waves. Wave 1 serves what was drawn; later waves serve enterprises that came by top-up and units that had no lawful
assignment. `already` must not hold a visit that is to be assigned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.teams.conflicts import (
    InfeasibleUnit,
    UnitTeams,
    no_full_assignment,
    too_few_inspectors,
)
from credit_pipeline.inspection.teams.team_choice import (
    HallSet,
    Inspector,
    Place,
    Visit,
    choose_teams,
    pair,
)

SCHEMA = pa.schema(
    {
        "unit_id": pa.string(),
        "draw_unit_id": pa.string(),
        "uscc": pa.string(),
        "inspector_id": pa.string(),
        "role": pa.string(),
        "position": pa.int32(),
        "eligible_count": pa.int32(),
        "rank_taken": pa.int32(),
        "skipped": pa.string(),
        "wave": pa.int32(),
    }
)
"""`role`: leader or member. `rank_taken`: place among the `eligible_count` inspectors allowed for the visit. `skipped`: those passed over since the place before and why, "id:reason;id:reason" (reasons:
`team_choice`). `wave`: the one that chose this inspector."""

VISIT_COLUMNS = ("unit_id", "draw_unit_id", "uscc", "region", "required_skills")
ROSTER_COLUMNS = ("unit_id", "inspector_id", "is_leader", "region_prefix", "skills", "excluded_reason")
RECUSAL_COLUMNS = ("inspector_id", "uscc", "reason")
REGION_PATTERN = "[0-9]{0,12}"
SKILL_PATTERN = r"[^|;:,+\s\x00-\x1f\x7f]{1,64}"


@dataclass(frozen=True)
class Assignment:
    """`assignments` (columns of `SCHEMA`, by unit, uscc, position), and the units left without one."""

    assignments: pa.Table
    infeasible: tuple[InfeasibleUnit, ...]
    units_without_leader: tuple[str, ...]
    """Units whose directory names no leader: assigned, all as members."""


def assign(
    visits: pa.Table,
    roster: pa.Table,
    recusals: pa.Table | None,
    seed: str,
    *,
    inspectors_per_visit: int = 2,
    wave: int = 1,
    already: pa.Table | None = None,
) -> Assignment:
    """`inspectors_per_visit` different inspectors for every visit, one of them a leader where the unit has any.

    Columns, waves and rules: module and `team_choice`. Every unit is assigned completely or not at all.

    2,000 enterprises x 60 inspectors take some seconds. Raises `BadInput` for malformed or doubled rows, never for an
    infeasible unit: those are reported.
    """
    protocol.checked_seed(seed)
    if inspectors_per_visit < 2:
        raise BadInput(f"{inspectors_per_visit} inspector(s) per visit: the law asks for two at least")
    if wave < 1:
        raise BadInput(f"wave {wave}: waves are counted from 1")
    reasons = _recusals(recusals)
    rows: list[tuple[Any, ...]] = []
    infeasible: list[InfeasibleUnit] = []
    without_leader: list[str] = []
    for unit_id, unit in _units(visits, roster, already).items():
        if len(unit.inspectors) < inspectors_per_visit:
            infeasible.append(too_few_inspectors(unit_id, unit, inspectors_per_visit))
            continue
        found = choose_teams(
            unit_id,
            [visit for _, visit in unit.visits.values()],
            unit.inspectors.values(),
            reasons,
            seed,
            per_visit=inspectors_per_visit,
            loads=_counts(row["inspector_id"] for team in unit.already.values() for row in team),
            pairs=_counts(
                pair(one["inspector_id"], other["inspector_id"])
                for team in unit.already.values()
                for one, other in combinations(team, 2)
            ),
            visits_before=len(unit.already),
        )
        if isinstance(found, HallSet):
            infeasible.append(no_full_assignment(unit_id, unit, found, reasons))
            continue
        if not any(one.is_leader for one in unit.inspectors.values()):
            without_leader.append(unit_id)
        rows += _rows(unit_id, unit, found, wave)
    rows.sort(key=lambda row: (row[0], row[2], row[5]))
    columns = [[row[i] for row in rows] for i in range(len(SCHEMA))]
    table = pa.table(
        [pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA
    )
    return Assignment(table, tuple(infeasible), tuple(without_leader))


def standing_assignments(waves: Iterable[pa.Table]) -> pa.Table:
    """The assignments of several waves as one table: what a next wave takes as `already`."""
    return pa.concat_tables(
        [SCHEMA.empty_table(), *(table.select(SCHEMA.names).cast(SCHEMA) for table in waves)]
    )


def _rows(unit_id: str, unit: UnitTeams, found: list[Place], wave: int) -> Iterable[tuple[Any, ...]]:
    teams: dict[str, list[Place]] = defaultdict(list)
    for place in found:
        teams[place.uscc].append(place)
    for uscc, team in teams.items():
        leader = next((one.inspector_id for one in team if unit.inspectors[one.inspector_id].is_leader), None)
        for position, one in enumerate(team, start=1):
            role = "leader" if one.inspector_id == leader else "member"
            yield (
                unit_id, unit.visits[uscc][0], uscc, one.inspector_id, role, position,
                one.eligible_count, one.rank_taken, one.skipped, wave,
            )  # fmt: skip


def _units(visits: pa.Table, roster: pa.Table, already: pa.Table | None) -> dict[str, UnitTeams]:
    """The units that have visits, by unit_id, with their inspectors and earlier assignments."""
    units: dict[str, UnitTeams] = defaultdict(lambda: UnitTeams({}, {}, {}, {}))
    for row in _checked_rows("the visits", visits, VISIT_COLUMNS):
        unit_id = protocol.checked("unit_id", row["unit_id"], protocol.UNIT_PATTERN)
        draw_unit_id = protocol.checked("draw_unit_id", row["draw_unit_id"], protocol.UNIT_PATTERN)
        uscc = protocol.checked("uscc", row["uscc"], protocol.USCC_PATTERN)
        if uscc in units[unit_id].visits:
            raise BadInput(f"enterprise {uscc} stands twice among the visits of unit {unit_id}")
        region = protocol.checked("region", row["region"], REGION_PATTERN)
        skills = _skills("required_skills", row["required_skills"])
        units[unit_id].visits[uscc] = (draw_unit_id, Visit(uscc, region, skills))
    seen: set[str] = set()
    for row in _checked_rows("the roster", roster, ROSTER_COLUMNS):
        inspector = protocol.checked("inspector_id", row["inspector_id"], protocol.INSPECTOR_PATTERN)
        if not isinstance(row["is_leader"], bool):
            raise BadInput(
                f"inspector {inspector}: is_leader is {row['is_leader']!r}, expected true or false"
            )
        if inspector in seen:
            raise BadInput(f"inspector {inspector} stands twice in the roster")
        seen.add(inspector)
        prefix = protocol.checked("region_prefix", row["region_prefix"], REGION_PATTERN)
        skills = _skills("skills", row["skills"])
        reason = protocol.checked("excluded_reason", row["excluded_reason"], protocol.REASON_PATTERN)
        if row["unit_id"] in units:
            if reason:
                units[row["unit_id"]].excluded[inspector] = reason
            else:
                units[row["unit_id"]].inspectors[inspector] = Inspector(
                    inspector, row["is_leader"], prefix, skills
                )
    for row in [] if already is None else _checked_rows("the earlier assignments", already, SCHEMA.names):
        if row["unit_id"] in units:
            team = units[row["unit_id"]].already.setdefault(row["uscc"], [])
            if any(row["inspector_id"] == mate["inspector_id"] for mate in team):
                raise BadInput(
                    f"inspector {row['inspector_id']} stands twice in the earlier team of unit {row['unit_id']} "
                    f"for {row['uscc']}"
                )
            if row["uscc"] in units[row["unit_id"]].visits:
                raise BadInput(
                    f"enterprise {row['uscc']} has inspectors of unit {row['unit_id']} already, from wave {row['wave']}"
                )
            team.append(row)
    return dict(sorted(units.items()))


def _recusals(recusals: pa.Table | None) -> dict[tuple[str, str], str]:
    """Reasons by (inspector_id, uscc); of several the first in order of code points."""
    found: dict[tuple[str, str], str] = {}
    if recusals is not None:
        for row in _checked_rows("the recusals", recusals, RECUSAL_COLUMNS):
            key = (row["inspector_id"], row["uscc"])
            found[key] = min(found.get(key, row["reason"]), row["reason"])
    return found


def _skills(label: str, text: str | None) -> frozenset[str]:
    if not isinstance(text, str):
        raise BadInput(f"{label} is {text!r}; '' stands for none")
    return (
        frozenset(protocol.checked(label, one, SKILL_PATTERN) for one in text.split("+"))
        if text
        else frozenset()
    )


def _checked_rows(what: str, table: pa.Table, columns: Collection[str]) -> list[dict[str, Any]]:
    missing = sorted(set(columns) - set(table.column_names))
    if missing:
        raise BadInput(f"{what} lack the column(s) {', '.join(missing)}")
    return table.select(list(columns)).to_pylist()


def _counts(values: Iterable[Any]) -> dict[Any, int]:
    found: dict[Any, int] = defaultdict(int)
    for value in values:
        found[value] += 1
    return dict(found)
