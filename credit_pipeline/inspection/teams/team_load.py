"""How the visits of rounds fall on inspectors: counts only, never who goes where.

Here: the counts per unit and their table for the UI. Not here: the choice (`inspection.teams.team_choice`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import combinations

import pyarrow as pa

_COLUMNS = ("plan_id", "round", "unit_id", "uscc", "inspector_id", "role")


@dataclass(frozen=True)
class UnitLoad:
    """One unit in one round. `fewest`, `most`: visits of the inspectors who go at all; `pairs` of them that go together,
    `most_of_a_pair`: how often the commonest does.
    """

    plan_id: str
    round: int
    unit_id: str
    visits: int
    inspectors: int
    leaders: int
    fewest: int
    most: int
    pairs: int
    most_of_a_pair: int


def team_load(assignments: pa.Table) -> list[UnitLoad]:
    """Loads by plan, round and unit, of `inspection.inspector_assignments`."""
    teams: dict[tuple[str, int, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    leaders: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    columns = (assignments[name].to_pylist() for name in _COLUMNS)
    for plan_id, round_, unit_id, uscc, inspector_id, role in zip(*columns, strict=True):
        teams[plan_id, round_, unit_id][uscc].add(inspector_id)
        if role == "leader":
            leaders[plan_id, round_, unit_id].add(inspector_id)
    found = []
    for key, visits in sorted(teams.items()):
        loads = Counter(one for team in visits.values() for one in team)
        pairs = Counter(pair for team in visits.values() for pair in combinations(sorted(team), 2))
        found.append(
            UnitLoad(
                *key, len(visits), len(loads), len(leaders[key]), min(loads.values()), max(loads.values()),
                len(pairs), max(pairs.values(), default=0),
            )
        )  # fmt: skip
    return found


def load_table(loads: list[UnitLoad]) -> str:
    """The loads as Markdown."""
    head = (
        "| plan | round | unit | visits | inspectors | leading | visits of one | pairs | visits of a pair |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    lines = [
        f"| {one.plan_id} | {one.round} | {one.unit_id} | {one.visits} | {one.inspectors} | {one.leaders} | "
        f"{one.fewest} to {one.most} | {one.pairs} | up to {one.most_of_a_pair} |"
        for one in loads
    ]
    return "\n".join([head, *lines])
