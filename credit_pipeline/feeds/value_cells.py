"""Reads dates, numbers, amounts, yes and no, and words of code lists."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal

import polars as pl

from credit_pipeline.feeds.catalogue import MONEY_UNITS, Column
from credit_pipeline.feeds.cells import (
    INVISIBLE,
    SPACE,
    Parsed,
    half_width,
    is_null_word,
    none_of,
    where,
    without_nulls,
)
from credit_pipeline.feeds.numbers import MAX_NUMBER, parse_amount, parse_number

FAR_YEAR = 2099
"""From its first day on a date means 'no end' (2099-12-31, 9999-09-09)."""
NEAR_DATE = date(1900, 1, 1)
"""Up to here a date means 'unknown': day zero of spreadsheets (1899-12-30, 1899-12-31, 1900-01-01)."""
_DAY_ZERO = date(1899, 12, 30)
_NO_END_WORDS = [
    *(
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
    ),
]
_TIME = r"(?:[ T]*[0-9]{1,2}[:时;][0-9:;.时分秒 ]*(?:[AaPp][Mm]|[zZ]|[+-][0-9:]+)?|[ T]+)?"
_ISO_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_DATE_PARTS = rf"^([0-9]{{4}})[-/.年]([0-9]{{1,2}})[-/.月]([0-9]{{1,2}})日?{_TIME}$"
_DATE_DIGITS = r"^([0-9]{4})([0-9]{2})([0-9]{2})(?:[ T]?[0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)?$"
_TRUE = frozenset(
    [*("是", "1", "true", "t", "yes", "y", "有", "公示", "选择公示", "√", "对", "属实", "受理", "已受理")]
)
_FALSE = frozenset(
    [
        *("否", "0", "2", "false", "f", "no", "n", "没有", "不公示", "选择不公示", "×", "不对", "不属实"),
        *("不受理", "未受理"),
    ]
)


def parse_date(raw: pl.Series, column: Column) -> Parsed:
    """Days in the forms seen in sources; sentinels become null, and `open_ended` says which mean 'no end'.

    A sentinel in a required column is unreadable: the fact has no day. Days written 2026-01-31 are nearly all,
    and need none of the looks that the others need.
    """
    plain = where(raw.str.contains(_ISO_DAY), raw).str.to_date("%Y-%m-%d", strict=False)
    plain = where((plain > NEAR_DATE) & (plain.dt.year() < FAR_YEAR), plain)
    rows = plain.is_null().arg_true()
    odd = _odd_dates(raw.gather(rows), column)
    none = none_of(len(raw))
    nothing = pl.repeat(None, len(raw), dtype=pl.String, eager=True)
    return Parsed(
        plain.scatter(rows, odd.values),
        {rule: none.clone().scatter(rows, flags) for rule, flags in odd.repairs.items()},
        nothing.scatter(rows, odd.violations) if odd.violations is not None else None,
        open_ended=none.clone().scatter(rows, odd.open_ended) if odd.open_ended is not None else None,
    )


def _odd_dates(raw: pl.Series, column: Column) -> Parsed:
    iso = raw.str.contains(_ISO_DAY)
    trimmed = half_width(raw.str.replace_all(INVISIBLE, "").str.strip_chars(SPACE)).str.strip_chars_start(
        "'’`"
    )
    text, words = without_nulls(trimmed, "date")
    tight = text.str.replace_all("[\u2010-\u2015\u2212]", "-").str.replace_all(
        r"\s*([-/.年月])\s*|\s+(日)", "${1}${2}"
    )
    parts = _year_month_day(tight)
    serial = tight.str.extract(r"^([2-7][0-9]{4})(?:\.[0-9]+)?$", 1).cast(pl.Int32)
    counted = pl.select(pl.lit(_DAY_ZERO) + pl.duration(days=pl.lit(serial))).to_series().cast(pl.Date)
    written = parts.str.to_date("%Y-%m-%d", strict=False)
    days = where(written.is_not_null(), written, counted)
    year = parts.str.slice(0, 4).cast(pl.Int32, strict=False)
    far = ((year >= FAR_YEAR) | tight.is_in(_NO_END_WORDS)).fill_null(value=False)
    unknown = ((days <= NEAR_DATE) | (year == 0)).fill_null(value=False) & ~far
    values = where(~(far | unknown), days)
    refused = text.is_not_null() & values.is_null()
    if not column.required:
        refused &= ~(far | unknown)
    elif column.open_ended:
        refused &= ~far
    repairs = {"null_word": words, "date_sentinel": far | unknown, "date_format": values.is_not_null() & ~iso}
    return Parsed(
        values, repairs, where(refused, "date_unreadable"), open_ended=far if column.open_ended else None
    )


def _year_month_day(text: pl.Series) -> pl.Series:
    """Texts as YYYY-MM-DD by either form, not yet known to be days; null for others."""

    def joined(pattern: str) -> pl.Expr:
        groups = [pl.col("text").str.extract(pattern, group) for group in (1, 2, 3)]
        return pl.concat_str([groups[0], groups[1].str.zfill(2), groups[2].str.zfill(2)], separator="-")

    return text.to_frame("text").select(pl.coalesce(joined(_DATE_PARTS), joined(_DATE_DIGITS))).to_series()


def _each(text: pl.Series, read: Callable[[str], object | None], dtype: type[pl.DataType]) -> pl.Series:
    return pl.Series([None if item is None else read(item) for item in text], dtype=dtype, strict=False)


def _numeric(
    raw: pl.Series, simple: str, dtype: type[pl.DataType], convert: Callable[[Decimal], int | float | None]
) -> Parsed:
    """Plain numbers as a column, the others one by one."""
    text, words = without_nulls(raw.str.strip_chars(SPACE), "number")
    is_simple = raw.str.contains(simple)
    values = where(is_simple, raw).cast(dtype, strict=False)
    rest = (~is_simple & text.is_not_null()).arg_true()
    numbers = [
        None if (found := parse_number(item)) is None else convert(found) for item in text.gather(rest)
    ]
    values = values.scatter(rest, pl.Series(numbers, dtype=dtype))
    repairs = {"null_word": words, "number_format": ~is_simple & values.is_not_null()}
    return Parsed(values, repairs, where(text.is_not_null() & values.is_null(), "number_unreadable"))


def parse_integer(raw: pl.Series) -> Parsed:
    """Whole numbers."""

    def whole(number: Decimal) -> int | None:
        return int(number) if number == number.to_integral_value() and abs(number) <= MAX_NUMBER else None

    return _numeric(raw, r"^-?[0-9]{1,14}$", pl.Int64, whole)


def parse_decimal(raw: pl.Series) -> Parsed:
    """Numbers with a fraction, as double."""

    def fraction(number: Decimal) -> float | None:
        return float(number) if abs(number) <= MAX_NUMBER else None

    return _numeric(raw, r"^-?[0-9]{1,14}(?:\.[0-9]{1,15})?$", pl.Float64, fraction)


def parse_money(raw: pl.Series, unit: str, currencies: Collection[str]) -> Parsed:
    """Amounts in hundredths of the currency's main unit.

    A bare number below 10^15 fen goes through floating point: with at most as many decimals as the unit has,
    its error is below 0.23 fen, so rounding gives the exact integer. All else is decimal arithmetic.

    Args:
        unit: unit of a bare number, of `MONEY_UNITS`.
        currencies: codes an amount may name; another one makes it unreadable.
    """
    fen_per_unit = MONEY_UNITS[unit]
    whole, places = (9, 6) if unit == "wan_yuan" else (13, 2)
    text, words = without_nulls(raw.str.strip_chars(SPACE), "money")
    is_simple = raw.str.contains(rf"^-?[0-9]{{1,{whole}}}(?:\.[0-9]{{1,{places}}})?$")
    values = (where(is_simple, raw).cast(pl.Float64) * fen_per_unit).round(0).cast(pl.Int64)
    rest = (~is_simple & text.is_not_null()).arg_true()
    amounts = [parse_amount(item, fen_per_unit) for item in text.gather(rest)]
    rules = [
        item.rule or ("number_unreadable" if item.currency and item.currency not in currencies else None)
        for item in amounts
    ]
    fen = [None if rule else item.fen for item, rule in zip(amounts, rules, strict=True)]
    values = values.scatter(rest, pl.Series(fen, dtype=pl.Int64))
    nothing = pl.repeat(None, len(raw), dtype=pl.String, eager=True)
    named = pl.Series([item.currency for item in amounts], dtype=pl.String)
    return Parsed(
        values,
        {"null_word": words, "number_format": ~is_simple & values.is_not_null()},
        nothing.clone().scatter(rest, pl.Series(rules, dtype=pl.String)),
        currency=nothing.clone().scatter(rest, named),
    )


def plain_word(text: str) -> str:
    """A word of a code list made comparable."""
    folded = re.sub(r"[\s\u200b-\u200f\u2060\ufeff]", "", unicodedata.normalize("NFKC", text))
    return folded.lstrip("'’`").casefold()


def parse_boolean(raw: pl.Series) -> Parsed:
    """是 and 否 in their many spellings; GB lists write 1 for yes and 2 for no."""

    def read(text: str) -> bool | None:
        word = plain_word(text)
        return True if word in _TRUE else False if word in _FALSE else None

    return _coded(raw, _each(raw, read, pl.Boolean), "boolean")


def parse_category(raw: pl.Series, column: Column) -> Parsed:
    """One code of the column's list, from a code or a word of it; a listed word is never a null word."""
    codes = _code_words(column)
    return _coded(raw, _each(raw, lambda text: codes.get(plain_word(text)), pl.String), "category")


