"""Reads the distinct texts of one column as values of its type: what is stored, what was repaired, what is refused.

Every function takes distinct, non-null texts and answers in the same order, so that a text that stands in a million
rows is read once. Codes of enterprises are in `uscc_cells`; rules across columns and the final checks in `contracts`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import polars as pl

from credit_pipeline.feeds.catalogue import MONEY_UNITS, Column
from credit_pipeline.feeds.codes import PROVINCES
from credit_pipeline.feeds.numbers import MAX_FEN, parse_amount, parse_number

ASCII_SPACE = " \t\r\n\x0b\x0c"
SPACE = (
    ASCII_SPACE
    + "\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
_INVISIBLE_CLASS = r"\x00-\x08\x0e-\x1f\x7f\u{ad}\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2060}-\u{2064}\u{fe00}-\u{fe0f}\u{feff}"
INVISIBLE = f"[{_INVISIBLE_CLASS}]"
"""Control, zero-width and direction characters: they are no content, and U+001F separates values in row hashes."""
SPACE_OR_INVISIBLE = rf"[\s{_INVISIBLE_CLASS}]"
FULL_WIDTH = r"[\u{ff01}-\u{ff5e}\u{ffe5}]"
DASHES = "[-\u2010-\u2015\u2212]"
NULL_WORDS = frozenset(
    [
        "\\n",
        "暂无",
        "无",
        "-",
        "--",
        "—",
        "——",
        "/",
        "//",
        "null",
        "(null)",
        "[null]",
        "n/a",
        "#n/a",
        "none",
        "nan",
        "空",
    ]
)
"""Case-folded, half-width words that stand for nothing."""
DIGITS_LOST = r"^[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{1,2}$|^[0-9]\.[0-9]+[Ee][0-9]{1,2}$"
_ZERO_IS_NULL = frozenset({"date", "code", "reg_no", "uscc", "document_no", "region"})
_TRUE = frozenset(
    ["是", "1", "true", "t", "yes", "y", "有", "公示", "选择公示", "√", "对", "属实", "受理", "已受理"]
)
_FALSE = frozenset(
    [
        "否",
        "0",
        "2",
        "false",
        "f",
        "no",
        "n",
        "没有",
        "不公示",
        "选择不公示",
        "×",
        "不对",
        "不属实",
        "不受理",
        "未受理",
    ]
)
FAR_DATE = date(2099, 1, 1)
"""From here on a date means 'no end' (2099-12-31, 9999-09-09)."""
NEAR_DATE = date(1900, 1, 1)
"""Up to here a date means 'unknown': day zero of spreadsheets (1899-12-30, 1899-12-31, 1900-01-01)."""
_NO_END_WORDS = [
    "长期",
    "长期有效",
    "永久",
    "永久有效",
    "永续",
    "无期限",
    "无限期",
    "无固定期限",
    "无处罚期限",
    "不限",
    "至今",
]


@dataclass
class Parsed:
    """Values of one column for distinct texts, all series of one length."""

    values: pl.Series
    repairs: dict[str, pl.Series] = field(default_factory=dict)
    """Rule → which texts it repaired."""
    violations: pl.Series | None = None
    """Rule each text breaks, or null."""
    open_ended: pl.Series | None = None
    currency: pl.Series | None = None


def _flags(count: int) -> pl.Series:
    return pl.repeat(False, count, dtype=pl.Boolean, eager=True)


def is_null_word(text: pl.Series, column_type: str) -> pl.Series:
    """Which trimmed texts stand for nothing in a column of that type."""
    short = text.str.len_bytes() <= 12
    if not short.any():
        return _flags(len(text))
    words = [*NULL_WORDS, *(["0"] if column_type in _ZERO_IS_NULL else [])]
    folded = pl.select(pl.when(short).then(text)).to_series().str.normalize("NFKC").str.to_lowercase()
    return folded.is_in(words).fill_null(value=False)


def _without_nulls(text: pl.Series, column_type: str) -> tuple[pl.Series, pl.Series]:
    """Texts with null words and emptiness made null, and which were null words."""
    words = is_null_word(text, column_type)
    cleaned = pl.select(pl.when(~words & (text != "")).then(text)).to_series()
    return cleaned, words


def half_width(text: pl.Series) -> pl.Series:
    """NFKC of the texts that need it."""
    other = (text.str.len_bytes() != text.str.len_chars()).fill_null(value=False)
    return text.str.normalize("NFKC") if other.any() else text


def _visible(raw: pl.Series) -> pl.Series:
    """Without control and zero-width characters, trimmed of every kind of space."""
    trimmed = raw.str.strip_chars(SPACE)
    if raw.str.contains(INVISIBLE).any():
        trimmed = trimmed.str.replace_all(INVISIBLE, "").str.strip_chars(SPACE)
    return trimmed


def parse_text(raw: pl.Series) -> Parsed:
    """Free text: invisible characters and outer white space go, nothing else changes."""
    text = _visible(raw)
    values, words = _without_nulls(text, "text")
    odd = text != raw.str.strip_chars(ASCII_SPACE)
    return Parsed(values, {"null_word": words, "spaces_or_hyphens": odd & values.is_not_null()})


def parse_name(raw: pl.Series) -> Parsed:
    """Names: （）in Chinese names, () in others; no space beside a Chinese character, single spaces elsewhere."""
    visible = _visible(raw)
    text, words = _without_nulls(visible, "name")
    chinese = text.str.contains(r"\p{Han}").fill_null(value=False)
    odd = text.str.contains(r"[()（）\s]").fill_null(value=False)
    values = text
    if odd.any():
        full = (
            text.str.replace_many(["(", ")"], ["（", "）"])
            .str.replace_all(r"([\p{Han}（）])\s+", "${1}")
            .str.replace_all(r"\s+([\p{Han}（）])", "${1}")
        )
        half = text.str.replace_many(["（", "）"], ["(", ")"])
        chosen = pl.select(pl.when(chinese).then(full).otherwise(half)).to_series()
        values = chosen.str.replace_all(r"\s+", " ")
    trimmed = (visible == raw.str.strip_chars(SPACE)) & (visible != raw)
    invisible = visible != raw.str.strip_chars(SPACE)
    return Parsed(
        values,
        {
            "null_word": words,
            "spaces_or_hyphens": invisible & values.is_not_null(),
            "name_brackets": ((values != text) | trimmed).fill_null(value=False) & values.is_not_null(),
        },
    )


def clean_code(raw: pl.Series, column_type: str, *, hyphens: bool) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Half-width code without spaces, leading apostrophe and, if asked, hyphens; and which texts needed what."""
    trimmed = raw.str.strip_chars(SPACE)
    full = trimmed.str.contains(FULL_WIDTH)
    text, words = _without_nulls(half_width(trimmed), column_type)
    unwanted = rf"{SPACE_OR_INVISIBLE}+|^['’`´]+" + (f"|{DASHES}" if hyphens else "")
    spaced = (raw != trimmed) | trimmed.str.contains(unwanted)
    if spaced.any():
        text = text.str.replace_all(unwanted, "")
        text = pl.select(pl.when(text != "").then(text)).to_series()
    kept = text.is_not_null()
    return text, {"null_word": words, "full_width": full & kept, "spaces_or_hyphens": spaced & kept & ~words}


