"""Why a unit has no lawful assignment, in words that name enterprises, inspectors and reasons.

Here: `InfeasibleUnit` and how it is made from what `inspection.teams.team_choice` found. Not here: the choice itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from credit_pipeline.inspection.teams.team_choice import HallSet, Inspector, Visit, missing_edge

_LATELY = "handled_recently"
_SHOWN = 12
"""Enterprises and inspectors spelled out in a message; the report holds all."""


@dataclass
class UnitTeams:
    """What is known of one unit."""

    visits: dict[str, tuple[str, Visit]]
    """By uscc, with the unit that drew it."""
    inspectors: dict[str, Inspector]
    excluded: dict[str, str]
    already: dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class InfeasibleUnit:
    """A unit without a lawful assignment: nobody is assigned in it, and this says why.

    `reason` is `too_few_inspectors` or `no_full_assignment`. For the latter `enterprises` is a Hall set: together
    have `demand` places in their teams, and `inspectors`, all that are allowed to visit any of them, can fill only
    `supply`. `obstacles`: (uscc, inspector_id, why he may not go) for every inspector of the unit's roster, in or out of
    it: "recusal: relative", "region 411330 only", "lacks skill 食品安全", "certificate_expired" and the other reasons of
    the roster; inspector_id '' and "leader" where nobody allowed for the enterprise may lead.
    """

    unit_id: str
    reason: str
    enterprises: tuple[str, ...]
    inspectors: tuple[str, ...]
    demand: int
    supply: int
    obstacles: tuple[tuple[str, str, str], ...] = ()

    def message(self) -> str:
        if self.reason == "too_few_inspectors":
            text = (
                f"Unit {self.unit_id}: {len(self.inspectors)} valid inspector(s) for {len(self.enterprises)} "
                "drawn enterprise(s); each visit needs more. Add inspectors with valid certificates to its "
                "directory."
            )
        else:
            text = (
                f"Unit {self.unit_id}: no lawful assignment exists. {len(self.enterprises)} enterprise(s) "
                f"({_few(self.enterprises)}) have {self.demand} places in their teams; the inspectors allowed for them "
                f"({_few(self.inspectors) or 'none'}) can fill {self.supply}. Add inspectors or leaders who may go "
                "there, correct their regions and skills in the directory, or settle the recusals."
            )
            if any(why.endswith(_LATELY) for _, _, why in self.obstacles):
                text += (
                    f" {_LATELY}: the policy's handled_recently_rounds keeps away who inspected it lately."
                )
        return f"{text} {self._obstacles_text()}".rstrip()

    def _obstacles_text(self) -> str:
        """Inspectors with the same obstacle for the same enterprises are named together."""
        where: dict[tuple[str, str], list[str]] = defaultdict(list)
        for uscc, inspector, why in self.obstacles:
            where[inspector, why].append(uscc)
        who: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
        for (inspector, why), usccs in where.items():
            who[why, tuple(usccs)].append(inspector)
        parts = []
        for (why, enterprises), inspectors in sorted(who.items()):
            places = "" if set(enterprises) >= set(self.enterprises) else f" for {_few(enterprises)}"
            names = _few([one for one in inspectors if one])
            parts.append(f"{why}{places}: {names}" if names else f"nobody allowed may lead{places}")
        return f"Why the others cannot: {_few(parts, '; ')}." if parts else ""


def too_few_inspectors(unit_id: str, unit: UnitTeams, per_visit: int) -> InfeasibleUnit:
    usccs = tuple(sorted(unit.visits))
    obstacles = tuple((uscc, one, why) for uscc in usccs for one, why in sorted(unit.excluded.items()))
    demand, supply = per_visit * len(usccs), len(unit.inspectors) * len(usccs)
    names = tuple(sorted(unit.inspectors))
    return InfeasibleUnit(unit_id, "too_few_inspectors", usccs, names, demand, supply, obstacles)


def no_full_assignment(
    unit_id: str,
    unit: UnitTeams,
    hall: HallSet,
    recusals: dict[tuple[str, str], str],
) -> InfeasibleUnit:
    obstacles: list[tuple[str, str, str]] = []
    has_leader = any(one.is_leader for one in unit.inspectors.values())
    for uscc in hall.usccs:
        visit, may_lead = unit.visits[uscc][1], not has_leader
        for inspector_id, inspector in sorted(unit.inspectors.items()):
            why = missing_edge(visit, inspector, recusals.get((inspector_id, uscc)))
            if not why:
                may_lead = may_lead or inspector.is_leader
            else:
                obstacles.append((uscc, inspector_id, why))
        obstacles += ((uscc, one, why) for one, why in sorted(unit.excluded.items()))
        if not may_lead:
            obstacles.append((uscc, "", "leader"))
    return InfeasibleUnit(
        unit_id,
        "no_full_assignment",
        hall.usccs,
        hall.inspectors,
        hall.demand,
        hall.supply,
        tuple(obstacles),
    )


def _few(names: Collection[str], separator: str = ", ") -> str:
    shown = separator.join(list(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}{separator}and {len(names) - _SHOWN} more"