_PIECE_END = re.compile(r"([、,;/|+]|和(?=\S)|并处)")


def parse_categories(raw: pl.Series, column: Column) -> Parsed:
    """Several codes, sorted, distinct, joined by `|`.

    A word may itself hold a separator (没收违法所得、没收非法财物), so the longest run of pieces that is a
    word wins. A word ending in `-` (其他-) opens free text up to the next word.
    """
    codes = _code_words(column)
    longest = max(len(_PIECE_END.split(word)) for word in codes)
    openings = sorted((word for word in codes if word.endswith("-")), key=len, reverse=True)

    def read(text: str) -> str | None:
        pieces = _PIECE_END.split(plain_word(re.sub(r"\s+", "、", text.strip())))
        found: set[str] = set()
        place, is_free_text = 0, False
        while place < len(pieces):
            last = min(place + longest, len(pieces))
            runs = (("".join(pieces[place:end]), end) for end in range(last, place, -1))
            word, end = next(((run, end) for run, end in runs if run in codes), ("", place + 1))
            opening = next((item for item in openings if pieces[place].startswith(item)), None)
            is_separator = place % 2 == 1 or not pieces[place]
            if word:
                found.add(codes[word])
                is_free_text = word in openings
            elif opening is not None:
                found.add(codes[opening])
                is_free_text = True
            elif not is_separator and not is_free_text:
                return None
            place = end
        return "|".join(sorted(found)) or None

    return _coded(raw, _each(raw, read, pl.String), "categories")


def _code_words(column: Column) -> dict[str, str]:
    words = {plain_word(word): code for code, sources in column.codes.items() for word in sources}
    return {**{plain_word(code): code for code in column.codes}, **words}


def _coded(raw: pl.Series, values: pl.Series, column_type: str) -> Parsed:
    text = raw.str.strip_chars(SPACE)
    words = is_null_word(text, column_type) & values.is_null()
    return Parsed(
        values, {"null_word": words}, where(values.is_null() & ~words & (text != ""), "code_unknown")
    )