def parse_code(raw: pl.Series, column: Column) -> Parsed:
    """Numbers and identifiers that are compared, never computed with."""
    organisation = "组织机构代码" in column.label or "信用代码" in column.label
    text, repairs = clean_code(raw, column.type, hyphens=organisation)
    pattern = f"^(?:{column.pattern})$" if column.pattern else None
    upper = text.str.to_uppercase()
    lower = (upper != text) & (
        upper.str.contains(pattern)
        if pattern
        else upper.str.contains(r"^[0-9A-Z]{18}$") | pl.repeat(organisation, len(raw), eager=True)
    )
    lower = lower.fill_null(value=False)
    text = pl.select(pl.when(lower).then(upper).otherwise(text)).to_series()
    filler = text.str.contains(r"^0{6,}[0X]$").fill_null(value=False)
    values = pl.select(pl.when(~filler).then(text)).to_series()
    lost = text.str.contains(DIGITS_LOST).fill_null(value=False)
    violations = pl.select(pl.when(lost).then(pl.lit("digits_lost"))).to_series()
    return Parsed(values, {**repairs, "lower_case": lower, "placeholder_code": filler}, violations)


_ODD_DOCUMENT_NO = rf"""[\s\[\]【】()〈〉《》<>「」{{}}﹝﹞第'’`´{_INVISIBLE_CLASS}\u{{ff01}}-\u{{ff5e}}]|[^0-9]0+[0-9]+号|^0|〕0"""


