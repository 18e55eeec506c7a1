"""The steps of a round on file: each made once, forward only, safe against a crash at any edge.

Here: `RoundStore`, what each step checks and writes. Not here: how files are written and read back
(`inspection.round_files`), the record (`inspection.round_record`), the SQL of the draw (`inspection.draw`), what the
audit log says of a step (`inspection.round_guard`), when a step is taken (`inspection.rounds`).

A step made again with the same content is a no-op, with another it is refused. A step writes its files, then
`round.json` that binds them, each whole and on disk before it has its name: a crash at any edge leaves the round in
its earlier state, and the step made again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from io import BytesIO
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from credit_pipeline.audit.log import sha256_hex, write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection import protocol
from credit_pipeline.inspection.draw import (
    DRAW_SQL,
    check_quotas,
    draw_round,
    frame_root,
    quotas_root,
    tables_root,
)
from credit_pipeline.inspection.parties import verify_commitment
from credit_pipeline.inspection.protocol import Round
from credit_pipeline.inspection.round_files import RoundFiles, constants, normal, parquet, statement_bytes
from credit_pipeline.inspection.round_record import ORDER, RoundRecord, State
from credit_pipeline.inspection.statements import different
from credit_pipeline.inspection.top_ups import DrawnSet, current_assignments, drawn_set, open_visits

__all__ = ["RoundRecord", "RoundStore", "State"]

FROZEN_TABLES = ("frame", "quotas", "roster", "recusals")
_SAME_FREEZE = ("frozen_date", "freeze_root", "frame_root", "frame_size", "eligible_count", "unit_sizes")


class RoundStore(RoundFiles):
    """The rounds under `root`, a folder each."""

    def state(self, plan_id: str, round_: Round) -> State | None:
        """The state after the last finished step, or None for a round not begun."""
        return self.record(plan_id, round_).state if self.exists(plan_id, round_) else None

    def freeze(
        self,
        plan_id: str,
        round_: Round,
        tables: Mapping[str, pa.Table],
        frozen_date: date,
        rule: Mapping[str, Any],
        *,
        frame_salt: bytes,
    ) -> RoundRecord:
        """FRAME_FROZEN: frame (every enterprise, excluded ones with their reason), quotas, roster and recusals stand
        from now on, and the `rule` by which all later steps go.

        plan_id, round and frozen_date are added to the tables. `frame_salt` is `protocol.round_salt` of the
        office's key.
        """
        fixed = constants(plan_id, round_) | {"frozen_date": pa.scalar(frozen_date, pa.date32())}
        stored = {name: normal(tables[name], name, fixed) for name in FROZEN_TABLES}
        if (rule["plan_id"], rule["round"]) != (plan_id, round_):
            raise BadInput(
                f"the rule is of plan {rule['plan_id']}, round {rule['round']}, not {plan_id}, {round_}"
            )
        with closing(_private_connection()) as connection:
            connection.register("frozen_frame", stored["frame"])
            connection.register("frozen_quotas", stored["quotas"])
            root = frame_root(connection, frame_table="frozen_frame", frame_salt=frame_salt)
            check_quotas(connection, frame_table="frozen_frame", quotas_table="frozen_quotas")
        eligible = pc.sum(pc.equal(stored["frame"]["excluded_reason"], "")).as_py() or 0
        statement = protocol.freeze_statement(
            plan_id,
            round_,
            frozen_date=frozen_date.isoformat(),
            frame_root=root.root,
            frame_size=root.size,
            eligible_count=eligible,
            unit_sizes=root.unit_sizes,
            quotas_root=quotas_root(stored["quotas"], frame_salt=frame_salt),
            roster_root=tables_root(stored["roster"], stored["recusals"], frame_salt=frame_salt),
            rule_sha256=protocol.rule_sha256(rule),
        )
        new = RoundRecord(
            plan_id, round_, State.FRAME_FROZEN, 1, "round_frame_frozen", frozen_date,
            protocol.freeze_root(statement), root.root, root.size, eligible, root.unit_sizes, {},
        )  # fmt: skip
        with self.locked():
            if self.exists(plan_id, round_):
                record = self.record(plan_id, round_)
                _refuse_aborted(record)
                return self._refuse_other(record, new, _SAME_FREEZE, stored)
            contents = {f"{name}.parquet": parquet(table) for name, table in stored.items()}
            contents |= {"rule.json": statement_bytes(rule), "freeze.json": statement_bytes(statement)}
            return self.write(new, contents)

    def rule(self, plan_id: str, round_: Round) -> dict[str, Any]:
        """The plan's rule as it was frozen; nothing of a round is read from the policy tables after that."""
        return self.statement(plan_id, round_, "rule")

    def receive(
        self, plan_id: str, round_: Round, statement: Mapping[str, Any], escrow: bytes | None
    ) -> list[str]:
        """Keeps a party's commitment until all are there; the parties still missing. The first one stands."""
        with self.locked():
            record = self.record(plan_id, round_)
            rule = self.rule(plan_id, round_)
            verify_commitment(rule, record.freeze_root, statement, escrow, with_escrow=True)
            directory, party = self.directory(plan_id, round_), statement["party"]
            path, content = directory / f"commitment-{party}.json", statement_bytes(statement)
            if path.exists() and path.read_bytes() != content:
                raise IntegrityError(
                    f"{path}: {party} has committed already and cannot choose another number; if its key was lost, "
                    "abort the round and freeze the next"
                )
            if record.state is State.FRAME_FROZEN and not path.exists():
                if escrow is not None:
                    write_durably(directory / f"escrow-{party}.age", escrow)
                write_durably(path, content)
            elif not path.exists():
                raise BadInput(f"{record.named()} is {record.state}: it takes no commitment any more")
        return self.missing_commitments(plan_id, round_)

    def missing_commitments(self, plan_id: str, round_: Round) -> list[str]:
        """The parties of the rule that have not committed yet, in the rule's order."""
        directory = self.directory(plan_id, round_)
        parties = [party["party"] for party in self.rule(plan_id, round_)["parties"]]
        return [party for party in parties if not (directory / f"commitment-{party}.json").exists()]

    def commit(self, plan_id: str, round_: Round) -> RoundRecord:
        """COMMITTED: the signed commitments of all parties of the rule stand, before the entropy can be known."""
        record, rule = self.record(plan_id, round_), self.rule(plan_id, round_)
        missing = self.missing_commitments(plan_id, round_)
        if missing:
            raise BadInput(
                f"{record.named()}: no commitment yet of {', '.join(missing)}; each makes it by `credit-pipeline "
                "draw party commit`, then import it by `credit-pipeline draw commit`"
            )
        directory, contents, committed = self.directory(plan_id, round_), dict[str, bytes](), []
        for party in (one["party"] for one in rule["parties"]):
            names = (f"commitment-{party}.json", f"escrow-{party}.age")
            found = {name: (directory / name).read_bytes() for name in names if (directory / name).exists()}
            contents |= found
            statement = _json(found[names[0]])
            verify_commitment(rule, record.freeze_root, statement, found.get(names[1]), with_escrow=True)
            committed.append((party, str(statement["commitment"])))
        return self._advance(
            record, State.COMMITTED, "round_committed", contents, commitments=tuple(committed)
        )

    def set_entropy(self, plan_id: str, round_: Round, statement: Mapping[str, Any]) -> RoundRecord:
        """ENTROPY: the public number, such as "KL8:2026123:01.02...", or `protocol.NO_ENTROPY`, with its announcements
        (`statements.entropy_statement`).
        """
        record = self.record(plan_id, round_)
        entropy = protocol.checked("entropy", statement["entropy"], protocol.ENTROPY_PATTERN)
        contents = {"entropy.json": statement_bytes(statement)}
        return self._advance(record, State.ENTROPY, "round_entropy", contents, entropy=entropy)

    def seed(self, plan_id: str, round_: Round, reveals: Mapping[str, str]) -> str:
        """The seed of a round that has its entropy. Raises `IntegrityError` if a reveal does not open its
        commitment.
        """
        record = self.record(plan_id, round_)
        if record.entropy is None:
            raise BadInput(f"{record.named()} is {record.state}: its entropy is not set")
        return protocol.draw_seed(
            plan_id,
            record.round,
            freeze_root=record.freeze_root,
            commitments=record.commitments,
            reveals=reveals,
            entropy=record.entropy,
        )

    def draw(
        self,
        plan_id: str,
        round_: Round,
        reveals: Mapping[str, str],
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> RoundRecord:
        """DRAWN: draws from the frozen files, checked by digest, and records the result with all ranks."""
        record, seed = self.record(plan_id, round_), self.seed(plan_id, round_, reveals)
        own = _private_connection() if connection is None else connection.cursor()
        with closing(own):
            own.register("frozen_frame", self.table(plan_id, round_, "frame"))
            own.register("frozen_quotas", self.table(plan_id, round_, "quotas"))
            tickets = draw_round(
                own, frame_table="frozen_frame", quotas_table="frozen_quotas", seed=seed, is_checked=True
            )
            own.unregister("frozen_frame")
            own.unregister("frozen_quotas")
        return self._record_draw(record, normal(tickets, "draw", constants(plan_id, record.round)), seed)

    def record_draw(
        self, plan_id: str, round_: Round, tickets: pa.Table, *, reveals: Mapping[str, str]
    ) -> RoundRecord:
        """DRAWN with `tickets` drawn elsewhere (Spark). Raises `IntegrityError` unless a draw here gives the same."""
        record, seed = self.record(plan_id, round_), self.seed(plan_id, round_, reveals)
        given = normal(tickets, "draw", constants(plan_id, record.round))
        with closing(_private_connection()) as own:
            own.register("frozen_frame", self.table(plan_id, round_, "frame"))
            own.register("frozen_quotas", self.table(plan_id, round_, "quotas"))
            found = draw_round(own, frame_table="frozen_frame", quotas_table="frozen_quotas", seed=seed)
        own_tickets = normal(found, "draw", constants(plan_id, record.round))
        if not given.select(own_tickets.column_names).equals(own_tickets):
            raise IntegrityError(f"{record.named()}: the tickets are not those of the frozen frame and seed")
        return self._record_draw(record, own_tickets, seed)

    def drawn(self, plan_id: str, round_: Round) -> DrawnSet:
        """The enterprises drawn or added by top-up."""
        record = self.record(plan_id, round_)
        top_ups = [self.statement(plan_id, round_, f"topup-{n:03}") for n in range(1, record.top_ups + 1)]
        return drawn_set(self.table(plan_id, round_, "draw"), top_ups)

    def waves(self, plan_id: str, round_: Round) -> list[pa.Table]:
        """The assignments of each wave as they were made."""
        count = self.record(plan_id, round_).waves
        return [self.table(plan_id, round_, f"assignments-{n:03}") for n in range(1, count + 1)]

    def assignments(self, plan_id: str, round_: Round) -> pa.Table | None:
        """All waves as they stand now, with the column wave; None before the first."""
        record = self.record(plan_id, round_)
        if record.waves == 0:
            return None
        replacements = [
            self.statement(plan_id, round_, f"replaced-{n:03}") for n in range(1, record.replacements + 1)
        ]
        closed = self.drawn(plan_id, round_).closed
        return current_assignments(self.waves(plan_id, round_), replacements, closed)

    def open_visits(self, plan_id: str, round_: Round) -> list[tuple[str, str, str]]:
        """(inspectors' unit, draw unit, uscc) of the visits without inspectors yet."""
        rule = self.rule(plan_id, round_)
        return open_visits(self.drawn(plan_id, round_), self.waves(plan_id, round_), rule)

    def top_up(self, plan_id: str, round_: Round, statement: Mapping[str, Any]) -> RoundRecord:
        """The next rank takes the place of a drawn enterprise that cannot be inspected, for a listed reason and by an
        event of the register later than the freeze.
        """
        with self.locked():
            record, rule = self.record(plan_id, round_), self.rule(plan_id, round_)
            _refuse_aborted(record)
            known = [self.statement(plan_id, round_, f"topup-{n:03}") for n in range(1, record.top_ups + 1)]
            for one in known:
                if {**one, "number": 0} == {**statement, "number": 0}:
                    return record
            if record.state not in (State.DRAWN, State.ASSIGNED):
                raise BadInput(f"{record.named()} is {record.state}: only a drawn, open round is topped up")
            if statement["reason"] not in rule["topup_reasons"]:
                raise BadInput(
                    f"reason {statement['reason']!r} is not on the frozen list: {', '.join(rule['topup_reasons'])}"
                )
            if date.fromisoformat(statement["event_date"]) <= record.frozen_date:
                raise BadInput(
                    f"event {statement['event_id']} is of {statement['event_date']}; the frame was frozen on "
                    f"{record.frozen_date}: what was known then is no reason for a top-up"
                )
            number = record.top_ups + 1
            if statement["number"] != number:
                raise BadInput(f"top-up {statement['number']}: the next one has the number {number}")
            drawn_set(self.table(plan_id, round_, "draw"), [*known, statement])
            new = replace(record, step=record.step + 1, event="round_topped_up", top_ups=number)
            return self.write(new, {f"topup-{number:03}.json": statement_bytes(statement)})

    def record_assignment(
        self,
        plan_id: str,
        round_: Round,
        wave: int,
        assignments: pa.Table,
        unassigned_units: Sequence[str] = (),
        *,
        roster: tuple[pa.Table, pa.Table] | None = None,
        frame_salt: bytes,
    ) -> RoundRecord:
        """ASSIGNED: who makes each visit of this wave. Units without a lawful assignment are named, not left out.

        `roster`: (roster, recusals) of the day, stored with the wave; without it the wave is made from the frozen
        one, as the first always is if that has any inspector.
        """
        record = self.record(plan_id, round_)
        fixed, units = constants(plan_id, record.round), tuple(sorted(set(unassigned_units)))
        tables = {f"assignments-{wave:03}": normal(assignments, "assignments", fixed)}
        if roster is not None:
            tables[f"roster-{wave:03}"] = normal(roster[0], "roster", fixed)
            tables[f"recusals-{wave:03}"] = normal(roster[1], "recusals", fixed)
            root = tables_root(
                tables[f"roster-{wave:03}"], tables[f"recusals-{wave:03}"], frame_salt=frame_salt
            )
        else:
            root = str(self.statement(plan_id, round_, "freeze")["roster_root"])
        with self.locked():
            record = self.record(plan_id, round_)
            _refuse_aborted(record)
            if wave <= record.waves:
                return self._refuse_other(record, record, (), tables)
            if record.state not in (State.DRAWN, State.ASSIGNED) or wave != record.waves + 1:
                raise BadInput(
                    f"{record.named()} is {record.state} with {record.waves} wave(s): wave {wave} cannot be "
                    "assigned now"
                )
            self._check_wave(record, tables[f"assignments-{wave:03}"], units)
            new = replace(
                record,
                state=State.ASSIGNED,
                step=record.step + 1,
                event="round_assigned",
                waves=wave,
                wave_roots=(*record.wave_roots, root),
                unassigned_units=units,
            )
            return self.write(new, {f"{name}.parquet": parquet(table) for name, table in tables.items()})

    def _check_wave(self, record: RoundRecord, table: pa.Table, unassigned: tuple[str, ...]) -> None:
        rule = self.rule(record.plan_id, record.round)
        wanted = {key for key in self.open_visits(record.plan_id, record.round) if key[0] not in unassigned}
        teams: dict[tuple[str, str, str], list[str]] = {}
        names = ("unit_id", "draw_unit_id", "uscc", "inspector_id")
        for unit, draw, uscc, one in zip(*(table[name].to_pylist() for name in names), strict=True):
            teams.setdefault((unit, draw, uscc), []).append(one)
        for key in sorted(wanted | set(teams)):
            team, size = teams.get(key, []), rule["inspectors_per_visit"]
            if key not in wanted or len(team) != size or len(set(team)) != size:
                raise BadInput(
                    f"assignments, unit {key[0]}, enterprise {key[2]}: it is not to be visited in this wave, has "
                    f"not {size} different inspectors while its unit is not listed as unassigned, or is both"
                )

    def replace_inspector(self, plan_id: str, round_: Round, statement: Mapping[str, Any]) -> RoundRecord:
        """A recusal declared after the assignment: another inspector of the enterprise's order goes in his place."""
        with self.locked():
            record = self.record(plan_id, round_)
            _refuse_aborted(record)
            for number in range(1, record.replacements + 1):
                known = self.statement(plan_id, round_, f"replaced-{number:03}")
                if {**known, "number": 0} == {**statement, "number": 0}:
                    return record
            table = self.assignments(plan_id, round_)
            if record.state is not State.ASSIGNED or table is None:
                raise BadInput(f"{record.named()} is {record.state}: inspectors are replaced once assigned")
            unit, uscc = statement["unit_id"], statement["uscc"]
            team = team_of(table, unit, uscc)
            if statement["inspector_id"] not in team or statement["replaced_by"] in team:
                raise BadInput(
                    f"unit {unit}, enterprise {uscc}: {statement['inspector_id']} is not to visit it, or "
                    f"{statement['replaced_by']} already is"
                )
            number = record.replacements + 1
            if statement["number"] != number:
                raise BadInput(f"replacement {statement['number']}: the next one has the number {number}")
            new = replace(record, step=record.step + 1, event="round_inspector_replaced", replacements=number)
            return self.write(new, {f"replaced-{number:03}.json": statement_bytes(statement)})

    def close(self, plan_id: str, round_: Round) -> RoundRecord:
        """CLOSED: the inspections are done; nothing of the round changes any more."""
        return self._advance(self.record(plan_id, round_), State.CLOSED, "round_closed", {})

    def abort(self, plan_id: str, round_: Round, reason: str, approvers: Sequence[str]) -> RoundRecord:
        """ABORTED, with the approvers' ids: one before the entropy is known, three after, when the result could be."""
        with self.locked():
            record = self.record(plan_id, round_)
            if record.state is State.CLOSED:
                raise BadInput(f"{record.named()} is closed and cannot be aborted")
            before, names = record.aborted_from or record.state, different(approvers)
            needed = 3 if ORDER.index(before) >= ORDER.index(State.ENTROPY) else 1
            if not reason.strip() or len(names) < needed:
                raise BadInput(
                    f"aborting a round that is {before} needs a reason and {needed} different approver(s)"
                )
            statement = {
                "format": "ABORT1",
                "plan_id": plan_id,
                "round": record.round,
                "aborted_from": str(before),
                "reason": reason.strip(),
                "approvers": names,
            }
            content = {"abort.json": statement_bytes(statement)}
            if record.state is State.ABORTED:
                if self.file(record, "abort.json") != content["abort.json"]:
                    raise IntegrityError(f"{record.named()} was aborted already, for another reason")
                return record
            new = replace(
                record, state=State.ABORTED, step=record.step + 1, event="round_aborted", aborted_from=before
            )
            return self.write(new, content)

    def _record_draw(self, record: RoundRecord, tickets: pa.Table, seed: str) -> RoundRecord:
        # Nothing is made twice: the draw of 1 million rows costs seconds, its Parquet as much again.
        contents: dict[str, bytes] = {}
        if "draw.parquet" not in record.files:
            contents["draw.parquet"] = parquet(tickets)
        return self._advance(
            record,
            State.DRAWN,
            "round_drawn",
            contents,
            {"draw": tickets},
            seed_commitment=protocol.seed_commitment(seed),
            drawn_count=pc.sum(tickets["is_drawn"]).as_py() or 0,
            draw_sql_sha256=sha256_hex(DRAW_SQL.encode()),
        )

    def _advance(
        self,
        seen: RoundRecord,
        to: State,
        event: str,
        contents: Mapping[str, bytes],
        tables: Mapping[str, pa.Table] | None = None,
        **changes: Any,
    ) -> RoundRecord:
        with self.locked():
            record = self.record(seen.plan_id, seen.round)
            new = replace(record, state=to, step=record.step + 1, event=event, **changes)
            _refuse_aborted(record)
            if ORDER.index(record.state) >= ORDER.index(to):
                # The text of the SQL may change with the software; what counts is that it gives the same tickets.
                keys = [key for key in changes if key != "draw_sql_sha256"]
                return self._refuse_other(record, new, keys, tables or {})
            if ORDER.index(record.state) + 1 != ORDER.index(to):
                raise BadInput(f"{record.named()} is {record.state}: it cannot become {to} yet")
            return self.write(new, contents)

    def _refuse_other(
        self, record: RoundRecord, new: RoundRecord, keys: Sequence[str], tables: Mapping[str, pa.Table]
    ) -> RoundRecord:
        """`record` if the step made again says the same; tables by content, as bytes change with the Parquet
        library.
        """
        different = [key for key in keys if getattr(record, key) != getattr(new, key)]
        for name, table in tables.items():
            stored = pq.read_table(BytesIO(self.file(record, f"{name}.parquet")))
            different += [] if stored.equals(table) else [name]
        if different:
            raise IntegrityError(
                f"{record.named()} is {record.state}: {', '.join(different)} cannot change any more. A round is drawn "
                "once; abort it with approval, or begin the next one"
            )
        return record


def team_of(assignments: pa.Table, unit_id: str, uscc: str) -> dict[str, str]:
    """inspector -> role, of one visit as it stands now."""
    mask = pc.and_(pc.equal(assignments["unit_id"], unit_id), pc.equal(assignments["uscc"], uscc))
    rows = assignments.filter(mask)
    return dict(zip(rows["inspector_id"].to_pylist(), rows["role"].to_pylist(), strict=True))


def _json(content: bytes) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(content)
    return found


def _private_connection() -> duckdb.DuckDBPyConnection:
    """In memory and without a folder to spill to: a plain temporary file with grades can never come to be."""
    return duckdb.connect(":memory:", config={"temp_directory": "", "autoload_known_extensions": "false"})


def _refuse_aborted(record: RoundRecord) -> None:
    if record.state is State.ABORTED:
        raise IntegrityError(f"{record.named()} was aborted (see its abort.json): begin a new round")
