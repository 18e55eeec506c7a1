"""Units to choose teams for, and the choice replayed from its description with networkx as the only judge of flows."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from math import comb
from typing import Any

import networkx as nx  # type: ignore[import-untyped, unused-ignore]
import pyarrow as pa

from credit_pipeline.inspection.teams.assignment import Assignment, assign

USCCS = [f"914113000000000{number:02d}X" for number in range(60)]
ROSTER = ("unit_id", "inspector_id", "is_leader", "region_prefix", "skills", "excluded_reason")
VISITS = ("unit_id", "draw_unit_id", "uscc", "region", "required_skills")


def seed(number: int) -> str:
    return hashlib.sha256(f"seed {number}".encode()).hexdigest()


@dataclass
class Unit:
    """Inspectors: id -> (is_leader, region_prefix, skills); visits: uscc -> (region, skills)."""

    inspectors: dict[str, tuple[bool, str, str]]
    visits: dict[str, tuple[str, str]]
    recusals: set[tuple[str, str]] = field(default_factory=set)
    per: int = 2
    already: pa.Table | None = None
    unit_id: str = "A01"

    def visit_table(self) -> pa.Table:
        rows = [(self.unit_id, self.unit_id, uscc, *where) for uscc, where in self.visits.items()]
        return table(VISITS, rows)

    def roster_table(self) -> pa.Table:
        return table(ROSTER, [(self.unit_id, one, *what, "") for one, what in self.inspectors.items()])

    def recusal_table(self) -> pa.Table:
        return table(
            ("inspector_id", "uscc", "reason"), [(*pair, "relative") for pair in sorted(self.recusals)]
        )

    def assign(self, number: int, **options: Any) -> Assignment:
        return assign(
            self.visit_table(), self.roster_table(), self.recusal_table(), seed(number),
            inspectors_per_visit=self.per, already=self.already, **options,
        )  # fmt: skip

    def allowed(self, uscc: str) -> list[str]:
        region, needed = self.visits[uscc]
        return [
            one
            for one, (_, prefix, skills) in sorted(self.inspectors.items())
            if (one, uscc) not in self.recusals
            and (not region or region.startswith(prefix))
            and {skill for skill in needed.split("+") if skill} <= set(skills.split("+"))
        ]


def table(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> pa.Table:
    kinds = {"is_leader": pa.bool_()}
    schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=schema)


def plain(leaders: dict[str, bool], count: int, **more: Any) -> Unit:
    """A unit whose inspectors may go anywhere, with `count` enterprises."""
    return Unit(
        {one: (is_leader, "", "") for one, is_leader in leaders.items()},
        dict.fromkeys(USCCS[:count], ("", "")),
        **more,
    )


def teams(found: Assignment) -> dict[str, tuple[str, ...]]:
    got: dict[str, list[str]] = defaultdict(list)
    for row in found.assignments.to_pylist():
        got[row["uscc"]].append(row["inspector_id"])
    return {uscc: tuple(team) for uscc, team in got.items()}


class Replay:
    """The description of `team_choice` once more: every decision asks a maximum flow of its own."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.leaders = {one for one, what in unit.inspectors.items() if what[0]}
        rows = unit.already.to_pylist() if unit.already is not None else []
        self.loads = Counter(row["inspector_id"] for row in rows)
        before: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            before[row["uscc"]].append(row["inspector_id"])
        self.visits_before = len(before)
        self.pairs = Counter(
            frozenset(pair) for team in before.values() for pair in combinations(sorted(team), 2)
        )

    def _network(self, fixed: dict[str, list[str]], room: dict[str, int]) -> Any:
        graph = nx.DiGraph()
        graph.add_nodes_from(["source", "sink"])
        for uscc in self.unit.visits:
            taken = fixed.get(uscc, [])
            left = self.unit.per - len(taken)
            graph.add_edge("source", ("visit", uscc), capacity=left)
            has_leader = bool(self.leaders & set(taken))
            gate = left if has_leader or not self.leaders else left - 1
            graph.add_edge(("visit", uscc), ("gate", uscc), capacity=gate)
            for one in self.unit.allowed(uscc):
                if one not in taken:
                    start = ("visit" if one in self.leaders else "gate", uscc)
                    graph.add_edge(start, ("inspector", one), capacity=1)
        used = Counter(one for team in fixed.values() for one in team)
        for one in self.unit.inspectors:
            graph.add_edge(("inspector", one), "sink", capacity=room[one] - used[one])
        return graph

    def fits(self, fixed: dict[str, list[str]], room: dict[str, int]) -> bool:
        used = Counter(one for team in fixed.values() for one in team)
        if any(used[one] > room[one] for one in used):
            return False
        for uscc, team in fixed.items():
            if len(team) == self.unit.per and self.leaders and not self.leaders & set(team):
                return False
            assert uscc in self.unit.visits
        wanted = self.unit.per * len(self.unit.visits) - sum(len(team) for team in fixed.values())
        return bool(nx.maximum_flow_value(self._network(fixed, room), "source", "sink") == wanted)

    def _room(self, level: dict[str, int], slack: int) -> dict[str, int]:
        return {one: max(0, number + slack - self.loads[one]) for one, number in level.items()}

    def rooms(self) -> dict[str, int] | None:
        """Step 3 of the description; None if no lawful assignment exists."""
        unit, everyone = self.unit, sorted(self.unit.inspectors)
        if len(everyone) < unit.per:
            return None
        loads = sum(self.loads[one] for one in everyone)
        share = -(-(unit.per * len(unit.visits) + loads) // len(everyone))
        level = dict.fromkeys(everyone, share)
        if self.leaders:
            led = len(unit.visits) + sum(self.loads[one] for one in self.leaders)
            level |= {one: max(share, -(-led // len(self.leaders))) for one in self.leaders}
        while True:
            graph = self._network({}, self._room(level, 0))
            # networkx' own minimum cut is the one nearest the sink: the near side is searched in the residual.
            residual = nx.algorithms.flow.preflow_push(graph, "source", "sink")
            if residual.graph["flow_value"] == unit.per * len(unit.visits):
                return self._room(level, 1)
            reached, queue = {"source"}, ["source"]
            for node in queue:
                for following, arc in residual[node].items():
                    if following not in reached and arc["flow"] < arc["capacity"]:
                        reached.add(following)
                        queue.append(following)
            raised = [one for one in everyone if ("inspector", one) in reached]
            if not raised:
                return None
            for one in raised:
                level[one] += 1

    def run(self, text: str) -> dict[str, list[tuple[str, int, str]]] | None:
        """uscc -> (inspector, rank, skipped) in order; None if there is no lawful assignment."""
        unit, room = self.unit, self.rooms()
        if room is None:
            return None
        limit = 1 + -(
            -(len(unit.visits) + self.visits_before) * comb(unit.per, 2) // comb(len(unit.inspectors), 2)
        )

        def order(label: str, ids: list[str]) -> list[str]:
            return sorted(ids, key=lambda one: hashlib.sha256(f"{label}|{one}".encode()).hexdigest())

        fixed: dict[str, list[str]] = {}
        result = {}
        for uscc in order(f"FIRM1|{text}|{unit.unit_id}", list(unit.visits)):
            team: list[str] = []
            fixed[uscc] = team
            candidates = order(f"ASSIGN1|{text}|{uscc}", unit.allowed(uscc))
            rows: list[tuple[str, int, str]] = []
            skipped: list[str] = []
            later: list[str] = []
            for again in (False, True):
                for one in later if again else candidates:
                    if len(team) == unit.per:
                        break
                    used = sum(one in other for other in fixed.values())
                    if not again and any(self.pairs[frozenset((one, mate))] >= limit for mate in team):
                        later.append(one)
                        reason = "paired_often"
                    elif used == room[one]:
                        reason = "at_capacity"
                    elif self.fits({**fixed, uscc: [*team, one]}, room):
                        team.append(one)
                        rows.append((one, candidates.index(one) + 1, ";".join(skipped)))
                        skipped = []
                        continue
                    elif len(team) == unit.per - 1 and self.leaders and not self.leaders & {*team, one}:
                        reason = "needs_leader"
                    else:
                        reason = "reserved"
                    skipped.append(f"{one}:{reason}")
            self.pairs.update(frozenset(pair) for pair in combinations(team, 2))
            result[uscc] = rows
        return result
