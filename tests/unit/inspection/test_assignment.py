"""Inspectors of a round as tables: malformed input, conflicts in words, joint plans, waves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest
from teams_support import ROSTER, USCCS, VISITS, Unit, plain, seed, table, teams

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.teams.assignment import SCHEMA, assign, standing_assignments

NOBODY = table(ROSTER, [])


def _visits(*rows: tuple[str, str]) -> pa.Table:
    return table(VISITS, [(unit, unit, uscc, "", "") for unit, uscc in rows])


def _roster(unit: str, **leaders: bool) -> pa.Table:
    return table(ROSTER, [(unit, one, is_leader, "", "", "") for one, is_leader in leaders.items()])


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_inspectors_are_reported_never_used(count: int) -> None:
    """A single inspector is an unlawful inspection; silence about it is worse."""
    valid = [("A01", "I1", True, "", "", "")] if count else []
    roster = table(ROSTER, [*valid, ("A01", "I9", True, "", "", "certificate_expired")])
    found = assign(_visits(("A01", USCCS[0])), roster, None, seed(1))
    (unit,) = found.infeasible
    assert found.assignments.num_rows == 0
    assert (unit.unit_id, unit.reason, unit.inspectors) == ("A01", "too_few_inspectors", ("I1",) * count)
    assert f"{count} valid inspector(s)" in unit.message()
    assert "certificate_expired: I9" in unit.message()


def test_a_unit_whose_leaders_are_all_recused_is_reported() -> None:
    unit = plain({"I1": True, "I2": False, "I3": False}, 2, recusals={("I1", USCCS[1])})
    (conflict,) = unit.assign(1).infeasible
    assert conflict.enterprises == (USCCS[1],) and (conflict.demand, conflict.supply) == (2, 1)
    assert "nobody allowed may lead" in conflict.message() and "recusal: relative: I1" in conflict.message()


def test_a_conflict_names_each_reason_and_who_it_keeps_out() -> None:
    """Whoever must settle it needs the enterprise, the inspectors and why each cannot go; not only a unit's number."""
    unit = Unit(
        {
            "I1": (True, "", "food"),
            "I2": (False, "411302", "food"),
            "I3": (False, "", "fire"),
            "I4": (False, "", "food"),
        },
        {USCCS[0]: ("411330", "food"), USCCS[1]: ("", "")},
        {("I4", USCCS[0])},
    )
    roster = pa.concat_tables([unit.roster_table(), table(ROSTER, [("A01", "I5", True, "", "", "on_leave")])])
    found = assign(unit.visit_table(), roster, unit.recusal_table(), seed(1))
    (conflict,) = found.infeasible
    assert conflict.enterprises == (USCCS[0],) and conflict.inspectors == ("I1",)
    assert set(conflict.obstacles) == {
        (USCCS[0], "I2", "region 411302 only"),
        (USCCS[0], "I3", "lacks skill food"),
        (USCCS[0], "I4", "recusal: relative"),
        (USCCS[0], "I5", "on_leave"),
    }
    for words in ("region 411302 only: I2", "lacks skill food: I3", "recusal: relative: I4", "on_leave: I5"):
        assert words in conflict.message()


def test_a_conflict_counts_places_in_teams() -> None:
    """Three enterprises of two inspectors each are six places; told as visits, an office looks for six enterprises."""
    (conflict,) = (
        plain({"I1": True, "I2": False}, 3, recusals={("I2", uscc) for uscc in USCCS}).assign(1).infeasible
    )
    assert "3 enterprise(s)" in conflict.message()
    assert "have 6 places in their teams" in conflict.message() and "can fill 3." in conflict.message()
    assert " visits" not in conflict.message()


def test_a_conflict_with_the_policy_names_its_parameter() -> None:
    """Whoever reads of a recusal asks the inspector; this one nobody declared."""
    unit = plain({"I1": True, "I2": False}, 1)
    recusals = table(("inspector_id", "uscc", "reason"), [("I1", USCCS[0], "handled_recently")])
    (conflict,) = assign(unit.visit_table(), unit.roster_table(), recusals, seed(1)).infeasible
    assert "recusal: handled_recently: I1" in conflict.message()
    assert "the policy's handled_recently_rounds" in conflict.message()
    assert (
        "handled_recently_rounds"
        not in plain({"I1": True, "I2": False}, 1, recusals={("I1", USCCS[0])})
        .assign(1)
        .infeasible[0]
        .message()
    )


def test_a_long_conflict_stays_readable() -> None:
    """A unit with sixty enterprises in conflict must not print them all; the report holds them."""
    (conflict,) = (
        plain({"I1": True, "I2": False}, 60, recusals={("I1", uscc) for uscc in USCCS}).assign(1).infeasible
    )
    assert len(conflict.enterprises) == 60 and "and 48 more" in conflict.message()


def test_a_unit_without_leaders_is_assigned_and_named() -> None:
    found = plain({"I1": False, "I2": False}, 1).assign(1)
    assert found.units_without_leader == ("A01",)
    assert found.assignments["role"].to_pylist() == ["member", "member"]


def test_few_leaders_lead_more_than_an_even_share() -> None:
    """A bureau with one leader in six could otherwise never be assigned: every visit needs one."""
    found = plain({f"I{number}": number == 0 for number in range(6)}, 40).assign(1)
    assert not found.infeasible
    counts = Counter(found.assignments["inspector_id"].to_pylist())
    assert counts.pop("I0") == 40 and max(counts.values()) <= 15


