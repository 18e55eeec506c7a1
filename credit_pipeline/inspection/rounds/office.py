"""The credit office at its rounds: each step compared with the audit log, taken, and logged.

Here: `RoundOffice`, one method per step, and how far a round can go by itself. Not here: top-ups and late recusals
(`inspection.rounds.late_steps`), what a step checks and writes (`inspection.rounds.store`), the daily run and its tables
(`inspection.rounds.daily`), the commands (`commands.draw`).

The order is always: guard (files equal log), step (durable), event. A crash between the last two is mended by the next
guard, which finds one step unlogged.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.entropy import Announcement, Entropy, choose_entropy
from credit_pipeline.inspection.draws.parties import Party, missing_signers, verify_reveal
from credit_pipeline.inspection.draws.rule import OFFICE, read_rule
from credit_pipeline.inspection.draws.statements import (
    entropy_statement,
    missing_assurances,
)
from credit_pipeline.inspection.rounds.files import statement_bytes
from credit_pipeline.inspection.rounds.guard import STAGE, newest_checkpoint, round_events, verified_record
from credit_pipeline.inspection.rounds.late_steps import LateSteps
from credit_pipeline.inspection.rounds.record import RoundRecord, State
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.inspection.rounds.tables import live_tables
from credit_pipeline.inspection.rounds.waves import choose_teams_of_wave
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import TIME_ZONE, Settings
from credit_pipeline.warehouse import lake_id

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoundOutcome:
    """How far a round is; counts only."""

    plan_id: str
    round: int | str
    state: str = "not frozen"
    is_new: bool = False
    drawn: int = 0
    waiting_for: str = ""
    """What must happen before the next step, and who does it."""
    unassigned: Mapping[str, str] = field(default_factory=dict)
    """Unit → why no inspectors could be assigned."""
    without_team: Mapping[str, int] = field(default_factory=dict)
    """Unit → drawn visits to which it sends nobody yet."""
    missing_assurances: tuple[str, ...] = ()


class RoundOffice(LateSteps):
    """Holds the office's key and the store of one lake. Callers hold the lake's lock."""

    def __init__(self, settings: Settings, audit: AuditLog | None = None, run_id: str | None = None) -> None:
        self.settings = settings
        self.store = RoundStore(settings.draws_dir)
        self.audit = audit or AuditLog(settings.audit_log_path)
        self.run_id = run_id
        self._keys = KeyStore(settings.keys_dir)

    def party(self) -> Party:
        return Party(OFFICE, self._keys.party_key(OFFICE))

    def frame_salt(self, plan_id: str, round_: protocol.Round) -> bytes:
        """CONFIDENTIAL: with it the leaves of the frame can be opened."""
        return protocol.round_salt(self._keys.party_key(OFFICE), plan_id, round_)

    def record(self, plan_id: str, round_: protocol.Round) -> RoundRecord | None:
        """The record of a round after comparing it with the log; logs the one step that a crash left unlogged."""
        anchor = newest_checkpoint(self.settings.audit_dir)
        record, is_logged = verified_record(self.store, self.audit, plan_id, round_, anchor)
        if record is not None and not is_logged:
            self._log(record)
        return record

    def existing(self, plan_id: str, round_: protocol.Round) -> RoundRecord:
        """As `record`, for a round that must have been begun."""
        record = self.record(plan_id, round_)
        return record if record is not None else self.store.record(plan_id, round_)

    def inspect(self, plan_id: str, round_: protocol.Round) -> RoundRecord:
        """As `existing`, for readers: nothing is logged."""
        anchor = newest_checkpoint(self.settings.audit_dir)
        verified_record(self.store, self.audit, plan_id, round_, anchor)
        return self.store.record(plan_id, round_)

    def _log(self, record: RoundRecord) -> RoundRecord:
        self.audit.append(record.last_event, STAGE, self.run_id, **record.public_facts())
        log.info("draw %s round %s: %s", record.plan_id, record.round, record.state)
        return record

    def _logged(self, before: RoundRecord | None, after: RoundRecord) -> RoundRecord:
        return after if before is not None and before.step == after.step else self._log(after)

    # --- up to the draw -------------------------------------------------------------------------------------

    def freeze(
        self, connection: duckdb.DuckDBPyConnection, plan_id: str, round_: int, day: date
    ) -> RoundRecord | None:
        """Freezes a round in force from the warehouse; None while its frame has no rows."""
        tables = live_tables(connection, plan_id, round_)
        if tables["frame"].num_rows == 0:
            return None
        rule = read_rule(connection, plan_id, round_, day, self.party().public())
        before = self.record(plan_id, round_)
        salt = self.frame_salt(plan_id, round_)
        return self._logged(before, self.store.freeze(plan_id, round_, tables, day, rule, frame_salt=salt))

    def receive(
        self, plan_id: str, round_: protocol.Round, statement: Mapping[str, Any], escrow: bytes | None
    ) -> list[str]:
        """Imports a party's commitment; the parties still missing."""
        self.existing(plan_id, round_)
        return self.store.receive(plan_id, round_, statement, escrow)

    def commit(self, plan_id: str, round_: protocol.Round) -> RoundRecord | None:
        """Makes the office's own commitment, then COMMITTED if all parties' are there."""
        before = self.existing(plan_id, round_)
        rule = self.store.rule(plan_id, round_)
        missing = self.store.missing_commitments(plan_id, round_)
        if OFFICE in missing:
            time = self.audit.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            freeze = self.store.statement(plan_id, round_, "freeze")
            missing = self.store.receive(plan_id, round_, *self.party().commit(rule, freeze, time))
        return None if missing else self._logged(before, self.store.commit(plan_id, round_))

    def set_entropy(
        self, plan_id: str, round_: protocol.Round, announced: Sequence[Announcement], today: date
    ) -> RoundRecord | str:
        """ENTROPY by the rule, or what is waited for."""
        before = self.existing(plan_id, round_)
        rule = self.store.rule(plan_id, round_)["entropy"]
        chosen = choose_entropy(rule, self._committed_day(plan_id, round_), announced, today)
        if not isinstance(chosen, Entropy):
            return chosen
        statement = entropy_statement(
            plan_id, round_, [one.to_json() for one in chosen.announcements], chosen.text
        )
        return self._logged(before, self.store.set_entropy(plan_id, round_, statement))

    def keep_reveal(self, plan_id: str, round_: protocol.Round, reveal: Mapping[str, Any]) -> list[str]:
        """Imports another party's reveal, outside the lake; the parties still missing."""
        record = self.existing(plan_id, round_)
        if record.entropy is None:
            raise BadInput(
                f"{record.named()} is {record.state}: no reveal is taken before the entropy stands. Tell the party that "
                "its number is known now, if it sent it in clear: abort the round"
            )
        party = protocol.checked("party", str(reveal.get("party")), protocol.PARTY_PATTERN)
        if party not in dict(record.commitments):
            raise BadInput(f"{record.named()}: {party} is no party of it")
        verify_reveal(
            self.store.rule(plan_id, round_),
            self.store.statement(plan_id, round_, f"commitment-{party}"),
            record.entropy,
            reveal,
        )
        # All open the same commitment. Until the draw a party's own takes the place of one opened from its escrow.
        kept = self.reveal_statements(record).get(party)
        if kept is None or (kept["signed_by"] != party and record.state is State.ENTROPY):
            self._keys.keep_reveal(lake_id(self.settings), plan_id, round_, party, statement_bytes(reveal))
        return self._missing_reveals(record)

    def reveal_statements(self, record: RoundRecord) -> dict[str, dict[str, Any]]:
        """Party -> REVEAL1, of those that are here, each signed for the entropy of the round. SECRET."""
        if record.entropy is None:
            return {}
        found = {}
        rule = self.store.rule(record.plan_id, record.round)
        kept = self._keys.reveals(lake_id(self.settings), record.plan_id, record.round)
        for party, _ in record.commitments:
            commitment = self.store.statement(record.plan_id, record.round, f"commitment-{party}")
            if party in kept:
                found[party] = json.loads(kept[party])
                verify_reveal(rule, commitment, record.entropy, found[party])
            elif party == OFFICE:
                number = self.party().reveal(record.plan_id, record.round, record.freeze_root)
                found[party] = self.party().signed_reveal(commitment, record.entropy, number)
        return found

    def reveals(self, record: RoundRecord) -> dict[str, str]:
        """Party -> number, of those that are here. SECRET."""
        return {party: str(one["reveal"]) for party, one in self.reveal_statements(record).items()}

    def seed(self, record: RoundRecord) -> str:
        """CONFIDENTIAL. Raises `BadInput` naming the parties whose reveal is missing."""
        missing = self._missing_reveals(record)
        if missing:
            raise BadInput(
                f"{record.named()}: the reveal of {', '.join(missing)} is not here; import it by `credit-pipeline draw "
                "reveal`"
            )
        return self.store.seed(record.plan_id, record.round, self.reveals(record))

    def draw(
        self,
        plan_id: str,
        round_: protocol.Round,
        day: date,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> RoundRecord:
        """DRAWN, from the frozen files only; `day`: what the models know the draw by."""
        before = self.existing(plan_id, round_)
        self.seed(before)
        reveals = self.reveals(before)
        return self._logged(before, self.store.draw(plan_id, round_, reveals, day, connection))

    def _committed_day(self, plan_id: str, round_: protocol.Round) -> date:
        for event, time, _ in round_events(self.audit, plan_id, round_):
            if event == "round_committed":
                moment = datetime.strptime(time, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
                return moment.astimezone(ZoneInfo(TIME_ZONE)).date()
        raise IntegrityError(f"plan {plan_id}, round {round_}: the audit log holds no round_committed")

    # --- after the draw -------------------------------------------------------------------------------------

    def assign(
        self, plan_id: str, round_: protocol.Round, roster: tuple[pa.Table, pa.Table] | None
    ) -> RoundOutcome:
        """The next wave: inspectors for every visit that has none. `roster`: (roster, recusals) of the day for a wave
        that the frozen ones cannot serve; None takes the frozen ones.
        """
        record = self.existing(plan_id, round_)
        if record.state not in (State.DRAWN, State.ASSIGNED):
            raise BadInput(
                f"{record.named()} is {record.state}: inspectors are assigned between the draw and the close"
            )
        wave = record.waves + 1
        used = roster or (
            self.store.table(plan_id, round_, "roster"),
            self.store.table(plan_id, round_, "recusals"),
        )
        found = choose_teams_of_wave(self.store, record, self.seed(record), wave, used)
        unassigned = {unit.unit_id: unit.message() for unit in found.infeasible}
        if wave > 1 and found.assignments.num_rows == 0:
            return self.outcome(record, unassigned=unassigned)
        record = self._logged(
            record,
            self.store.record_assignment(
                plan_id,
                round_,
                wave,
                found.assignments,
                list(unassigned),
                roster=roster,
                frame_salt=self.frame_salt(plan_id, round_),
            ),
        )
        return self.outcome(record, unassigned=unassigned)

    def close(self, plan_id: str, round_: protocol.Round) -> RoundRecord:
        record = self.existing(plan_id, round_)
        return self._logged(record, self.store.close(plan_id, round_))

    def abort(
        self, plan_id: str, round_: protocol.Round, reason: str, approvers: Sequence[str]
    ) -> RoundRecord:
        record = self.existing(plan_id, round_)
        return self._logged(record, self.store.abort(plan_id, round_, reason, approvers))

    # --- as far as it goes ----------------------------------------------------------------------------------

    def advance(
        self,
        plan_id: str,
        round_: protocol.Round,
        announced: Sequence[Announcement],
        today: date,
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> RoundOutcome:
        """Takes a frozen round as far as it can go up to the draw."""
        record = self.existing(plan_id, round_)
        if record.state is State.FRAME_FROZEN:
            record = self.commit(plan_id, round_) or record
        if record.state is State.COMMITTED:
            found = self.set_entropy(plan_id, round_, announced, today)
            if isinstance(found, str):
                return self.outcome(record, waiting_for=found)
            record = found
        if record.state is State.ENTROPY and not self._missing_reveals(record):
            record = self.draw(plan_id, round_, today, connection)
        return self.outcome(record)

    def waiting_for(self, record: RoundRecord) -> str:
        """What must happen before the next step, and who does it; '' when nothing is open."""
        plan_id, round_ = record.plan_id, record.round
        if record.state is State.FRAME_FROZEN:
            missing = ", ".join(self.store.missing_commitments(plan_id, round_))
            return f"the commitment of {missing}" if missing else "the next run or `draw advance`"
        if record.state is State.COMMITTED:
            day = self._committed_day(plan_id, round_)
            found = choose_entropy(self.store.rule(plan_id, round_)["entropy"], day, [], day)
            return found if isinstance(found, str) else "the next run or `draw advance`"
        if record.state is State.ENTROPY:
            missing = ", ".join(self._missing_reveals(record))
            return f"the reveal of {missing}" if missing else "the next run or `draw advance`"
        if record.state is State.DRAWN:
            return "inspectors"
        if record.state is State.ASSIGNED:
            without = self.without_team(record)
            where = f"{sum(without.values())} visit(s) of {', '.join(without)}"
            return f"inspectors for {where} (`draw show` tells why, then `draw assign`)" if without else ""
        return ""

    def without_team(self, record: RoundRecord) -> dict[str, int]:
        """Unit → visits of its inspectors that nobody is sent to."""
        if record.state not in (State.DRAWN, State.ASSIGNED):
            return {}
        open_visits = self.store.open_visits(record.plan_id, record.round)
        return dict(sorted(Counter(unit for unit, _, _ in open_visits).items()))

    def conflicts(self, record: RoundRecord, roster: tuple[pa.Table, pa.Table]) -> dict[str, str]:
        """Unit without inspectors → what stands in the way by this roster, or that nothing does any more."""
        # Whether teams exist does not depend on the seed, so a reader needs no key to be told.
        found = choose_teams_of_wave(self.store, record, "0" * 64, record.waves + 1, roster)
        can = (
            f"its directory suffices now; remedy: credit-pipeline draw assign {record.plan_id} {record.round}"
        )
        return dict.fromkeys(self.without_team(record), can) | {
            unit.unit_id: unit.message() for unit in found.infeasible
        }

    def _missing_reveals(self, record: RoundRecord) -> list[str]:
        here = self.reveal_statements(record)
        missing = [name for name, _ in record.commitments if name not in here]
        signers = {str(one["signed_by"]) for one in here.values()}
        if not missing and missing_signers(self.store.rule(record.plan_id, record.round), signers):
            return [f"a party other than {', '.join(sorted(signers))} (its own, or an escrow opened by it)"]
        return missing

    def outcome(
        self, record: RoundRecord, *, waiting_for: str = "", unassigned: Mapping[str, str] | None = None
    ) -> RoundOutcome:
        """What may be told of a round."""
        rule = self.store.rule(record.plan_id, record.round)
        entropy = record.entropy or rule["entropy"]["source"]
        return RoundOutcome(
            record.plan_id,
            record.round,
            str(record.state),
            drawn=record.drawn_count or 0,
            waiting_for=waiting_for or self.waiting_for(record),
            unassigned=unassigned or {},
            without_team=self.without_team(record),
            missing_assurances=tuple(
                missing_assurances([party["party"] for party in rule["parties"]], entropy)
            ),
        )
