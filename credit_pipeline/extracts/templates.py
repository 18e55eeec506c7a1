"""The files that units fill in and send back: a feed's own headers, its codes as drop-down lists, notes, open tasks.

What comes back is read like any other file of the feed, so headers are the catalogue's labels and every cell is text.
Prefilled are inspection results (the unit's tasks that lack a result) and match decisions (its parties to review).
"""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.audit.log import write_durably
from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import Column, Feed, get_feed, load_catalogue
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

NOTES_SHEET, CODES_SHEET = "填写说明", "代码说明"
"""Names with 说明 are notes to the reader of workbooks, which skips them."""
BLANK_ROWS = 500
"""Rows of a template without tasks that are formatted as text and have drop-down lists."""
_TYPES = {
    "date": "日期，写成 YYYY-MM-DD",
    "uscc": "18 位统一社会信用代码",
    "integer": "整数",
    "decimal": "数字",
    "category": "从下拉列表中选择",
    "categories": "一项或多项，多项之间用顿号分隔；词语见“代码说明”",
    "boolean": "是或否",
}
_NOTES = (
    "1. 表头不要改动，一行一条；代码列已设为文本，请勿改为数字。",
    "2. 标红的表头为必填项；尚无内容可报的行请整行删除。",
    "3. 填好后原样放入 landing/{feed}/ 目录（或交信用办），次日运行后入库；被退回的行见数据包中的“待更正数据”。",
    "4. 不要填写身份证号、手机号等个人信息。",
)
_OPEN_TASKS = """
    select distinct
        p.task_no, p.plan_id as plan_no, d.item_code, p.uscc, u.unit_id, u.unit_name as authority_name,
        case p.kind when 'random' then '双随机' else '个案' end as origin
    from inspection.inspection_progress p
    join policy.units u on u.unit_id = $unit and u.effective_from <= $day and u.effective_to >= $day
    left join inspection.inspection_draws d on
        p.kind = 'random' and d.plan_id = p.plan_id and d.round = p.round and d.unit_id = p.unit_id and d.uscc = p.uscc
    where position('|' || $unit || '|' in '|' || p.units || '|') > 0 and (
        p.state in ('open', 'overdue')
        or (p.kind = 'random' and p.state = 'done' and position('|' || $unit || '|' in '|' || p.reported_units || '|') = 0)
    ) and p.uscc not in (
        select uscc from policy.excluded_enterprises where effective_from <= $day and effective_to >= $day
    )
    order by all
"""
_OPEN_PARTIES = """
    select
        $unit || '-' || strftime($day::date, '%Y%m%d') || '-' || lpad(row_number() over (order by party_key)::varchar, 5, '0')
            as decision_id,
        party_key
    from (select distinct party_key from quality.identity_review_senders where unit_id = $unit)
    order by party_key
"""
_PREFILLED = {"inspection_results": _OPEN_TASKS, "identity_decisions": _OPEN_PARTIES}


def write_template(settings: Settings, feed_name: str, path: Path, unit_id: str | None = None) -> int:
    """Write a feed's template (.xlsx or .csv, 0600); returns the prefilled rows.

    Raises:
        BadInput: no such feed or unit, another kind of file, or a unit without a run to prefill from.
    """
    if feed_name not in load_catalogue():
        raise BadInput(f"there is no feed {feed_name}; feeds are: {', '.join(load_catalogue())}")
    if path.suffix.lower() not in (".xlsx", ".csv"):
        raise BadInput(f"--out {path} must end in .xlsx or .csv")
    feed = get_feed(feed_name)
    rows = [] if unit_id is None else _prefilled(settings, feed_name, unit_id)
    content = _workbook(feed, rows) if path.suffix.lower() == ".xlsx" else _csv(feed, rows)
    write_durably(path, content)
    path.chmod(0o600)
    return len(rows)


