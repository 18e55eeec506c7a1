"""From quotas to drawn enterprises and their inspectors: the steps of a due round, taken one after another.

The primitives are `inspection.protocol`, the files `inspection.draw`, the choice of inspectors
`inspection.assignment`. Here they are put in order, and their results become warehouse tables. Every step that is
already taken is left as it is, so a re-run, a re-execution from the UI or a run after a crash cannot draw anew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.inspection import protocol
from credit_pipeline.inspection.assignment import SCHEMA as ASSIGNMENT_SCHEMA
from credit_pipeline.inspection.assignment import Assignment, assign
from credit_pipeline.inspection.round_store import RoundRecord, RoundStore, State
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import RunTarget, connect

log = logging.getLogger(__name__)

PARTY = "credit_office"

DRAWS_SCHEMA = pa.schema(
    {
        "plan_id": pa.string(),
        "round": pa.int32(),
        "frozen_date": pa.date32(),
        "unit_id": pa.string(),
        "uscc": pa.string(),
        "platform_grade": pa.string(),
        "rank": pa.int64(),
        "stratum_size": pa.int64(),
        "quota": pa.int64(),
        "ticket": pa.string(),
    }
)


@dataclass(frozen=True)
class RoundOutcome:
    """What happened to the round in force; counts only."""

    plan_id: str | None = None
    round: int | None = None
    state: str = "none"
    is_new: bool = False
    drawn: int = 0
    unassigned: Mapping[str, str] = field(default_factory=dict)
    """Unit → why no inspectors could be assigned."""
    missing_assurances: tuple[str, ...] = ()


def _party_key(settings: Settings) -> bytes:
    return KeyStore(settings.keys_dir).party_key(PARTY)


def _reveals(settings: Settings, plan_id: str, round_: int) -> dict[str, str]:
    return {PARTY: protocol.party_reveal(_party_key(settings), plan_id, round_)}


def _round_in_force(connection: duckdb.DuckDBPyConnection) -> tuple[str, int, str] | None:
    rows = connection.execute(
        "select plan_id, cast(round as integer), cast(to_json(r) as varchar) from inspection.inspection_rounds r order by due_date desc, plan_id"
    ).fetchall()
    return (str(rows[0][0]), int(rows[0][1]), str(rows[0][2])) if rows else None


def draw_due_round(
    settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None
) -> RoundOutcome:
    """Freeze, commit and draw the round in force if that has not been done, then load all draws into the warehouse.

    A replay of a past day draws nothing; it shows the draws that stood on that day.
    """
    store = RoundStore(settings.draws_dir)
    with connect(settings, target.path) as connection:
        due = _round_in_force(connection)
        outcome = RoundOutcome()
        if due is not None:
            plan_id, round_, _ = due
            before = store.state(plan_id, round_)
            frame_size = connection.execute("select count(*) from inspection.inspection_frame").fetchone()
            if target.is_replay or not frame_size or frame_size[0] == 0:
                state = before
            else:
                state = _take_steps(settings, store, connection, due, target.as_of_date, audit, run_id)
            record = store.record(plan_id, round_) if state is not None else None
            outcome = RoundOutcome(
                plan_id,
                round_,
                str(state) if state is not None else "not frozen",
                is_new=state is not None and before is None,
                drawn=(record.drawn_count or 0) if record else 0,
                missing_assurances=tuple(protocol.missing_assurances([PARTY], protocol.NO_ENTROPY)),
            )
        _load_draws(store, connection, target.as_of_date)
    return outcome


def _take_steps(
    settings: Settings,
    store: RoundStore,
    connection: duckdb.DuckDBPyConnection,
    due: tuple[str, int, str],
    as_of_date: date,
    audit: AuditLog,
    run_id: str | None,
) -> State:
    plan_id, round_, rule = due

    def log_step(record: RoundRecord) -> None:
        _record_step(audit, record, run_id)
        log.info("draw %s round %s: %s", plan_id, round_, record.state)

    if store.state(plan_id, round_) is not None:
        # A crash between a step and its entry in the log leaves the step without one.
        _record_step(audit, store.record(plan_id, round_), run_id)
    if store.state(plan_id, round_) is None:
        frame = connection.execute(
            "select * exclude (plan_id, round, frozen_date) from inspection.inspection_frame"
        ).to_arrow_table()
        quotas = connection.execute(
            "select * exclude (plan_id, round, frozen_date) from inspection.inspection_quotas"
        ).to_arrow_table()
        salt = protocol.round_salt(_party_key(settings), plan_id, round_)
        log_step(store.freeze(plan_id, round_, frame, quotas, as_of_date, {"round": rule}, frame_salt=salt))
    reveals = _reveals(settings, plan_id, round_)
    if store.state(plan_id, round_) is State.FRAME_FROZEN:
        committed = [
            (party, protocol.commitment(plan_id, round_, party, reveal)) for party, reveal in reveals.items()
        ]
        log_step(store.commit(plan_id, round_, committed))
    if store.state(plan_id, round_) is State.COMMITTED:
        log_step(store.set_entropy(plan_id, round_, protocol.NO_ENTROPY))
    if store.state(plan_id, round_) is State.ENTROPY:
        log_step(store.draw(plan_id, round_, reveals, connection))
    state = store.state(plan_id, round_)
    if state is None:
        raise CreditPipelineError(
            f"plan {plan_id}, round {round_} lost its record; restore {store.root} from a copy"
        )
    return state


def _record_step(audit: AuditLog, record: RoundRecord, run_id: str | None) -> None:
    """Append the step to the audit log unless it stands there already."""
    event = f"round_{str(record.state).lower()}"
    for earlier in audit.records(event, "inspection"):
        if (earlier.details["plan_id"], earlier.details["round"]) == (record.plan_id, record.round):
            return
    audit.append(event, "inspection", run_id, **record.public_facts())


def _known_rounds(store: RoundStore, as_of_date: date) -> list[RoundRecord]:
    return [record for record in store.records() if record.frozen_date <= as_of_date]


def _load_draws(store: RoundStore, connection: duckdb.DuckDBPyConnection, as_of_date: date) -> None:
    """`inspection.inspection_draws`: every drawn enterprise of every round known on the day."""
    tables = [DRAWS_SCHEMA.empty_table()]
    for record in _known_rounds(store, as_of_date):
        if "draw.parquet" in record.files:
            drawn = store.table(record.plan_id, record.round, "draw")
            drawn = drawn.filter(drawn["is_drawn"])
            frozen = pa.repeat(pa.scalar(record.frozen_date, pa.date32()), drawn.num_rows)
            drawn = drawn.append_column("frozen_date", frozen)
            tables.append(drawn.select(DRAWS_SCHEMA.names).cast(DRAWS_SCHEMA))
    _replace_table(
        connection,
        "inspection.inspection_draws",
        pa.concat_tables(tables),
        "plan_id, round, unit_id, platform_grade, rank",
    )


def _replace_table(connection: duckdb.DuckDBPyConnection, name: str, table: pa.Table, order: str) -> None:
    connection.register("incoming", table)
    connection.execute(f"create or replace table {name} as select * from incoming order by {order}")
    connection.unregister("incoming")


def assign_inspectors(
    settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None
) -> RoundOutcome:
    """Give every drawn enterprise of the round in force its inspectors, once, and load all assignments.

    Only inspectors with a certificate valid on the day and not on leave take part. Without any directory of
    inspectors the round stays drawn and waits; a unit for which no lawful assignment exists is named, never given
    a single inspector.
    """
    store = RoundStore(settings.draws_dir)
    with connect(settings, target.path) as connection:
        due = _round_in_force(connection)
        outcome = RoundOutcome()
        if due is not None and store.state(due[0], due[1]) is not None:
            plan_id, round_, _ = due
            record = store.record(plan_id, round_)
            unassigned: dict[str, str] = {}
            if record.state is State.DRAWN and not target.is_replay:
                found = _choose(settings, store, connection, plan_id, round_, target.as_of_date)
                if found is not None:
                    unassigned = {unit.unit_id: unit.message() for unit in found.infeasible}
                    record = store.record_assignment(plan_id, round_, found.assignments, list(unassigned))
                    _record_step(audit, record, run_id)
                else:
                    unassigned = {
                        "*": "no inspector with a valid certificate is known; deliver the feed inspectors"
                    }
            for unit in record.unassigned_units or ():
                unassigned.setdefault(unit, "no lawful assignment existed when the round was assigned")
            outcome = RoundOutcome(
                plan_id, round_, str(record.state), drawn=record.drawn_count or 0, unassigned=unassigned
            )
        tables = [_loaded_schema().empty_table()]
        for known in _known_rounds(store, target.as_of_date):
            if "assignments.parquet" in known.files:
                tables.append(
                    store.table(known.plan_id, known.round, "assignments")
                    .select(_loaded_schema().names)
                    .cast(_loaded_schema())
                )
        _replace_table(
            connection,
            "inspection.inspector_assignments",
            pa.concat_tables(tables),
            "plan_id, round, unit_id, uscc, position",
        )
    return outcome


def _loaded_schema() -> pa.Schema:
    return pa.schema([pa.field("plan_id", pa.string()), pa.field("round", pa.int32()), *ASSIGNMENT_SCHEMA])


def _choose(
    settings: Settings,
    store: RoundStore,
    connection: duckdb.DuckDBPyConnection,
    plan_id: str,
    round_: int,
    as_of_date: date,
) -> Assignment | None:
    roster = connection.execute(
        """
        select inspector_id, min(unit_id) as unit_id, bool_or(coalesce(is_leader, false)) as is_leader
        from staging.stg_inspectors
        where known_to is null
            and (void_from is null or void_from > $day)
            and certificate_valid_to >= $day
            and not (leave_from is not null and leave_from <= $day and coalesce(leave_to, date '9999-12-31') >= $day)
        group by inspector_id
        order by inspector_id
        """,
        {"day": as_of_date},
    ).to_arrow_table()
    if roster.num_rows == 0:
        return None
    seed = store.seed(plan_id, round_, _reveals(settings, plan_id, round_))
    return assign(store.table(plan_id, round_, "draw"), roster, seed)
