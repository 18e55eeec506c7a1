"""Refused rows, put together for those who must correct them: by unit and feed, with what is wrong in words.

Reads `quality.quarantined_rows` of the warehouse (which rows, whose, with what status) and the quarantine of the
lake (broken rules, the row as sent). How the sheets look is `quarantine_workbook`'s business; when a row is
released decides the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.code_version import by_hand
from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import QUARANTINE_ID, Feed, get_feed, load_catalogue
from credit_pipeline.feeds.headers import column_of, match_headers
from credit_pipeline.feeds.rules import FILE_RULES, chinese_remedy, rule_label
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

OFFICE = "office"
"""Stands for rows that name no known unit: the credit office answers for them."""
_UNREADABLE_ROW = "原文"


@dataclass(frozen=True)
class Fault:
    """One broken rule of a row."""

    column: str | None
    rule: str
    text: str
    """In Chinese: column, value, what is wrong, what to do."""


@dataclass
class RefusedRow:
    """A refused row with its cells as sent."""

    quarantine_id: str
    file: str
    sheet: str | None
    row_number: int
    status: str
    cells: dict[str, str]
    """Header of the source → text; personal data stay masked as they lie in the lake."""
    faults: list[Fault] = field(default_factory=list)


@dataclass(frozen=True)
class RefusedTable:
    """A file or sheet that was refused as a whole."""

    feed: str
    file: str
    sheet: str | None
    rule: str
    message: str
    rows: int


@dataclass
class Return:
    """What goes back to one unit."""

    unit_id: str
    unit_name: str
    as_of_date: date
    rows: dict[str, list[RefusedRow]] = field(default_factory=dict)
    """Feed → its rows in the order of file, sheet and row."""
    tables: list[RefusedTable] = field(default_factory=list)
    rules: dict[str, int] = field(default_factory=dict)
    """Rule → rows that broke it."""

    @property
    def row_count(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


@contextmanager
def _warehouse(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        known = connection.execute(
            "select count(*) from duckdb_tables() where schema_name = 'quality' and table_name = 'quarantined_rows'"
        ).fetchone()
        if not known or not known[0]:
            raise BadInput("the warehouse has no quality report yet; remedy: credit-pipeline run")
        yield connection


def list_quarantine(settings: Settings, *, all_status: bool = False) -> list[dict[str, Any]]:
    """Counts per unit, feed and rule: unit_id, unit_name, feed, rule, rows; open rows unless told otherwise."""
    status = "" if all_status else "and r.status = 'open'"
    with _warehouse(settings) as connection:
        found = connection.execute(
            f"""
            with broken as (
                select distinct r.unit_id, r.feed, r.quarantine_id, unnest(string_split(r.rules, '|')) as rule
                from quality.quarantined_rows as r
                where true {status}
            )
            select coalesce(b.unit_id, '{OFFICE}'), coalesce(min(u.unit_name), ''), b.feed, b.rule,
                count(distinct b.quarantine_id)
            from broken as b left join policy.units as u on u.unit_id = b.unit_id
            group by b.unit_id, b.feed, b.rule
            order by b.unit_id nulls last, b.feed, count(distinct b.quarantine_id) desc, b.rule
            """
        ).fetchall()
    names = ("unit_id", "unit_name", "feed", "rule", "rows")
    return [dict(zip(names, row, strict=True)) for row in found]


def collect_return(
    settings: Settings, unit_id: str, feed: str | None = None, *, all_status: bool = False
) -> Return:
    """The refused rows of one unit.

    Args:
        unit_id: a unit of the policy pack, or `office` (or `none`) for the rows that name none.
        feed: only this feed's.
        all_status: released and replaced rows too.

    Raises:
        BadInput: there is no such unit or feed, or no warehouse with a quality report.
    """
    if feed is not None and feed not in load_catalogue():
        raise BadInput(f"there is no feed {feed}; feeds are: {', '.join(load_catalogue())}")
    unit_id = OFFICE if unit_id == "none" else unit_id
    with _warehouse(settings) as connection:
        name = _unit_name(connection, unit_id)
        connection.execute(
            f"""
            create temp table wanted as
            select * from quality.quarantined_rows
            where {"unit_id is null" if unit_id == OFFICE else "unit_id = $unit"}
            and ($feed is null or feed = $feed) {"" if all_status else "and status = 'open'"}
            """,
            {"feed": feed} | ({} if unit_id == OFFICE else {"unit": unit_id}),
        )
        pattern = (settings.quarantine_dir / (feed or "*") / "*" / "*.parquet").as_posix()
        broken = connection.execute(
            """
            select w.feed, w.quarantine_id, w.file, w.sheet, w.row_number, w.status,
                q."column", q.rule, q.value, q.label, q.row_text
            from wanted as w
            join read_parquet($pattern, hive_partitioning = false, union_by_name = true) as q
                on q.feed = w.feed and q.quarantine_id = w.quarantine_id
            order by w.feed, w.ingest_date, w.file, w.sheet nulls first, w.row_number, w.quarantine_id,
                q."column" nulls first, q.rule, q.value nulls first
            """,
            {"pattern": pattern},
        ).fetchall()
    as_of = current_as_of_date(settings) or date.min
    return _arranged(Return(unit_id, name, as_of), broken)


def _unit_name(connection: duckdb.DuckDBPyConnection, unit_id: str) -> str:
    if unit_id == OFFICE:
        return "未注明报送单位（由信用办核对）"
    row = connection.execute(
        "select min(unit_name) from policy.units where unit_id = $unit", {"unit": unit_id}
    ).fetchone()
    if row is None or row[0] is None:
        raise BadInput(
            f"there is no unit {unit_id}; remedy: a unit id of policy table units, or {OFFICE} for rows that name none"
        )
    return str(row[0])


def _arranged(result: Return, broken: list[tuple[Any, ...]]) -> Return:
    """Rows and whole files out of (feed, id, file, sheet, row, status, column, rule, value, label, text)."""
    rows: dict[tuple[str, str], RefusedRow] = {}
    whole: dict[tuple[str, str, str | None, str, str], set[str]] = {}
    by_rule: dict[str, set[tuple[str, str]]] = {}
    for feed, quarantine_id, file, sheet, number, status, column, rule, value, label, text in broken:
        by_rule.setdefault(rule, set()).add((feed, quarantine_id))
        if rule in FILE_RULES:
            whole.setdefault((feed, file, sheet, rule, value or ""), set()).add(quarantine_id)
            continue
        row = rows.get((feed, quarantine_id))
        if row is None:
            cells, unreadable = _cells(text)
            row = RefusedRow(quarantine_id, file, sheet, number, status, cells)
            rows[(feed, quarantine_id)] = row
            result.rows.setdefault(feed, []).append(row)
            if unreadable:
                row.faults.append(Fault(None, _UNREADABLE_ROW, f"{_UNREADABLE_ROW}：{unreadable}"))
        shown = f"{label}“{value}”" if label and value else label or (f"“{value}”" if value else "整行")
        row.faults.append(Fault(column, rule, f"{shown}：{rule_label(rule)}。{chinese_remedy(rule)}"))
    result.tables = [RefusedTable(*place, rows=len(ids)) for place, ids in sorted(whole.items(), key=repr)]
    counts = {rule: len(places) for rule, places in by_rule.items()}
    result.rules = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return result


def _cells(text: str | None) -> tuple[dict[str, str], str]:
    """Cells of a row by header, and the text of a row that could not be split into cells."""
    try:
        found = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}, text or ""
    if not isinstance(found, dict):
        return {}, text or ""
    return {str(header): str(cell) for header, cell in found.items()}, ""


@dataclass(frozen=True)
class SheetColumn:
    """One column of a returned sheet."""

    header: str
    sources: tuple[str, ...]
    """Headers of the sources that stand in it; the first filled one counts."""
    column: str | None
    """The catalogue's column, None for one it does not know."""


