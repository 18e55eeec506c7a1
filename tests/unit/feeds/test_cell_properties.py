"""General rules of all readers of cells: they never raise, answer in the order asked, and reading what was
read changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal

import polars as pl
import pytest
from feeds_support import PERSON, make_uscc, quick
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds import text_cells, value_cells
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.cells import Parsed
from credit_pipeline.feeds.headers import column_of, label, match_headers
from credit_pipeline.feeds.layouts import find_layout
from credit_pipeline.feeds.numbers import amounts_in_text, chinese_numeral, parse_amount, parse_number
from credit_pipeline.feeds.personal import mask, mask_text
from credit_pipeline.feeds.reading import arrange, storable
from credit_pipeline.feeds.uscc_cells import parse_uscc

PENALTIES = get_feed("penalties")
REGISTRATIONS = get_feed("registrations")
REGIONS = {"411330": "411330", "桐柏县": "411330"}
DAY = PENALTIES.column("decision_date")
END = PENALTIES.column("valid_to")
READERS: dict[str, Callable[[pl.Series], Parsed]] = {
    "date": lambda raw: value_cells.parse_date(raw, DAY),
    "open_ended": lambda raw: value_cells.parse_date(raw, END),
    "integer": value_cells.parse_integer,
    "decimal": value_cells.parse_decimal,
    "money": lambda raw: value_cells.parse_money(raw, "wan_yuan", {"CNY", "USD"}),
    "boolean": value_cells.parse_boolean,
    "category": lambda raw: value_cells.parse_category(raw, PENALTIES.column("party_kind")),
    "categories": lambda raw: value_cells.parse_categories(raw, PENALTIES.column("penalty_kinds")),
    "text": text_cells.parse_text,
    "name": text_cells.parse_name,
    "code": lambda raw: text_cells.parse_code(raw, PENALTIES.column("authority_code")),
    "reg_no": lambda raw: text_cells.parse_code(raw, PENALTIES.column("reg_no")),
    "document_no": text_cells.parse_document_no,
    "region": lambda raw: text_cells.parse_region(raw, REGIONS),
    "uscc": parse_uscc,
}
"""Type → its reader."""
_PIECES = st.sampled_from(
    [
        *("2026", "03", "1", "-", "/", "年", "月", "日", ".", "长期", "9999", "罚款", "万元", "元", ",", "，", "e+14", "¥", "壹", "贰佰", "亿"),
        *("〔", "〕", "[", "]", "第", "号", "0", "桐市监罚", "（", "(", "）", ")", " ", "\u3000", "\u200b", "'", '"', "=", "\x00", "\n", "无", "null"),
        *("91411330MA40TE5TX8", PERSON, "是", "否", "警告", "、", "没收", "411330", "桐柏县", "١٢", "①", "İ", "ß", "𬱖", "e\u0301"),
    ]
)  # fmt: skip
ODD = st.one_of(st.text(max_size=30), st.lists(_PIECES, max_size=8).map("".join))


def shown(parsed: Parsed) -> list[str | None]:
    """Values as the text the lake would show."""
    return parsed.values.cast(pl.String).to_list()


@pytest.mark.parametrize("kind", READERS)
def test_readers_never_raise_and_keep_the_order(kind: str) -> None:
    """Prevents one odd cell from ending the run, and an answer under another row's number."""

    @quick
    @given(st.lists(ODD, min_size=1, max_size=6, unique=True))
    def check(texts: list[str]) -> None:
        together = READERS[kind](pl.Series(texts, dtype=pl.String))
        alone = [shown(READERS[kind](pl.Series([text], dtype=pl.String)))[0] for text in texts]
        assert shown(together) == alone
        for flags in together.repairs.values():
            assert len(flags) == len(texts)
        if together.violations is not None:
            assert len(together.violations) == len(texts)

    check()


