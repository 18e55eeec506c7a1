"""Masks identity, mobile, landline and bank card numbers wherever text is about to be written.

Columns that must not be stored at all are dropped by the readers; this module covers what hides inside
other text. Identity numbers (GB 11643) are recognised by province, day of birth and check character, in any
script's digits, also split by single separators anywhere, also inside longer runs of digits;
411330********001X is what remains. Old ones of 15 digits have no check character: province and day of birth
decide. Mobile numbers: 138****0000; bank cards (Luhn): 622202*********1234.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date

import polars as pl

from credit_pipeline.feeds.codes import PROVINCES, is_organisation_code, is_reg_no

_SEPARATOR = r"[\s\-\u2010-\u2015\u2212_./·•\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
_OTHER_DIGIT = re.compile(r"(?![0-9])\d|[ＸｘΧχХх]")
_RUN = re.compile(rf"[0-9](?:{_SEPARATOR}{{0,2}}[0-9]){{16,}}(?:{_SEPARATOR}{{0,2}}[Xx])?")
_ID = re.compile(
    r"(?=([1-8][0-9]{5}(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]))"
)
_NO_AMOUNT = r"(?![0-9*]|\.[0-9]|\s*[元万亿])"
_OLD_ID = re.compile(
    rf"(?<![0-9])([1-8][0-9]{{5}}){_SEPARATOR}?([0-9]{{6}}){_SEPARATOR}?([0-9]{{3}}){_NO_AMOUNT}"
)
_CARD = re.compile(rf"(?<![0-9])([0-9]{{4}}(?:[ -]?[0-9]{{4}}){{3}}(?:[ -]?[0-9]{{1,3}})?){_NO_AMOUNT}")
_CARD_PREFIX = re.compile(r"62|60|68|69|9558|4|5[1-5]|35|9[4-9]")
_MOBILE = re.compile(
    rf"(?<![0-9])((?:\+?86{_SEPARATOR}?)?)(1[3-9][0-9])({_SEPARATOR}?)[0-9]{{4}}({_SEPARATOR}?)([0-9]{{4}}){_NO_AMOUNT}"
)
_LANDLINE = re.compile(
    r"(?<![0-9])(0[1-9][0-9]{1,2}[-—]|\(0[1-9][0-9]{1,2}\)[-—]?)[2-9][0-9]{2,3}([0-9]{4})(?![0-9-])"
)
_OLDEST_OLD_ID = 27
"""Numbers of 15 digits were given out until 1999; years below are dates of this century in ticket numbers."""
_LATEST_BIRTH_IN_CODES = "2012"
"""Ticket numbers may be region, today's date and a serial number: among codes nobody is born so late."""
_ANY_LONG_NUMBER = (
    r"(?:\d[\s\-\x{2010}-\x{2015}\x{2212}_./·•\x{ad}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{feff}]{0,2}){10}\d"
    r"|(?:^|\D)0\d{2,3}[-—)][-—]?\d{7}"
)
"""Every number meant here holds this; one cheap search rules out nearly all text."""
_TEN_DIGITS = re.compile(rf"(?:\d{_SEPARATOR}{{0,2}}){{10}}\d|(?:^|\D)0\d{{2,3}}[-—)][-—]?\d{{7}}")
_ID_IN_CODES = r"[1-8][0-9]{5}-?(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]-?[0-9]{3}[0-9Xx]"


def _ascii_digits(text: str) -> str:
    """The text with digits of other scripts, also full-width ones, as 0 to 9; every character keeps its place."""

    def plain(match: re.Match[str]) -> str:
        value = unicodedata.decimal(match[0], None)
        return "X" if value is None else str(value)

    return _OTHER_DIGIT.sub(plain, text)


