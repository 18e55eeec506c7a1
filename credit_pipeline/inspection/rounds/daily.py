"""The daily step of all rounds, and the tables that show them.

Here: which rounds are due or unfinished, taking each as far as it goes, `inspection_draws` and `inspector_assignments`.
Not here: a single step (`inspection.rounds.office`), the files (`inspection.rounds.store`), who inspects
(`inspection.teams.assignment`). Every step that is already taken is left as it is, so a re-run, a re-execution from the UI
or a run after a crash cannot draw anew. A replay of a past day draws nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.rounds.office import RoundOffice, RoundOutcome
from credit_pipeline.inspection.rounds.record import LIVE, RoundRecord, State
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.inspection.rounds.tables import announcements, roster_of_day
from credit_pipeline.inspection.teams.assignment import SCHEMA as ASSIGNMENT_SCHEMA
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import RunTarget, connect, current_as_of_date

DRAWS_SCHEMA = pa.schema(
    {
        "plan_id": pa.string(),
        "round": pa.int32(),
        "frozen_date": pa.date32(),
        "unit_id": pa.string(),
        "item_code": pa.string(),
        "uscc": pa.string(),
        "platform_grade": pa.string(),
        "rank": pa.int64(),
        "stratum_size": pa.int64(),
        "quota": pa.int64(),
        "ticket": pa.string(),
        "is_top_up": pa.bool_(),
        "replaces": pa.string(),
    }
)
ASSIGNMENTS_SCHEMA = pa.schema(
    [pa.field("plan_id", pa.string()), pa.field("round", pa.int32()), *ASSIGNMENT_SCHEMA]
)


def due_rounds(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    """(plan, round) of every round in force, by plan."""
    return [
        (str(plan), int(round_))
        for plan, round_ in connection.execute(
            "select plan_id, round from inspection.inspection_rounds order by plan_id, round"
        ).fetchall()
    ]


def summary_table(outcomes: list[RoundOutcome]) -> str:
    """The rounds as a Markdown table: counts and what is waited for, nothing by grade or enterprise."""
    lines = ["| plan | round | state | drawn | waiting for | not proven |", "|---|---|---|---|---|---|"]
    for one in outcomes:
        missing = " ".join(one.missing_assurances) or "-"
        lines.append(
            f"| {one.plan_id} | {one.round} | {one.state} | {one.drawn} | {one.waiting_for or '-'} | {missing} |"
        )
    return "\n".join(lines)


def rounds_for_audit(outcomes: list[RoundOutcome]) -> list[dict[str, Any]]:
    """The rounds as the audit log holds them: how far each is, how many are drawn, which units wait for inspectors."""
    return [
        {
            "plan_id": one.plan_id,
            "round": one.round,
            "state": str(one.state),
            "is_new": one.is_new,
            "drawn": one.drawn,
            "units_without_inspectors": sorted(one.unassigned),
        }
        for one in outcomes
    ]


def _rounds_at_work(store: RoundStore, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int | str]]:
    """Those in force, and those begun earlier that are not assigned yet."""
    unfinished = [(record.plan_id, record.round) for record in store.records() if record.state in LIVE]
    return sorted({*due_rounds(connection), *unfinished}, key=lambda one: (one[0], str(one[1]).zfill(32)))


def draw_due_rounds(
    settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None
) -> list[RoundOutcome]:
    """Take every round that is due or unfinished as far as it goes up to its draw, then load all draws.

    The frame is frozen on the first day on which it has rows; commitments, entropy and reveals of other parties are
    waited for. With one party and no public entropy all happens at once.
    """
    office = RoundOffice(settings, audit, run_id)
    with connect(settings, target.path) as connection:
        outcomes = []
        for plan_id, round_ in _rounds_at_work(office.store, connection):
            record = office.record(plan_id, round_)
            is_new = record is None
            if target.is_replay:
                if record is not None and record.frozen_date <= target.as_of_date:
                    outcomes.append(office.outcome(record))
                continue
            if record is None:
                record = office.freeze(connection, plan_id, int(round_), target.as_of_date)
            if record is None:
                waiting = "a frame: no enterprise is in the scope of the plan yet"
                outcomes.append(RoundOutcome(plan_id, round_, waiting_for=waiting))
                continue
            known = announcements(connection, target.as_of_date)
            outcome = office.advance(plan_id, round_, known, target.as_of_date, connection)
            outcomes.append(replace(outcome, is_new=is_new))
        load_draws(office.store, connection, target)
    return outcomes


def assign_inspectors(
    settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None
) -> list[RoundOutcome]:
    """Give every drawn enterprise its inspectors, once, and load all assignments.

    The first wave is made from the roster frozen with the frame. If that held nobody who may inspect, the round stays
    drawn until the directory of inspectors is there, and takes the roster of that day. Enterprises that came by
    top-up and units without a lawful assignment wait for `draw assign`; every run says why, by the roster of the day.
    """
    office = RoundOffice(settings, audit, run_id)
    with connect(settings, target.path) as connection:
        outcomes = []
        for record in _known_rounds(office.store, target):
            if record.state not in (State.DRAWN, State.ASSIGNED):
                continue
            if record.state is State.DRAWN and not target.is_replay:
                outcomes.append(_first_wave(office, connection, record))
            else:
                why = {} if target.is_replay else _conflicts(office, connection, record)
                outcomes.append(office.outcome(record, unassigned=why))
        load_assignments(office.store, connection, target)
    return outcomes


def conflicts_of_today(office: RoundOffice, record: RoundRecord) -> dict[str, str]:
    """Unit without inspectors → what stands in the way by the roster that the current warehouse knows."""
    settings = office.settings
    if not office.without_team(record) or not settings.warehouse_path.exists():
        return {}
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        return _conflicts(office, connection, record)


def _conflicts(
    office: RoundOffice, connection: duckdb.DuckDBPyConnection, record: RoundRecord
) -> dict[str, str]:
    if not office.without_team(record):
        return {}
    return office.conflicts(record, _newest_roster(office, connection, record))


def _newest_roster(
    office: RoundOffice, connection: duckdb.DuckDBPyConnection, record: RoundRecord
) -> tuple[pa.Table, pa.Table]:
    """The roster of the day; once the plan has gone on to its next round, which has another one, the frozen one."""
    plan_id, round_ = record.plan_id, record.round
    later = roster_of_day(connection, plan_id, round_)
    frozen = office.store.table(plan_id, round_, "roster"), office.store.table(plan_id, round_, "recusals")
    return later if _holds_inspectors(later[0]) else frozen


def round_problems(outcomes: list[RoundOutcome]) -> list[str]:
    """A line for each unit that sends nobody to visits drawn: where the reason stands and what to do; no enterprise."""
    lines = []
    for one in outcomes:
        for unit, count in one.without_team.items():
            call = f"{one.plan_id} {one.round}"
            lines.append(
                f"{one.plan_id} round {one.round}: unit {unit} has no inspectors for {count} drawn visit(s), none of "
                f"which takes place. The enterprises and inspectors in conflict: credit-pipeline draw show {call}; once "
                f"the directory or the recusals are mended: credit-pipeline run, then credit-pipeline draw assign {call}"
            )
    return lines


def _first_wave(
    office: RoundOffice, connection: duckdb.DuckDBPyConnection, record: RoundRecord
) -> RoundOutcome:
    plan_id, round_ = record.plan_id, record.round
    if _holds_inspectors(office.store.table(plan_id, round_, "roster")):
        return office.assign(plan_id, round_, None)
    later = roster_of_day(connection, plan_id, round_)
    if _holds_inspectors(later[0]):
        return office.assign(plan_id, round_, later)
    why = "no inspector with a valid certificate is known; deliver the feed inspectors"
    return office.outcome(record, unassigned={"*": why})


def advance_round(office: RoundOffice, plan_id: str, round_: int | str) -> RoundOutcome:
    """`draw advance`: as far as a frozen round goes now, with what the current warehouse knows."""
    settings = office.settings
    day = current_as_of_date(settings)
    if day is None:
        raise BadInput("there is no warehouse yet; remedy: credit-pipeline run")
    office.existing(plan_id, round_)
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        outcome = office.advance(plan_id, round_, announcements(connection, day), day)
        record = office.store.record(plan_id, round_)
        return _first_wave(office, connection, record) if record.state is State.DRAWN else outcome


def assign_wave(office: RoundOffice, plan_id: str, round_: int | str) -> RoundOutcome:
    """`draw assign`: the visits without inspectors, from the roster that the current warehouse knows."""
    record = office.existing(plan_id, round_)
    with connect(office.settings, office.settings.warehouse_path, read_only=True) as connection:
        if record.state is State.DRAWN:
            return _first_wave(office, connection, record)
        later = roster_of_day(connection, plan_id, round_)
    if not _holds_inspectors(later[0]):
        # The plan has gone on to its next round, whose roster is another one: the frozen one is what is left.
        return office.assign(plan_id, round_, None)
    return office.assign(plan_id, round_, later)


def unfinished_visits(office: RoundOffice, plan_id: str, round_: int | str) -> tuple[int, int]:
    """(visits without a result, visits without inspectors) of a round, as the current warehouse and the round know them."""
    settings = office.settings
    without_result = 0
    if settings.warehouse_path.exists():
        with connect(settings, settings.warehouse_path, read_only=True) as connection:
            tables = "select 1 from duckdb_tables() where schema_name = 'inspection' and table_name = 'inspection_progress'"
            if connection.execute(tables).fetchone():
                found = connection.execute(
                    "select count(*) from inspection.inspection_progress where kind = 'random' and plan_id = $plan "
                    "and cast(round as varchar) = $round and state in ('open', 'overdue')",
                    {"plan": plan_id, "round": str(round_)},
                ).fetchone()
                without_result = int(found[0]) if found else 0
    return without_result, len(office.store.open_visits(plan_id, round_))


def refresh_tables(settings: Settings) -> None:
    """Shows a step taken by command in the current warehouse; the extracts follow with the next run."""
    day = current_as_of_date(settings)
    if day is None or not settings.warehouse_path.exists():
        return
    target = RunTarget(day, settings.warehouse_path, False)
    store = RoundStore(settings.draws_dir)
    with connect(settings, settings.warehouse_path) as connection:
        load_draws(store, connection, target)
        load_assignments(store, connection, target)


def _holds_inspectors(roster: pa.Table) -> bool:
    return "" in roster["excluded_reason"].to_pylist()


def _known_rounds(store: RoundStore, target: RunTarget) -> list[RoundRecord]:
    """The rounds of the day whose result counts: an aborted one sends nobody anywhere, and one drawn later was not
    known then.
    """
    return [
        record
        for record in store.records()
        if record.frozen_date <= target.as_of_date
        and record.state is not State.ABORTED
        and (store.drawn_date(record) or record.frozen_date) <= target.as_of_date
    ]


def load_draws(store: RoundStore, connection: duckdb.DuckDBPyConnection, target: RunTarget) -> None:
    """`inspection.inspection_draws`: every enterprise drawn or added in every round known on the day, by item."""
    tables = [DRAWS_SCHEMA.empty_table()]
    for record in _known_rounds(store, target):
        if "draw.parquet" in record.files:
            drawn = store.drawn(record.plan_id, record.round).table
            frozen = pa.repeat(pa.scalar(record.frozen_date, pa.date32()), drawn.num_rows)
            drawn = drawn.append_column("frozen_date", frozen)
            tables.append(drawn.select(DRAWS_SCHEMA.names).cast(DRAWS_SCHEMA))
    order = "plan_id, round, unit_id, item_code, platform_grade, rank"
    _replace_table(connection, "inspection.inspection_draws", pa.concat_tables(tables), order)


def load_assignments(store: RoundStore, connection: duckdb.DuckDBPyConnection, target: RunTarget) -> None:
    """`inspection.inspector_assignments`: who visits whom as it stands now, in every round known on the day."""
    tables = [ASSIGNMENTS_SCHEMA.empty_table()]
    for record in _known_rounds(store, target):
        found = store.assignments(record.plan_id, record.round)
        if found is not None:
            tables.append(found.select(ASSIGNMENTS_SCHEMA.names).cast(ASSIGNMENTS_SCHEMA))
    order = "plan_id, round, unit_id, uscc, position"
    _replace_table(connection, "inspection.inspector_assignments", pa.concat_tables(tables), order)


def _replace_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, order: str) -> None:
    connection.register("incoming", table)
    connection.execute(f"create or replace table {name} as select * from incoming order by {order}")
    connection.unregister("incoming")
