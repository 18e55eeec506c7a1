"""What is known of a round: `round.json`, the last thing that each step writes.

Here: `State`, `RoundRecord`, its JSON and the part of it that the audit log holds. Not here: how files are written
(`inspection.rounds.files`), the steps (`inspection.rounds.store`), the comparison with the log
(`inspection.rounds.guard`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log import canonical_json
from credit_pipeline.errors import IntegrityError
from credit_pipeline.inspection.draws.protocol import Round


class State(StrEnum):
    """The states of a round, forward only. ABORTED ends one before it is closed; its round number is not used
    again.
    """

    FRAME_FROZEN = "FRAME_FROZEN"
    COMMITTED = "COMMITTED"
    ENTROPY = "ENTROPY"
    DRAWN = "DRAWN"
    ASSIGNED = "ASSIGNED"
    CLOSED = "CLOSED"
    ABORTED = "ABORTED"


ORDER = list(State)
LIVE = (State.FRAME_FROZEN, State.COMMITTED, State.ENTROPY, State.DRAWN)
"""Rounds in these states go on by themselves as far as they can."""

ROUND_EVENTS = (
    "round_frame_frozen",
    "round_committed",
    "round_entropy",
    "round_drawn",
    "round_topped_up",
    "round_assigned",
    "round_inspector_replaced",
    "round_closed",
    "round_aborted",
)
ONCE = frozenset({"round_frame_frozen", "round_committed", "round_entropy", "round_drawn", "round_closed"})
"""Events that no round can have twice."""


@dataclass(frozen=True)
class RoundRecord:
    """`round.json`. `files` maps each other file of the round to its SHA-256, so that the record binds them all.

    `step` counts the steps taken, `last_event` names the last one as the audit log does.
    """

    plan_id: str
    round: Round
    state: State
    step: int
    last_event: str
    frozen_date: date
    freeze_root: str
    frame_root: str
    frame_size: int
    eligible_count: int
    unit_sizes: dict[str, int] = field(hash=False)
    files: dict[str, str] = field(hash=False)
    commitments: tuple[tuple[str, str], ...] = ()
    """(party, commitment) in the order in which their reveals are combined."""
    entropy: str | None = None
    seed_commitment: str | None = None
    draw_sql_sha256: str | None = None
    drawn_count: int | None = None
    top_ups: int = 0
    waves: int = 0
    wave_roots: tuple[str, ...] = ()
    """The root of the roster each wave was assigned from; the frozen one unless the wave came later."""
    replacements: int = 0
    unassigned_units: tuple[str, ...] = ()
    aborted_from: State | None = None

    def to_json(self) -> bytes:
        return canonical_json(vars(self) | {"frozen_date": self.frozen_date.isoformat()}) + b"\n"

    @classmethod
    def from_json(cls, text: bytes, path: Path) -> RoundRecord:
        """Raises `IntegrityError` naming `path` for anything but a whole record."""
        try:
            content = json.loads(text)
            if set(content) != {item.name for item in fields(cls)}:
                raise ValueError("its fields are not those of a round")
            content["state"] = State(content["state"])
            content["frozen_date"] = date.fromisoformat(content["frozen_date"])
            content["commitments"] = tuple((party, committed) for party, committed in content["commitments"])
            for name in ("unassigned_units", "wave_roots"):
                content[name] = tuple(content[name])
            if content["aborted_from"] is not None:
                content["aborted_from"] = State(content["aborted_from"])
            return cls(**content)
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"{path}: not the record of a round ({error}); restore the folder from a copy"
            ) from None

    def public_facts(self) -> dict[str, Any]:
        """What an audit event says of the round: ids, counts, roots and digests, nothing by grade or enterprise.

        It is the whole record: an edited record differs from its event.
        """
        facts: dict[str, Any] = json.loads(self.to_json())
        return facts

    def named(self) -> str:
        return f"plan {self.plan_id}, round {self.round}"
