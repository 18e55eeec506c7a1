"""Workbooks as authorities send them."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from feeds_support import Lake, make_uscc, penalty, taken

from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.readers import open_tables
from credit_pipeline.feeds.readers_excel import cell_text
from credit_pipeline.feeds.reading import Table

NAMES = [
    "行政相对人名称",
    "统一社会信用代码",
    "行政处罚决定书文号",
    "违法行为类型",
    "处罚类别",
    "处罚内容",
    "罚款金额",
    "处罚决定日期",
    "处罚机关",
]


def values(number: int) -> list[Any]:
    row = penalty(number)
    return [
        row[n]
        for n in (
            "CF_XDR_MC",
            "CF_XDR_SHXYM",
            "CF_WSH",
            "CF_WFXW",
            "CF_CFLB",
            "CF_NR",
            "CF_NR_FK",
            "CF_JDRQ",
            "CF_CFJG",
        )
    ]


def workbook(path: Path, fill: Callable[[xlsxwriter.Workbook], None]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    book = xlsxwriter.Workbook(str(path))
    fill(book)
    book.close()
    return path


def tables(path: Path) -> list[tuple[Table, list[dict[str, Any]]]]:
    return [
        (table, taken(table)[0]) for table in open_tables(path, get_feed("penalties"), "penalties/a.xlsx")
    ]


def test_title_unit_line_merged_header_blank_rows_and_footer(tmp_path: Path) -> None:
    """Prevents layout being counted as rows, and rows below a blank one being lost."""

    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet("处罚")
        sheet.merge_range(0, 0, 0, 8, "2026年行政处罚信息公示表")
        sheet.write(1, 0, "单位：元")
        sheet.merge_range(2, 0, 2, 1, "行政相对人")
        sheet.merge_range(2, 2, 2, 8, "处罚")
        sheet.write_row(3, 0, NAMES)
        sheet.write_row(4, 0, values(1))
        sheet.write_row(6, 0, [*values(2)[:6], 2000, *values(2)[7:]])
        sheet.write_row(7, 0, NAMES)
        sheet.write_row(8, 0, ["合计", "", "", "", "", "", 2000])
        sheet.write(10, 0, "填报人：张三    填报日期：2026-10-31")
        book.add_worksheet("表格说明").write(0, 0, "请按要求填写")
        hidden = book.add_worksheet("代码表")
        hidden.write_row(0, 0, NAMES)
        hidden.write_row(1, 0, values(9))
        hidden.hide()

    [(table, rows), (code_table, [hidden_row])] = tables(workbook(tmp_path / "a.xlsx", fill))
    assert code_table.problem is not None and code_table.problem.rule == "hidden_sheet"
    assert hidden_row["source_row"] == 2
    assert [row["source_row"] for row in rows] == [5, 7]
    assert table.headers is not None and table.headers.columns["fine_fen"][0].unit == "yuan"
    assert rows[1]["fine_fen"] == "2000" and table.sheet == "处罚"


def test_types_of_cells(tmp_path: Path) -> None:
    """Prevents dates, numbers and codes typed as numbers from changing on the way."""

    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, NAMES)
        row = values(1)
        sheet.write_row(1, 0, row[:1])
        sheet.write_number(1, 1, 914113301234567890)
        sheet.write_row(1, 2, row[2:6])
        sheet.write_number(1, 6, 0.1 + 0.2)
        sheet.write_datetime(1, 7, datetime(2026, 3, 1), book.add_format({"num_format": "yyyy-mm-dd"}))
        sheet.write_row(1, 8, row[8:])

    [(_, [row])] = tables(workbook(tmp_path / "a.xlsx", fill))
    assert (row["uscc"], row["fine_fen"], row["decision_date"]) == ("9.14113E+17", "0.3", "2026-03-01")


def test_cells_show_as_in_a_spreadsheet() -> None:
    """Prevents 3.0 for 3, 1e-07 for 0.0000001 and a time behind every date."""
    shown = {3.0: "3", 1e-7: "0.0000001", 411302000012345.0: "411302000012345", True: "TRUE", None: ""}
    for value, text in shown.items():
        assert cell_text(value) == text
    assert cell_text(date(2026, 1, 2)) == "2026-01-02" and cell_text(datetime(2026, 1, 2)) == "2026-01-02"
    assert cell_text(datetime(2026, 1, 2, 3, 4, 5)) == "2026-01-02 03:04:05"


def test_several_sheets_and_cells_merged_downwards(tmp_path: Path) -> None:
    """Prevents sheets after the first, and the lower rows of a merged cell, being lost."""

    def fill(book: xlsxwriter.Workbook) -> None:
        first = book.add_worksheet("一季度")
        first.write_row(0, 0, NAMES)
        first.write_row(1, 0, values(1))
        first.write_row(2, 0, ["", "", *values(2)[2:]])
        first.merge_range(1, 0, 2, 0, values(1)[0])
        first.merge_range(1, 1, 2, 1, make_uscc(1))
        second = book.add_worksheet("二季度")
        second.write_row(2, 1, NAMES)
        second.write_row(3, 1, values(3))

    found = tables(workbook(tmp_path / "a.xlsx", fill))
    assert [table.sheet for table, _ in found] == ["一季度", "二季度"]
    assert [row["uscc"] for row in found[0][1]] == [make_uscc(1), make_uscc(1)]
    assert [row["source_row"] for row in found[1][1]] == [4]


def test_a_bad_sheet_does_not_stop_the_good_one(lake: Lake) -> None:
    """Prevents one renamed sheet refusing a workbook, and its rows vanishing."""

    def fill(book: xlsxwriter.Workbook) -> None:
        good = book.add_worksheet("好")
        good.write_row(0, 0, NAMES)
        good.write_row(1, 0, values(1))
        bad = book.add_worksheet("坏")
        bad.write_row(0, 0, ["名称甲", "乙", "处罚内容", "丁", "戊"])
        bad.write_row(1, 0, ["a", "b", "c", "d", "e"])
        bad.write_row(2, 0, ["a", "b", "c", "d", "f"])

    workbook(lake.settings.landing_dir / "penalties" / "a.xlsx", fill)
    [report] = lake.ingest("penalties").files
    assert (report.read, report.accepted, report.quarantined) == (3, 1, 2)
    assert report.rules == {"columns_missing": 2} and report.problem is not None
    assert report.problem["sheet"] == "坏" and report.sheets == ["好", "坏"]
    assert {row["sheet"] for row in lake.rows("quarantine", "penalties")} == {"坏"}


def test_damaged_and_empty_workbooks(lake: Lake, tmp_path: Path) -> None:
    """Prevents a crash, or silence, on a workbook that cannot be opened."""
    whole = workbook(
        tmp_path / "a.xlsx", lambda book: book.add_worksheet().write_row(0, 0, NAMES)
    ).read_bytes()
    lake.put("penalties/cut.xlsx", whole[: len(whole) // 2])
    lake.put("penalties/ole.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 2000)
    lake.put("penalties/noise.xlsx", b"PK\x03\x04 this is no workbook")
    lake.put(
        "penalties/empty.xlsx", workbook(tmp_path / "b.xlsx", lambda book: book.add_worksheet()).read_bytes()
    )
    reports = {report.file.split("/")[1]: report for report in lake.ingest("penalties").files}
    assert {name: report.problem and report.problem["rule"] for name, report in reports.items()} == {
        "cut.xlsx": "unreadable_file",
        "ole.xls": "unreadable_file",
        "noise.xlsx": "unreadable_file",
        "empty.xlsx": "empty_file",
    }
    assert all((report.read, report.quarantined) == (1, 1) for report in reports.values())
    assert {row["row_number"] for row in lake.rows("quarantine", "penalties")} == {0}


@pytest.mark.parametrize("size", [10, 700])
def test_any_cut_of_a_workbook_is_refused_or_read(tmp_path: Path, size: int) -> None:
    """Prevents a panic of the Rust reader from ending the run."""
    path = workbook(tmp_path / "a.xlsx", lambda book: book.add_worksheet().write_row(0, 0, NAMES))
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), max(len(data) // 25, 1)):
        broken = data[:place] + bytes([255] * 3) + data[place + size :]
        path.write_bytes(bytes(broken))
        for table, _ in tables(path):
            assert table.file == "penalties/a.xlsx"
    assert io.BytesIO(bytes(data)).read(2) == b"PK"


def test_explanations_and_examples_below_the_header_are_no_rows(tmp_path: Path) -> None:
    """Prevents 必填 and 示例 rows of a template from being counted, and a row about explanations from being lost."""

    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, NAMES)
        sheet.write_row(
            1, 0, ["必填", "必填，18位", "必填", "必填", "必填", "必填", "选填", "YYYY-MM-DD", "必填"]
        )
        sheet.write_row(2, 0, ["示例：某某公司", *values(9)[1:]])
        sheet.write_row(3, 0, values(1))
        sheet.write_row(4, 0, ["说明书印刷有限公司", *values(2)[1:]])
        sheet.write(6, 0, "表格说明：罚款金额按万元填写")
        sheet.write(7, 0, "填报人：李四")
        sheet.write(8, 0, "合计")

    [(table, rows)] = tables(workbook(tmp_path / "a.xlsx", fill))
    assert [row["source_row"] for row in rows] == [4, 5] and table.layout_rows == 5 + 1


def test_a_unit_line_holds_for_every_amount_without_a_unit_of_its_own(lake: Lake) -> None:
    """Prevents 单位：万元 from being overlooked for a column whose amounts are in yuan elsewhere."""

    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "投诉举报情况表")
        sheet.write(1, 3, "（单位：万元）")
        sheet.write_row(2, 0, ["工单编号", "类型", "统一社会信用代码", "登记时间", "涉及金额"])
        sheet.write_row(3, 0, ["T1", "投诉", make_uscc(1), "2026-03-01", "1.5"])
        sheet.write_row(4, 0, ["T2", "投诉", make_uscc(1), "2026-03-01", "15000元"])
        sheet.write_row(5, 0, ["T3", "投诉", make_uscc(1), "2026-03-01", 1.5])

    workbook(lake.settings.landing_dir / "complaints" / "a.xlsx", fill)
    lake.ingest("complaints")
    assert {row["amount_fen"] for row in lake.rows("raw", "complaints")} == {1_500_000}


def test_apostrophes_and_numbers_stored_as_text(lake: Lake) -> None:
    """Prevents codes that were protected from a spreadsheet, and amounts typed as text, from being refused."""

    def fill(book: xlsxwriter.Workbook) -> None:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, NAMES)
        row = values(1)
        sheet.write_row(1, 0, [row[0], f"'{row[1]}", *row[2:6], "'2,000.00元", " 20260301 ", row[8]])
        sheet.write_row(2, 0, [row[0], "", *row[2:6], " 0.2 ", "’2026/3/1", row[8]])
        sheet.write_string(2, 1, f'="{make_uscc(2)}"')

    workbook(lake.settings.landing_dir / "penalties" / "a.xlsx", fill)
    [report] = lake.ingest("penalties").files
    rows = sorted(lake.rows("raw", "penalties"), key=lambda row: row["source_row"])
    assert report.quarantined == 0
    assert [(row["uscc"], row["fine_fen"], row["decision_date"]) for row in rows] == [
        (make_uscc(1), 200_000, date(2026, 3, 1)),
        (make_uscc(2), 200_000, date(2026, 3, 1)),
    ]
