"""Which trained model grades on which day: the registry that training writes and dbt's build reads.

A model is a folder `LAKE/models/<digest>/` (immutable); `champions.jsonl` says from which as-of day on it grades.
It is only appended to, and only forward: a day that had a model keeps it, so that its re-run gives the same bytes.
It stands in stage 2 because the build needs the path; what is in the folder is stage 3's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from credit_pipeline.audit.log import write_durably
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.settings import Settings


@dataclass(frozen=True)
class Promotion:
    """From `valid_from` on, the model of that digest grades."""

    valid_from: str
    digest: str
    kind: str
    """`trained`, or `expert` when there were too few labels to learn from."""
    reason: str
    decided_by: str = "gates"
    """`gates`; `no_usable_model` for the expert scorecard; `override` and `rollback` by people."""
    approver: str = ""
    """Who answers for an override."""
    document: str = ""
    """The paper that allows it."""


def promotions(settings: Settings) -> list[Promotion]:
    """All promotions in the order in which they were made."""
    path = settings.models_dir / "champions.jsonl"
    if not path.exists():
        return []
    return [Promotion(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]


def stands_in_the_way(settings: Settings, as_of_date: date) -> Promotion | None:
    """The promotion for a later day that forbids one for this day; None when it may be made.

    A day that no model graded yet (the lake is replayed from before its first day) may be given one.
    """
    later = [item for item in promotions(settings) if item.valid_from > as_of_date.isoformat()]
    if not later or champion(settings, as_of_date) is None:
        return None
    return max(later, key=lambda item: item.valid_from)


def refuse_past_days(settings: Settings, as_of_date: date) -> None:
    """BadInput when a promotion for this day would change days that have a model."""
    later = stands_in_the_way(settings, as_of_date)
    if later is not None:
        raise BadInput(
            f"a model grades from {later.valid_from} on; promoting another for {as_of_date} would change past days. "
            f"Remedy: promote for {later.valid_from} or later"
        )


def promote(settings: Settings, promotion: Promotion) -> None:
    """Let a model grade from its day on.

    Raises:
        BadInput: a model has been promoted for a later day; days in between would change theirs.
    """
    refuse_past_days(settings, date.fromisoformat(promotion.valid_from))
    lines = [*promotions(settings), promotion]
    text = "".join(json.dumps(asdict(line), sort_keys=True, ensure_ascii=False) + "\n" for line in lines)
    settings.models_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(settings.models_dir / "champions.jsonl", text.encode())


def champion(settings: Settings, as_of_date: date) -> Promotion | None:
    """The model that grades on that day: the last promotion with the latest `valid_from` not after it."""
    due = [
        (item.valid_from, order, item)
        for order, item in enumerate(promotions(settings))
        if item.valid_from <= as_of_date.isoformat()
    ]
    return max(due, key=lambda entry: entry[:2])[2] if due else None


def model_dir(settings: Settings, digest: str) -> Path:
    """The folder of a model; named by the first 16 hex digits of its digest."""
    return settings.models_dir / digest[:16]


def champion_dir(settings: Settings, as_of_date: date) -> Path:
    """Folder of the model that grades on that day.

    Raises:
        CreditPipelineError: none grades yet.
    """
    chosen = champion(settings, as_of_date)
    if chosen is None:
        raise CreditPipelineError(
            f"no model grades on {as_of_date}; remedy: materialize grading/scorecard_points for that day first"
        )
    return model_dir(settings, chosen.digest)
