"""Top-ups, waves and late recusals: the order of the draw goes on, nobody chooses."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from round_support import PLAN, ROUND, City, assigned, uscc

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.rounds.daily import assign_wave
from credit_pipeline.inspection.rounds.record import State
from credit_pipeline.inspection.rounds.top_ups import drawn_set, next_inspector, open_visits

LATER = datetime(2026, 3, 6, 2, 0, tzinfo=UTC)
APPROVED = {"event_id": "E1", "event_date": "2026-03-05", "approvers": ["Li", "Wang"]}


RECUSED = {
    "reason": "relative", "document_no": "桐文〔2026〕3号", "declared_date": "2026-03-05", "approvers": ["Li", "Wang"],
}  # fmt: skip


def _drawn(town: City) -> tuple[str, str]:
    """A unit and an enterprise that it drew from a stratum with a reserve."""
    rows = town.office().store.drawn(PLAN, ROUND).table.to_pylist()
    return min((row["unit_id"], row["uscc"]) for row in rows if row["quota"] < row["stratum_size"])


def test_a_top_up_takes_the_next_rank_in_every_cell_and_gets_a_wave(tmp_path: Path) -> None:
    town = assigned(tmp_path)
    town.now = LATER
    office, store = town.office(), town.office().store
    before = store.drawn(PLAN, ROUND).table.to_pylist()
    unit, closed = _drawn(town)
    facts: dict[str, Any] = {"unit_id": unit, "uscc": closed, "reason": "deregistered", **APPROVED}
    assert office.top_up(PLAN, ROUND, **facts).state is State.ASSIGNED
    files = town.files()
    assert office.top_up(PLAN, ROUND, **facts).top_ups == 1 and town.files() == files, "made again: no change"
    after = store.drawn(PLAN, ROUND)
    added = [row for row in after.table.to_pylist() if row["is_top_up"]]
    cells = {(row["item_code"], row["platform_grade"]): row for row in before if row["uscc"] == closed}
    with_reserve = [cell for cell in cells.values() if cell["quota"] < cell["stratum_size"]]
    assert len(added) == len(with_reserve) > 0
    for row in added:
        cell = cells[row["item_code"], row["platform_grade"]]
        assert row["rank"] == cell["quota"] + 1 and row["replaces"] == closed and not row["is_drawn"]
    assert (unit, closed) in after.closed and (unit, closed) not in after.visits()
    waiting = store.open_visits(PLAN, ROUND)
    assert {key[2] for key in waiting} == {row["uscc"] for row in added} - {row["uscc"] for row in before}
    if waiting:
        outcome = assign_wave(office, PLAN, ROUND)
        assert outcome.state == "ASSIGNED" and not store.open_visits(PLAN, ROUND)
        record = office.existing(PLAN, ROUND)
        assert record.waves == 2 and record.wave_roots[0] != "" and "roster-002.parquet" in record.files
    assert closed not in store.assignments(PLAN, ROUND)["uscc"].to_pylist()  # type: ignore[index]
    assert town.run() == ["ASSIGNED"]
    with duckdb.connect(str(town.settings.warehouse_path)) as connection:
        loaded = connection.execute(
            "select item_code, uscc, replaces from inspection.inspection_draws where is_top_up order by all"
        ).fetchall()
    assert loaded == sorted((row["item_code"], row["uscc"], closed) for row in added)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": "friend"}, "not on the frozen list"),
        ({"event_date": "2026-03-02"}, "no reason for a top-up"),
        ({"event_date": "2026-03-07"}, "lies in the future; today is 2026-03-06"),
        ({"event_date": "soon"}, "YYYY-MM-DD"),
        ({"event_id": ""}, "event id"),
        ({"approvers": ["Li"]}, "2 different approvers"),
        ({"approvers": ["Li", " li "]}, "2 different approvers"),
        ({"uscc": uscc(99_999)}, "did not draw"),
    ],
)
def test_a_top_up_without_its_grounds_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """ "Closed" is the cheapest way to spare a friend."""
    town = assigned(tmp_path)
    town.now = LATER
    before = town.files()
    unit, closed = _drawn(town)
    facts: dict[str, Any] = {"unit_id": unit, "uscc": closed, "reason": "revoked", **APPROVED}
    with pytest.raises(BadInput, match=message):
        town.office().top_up(PLAN, ROUND, **(facts | change))
    assert town.files() == before and town.events()[-1] == "round_assigned"


def test_one_enterprise_is_topped_up_once_and_none_after_the_end(tmp_path: Path) -> None:
    town = assigned(tmp_path)
    town.now = LATER
    office = town.office()
    unit, closed = _drawn(town)
    facts: dict[str, Any] = {"unit_id": unit, "uscc": closed, "reason": "revoked", **APPROVED}
    office.top_up(PLAN, ROUND, **facts)
    with pytest.raises(BadInput, match="topped up already"):
        office.top_up(PLAN, ROUND, **(facts | {"event_id": "E2"}))
    office.close(PLAN, ROUND)
    other = next(pair for pair in office.store.drawn(PLAN, ROUND).visits() if pair[1] != closed)
    with pytest.raises(BadInput, match="only a drawn, open round"):
        office.top_up(PLAN, ROUND, **(facts | {"unit_id": other[0], "uscc": other[1]}))


def test_a_late_recusal_is_replaced_by_the_next_in_the_order(tmp_path: Path) -> None:
    """Neither the one who leaves nor the office chooses who comes."""
    town = assigned(tmp_path)
    town.now = LATER
    office, store = town.office(), town.office().store
    row = store.assignments(PLAN, ROUND).to_pylist()[0]  # type: ignore[union-attr]
    unit, enterprise, leaving = row["unit_id"], row["uscc"], row["inspector_id"]
    facts: dict[str, Any] = {
        "unit_id": unit, "uscc": enterprise, "inspector_id": leaving, **RECUSED,
    }  # fmt: skip
    record, chosen = office.replace_inspector(PLAN, ROUND, **facts)
    files = town.files()
    assert office.replace_inspector(PLAN, ROUND, **facts) == (record, chosen) and town.files() == files
    team = {
        one["inspector_id"]: one["role"]
        for one in store.assignments(PLAN, ROUND).to_pylist()  # type: ignore[union-attr]
        if (one["unit_id"], one["uscc"]) == (unit, enterprise)
    }
    assert chosen in team and leaving not in team and team[chosen] == row["role"] and len(team) == 2
    assert chosen != f"{unit}-4", "who is on leave cannot come"
    assert town.events()[-1] == "round_inspector_replaced"
    statement = store.statement(PLAN, ROUND, "replaced-001")
    assert statement["reason"] == "relative (桐文〔2026〕3号)" and statement["approvers"] == ["Li", "Wang"]
    with pytest.raises(BadInput, match="is not to visit"):
        office.replace_inspector(PLAN, ROUND, **(facts | {"inspector_id": "nobody"}))
    seed = office.seed(office.existing(PLAN, ROUND))
    order = sorted(
        (protocol.candidate_order(seed, enterprise, f"{unit}-{n}"), f"{unit}-{n}") for n in range(4)
    )
    lawful = [name for _, name in order if name not in {leaving, *team} | {chosen}]
    earlier = [name for _, name in order[: [name for _, name in order].index(chosen)]]
    is_leader_needed = row["role"] == "leader"
    for name in set(earlier) & set(lawful):
        recused = (name, enterprise) == ("A01-0", uscc(1))
        assert recused or (is_leader_needed and int(name[-1]) > 1), "an earlier lawful one was passed over"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"approvers": ["Li"]}, "2 different approvers, not 1"),
        ({"approvers": ["Li", "LI "]}, "2 different approvers, not 1"),
        ({"reason": "tired"}, "one of relative, former_employer, shareholding, other"),
        ({"document_no": " "}, "document"),
        ({"declared_date": "2026-03-07"}, "lies in the future"),
    ],
)
def test_a_late_recusal_without_its_grounds_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """One person could exchange inspectors until the wanted one comes, and say nothing but a word."""
    town = assigned(tmp_path)
    town.now = LATER
    before = town.files()
    row = town.office().store.assignments(PLAN, ROUND).to_pylist()[0]  # type: ignore[union-attr]
    facts = {name: row[name] for name in ("unit_id", "uscc", "inspector_id")} | RECUSED | change
    with pytest.raises(BadInput, match=message):
        town.office().replace_inspector(PLAN, ROUND, **facts)
    assert town.files() == before and town.events()[-1] == "round_assigned"


def test_units_without_inspectors_wait_for_a_later_wave(tmp_path: Path) -> None:
    town = City(tmp_path)
    everyone = town.roster
    town.roster = [row for row in everyone if row["unit_id"] == "A01"]
    assert town.run() == ["ASSIGNED"]
    office = town.office()
    assert office.existing(PLAN, ROUND).unassigned_units == ("B02",)
    assert "draw assign" in office.waiting_for(office.existing(PLAN, ROUND))
    outcome = assign_wave(office, PLAN, ROUND)
    assert set(outcome.unassigned) == {"B02"} and office.existing(PLAN, ROUND).waves == 1
    town.roster = everyone
    town.build()
    assert not assign_wave(town.office(), PLAN, ROUND).unassigned
    record = office.existing(PLAN, ROUND)
    freeze = office.store.statement(PLAN, ROUND, "freeze")
    assert record.waves == 2 and record.wave_roots[0] == freeze["roster_root"] != record.wave_roots[1]


def test_without_any_inspector_the_round_stays_drawn(tmp_path: Path) -> None:
    town = City(tmp_path)
    everyone = town.roster
    town.roster = [row | {"excluded_reason": "on_leave"} for row in everyone]
    assert town.run() == ["DRAWN"]
    town.roster = everyone
    assert town.run() == ["ASSIGNED"]
    assert "roster-001.parquet" in town.office().existing(PLAN, ROUND).files


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    quotas=st.lists(st.integers(0, 6), min_size=4, max_size=4),
    picks=st.lists(st.integers(0, 30), max_size=8),
)
def test_top_ups_never_draw_one_twice_nor_leave_a_gap(
    sizes: list[int], quotas: list[int], picks: list[int]
) -> None:
    """Whatever closes in whatever order: the ranks taken in a cell are the first ones, without a gap."""
    rows = [
        {
            "unit_id": "A01", "item_code": "GENERAL", "uscc": uscc(cell * 100 + rank),
            "platform_grade": "BCDE"[cell], "ticket": "", "rank": rank, "stratum_size": size,
            "quota": min(quotas[cell], size), "is_drawn": rank <= quotas[cell],
        }
        for cell, size in enumerate(sizes)
        for rank in range(1, size + 1)
    ]  # fmt: skip
    schema = pa.schema(
        {name: pa.string() for name in ("unit_id", "item_code", "uscc", "platform_grade", "ticket")}
    )
    for name in ("rank", "stratum_size", "quota"):
        schema = schema.append(pa.field(name, pa.int64()))
    draw = pa.Table.from_pylist(rows, schema=schema.append(pa.field("is_drawn", pa.bool_())))
    uscc_cell = {row["uscc"]: "BCDE".index(row["platform_grade"]) for row in rows}
    statements: list[dict[str, Any]] = []
    for pick in picks:
        here = drawn_set(draw, statements).visits()
        if here:
            unit, closed = here[pick % len(here)]
            statements.append({"unit_id": unit, "uscc": closed})
    found = drawn_set(draw, statements)
    taken: dict[str, list[int]] = {}
    for row in found.table.to_pylist():
        taken.setdefault(row["platform_grade"], []).append(row["rank"])
    for ranks in taken.values():
        assert sorted(ranks) == list(range(1, len(ranks) + 1))
    closed_in = Counter(uscc_cell[statement["uscc"]] for statement in statements)
    wanted = sum(
        min(quota, size, size - closed_in[cell])
        for cell, (size, quota) in enumerate(zip(sizes, quotas, strict=False))
    )
    assert len(found.visits()) == wanted, "as many visits as before, as long as a cell has reserve"
    joint = open_visits(found, [], {"initiator": "A01", "cooperating_units": ["B02"]})
    assert len(joint) == 2 * len(found.visits())


def test_the_next_inspector_is_lawful_and_a_leader_where_one_left() -> None:
    allowed = {"a": True, "b": False, "c": True, "d": False}
    seed = "0" * 64
    order = [one for _, one in sorted((protocol.candidate_order(seed, uscc(1), one), one) for one in allowed)]
    common: dict[str, Any] = {"already_replaced": [], "seed": seed, "uscc": uscc(1)}
    free = [one for one in order if one not in ("a", "b")]
    assert next_inspector(["a", "b"], "b", allowed, was_leader=False, **common) == free[0]
    assert next_inspector(["a", "b"], "a", allowed, was_leader=True, **common) == "c"
    assert next_inspector(["a", "b"], "a", {"d": False}, was_leader=True, **common) == "d"
    common["already_replaced"] = ["c", "d"]
    assert next_inspector(["a", "b"], "a", allowed, was_leader=True, **common) is None
