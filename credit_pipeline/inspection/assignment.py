"""Who inspects whom: the inspectors of all units of a round, from tables to a table.

Here: `assign`, `replace_inspector`, their result and the report of units without a lawful assignment. The algorithm
and its exact description are `inspection.team_choice`. Not here: who is valid on the day and who is recused (models
`inspection_roster` and `inspection_recusals`), the draw of enterprises (`inspection.draw`).

Interface in short:

    assign(visits, roster, recusals, seed, inspectors_per_visit=2, wave=1, already=None, max_visits=None)

`visits`: unit_id (whose inspectors go), draw_unit_id (who drew), uscc, region ('' if unknown), required_skills
(joined with '+', '' for none). One row per unit and enterprise: in a joint plan every participating unit has its own
row and brings its own team. `roster`: unit_id, inspector_id, is_leader, region_prefix, skills, excluded_reason; those
with a reason take no part but are named in conflicts. `recusals`: inspector_id, uscc, reason. `already`: the
assignments of earlier waves (columns of `SCHEMA`); their loads, pairs and team-mates count. Other columns are
ignored, and the order of rows never matters.

Waves. Wave 1 serves what was drawn; later waves serve enterprises that came by top-up, units that had no lawful
assignment, and places that a late recusal emptied. The rows of a wave stand for the whole team of each (unit_id,
uscc) in it: where an enterprise stands in several waves, the last one is right. Rows of team-mates who stay keep
their position, counts and wave; only the role may change. A new one takes the lowest free position.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pyarrow as pa

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection import protocol
from credit_pipeline.inspection.conflicts import (
    InfeasibleUnit,
    UnitTeams,
    no_full_assignment,
    too_few_inspectors,
)
from credit_pipeline.inspection.team_choice import (
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
"""`role`: leader or member. `rank_taken`: place among the `eligible_count` inspectors allowed for the visit (without
team-mates who stay). `skipped`: those passed over since the place before and why, "id:reason;id:reason" (reasons:
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
    max_visits: int | None = None,
) -> Assignment:
    """`inspectors_per_visit` different inspectors for every visit, one of them a leader where the unit has any.

    Columns, waves and rules: module and `team_choice`. `max_visits`: the most visits of an inspector in the round;
    None: as many as an even share takes. Every unit is assigned completely or not at all. A visit whose (unit_id,
    uscc) stands in `already` is completed: who stands there stays.

    2,000 enterprises x 60 inspectors take some seconds. Raises `BadInput` for malformed or doubled rows, never for an
    infeasible unit: those are reported.
    """
    protocol.checked_seed(seed)
    if inspectors_per_visit < 2:
        raise BadInput(f"{inspectors_per_visit} inspector(s) per visit: the law asks for two at least")
    if wave < 1 or (max_visits is not None and max_visits < 1):
        raise BadInput(f"wave {wave}, max_visits {max_visits}: both are counted from 1")
    reasons = _recusals(recusals)
    rows: list[tuple[Any, ...]] = []
    infeasible: list[InfeasibleUnit] = []
    without_leader: list[str] = []
    for unit_id, unit in _units(visits, roster, already).items():
        if len(unit.inspectors) < inspectors_per_visit:
            infeasible.append(too_few_inspectors(unit_id, unit, inspectors_per_visit))
            continue
        standing = _standing(unit_id, unit, inspectors_per_visit)
        found = choose_teams(
            unit_id,
            [visit for _, visit in unit.visits.values()],
            unit.inspectors.values(),
            reasons,
            seed,
            per_visit=inspectors_per_visit,
            max_visits=max_visits,
            standing=standing,
            loads=_counts(row["inspector_id"] for team in unit.already.values() for row in team),
            pairs=_counts(
                pair(one["inspector_id"], other["inspector_id"])
                for team in unit.already.values()
                for one, other in combinations(team, 2)
            ),
            visits_before=len(set(unit.already) - set(unit.visits)),
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
    """The assignments that stand after `waves` (first to last): of each (unit_id, uscc) the rows of the last wave
    that has any. This is what a next wave takes as `already`.
    """
    teams: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for table in waves:
        latest: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        for row in table.select(SCHEMA.names).to_pylist():
            latest[row["unit_id"], row["uscc"]].append(row)
        teams.update(latest)
    ordered = [row for key in sorted(teams) for row in sorted(teams[key], key=lambda one: one["position"])]
    return pa.Table.from_pylist(ordered, schema=SCHEMA)


def replace_inspector(
    visits: pa.Table,
    roster: pa.Table,
    recusals: pa.Table | None,
    seed: str,
    *,
    unit_id: str,
    uscc: str,
    inspector_id: str,
    wave: int,
    already: pa.Table,
    inspectors_per_visit: int = 2,
    max_visits: int | None = None,
) -> Assignment:
    """The team of one visit after `inspector_id` has left it: the next lawful one in the seeded order of this
    enterprise takes the place, the reasons for those passed over are in `skipped`.

    `already`: what stands (`standing_assignments`). `recusals` holds the late recusal, or `roster` gives the reason
    why he is out; he may not remain eligible, so that nobody is exchanged without a ground. Raises `BadInput` if he is
    not in that team or is still allowed for it. A visit nobody else may make is reported as infeasible.
    """
    teams = already.select(SCHEMA.names).to_pylist()
    place = {"unit_id": unit_id, "uscc": uscc, "inspector_id": inspector_id}
    remaining = [row for row in teams if any(row[name] != value for name, value in place.items())]
    if len(remaining) == len(teams):
        raise BadInput(f"inspector {inspector_id} is not in the team of unit {unit_id} for {uscc}")
    is_recused = (inspector_id, uscc) in _recusals(recusals)
    if not is_recused:
        for row in _checked_rows("the roster", roster, ROSTER_COLUMNS):
            if (row["unit_id"], row["inspector_id"], row["excluded_reason"]) == (unit_id, inspector_id, ""):
                raise BadInput(
                    f"inspector {inspector_id} is valid and not recused for {uscc}: enter the recusal first"
                )
    chosen = [
        row
        for row in _checked_rows("the visits", visits, VISIT_COLUMNS)
        if (row["unit_id"], row["uscc"]) == (unit_id, uscc)
    ]
    if not chosen:
        raise BadInput(f"the visits hold no row of unit {unit_id} and enterprise {uscc}")
    return assign(
        pa.Table.from_pylist(chosen),
        roster,
        recusals,
        seed,
        inspectors_per_visit=inspectors_per_visit,
        wave=wave,
        already=pa.Table.from_pylist(remaining, schema=SCHEMA),
        max_visits=max_visits,
    )


def _rows(unit_id: str, unit: UnitTeams, found: list[Place], wave: int) -> Iterable[tuple[Any, ...]]:
    chosen: dict[str, list[Place]] = defaultdict(list)
    for place in found:
        chosen[place.uscc].append(place)
    for uscc, (draw_unit_id, _) in unit.visits.items():
        team = {
            row["position"]: [row[name] for name in SCHEMA.names[3:]] for row in unit.already.get(uscc, ())
        }
        position = 0
        for place in chosen[uscc]:
            position = next(free for free in range(position + 1, len(team) + 2) if free not in team)
            team[position] = [
                place.inspector_id,
                "member",
                position,
                place.eligible_count,
                place.rank_taken,
                place.skipped,
                wave,
            ]
        ordered = [team[position] for position in sorted(team)]
        if not any(row[1] == "leader" for row in ordered):
            leader = next((row for row in ordered if unit.inspectors[row[0]].is_leader), None)
            if leader is not None:
                leader[1] = "leader"
        yield from ((unit_id, draw_unit_id, uscc, *row) for row in ordered)


def _standing(unit_id: str, unit: UnitTeams, per_visit: int) -> dict[str, frozenset[str]]:
    """Team-mates who stay, by uscc of the visits to be completed."""
    found = {}
    for uscc in unit.visits:
        mates = {row["inspector_id"] for row in unit.already.get(uscc, ())}
        for mate in sorted(mates - set(unit.inspectors)):
            why = unit.excluded.get(mate, "not in the roster")
            raise BadInput(
                f"inspector {mate} stands in the team of unit {unit_id} for {uscc} but is out of the roster ({why}): "
                "replace this one as well"
            )
        if len(mates) >= per_visit:
            raise BadInput(f"unit {unit_id}, enterprise {uscc}: the team is already complete")
        found[uscc] = frozenset(mates)
    return found


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