def parse_document_no(raw: pl.Series) -> Parsed:
    """Numbers of documents and cases: 〔2020〕, no 第, no leading zeros before 号."""
    odd = raw.str.contains(_ODD_DOCUMENT_NO)
    rows = (odd | is_null_word(raw, "document_no")).arg_true()
    values = raw.clone()
    repairs = {
        name: _flags(len(raw))
        for name in ("null_word", "full_width", "spaces_or_hyphens", "document_no_format")
    }
    if len(rows):
        part, part_repairs = _odd_document_no(raw.gather(rows))
        values = values.scatter(rows, part)
        repairs = {name: flags.scatter(rows, part_repairs[name]) for name, flags in repairs.items()}
    return Parsed(values, repairs)


def _odd_document_no(raw: pl.Series) -> tuple[pl.Series, dict[str, pl.Series]]:
    unwanted = rf"{SPACE_OR_INVISIBLE}+|^['’`´]+"
    trimmed = raw.str.strip_chars(SPACE)
    wide = trimmed.str.contains(r"[０-９Ａ-Ｚａ-ｚ]")
    text, words = _without_nulls(half_width(trimmed), "document_no")
    bare = text.str.replace_all(unwanted, "")
    bare = pl.select(pl.when(bare != "").then(bare)).to_series()
    values = (
        bare.str.replace_all(r"[\[【(〔{﹝<《〈「]((?:19|20)[0-9]{2})年?[\]】)〕}﹞>》〉」]", "〔${1}〕")
        .str.replace_all(r"第0*([0-9]+)", "${1}")
        .str.replace_all(r"(^|[^0-9])0+([0-9]+)号", "${1}${2}号")
        .str.replace_all(r"〕0+([0-9]+)$", "〕${1}")
    )
    sent = trimmed.str.replace_all(unwanted, "")
    sent = pl.select(pl.when(wide).then(_half_width_alphanumeric(sent)).otherwise(sent)).to_series()
    kept = values.is_not_null()
    return values, {
        "null_word": words,
        "full_width": wide & kept,
        "spaces_or_hyphens": ((raw != trimmed) | trimmed.str.contains(unwanted)) & kept,
        "document_no_format": (values != sent).fill_null(value=False) & kept,
    }


def _half_width_alphanumeric(text: pl.Series) -> pl.Series:
    plain = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return text.str.replace_many([chr(ord(character) + 0xFEE0) for character in plain], list(plain))


def parse_region(raw: pl.Series, regions: Mapping[str, str]) -> Parsed:
    """Six-digit region codes; `regions` maps the city's codes and their Chinese names to the code."""
    text, repairs = clean_code(raw, "region", hyphens=False)
    code = pl.select(
        pl.when(text.str.contains(r"^[0-9]{6}(?:[0-9]{3}|[0-9]{6})?$"))
        .then(text.str.slice(0, 6))
        .otherwise(text)
    ).to_series()
    city = {known[:4] for known in regions.values()}
    listed = code.replace_strict(dict(regions), default=None, return_dtype=pl.String)
    elsewhere = (
        code.str.contains(r"^[0-9]{2}(?:[0-6][0-9]|70|90)[0-9]{2}$")
        & code.str.slice(0, 2).is_in(sorted(PROVINCES))
        & ~code.str.slice(0, 4).is_in(sorted(city))
    )
    values = pl.select(pl.when(listed.is_not_null()).then(listed).when(elsewhere).then(code)).to_series()
    unknown = text.is_not_null() & values.is_null()
    return Parsed(values, repairs, pl.select(pl.when(unknown).then(pl.lit("region_unknown"))).to_series())


_DATE_PARTS = r"^([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?(?:[ T]*[0-9]{1,2}[:时;].*|[ T]+)?$"
_DATE_DIGITS = r"^([0-9]{4})([0-9]{2})([0-9]{2})(?:[ T]?[0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)?$"