def _prefilled(settings: Settings, feed_name: str, unit_id: str) -> list[dict[str, str]]:
    day = current_as_of_date(settings)
    if day is None:
        raise BadInput(
            "nothing has been run on this lake yet; remedy: credit-pipeline run, or leave --unit out"
        )
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        _check_unit(connection, unit_id, day)
        if feed_name not in _PREFILLED:
            return []
        answer = connection.execute(_PREFILLED[feed_name], {"unit": unit_id, "day": day})
        names = [column[0] for column in answer.description or []]
        return [
            {name: str(value) for name, value in zip(names, row, strict=True) if value is not None}
            for row in answer.fetchall()
        ]


def _check_unit(connection: duckdb.DuckDBPyConnection, unit_id: str, day: date) -> None:
    known = connection.execute(
        "select 1 from policy.units where unit_id = $unit and effective_from <= $day and effective_to >= $day",
        {"unit": unit_id, "day": day},
    ).fetchone()
    if known is None:
        raise BadInput(f"there is no unit {unit_id}; remedy: a unit id of policy table units")


def _columns(feed: Feed) -> list[Column]:
    """What a unit can know: nothing that only our own draw says."""
    return [
        column
        for column in feed.stored_columns
        if column.name not in ("quarantine_id", "inclusion_probability", "pripid")
    ]


def _words(column: Column) -> list[str]:
    """The first Chinese word of each code, else what the sources write."""
    return [
        next((word for word in words if not word.isascii()), words[0] if words else code)
        for code, words in column.codes.items()
    ]


def _csv(feed: Feed, rows: list[dict[str, str]]) -> bytes:
    columns = _columns(feed)
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([column.label for column in columns])
    writer.writerows([[row.get(column.name, "") for column in columns] for row in rows])
    return buffer.getvalue().encode("utf-8-sig")


def _workbook(feed: Feed, rows: list[dict[str, str]]) -> bytes:
    import xlsxwriter
    from xlsxwriter.utility import xl_range_abs

    columns = _columns(feed)
    buffer = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
    }
    with xlsxwriter.Workbook(buffer, options) as book:
        text = book.add_format({"num_format": "@"})
        head = book.add_format({"num_format": "@", "bold": True, "bg_color": "#DDEBF7"})
        required = book.add_format({"num_format": "@", "bold": True, "bg_color": "#FFC7CE"})
        sheet = book.add_worksheet(feed.label[:31])
        notes, codes = book.add_worksheet(NOTES_SHEET), book.add_worksheet(CODES_SHEET)
        last = max(len(rows), BLANK_ROWS)
        for place, column in enumerate(columns):
            sheet.write_string(0, place, column.label, required if column.required else head)
            sheet.set_column(place, place, max(14, 2 * len(column.label) + 4), text)
            known = _words(column)
            if known:
                codes.write_string(0, place, f"“{column.label}”可选的词语", head)
                codes.write_column(1, place, known, text)
            if column.type == "category":
                source = f"='{CODES_SHEET}'!{xl_range_abs(1, place, len(known), place)}"
                sheet.data_validation(1, place, last, place, {"validate": "list", "source": source})
        for number, row in enumerate(rows, start=1):
            for place, column in enumerate(columns):
                if row.get(column.name):
                    sheet.write_string(number, place, row[column.name], text)
        sheet.freeze_panes(1, 1)
        _write_notes(notes, feed, columns, {"text": text, "head": head})
    return buffer.getvalue()


def _write_notes(sheet: Any, feed: Feed, columns: list[Column], styles: dict[str, Any]) -> None:
    sheet.set_column(0, 0, 30, styles["text"])
    sheet.set_column(1, 1, 10, styles["text"])
    sheet.set_column(2, 2, 70, styles["text"])
    lines = [f"报送模板：{feed.label}", *(note.format(feed=feed.name) for note in _NOTES), ""]
    for row, line in enumerate(lines):
        sheet.write_string(row, 0, line, styles["text"])
    for place, title in enumerate(("列", "必填", "怎样填")):
        sheet.write_string(len(lines), place, title, styles["head"])
    for row, column in enumerate(columns, start=len(lines) + 1):
        sheet.write_string(row, 0, column.label, styles["text"])
        sheet.write_string(row, 1, "是" if column.required else "", styles["text"])
        sheet.write_string(row, 2, _TYPES.get(column.type, "文本"), styles["text"])
