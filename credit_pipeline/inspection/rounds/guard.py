"""A round against the audit log: what is on file must be what the log says was written at each earlier step.

Here: `verified_record`, asked before every step and by the bundle. Not here: the chain of the log (`audit.log`), the
signatures of its checkpoints (`audit.checkpoints`).

The folder of a round and the log are two places that nobody changes by accident alike: whoever edits a frame together
with round.json has the log against him, whoever cuts the log has the folder, its checkpoints and the extracts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import IntegrityError
from credit_pipeline.inspection.draws.protocol import Round
from credit_pipeline.inspection.rounds.files import RoundFiles
from credit_pipeline.inspection.rounds.record import ONCE, ROUND_EVENTS, RoundRecord

STAGE = "inspection"


def newest_checkpoint(audit_dir: Path) -> tuple[int, str] | None:
    """(size, head) of the newest checkpoint, what the log had then at least. Its signature is the auditor's affair;
    here it only has to be known to whoever cuts the log.
    """
    paths = [path for path in (audit_dir / "checkpoints").glob("*.json") if path.stem.isdigit()]
    if not paths:
        return None
    content = json.loads(max(paths, key=lambda path: int(path.stem)).read_bytes())
    return int(content["size"]), str(content["head"])


def round_events(audit: AuditLog, plan_id: str, round_: Round) -> list[tuple[str, str, dict[str, Any]]]:
    """(event, time, details) of a round in the order of the log."""
    return [
        (record.event, record.time, record.details)
        for record in audit.records(stage=STAGE)
        if record.event in ROUND_EVENTS
        and (record.details.get("plan_id"), record.details.get("round")) == (plan_id, round_)
    ]


def verified_record(
    files: RoundFiles, audit: AuditLog, plan_id: str, round_: Round, anchor: tuple[int, str] | None = None
) -> tuple[RoundRecord | None, bool]:
    """The record of a round after all its files and the log agree with it, and whether its last step is logged.

    A crash between a step and its event leaves exactly one step unlogged. Raises `IntegrityError`, naming what does
    not match, for an edited record or file, a log without its tail, a round drawn twice, or a round that was deleted.
    """
    _verify_log(audit, anchor)
    events = round_events(audit, plan_id, round_)
    where = f"plan {plan_id}, round {round_}"
    now = audit.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    if events and now < events[-1][1]:
        raise IntegrityError(
            f"{where}: its last step was logged at {events[-1][1]}, the clock of this machine says {now}: set the clock "
            "right first, no verifier accepts a step before the one it follows"
        )
    names = [event for event, _, _ in events]
    for event in sorted(ONCE):
        if names.count(event) > 1:
            raise IntegrityError(
                f"{where}: the audit log holds {event} {names.count(event)} times; a round is drawn once. Find out who "
                "wrote the second one, then abort the round"
            )
    for expected, (event, _, details) in enumerate(events, start=1):
        if details.get("step") != expected or details.get("last_event") != event:
            raise IntegrityError(
                f"{where}: the audit log holds {event} as step {details.get('step')}, expected step {expected}: events "
                "are missing or were added"
            )
    if not files.exists(plan_id, round_):
        if events:
            raise IntegrityError(
                f"{where}: the audit log holds {len(events)} step(s), but {files.directory(plan_id, round_)} is gone; "
                "restore it from a copy"
            )
        return None, True
    record = files.record(plan_id, round_)
    unlogged = record.step - len(events)
    if unlogged < 0 or unlogged > 1:
        known = f"{len(events)} step(s) of it" if events else "nothing of it"
        raise IntegrityError(
            f"{where}: its record is at step {record.step} ({record.state}), the audit log knows {known}. "
            + ("The record was set back" if unlogged < 0 else "The log lost its tail")
            + "; restore it from a copy and verify it against the checkpoints in the extracts"
        )
    if events:
        _compare(where, record, events[-1][2], whole=unlogged == 0)
    files.verify_files(record)
    return record, unlogged == 0


def _verify_log(audit: AuditLog, anchor: tuple[int, str] | None) -> None:
    found = audit.verify(anchor)
    # A line torn by a crash is no record; the next event cuts it off and says so.
    torn = not found.ok and ": torn:" in found.reason and (anchor is None or anchor[0] <= found.size)
    if not torn:
        found.raise_if_bad()


def _compare(where: str, record: RoundRecord, logged: Mapping[str, Any], *, whole: bool) -> None:
    """With `whole` all facts; otherwise those that a later step may not change: what is bound stays bound."""
    facts = record.public_facts()
    files = {name: facts["files"].get(name) for name in logged["files"]} if not whole else facts["files"]
    different = [f"file {name}" for name in sorted(set(files) | set(logged["files"]))
                 if files.get(name) != logged["files"].get(name)]  # fmt: skip
    fixed = ("plan_id", "round", "frozen_date", "freeze_root", "frame_root", "frame_size", "eligible_count",
             "unit_sizes")  # fmt: skip
    set_once = ("commitments", "entropy", "seed_commitment", "draw_sql_sha256", "drawn_count")
    for name in sorted(set(facts) - {"files"}) if whole else fixed:
        if facts[name] != logged.get(name):
            different.append(name)
    if not whole:
        different += [name for name in set_once if logged.get(name) and facts[name] != logged[name]]
    if different:
        raise IntegrityError(
            f"{where}: round.json says something else than the audit log on {', '.join(different)}: it was edited after "
            f"the step {logged['last_event']}; restore the folder from a copy"
        )