def test_the_few_with_a_skill_go_more_often_and_only_they() -> None:
    """Two of eight know fire safety and 20 of 40 visits need it: they rise to what the law forces, one more is left to
    chance, and the others keep their even share.
    """
    unit = Unit(
        {f"I{number}": (number % 2 == 0, "", "fire" if number < 2 else "") for number in range(8)},
        {uscc: ("", "fire" if number < 20 else "") for number, uscc in enumerate(USCCS[:40])},
    )
    found = unit.assign(1)
    assert not found.infeasible
    counts = Counter(found.assignments["inspector_id"].to_pylist())
    assert all(20 <= counts[one] <= 21 for one in ("I0", "I1"))
    assert max(counts[f"I{number}"] for number in range(2, 8)) <= 11


def test_one_failing_unit_does_not_stop_the_others() -> None:
    roster = pa.concat_tables([_roster("A01", I1=True), _roster("B02", J1=True, J2=False)])
    found = assign(_visits(("A01", USCCS[0]), ("B02", USCCS[0])), roster, None, seed(1))
    assert [unit.unit_id for unit in found.infeasible] == ["A01"]
    assert found.assignments["unit_id"].to_pylist() == ["B02", "B02"]


def test_every_unit_of_a_joint_plan_brings_its_own_team() -> None:
    """进一次门、查多项事: one drawn enterprise, three units at its door, each with its own two and its own leader."""
    roster = pa.concat_tables(
        _roster(unit, **{f"{unit}{number}": number == 0 for number in range(3)})
        for unit in ("A01", "B02", "C03")
    )
    visits = table(
        VISITS, [(unit, "A01", uscc, "", "") for unit in ("A01", "B02", "C03") for uscc in USCCS[:5]]
    )
    found = assign(visits, roster, None, seed(1))
    rows = found.assignments.to_pylist()
    assert len(rows) == 30 and {row["draw_unit_id"] for row in rows} == {"A01"}
    assert all(row["inspector_id"].startswith(row["unit_id"]) for row in rows)
    assert Counter((row["uscc"], row["unit_id"]) for row in rows if row["role"] == "leader") == Counter(
        (uscc, unit) for uscc in USCCS[:5] for unit in ("A01", "B02", "C03")
    )


def test_a_later_wave_evens_out_the_loads_of_the_first() -> None:
    """Ten more visits after ten: nobody above an even share of all twenty and one."""
    leaders = {f"I{number}": True for number in range(5)}
    first = plain(leaders, 10).assign(1).assignments
    second = plain({}, 20)
    later = Unit(
        plain(leaders, 1).inspectors,
        dict.fromkeys(list(second.visits)[10:], ("", "")),
        already=standing_assignments([first]),
    ).assign(1, wave=2)
    assert set(later.assignments["wave"].to_pylist()) == {2}
    both = Counter(first["inspector_id"].to_pylist()) + Counter(later.assignments["inspector_id"].to_pylist())
    assert sum(both.values()) == 40 and max(both.values()) <= 9


def test_a_visit_has_inspectors_once() -> None:
    unit = plain({"I1": True, "I2": False}, 2)
    unit.already = standing_assignments([unit.assign(1).assignments])
    with pytest.raises(BadInput, match="has inspectors of unit A01 already, from wave 1"):
        unit.assign(1, wave=2)


def test_nothing_drawn_gives_an_empty_typed_table() -> None:
    found = assign(_visits(), NOBODY, None, seed(1))
    assert found.assignments.num_rows == 0 and found.assignments.schema == SCHEMA


def test_inspectors_out_of_the_roster_are_never_sent() -> None:
    roster = table(
        ROSTER,
        [
            ("A01", f"I{number}", True, "", "", "" if number < 3 else "certificate_ends_in_window")
            for number in range(9)
        ],
    )
    found = assign(_visits(*(("A01", uscc) for uscc in USCCS)), roster, None, seed(1))
    assert set(found.assignments["inspector_id"].to_pylist()) == {"I0", "I1", "I2"}
    assert len(teams(found)) == len(USCCS)


@pytest.mark.parametrize(
    ("visits", "roster", "message"),
    [
        (_visits(("A01", USCCS[0]), ("A01", USCCS[0])), NOBODY, "twice among the visits"),
        (_visits(("a01", USCCS[0])), NOBODY, "unit_id"),
        (_visits(("A01", "x")), NOBODY, "uscc"),
        (table(VISITS, [("A01", "A01", USCCS[0], "41-13", "")]), NOBODY, "region"),
        (table(VISITS, [("A01", "A01", USCCS[0], None, "")]), NOBODY, "region"),
        (table(VISITS, [("A01", "A01", USCCS[0], "", "a b")]), NOBODY, "required_skills"),
        (_visits(), pa.concat_tables([_roster("A01", I1=True)] * 2), "twice in the roster"),
        (_visits(), table(ROSTER, [("A01", "a|b", True, "", "", "")]), "inspector_id"),
        (_visits(), _roster("A01", I1=True).drop_columns(["is_leader"]), "is_leader"),
        (_visits().drop_columns(["unit_id"]), NOBODY, "unit_id"),
        (_visits(), table(ROSTER, [("A01", "I1", None, "", "", "")]), "true or false"),
    ],
)
def test_malformed_input_is_refused(visits: pa.Table, roster: pa.Table, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        assign(visits, roster, None, seed(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"inspectors_per_visit": 1}, "two at least"), ({"wave": 0}, "from 1")],
)
def test_unlawful_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        assign(_visits(), NOBODY, None, seed(1), **options)
