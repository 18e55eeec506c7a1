"""The steps of a round on file: each made once, forward only, safe against a crash at any edge.

Here: `RoundStore`, what each step checks and writes. Not here: how files are written and read back
(`inspection.rounds.files`), the record (`inspection.rounds.record`), the SQL of the draw (`inspection.draws.draw`), what the
audit log says of a step (`inspection.rounds.guard`), when a step is taken (`inspection.rounds.daily`).

A step made again with the same content is a no-op, with another it is refused. A step writes its files, then
`round.json` that binds them, each whole and on disk before it has its name: a crash at any edge leaves the round in
its earlier state, and the step made again gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from credit_pipeline.audit.log import sha256_hex, write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.draw import (
    DRAW_SQL,
    check_quotas,
    draw_round,
    frame_root,
    quotas_root,
    tables_root,
)
from credit_pipeline.inspection.draws.parties import verify_commitment
from credit_pipeline.inspection.draws.protocol import Round
from credit_pipeline.inspection.draws.statements import different
from credit_pipeline.inspection.rounds.files import (
    constants,
    normal,
    parquet,
    refuse_aborted,
    statement_bytes,
)
from credit_pipeline.inspection.rounds.record import ORDER, RoundRecord, State
from credit_pipeline.inspection.rounds.visits import RoundVisits

__all__ = ["RoundRecord", "RoundStore", "State"]

FROZEN_TABLES = ("frame", "quotas", "roster", "recusals")
_SAME_FREEZE = ("frozen_date", "freeze_root", "frame_root", "frame_size", "eligible_count", "unit_sizes")


class RoundStore(RoundVisits):
    """The rounds under `root`, a folder each."""

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
                refuse_aborted(record)
                return self.refuse_other(record, new, _SAME_FREEZE, stored)
            contents = {f"{name}.parquet": parquet(table) for name, table in stored.items()}
            contents |= {"rule.json": statement_bytes(rule), "freeze.json": statement_bytes(statement)}
            return self.write(new, contents)

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
            statement = json.loads(found[names[0]])
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
        day: date,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> RoundRecord:
        """DRAWN: draws from the frozen files, checked by digest, and records the result with all ranks and the as-of
        `day`, which a draw made again keeps.
        """
        record, seed = self.record(plan_id, round_), self.seed(plan_id, round_, reveals)
        frozen = self.rule(plan_id, round_)["draw_sql_sha256"]
        if record.state is State.ENTROPY and frozen != sha256_hex(DRAW_SQL.encode()):
            raise BadInput(
                f"{record.named()} was frozen with another query of the draw than this release has (its rule: {frozen}), and "
                "every verifier would refuse the result; draw it with the release that froze it, or abort the round"
            )
        own = _private_connection() if connection is None else connection.cursor()
        with closing(own):
            own.register("frozen_frame", self.table(plan_id, round_, "frame"))
            own.register("frozen_quotas", self.table(plan_id, round_, "quotas"))
            tickets = draw_round(
                own, frame_table="frozen_frame", quotas_table="frozen_quotas", seed=seed, is_checked=True
            )
            own.unregister("frozen_frame")
            own.unregister("frozen_quotas")
        fixed = constants(plan_id, record.round)
        drawn_date = pa.scalar(self.drawn_date(record) or day, pa.date32())
        tickets = normal(tickets, "draw", fixed | {"drawn_date": drawn_date}, is_sorted=True)
        return self._record_draw(record, tickets, seed)

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
                record,
                state=State.ABORTED,
                step=record.step + 1,
                last_event="round_aborted",
                aborted_from=before,
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
            new = replace(record, state=to, step=record.step + 1, last_event=event, **changes)
            refuse_aborted(record)
            if ORDER.index(record.state) >= ORDER.index(to):
                # The text of the SQL may change with the software; what counts is that it gives the same tickets.
                keys = [key for key in changes if key != "draw_sql_sha256"]
                return self.refuse_other(record, new, keys, tables or {})
            if ORDER.index(record.state) + 1 != ORDER.index(to):
                raise BadInput(f"{record.named()} is {record.state}: it cannot become {to} yet")
            return self.write(new, contents)


def _private_connection() -> duckdb.DuckDBPyConnection:
    """In memory and without a folder to spill to: a plain temporary file with grades can never come to be."""
    return duckdb.connect(":memory:", config={"temp_directory": "", "autoload_known_extensions": "false"})