def sheet_columns(feed: Feed, rows: list[RefusedRow]) -> list[SheetColumn]:
    """The columns of a feed's sheet: the sources' own headers, those that mean the same under the first of them,
    then the required and the faulty columns that no row has, so that they can be filled in.

    Amounts in 元 and in 万元 stay apart: their headers say the unit.
    """
    headers = list(dict.fromkeys(header for row in rows for header in row.cells))
    known = match_headers(feed, headers)
    units = {source.header: source.unit for sources in known.columns.values() for source in sources}
    groups: dict[tuple[str, str | None], list[str]] = {}
    for header in headers:
        name = column_of(feed, header)
        place = (name, units.get(header)) if name else (f"extra:{header}", None)
        groups.setdefault(place, []).append(header)
    order = {column.name: index for index, column in enumerate(feed.columns)}
    columns = [
        SheetColumn(sources[0], tuple(sources), None if name.startswith("extra:") else name)
        for (name, _), sources in groups.items()
    ]
    present = {column.column for column in columns}
    wanted = {fault.column for row in rows for fault in row.faults}
    columns += [
        SheetColumn(column.label, (), column.name)
        for column in feed.stored_columns
        if column.name not in present
        and column.name != QUARANTINE_ID.name
        and (column.required or column.name in wanted)
    ]
    columns = [column for column in columns if column.column != QUARANTINE_ID.name]
    return sorted(columns, key=lambda item: order.get(item.column or "", len(order)))


