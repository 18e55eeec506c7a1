"""What goes back to the units, without a warehouse: words for every rule, columns of a sheet, the way back in."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from python_calamine import CalamineWorkbook

from credit_pipeline.feeds.catalogue import Feed, get_feed, load_catalogue
from credit_pipeline.feeds.headers import match_headers
from credit_pipeline.feeds.quarantine import Fault, RefusedRow, RefusedTable, Return, sheet_columns
from credit_pipeline.feeds.quarantine_workbook import workbook_bytes, write_return
from credit_pipeline.feeds.rules import REMEDIES, RULE_LABELS, chinese_remedy, rule_label

PENALTIES = get_feed("penalties")


def refused(cells: dict[str, str], *columns: str) -> RefusedRow:
    faults = [Fault(column, "required_missing", "…") for column in columns]
    return RefusedRow("00ff:1:2", "penalties/a.csv", None, 2, "open", cells, faults)


def test_every_rule_has_chinese_words() -> None:
    """Prevents a sheet that tells a clerk `column_count`."""
    assert set(RULE_LABELS) == set(REMEDIES)
    for rule in REMEDIES:
        assert rule_label(rule) != rule
        assert "\u4e00" <= chinese_remedy(rule)[0] <= "\u9fff" and chinese_remedy(rule).endswith("。"), rule


@pytest.mark.parametrize("feed", load_catalogue().values(), ids=lambda feed: feed.name)
def test_a_returned_sheet_is_understood_by_its_feed(feed: Feed) -> None:
    """Prevents a returned sheet that its own feed refuses, or whose remarks end up as data."""
    columns = sheet_columns(feed, [refused({}, *(column.name for column in feed.stored_columns[:1]))])
    headers = ["隔离编号", "来源文件", "行号", "问题", *(column.header for column in columns), "问题"]
    found = match_headers(feed, headers)
    assert found.rule is None
    assert found.columns["quarantine_id"][0].position == 0
    assert [source.header for source in found.unknown] == ["问题"], "a source's own column of that name stays"
    plain = match_headers(feed, ["来源文件", "问题", *(column.header for column in columns)])
    assert {source.header for source in plain.unknown} >= {"来源文件", "问题"}


def test_headers_that_mean_the_same_share_a_column_but_not_a_unit() -> None:
    """Prevents 元 and 万元 in one column, and two columns for one fact."""
    rows = [
        refused({"CF_XDR_MC": "甲", "CF_NR_FK": "0.2"}),
        refused(
            {"行政相对人名称": "乙", "punishmoney": "2000", "罚款金额(元)": "1", "自定义": "x"}, "legal_basis"
        ),
    ]
    columns = {column.header: column for column in sheet_columns(PENALTIES, rows)}
    assert columns["CF_XDR_MC"].sources == ("CF_XDR_MC", "行政相对人名称")
    assert columns["CF_NR_FK"].sources == ("CF_NR_FK",)
    assert columns["punishmoney"].sources == ("punishmoney", "罚款金额(元)")
    assert columns["自定义"].column is None
    assert {"行政处罚决定书文号", "处罚依据"} <= set(columns), "required and faulty columns can be filled in"
    assert "隔离编号" not in columns


def test_an_amount_under_a_unit_line_says_its_unit_when_it_comes_back() -> None:
    """Prevents a fine ten thousand times too large after a round trip: the line 单位：元 stays in the old file."""
    found = match_headers(PENALTIES, ["行政相对人名称", "罚款金额"], unit_line=100)
    assert [source.header for source in found.columns["fine_fen"]] == ["罚款金额(元)"]
    again = match_headers(PENALTIES, ["罚款金额(元)"])
    assert again.columns["fine_fen"][0].unit == "yuan"
    assert match_headers(PENALTIES, ["罚款金额"], None).columns["fine_fen"][0].header == "罚款金额"


def test_the_workbook_is_text_and_always_the_same(tmp_path: Path) -> None:
    """Prevents formulas, lost digits, cells that cannot be stored, and bytes that differ from run to run."""
    cells = {
        "CF_XDR_MC": "=HYPERLINK(1)",
        "CF_XDR_SHXYM": "091411330",
        "CF_SY": "长" * 40_000,
        "自定义": "@x",
    }
    found = Return("411330MS", "桐柏县市场监督管理局", date(2026, 10, 31))
    found.rows = {"penalties": [refused(cells, "uscc")]}
    found.tables = [RefusedTable("penalties", "penalties/b.csv", None, "empty_file", "nothing", 1)]
    found.rules = {"required_missing": 1, "empty_file": 1}
    assert workbook_bytes(found) == workbook_bytes(found)
    path = tmp_path / "out" / "return.xlsx"
    write_return(found, path)
    assert [item.name for item in path.parent.iterdir()] == ["return.xlsx"]
    book = CalamineWorkbook.from_path(path)
    assert book.sheet_names == ["说明", "行政处罚", "整文件退回说明"]
    headers, row = book.get_sheet_by_name("行政处罚").to_python()
    sent = dict(zip(headers, row, strict=True))
    assert (
        sent["CF_XDR_MC"] == "=HYPERLINK(1)"
        and sent["CF_XDR_SHXYM"] == "091411330"
        and sent["自定义"] == "@x"
    )
    assert len(str(sent["CF_SY"])) <= 32_767 and str(sent["CF_SY"]).endswith("（内容过长已截断）")
