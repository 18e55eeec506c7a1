"""Inspectors for drawn enterprises: lawful always, replayable, and infeasible only when it truly is."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter, defaultdict
from fractions import Fraction
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection import protocol
from credit_pipeline.inspection.assignment import Assignment, assign

USCCS = [f"914113000000000{number:02d}X" for number in range(40)]


def _seed(number: int) -> str:
    return hashlib.sha256(f"seed {number}".encode()).hexdigest()


def _inspectors(leaders: dict[str, bool], unit: str = "A01") -> pa.Table:
    return pa.table(
        {
            "inspector_id": pa.array(list(leaders), pa.string()),
            "unit_id": pa.array([unit] * len(leaders), pa.string()),
            "is_leader": pa.array(list(leaders.values()), pa.bool_()),
        }
    )


def _teams(found: Assignment) -> dict[str, tuple[str, ...]]:
    teams: dict[str, list[str]] = defaultdict(list)
    for row in found.assignments.to_pylist():
        teams[row["uscc"]].append(row["inspector_id"])
    return {uscc: tuple(team) for uscc, team in teams.items()}


# --- oracle: try everything
# -------------------------------------------------------------------------------------------


def _capacity(enterprises: int, leaders: dict[str, bool], per: int) -> dict[str, int]:
    share = math.ceil(Fraction(per * enterprises, len(leaders))) + 1
    lead_share = math.ceil(Fraction(enterprises, sum(leaders.values()))) + 1 if any(leaders.values()) else 0
    return {one: max(share, lead_share) if leaders[one] else share for one in leaders}


def _oracle(
    usccs: list[str], leaders: dict[str, bool], recusals: set[tuple[str, str]], per: int, seed: str
) -> dict[str, tuple[str, ...]] | None:
    """The same rule by trying every completion; None if there is no lawful assignment at all."""
    capacity = _capacity(len(usccs), leaders, per)
    ordered = sorted(usccs, key=lambda uscc: hashlib.sha256(f"FIRM1|{seed}|A01|{uscc}".encode()).hexdigest())

    def teams(uscc: str) -> list[frozenset[str]]:
        allowed = [one for one in leaders if (one, uscc) not in recusals]
        return [
            frozenset(team)
            for team in itertools.combinations(allowed, per)
            if not any(leaders.values()) or any(leaders[one] for one in team)
        ]

    def possible(taken: list[set[str]], load: Counter[str], index: int) -> bool:
        if index == len(ordered):
            return True
        must = taken[index] if index < len(taken) else set()
        for team in teams(ordered[index]):
            if must <= team and all(load[one] < capacity[one] for one in team):
                load.update(team)
                done = possible(taken, load, index + 1)
                load.subtract(team)
                if done:
                    return True
        return False

    taken: list[set[str]] = []
    if not possible(taken, Counter(), 0):
        return None
    result = {}
    for uscc in ordered:
        taken.append(set())
        order = sorted(
            leaders, key=lambda one: hashlib.sha256(f"ASSIGN1|{seed}|{uscc}|{one}".encode()).hexdigest()
        )
        chosen: list[str] = []
        for candidate in order:
            if len(chosen) == per:
                break
            taken[-1].add(candidate)
            if possible(taken, Counter(), 0):
                chosen.append(candidate)
            else:
                taken[-1].discard(candidate)
        result[uscc] = tuple(chosen)
    return result


@st.composite
def small_units(draw: st.DrawFn) -> tuple[list[str], dict[str, bool], set[tuple[str, str]], int, str]:
    per = draw(st.sampled_from([2, 2, 2, 3]))
    leaders = {f"I{number}": draw(st.booleans()) for number in range(draw(st.integers(per, 5)))}
    usccs = USCCS[: draw(st.integers(1, 4))]
    pairs = [(inspector, uscc) for inspector in leaders for uscc in usccs]
    recusals = draw(st.sets(st.sampled_from(pairs), max_size=len(pairs)))
    return usccs, leaders, recusals, per, _seed(draw(st.integers(0, 10_000)))


@settings(max_examples=150, deadline=None)
@given(small_units())
def test_look_ahead_equals_trying_everything(
    case: tuple[list[str], dict[str, bool], set[tuple[str, str]], int, str],
) -> None:
    """Infeasible exactly when no lawful assignment exists; otherwise the first candidates that leave one
    possible.
    """
    usccs, leaders, recusals, per, seed = case
    expected = _oracle(usccs, leaders, recusals, per, seed)
    found = assign(
        [("A01", uscc) for uscc in usccs], _inspectors(leaders), seed, per_enterprise=per, recusals=recusals
    )
    if expected is None:
        (unit,) = found.infeasible
        assert found.assignments.num_rows == 0 and unit.reason == "no_full_assignment"
        assert unit.demand > unit.supply
        for uscc in unit.enterprises:
            allowed = {one for one in leaders if (one, uscc) not in recusals}
            assert allowed <= set(unit.inspectors)
        assert "A01" in unit.message() and unit.enterprises[0] in unit.message()
        smaller = _oracle(list(unit.enterprises), leaders, recusals, per, seed)
        # Fewer enterprises also lower the capacity, so the named group alone cannot be served either.
        assert smaller is None
    else:
        assert not found.infeasible
        assert _teams(found) == expected


@st.composite
def larger_units(draw: st.DrawFn) -> tuple[list[tuple[str, str]], pa.Table, set[tuple[str, str]], str]:
    drawn, tables, recusals = [], [], set()
    for unit in ("A01", "B02"):
        leaders = {f"{unit}-{number}": number % 3 == 0 for number in range(draw(st.integers(1, 12)))}
        usccs = USCCS[: draw(st.integers(0, 40))]
        drawn += [(unit, uscc) for uscc in usccs]
        tables.append(_inspectors(leaders, unit))
        for uscc in usccs:
            recusals |= {(one, uscc) for one in draw(st.sets(st.sampled_from(sorted(leaders)), max_size=3))}
    return drawn, pa.concat_tables(tables), recusals, _seed(draw(st.integers(0, 10_000)))


@settings(max_examples=60, deadline=None)
@given(larger_units(), st.randoms())
def test_assignments_are_lawful_and_replay_from_any_order(
    case: tuple[list[tuple[str, str]], pa.Table, set[tuple[str, str]], str], shuffle: Any
) -> None:
    """Two different, none recused, none over capacity, one leader; all or nothing per unit; input order
    irrelevant.
    """
    drawn, inspectors, recusals, seed = case
    found = assign(drawn, inspectors, seed, recusals=recusals)
    failed = {unit.unit_id for unit in found.infeasible}
    rows = found.assignments.to_pylist()
    roster = {(row["unit_id"], row["inspector_id"]): row["is_leader"] for row in inspectors.to_pylist()}
    teams: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        teams[row["unit_id"], row["uscc"]].append(row)
    assert set(teams) == {(unit, uscc) for unit, uscc in drawn if unit not in failed}
    for (unit, uscc), team in teams.items():
        assert [row["position"] for row in team] == [1, 2]
        assert len({row["inspector_id"] for row in team}) == 2
        assert all((row["inspector_id"], uscc) not in recusals for row in team)
        assert [row["role"] for row in team].count("leader") == 1
        leader = next(row for row in team if row["role"] == "leader")
        assert roster[unit, leader["inspector_id"]]
        allowed = [one for owner, one in roster if owner == unit and (one, uscc) not in recusals]
        order = sorted(allowed, key=lambda one: protocol.candidate_order(seed, uscc, one))
        passed = [name.split(":")[0] for row in team for name in row["skipped"].split(";") if name]
        assert [order[row["rank_taken"] - 1] for row in team] == [row["inspector_id"] for row in team]
        assert sorted(passed + [row["inspector_id"] for row in team]) == sorted(
            order[: team[1]["rank_taken"]]
        )
        assert {row["eligible_count"] for row in team} == {len(allowed)}
    for (unit, inspector), count in Counter((row["unit_id"], row["inspector_id"]) for row in rows).items():
        leaders = {one: is_leader for (owner, one), is_leader in roster.items() if owner == unit}
        assert count <= _capacity(sum(owner == unit for owner, _ in drawn), leaders, 2)[inspector]
    shuffle.shuffle(drawn)
    order = list(range(inspectors.num_rows))
    shuffle.shuffle(order)
    columns = {"uscc": [uscc for _, uscc in drawn], "unit_id": [unit for unit, _ in drawn]}
    as_table = pa.table(columns, schema=pa.schema({"uscc": pa.string(), "unit_id": pa.string()}))
    again = assign(as_table, inspectors.take(order), seed, recusals=sorted(recusals, reverse=True))
    assert again.assignments.equals(found.assignments) and again.infeasible == found.infeasible


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_inspectors_are_reported_never_used(count: int) -> None:
    """A single inspector is an unlawful inspection; silence about it is worse."""
    leaders = {"I1": True} if count else {}
    found = assign([("A01", USCCS[0])], _inspectors(leaders), _seed(1))
    (unit,) = found.infeasible
    assert found.assignments.num_rows == 0
    assert (unit.unit_id, unit.reason, unit.inspectors) == ("A01", "too_few_inspectors", tuple(leaders))
    assert f"{count} valid inspector(s)" in unit.message()


def test_a_unit_whose_leaders_are_all_recused_is_reported() -> None:
    found = assign(
        [("A01", USCCS[0]), ("A01", USCCS[1])],
        _inspectors({"I1": True, "I2": False, "I3": False}),
        _seed(1),
        recusals={("I1", USCCS[1])},
    )
    (unit,) = found.infeasible
    assert unit.enterprises == (USCCS[1],) and (unit.demand, unit.supply) == (2, 1)


def test_a_unit_without_leaders_is_assigned_and_named() -> None:
    found = assign([("A01", USCCS[0])], _inspectors({"I1": False, "I2": False}), _seed(1))
    assert found.units_without_leader == ("A01",)
    assert found.assignments["role"].to_pylist() == ["member", "member"]


def test_few_leaders_lead_more_than_an_even_share() -> None:
    """A bureau with one leader in six could otherwise never be assigned: every visit needs one."""
    leaders = {f"I{number}": number == 0 for number in range(6)}
    found = assign([("A01", uscc) for uscc in USCCS], _inspectors(leaders), _seed(1))
    assert not found.infeasible
    counts = Counter(found.assignments["inspector_id"].to_pylist())
    assert counts.pop("I0") == 40 and max(counts.values()) <= 15


def test_one_failing_unit_does_not_stop_the_others() -> None:
    table = pa.concat_tables([_inspectors({"I1": True}), _inspectors({"J1": True, "J2": False}, "B02")])
    found = assign([("A01", USCCS[0]), ("B02", USCCS[0])], table, _seed(1))
    assert [unit.unit_id for unit in found.infeasible] == ["A01"]
    assert found.assignments["unit_id"].to_pylist() == ["B02", "B02"]


def test_only_drawn_rows_of_a_ticket_table_count() -> None:
    drawn = pa.table({"unit_id": ["A01"] * 3, "uscc": USCCS[:3], "is_drawn": [True, False, True]})
    found = assign(drawn, _inspectors({"I1": True, "I2": False}), _seed(1))
    assert set(found.assignments["uscc"].to_pylist()) == {USCCS[0], USCCS[2]}


def test_nothing_drawn_gives_an_empty_typed_table() -> None:
    found = assign([], _inspectors({}), _seed(1))
    assert found.assignments.num_rows == 0 and "skipped" in found.assignments.column_names


def test_every_allowed_pair_has_a_chance() -> None:
    """Look-ahead must not shut anybody out: over seeds each inspector serves each enterprise, none far too
    often.
    """
    leaders = {f"I{number}": number < 2 for number in range(5)}
    usccs = USCCS[:6]
    recusals = {("I0", usccs[0]), ("I3", usccs[1])}
    counts: Counter[tuple[str, str]] = Counter()
    for number in range(400):
        found = assign(
            [("A01", uscc) for uscc in usccs], _inspectors(leaders), _seed(number), recusals=recusals
        )
        counts.update((one, uscc) for uscc, team in _teams(found).items() for one in team)
    pairs = {(one, uscc) for one in leaders for uscc in usccs} - recusals
    assert set(counts) == pairs
    assert min(counts.values()) >= 40


@pytest.mark.parametrize(
    ("drawn", "inspectors", "message"),
    [
        ([("A01", USCCS[0])] * 2, _inspectors({}), "drawn twice"),
        ([("a01", USCCS[0])], _inspectors({}), "unit_id"),
        ([("A01", "x")], _inspectors({}), "uscc"),
        ([], pa.concat_tables([_inspectors({"I1": True})] * 2), "twice in the directory"),
        ([], _inspectors({"a|b": True}), "inspector_id"),
        ([], _inspectors({"I1": True}).drop_columns(["is_leader"]), "is_leader"),
        (pa.table({"uscc": USCCS[:1]}), _inspectors({}), "unit_id"),
        (
            [],
            pa.table({"inspector_id": ["I1"], "unit_id": ["A01"], "is_leader": pa.nulls(1, pa.bool_())}),
            "true or false",
        ),
    ],
)
def test_malformed_input_is_refused(drawn: Any, inspectors: pa.Table, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        assign(drawn, inspectors, _seed(1))


def test_one_inspector_per_enterprise_cannot_be_asked_for() -> None:
    with pytest.raises(BadInput, match="two at least"):
        assign([], _inspectors({}), _seed(1), per_enterprise=1)
