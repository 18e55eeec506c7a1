"""Amounts and numbers as Chinese authorities write them, one text at a time and exact (no floating point).

Called for distinct values that are not plain numbers; whole columns are `cells`' business.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

_CURRENCIES = {
    "人民币": "CNY", "rmb": "CNY", "cny": "CNY", "￥": "CNY", "¥": "CNY",
    "美元": "USD", "美金": "USD", "usd": "USD", "us$": "USD", "$": "USD",
    "港元": "HKD", "港币": "HKD", "香港元": "HKD", "hkd": "HKD", "hk$": "HKD",
    "日元": "JPY", "日圆": "JPY", "jpy": "JPY",
    "欧元": "EUR", "eur": "EUR", "€": "EUR",
    "英镑": "GBP", "gbp": "GBP", "韩元": "KRW", "韩国元": "KRW", "新台币": "TWD", "台币": "TWD",
    "澳门元": "MOP", "加拿大元": "CAD", "加元": "CAD", "澳大利亚元": "AUD", "澳元": "AUD",
    "新加坡元": "SGD", "瑞士法郎": "CHF",
}  # fmt: skip
_MAGNITUDES = {
    "亿": 10**8,
    "千万": 10**7,
    "百万": 10**6,
    "十万": 10**5,
    "万": 10**4,
    "千": 1000,
    "百": 100,
    "": 1,
}
_DIGITS = {
    **{character: value for value, character in enumerate("零一二三四五六七八九")},
    **{character: value for value, character in enumerate("〇壹贰叁肆伍陆柒捌玖")},
    "两": 2,
}
_TENS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
NUMERAL_CHARACTERS = "".join([*_DIGITS, *_TENS, "万萬亿"])

_WORDS = "|".join(sorted((re.escape(word) for word in _CURRENCIES), key=len, reverse=True))
_AMOUNT = re.compile(
    rf"(?P<before>{_WORDS})?"
    rf"(?P<number>[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?|[{NUMERAL_CHARACTERS}]+?)"
    r"\(?(?P<magnitude>亿|千万|百万|十万|万|千|百)?"
    rf"(?P<unit>元|圆)?(?P<currency>{_WORDS})?(?P<unit_after>元|圆)?(?:整|正)?\)?"
)
_PLAIN = re.compile(r"[+-]?\d[\d,]*(?:\.\d*)?(?:e[+-]?\d+)?|[+-]?\.\d+")
_TRAILING_WORD = re.compile(r"(人|名|个|年|次|岁|户|家|%|份)$")
MAX_FEN = 10**16
"""One hundred trillion yuan, twice the largest balance sheet of the country; identity numbers typed into a column
of amounts are larger, the old ones of 15 digits too."""
MAX_NUMBER = 10**14
"""No count is larger; identity numbers are."""


@dataclass(frozen=True)
class Amount:
    """What an amount text means: hundredths of the currency's main unit, or the rule it breaks."""

    fen: int | None
    currency: str | None = None
    """Three-letter code when the text names a currency, also ones no code list knows."""
    rule: str | None = None


def plain(text: str) -> str:
    """Half-width, lower case, without white space, leading apostrophe and full-width signs."""
    return (
        re.sub(r"[\s\u200b-\u200f\u2060\ufeff]", "", unicodedata.normalize("NFKC", text))
        .lstrip("'’`")
        .lower()
    )


def chinese_numeral(text: str) -> int | None:
    """Value of 贰万五千 and the like; None when it is no numeral."""
    total = section = digit = 0
    seen_digit = False
    for character in text:
        if character in _DIGITS:
            digit, seen_digit = _DIGITS[character], True
        elif character in _TENS:
            section += (digit if seen_digit else 1) * _TENS[character]
            digit, seen_digit = 0, False
        elif character in "万萬":
            total += (section + digit) * 10**4
            section, digit, seen_digit = 0, 0, False
        elif character == "亿":
            total = (total + section + digit) * 10**8
            section, digit, seen_digit = 0, 0, False
        else:
            return None
    value = total + section + digit
    return value if value or set(text) <= set("零〇") else None