def export_quarantine(
    settings: Settings, unit_id: str, out: Path, feed: str | None = None, *, all_status: bool = False
) -> dict[str, Any]:
    """Write what goes back to a unit as a workbook, or into a folder as one workbook per feed; record it.

    Returns:
        unit_id, unit_name, rows, tables, feeds (rows by feed), files.

    Raises:
        BadInput: see `collect_return`; or nothing is open.
    """
    from credit_pipeline.feeds.quarantine_workbook import write_return

    found = collect_return(settings, unit_id, feed, all_status=all_status)
    if not found.row_count and not found.tables:
        raise BadInput(f"nothing is in quarantine for {unit_id}" + (f" in {feed}" if feed else ""))
    files = []
    if out.is_dir():
        for name in load_catalogue():
            tables = [table for table in found.tables if table.feed == name]
            if name in found.rows or tables:
                part = Return(found.unit_id, found.unit_name, found.as_of_date)
                part.rows = {name: found.rows[name]} if name in found.rows else {}
                part.tables, part.rules = tables, _rules_of(part.rows, tables)
                files.append(out / f"{unit_id}-{name}.xlsx")
                write_return(part, files[-1])
    else:
        files.append(out)
        write_return(found, out)
    counts = {name: len(rows) for name, rows in sorted(found.rows.items())}
    settings.audit_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    AuditLog(settings.audit_log_path).append(
        "quarantine_exported",
        "feeds",
        by_hand(),
        unit_id=unit_id,
        feeds=counts,
        rows=found.row_count,
        tables=len(found.tables),
        as_of_date=found.as_of_date.isoformat(),
    )
    return {
        "unit_id": unit_id,
        "unit_name": found.unit_name,
        "rows": found.row_count,
        "tables": len(found.tables),
        "feeds": counts,
        "files": [str(path) for path in files],
    }


def _rules_of(rows: dict[str, list[RefusedRow]], tables: list[RefusedTable]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in rows.values():
        for row in each:
            for rule in {fault.rule for fault in row.faults} - {_UNREADABLE_ROW}:
                counts[rule] = counts.get(rule, 0) + 1
    for table in tables:
        counts[table.rule] = counts.get(table.rule, 0) + table.rows
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def feed_label(name: str) -> str:
    """The office's name of a feed."""
    return get_feed(name).label
