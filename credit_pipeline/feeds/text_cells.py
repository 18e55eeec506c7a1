"""Reads texts, names, codes, document numbers and regions. Enterprise codes are in `uscc_cells`, values in
`value_cells`."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from credit_pipeline.feeds.catalogue import Column
from credit_pipeline.feeds.cells import (
    ASCII_SPACE,
    DIGITS_LOST,
    FULL_WIDTH,
    INVISIBLE,
    INVISIBLE_CLASS,
    SPACE,
    SPACE_OR_INVISIBLE,
    Parsed,
    half_width,
    is_null_word,
    none_of,
    where,
    without_nulls,
)
from credit_pipeline.feeds.codes import PROVINCES
from credit_pipeline.feeds.personal import mask_old_ids

_APOSTROPHES = r"""^['’`´]+|^="|"$"""
"""What keeps a spreadsheet from reading a code as a number: a leading apostrophe, or ="…" around it."""
_DASHES = "[-\u2010-\u2015\u2212]"
_UNWANTED = rf"{SPACE_OR_INVISIBLE}+|{_APOSTROPHES}"
_ODD_DOCUMENT_NO = (
    rf"[\s\[\]【】()〈〉《》<>「」{{}}﹝﹞第'’`´{INVISIBLE_CLASS}\u{{ff01}}-\u{{ff5e}}]"
    r"|[^0-9]0+[0-9]+号|^0|〕0|^="
)
"""What a document number in canonical form does not have; only others are looked at closely."""


def _visible(raw: pl.Series) -> pl.Series:
    """Without control and zero-width characters, trimmed of every kind of space."""
    trimmed = raw.str.strip_chars(SPACE)
    if raw.str.contains(INVISIBLE).any():
        trimmed = trimmed.str.replace_all(INVISIBLE, "").str.strip_chars(SPACE)
    return trimmed


def parse_text(raw: pl.Series) -> Parsed:
    """Free text: invisible characters and outer white space go, nothing else changes."""
    text = _visible(raw)
    values, words = without_nulls(text, "text")
    is_plain = (text == raw).all()
    odd = none_of(len(raw)) if is_plain else (text != raw.str.strip_chars(ASCII_SPACE)) & values.is_not_null()
    return Parsed(values, {"null_word": words, "spaces_or_hyphens": odd})


def parse_name(raw: pl.Series) -> Parsed:
    """Names: （）in Chinese ones, () in others; no space beside a Chinese character, single ones
    elsewhere."""
    visible = _visible(raw)
    text, words = without_nulls(visible, "name")
    odd = text.str.contains(r"[()（）\s]").fill_null(value=False)
    values = text
    if odd.any():
        chinese = text.str.contains(r"\p{Han}").fill_null(value=False)
        full = (
            text.str.replace_many(["(", ")"], ["（", "）"])
            .str.replace_all(r"([\p{Han}（）])\s+", "${1}")
            .str.replace_all(r"\s+([\p{Han}（）])", "${1}")
        )
        half = text.str.replace_many(["（", "）"], ["(", ")"])
        values = where(chinese, full, half).str.replace_all(r"\s+", " ")
    outer = raw if (visible == raw).all() else raw.str.strip_chars(SPACE)
    changed = (values != text) | ((visible == outer) & (visible != raw))
    return Parsed(
        values,
        {
            "null_word": words,
            "spaces_or_hyphens": (visible != outer) & values.is_not_null(),
            "name_brackets": changed.fill_null(value=False) & values.is_not_null(),
        },
    )


def clean_code(raw: pl.Series, column_type: str, *, hyphens: bool) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Half-width code without spaces, leading apostrophe and, if asked, hyphens; and what each text
    needed."""
    trimmed = raw.str.strip_chars(SPACE)
    full = trimmed.str.contains(FULL_WIDTH)
    normal = half_width(trimmed)
    text, words = without_nulls(normal, column_type)
    unwanted = f"{_UNWANTED}|{_DASHES}" if hyphens else _UNWANTED
    spaced = (raw != trimmed) | trimmed.str.contains(unwanted)
    if normal is not trimmed:
        # Some signs become a space and a mark; a code must not depend on what stands in other rows.
        spaced |= normal.str.contains(unwanted)
    rows = spaced.fill_null(value=False).arg_true()
    if len(rows):
        bare = text.gather(rows).str.replace_all(unwanted, "")
        text = text.clone().scatter(rows, where(bare != "", bare))
    kept = text.is_not_null()
    return text, {"null_word": words, "full_width": full & kept, "spaces_or_hyphens": spaced & kept & ~words}


def parse_code(raw: pl.Series, column: Column) -> Parsed:
    """Numbers and identifiers that are compared, never computed with."""
    organisation = "组织机构代码" in column.label or "信用代码" in column.label
    text, repairs = clean_code(raw, column.type, hyphens=organisation)
    upper = text.str.to_uppercase()
    form = column.pattern or ("[0-9A-Z]+" if organisation else "[0-9A-Z]{18}")
    lower = ((upper != text) & upper.str.contains(f"^(?:{form})$")).fill_null(value=False)
    text = where(lower, upper, text)
    if column.type == "reg_no" or "税务" in column.label:
        text = mask_old_ids(text)
    filler = text.str.contains(r"^0{6,}[0X]$").fill_null(value=False)
    lost = text.str.contains(DIGITS_LOST).fill_null(value=False)
    return Parsed(
        where(~filler, text),
        {**repairs, "lower_case": lower, "placeholder_code": filler},
        where(lost, "digits_lost"),
    )


def parse_document_no(raw: pl.Series) -> Parsed:
    """Numbers of documents and cases: 〔2020〕, no 第, no leading zeros before 号."""
    rows = (raw.str.contains(_ODD_DOCUMENT_NO) | is_null_word(raw, "document_no")).arg_true()
    rules = ("null_word", "full_width", "spaces_or_hyphens", "document_no_format")
    values, repairs = raw.clone(), {rule: none_of(len(raw)) for rule in rules}
    if len(rows):
        part, part_repairs = _odd_document_no(raw.gather(rows))
        values = values.scatter(rows, part)
        repairs = {rule: flags.scatter(rows, part_repairs[rule]) for rule, flags in repairs.items()}
    return Parsed(values, repairs)


def _odd_document_no(raw: pl.Series) -> tuple[pl.Series, dict[str, pl.Series]]:
    trimmed = raw.str.strip_chars(SPACE)
    wide = trimmed.str.contains(r"[０-９Ａ-Ｚａ-ｚ]")
    text, words = without_nulls(half_width(trimmed), "document_no")
    bare = text.str.replace_all(_UNWANTED, "")
    values = (
        where(bare != "", bare)
        .str.replace_all(r"[\[【(〔{﹝<《〈「]((?:19|20)[0-9]{2})年?[\]】)〕}﹞>》〉」]", "〔${1}〕")
        .str.replace_all(r"第0*([0-9]+)", "${1}")
        .str.replace_all(r"(^|[^0-9])0+([0-9]+)号", "${1}${2}号")
        .str.replace_all(r"〕0+([0-9]+)$", "〕${1}")
    )
    sent = trimmed.str.replace_all(_UNWANTED, "")
    sent = where(wide, _half_width_alphanumeric(sent), sent)
    kept = values.is_not_null()
    return values, {
        "null_word": words,
        "full_width": wide & kept,
        "spaces_or_hyphens": ((raw != trimmed) | trimmed.str.contains(_UNWANTED)) & kept,
        "document_no_format": (values != sent).fill_null(value=False) & kept,
    }


def _half_width_alphanumeric(text: pl.Series) -> pl.Series:
    plain = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return text.str.replace_many([chr(ord(character) + 0xFEE0) for character in plain], list(plain))


def parse_region(raw: pl.Series, regions: Mapping[str, str]) -> Parsed:
    """Six-digit region codes; of the city only listed ones, elsewhere any that GB/T 2260 could hold.

    Args:
        regions: the city's codes and their Chinese names → code. Codes of 9 or 12 digits (townships,
            villages) count by their first six.
    """
    text, repairs = clean_code(raw, "region", hyphens=False)
    long = text.str.contains(r"^[0-9]{6}(?:[0-9]{3}|[0-9]{6})$").fill_null(value=False)
    code = where(long, text.str.slice(0, 6), text)
    listed = code.replace_strict(dict(regions), default=None, return_dtype=pl.String)
    elsewhere = (
        code.str.contains(r"^[0-9]{2}(?:[0-6][0-9]|70|90)[0-9]{2}$")
        & code.str.slice(0, 2).is_in(sorted(PROVINCES))
        & ~code.str.slice(0, 4).is_in(sorted({known[:4] for known in regions.values()}))
    )
    values = where(listed.is_not_null(), listed, where(elsewhere.fill_null(value=False), code))
    return Parsed(values, repairs, where(text.is_not_null() & values.is_null(), "region_unknown"))
