"""`audit show`: the records of the log that somebody asks for, as lines that people read.

Here: filters and words. Not here: whether the log is genuine (`audit.verification`), what events there are
(`audit.events`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from credit_pipeline.audit.events import EVENTS
from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.log_records import Record
from credit_pipeline.errors import BadInput
from credit_pipeline.settings import TIME_ZONE

_DIGEST = 64
_SHOWN_ITEMS = 6


@dataclass(frozen=True)
class Asked:
    """What is asked for; each filter that is given must hold."""

    event: str | None = None
    stage: str | None = None
    since: date | None = None
    until: date | None = None
    run: str | None = None
    """Beginning of a run id."""
    plan: str | None = None
    unit: str | None = None
    feed: str | None = None

    def matches(self, record: Record) -> bool:
        details = record.details
        day = local_time(record).date()
        return (
            self.event in (None, record.event)
            and self.stage in (None, record.stage)
            and (self.since is None or day >= self.since)
            and (self.until is None or day <= self.until)
            and (self.run is None or (record.run_id or "").startswith(self.run))
            and (self.plan is None or self.plan in _named(details, "plan_id"))
            and (self.unit is None or self.unit in _named(details, "unit_id"))
            and (self.feed is None or self.feed in _named(details, "feed"))
        )


def select(log: AuditLog, asked: Asked, last: int | None = None) -> list[Record]:
    """The matching records in order; only the `last` of them when given.

    Raises:
        BadInput: no event or stage of that name was ever written or is known.
    """
    found, events, stages = [], set(EVENTS), set()
    for record in log.records():
        events.add(record.event)
        stages.add(record.stage)
        if asked.matches(record):
            found.append(record)
    for option, value, known in (("--event", asked.event, events), ("--stage", asked.stage, stages)):
        if value is not None and value not in known:
            raise BadInput(f"{option} {value!r} is unknown; known are: {', '.join(sorted(known))}")
    return found if last is None else found[-last:]


def local_time(record: Record) -> datetime:
    """Its time in the office's time zone."""
    return datetime.fromisoformat(record.time).astimezone(ZoneInfo(TIME_ZONE))


def label(event: str, language: str) -> str:
    """An event as the office calls it, or its English name."""
    known = EVENTS.get(event)
    return known.label if known is not None and language == "zh" else event


def words(details: Mapping[str, Any]) -> str:
    """Details in one line: digests shortened, long lists counted."""
    return "; ".join(
        f"{name}={_short(value)}" for name, value in details.items() if value not in (None, {}, [])
    )


def render(records: list[Record], console: Console, language: str) -> None:
    """Print records as a table, the oldest first."""
    table = Table(title=f"{len(records):,} records; times in {TIME_ZONE}", title_justify="left")
    for name in ("line", "time", "stage", "event", "run", "details"):
        table.add_column(name, overflow="fold", justify="right" if name == "line" else "left")
    for record in records:
        time = local_time(record).strftime("%Y-%m-%d %H:%M:%S")
        event = label(record.event, language)
        shown = (str(record.seq), time, record.stage, event, (record.run_id or "")[:8], words(record.details))
        table.add_row(*shown)
    console.print(table, markup=False)


def _named(value: Any, name: str) -> Iterator[str]:
    """Every value that stands under that key, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if key == name:
                yield str(item)
            else:
                yield from _named(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _named(item, name)


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        if len(value) > _SHOWN_ITEMS:
            return f"{{{len(value)} items}}"
        return "{" + ", ".join(f"{key}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return (
            f"[{len(value)}]"
            if len(value) > 1 or any(isinstance(item, Mapping) for item in value)
            else str(value)
        )
    text = str(value)
    return text[:12] + "…" if len(text) == _DIGEST else text
