"""The credit office after the draw: top-ups and late recusals, each with its grounds and two approvers.

Here: `LateSteps`, the part of `inspection.rounds.office.RoundOffice` that answers what happens to a drawn round. Not here:
the order that decides who comes (`inspection.rounds.top_ups`), files (`inspection.rounds.visits`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.statements import (
    checked_date,
    late_reason,
    replacement_statement,
    top_up_statement,
)
from credit_pipeline.inspection.rounds.record import RoundRecord
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.inspection.rounds.top_ups import next_inspector
from credit_pipeline.inspection.rounds.visits import team_of
from credit_pipeline.inspection.rounds.waves import lawful_inspectors
from credit_pipeline.settings import TIME_ZONE


class LateSteps(ABC):
    """What may change a drawn round, one method per step."""

    store: RoundStore
    audit: AuditLog

    @abstractmethod
    def existing(self, plan_id: str, round_: protocol.Round) -> RoundRecord:
        """The record of a round, equal to the log."""

    @abstractmethod
    def seed(self, record: RoundRecord) -> str:
        """CONFIDENTIAL: the seed of a round."""

    @abstractmethod
    def _logged(self, before: RoundRecord | None, after: RoundRecord) -> RoundRecord:
        """`after`, with its event if a step was taken."""

    def top_up(self, plan_id: str, round_: protocol.Round, **facts: Any) -> RoundRecord:
        """Puts the next ranks in the place of a drawn enterprise; `facts` as in `statements.top_up_statement`."""
        record = self.existing(plan_id, round_)
        statement = top_up_statement(record.top_ups + 1, **facts)
        self._refuse_future("event date", statement["event_date"])
        return self._logged(record, self.store.top_up(plan_id, round_, statement))

    def replace_inspector(
        self,
        plan_id: str,
        round_: protocol.Round,
        *,
        unit_id: str,
        uscc: str,
        inspector_id: str,
        reason: str,
        document_no: str,
        declared_date: str,
        approvers: Sequence[str],
    ) -> tuple[RoundRecord, str]:
        """Exchanges an inspector after a late recusal for the next lawful one in the enterprise's order; his id.

        `document_no`: the declaration, which stands behind the reason in the statement.
        """
        record = self.existing(plan_id, round_)
        self._refuse_future("declared date", declared_date)
        facts: dict[str, Any] = {
            "unit_id": unit_id, "uscc": uscc, "inspector_id": inspector_id,
            "reason": late_reason(reason, document_no), "declared_date": declared_date, "approvers": approvers,
        }  # fmt: skip
        known = [
            self.store.statement(plan_id, round_, f"replaced-{n:03}")
            for n in range(1, record.replacements + 1)
        ]
        before = [one for one in known if (one["unit_id"], one["uscc"]) == (unit_id, uscc)]
        for one in before:
            if one["inspector_id"] == inspector_id:
                again = replacement_statement(one["number"], **facts, replaced_by=one["replaced_by"])
                return self.store.replace_inspector(plan_id, round_, again), one["replaced_by"]
        chosen = self._next(record, unit_id, uscc, inspector_id, [one["inspector_id"] for one in before])
        statement = replacement_statement(record.replacements + 1, **facts, replaced_by=chosen)
        return self._logged(record, self.store.replace_inspector(plan_id, round_, statement)), chosen

    def _next(
        self, record: RoundRecord, unit_id: str, uscc: str, leaving: str, already_replaced: Sequence[str]
    ) -> str:
        table = self.store.assignments(record.plan_id, record.round)
        team = team_of(table, unit_id, uscc) if table is not None else {}
        if leaving not in team:
            raise BadInput(
                f"{record.named()}: inspector {leaving} is not to visit enterprise {uscc} for unit {unit_id}"
            )
        chosen = next_inspector(
            team,
            leaving,
            lawful_inspectors(self.store, record, unit_id, uscc),
            was_leader=team[leaving] == "leader",
            already_replaced=already_replaced,
            seed=self.seed(record),
            uscc=uscc,
        )
        if chosen is None:
            raise CreditPipelineError(
                f"{record.named()}: unit {unit_id} has no other lawful inspector for enterprise {uscc} in the roster of "
                "its wave, to which nobody can be added. Remedy: hand the enterprise over as a lead (feed leads, type "
                "transferred); this visit stays without a result"
            )
        return chosen

    def _refuse_future(self, label: str, text: str) -> None:
        """An entry that is not there yet is no ground: it could be written once the draw is known."""
        today: date = self.audit.now().astimezone(ZoneInfo(TIME_ZONE)).date()
        if checked_date(label, text) > today:
            raise BadInput(f"{label} {text} lies in the future; today is {today} in {TIME_ZONE}")
