"""The review queue of enterprises as people work on it: list, sheet, decisions and their undoing.

Who is in the queue, with which candidates, is decided in SQL (`quality/identity_review`). Decisions are written as small
files into landing and come back as the feed `identity_decisions` with the next run: stored, versioned, undone by a
withdrawal. Nothing here changes the warehouse; nothing here knows a grade.
"""

from __future__ import annotations

import json
import os
import secrets
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from credit_pipeline.audit.log import AuditLog, fsync_directory
from credit_pipeline.code_version import by_hand
from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.codes import is_uscc
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

FEED = "identity_decisions"
REASONS = {
    "no_match": "查无匹配企业",
    "ambiguous_name": "同名企业不止一家",
    "ambiguous_code": "同一号码对应多家企业",
    "name_differs": "号码与名称不属同一企业",
    "codes_disagree": "各号码指向不同企业",
    "region_differs": "所在区域不符",
    "decision_unknown_uscc": "决定所指代码不在登记库",
}
"""Review reasons in words for the clerk."""
CANDIDATES = 5
_SENT = ("uscc_sent", "reg_no", "org_code", "tax_no")
_SENT_LABELS = dict(zip(_SENT, ("报送代码", "注册号", "组织机构代码", "税务登记号"), strict=True))


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    answer = connection.execute(sql, list(parameters))
    names = [column[0] for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def open_parties(
    settings: Settings, reason: str | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Parties that wait for a person, those with most rows first, each with `candidates` in order.

    Raises:
        BadInput: there is no such reason.
    """
    if reason is not None and reason not in REASONS:
        raise BadInput(f"--reason {reason!r} is none; reasons are: {', '.join(REASONS)}")
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        found = _rows(
            connection,
            """
            with chosen as (
                select distinct party_key, row_count, waiting_since from quality.identity_review
                where review_reason = coalesce(?, review_reason)
                order by row_count desc, waiting_since, party_key limit ?
            )
            select r.* from quality.identity_review as r join chosen using (party_key)
            order by r.row_count desc, r.waiting_since, r.party_key, r.candidate_rank
            """,
            reason,
            limit,
        )
    parties: dict[str, dict[str, Any]] = {}
    for row in found:
        names = ("candidate_rank", "candidate_uscc", "candidate_name", "similarity", "why")
        candidate = {name.removeprefix("candidate_"): row.pop(name) for name in names}
        party = parties.setdefault(row["party_key"], {**row, "candidates": []})
        if candidate["uscc"] is not None:
            party["candidates"].append(candidate)
    return list(parties.values())


def queue_counts(settings: Settings) -> dict[str, int]:
    """Parties that wait, by reason."""
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        return dict(
            connection.execute(
                "select review_reason, count(*) from staging.party_identities where review_reason is not null "
                "group by all order by all"
            ).fetchall()
        )


def standing_decisions(settings: Settings) -> list[dict[str, Any]]:
    """Decisions that the last run knew and nobody withdrew, the latest first."""
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        return _rows(
            connection,
            """
            select d.decision_id, d.party_key, p.party_name, d.decision, d.uscc, n.enterprise_name, d.decided_by,
                d.decided_date, d.reason
            from staging.stg_identity_decisions as d
            left join staging.party_identities as p using (party_key)
            left join (select uscc, enterprise_name from staging.enterprise_names where is_current) as n on n.uscc = d.uscc
            where d.decision is not null and d.known_to is null and not d.is_withdrawn
            order by d.decided_date desc, d.decision_id
            """,
        )


def sent_words(party: dict[str, Any]) -> str:
    """What was sent about a party, in words."""
    codes = [f"{_SENT_LABELS[name]} {party[name]}" for name in _SENT if party.get(name)]
    return "；".join([party.get("party_name") or "（无名称）", *codes])


def candidate_words(candidate: dict[str, Any]) -> str:
    """A candidate with what speaks for it, in words."""
    why = f"（{candidate['why']}）" if candidate["why"] else ""
    return f"{candidate['name']} {candidate['uscc']}{why}"


def export_review(settings: Settings, path: Path, reason: str | None = None) -> int:
    """Write the queue as a workbook; returns the number of parties.

    The first columns are those of the feed `identity_decisions`: a clerk fills in 核对结论 (and the code) and the file
    goes into landing as it is. A line left without a 核对结论 decides nothing.
    """
    import xlsxwriter

    day = _today(settings)
    token = secrets.token_hex(2).upper()
    fields = ["决定编号", "待核对主体编号", "核对结论", "统一社会信用代码", "决定人", "决定日期", "理由"]
    shown = ["报送内容", "待核对原因", "涉及数据", "等待起始日"]
    candidates = [f"候选{rank}" for rank in range(1, CANDIDATES + 1)]
    parties = open_parties(settings, reason)
    draft = path.with_name(f".{path.name}.part")
    workbook = xlsxwriter.Workbook(str(draft))
    sheet = workbook.add_worksheet("主体核对")
    text = workbook.add_format({"num_format": "@", "valign": "top"})
    fill_in = workbook.add_format({"num_format": "@", "valign": "top", "bg_color": "#FFF7D6"})
    wrapped = workbook.add_format({"num_format": "@", "valign": "top", "text_wrap": True})
    bold = workbook.add_format({"bold": True, "bg_color": "#E8EEF4"})
    sheet.write_row(0, 0, [*fields, *shown, *candidates], bold)
    sheet.write_comment(
        0, 2, "同一主体：并在右侧填写企业的统一社会信用代码；无法识别：该主体不再等待。不填则继续等待。"
    )
    sheet.set_column(0, 1, 20, text)
    sheet.set_column(2, 6, 16, fill_in)
    sheet.set_column(7, 10 + CANDIDATES, 34, wrapped)
    sheet.freeze_panes(1, 2)
    for number, party in enumerate(parties, start=1):
        known = [candidate_words(candidate) for candidate in party["candidates"]]
        values = [
            f"X{day:%Y%m%d}-{token}-{number:05d}",
            party["party_key"],
            None,
            None,
            None,
            day.isoformat(),
            None,
            sent_words(party),
            REASONS[party["review_reason"]],
            party["rows_by_feed"].replace("|", "；"),
            party["waiting_since"].isoformat(),
            *known,
        ]
        for column, value in enumerate(values):
            if value is not None:
                sheet.write_string(number, column, value)
    if parties:
        sheet.data_validation(
            1,
            2,
            len(parties),
            2,
            {"validate": "list", "source": ["同一主体", "无法识别"], "ignore_blank": True},
        )
    workbook.close()
    draft.chmod(0o600)
    draft.replace(path)
    return len(parties)


def decide(
    settings: Settings, party_key: str, *, uscc: str | None, decided_by: str, reason: str
) -> tuple[str, Path]:
    """Decide who a party is (or, without a code, that nobody can tell); returns the decision's id and its file.

    Args:
        party_key: as the list shows it; its beginning is enough when no other party begins so.
        uscc: an enterprise of the register.

    Raises:
        BadInput: no such party, or the code is none of the register.
    """
    _need(decided_by, "--by")
    _need(reason, "--reason")
    day = _today(settings)
    party = _party(settings, party_key)
    if uscc is not None:
        _check_registered(settings, uscc)
    decision_id = f"R{day:%Y%m%d}-{secrets.token_hex(4).upper()}"
    record = {
        "decision_id": decision_id,
        "party_key": party,
        "decision": "same_as" if uscc else "not_identifiable",
        "uscc": uscc,
        "decided_by": decided_by,
        "decided_date": day.isoformat(),
        "reason": reason,
        "reported_date": day.isoformat(),
    }
    path = _write(settings, day, f"{decision_id}.json", record)
    AuditLog(settings.audit_log_path).append(
        "identity_decided",
        "feeds",
        by_hand(),
        decision_id=decision_id,
        party=party,
        decision=record["decision"],
        decided_by=decided_by,
        as_of_date=day.isoformat(),
    )
    return decision_id, path


def undo(settings: Settings, decision_id: str, *, decided_by: str, reason: str) -> Path:
    """Withdraw a decision: with the next run its party is as if it had never been taken; returns the file.

    Raises:
        BadInput: no such decision stands.
    """
    _need(decided_by, "--by")
    _need(reason, "--reason")
    day = _today(settings)
    decision = _decision(settings, decision_id)
    record = {
        **decision,
        "decided_by": decided_by,
        "decided_date": day.isoformat(),
        "reason": reason,
        "reported_date": day.isoformat(),
        "record_status": "withdrawn",
    }
    path = _write(settings, day, f"{decision_id}-undone.json", record)
    AuditLog(settings.audit_log_path).append(
        "identity_decision_undone",
        "feeds",
        by_hand(),
        decision_id=decision_id,
        party=decision["party_key"],
        decided_by=decided_by,
        as_of_date=day.isoformat(),
    )
    return path


def _need(text: str, option: str) -> None:
    if not text.strip():
        raise BadInput(f"{option} is empty; say it in words, it is kept with the decision")


def _today(settings: Settings) -> date:
    day = current_as_of_date(settings)
    if day is None:
        raise BadInput("nothing has been run on this lake yet; remedy: credit-pipeline run")
    return day


def _party(settings: Settings, beginning: str) -> str:
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        found = connection.execute(
            "select party_key from staging.party_identities where starts_with(party_key, upper(?)) limit 2",
            [beginning.strip()],
        ).fetchall()
    if len(found) != 1:
        what = "several parties begin" if found else "no party begins"
        raise BadInput(f"{what} with {beginning!r}; remedy: credit-pipeline review list")
    return str(found[0][0])


def _check_registered(settings: Settings, uscc: str) -> None:
    if not is_uscc(pl.Series([uscc]))[0]:
        raise BadInput(f"--uscc {uscc!r} is no unified social credit code; remedy: compare with the licence")
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        known = connection.execute(
            "select 1 from staging.enterprise_names where uscc = ? limit 1", [uscc]
        ).fetchone()
    if known is None:
        raise BadInput(
            f"no enterprise {uscc} in the register; remedy: choose one of it, or wait for its registration"
        )


def _decision(settings: Settings, decision_id: str) -> dict[str, Any]:
    """The decision as the last run knew it, or as it waits in landing."""
    for known in standing_decisions(settings):
        if known["decision_id"] == decision_id:
            return {name: known[name] for name in ("decision_id", "party_key", "decision", "uscc")}
    folder = settings.landing_dir / FEED
    for path in sorted(folder.rglob(f"{decision_id}.json")) if folder.is_dir() else ():
        if not path.with_name(f"{decision_id}-undone.json").exists():
            [record] = json.loads(path.read_text(encoding="utf-8"))
            return {name: record[name] for name in ("decision_id", "party_key", "decision", "uscc")}
    raise BadInput(f"no decision {decision_id!r} stands; remedy: credit-pipeline review list --decided")


def _write(settings: Settings, day: date, name: str, record: dict[str, Any]) -> Path:
    """Put a record into landing: whole or not at all, readable by its owner only."""
    folder = settings.landing_dir / FEED / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f".{name}.part"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump([record], file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / name)
    fsync_directory(folder)
    return folder / name