def parse_date(raw: pl.Series, column: Column) -> Parsed:
    """Days in the forms seen in sources; sentinels become null, and `open_ended` says which mean 'no end'.

    A sentinel in a required column is unreadable: the fact has no day.
    """
    iso = raw.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    trimmed = half_width(raw.str.replace_all(INVISIBLE, "").str.strip_chars(SPACE)).str.strip_chars_start(
        "'’`"
    )
    text, words = _without_nulls(trimmed, "date")
    tight = text.str.replace_all(r"\s*([-/.年月])\s*|\s+(日)", "${1}${2}").str.replace_all(
        "\u2010|\u2013|\u2014", "-"
    )
    parts = (
        pl.DataFrame({"text": tight})
        .select(
            pl.coalesce(
                pl.concat_str(
                    [
                        pl.col("text").str.extract(pattern, group).str.zfill(size)
                        for group, size in ((1, 4), (2, 2), (3, 2))
                    ],
                    separator="-",
                )
                for pattern in (_DATE_PARTS, _DATE_DIGITS)
            )
        )
        .to_series()
    )
    serial = tight.str.extract(r"^([2-7][0-9]{4})(?:\.[0-9]+)?$", 1).cast(pl.Int32)
    days = (
        pl.DataFrame({"day": parts.str.to_date("%Y-%m-%d", strict=False), "serial": serial})
        .select(pl.coalesce("day", pl.lit(date(1899, 12, 30)) + pl.duration(days=pl.col("serial"))))
        .to_series()
    )
    year = parts.str.slice(0, 4).cast(pl.Int32, strict=False)
    far = (year >= FAR_DATE.year) | tight.is_in(_NO_END_WORDS)
    unknown = (days <= NEAR_DATE) | (year == 0)
    far, unknown = far.fill_null(value=False), unknown.fill_null(value=False) & ~far.fill_null(value=False)
    values = pl.select(pl.when(~(far | unknown)).then(days)).to_series().cast(pl.Date)
    refused = text.is_not_null() & values.is_null()
    if not column.required:
        refused &= ~(far | unknown)
    elif column.open_ended:
        refused &= ~far
    return Parsed(
        values,
        {
            "null_word": words,
            "date_sentinel": far | unknown,
            "date_format": values.is_not_null() & ~iso,
        },
        pl.select(pl.when(refused).then(pl.lit("date_unreadable"))).to_series(),
        open_ended=far if column.open_ended else None,
    )


def _each(
    text: pl.Series, read: Callable[[str], object | None], dtype: pl.DataType | type[pl.DataType]
) -> pl.Series:
    return pl.Series([None if item is None else read(item) for item in text], dtype=dtype, strict=False)


def _numeric(raw: pl.Series, column: Column, simple: str, dtype: type[pl.DataType]) -> Parsed:
    """Integers and decimals: plain ones as a column, the others one by one."""
    text, words = _without_nulls(raw.str.strip_chars(SPACE), column.type)
    is_simple = raw.str.contains(simple)
    values = pl.select(pl.when(is_simple).then(raw)).to_series().cast(dtype, strict=False)
    rest = (~is_simple & text.is_not_null()).arg_true()
    numbers = [parse_number(item) for item in text.gather(rest)]
    if column.type == "integer":
        numbers = [
            item if item is None or (item == item.to_integral_value() and abs(item) <= MAX_FEN) else None
            for item in numbers
        ]
    values = values.scatter(
        rest,
        pl.Series([None if item is None else _plain_number(item, column) for item in numbers], dtype=dtype),
    )
    unreadable = text.is_not_null() & values.is_null()
    return Parsed(
        values,
        {"null_word": words, "number_format": ~is_simple & values.is_not_null()},
        pl.select(pl.when(unreadable).then(pl.lit("number_unreadable"))).to_series(),
    )


def _plain_number(number: Decimal, column: Column) -> int | float:
    return int(number) if column.type == "integer" else float(number)


def parse_integer(raw: pl.Series, column: Column) -> Parsed:
    """Whole numbers."""
    return _numeric(raw, column, r"^-?[0-9]{1,18}$", pl.Int64)


def parse_decimal(raw: pl.Series, column: Column) -> Parsed:
    """Numbers with a fraction, as double."""
    return _numeric(raw, column, r"^-?[0-9]{1,15}(?:\.[0-9]{1,15})?$", pl.Float64)