def _decimal(text: str) -> Decimal | None:
    """A number with any thousands separators; `5,000000` (scale 6 behind a comma) is five.

    Groups of three are thousands. A single comma before exactly six digits is the decimal sign of N(18,6)
    columns, the type of every amount in 万元: read as thousands it would be a million times as much.
    """
    if re.fullmatch(r"[+-]?\d{1,12},\d{6}", text):
        text = text.replace(",", ".")
    try:
        return Decimal(text.replace(",", ""))
    except ArithmeticError:
        return None


def _digits_lost(text: str) -> bool:
    """A spreadsheet shows large numbers with six digits: 1.23457E+08 has lost the rest."""
    mantissa, _, exponent = text.partition("e")
    return bool(exponent) and int(exponent) > 0 and len(re.sub(r"\D", "", mantissa)) >= 6


def parse_amount(text: str, fen_per_unit: int) -> Amount:
    """Read an amount; a unit in the text wins over `fen_per_unit`, the unit of a bare number.

    Fractions of a fen are rounded half up.
    """
    cleaned = plain(text)
    match = _AMOUNT.fullmatch(cleaned)
    if match is None:
        return Amount(None, rule="number_unreadable")
    number = match["number"]
    if number[0] in NUMERAL_CHARACTERS:
        numeral = chinese_numeral(number)
        value = None if numeral is None else Decimal(numeral)
    else:
        if _digits_lost(number):
            return Amount(None, rule="digits_lost")
        value = _decimal(number)
    if value is None:
        return Amount(None, rule="number_unreadable")
    word = match["before"] or match["currency"]
    names_unit = (
        match["magnitude"] or match["unit"] or match["unit_after"] or (word or "").endswith(("元", "圆"))
    )
    factor = _MAGNITUDES[match["magnitude"] or ""] * 100 if names_unit else fen_per_unit
    fen = int((value * factor).to_integral_value(ROUND_HALF_UP))
    if abs(fen) > MAX_FEN:
        return Amount(None, rule="number_out_of_range")
    return Amount(fen, _CURRENCIES[word] if word else None)


def parse_number(text: str) -> Decimal | None:
    """Read a number with separators, signs and a counting word (35人, 12.5%); None when it is none."""
    cleaned = _TRAILING_WORD.sub("", plain(text))
    if _PLAIN.fullmatch(cleaned) is None or _digits_lost(cleaned):
        return None
    return _decimal(cleaned)


def unit_of_words(text: str) -> int | None:
    """Fen per unit of words such as 万元, 元, 亿元 in a header or a unit line; None when there is no unit
    in them."""
    match = re.search(
        r"(亿|千万|百万|十万|万|千|百)?(?:人民币|美元|港元|港币|日元|欧元)?(元|圆)|(亿|万)", plain(text)
    )
    if match is None:
        return None
    return _MAGNITUDES[match[1] or match[3] or ""] * 100


def amounts_in_text(text: str, keyword: str) -> list[int]:
    """Fen of every amount that a sentence connects with the keyword: 罚款2000元, 处2000元罚款,
    罚款人民币贰仟元."""
    number = rf"(?:{_WORDS})?((?:\d[\d,]*(?:\.\d+)?|[{NUMERAL_CHARACTERS}]+)(?:亿|万|千|百)?元)"
    link = "[的为计处共合金额:了]{0,6}"
    cleaned = plain(text).replace("，", ",")
    found = re.findall(rf"{keyword}{link}{number}", cleaned) + re.findall(
        rf"{number}(?:整)?(?:的)?{keyword}", cleaned
    )
    amounts = [parse_amount(item, 100).fen for item in found]
    return list(dict.fromkeys(fen for fen in amounts if fen is not None))
