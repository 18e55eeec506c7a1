"""Which rows may pass without a unified code, because something else is left that names their enterprise.

Here: what the sent cell is worth (an old registration number, an organisation code, a code with hidden
characters, a filler), what the other columns are worth, and natural persons. Which enterprise it is, is
decided in SQL as of the day (`dbt_project/macros/identity.sql`); a row that nobody identifies weighs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from credit_pipeline.feeds.cells import none_of, where
from credit_pipeline.feeds.codes import (
    is_organisation_code,
    is_reg_no,
    is_uscc,
    looks_like_old_personal_id,
    masked_personal_id,
)
from credit_pipeline.feeds.uscc_cells import Register, masked_code, parse_uscc

PARTY_NAMES = ("party_name", "enterprise_name")
PARTY_COLUMNS = (*PARTY_NAMES, "reg_no", "org_code", "tax_no")
"""Columns that name a row's enterprise besides its unified code; a feed has some, one or none of them."""
MASKED_FORM = r"^[0-9A-HJ-NPQRTUWXY*]{18}$"
VISIBLE_CHARACTERS = 8
"""Of a code with hidden characters that stands alone; fewer would fit whole counties."""


@dataclass(frozen=True)
class Unidentified:
    """Rows of a batch without a unified code, all series of the batch's length."""

    passing: pl.Series
    """Rows that something else names."""
    sent: pl.Series
    """Cleaned text of the cell of the passing rows, or null."""
    missing: pl.Series
    """Rows that nothing names; their cell was empty or held a filler."""
    persons: pl.Series
    """Rows of natural persons, who are none of this system's business."""


def read_unidentified(
    typed: dict[str, pl.Series], refusals: pl.DataFrame, register: Register
) -> Unidentified:
    """What becomes of the rows whose unified code is null; the others cost nothing.

    Args:
        typed: the batch's columns as values; a bad cell is null.
        refusals: (row, rule, value) of the cells of `uscc` that are no unified code, as sent.
        register: tells old registration numbers from citizens' old numbers, which look alike.
    """
    count = len(typed["uscc"])
    rows = typed["uscc"].is_null().arg_true().alias("row")
    if rows.is_empty():
        return Unidentified(none_of(count), _nothing(count), none_of(count), none_of(count))
    lacking = pl.DataFrame({"row": rows.cast(pl.UInt32)}).join(
        refusals.select("row", "rule", "value"), on="row", how="left", maintain_order="left"
    )
    rule = lacking["rule"]
    sent = parse_uscc(lacking["value"]).values
    sent = where(_is(rule, "uscc_masked"), masked_code(sent), sent)
    readable = _readable_cell(sent, rule, register)
    others = _named({name: typed[name].gather(rows) for name in PARTY_COLUMNS if name in typed}, len(rows))
    hidden = _is(rule, "uscc_masked") & ~masked_personal_id(sent)
    open_to_others = rule.is_null() | _is(rule, "uscc_placeholder") | hidden
    kinds = typed["party_kind"].gather(rows) if "party_kind" in typed else _nothing(len(rows))
    person = _is(kinds, "natural_person")
    passing = (readable | (open_to_others & others)) & ~person
    missing = (rule.is_null() | _is(rule, "uscc_placeholder")) & ~passing & ~person

    def spread(flags: pl.Series) -> pl.Series:
        return none_of(count).scatter(rows, flags)

    texts = _nothing(count).scatter(rows, where(passing, sent))
    return Unidentified(spread(passing), texts, spread(missing), spread(person))


def _is(values: pl.Series, value: str) -> pl.Series:
    return (values == value).fill_null(value=False)


def _nothing(count: int) -> pl.Series:
    return pl.repeat(None, count, dtype=pl.String, eager=True)


def _readable_cell(sent: pl.Series, rule: pl.Series, register: Register) -> pl.Series:
    """Which cells name an enterprise by themselves."""
    old = _is(rule, "uscc_old_reg_no") & is_reg_no(sent)
    doubtful = old & looks_like_old_personal_id(sent)
    if doubtful.any():
        # One registration number in 30 reads like a citizen's number of 15 digits: the register is the witness.
        old = old & (~doubtful | register.reg_nos(sent))
    visible = sent.str.replace_all("*", "", literal=True).str.len_chars()
    whole = sent.str.contains(MASKED_FORM) & (visible >= VISIBLE_CHARACTERS) & ~masked_personal_id(sent)
    masked = _is(rule, "uscc_masked") & whole.fill_null(value=False)
    return old | masked | _is(rule, "uscc_org_code")


def _named(typed: dict[str, pl.Series], count: int) -> pl.Series:
    """Which rows name their enterprise in another column."""
    named = none_of(count)
    for name in PARTY_NAMES:
        if name in typed:
            named = named | typed[name].is_not_null()
    if "reg_no" in typed:
        named = named | is_reg_no(typed["reg_no"]) | is_uscc(typed["reg_no"])
    if "org_code" in typed:
        plain = typed["org_code"].str.replace_all("-", "", literal=True).str.to_uppercase()
        named = named | is_organisation_code(plain) | is_uscc(plain)
    if "tax_no" in typed:
        upper = typed["tax_no"].str.to_uppercase()
        old = upper.str.contains(r"^[1-8][0-9]{5}[0-9A-Z]{9}$").fill_null(value=False)
        named = named | is_uscc(upper) | (old & is_organisation_code(upper.str.slice(6)))
    return named
