"""Identity and mobile numbers never get through."""

from __future__ import annotations

import polars as pl
import pytest
from feeds_support import MOBILE, PERSON, quick
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds.codes import classify_uscc, is_personal_id, is_uscc
from credit_pipeline.feeds.personal import mask, mask_old_ids, mask_text
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


def test_an_identity_number_that_passes_as_an_enterprise_code_is_a_person() -> None:
    """Prevents one person in 341 from being stored: the check digits of both codes can be right by chance."""
    heads = (f"4113301980010{serial:04d}" for serial in range(1000, 10_000))
    numbers = [
        head + "10X98765432"[sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(head)) % 11]
        for head in heads
    ]
    series = pl.Series(numbers)
    both = series.filter(is_uscc(series) & is_personal_id(series))
    assert len(both) > 3
    assert classify_uscc(both).unique().to_list() == ["personal_id_in_uscc"]
    assert mask(both, mobiles=False).str.contains("********", literal=True).all()
    assert mask_code_values(both).str.contains("********", literal=True).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4113 3019 8001 0100 15", MASKED),
        ("4-1-1-3-3-0-1-9-8-0-0-1-0-1-0-0-1-5", MASKED),
        ("4113\u200b30198001010015", MASKED),
        ("٤١١٣٣٠١٩٨٠٠١٠١٠٠١٥", MASKED),
        ("旧证411330800101001号", "旧证411330******001号"),
        ("卡号6222021234567890128", "卡号622202*********0128"),
        ("6222 0212 3456 7890 128", "622202*********0128"),
        ("0377-65212345", "0377-****2345"),
        ("１３８００１３８０００", "138****8000"),
        ("2026-03-01 2026-04-01 100", "2026-03-01 2026-04-01 100"),
        ("工单411330261031001", "工单411330261031001"),
        ("注册资本411330800101001元", "注册资本411330800101001元"),
    ],
)
def test_masks_in_disguise(text: str, expected: str) -> None:
    """Prevents a leak by another script, by groups of digits, or of an old number, a card, a landline."""
    assert mask_text(text) == expected


def test_old_numbers_among_registration_numbers() -> None:
    """Prevents a person's old number in a registration column from being stored, and a valid one masked."""
    values = pl.Series(["411330800101001", "330203000030639", "411330742183213", None])
    assert mask_old_ids(values).to_list() == ["411330******001", "330203000030639", "411330742183213", None]


def test_ticket_numbers_of_region_day_and_serial_stay() -> None:
    """Prevents tickets of one day from becoming one: among codes nobody is born today."""
    tickets = pl.Series([f"41133020261031{serial:04d}" for serial in range(200)])
    assert mask(tickets, mobiles=False).to_list() == tickets.to_list()