@pytest.mark.parametrize(
    "kind", ["date", "integer", "text", "name", "code", "reg_no", "document_no", "region", "uscc"]
)
def test_reading_what_was_read_changes_nothing(kind: str) -> None:
    """Prevents a row that is exported and sent again from becoming another row."""

    @quick
    @given(ODD)
    def check(text: str) -> None:
        first = READERS[kind](pl.Series([text], dtype=pl.String))
        value = shown(first)[0]
        if value is None or (first.violations is not None and first.violations[0] is not None):
            return
        again = READERS[kind](pl.Series([value], dtype=pl.String))
        assert shown(again) == [value]

    check()


@quick
@given(
    st.dates(date(1900, 1, 2), date(2098, 12, 31)),
    st.sampled_from(
        [
            "{:%Y%m%d}",
            "{0.year}/{0.month}/{0.day}",
            "{0.year}年{0.month}月{0.day}日",
            "{0.year}.{0.month}.{0.day}",
            "{:%Y-%m-%d} 00:00:00",
        ]
    ),
)
def test_days_survive_every_form(day: date, form: str) -> None:
    """Prevents day and month changing places."""
    assert value_cells.parse_date(pl.Series([form.format(day)]), DAY).values[0] == day


@quick
@given(st.integers(0, 10**14))
def test_amounts_in_fen_survive(fen: int) -> None:
    """Prevents an amount that is exported in yuan from coming back changed."""
    text = f"{Decimal(fen) / 100:.2f}"
    assert value_cells.parse_money(pl.Series([text]), "yuan", {"CNY"}).values[0] == fen
    assert (
        value_cells.parse_money(pl.Series([f"{Decimal(fen) / 100:,.2f}元"]), "wan_yuan", {"CNY"}).values[0]
        == fen
    )


@quick
@given(st.integers(0, 10**14))
def test_integers_survive(number: int) -> None:
    """Prevents thousands separators and counting words from changing a count."""
    raw = pl.Series([str(number), f"{number:,}", f"{number}人"])
    assert value_cells.parse_integer(raw).values.to_list() == [number] * 3


@quick
@given(st.integers(0, 999_999), st.sampled_from(["{}", " {} ", "'{}", "{}\u200b", '="{}"']))
def test_codes_survive_their_disguise(number: int, disguise: str) -> None:
    """Prevents a valid code from being refused because a spreadsheet protected it."""
    code = make_uscc(number)
    assert shown(parse_uscc(pl.Series([disguise.format(code)]))) == [code]
    assert shown(parse_uscc(pl.Series([disguise.format(code.lower())]))) == [code]


@quick
@given(ODD)
def test_helpers_never_raise(text: str) -> None:
    """Prevents an odd text from ending the run on its way into a message or a header."""
    parse_amount(text, 100)
    parse_number(text)
    chinese_numeral(text)
    amounts_in_text(text, "罚款")
    label(text)
    column_of(PENALTIES, text)
    match_headers(PENALTIES, [text, text])
    find_layout(PENALTIES, [[text], [text, text]])
    assert storable(text).encode("utf-8") and "\x00" not in storable(text) if text else storable(text) == ""


@quick
@given(st.lists(ODD, max_size=3), ODD)
def test_masking_is_stable_and_complete(before: list[str], after: str) -> None:
    """Prevents a mask that uncovers something when it is applied again, or misses a number among odd text."""
    text = "".join(before) + PERSON + after
    once = mask_text(text)
    assert PERSON not in once and mask_text(once) == once
    assert mask(pl.Series([text]), mobiles=True)[0] == once


@quick
@given(st.lists(st.tuples(ODD, ODD), min_size=1, max_size=4))
def test_unknown_columns_are_legal_json(cells: list[tuple[str, str]]) -> None:
    """Prevents a quote or control character in an unknown column from making `extra` unreadable."""
    headers = match_headers(PENALTIES, [header for header, _ in cells])
    frame = pl.DataFrame({str(place): [value] for place, (_, value) in enumerate(cells)})
    frame = frame.with_columns(pl.lit(2, dtype=pl.Int64).alias("source_row"))
    arranged = arrange(frame, headers, {})
    if "extra" in arranged.columns and arranged["extra"][0] is not None:
        assert isinstance(json.loads(arranged["extra"][0]), dict)
