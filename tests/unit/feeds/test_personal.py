"""Identity and mobile numbers never get through."""

from __future__ import annotations

import polars as pl
import pytest
from feeds_support import MOBILE, PERSON, quick
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds.personal import mask, mask_text
from credit_pipeline.feeds.uscc_cells import mask_code_values

MASKED = "411330********0015"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PERSON, MASKED),
        (f"身份证{PERSON}，电话{MOBILE}", f"身份证{MASKED}，电话138****8000"),
        (f"1{PERSON}2", f"1{MASKED}2"),
        (PERSON + MOBILE, MASKED + "138****8000"),
        ("411330 19800101 0015", MASKED),
        ("４１１３３０１９８００１０１００１５", MASKED),
        ("+86 138-0013-8000", "+86 138-****-8000"),
        ("罚款13800138000元", "罚款13800138000元"),
        ("91411330MA40TE5TX8 2026-10-31", "91411330MA40TE5TX8 2026-10-31"),
    ],
)
def test_masks(text: str, expected: str) -> None:
    """Prevents a leak by width, spacing or neighbours; amounts and codes stay."""
    assert mask_text(text) == expected
    assert mask(pl.Series([None, text]), mobiles=True).to_list() == [None, expected]


@quick
@given(st.text("0123456789abcX-， 号", max_size=20), st.text("0123456789abcX-， 号", max_size=20))
def test_an_identity_number_never_survives(before: str, after: str) -> None:
    """Prevents a prefilter that overlooks a number the mask would find."""
    assert PERSON not in mask(pl.Series([before + PERSON + after]), mobiles=True)[0]


def test_codes_keep_eleven_digits() -> None:
    """Prevents a ticket number losing digits because it looks like a mobile number."""
    assert mask(pl.Series([MOBILE, PERSON]), mobiles=False).to_list() == [MOBILE, MASKED]


def test_a_mistyped_identity_number_among_codes_is_masked_too() -> None:
    """Prevents showing a person's number because its check character is wrong."""
    values = pl.Series([PERSON[:-1] + "9", "411330800101001", "91411330MA40TE5TX9"])
    assert mask_code_values(values).to_list() == [
        "411330********0019",
        "411330********1001",
        "91411330MA40TE5TX9",
    ]
