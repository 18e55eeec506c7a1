"""Codes of the synthetic city are checked against an independent implementation (python-stdnum)."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.cn import ric, uscc
from stdnum.iso7064 import mod_11_10

from credit_pipeline.sample.codes import make_person_ids, make_reg_nos, make_usccs, passes_uscc_check

quick = settings(derandomize=True, deadline=None, database=None)
serials = st.lists(st.integers(0, 99_999_999), min_size=1, max_size=30, unique=True)


@quick
@given(serials, st.sampled_from([91, 92, 93, 11]), st.booleans())
def test_usccs_pass_both_checks_and_are_distinct(numbers: list[int], head: int, lettered: bool) -> None:
    """Prevents clean codes that the pipeline rightly refuses, and two enterprises of one code."""
    rows = len(numbers)
    codes = make_usccs(np.full(rows, head), np.full(rows, 411330), np.array(numbers), np.full(rows, lettered))
    assert codes.n_unique() == rows
    for code in codes:
        assert uscc.is_valid(code)
        assert passes_uscc_check(code)
        body = sum(int(c, 36) * w for c, w in zip(code[8:16], (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
        assert code[16] == {10: "X", 11: "0"}.get(11 - body % 11, str(11 - body % 11))


@quick
@given(serials)
def test_registration_numbers_pass_iso_7064(numbers: list[int]) -> None:
    """Prevents old registration numbers that no reader recognises as such."""
    for code in make_reg_nos(np.full(len(numbers), 411302), np.array(numbers)):
        assert len(code) == 15
        assert mod_11_10.is_valid(code)


@quick
@given(st.lists(st.integers(-20_000, 15_000), min_size=1, max_size=30))
def test_personal_numbers_are_valid_and_nobodys(days: list[int]) -> None:
    """Prevents identity numbers that a reader would not mask, and such as could belong to somebody."""
    for number in make_person_ids(np.array(days)):
        assert ric.calc_check_digit(number) == number[-1]
        assert ric.get_birth_date(number)
        assert number[14:17] == "000"
