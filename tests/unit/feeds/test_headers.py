"""Which column a header means, and where the header stands."""

from __future__ import annotations

import pytest
from feeds_support import PERSON, penalty

from credit_pipeline.feeds.catalogue import get_feed, load_catalogue
from credit_pipeline.feeds.headers import column_of, match_headers
from credit_pipeline.feeds.layouts import find_layout, is_footer

PENALTIES = get_feed("penalties")
FULL = list(penalty())


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("cf_wsh", "document_no"),
        ("行政处罚决定书文号", "document_no"),
        ("CF_WSH（行政处罚决定书文号）", "document_no"),
        ("文书（CF_WSH）", "document_no"),
        (" 统一社会 信用代码* ", "uscc"),
        ("ＣＦ＿ＷＳＨ", "document_no"),
        ("某列", None),
        ("", None),
        ("CF_WSH" * 50, None),
    ],
)
def test_header_names(header: str, name: str | None) -> None:
    """Prevents a column lost to width, case, spaces or brackets."""
    assert column_of(PENALTIES, header) == name


def test_every_source_name_of_the_catalogue_is_found() -> None:
    """Prevents an alias that the normalisation makes unreachable or ambiguous."""
    for feed in load_catalogue().values():
        for column in feed.columns:
            for header in column.source_names:
                assert column_of(feed, header) == column.name, (feed.name, header)


def test_units_of_headers() -> None:
    """Prevents 元 under a 万元 rule: brackets, then the alias, then the unit line, then the catalogue."""

    def unit(header: str, unit_line: int | None = None) -> str | None:
        return match_headers(PENALTIES, [*FULL, header], unit_line).columns["fine_fen"][-1].unit

    assert unit("PenAm") == "wan_yuan" and unit("punishmoney") == "yuan" and unit("罚款金额（元）") == "yuan"
    assert unit("罚款金额", 100) == "yuan" and unit("punishmoney", 1_000_000) == "yuan"
    assert unit("罚款金额（万元）", 100) == "wan_yuan"


def test_personal_headers_of_any_feed_are_dropped() -> None:
    """Prevents personal columns that this feed does not define from being kept as unknown ones."""
    found = match_headers(PENALTIES, [*FULL, "CF_FR_ZJHM", "投诉人电话", "经办人手机号", "窗口", "序号"])
    assert found.dropped == ["CF_FR_ZJHM", "投诉人电话", "经办人手机号"]
    assert [source.header for source in found.unknown] == ["窗口"]


def test_foreign_and_missing_headers() -> None:
    """Prevents a licence file in the penalties folder being half read, and a bare 'wrong file' message."""
    licences = ["XK_XDR_MC", "XK_XDR_SHXYM", "XK_WSH", "XK_NR", "XK_JDRQ", "XK_XKJG"]
    foreign = match_headers(PENALTIES, licences)
    assert foreign.rule == "foreign_file" and "licences" in foreign.message
    missing = match_headers(PENALTIES, [name for name in FULL if name != "CF_JDRQ"])
    assert missing.rule == "columns_missing"
    assert "decision_date" in missing.message and "CF_WSH" in missing.message
    assert match_headers(PENALTIES, FULL).rule is None


def test_a_headerless_file_does_not_leak_into_the_message() -> None:
    """Prevents the first data row, taken for a header, carrying an identity number into the ledger."""
    message = match_headers(PENALTIES, ["张三", PERSON]).message
    assert PERSON not in message and "411330********0015" in message


def test_repeated_unknown_headers_keep_all_values() -> None:
    """Prevents one unknown column overwriting another of the same name."""
    found = match_headers(PENALTIES, [*FULL, "备用", "备用", ""])
    assert [source.header for source in found.unknown] == ["备用", "备用_2", f"column_{len(FULL) + 3}"]


def test_layouts() -> None:
    """Prevents titles, unit lines and two-row headers from hiding the header."""
    rows = [
        ["2026年行政处罚信息", "", "", "", ""],
        ["单位：元", "", "", "", ""],
        ["序号", "行政相对人", "", "处罚", ""],
        ["", "行政相对人名称", "统一社会信用代码", "处罚决定日期", "罚款金额"],
        ["1", "某公司", "x", "2026-01-01", "5"],
    ]
    layout = find_layout(PENALTIES, rows)
    assert layout.header_row == 3 and layout.unit_line == 100
    assert layout.headers[1:] == rows[3][1:]
    assert find_layout(PENALTIES, rows[2:]).header_row == 1


def test_footers() -> None:
    """Prevents a sum counted as a row, and an enterprise whose name begins with 合计 lost."""
    assert is_footer(["合计", "", "", "", "", "", "100"], 7) and is_footer(["填报人：张三", "", ""], 12)
    assert not is_footer(["合计会计服务有限公司", "x", "y", "z", "a"], 7)
    assert not is_footer(["", "", ""], 7)
