"""From a drawn round to the visits that a wave must serve, and who may make them.

Here: the tables that `inspection.teams.assignment` works on, read from a round's files. Not here: the choice itself, the
steps (`inspection.rounds.office`).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from credit_pipeline.inspection.rounds.record import RoundRecord
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.inspection.teams.assignment import Assignment, assign, standing_assignments

VISITS = pa.schema(
    {
        "unit_id": pa.string(),
        "draw_unit_id": pa.string(),
        "uscc": pa.string(),
        "region": pa.string(),
        "required_skills": pa.string(),
    }
)


def visits_of_wave(store: RoundStore, record: RoundRecord) -> pa.Table:
    """The visits without inspectors: where the enterprise is, and every skill that its drawn items ask for."""
    plan_id, round_ = record.plan_id, record.round
    skill_of = {item["item_code"]: item["required_skill"] for item in store.rule(plan_id, round_)["items"]}
    drawn = store.drawn(plan_id, round_).table
    skills: dict[tuple[str, str], set[str]] = {}
    for unit, uscc, item in zip(
        *(drawn[name].to_pylist() for name in ("unit_id", "uscc", "item_code")), strict=True
    ):
        skills.setdefault((unit, uscc), set()).update(one for one in skill_of[item].split("+") if one)
    open_visits = store.open_visits(plan_id, round_)
    regions = _regions(store.table(plan_id, round_, "frame"), {uscc for _, _, uscc in open_visits})
    rows = [
        {
            "unit_id": unit,
            "draw_unit_id": draw_unit,
            "uscc": uscc,
            "region": regions.get((draw_unit, uscc), ""),
            "required_skills": "+".join(sorted(skills[draw_unit, uscc])),
        }
        for unit, draw_unit, uscc in open_visits
    ]
    return pa.Table.from_pylist(rows, schema=VISITS)


def _regions(frame: pa.Table, usccs: set[str]) -> dict[tuple[str, str], str]:
    wanted = frame.filter(pc.is_in(frame["uscc"], value_set=pa.array(sorted(usccs), pa.string())))
    columns = (wanted[name].to_pylist() for name in ("unit_id", "uscc", "region"))
    return {(unit, uscc): region for unit, uscc, region in zip(*columns, strict=True)}


def choose_teams_of_wave(
    store: RoundStore, record: RoundRecord, seed: str, wave: int, roster: tuple[pa.Table, pa.Table]
) -> Assignment:
    """The teams of a wave. What earlier waves assigned counts as it was made: top-ups and late recusals since then
    change nothing, so that the result does not depend on their order.
    """
    return assign(
        visits_of_wave(store, record),
        roster[0],
        roster[1],
        seed,
        inspectors_per_visit=store.rule(record.plan_id, record.round)["inspectors_per_visit"],
        wave=wave,
        already=standing_assignments(store.waves(record.plan_id, record.round)),
    )


def lawful_inspectors(store: RoundStore, record: RoundRecord, unit_id: str, uscc: str) -> dict[str, bool]:
    """inspector -> is_leader, of the unit's inspectors who may visit the enterprise by the roster of the wave that
    assigned it.
    """
    plan_id, round_ = record.plan_id, record.round
    assigned = store.assignments(plan_id, round_)
    if assigned is None:
        return {}
    rows = assigned.filter(pc.and_(pc.equal(assigned["unit_id"], unit_id), pc.equal(assigned["uscc"], uscc)))
    wave, draw_unit = rows["wave"][0].as_py(), rows["draw_unit_id"][0].as_py()
    suffix = f"-{wave:03}" if f"roster-{wave:03}.parquet" in record.files else ""
    roster = store.table(plan_id, round_, f"roster{suffix}")
    recusals = store.table(plan_id, round_, f"recusals{suffix}")
    recused = set(recusals.filter(pc.equal(recusals["uscc"], uscc))["inspector_id"].to_pylist())
    region = _regions(store.table(plan_id, round_, "frame"), {uscc}).get((draw_unit, uscc), "")
    drawn = store.drawn(plan_id, round_).table
    mask = pc.and_(pc.equal(drawn["unit_id"], draw_unit), pc.equal(drawn["uscc"], uscc))
    items = set(drawn.filter(mask)["item_code"].to_pylist())
    needed = {
        skill
        for item in store.rule(plan_id, round_)["items"]
        if item["item_code"] in items
        for skill in item["required_skill"].split("+")
        if skill
    }
    own = roster.filter(
        pc.and_(pc.equal(roster["unit_id"], unit_id), pc.equal(roster["excluded_reason"], ""))
    )
    return {
        row["inspector_id"]: row["is_leader"]
        for row in own.to_pylist()
        if row["inspector_id"] not in recused
        and (region == "" or region.startswith(row["region_prefix"]))
        and needed <= set(row["skills"].split("+"))
    }
