"""The workbook by which refused rows go back to a unit: a sheet that explains, one sheet per feed, refused files.

A corrected sheet is read like any other file: its headers are the source's own, 隔离编号 says which rows it
replaces, and the columns said to people only (来源文件, 行号, 问题) are ignored. Every cell is text, so that
codes keep their digits and nothing is a formula. Which rows these are decides `quarantine`.
"""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log import write_durably
from credit_pipeline.feeds.catalogue import QUARANTINE_ID, SERVICE_HEADERS, get_feed
from credit_pipeline.feeds.quarantine import RefusedRow, RefusedTable, Return, sheet_columns
from credit_pipeline.feeds.rules import chinese_remedy, rule_label

GUIDE_SHEET, FILES_SHEET = "说明", "整文件退回说明"
"""Names with 说明 are sheets of notes to the reader of workbooks, which skips them."""
_CREATED = datetime(2020, 1, 1)
"""Fixed, so that the same rows give the same bytes."""
_CELL_LIMIT = 32_767
"""Characters an XLSX cell can hold."""
_STATUS = {"released": "【已更正】", "replaced": "【已重报】"}
GUIDE = (
    "本工作簿列出贵单位报送、但未能入库的数据。请逐行更正后退回：",
    "1. 在各数据类别工作表中直接修改标红的单元格；问题栏写明原因和处理办法。",
    "2. 不要改动“隔离编号”和表头；来源文件、行号、问题三列仅供参考，无需填写。",
    "3. 不需要再报送的行请整行删除；可以只退回已更正的行。",
    "4. 一个数据类别一个文件：只有一个数据类别时本文件可直接退回，否则请将工作表另存为单独的文件。",
    "5. 文件放入 landing/<数据类别代码>/ 目录，次日运行后更正的行入库，相应隔离行自动解除。",
    "6. 整文件退回的文件请按说明更正后，用原文件名放回原目录。",
    "个人身份信息已隐去，请勿补填。",
)


def write_return(found: Return, path: Path) -> None:
    """Write the workbook (0600), whole or not at all; the same rows give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, workbook_bytes(found))
    path.chmod(0o600)


def workbook_bytes(found: Return) -> bytes:
    """The workbook as bytes."""
    import xlsxwriter

    buffer = io.BytesIO()
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_numbers": False,
        "strings_to_urls": False,
    }
    with xlsxwriter.Workbook(buffer, options) as workbook:
        workbook.set_properties({"created": _CREATED, "title": "隔离数据退回单"})
        formats = {
            "text": workbook.add_format({"num_format": "@"}),
            "wrapped": workbook.add_format({"num_format": "@", "text_wrap": True, "valign": "top"}),
            "head": workbook.add_format({"num_format": "@", "bold": True, "bg_color": "#DDEBF7"}),
            "title": workbook.add_format({"num_format": "@", "bold": True, "font_size": 14}),
            "bad": workbook.add_format({"num_format": "@", "bg_color": "#FFC7CE"}),
        }
        _guide(workbook.add_worksheet(GUIDE_SHEET), found, formats)
        for name, rows in found.rows.items():
            _feed_sheet(workbook.add_worksheet(get_feed(name).label[:31]), name, rows, formats)
        if found.tables:
            _files_sheet(workbook.add_worksheet(FILES_SHEET), found.tables, formats)
    return buffer.getvalue()


def _put(sheet: Any, row: int, column: int, text: str, style: Any) -> None:
    """A cell as text, whatever it begins with; what an XLSX cell cannot hold is cut visibly."""
    if len(text) > _CELL_LIMIT:
        text = text[: _CELL_LIMIT - 12] + "…（内容过长已截断）"
    sheet.write_string(row, column, text, style)


def _guide(sheet: Any, found: Return, formats: dict[str, Any]) -> None:
    sheet.set_column(0, 0, 70, formats["text"])
    sheet.set_column(1, 1, 60, formats["text"])
    lines = [
        f"隔离数据退回单：{found.unit_name}",
        f"数据截止日：{found.as_of_date.isoformat()}；待更正 {found.row_count} 行，整文件退回 {len(found.tables)} 件。",
        *GUIDE,
        "",
    ]
    for number, line in enumerate(lines):
        _put(sheet, number, 0, line, formats["title" if number == 0 else "text"])
    row = len(lines)
    for name, rows in found.rows.items():
        _put(sheet, row, 0, f"工作表“{get_feed(name).label}”（目录 {name}）：{len(rows)} 行", formats["text"])
        row += 1
    row += 1
    _put(sheet, row, 0, "问题（涉及行数）", formats["head"])
    _put(sheet, row, 1, "处理办法", formats["head"])
    for rule, count in found.rules.items():
        row += 1
        _put(sheet, row, 0, f"{rule_label(rule)}（{count}）", formats["text"])
        _put(sheet, row, 1, chinese_remedy(rule), formats["text"])


def _feed_sheet(sheet: Any, name: str, rows: list[RefusedRow], formats: dict[str, Any]) -> None:
    columns = sheet_columns(get_feed(name), rows)
    first = (QUARANTINE_ID.label, *SERVICE_HEADERS)
    for index, header in enumerate([*first, *(column.header for column in columns)]):
        _put(sheet, 0, index, header, formats["head"])
    sheet.set_column(0, 0, 24, formats["text"])
    sheet.set_column(1, 2, 16, formats["text"])
    sheet.set_column(3, 3, 50, formats["text"])
    sheet.set_column(len(first), len(first) + len(columns), 18, formats["text"])
    sheet.freeze_panes(1, 1)
    for number, row in enumerate(rows, start=1):
        place = row.file + (f"［{row.sheet}］" if row.sheet else "")
        problem = _STATUS.get(row.status, "") + "\n".join(fault.text for fault in row.faults)
        for index, said in enumerate((row.quarantine_id, place, str(row.row_number), problem)):
            _put(sheet, number, index, said, formats["wrapped" if index == 3 else "text"])
        bad: dict[str, list[str]] = {}
        for fault in row.faults:
            if fault.column:
                bad.setdefault(fault.column, []).append(fault.text)
        for column, item in enumerate(columns, start=len(first)):
            text = next((row.cells[header] for header in item.sources if row.cells.get(header)), "")
            notes = bad.get(item.column or "", [])
            _put(sheet, number, column, text, formats["bad" if notes else "text"])
            if notes:
                sheet.write_comment(number, column, "\n".join(notes))


def _files_sheet(sheet: Any, tables: list[RefusedTable], formats: dict[str, Any]) -> None:
    headers = ("数据类别", "来源文件", "工作表", "问题", "发现", "处理办法", "行数")
    for place, header in enumerate(headers):
        _put(sheet, 0, place, header, formats["head"])
    sheet.set_column(0, len(headers), 24, formats["text"])
    for number, table in enumerate(tables, start=1):
        cells = (
            get_feed(table.feed).label,
            table.file,
            table.sheet or "",
            rule_label(table.rule),
            table.message,
            chinese_remedy(table.rule),
            str(table.rows),
        )
        for place, text in enumerate(cells):
            _put(sheet, number, place, text, formats["text"])
