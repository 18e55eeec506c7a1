"""Reading single values: the forms seen in sources, and what must stay unreadable."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import polars as pl
import pytest
from feeds_support import quick
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds.catalogue import MONEY_UNITS, Column, get_feed
from credit_pipeline.feeds.cells import Parsed
from credit_pipeline.feeds.numbers import amounts_in_text, chinese_numeral, parse_amount
from credit_pipeline.feeds.text_cells import (
    parse_code,
    parse_document_no,
    parse_name,
    parse_region,
    parse_text,
)
from credit_pipeline.feeds.value_cells import (
    parse_boolean,
    parse_categories,
    parse_category,
    parse_date,
    parse_decimal,
    parse_integer,
    parse_money,
)

PENALTIES = get_feed("penalties")
OPTIONAL = Column(name="day", label="日", type="date")
REQUIRED = Column(name="day", label="日", type="date", required=True)
OPEN = Column(name="day", label="日", type="date", open_ended=True)


def repaired(parsed: Parsed, place: int = 0) -> set[str]:
    return {rule for rule, flags in parsed.repairs.items() if flags[place]}


def of(*texts: str) -> pl.Series:
    return pl.Series(list(texts), dtype=pl.String)


@pytest.mark.parametrize(
    "text",
    [
        *("20200109", "2020-1-9", "2020/01/09", "2020年1月9日", "2020.1.9", "43839", "２０２０－０１－０９"),
        *("2020-01-09 00:00;00", "2020-01-09 12:30:11", "20200109123000", "2020-01-09T00:00:00.000+08:00"),
        *(" 2020-01-09 ", "2020 年 1 月 9 日", "'2020-01-09"),
    ],
)
def test_forms_of_a_day(text: str) -> None:
    """Prevents losing a row over the form of its date; the form is recorded."""
    parsed = parse_date(of(text), REQUIRED)
    assert parsed.values.to_list() == [date(2020, 1, 9)]
    assert repaired(parsed) == {"date_format"} and parsed.violations.to_list() == [None]


@pytest.mark.parametrize(
    "text",
    ["2025-02-30", "2025年13月5日", "二〇二五年三月", "见决定书", "20251345", "2020", "1/2/2020", "20-1-1"],
)
def test_what_is_no_day(text: str) -> None:
    """Prevents a guessed day."""
    assert parse_date(of(text), OPTIONAL).violations.to_list() == ["date_unreadable"]


@pytest.mark.parametrize(
    ("text", "open_ended"),
    [
        *(("2099-12-31 00:00;00", True), ("9999-09-09", True), ("9999-99-99", True), ("长期", True)),
        *(("无处罚期限", True), ("1900-01-01", False), ("1899-12-31", False), ("0000-00-00", False)),
    ],
)
def test_sentinel_days(text: str, open_ended: bool) -> None:
    """Prevents 'no end' becoming a day in 2099, and 'unknown' becoming 'no end'."""
    parsed = parse_date(of(text), OPEN)
    assert parsed.values.to_list() == [None] and parsed.open_ended.to_list() == [open_ended]
    assert repaired(parsed) == {"date_sentinel"} and parsed.violations.to_list() == [None]
    assert parse_date(of(text), REQUIRED).violations.to_list() == ["date_unreadable"]


@quick
@given(st.dates(date(1900, 1, 2), date(2098, 12, 31)))
def test_iso_days_stay(day: date) -> None:
    """Prevents a repair of what is right."""
    parsed = parse_date(of(day.isoformat()), REQUIRED)
    assert parsed.values.to_list() == [day] and repaired(parsed) == set()


@pytest.mark.parametrize(
    ("text", "expected", "rules"),
    [
        ("豫[2020]第001号", "豫〔2020〕1号", {"document_no_format"}),
        ("豫【2019】01号", "豫〔2019〕1号", {"document_no_format"}),
        ("豫（2020）1号", "豫〔2020〕1号", {"document_no_format"}),
        ("豫(２０２０)１号", "豫〔2020〕1号", {"full_width", "document_no_format"}),
        ("豫〔2020〕 1号", "豫〔2020〕1号", {"spaces_or_hyphens"}),
        ("(2020)豫1302执00123号", "〔2020〕豫1302执123号", {"document_no_format"}),
        ("豫〔2020〕100号", "豫〔2020〕100号", set()),
        ("LR-0001", "LR-0001", set()),
        ("无", None, {"null_word"}),
    ],
)
def test_document_numbers(text: str, expected: str | None, rules: set[str]) -> None:
    """Prevents one decision counting twice because it was written in two ways."""
    parsed = parse_document_no(of("豫〔2020〕7号", text))
    assert parsed.values.to_list() == ["豫〔2020〕7号", expected] and repaired(parsed, 1) == rules


@pytest.mark.parametrize(
    ("text", "expected", "rules"),
    [
        ("南阳月季(集团)公司", "南阳月季（集团）公司", {"name_brackets"}),
        ("南阳\u3000月季 公司", "南阳月季公司", {"name_brackets"}),
        ("南阳\u200b公司", "南阳公司", {"spaces_or_hyphens"}),
        ("ABC  Ltd（CN）", "ABC Ltd(CN)", {"name_brackets"}),
        ("南阳公司", "南阳公司", set()),
    ],
)
def test_names(text: str, expected: str, rules: set[str]) -> None:
    """Prevents names that differ by brackets or spaces only."""
    parsed = parse_name(of(text))
    assert parsed.values.to_list() == [expected] and repaired(parsed) == rules


def test_codes() -> None:
    """Prevents full-width, apostrophes and fillers in codes; hyphens go only from organisation codes."""
    column = PENALTIES.column("authority_code")
    assert parse_code(of('="0123"'), column).values.to_list() == ["0123"]
    texts = of("11411300mb0r12345x", "'123", "１２３", "00000000000000000X", "4.11302E+14", "0")
    parsed = parse_code(texts, column)
    assert parsed.values.to_list() == ["11411300MB0R12345X", "123", "123", None, "4.11302E+14", None]
    assert [repaired(parsed, place) for place in range(6)] == [
        {"lower_case"},
        {"spaces_or_hyphens"},
        {"full_width"},
        {"placeholder_code"},
        set(),
        {"null_word"},
    ]
    assert parsed.violations.to_list()[4] == "digits_lost"
    assert parse_code(of("74218321-3"), PENALTIES.column("org_code")).values.to_list() == ["742183213"]
    assert parse_code(of("JY-1"), get_feed("licences").column("licence_no")).values.to_list() == ["JY-1"]


def test_regions() -> None:
    """Prevents an invented county of the city, and refusing other provinces."""
    known = {"411330": "411330", "桐柏县": "411330"}
    parsed = parse_region(
        of("411330", "411330101000", "411399", "419999", "999999", "110101", "桐柏县"), known
    )
    assert parsed.values.to_list() == ["411330", "411330", None, None, None, "110101", "411330"]
    assert parsed.violations.to_list()[2:5] == ["region_unknown"] * 3


@quick
@given(
    st.decimals(min_value=-(10**9) + 1, max_value=10**9 - 1, places=6).filter(lambda d: d == d),
    st.sampled_from(["yuan", "wan_yuan"]),
)
def test_amounts_are_exact(amount: Decimal, unit: str) -> None:
    """Prevents a fen lost to floating point."""
    exact = int((amount * MONEY_UNITS[unit]).to_integral_value(ROUND_HALF_UP))
    assert parse_money(of(f"{amount:f}"), unit, ["CNY"]).values.to_list() == [exact]


@pytest.mark.parametrize(
    ("text", "fen", "currency"),
    [
        ("1,000(万元人民币)", 10**9, "CNY"),
        ("63.2万人民币", 63_200_000, "CNY"),
        ("3.2800(万)", 3_280_000, None),
        ("500(万美元)", 5 * 10**8, "USD"),
        ("3(万香港元)", 3_000_000, "HKD"),
        ("5,000000", 5_000_000, None),
        ("5,000.00", 5 * 10**9, None),
        ("５０", 50_000_000, None),
        ("2000元", 200_000, None),
        ("贰仟元整", 200_000, None),
        ("￥0.2", 200_000, "CNY"),
        ("一百万元", 10**8, None),
        ("0.1234567", 123_457, None),
    ],
)
def test_amounts_in_words(text: str, fen: int, currency: str | None) -> None:
    """Prevents 元 taken for 万元: the suffix wins over the declared unit, here 万元."""
    amount = parse_amount(text, MONEY_UNITS["wan_yuan"])
    assert (amount.fen, amount.currency, amount.rule) == (fen, currency, None)


@pytest.mark.parametrize("text", ["详见附件", "#VALUE!", "12..5", "若干", "1-2", "", "十元五"])
def test_what_is_no_amount(text: str) -> None:
    """Prevents a guessed amount."""
    assert parse_amount(text, 100).rule == "number_unreadable"


def test_lost_digits_of_amounts() -> None:
    """Prevents 1.23457E+08, of which a spreadsheet has dropped the rest, passing as an amount."""
    assert parse_amount("1.23457E+08", 100).rule == "digits_lost"
    assert parse_amount("1e6", 100).fen == 10**8


@quick
@given(st.integers(1, 99_999_999))
def test_chinese_numerals(number: int) -> None:
    """Prevents a misread 万 or a lost 零."""
    digits, places = "零壹贰叁肆伍陆柒捌玖", ["", "拾", "佰", "仟"]

    def section(value: int) -> str:
        text = ""
        for place in range(3, -1, -1):
            digit = value // 10**place % 10
            text += digits[digit] + places[place] if digit else "零"
        return text.rstrip("零")

    high, low = divmod(number, 10_000)
    text = (section(high) + "万" if high else "") + section(low)
    assert chinese_numeral(text.lstrip("零") or "零") == number


def test_amounts_in_a_sentence() -> None:
    """Prevents the confiscated sum being taken for the fine."""
    assert amounts_in_text("没收违法所得300元，并处罚款2,000元整", "罚款") == [200_000]
    assert amounts_in_text("处2000元罚款", "罚款") == [200_000]
    assert amounts_in_text("罚款人民币贰仟元", "罚款") == [200_000]
    assert amounts_in_text("1.罚款：0.2万元", "罚款") == [200_000]
    assert amounts_in_text("警告", "罚款") == []


def test_numbers() -> None:
    """Prevents '35人' being lost and 5.5 people being counted."""
    parsed = parse_integer(of("35", "35人", "1,000", "5.0", "5.5", "若干", "-"))
    assert parsed.values.to_list() == [35, 35, 1000, 5, None, None, None]
    assert parsed.violations.to_list() == [
        None,
        None,
        None,
        None,
        "number_unreadable",
        "number_unreadable",
        None,
    ]
    assert parse_decimal(of("12.5%", "0.95")).values.to_list() == [12.5, 0.95]


def test_words_of_code_lists() -> None:
    """Prevents a guessed category; a word may hold the separator, 其他- opens free text."""
    kinds = PENALTIES.column("penalty_kinds")
    texts = of(
        "罚款、没收违法所得、没收非法财物",
        "1,2",
        "警告 罚款",
        "其他-责令改正、整顿、罚款",
        "火星",
        "警告、火星",
    )
    parsed = parse_categories(texts, kinds)
    assert parsed.values.to_list() == [
        "confiscation|fine",
        "fine|warning",
        "fine|warning",
        "fine|other",
        None,
        None,
    ]
    assert parsed.violations.to_list()[4:] == ["code_unknown", "code_unknown"]
    status = parse_category(of("0", "撤销", "3", "无", "ＶＡＬＩＤ"), PENALTIES.column("record_status"))
    assert status.values.to_list() == ["valid", "withdrawn", None, None, "valid"]
    assert status.violations.to_list() == [None, None, "code_unknown", None, None]
    assert parse_boolean(of("是", "2", "0", "也许")).values.to_list() == [True, False, False, None]


@quick
@given(st.text(max_size=40))
def test_text_is_never_altered_but_for_invisible_characters(text: str) -> None:
    """Prevents content vanishing from free text."""
    parsed = parse_text(of(text))
    value = parsed.values[0] or ""
    visible = parse_text(of(value)).values[0] or ""
    assert visible == value
    assert [c for c in value if c.isalnum()] == [c for c in text if c.isalnum()] or repaired(parsed)
