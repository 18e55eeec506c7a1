"""Reads unified social credit codes: cleaning, what is wrong with a bad one, and the repair of look-alike
characters.

A look-alike repair (O for 0, B for 8) is guessing unless something confirms it, so it needs three
witnesses: both check digits, and the register, in which the same name must belong to the repaired code.
Other types are in `cells`.
"""

from __future__ import annotations

from typing import Protocol

import polars as pl

from credit_pipeline.feeds.cells import Parsed, where
from credit_pipeline.feeds.codes import (
    classify_uscc,
    is_personal_id,
    is_uscc,
    lookalike_class,
    looks_like_personal_id,
    masked_personal_id,
)
from credit_pipeline.feeds.text_cells import clean_code


class Register(Protocol):
    """What is known of registered enterprises."""

    def __call__(self, names: pl.Series) -> pl.DataFrame:
        """Names, normalised by `name_key` → frame (uscc, name_key) of the codes that bear or bore such a
        name."""

    def reg_nos(self, numbers: pl.Series) -> pl.Series:
        """Which numbers are registration numbers of the register; null is none."""


_PLAIN_NAME = r"^[\x{4e00}-\x{9fff}0-9a-z]*$"
"""Names that are their own key: most of a register, and asking is 20 times cheaper than normalising."""
REPAIRABLE = ["uscc_characters", "uscc_check_digit"]


def parse_uscc(raw: pl.Series) -> Parsed:
    """Codes of enterprises; `violations` holds the rule of each bad one, whose cleaned text stays in
    `values`."""
    text, repairs = clean_code(raw, "uscc", hyphens=True)
    upper = text.str.to_uppercase()
    lower = (upper != text).fill_null(value=False)
    return Parsed(upper, {**repairs, "lower_case": lower}, classify_uscc(upper))


def name_key(names: pl.Series) -> pl.Series:
    """Names made comparable: half-width, without spaces, lower case."""
    odd = (~names.str.contains(_PLAIN_NAME)).fill_null(value=False).arg_true()
    if odd.is_empty():
        return names
    keys = names.gather(odd).str.normalize("NFKC").str.replace_all(r"\s+", "").str.to_lowercase()
    return names.clone().scatter(odd, keys)


def confusable_repairs(codes: pl.Series, names: pl.Series, register: Register) -> pl.Series:
    """The code that each bad one was meant to be, or null.

    Args:
        codes: cleaned bad codes; only those of 18 ASCII characters can be repaired.
        names: canonical name beside each code, or null.
        register: looked up with the candidates' names only.
    """
    frame = pl.DataFrame({"code": codes, "name_key": name_key(names)}).with_row_index("row")
    candidates = frame.filter(
        pl.col("code").str.contains(r"^[\x21-\x7e]{18}$")
        & pl.col("name_key").is_not_null()
        & (pl.col("name_key") != "")
    )
    if candidates.is_empty():
        return pl.repeat(None, len(codes), dtype=pl.String, eager=True)
    known = register(candidates["name_key"].unique()).select("uscc", "name_key").unique()
    known = known.filter(is_uscc(known["uscc"]))
    found = (
        candidates.with_columns(lookalike_class(candidates["code"]).alias("class"))
        .join(known.with_columns(lookalike_class(known["uscc"]).alias("class")), on=["name_key", "class"])
        .group_by("row")
        .agg(pl.col("uscc").first(), pl.len().alias("matches"))
        .filter(pl.col("matches") == 1)
    )
    return frame.join(found, on="row", how="left", maintain_order="left")["uscc"]


def masked_code(codes: pl.Series) -> pl.Series:
    """Cleaned codes with hidden characters, each of which is written as `*` (sources write ●, ?, # or X)."""
    stars = codes.str.replace_all(r"[?●•#]", "*")
    crossed = codes.str.contains(r"^[0-9]{4,}X{3,}").fill_null(value=False)
    return where(crossed, stars.str.replace_all("X", "*", literal=True), stars)


def mask_code_values(values: pl.Series) -> pl.Series:
    """What a bad code may show in quarantine: identity numbers, also mistyped ones and 15-digit ones, are
    masked."""
    plain = clean_code(values, "uscc", hyphens=True)[0].str.to_uppercase()
    person = (
        (looks_like_personal_id(plain) & ~is_uscc(plain))
        | is_personal_id(plain)
        | plain.str.contains(r"^[1-8][0-9]{7}[01][0-9][0-3][0-9]{4}$").fill_null(value=False)
        | masked_personal_id(masked_code(plain))
    )
    masked = plain.str.slice(0, 6) + "********" + plain.str.slice(-4)
    return pl.select(pl.when(person).then(masked).otherwise(values)).to_series()
