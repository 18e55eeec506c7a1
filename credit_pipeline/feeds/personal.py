"""Masks identity and mobile numbers wherever text is about to be written.

Columns that must not be stored at all are dropped by the readers; this module covers what hides inside
other text. Identity numbers (GB 11643) are recognised by province, day of birth and check character, in any
width, also split by single spaces or hyphens, also inside longer runs of digits; 411330********001X is what
remains. Mobile numbers: 138****0000.
"""

from __future__ import annotations

import re
import unicodedata

import polars as pl

from credit_pipeline.feeds.codes import is_personal_id, is_uscc

_ID = re.compile(r"(?=(\d{6}[\s-]?\d{8}[\s-]?\d{3}[\dXxＸｘ]))")
_MOBILE = re.compile(
    r"(?<!\d)((?:\+?86[\s-]?)?)(1[3-9]\d)([\s-]?)\d{4}([\s-]?)(\d{4})(?!\d|\.\d|\s*[元万亿])"
)
_SEVEN_DIGITS = re.compile(r"\d{3}[\s-]?\d{4}")
_ANY_LONG_NUMBER = r"\d{3}[\s-]?\d{4}[\s-]?\d{4}"
"""Every identity and mobile number holds this; one cheap search rules out nearly all text."""
_ID_IN_CODES = r"[1-8][0-9]{5}-?(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]-?[0-9]{3}[0-9Xx]"


def _plain(text: str) -> str:
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", text)).upper()


def _mask_mobiles(text: str) -> str:
    return _MOBILE.sub(r"\1\2\3****\4\5", text)


def mask_text(text: str, *, mobiles: bool = True) -> str:
    """One string with identity numbers, and unless told otherwise mobile numbers, masked."""
    if _SEVEN_DIGITS.search(text) is None:
        return text
    clean = _mask_mobiles if mobiles else str
    found = [(match.start(1), match.group(1)) for match in _ID.finditer(text)]
    if not found:
        return clean(text)
    codes = pl.Series([_plain(item) for _, item in found], dtype=pl.String)
    hits = is_personal_id(codes) & ~is_uscc(codes)
    end, parts = 0, []
    for (start, item), code, hit in zip(found, codes, hits, strict=True):
        if hit and start >= end:
            parts += [clean(text[end:start]), code[:6], "********", code[14:]]
            end = start + len(item)
    return "".join([*parts, clean(text[end:])])


def mask(values: pl.Series, *, mobiles: bool) -> pl.Series:
    """A text column with identity numbers, and on request mobile numbers, masked.

    Args:
        values: text; null stays null. Without `mobiles` the values are codes: half-width, without spaces.
        mobiles: mask mobile numbers too (free text); in code columns eleven digits may be a ticket number.
    """
    hits = (
        values.str.contains(_ANY_LONG_NUMBER if mobiles else _ID_IN_CODES).fill_null(value=False).arg_true()
    )
    if hits.is_empty():
        return values
    found = values.gather(hits)
    masked = pl.Series([mask_text(text, mobiles=mobiles) for text in found], dtype=pl.String)
    return values.clone().scatter(hits, masked)
