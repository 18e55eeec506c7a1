"""What a year of draws would cost and find with these ratios or others: arithmetic on counts, nothing of it random.

Here: workload, expected findings and coverage of ratios; which ratios law and rules allow; what a unit can carry. Not here:
where the counts come from (`planning`), pictures (`plan_pictures`).

A *place* is one chance to be drawn: plan, unit, item, grade. Enterprises with the same places form a group, and groups are
all that is known here: how many enterprises, and the sum of their calibrated probabilities of a breach. An enterprise's
ticket is the same for all items of a unit, so it is visited by the unit with the largest of its items' chances, once; units
draw independently, so it stays unvisited with the product of what is left. Chances are quota / stratum of the whole year:
rounds divide a year's quota, they do not change it. Caps on visits per enterprise are not subtracted: what they keep
away is replaced by the next in rank.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from credit_pipeline.errors import BadInput

GRADES = "ABCDE"
SCALED = "CDE"
"""Grades whose ratios are policy and not the notice's word."""
WHOLE = 10_000
SLACK = 1e-6
"""Inspector-days: what floating-point sums may be off."""
FACTORS_BP = (5000, 6000, 7000, 8000, 9000, 10000, 12500, 15000, 17500, 20000)
"""Scales of today's C to E that the daily table shows."""

Place = tuple[str, str, str, str]
"""plan_id, unit_id, item_code, grade."""
Visit = tuple[str, str]
"""plan_id, unit_id: all items of an enterprise drawn by a unit in a round are one visit."""


@dataclass(frozen=True)
class Cell:
    """The rule of a place, as the quotas of the round in force have it."""

    ratio_bp: int
    rounding: str
    is_safety: bool
    cap_bp: int


@dataclass(frozen=True)
class Group:
    """Enterprises that have the same chances of being drawn."""

    places: tuple[Place, ...]
    exempt: tuple[Place, ...]
    """Places in which law spares them: a draw blind to grades would have reached them there."""
    enterprises: int
    breaches: float
    """Sum of their calibrated probabilities."""


@dataclass(frozen=True)
class Means:
    """What a unit has for a year."""

    inspectors: int
    leaders: int


@dataclass(frozen=True)
class Plan:
    """A plan of the year in force."""

    template: str
    rounds_per_year: int
    initiator: str
    cooperating: tuple[str, ...] = ()

    def team(self, drawing_unit: str) -> tuple[str, ...]:
        """The units whose inspectors go on a visit."""
        return (drawing_unit,) if self.initiator == "*" else (self.initiator, *self.cooperating)


@dataclass(frozen=True)
class Workbench:
    """Everything a what-if needs: counts and rules, no enterprise."""

    as_of_date: str
    plans: Mapping[str, Plan]
    cells: Mapping[Place, Cell]
    groups: Sequence[Group]
    means: Mapping[str, Means]
    inspectors_per_visit: int
    visits_per_team_day: int
    days_per_inspector: int
    exploration_floor_bp: int = 0
    rates: Mapping[str, float] = field(default_factory=dict)
    """Rate of breaches per grade estimated from past random inspections, where known."""

    @cached_property
    def sizes(self) -> dict[Place, int]:
        """Enterprises of every stratum that may be drawn in the year."""
        found: dict[Place, int] = defaultdict(int)
        for group in self.groups:
            for place in group.places:
                found[place] += group.enterprises
        return dict(found)

    @cached_property
    def pools(self) -> dict[Visit, int]:
        """Enterprises that a draw blind to grades would choose from, per plan and unit."""
        found: dict[Visit, int] = defaultdict(int)
        for group in self.groups:
            for visit in sorted({place[:2] for place in (*group.places, *group.exempt)}):
                found[visit] += group.enterprises
        return dict(found)

    @cached_property
    def bundles(self) -> dict[Visit, dict[tuple[Place, ...], int]]:
        """Per plan and unit: enterprises by the places they have there, for workload alone."""
        found: dict[Visit, dict[tuple[Place, ...], int]] = defaultdict(lambda: defaultdict(int))
        for group in self.groups:
            for visit, places in _by_visit(group.places).items():
                found[visit][places] += group.enterprises
        return {visit: dict(bundle) for visit, bundle in found.items()}

    @property
    def enterprises(self) -> int:
        """Enterprises in the directories of the plans."""
        return sum(group.enterprises for group in self.groups)

    @property
    def breaches(self) -> float:
        """Breaches expected among them."""
        return sum(group.breaches for group in self.groups)

    def today(self) -> dict[Place, int]:
        """The ratios in force."""
        return {place: cell.ratio_bp for place, cell in self.cells.items()}