def _is_day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _is_id(code: str) -> bool:
    """The same as `codes.is_personal_id`, for the few that come this far."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(code[:17]))
    born = _is_day(int(code[6:10]), int(code[10:12]), int(code[12:14]))
    return born and code[:2] in PROVINCES and "10X98765432"[total % 11] == code[17]


def _luhn(code: str) -> bool:
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(code))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _old_id_shape(region: str, birth: str) -> bool:
    year, month, day = int(birth[:2]), int(birth[2:4]), int(birth[4:])
    return region[:2] in PROVINCES and year >= _OLDEST_OLD_ID and _is_day(1900 + year, month, day)


_Spans = list[tuple[int, int, str]]
"""(start, end, what stands there instead), in order."""


def _identities(plain: str) -> _Spans:
    spans: _Spans = []
    for run in _RUN.finditer(plain):
        places = [place for place in range(run.start(), run.end()) if plain[place] in "0123456789Xx"]
        digits = "".join(plain[place] for place in places).upper()
        end = 0
        for match in _ID.finditer(digits):
            start, code = match.start(), match[1]
            if start >= end and _is_id(code):
                end = start + 18
                spans.append((places[start], places[end - 1] + 1, f"{code[:6]}********{code[14:]}"))
    return spans


def _others(plain: str) -> _Spans:
    """Old identity numbers, bank cards, mobile and landline numbers; one that begins inside another gives way."""
    spans: _Spans = []
    for match in _OLD_ID.finditer(plain):
        if _old_id_shape(match[1], match[2]):
            spans.append((match.start(), match.end(), f"{match[1]}******{match[3]}"))
    for match in _CARD.finditer(plain):
        code = re.sub(r"[ -]", "", match[1])
        if _CARD_PREFIX.match(code) and _luhn(code):
            spans.append((match.start(), match.end(), f"{code[:6]}{'*' * (len(code) - 10)}{code[-4:]}"))
    for match in _MOBILE.finditer(plain):
        spans.append((match.start(), match.end(), f"{match[1]}{match[2]}{match[3]}****{match[4]}{match[5]}"))
    for match in _LANDLINE.finditer(plain):
        spans.append((match.start(), match.end(), f"{match[1]}****{match[2]}"))
    spans.sort()
    kept: _Spans = []
    for span in spans:
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


def _replaced(text: str, spans: _Spans) -> str:
    end, parts = 0, []
    for start, stop, instead in spans:
        parts += [text[end:start], instead]
        end = stop
    return "".join([*parts, text[end:]])


def mask_text(text: str, *, mobiles: bool = True) -> str:
    """One string with identity numbers, and unless told otherwise the other numbers, masked.

    Without `mobiles` the text is a code: eleven digits may be a ticket number, and what would be a person
    born after 2012 one too. That a number also passes as an enterprise code does not save it: one identity
    number in 341 does.
    """
    if _TEN_DIGITS.search(text) is None:
        return text
    plain = _ascii_digits(text)
    spans = _identities(plain)
    if not mobiles:
        return _replaced(text, [span for span in spans if _stands_for_a_person(plain[span[0] : span[1]])])
    # What stands between identity numbers is looked at piece by piece: a mobile number may follow at once.
    end, parts = 0, []
    for start, stop, instead in [*spans, (len(text), len(text), "")]:
        parts += [_replaced(text[end:start], _others(plain[end:start])), instead]
        end = stop
    return "".join(parts)


def _stands_for_a_person(found: str) -> bool:
    return re.sub(r"[^0-9Xx]", "", found)[6:10] <= _LATEST_BIRTH_IN_CODES


def mask(values: pl.Series, *, mobiles: bool) -> pl.Series:
    """A text column with identity numbers, and on request the other numbers, masked.

    Args:
        values: text; null stays null. Without `mobiles` the values are codes: half-width, without spaces.
        mobiles: mask mobile, landline and bank card numbers and old identity numbers too (free text).
    """
    hits = (
        values.str.contains(_ANY_LONG_NUMBER if mobiles else _ID_IN_CODES).fill_null(value=False).arg_true()
    )
    if hits.is_empty():
        return values
    found = values.gather(hits)
    masked = pl.Series([mask_text(text, mobiles=mobiles) for text in found], dtype=pl.String)
    return values.clone().scatter(hits, masked)


def mask_old_ids(values: pl.Series) -> pl.Series:
    """Registration and tax numbers with old identity numbers masked: 15 digits that are a person's by province
    and day of birth, and whose own check digit (of the number or of the organisation code in it) is wrong."""
    shaped = values.str.contains(r"^[1-8][0-9]{14}$").fill_null(value=False).arg_true()
    if shaped.is_empty():
        return values
    found = values.gather(shaped)
    ours = is_reg_no(found) | is_organisation_code(found.str.slice(6))
    shaped, found = shaped.filter(~ours), found.filter(~ours)
    masked = [
        f"{text[:6]}******{text[12:]}" if _old_id_shape(text[:6], text[6:12]) else text for text in found
    ]
    return values.clone().scatter(shaped, pl.Series(masked, dtype=pl.String))
