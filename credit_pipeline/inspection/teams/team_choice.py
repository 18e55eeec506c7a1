"""The teams of one unit: seeded order with exact look-ahead. Standard library only, so that a verifier can copy it.

Not here: tables and several units (`inspection.teams.assignment`), roster and recusals (dbt models).

The algorithm, exactly (k = inspectors per visit; every number is whole, every comparison of text is of code points):

1. Edges. An inspector may visit an enterprise if no recusal names the two, the enterprise's region is unknown ('')
   or begins with his region_prefix, and he has every skill the visit requires.
2. Leaders. If the unit has any leader, every visit needs one of its k inspectors to be a leader.
3. Capacity. load(i) are the visits given to i in earlier waves. level(i) = ceil((k x visits + all loads) /
   inspectors); for a leader at least ceil((visits + loads of the leaders) / leaders). While the greatest number of
   places that can be filled with room(i) = max(0, level(i) - load(i)) is less than k x visits: take the minimum cut
   nearest the visits and add 1 to the level of every inspector on its near side; if there is none, no lawful
   assignment exists, and the near side is the Hall set. At the end capacity(i) = level(i) + 1 and room(i) = max(0,
   capacity(i) - load(i)). The near side is what can be reached in the residual graph from visits with empty places; it
   is the same for every maximum flow. The network:
   source -> visit (k) -> leader (1); visit -> its gate (k - 1; k if the unit has no leader) -> other inspector (1);
   inspector -> sink (room).
4. Order. Visits come by (SHA-256("FIRM1|seed|unit|uscc"), uscc), the candidates of each (inspectors with an edge)
   by (SHA-256("ASSIGN1|seed|uscc|inspector"), inspector). unit is the inspectors' unit.
5. Choice. Each visit tries its candidates in order; one is taken unless, in this order of the reasons,
   paired_often  (first pass only) a pair of him and one already in the team was used `limit` times or more in this
                 unit, earlier waves included; limit = ceil(visits x C(k,2) / C(inspectors,2)) + 1, visits = all of the
                 unit in this and in earlier waves
   at_capacity   his room is used up by what is fixed
   needs_leader  one place is left, the visit needs a leader and has none, and he is none
   reserved      with him fixed here no full assignment would be left for everybody
   When the candidates are used up and places are empty, a second pass tries those passed over as paired_often, in the
   same order, without that rule. The first leader taken leads, the others are members.

Why a full assignment is found whenever one exists: before each decision a full assignment exists that keeps all that
is fixed (3, then induction). Somebody in it fills the next place of this visit; he is a candidate, and he is tried in
the first or the second pass. at_capacity, needs_leader and reserved stay true when more is fixed, so nobody rejected
for them has to be tried again, while paired_often never rejects in the second pass. So the pair rule reorders
candidates and costs no exactness; it is a wish, not a promise. Levels give way only to the law: they rise where region,
skill, leaders and recusals force an uneven share, and nowhere else.

It is not quite the uniform choice among all lawful assignments: over the 5,157 of a toy (6 enterprises, 5 inspectors,
recusals, capacity 3, no leader, no pair rule) a marginal was off by 0.038 at most.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True)
class Visit:
    uscc: str
    region: str = ""
    skills: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Inspector:
    inspector_id: str
    is_leader: bool
    region_prefix: str = ""
    skills: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Place:
    """One inspector of one visit, as `SCHEMA` of `inspection.teams.assignment` describes it."""

    uscc: str
    inspector_id: str
    eligible_count: int
    rank_taken: int
    skipped: str


@dataclass(frozen=True)
class HallSet:
    """Visits that together need `demand` places and cannot get more than `supply`; `inspectors` are allowed for any
    of them.
    """

    usccs: tuple[str, ...]
    inspectors: tuple[str, ...]
    demand: int
    supply: int


def missing_edge(visit: Visit, inspector: Inspector, recusal: str | None) -> str:
    """Why the inspector may not visit the enterprise; '' if he may. `recusal`: reason of the recusal, if any."""
    if recusal is not None:
        return f"recusal: {recusal}"
    if visit.region and not visit.region.startswith(inspector.region_prefix):
        return f"region {inspector.region_prefix} only"
    lacking = sorted(visit.skills - inspector.skills)
    return f"lacks skill {'+'.join(lacking)}" if lacking else ""


def choose_teams(
    unit_id: str,
    visits: Iterable[Visit],
    inspectors: Iterable[Inspector],
    recusals: Mapping[tuple[str, str], str],
    seed: str,
    *,
    per_visit: int,
    loads: Mapping[str, int] | None = None,
    pairs: Mapping[tuple[str, str], int] | None = None,
    visits_before: int = 0,
) -> list[Place] | HallSet:
    """The teams of one unit, visit by visit in seeded order, or the conflict that prevents them.

    `recusals`: (inspector_id, uscc) to reason. `loads` and `pairs` (ids sorted) count the earlier waves, in which the
    unit had `visits_before` enterprises.
    """
    ordered = sorted(visits, key=lambda visit: (_hash(f"FIRM1|{seed}|{unit_id}|{visit.uscc}"), visit.uscc))
    roster = sorted(inspectors, key=lambda one: one.inspector_id)
    matching = _Matching(ordered, roster, recusals, per_visit, loads or {})
    hall = matching.fill()
    if hall is not None:
        return hall
    used = dict(pairs or {})
    possible_pairs = len(roster) * (len(roster) - 1) // 2
    wanted_pairs = (len(ordered) + visits_before) * (per_visit * (per_visit - 1) // 2)
    limit = -(-wanted_pairs // possible_pairs) + 1 if possible_pairs else wanted_pairs + 1
    places: list[Place] = []
    for index in range(len(ordered)):
        places += _take(matching, index, seed, used, limit)
    return places


def pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _take(
    matching: _Matching, index: int, seed: str, used: dict[tuple[str, str], int], limit: int
) -> list[Place]:
    uscc = matching.visits[index].uscc
    team: list[str] = []
    allowed = matching.allowed(index)
    candidates = sorted(allowed, key=lambda one: (_hash(f"ASSIGN1|{seed}|{uscc}|{one}"), one))
    ranks = {candidate: rank for rank, candidate in enumerate(candidates, start=1)}
    places: list[Place] = []
    skipped: list[str] = []
    again: list[str] = []
    for is_first, tried in ((True, candidates), (False, again)):
        for candidate in tried:
            if len(team) == matching.per_visit:
                break
            reason: str | None
            if is_first and any(used.get(pair(candidate, mate), 0) >= limit for mate in team):
                reason = "paired_often"
                again.append(candidate)
            else:
                reason = matching.try_to_fix(index, candidate)
            if reason is not None:
                skipped.append(f"{candidate}:{reason}")
                continue
            places.append(Place(uscc, candidate, len(ranks), ranks[candidate], ";".join(skipped)))
            team.append(candidate)
            skipped = []
    for one, other in combinations(sorted(team), 2):
        used[one, other] = used.get((one, other), 0) + 1
    return places


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _bits(mask: int) -> Iterable[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


Node = tuple[str, int]


class _Matching:
    """A full assignment of one unit that is changed as little as each decision needs.

    A flow network: visit -> leaders directly, visit -> its gate -> other inspectors, the gate as wide as the places
    that need no leader (no gates in a unit without leaders); inspector -> sink, as wide as his room. Inspectors are
    bits of an integer.
    """

    def __init__(
        self,
        visits: Sequence[Visit],
        roster: Sequence[Inspector],
        recusals: Mapping[tuple[str, str], str],
        per_visit: int,
        loads: Mapping[str, int],
    ) -> None:
        self.visits = visits
        self.ids = [one.inspector_id for one in roster]
        self._bit = {one: bit for bit, one in enumerate(self.ids)}
        self.leader_mask = sum(1 << bit for bit, one in enumerate(roster) if one.is_leader)
        self.per_visit = per_visit
        self.eligible = self._edges(roster, recusals)
        self.before = [loads.get(one, 0) for one in self.ids]
        self.level = self._first_levels()
        self.held = [0] * len(visits)
        self.fixed = [0] * len(visits)
        self.load = [0] * len(self.ids)
        self.fixed_load = [0] * len(self.ids)
        self.movable: list[set[int]] = [set() for _ in self.ids]
        """Per inspector the visits that hold him and have not fixed him."""
        self.room = self._rooms(0)

    def _edges(self, roster: Sequence[Inspector], recusals: Mapping[tuple[str, str], str]) -> list[int]:
        kinds: dict[tuple[str, frozenset[str]], int] = {}
        recused: dict[str, int] = {}
        for inspector, uscc in recusals:
            if inspector in self._bit:
                recused[uscc] = recused.get(uscc, 0) | 1 << self._bit[inspector]
        masks = []
        for visit in self.visits:
            kind = (visit.region, visit.skills)
            if kind not in kinds:
                kinds[kind] = sum(
                    1 << bit for bit, one in enumerate(roster) if not missing_edge(visit, one, None)
                )
            masks.append(kinds[kind] & ~recused.get(visit.uscc, 0))
        return masks

    def _first_levels(self) -> list[int]:
        share = -(-(self.per_visit * len(self.visits) + sum(self.before)) // max(len(self.ids), 1))
        leaders = list(_bits(self.leader_mask))
        led = len(self.visits) + sum(self.before[bit] for bit in leaders)
        lead_share = max(share, -(-led // max(len(leaders), 1)))
        return [lead_share if self.leader_mask >> bit & 1 else share for bit in range(len(self.ids))]

    def _rooms(self, slack: int) -> list[int]:
        return [max(0, level + slack - before) for level, before in zip(self.level, self.before, strict=True)]

    def allowed(self, index: int) -> list[str]:
        return [self.ids[bit] for bit in _bits(self.eligible[index])]

    def fill(self) -> HallSet | None:
        """Finds a full assignment and sets the rooms; otherwise the Hall set."""
        for index in range(len(self.visits)):
            # Where no path leads from a visit, none will after others got theirs: one try for each is a maximum flow.
            self._serve(index)
        while True:
            starved = [i for i, held in enumerate(self.held) if held.bit_count() < self.per_visit]
            if not starved:
                self.room = self._rooms(1)
                return None
            reached = self._augment([("visit", index) for index in starved])
            if reached is None:
                continue
            full = [bit for kind, bit in reached if kind == "inspector"]
            if not full:
                return self._hall_set(reached)
            for bit in full:
                self.level[bit] += 1
            self.room = self._rooms(0)

    def _serve(self, index: int) -> None:
        while self.held[index].bit_count() < self.per_visit:
            if self._augment([("visit", index)]) is not None:
                return

    def try_to_fix(self, index: int, inspector: str) -> str | None:
        """Gives the place to `inspector` for good: None, or the reason why a full assignment would be lost."""
        bit = self._bit[inspector]
        if self.fixed_load[bit] >= self.room[bit]:
            return "at_capacity"
        if not self.held[index] >> bit & 1:
            given_up = self._exchangeable(index, bit)
            if given_up is None:
                return "needs_leader"
            self._release(index, given_up)
            self._hold(index, bit)
            self.movable[bit].discard(index)
            # More than his room now: somebody later must be served by somebody else.
            if self.load[bit] > self.room[bit] and self._augment([("inspector", bit)]) is not None:
                self._release(index, bit)
                self._hold(index, given_up)
                return "reserved"
        self.movable[bit].discard(index)
        self.fixed[index] |= 1 << bit
        self.fixed_load[bit] += 1
        return None

    def _exchangeable(self, index: int, bit: int) -> int | None:
        """A held, unfixed inspector who can make room for `bit` with a leader remaining; which one does not
        matter.

        If any full assignment holds the fixed ones and `bit`, it is reached from here by an augmenting path
        (the two differ by cycles and one path from the overloaded inspector to a free one).
        """
        loose = self.held[index] & ~self.fixed[index]
        if not self.leader_mask or 1 << bit & self.leader_mask:
            choices = loose
        else:
            leaders_held = self.held[index] & self.leader_mask
            choices = loose & ~self.leader_mask or (loose if leaders_held & (leaders_held - 1) else 0)
        return choices.bit_length() - 1 if choices else None

    def _hold(self, index: int, bit: int) -> None:
        self.held[index] |= 1 << bit
        self.load[bit] += 1
        self.movable[bit].add(index)

    def _release(self, index: int, bit: int) -> None:
        self.held[index] &= ~(1 << bit)
        self.load[bit] -= 1
        self.movable[bit].discard(index)

    def _augment(self, starts: list[Node]) -> set[Node] | None:
        """Moves one place along an augmenting path from a visit that lacks one or an inspector with one too many.

        None if it was moved, else everything that can be reached: the near side of a minimum cut.
        """
        parents: dict[Node, Node | None] = dict.fromkeys(starts)
        queue = list(starts)
        overloaded = starts[0] if starts[0][0] == "inspector" else None
        seen = 1 << overloaded[1] if overloaded else 0
        for node in queue:
            kind, number = node
            if kind == "inspector":
                if node != overloaded and self.load[number] < self.room[number]:
                    self._shift(node, parents)
                    return None
                is_leader = self.leader_mask >> number & 1
                following = [
                    ("visit" if is_leader or not self.leader_mask else "gate", index)
                    for index in sorted(self.movable[number])
                ]
            else:
                choice = self.eligible[number] & ~self.held[number] & ~seen
                following = []
                if self.leader_mask:
                    others_held = (self.held[number] & ~self.leader_mask).bit_count()
                    if kind == "visit":
                        choice &= self.leader_mask
                        if others_held < self.per_visit - 1:
                            following.append(("gate", number))
                    else:
                        choice &= ~self.leader_mask
                        if others_held:
                            following.append(("visit", number))
                seen |= choice
                following += (("inspector", bit) for bit in _bits(choice))
            for reached in following:
                if reached not in parents:
                    parents[reached] = node
                    queue.append(reached)
        return set(parents)

    def _shift(self, node: Node, parents: dict[Node, Node | None]) -> None:
        """Applies the path that ends in `node`: each inspector on it is taken by the visit he was reached from."""
        while True:
            holder = parents[node]
            if holder is None:
                return
            index, before = holder[1], parents[holder]
            while before is not None and before[0] != "inspector":
                before = parents[before]  # a gate and its visit: the same index
            self._hold(index, node[1])
            if before is None:
                return
            self._release(index, before[1])
            if parents[before] is None:
                return
            node = before

    def _hall_set(self, reached: set[Node]) -> HallSet:
        """The visits of a near side that holds no inspector: everybody allowed for them goes already."""
        group = sorted(index for kind, index in reached if kind == "visit")
        supply = allowed = 0
        for index in group:
            able = self.eligible[index]
            if self.leader_mask and ("gate", index) not in reached:
                supply += (able & self.leader_mask).bit_count() + self.per_visit - 1
            else:
                supply += able.bit_count()
            allowed |= able
        return HallSet(
            tuple(sorted(self.visits[index].uscc for index in group)),
            tuple(self.ids[bit] for bit in _bits(allowed)),
            self.per_visit * len(group),
            supply,
        )