@dataclass(frozen=True)
class Outcome:
    """A year as expected."""

    visits: Mapping[Visit, float]
    findings_by_visit: Mapping[Visit, float]
    visits_by_grade: Mapping[str, float]
    findings: float
    """Visits to enterprises that have a breach, by the calibrated probabilities."""
    findings_by_rates: float | None
    """The same by the rates estimated from past random inspections; None where a visited grade has none."""
    inspected: float
    """Enterprises visited at least once by anybody."""
    breaches_reached: float

    @property
    def total(self) -> float:
        return sum(self.visits.values())


@dataclass(frozen=True)
class Load:
    """What a unit has to carry and can carry in a year."""

    unit_id: str
    visits: float
    inspector_days: float
    capacity_days: int
    leader_days: float
    leader_capacity_days: int

    @property
    def over_days(self) -> float:
        """Inspector-days beyond capacity, of inspectors or of leaders, whichever lacks more; 0 if it fits."""
        over = max(self.inspector_days - self.capacity_days, self.leader_days - self.leader_capacity_days)
        return over if over > SLACK else 0.0


def quota(size: int, ratio_bp: int, rounding: str) -> int:
    """Enterprises a ratio draws from a stratum in a year."""
    wanted = size * ratio_bp
    if rounding == "ceil":
        found = -(-wanted // WHOLE)
    elif rounding == "half_up":
        found = (2 * wanted + WHOLE) // (2 * WHOLE)
    else:
        found = wanted // WHOLE
    return min(size, found)


def _by_visit(places: Sequence[Place]) -> dict[Visit, tuple[Place, ...]]:
    found: dict[Visit, list[Place]] = defaultdict(list)
    for place in places:
        found[place[:2]].append(place)
    return {visit: tuple(items) for visit, items in found.items()}


def chances(
    bench: Workbench, ratios: Mapping[Place, int], visits: Collection[Visit] | None = None
) -> dict[Place, float]:
    """Chance of being drawn in the year, of every stratum (of these plans and units)."""
    return {
        place: quota(size, ratios.get(place, 0), bench.cells[place].rounding) / size
        for place, size in bench.sizes.items()
        if place in bench.cells and (visits is None or place[:2] in visits)
    }


def simulate(bench: Workbench, ratios: Mapping[Place, int]) -> Outcome:
    """The year as expected with the ratios."""
    chance = chances(bench, ratios)
    return _expect(bench, lambda _, places: max((chance.get(place, 0.0) for place in places), default=0.0))


def uniform(bench: Workbench, like: Outcome) -> Outcome:
    """The same number of visits of every plan and unit, drawn blind to grades from everybody in its directory."""
    chance = {
        visit: min(1.0, number / bench.pools[visit])
        for visit, number in like.visits.items()
        if bench.pools.get(visit)
    }
    return _expect(bench, lambda visit, _: chance.get(visit, 0.0))


def _expect(bench: Workbench, chance_of: Callable[[Visit, tuple[Place, ...]], float]) -> Outcome:
    visits: dict[Visit, float] = defaultdict(float)
    hits: dict[Visit, float] = defaultdict(float)
    by_grade: dict[str, float] = defaultdict(float)
    inspected = reached = 0.0
    for group in bench.groups:
        left = 1.0
        open_, spared = _by_visit(group.places), _by_visit(group.exempt)
        for visit in sorted({*open_, *spared}):
            places = open_.get(visit, ())
            chance = chance_of(visit, places)
            visits[visit] += group.enterprises * chance
            by_grade[(places or spared[visit])[0][3]] += group.enterprises * chance
            hits[visit] += group.breaches * chance
            left *= 1.0 - chance
        inspected += group.enterprises * (1.0 - left)
        reached += group.breaches * (1.0 - left)
    drawn = {grade: number for grade, number in sorted(by_grade.items()) if number > 0}
    by_rates = (
        sum(number * bench.rates[grade] for grade, number in drawn.items())
        if drawn and bench.rates.keys() >= drawn.keys()
        else None
    )
    return Outcome(dict(visits), dict(hits), dict(by_grade), sum(hits.values()), by_rates, inspected, reached)


def loads(bench: Workbench, visits: Mapping[Visit, float]) -> list[Load]:
    """What every unit carries: each visit of a plan takes inspectors of every unit of its team. By unit."""
    number: dict[str, float] = defaultdict(float)
    for (plan_id, unit), count in sorted(visits.items()):
        for member in bench.plans[plan_id].team(unit):
            number[member] += count
    return [_load(bench, unit, number.get(unit, 0.0)) for unit in sorted({*bench.means, *number})]


def _load(bench: Workbench, unit: str, visits: float) -> Load:
    means = bench.means.get(unit, Means(0, 0))
    team_days = visits / bench.visits_per_team_day
    return Load(
        unit,
        visits,
        team_days * bench.inspectors_per_visit,
        means.inspectors * bench.days_per_inspector,
        team_days,
        means.leaders * bench.days_per_inspector,
    )


def scaled(bench: Workbench, factor_bp: int) -> dict[Place, int]:
    """Today's ratios with those of C to E times a factor: never below the ratio of B, never above the item's cap."""
    found = bench.today()
    for place in found:
        if place[3] in SCALED:
            cell = bench.cells[place]
            least = found.get((*place[:3], "B"), 0)
            found[place] = min(cell.cap_bp, WHOLE, max(least, cell.ratio_bp * factor_bp // WHOLE))
    return found


def fitting_factor_bp(bench: Workbench, unit: str) -> int | None:
    """The largest scale of C to E, up to today's, with which the unit carries its plans; None if not even B's ratio fits.

    All plans in whose teams the unit is are scaled alike.
    """
    concerned = sorted(visit for visit in bench.bundles if unit in bench.plans[visit[0]].team(visit[1]))

    def fits(factor: int) -> bool:
        chance = chances(bench, scaled(bench, factor), concerned)
        number = sum(
            count * max((chance.get(place, 0.0) for place in places), default=0.0)
            for visit in concerned
            for places, count in bench.bundles[visit].items()
        )
        return _load(bench, unit, number).over_days == 0

    if not fits(0):
        return None
    low, high = 0, WHOLE
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def proposed(
    bench: Workbench,
    ratios_bp: Mapping[str, int],
    *,
    unit: str | None = None,
    item: str | None = None,
    plan: str | None = None,
) -> dict[Place, int]:
    """Today's ratios with others for some grades, if law and the rules of the policy allow them.

    Raises:
        BadInput: nothing matches, the notice fixes the grade, the item is capped, or a ratio would fall with the grade.
    """
    for name, value, known in (
        ("unit", unit, {place[1] for place in bench.cells}),
        ("item", item, {place[2] for place in bench.cells}),
        ("plan", plan, {found.template for found in bench.plans.values()}),
    ):
        if value is not None and value not in known:
            raise BadInput(f"--{name} {value}: no plan in force has it; known: {', '.join(sorted(known))}")
    if "B" in ratios_bp:
        raise BadInput(
            "B: the notice gives B a ratio of 5 %; remedy: an exception in inspection_exceptions.csv (R10)"
        )
    found = bench.today()
    changed: set[Place] = set()
    for place, cell in bench.cells.items():
        plan_id, unit_id, item_code, grade = place
        if grade not in ratios_bp or (unit or unit_id) != unit_id or (item or item_code) != item_code:
            continue
        if plan is not None and bench.plans[plan_id].template != plan:
            continue
        wanted = ratios_bp[grade]
        if grade == "A" and not cell.is_safety:
            if item is not None:
                raise BadInput(
                    f"A: the notice exempts A where safety is no concern, and {item} is no safety item"
                )
            continue
        if wanted > cell.cap_bp:
            raise BadInput(
                f"{grade}={_percent(wanted)}: the item {item_code} is capped at {_percent(cell.cap_bp)} (inspection_item_groups.csv)"
            )
        # Below the floor is drawn with the floor, as the quotas do; a grade is closed in the policy, not here.
        found[place] = max(wanted, bench.exploration_floor_bp)
        changed.add(place)
    if ratios_bp and not changed:
        raise BadInput(
            f"no plan in force draws {', '.join(sorted(ratios_bp))} there; remedy: look at credit-pipeline plan list"
        )
    for plan_id, unit_id, item_code in sorted({place[:3] for place in changed}):
        held = [(grade, found[p]) for grade in GRADES if (p := (plan_id, unit_id, item_code, grade)) in found]
        for (better, low), (worse, high) in pairwise(held):
            if high < low:
                raise BadInput(
                    f"{worse} would be drawn with {_percent(high)} and {better} with {_percent(low)} (unit {unit_id}, item "
                    f"{item_code}): a ratio never falls as the grade worsens; remedy: "
                    + (f"lower {better}" if worse == "B" else f"raise {worse} or lower {better}")
                )
    return found


def _percent(bp: int) -> str:
    return f"{bp / 100:g} %"