def parse_money(raw: pl.Series, column: Column, unit: str) -> Parsed:
    """Amounts in hundredths of the currency's main unit; `unit` is the unit of a bare number.

    A bare number below 10^15 fen goes through floating point: with at most as many decimals as the unit has, its
    error is below 0.23 fen, so rounding gives the exact integer. All else is decimal arithmetic.
    """
    fen_per_unit = MONEY_UNITS[unit]
    whole, places = (9, 6) if unit == "wan_yuan" else (13, 2)
    text, words = _without_nulls(raw.str.strip_chars(SPACE), "money")
    is_simple = raw.str.contains(rf"^-?[0-9]{{1,{whole}}}(?:\.[0-9]{{1,{places}}})?$")
    plain = pl.select(pl.when(is_simple).then(raw)).to_series().cast(pl.Float64)
    values = (plain * fen_per_unit).round(0).cast(pl.Int64)
    rest = (~is_simple & text.is_not_null()).arg_true()
    amounts = [parse_amount(item, fen_per_unit) for item in text.gather(rest)]
    known = set(column_currencies(column))
    rules = [
        item.rule or ("number_unreadable" if item.currency and item.currency not in known else None)
        for item in amounts
    ]
    fen = [None if rule else item.fen for item, rule in zip(amounts, rules, strict=True)]
    values = values.scatter(rest, pl.Series(fen, dtype=pl.Int64))
    violations = pl.repeat(None, len(raw), dtype=pl.String, eager=True).scatter(
        rest, pl.Series(rules, dtype=pl.String)
    )
    currency = pl.repeat(None, len(raw), dtype=pl.String, eager=True).scatter(
        rest, pl.Series([item.currency for item in amounts], dtype=pl.String)
    )
    return Parsed(
        values,
        {"null_word": words, "number_format": ~is_simple & values.is_not_null()},
        violations,
        currency=currency if column.currency_column else None,
    )


def column_currencies(column: Column) -> list[str]:
    """Currencies an amount of the column may name; without a currency column only the renminbi."""
    return ["CNY", "USD", "HKD", "JPY", "EUR"] if column.currency_column else ["CNY"]


def plain_word(text: str) -> str:
    """A word of a code list made comparable."""
    return (
        re.sub(r"[\s\u200b-\u200f\u2060\ufeff]", "", unicodedata.normalize("NFKC", text))
        .lstrip("'’`")
        .casefold()
    )


def parse_boolean(raw: pl.Series) -> Parsed:
    """是 and 否 in their many spellings; GB lists write 1 for yes and 2 for no."""

    def read(text: str) -> bool | None:
        word = plain_word(text)
        return True if word in _TRUE else False if word in _FALSE else None

    values = _each(raw, read, pl.Boolean)
    return _coded(raw, values, "boolean")


def parse_category(raw: pl.Series, column: Column) -> Parsed:
    """One code of the column's list, from a code or a word of the sources; a listed word is never a null word."""
    codes = _code_words(column)
    return _coded(raw, _each(raw, lambda text: codes.get(plain_word(text)), pl.String), "category")


def parse_categories(raw: pl.Series, column: Column) -> Parsed:
    """Several codes, sorted, distinct, joined by `|`; a word may itself hold a separator (没收违法所得、没收非法财物)."""
    codes = _code_words(column)
    openings = sorted((word for word in codes if word.endswith("-")), key=len, reverse=True)

    def one(word: str) -> str | None:
        return codes.get(word) or next(
            (codes[opening] for opening in openings if word.startswith(opening)), None
        )

    def read(text: str) -> str | None:
        pieces = re.split(r"([、,;/|+]|和(?=\S)|并处)", plain_word(re.sub(r"\s+", "、", text.strip())))
        found: set[str] = set()
        start = 0
        while start < len(pieces):
            for end in range(len(pieces), start, -1):
                word = "".join(pieces[start:end])
                if code := one(word):
                    found.add(code)
                    break
                if end == start + 1 and (start % 2 == 1 or not word):
                    break
            else:
                return None
            start = end
        return "|".join(sorted(found)) or None

    return _coded(raw, _each(raw, read, pl.String), "categories")


def _code_words(column: Column) -> dict[str, str]:
    words = {plain_word(word): code for code, sources in column.codes.items() for word in sources}
    return {**{plain_word(code): code for code in column.codes}, **words}


def _coded(raw: pl.Series, values: pl.Series, column_type: str) -> Parsed:
    text = raw.str.strip_chars(SPACE)
    words = is_null_word(text, column_type) & values.is_null()
    unknown = values.is_null() & ~words & (text != "")
    return Parsed(
        values, {"null_word": words}, pl.select(pl.when(unknown).then(pl.lit("code_unknown"))).to_series()
    )
