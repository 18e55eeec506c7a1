"""Check digits and the names of what is wrong with a code."""

from __future__ import annotations

import polars as pl
import pytest
import stdnum.cn.ric
import stdnum.cn.uscc
from feeds_support import ALPHABET, PERSON, make_uscc, quick
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds.codes import (
    classify_uscc,
    is_organisation_code,
    is_personal_id,
    is_reg_no,
    is_uscc,
    lookalike_class,
)

REAL = [
    "91330203674737244W",
    "91330212066604667N",
    "91330282L07196379D",
    "91320105780688132K",
    "92411282MAKGKCRJ71",
    "91230500MA1B3N1N2M",
    "11230500001755309F",
    "11370881004339597L",
    "1133022500296433XT",
    "91411330MA40TE5TX8",
    "91411300MA40TE5TXR",
    "91411303MA40TE5TX5",
]
OLD_NUMBERS = ["330203000030639", "330200400070010", "330200600002522", "110000000343473"]


def one(check: object, text: str) -> bool:
    return check(pl.Series([text]))[0]  # type: ignore[operator]


def test_codes_of_real_enterprises_pass() -> None:
    """Prevents refusing codes seen in public data."""
    assert is_uscc(pl.Series(REAL)).all()
    assert is_reg_no(pl.Series(OLD_NUMBERS)).all()
    assert is_organisation_code(pl.Series([code[8:17] for code in REAL])).all()
    assert classify_uscc(pl.Series(REAL)).null_count() == len(REAL)


@quick
@given(st.sampled_from(REAL), st.integers(0, 17), st.sampled_from(ALPHABET))
def test_any_single_wrong_character_is_found_as_the_oracle_finds_it(
    code: str, place: int, other: str
) -> None:
    """Prevents a weight or the outer mod 31 going wrong (python-stdnum is the oracle)."""
    changed = code[:place] + other + code[place + 1 :]
    mine = one(is_uscc, changed)
    assert mine == (changed == code)
    if mine:
        assert stdnum.cn.uscc.is_valid(changed)


@quick
@given(st.text(ALPHABET, min_size=17, max_size=17))
def test_check_digit_agrees_with_the_oracle(head: str) -> None:
    """Prevents accepting what python-stdnum refuses."""
    code = head + stdnum.cn.uscc.calc_check_digit(head)
    if one(is_uscc, code):
        assert stdnum.cn.uscc.is_valid(code)


@quick
@given(st.integers(0, 999_999))
def test_made_codes_pass(number: int) -> None:
    """Prevents a wrong body check: the codes of these tests are made digit by digit."""
    assert one(is_uscc, make_uscc(number))


@quick
@given(st.integers(0, 99_999), st.dates())
def test_identity_numbers_agree_with_the_oracle(serial: int, born: object) -> None:
    """Prevents a wrong GB 11643 weight or a day that does not exist passing."""
    head = f"411330{born:%Y%m%d}{serial % 1000:03d}"
    number = head + stdnum.cn.ric.calc_check_digit(head + "0")
    assert one(is_personal_id, number) == (1900 <= born.year < 2100)  # type: ignore[attr-defined]
    assert not one(is_personal_id, number[:-1] + ("0" if number[-1] != "0" else "1"))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("91411330MA40TE5TX", "uscc_length"),
        ("91411330MA40TE5TXV", "uscc_characters"),
        ("91411330MA40TE中TX8", "uscc_characters"),
        ("91411330MA40TE5TX9", "uscc_check_digit"),
        ("913302******61427B", "uscc_masked"),
        ("00000000000000000X", "uscc_placeholder"),
        ("000000000000000000", "uscc_placeholder"),
        ("123456789012345678", "uscc_placeholder"),
        ("330203000030639", "uscc_old_reg_no"),
        ("674737244", "uscc_org_code"),
        (PERSON, "personal_id_in_uscc"),
        ("9.14113E+17", "digits_lost"),
        ("914113001234567000", "digits_lost"),
        ("", "uscc_length"),
    ],
)
def test_what_is_wrong_has_a_name(text: str, rule: str) -> None:
    """Prevents a remedy that does not fit the fault."""
    assert classify_uscc(pl.Series([text])).to_list() == [rule]


def test_no_rows_and_nulls_are_fine() -> None:
    """Prevents a crash on an empty batch."""
    empty = pl.Series([], dtype=pl.String)
    assert is_uscc(empty).len() == 0 and lookalike_class(empty).len() == 0
    assert classify_uscc(pl.Series([None], dtype=pl.String)).to_list() == [None]
    assert is_uscc(pl.Series([None, REAL[0], None])).to_list() == [False, True, False]
