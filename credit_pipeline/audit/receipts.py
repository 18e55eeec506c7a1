"""Which unit confirmed which release of its extract, and whether its word agrees with the log.

Here: the state of every unit on a day, from the log's `extract_published` and the feed `extract_receipts`. Not here: reading
receipts (`audit.witnesses`), the whole verification (`audit.verification`), alerts (`audit.alerts`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.log_records import Record
from credit_pipeline.audit.witnesses import LakeManifest, Receipt, lake_manifests, lake_receipts
from credit_pipeline.settings import TIME_ZONE, Settings
from credit_pipeline.transform.policy import policy_table

DAYS_PARAMETER = "receipt_days"


@dataclass(frozen=True)
class UnitReceipts:
    """One unit on a day."""

    unit_id: str
    published: int
    """Number of its newest release."""
    confirmed: int
    """Number of the newest release that it confirmed; 0 for none."""
    waiting_since: date | None
    """Day of the oldest release after that; None when the newest is confirmed."""
    is_overdue: bool
    contradictions: tuple[str, ...]
    """What its receipts say against the log, in words."""


def unit_receipts(settings: Settings, as_of_date: date) -> list[UnitReceipts]:
    """Every unit that was ever handed a release, by its id."""
    log = AuditLog(settings.audit_log_path)
    released = _releases(log, as_of_date)
    heads = log.replay().heads
    receipts: dict[str, list[Receipt]] = {}
    for receipt in lake_receipts(settings):
        receipts.setdefault(receipt.unit_id, []).append(receipt)
    manifests = lake_manifests(settings)[0]
    days = receipt_days(settings, as_of_date)
    return [
        _unit(unit, released.get(unit, {}), receipts.get(unit, []), heads, manifests, as_of_date, days)
        for unit in sorted({*released, *receipts})
    ]


def receipt_days(settings: Settings, as_of_date: date) -> int:
    """Days within which receipt is confirmed, by policy; 0 when nobody is reminded or the pack does not say."""
    rows = policy_table(settings, "inspection_policy", as_of_date)
    found = [row["value"] for row in rows.iter_rows(named=True) if row["parameter"] == DAYS_PARAMETER]
    return int(found[0]) if found else 0


def _releases(log: AuditLog, as_of_date: date) -> dict[str, dict[int, date]]:
    """Unit → release → the as-of day of the run that published it."""
    days: dict[str, str] = {}
    found: dict[str, dict[int, date]] = {}
    for record in log.records():
        if record.run_id and isinstance(record.details.get("as_of_date"), str):
            days[record.run_id] = record.details["as_of_date"]
        if record.event == "extract_published":
            day = date.fromisoformat(days[record.run_id]) if record.run_id in days else _local_day(record)
            if day <= as_of_date:
                found.setdefault(record.details["unit_id"], {})[record.details["release_seq"]] = day
    return found


def _local_day(record: Record) -> date:
    return datetime.fromisoformat(record.time).astimezone(ZoneInfo(TIME_ZONE)).date()


def _unit(
    unit_id: str,
    released: dict[int, date],
    receipts: Iterable[Receipt],
    heads: tuple[str, ...],
    manifests: Iterable[LakeManifest],
    as_of_date: date,
    days: int,
) -> UnitReceipts:
    kept = {one.release_seq: one.sha256 for one in manifests if one.unit_id == unit_id}
    contradictions = [
        words for receipt in receipts if (words := _contradiction(receipt, released, heads, kept)) is not None
    ]
    confirmed = max((one.release_seq for one in receipts if one.release_seq in released), default=0)
    open_days = [day for release, day in released.items() if release > confirmed]
    since = min(open_days, default=None)
    is_overdue = since is not None and days > 0 and (as_of_date - since).days > days
    newest = max(released, default=0)
    return UnitReceipts(unit_id, newest, confirmed, since, is_overdue, tuple(contradictions))


def _contradiction(
    receipt: Receipt, released: dict[int, date], heads: tuple[str, ...], kept: dict[int, str]
) -> str | None:
    if receipt.log_size > len(heads):
        return f"{receipt.source} saw {receipt.log_size} records of the log, it has {len(heads)}: its end was cut off"
    if heads[receipt.log_size - 1] != receipt.log_head:
        return f"{receipt.source} saw another hash at line {receipt.log_size}: the log was rewritten, or the receipt is wrong"
    if receipt.release_seq not in released:
        return f"{receipt.source} is for a release that the log does not know"
    if kept.get(receipt.release_seq, receipt.manifest_sha256) != receipt.manifest_sha256:
        return f"{receipt.source} names another manifest than the one kept in the lake"
    return None
