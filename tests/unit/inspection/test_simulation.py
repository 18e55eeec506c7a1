"""What-if plans compute what a year of draws costs and finds, and propose nothing that law forbids."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.plans.plan_pictures import findings_over_visits
from credit_pipeline.inspection.plans.simulation import (
    GRADES,
    Cell,
    Group,
    Means,
    Place,
    Plan,
    Workbench,
    fitting_factor_bp,
    loads,
    proposed,
    quota,
    scaled,
    simulate,
    uniform,
)
from credit_pipeline.inspection.plans.what_if import capacity_rows, curve, what_if, what_if_rows

PLAN = "P2026GENERAL"
RATIOS = {"GENERAL": (0, 500, 2000, 5000, 10000), "SAFETY": (300, 500, 2000, 5000, 10000)}


def at(grade: str, item: str = "GENERAL", unit: str = "U1", plan: str = PLAN) -> Place:
    return (plan, unit, item, grade)


def bench(
    groups: list[Group], *, means: dict[str, Means] | None = None, plans: dict[str, Plan] | None = None,
    units: tuple[str, ...] = ("U1", "U2"), days: int = 100, cap: int = 10000, rates: dict[str, float] | None = None,
) -> Workbench:  # fmt: skip
    plans = plans or {PLAN: Plan("general", 1, "*")}
    cells = {
        (plan, unit, item, grade): Cell(ratio, "ceil", item == "SAFETY", cap)
        for plan in plans
        for unit in units
        for item, ratios in RATIOS.items()
        for grade, ratio in zip(GRADES, ratios, strict=True)
    }
    return Workbench("2026-10-31", plans, cells, groups, means or {}, 2, 4, days, 100, rates or {})


def test_a_year_by_hand() -> None:
    """Prevents wrong workload, findings or coverage.

    U1: 100 of C at 20 % = 20 visits, 10 of D at 50 % = 5; 40 of B at 5 % = 2. U2 has the same ten D: 5 visits more.
    D is missed by both with 1/2 · 1/2. Findings: 20·0.1 + 5·0.3 + 5·0.3 + 2·0.05 = 5.1.
    """
    found = simulate(
        work := bench(
            [
                Group((at("C"),), (), 100, 10.0),
                Group((at("D"), at("D", unit="U2")), (), 10, 3.0),
                Group((at("B"),), (), 40, 2.0),
                Group((), (at("A"),), 50, 0.5),
            ],
            rates={"B": 0.1, "C": 0.2, "D": 0.5},
        ),
        work.today(),
    )
    assert found.visits == pytest.approx({(PLAN, "U1"): 27, (PLAN, "U2"): 5})
    assert {g: found.visits_by_grade[g] for g in "ABCD"} == pytest.approx({"A": 0, "B": 2, "C": 20, "D": 10})
    assert found.findings == pytest.approx(5.1)
    assert found.findings_by_rates == pytest.approx(2 * 0.1 + 20 * 0.2 + 10 * 0.5)
    assert found.inspected == pytest.approx(20 + 7.5 + 2)
    assert found.breaches_reached == pytest.approx(2.0 + 0.75 * 3 + 0.1)
    assert (work.enterprises, work.breaches) == (200, pytest.approx(15.5))
    # Blind to grades: U1 draws 27 of 200, U2 5 of 10.
    blind = uniform(work, found)
    assert blind.visits == pytest.approx(found.visits)
    assert blind.findings == pytest.approx(27 / 200 * 15.5 + 5 / 10 * 3.0)
    assert blind.inspected == pytest.approx(27 / 200 * 190 + 10 * (1 - (1 - 27 / 200) * 0.5))
    assert blind.visits_by_grade["A"] == pytest.approx(50 * 27 / 200)
    assert blind.findings_by_rates is None, "nobody knows the rate of A"


def test_items_of_one_unit_share_a_visit() -> None:
    """Prevents an enterprise drawn for two items from being counted as two visits.

    GENERAL draws 20 of 100 C, SAFETY 20 % of the 30 it concerns: the same tickets, so nobody more than GENERAL alone.
    """
    both = (at("C"), at("C", "SAFETY"))
    work = bench([Group(both, (), 30, 0.0), Group((at("C"),), (), 70, 0.0)])
    assert simulate(work, work.today()).total == pytest.approx(20)
    more = proposed(work, {"C": 5000}, item="SAFETY")
    assert simulate(work, more).total == pytest.approx(30 * 0.5 + 70 * 0.2)


def test_expected_visits_agree_with_draws_by_ticket() -> None:
    """Prevents a formula for merged visits that the real order of tickets contradicts (2,000 draws, fixed seed)."""
    both = (at("C"), at("C", "SAFETY"))
    work = bench([Group(both, (), 40, 0.0), Group((at("C"),), (), 160, 0.0)])
    ratios = proposed(work, {"C": 5000}, item="SAFETY")
    numbers = random.Random(20261031)
    total = 0
    for _ in range(2000):
        tickets = sorted((numbers.random(), number < 40) for number in range(200))
        general = {ticket for ticket, _ in tickets[: quota(200, 2000, "ceil")]}
        safety = {ticket for ticket, concerned in tickets if concerned}
        total += len(general | set(sorted(safety)[: quota(40, 5000, "ceil")]))
    assert simulate(work, ratios).total == pytest.approx(total / 2000, rel=0.02)


def test_quotas_round_as_the_draw_does() -> None:
    """Prevents a forecast that is one enterprise off in small strata."""
    assert [quota(11, 500, rounding) for rounding in ("ceil", "half_up", "floor")] == [1, 1, 0]
    assert [quota(3, 5000, rounding) for rounding in ("ceil", "half_up", "floor")] == [2, 2, 1]
    assert (quota(0, 10000, "ceil"), quota(7, 10000, "ceil"), quota(7, 0, "ceil")) == (0, 7, 0)


def test_a_joint_plan_takes_inspectors_of_every_unit() -> None:
    """Prevents cooperating units from being forgotten in the capacity."""
    work = bench(
        [Group((at("E"),), (), 8, 0.0)],
        plans={PLAN: Plan("joint", 2, "U1", ("U2", "U3"))},
        means={"U1": Means(4, 1), "U2": Means(1, 1)},
        days=3,
    )
    found = {load.unit_id: load for load in loads(work, simulate(work, work.today()).visits)}
    assert [found[unit].visits for unit in ("U1", "U2", "U3")] == [8, 8, 8]
    # 8 visits, 4 a team-day, 2 inspectors: 4 inspector-days, 2 leader-days.
    assert [found[unit].over_days for unit in ("U1", "U2", "U3")] == [0, 1, 4]


def test_leaders_are_a_limit_of_their_own() -> None:
    """Prevents a unit with many inspectors and no leader from being called able."""
    work = bench([Group((at("E"),), (), 8, 0.0)], means={"U1": Means(50, 0)})
    load = loads(work, simulate(work, work.today()).visits)[0]
    assert (load.capacity_days, load.over_days) == (5000, 2)


def test_the_ratio_that_fits_fits_and_no_larger_one_does() -> None:
    """Prevents advice that is still over capacity, or stricter than need be."""
    groups = [
        Group((at(grade),), (), size, 0.0)
        for grade, size in (("B", 200), ("C", 1000), ("D", 300), ("E", 100))
    ]
    # Today 10 + 200 + 150 + 100 = 460 visits = 230 inspector-days; there are 150.
    work = bench(groups, means={"U1": Means(15, 15)}, days=10)
    assert [row["over_days"] for row in capacity_rows(work) if row["unit_id"] == "U1"] == [pytest.approx(80)]
    factor = fitting_factor_bp(work, "U1")
    assert factor is not None and 0 < factor < 10000
    for step, over in ((0, False), (1, True)):
        load = loads(work, simulate(work, scaled(work, factor + step)).visits)[0]
        assert (load.over_days > 0) is over
    assert capacity_rows(work)[0]["would_fit"].startswith(f"× {factor / 10000:.2f}: C ")


def test_no_ratio_fits_where_b_alone_is_too_much() -> None:
    """Prevents advice to draw less of B than the notice says."""
    work = bench([Group((at("B"),), (), 2000, 0.0)], means={"U1": Means(1, 1)}, days=10)
    assert fitting_factor_bp(work, "U1") is None
    assert capacity_rows(work)[0]["would_fit"] == "not even at B's ratio"


REFUSED = {
    "falls": ({"D": 1000}, {}, "never falls"),
    "C below B": ({"C": 400}, {}, "never falls"),
    "above E": ({"E": 4000}, {}, "never falls"),
    "B": ({"B": 600}, {}, "notice gives B"),
    "A without safety": ({"A": 100}, {"item": "GENERAL"}, "exempts A"),
    "A above B": ({"A": 600}, {}, "remedy: lower A"),
    "a unit of no plan": ({"C": 3000}, {"unit": "U9"}, "--unit U9"),
    "no such item": ({"C": 3000}, {"item": "FOOD"}, "--item FOOD"),
    "no such plan": ({"C": 3000}, {"plan": "joint"}, "--plan joint"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_ratios_against_law_or_rules_are_refused(name: str) -> None:
    """Prevents a forecast that people take for a permission."""
    ratios, scope, words = REFUSED[name]
    with pytest.raises(BadInput, match=words):
        proposed(bench([]), ratios, **scope)


def test_a_capped_item_is_not_simulated_beyond_its_cap() -> None:
    """Prevents a forecast that the quotas would cut."""
    with pytest.raises(BadInput, match="capped at 60 %"):
        proposed(bench([], cap=6000), {"D": 7000})


def test_a_proposal_reaches_its_scope_alone() -> None:
    """Prevents a change for one unit, item or plan from spreading; A changes in safety items only."""
    work = bench([], plans={PLAN: Plan("general", 1, "*"), "P2026FOOD": Plan("food", 1, "*")})

    def changed(ratios: dict[str, int], **scope: str) -> set[Place]:
        now = work.today()
        return {place for place, bp in proposed(work, ratios, **scope).items() if bp != now[place]}

    assert changed({"C": 3000}, unit="U2", item="SAFETY", plan="food") == {("P2026FOOD", "U2", "SAFETY", "C")}
    assert changed({"A": 400}, unit="U1", plan="general") == {at("A", "SAFETY")}
    assert {place[3] for place in changed({"C": 3000, "D": 6000})} == {"C", "D"}
    assert proposed(work, {"A": 50}, unit="U1", plan="general")[at("A", "SAFETY")] == 100, (
        "the exploration floor"
    )
    assert changed({}) == set()


def groups_of(counts: list[int]) -> list[Group]:
    chance = {"A": 0.01, "B": 0.03, "C": 0.08, "D": 0.2, "E": 0.5}
    found = []
    for number, (grade, size) in enumerate(zip(GRADES * 2, counts, strict=True)):
        if size:
            safety = number >= 5
            items = ("GENERAL", "SAFETY") if safety else ("GENERAL",)
            open_ = tuple(at(grade, item) for item in items if grade != "A" or item == "SAFETY")
            exempt = (at("A"),) if grade == "A" else ()
            found.append(Group(open_, exempt, size, size * chance[grade]))
    return found


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    counts=st.lists(st.integers(0, 400), min_size=10, max_size=10),
    factors=st.lists(st.integers(0, 20000), min_size=2, max_size=5),
)
def test_more_of_c_to_e_is_never_less_work_or_fewer_findings(counts: list[int], factors: list[int]) -> None:
    """Prevents a curve that bends back, shares beyond the whole, and scaled ratios that fall with the grade."""
    work = bench(groups_of(counts))
    outcomes = []
    for factor in sorted(factors):
        ratios = scaled(work, factor)
        for unit in ("U1", "U2"):
            for item in RATIOS:
                held = [ratios[at(grade, item, unit)] for grade in GRADES]
                assert held == sorted(held) and held[1] == 500
        outcomes.append(simulate(work, ratios))
    for less, more in pairwise(outcomes):
        assert more.total >= less.total - 1e-9
        assert more.findings >= less.findings - 1e-9
    for found in outcomes:
        assert found.inspected <= work.enterprises + 1e-6
        assert found.breaches_reached <= work.breaches + 1e-6


def test_the_picture_shows_today_the_proposal_and_the_blind_line() -> None:
    """Prevents a plot without the comparison, or that differs from run to run."""
    work = bench(groups_of([50, 200, 100, 40, 10, 20, 90, 40, 20, 5]))
    found = what_if(work, {"C": 3000, "D": 6000})
    again = what_if(work, {"C": 3000, "D": 6000})
    assert found.svg == again.svg
    assert found.svg.count("<circle") == 3 and "stroke-dasharray" in found.svg and "proposed" in found.svg
    assert "proposed" not in findings_over_visits(curve(work), found.today, found.today_blind)
    empty = what_if(bench([]), {})
    assert empty.svg.startswith("<svg") and empty.to_json()["outcomes"]["today"]["visits"] == 0


def test_a_what_if_for_machines_and_people_says_the_same() -> None:
    """Prevents the JSON and the tables from telling different stories; per-round workload follows the rounds."""
    work = bench(groups_of([50, 200, 100, 40, 10, 20, 90, 40, 20, 5]), means={"U1": Means(9, 3)})
    found = what_if(work, {"C": 3000}, rounds=4)
    told = found.to_json()
    assert told["ratios_bp"] == {"C": 3000} and told["units"][0]["unit_id"] == "U1"
    assert told["outcomes"]["proposed"]["visits"] > told["outcomes"]["today"]["visits"]
    assert told["outcomes"]["proposed_blind"]["visits"] == told["outcomes"]["proposed"]["visits"]
    summary = found.tables()[0]
    rows = {row[0]: row for row in summary.rows}
    assert rows["visits in a year"][1] == told["outcomes"]["today"]["visits"]
    assert rows["visits in a round"][3] == pytest.approx(found.proposal.total / 4, abs=0.06)


def test_the_daily_table_has_every_scale_and_unit() -> None:
    """Prevents a unit or a scale from missing in the table, and double counting between them."""
    work = bench(
        groups_of([50, 200, 100, 40, 10, 20, 90, 40, 20, 5]), means={"U1": Means(9, 3), "U2": Means(9, 3)}
    )
    rows = what_if_rows(work)
    assert len(rows) == 10 * 2 and len({row[:2] for row in rows}) == 20
    now = next(row for row in rows if row[:2] == (10000, "U1"))
    today = simulate(work, work.today())
    assert now[2] == pytest.approx(today.total, abs=1e-3) and now[6] == pytest.approx(
        today.findings, abs=1e-3
    )
