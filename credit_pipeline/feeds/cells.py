"""What all readers of cells share: kinds of white space, words for nothing, and the shape of an answer.

Readers of cells (`text_cells`, `value_cells`, `uscc_cells`) take the distinct, non-null texts of one column
and answer in the same order, so that a text that stands in a million rows is read once. Rules across
columns and the final checks are in `contracts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

ASCII_SPACE = " \t\r\n\x0b\x0c"
SPACE = (
    ASCII_SPACE
    + "\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000"
    + "".join(map(chr, range(0x2000, 0x200B)))
)
INVISIBLE_CLASS = (
    r"\x00-\x08\x0e-\x1f\x7f\u{ad}\u{200b}-\u{200f}\u{202a}-\u{202e}"
    r"\u{2060}-\u{2064}\u{fe00}-\u{fe0f}\u{feff}"
)
INVISIBLE = f"[{INVISIBLE_CLASS}]"
"""Control, zero-width and direction characters: no content, and U+001F separates values in row hashes."""
SPACE_OR_INVISIBLE = rf"[\s{INVISIBLE_CLASS}]"
FULL_WIDTH = r"[\u{ff01}-\u{ff5e}\u{ffe5}]"
DIGITS_LOST = r"^[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{1,2}$|^[0-9]\.[0-9]+[Ee][0-9]{1,2}$"
"""Scientific notation of spreadsheets: 4.11302E+14."""
NULL_WORDS = frozenset(
    R"\n 暂无 无 - -- — —— / // null (null) [null] n/a #n/a none nan 空".split(" ")  # noqa: SIM905 - 17 lines as a list
)
"""Case-folded, half-width words that stand for nothing."""
_ZERO_IS_NULL = frozenset({"date", "code", "reg_no", "uscc", "document_no", "region"})


@dataclass
class Parsed:
    """Values of one column for distinct texts, all series of one length."""

    values: pl.Series
    repairs: dict[str, pl.Series] = field(default_factory=dict)
    """Rule → which texts it repaired."""
    violations: pl.Series | None = None
    """Rule each text breaks, or null."""
    open_ended: pl.Series | None = None
    """For open-ended dates: which texts mean that there is no end."""
    currency: pl.Series | None = None
    """For amounts: the currency a text names, or null."""


def none_of(count: int) -> pl.Series:
    """Flags that are all false."""
    return pl.repeat(False, count, dtype=pl.Boolean, eager=True)


def where(condition: pl.Series, then: pl.Series | str, otherwise: pl.Series | None = None) -> pl.Series:
    """`then` where the condition holds, else `otherwise` or null."""
    chosen = pl.when(condition).then(pl.lit(then) if isinstance(then, str) else then)
    return pl.select(chosen if otherwise is None else chosen.otherwise(otherwise)).to_series()


def is_null_word(text: pl.Series, column_type: str) -> pl.Series:
    """Which trimmed texts stand for nothing in a column of that type; 0 does for dates and codes."""
    zero = column_type in _ZERO_IS_NULL
    flags = (text == "0").fill_null(value=False) if zero else none_of(len(text))
    # No word holds a digit, so most cells of numbers, codes and dates need not be folded.
    rows = ((text.str.len_bytes() <= 12) & ~text.str.contains("[0-9]")).fill_null(value=False).arg_true()
    if len(rows):
        folded = text.gather(rows).str.normalize("NFKC").str.to_lowercase()
        hits = rows.filter(folded.is_in([*NULL_WORDS, *(["0"] if zero else [])]))
        flags = flags.scatter(hits, True)
    return flags


def without_nulls(text: pl.Series, column_type: str) -> tuple[pl.Series, pl.Series]:
    """Texts with null words and emptiness made null, and which were null words."""
    words = is_null_word(text, column_type)
    kept = ~words & (text != "")
    return text if kept.all() else where(kept, text), words


def half_width(text: pl.Series) -> pl.Series:
    """NFKC of the texts that are not ASCII."""
    other = (text.str.len_bytes() != text.str.len_chars()).fill_null(value=False).arg_true()
    return text.clone().scatter(other, text.gather(other).str.normalize("NFKC")) if len(other) else text
