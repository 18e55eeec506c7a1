"""The visits of a drawn round on file: top-ups, waves of assignments, late recusals.

Here: `RoundVisits`, the part of `inspection.rounds.store.RoundStore` for what follows the draw, and whom and who it
leaves. Not here: the steps up to the draw (`inspection.rounds.store`), the pure rules (`inspection.rounds.top_ups`), the choice
of inspectors (`inspection.teams.assignment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws.draw import tables_root
from credit_pipeline.inspection.draws.protocol import Round
from credit_pipeline.inspection.rounds.files import (
    RoundFiles,
    constants,
    normal,
    parquet,
    refuse_aborted,
    statement_bytes,
)
from credit_pipeline.inspection.rounds.record import RoundRecord, State
from credit_pipeline.inspection.rounds.top_ups import DrawnSet, current_assignments, drawn_set, open_visits


class RoundVisits(RoundFiles):
    """What follows the draw of a round."""

    def drawn(self, plan_id: str, round_: Round) -> DrawnSet:
        """The enterprises drawn or added by top-up."""
        record = self.record(plan_id, round_)
        top_ups = [self.statement(plan_id, round_, f"topup-{n:03}") for n in range(1, record.top_ups + 1)]
        return drawn_set(self.table(plan_id, round_, "draw"), top_ups)

    def drawn_date(self, record: RoundRecord) -> date | None:
        """The as-of day of the draw; None before it, or if nobody had a rank."""
        if "draw.parquet" not in record.files:
            return None
        found: date | None = pc.max(self.table(record.plan_id, record.round, "draw")["drawn_date"]).as_py()
        return found

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
            refuse_aborted(record)
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
            new = replace(record, step=record.step + 1, last_event="round_topped_up", top_ups=number)
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
            refuse_aborted(record)
            if wave <= record.waves:
                return self.refuse_other(record, record, (), tables)
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
                last_event="round_assigned",
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
            refuse_aborted(record)
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
            new = replace(
                record, step=record.step + 1, last_event="round_inspector_replaced", replacements=number
            )
            return self.write(new, {f"replaced-{number:03}.json": statement_bytes(statement)})


def team_of(assignments: pa.Table, unit_id: str, uscc: str) -> dict[str, str]:
    """inspector -> role, of one visit as it stands now."""
    mask = pc.and_(pc.equal(assignments["unit_id"], unit_id), pc.equal(assignments["uscc"], uscc))
    rows = assignments.filter(mask)
    return dict(zip(rows["inspector_id"].to_pylist(), rows["role"].to_pylist(), strict=True))
