"""Records that vanished from the full deliveries of their feed: listed for the office, its decisions written.

A decision is a row of the feed `absence_confirmations`, put into landing like any other file, so that it is
traceable, survives re-runs and is undone by a withdrawal. Which records are missing, and what a confirmed
absence does, is the models' business (`quality.silent_deletions`, `staging.stg_confirmed_absences`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.code_version import by_hand
from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.lake_files import private_files, write_atomically
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

FEED = "absence_confirmations"
STATUSES = ("open", "confirmed", "reappeared")
_COLUMNS = (
    "feed", "record_hash", "record_key", "uscc", "last_seen", "source_file", "source_row", "missing_since",
    "reappeared_on", "status", "confirmation_id",
)  # fmt: skip


def list_absences(
    settings: Settings, feed: str | None = None, status: str | None = "open", limit: int | None = None
) -> list[dict[str, Any]]:
    """Missing records, the oldest absence first.

    Args:
        status: open, confirmed or reappeared; None for all.

    Raises:
        BadInput: there is no such status, or no run yet.
    """
    if status is not None and status not in STATUSES:
        raise BadInput(f"there is no status {status!r}; it is one of {', '.join(STATUSES)}")
    _today(settings)
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        rows = connection.execute(
            f"""
            select {", ".join(_COLUMNS)} from quality.silent_deletions
            where ($feed is null or feed = $feed) and ($status is null or status = $status)
            order by missing_since, feed, record_key, last_seen
            limit {"null" if limit is None else limit}
            """,
            {"feed": feed, "status": status},
        ).fetchall()
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def confirm_absences(
    settings: Settings,
    feed: str,
    records: Sequence[str],
    *,
    decided_by: str,
    reason: str,
    missing_since: date | None = None,
) -> tuple[list[str], Path]:
    """Decide that missing records have ended; the next run voids them from today on.

    Args:
        records: record hashes as the list shows them, or their beginnings.
        missing_since: without records, every open absence of the feed since that day.

    Returns:
        ids of the decisions and the file in landing that holds them.

    Raises:
        BadInput: nothing open fits, or more than one record begins so.
    """
    day = _today(settings)
    _need(decided_by, "--by")
    _need(reason, "--reason")
    found = list_absences(settings, feed, "open")
    if records:
        chosen = [_only(found, beginning) for beginning in records]
    else:
        chosen = [item for item in found if item["missing_since"] == missing_since]
    if not chosen:
        raise BadInput(
            f"no record of {feed} is missing" + (f" since {missing_since}" if missing_since else "")
        )
    hashes = sorted({item["record_hash"] for item in chosen})
    by_hash = {item["record_hash"]: item for item in chosen}
    rows = [
        {
            "confirmation_id": f"A{day:%Y%m%d}-{secrets.token_hex(5).upper()}",
            "feed": feed,
            "record_hash": record_hash,
            "missing_since": by_hash[record_hash]["missing_since"].isoformat(),
            "decided_by": decided_by,
            "decided_date": day.isoformat(),
            "reason": reason,
            "reported_date": day.isoformat(),
        }
        for record_hash in hashes
    ]
    path = _write(settings, day, rows)
    ids = [row["confirmation_id"] for row in rows]
    AuditLog(settings.audit_log_path).append(
        "absences_confirmed",
        "feeds",
        by_hand(),
        feed=feed,
        records=len(rows),
        first_confirmation=ids[0],
        decided_by=decided_by,
        as_of_date=day.isoformat(),
    )
    return ids, path


def undo_absences(settings: Settings, confirmations: Sequence[str], *, decided_by: str, reason: str) -> Path:
    """Withdraw decisions; with the next run their records count again, as if they had never been taken.

    Raises:
        BadInput: a decision is unknown or was withdrawn before.
    """
    day = _today(settings)
    _need(decided_by, "--by")
    _need(reason, "--reason")
    names = ("confirmation_id", "feed", "record_hash", "missing_since")
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        standing = {
            row[0]: dict(zip(names, (str(cell) for cell in row), strict=True))
            for row in connection.execute(
                f"select {', '.join(names)} from staging.stg_absence_confirmations "
                "where known_to is null and not is_withdrawn"
            ).fetchall()
        }
    unknown = [name for name in confirmations if name not in standing]
    if unknown:
        raise BadInput(
            f"no decision {', '.join(unknown)} stands; remedy: credit-pipeline absences list --status confirmed "
            "(a decision of today stands after the next run)"
        )
    rows = [
        {
            **standing[name],
            "decided_by": decided_by,
            "decided_date": day.isoformat(),
            "reason": reason,
            "reported_date": day.isoformat(),
            "record_status": "withdrawn",
        }
        for name in dict.fromkeys(confirmations)
    ]
    path = _write(settings, day, rows)
    AuditLog(settings.audit_log_path).append(
        "absences_undone",
        "feeds",
        by_hand(),
        records=len(rows),
        first_confirmation=rows[0]["confirmation_id"],
        decided_by=decided_by,
        as_of_date=day.isoformat(),
    )
    return path


def _today(settings: Settings) -> date:
    day = current_as_of_date(settings)
    if day is None:
        raise BadInput("nothing has been run on this lake yet; remedy: credit-pipeline run")
    return day


def _need(text: str, option: str) -> None:
    if not text.strip():
        raise BadInput(f"{option} is empty; say it in words, it is kept with the decision")


def _only(found: list[dict[str, Any]], beginning: str) -> dict[str, Any]:
    hits = [item for item in found if item["record_hash"].startswith(beginning.strip().upper())]
    if len({item["record_hash"] for item in hits}) != 1:
        what = "several missing records begin" if hits else "no missing record begins"
        raise BadInput(f"{what} with {beginning!r}; remedy: credit-pipeline absences list")
    return hits[-1]


def _write(settings: Settings, day: date, rows: list[dict[str, Any]]) -> Path:
    name = f"office-{secrets.token_hex(6)}.json"
    path = settings.landing_dir / FEED / day.isoformat() / name
    content = json.dumps(rows, ensure_ascii=False, indent=1).encode() + b"\n"
    with private_files():
        write_atomically(path, content)
    return path
