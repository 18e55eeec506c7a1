"""Rows without a unified code: which pass, what is kept of the cell, and what never gets in."""

from __future__ import annotations

import itertools

import polars as pl
import pytest
from feeds_support import DAY, PERSON, Lake, make_uscc, penalty, registration, rows_of
from test_contracts import REGIONS, broken, check, fixed, register

from credit_pipeline.feeds.catalogue import get_feed, load_catalogue
from credit_pipeline.feeds.codes import is_reg_no, looks_like_old_personal_id
from credit_pipeline.feeds.contracts import Contract
from credit_pipeline.feeds.lake_schema import has_uscc_sent

REG_NO = "330203000030639"
MASKED = "914113******61427B"


@pytest.mark.parametrize(
    ("cell", "sent"),
    [
        (None, None),
        ("无", None),
        ("00000000000000000X", "00000000000000000X"),
        (REG_NO, REG_NO),
        ("３３０２０３０００030639", REG_NO),
        ("674737244", "674737244"),
        ("67473724-4", "674737244"),
        (MASKED, MASKED),
        ("914113●●●●●●61427B", MASKED),
        ("914113XXXXXX61427B", MASKED),
    ],
)
def test_a_row_with_a_name_passes_unidentified(cell: str | None, sent: str | None) -> None:
    """Prevents losing a row whose enterprise can still be found."""
    checked = check([penalty(2), penalty(1, CF_XDR_SHXYM=cell), penalty(3)])
    assert broken(checked) == []
    assert checked.accepted["uscc"].to_list() == [make_uscc(2), None, make_uscc(3)]
    assert checked.accepted["uscc_sent"].to_list() == [None, sent, None]


def test_what_is_left_must_name_somebody() -> None:
    """Prevents a row that nothing names from waiting for ever, and a readable code from being overlooked."""
    feed = get_feed("inspection_results")
    row: dict[str, str | None] = {
        "taskNO": "T1", "uniscid": None, "inspectDate": "2026-03-01", "scResult": "1", "itemCode": "F1",
    }  # fmt: skip
    for cell, rules in (
        (None, ["required_missing"]),
        ("00000000000000000X", ["required_missing"]),
        ("91****************", ["uscc_masked"]),
        (REG_NO, []),
        ("674737244", []),
        (MASKED, []),
    ):
        contract = Contract(feed, DAY, REGIONS, register())
        checked = contract.check(rows_of(feed, [row | {"uniscid": cell}]))
        assert [rule for _, rule, _ in broken(checked)] == rules, cell


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"CF_XDR_GSZC": REG_NO}, True),
        ({"CF_XDR_GSZC": "330203000030638"}, False),
        ({"CF_XDR_ZZJG": "67473724-4"}, True),
        ({"CF_XDR_ZZJG": "67473724-5"}, False),
        ({"CF_XDR_SWDJ": "330203674737244"}, True),
        ({"CF_XDR_SWDJ": make_uscc(1)}, True),
        ({"CF_XDR_SWDJ": "330203674737245"}, False),
    ],
)
def test_codes_of_other_columns_count_when_their_check_digit_is_right(
    changes: dict[str, str], passes: bool
) -> None:
    """Prevents a mistyped number from passing for an identity."""
    checked = check([penalty(1, CF_XDR_SHXYM=None, CF_XDR_MC=None, **changes)])
    rules = {(column, rule) for column, rule, _ in broken(checked)}
    # A penalty needs its party's name anyway.
    assert (("uscc", "required_missing") not in rules) == passes and (
        "party_name",
        "required_missing",
    ) in rules


def test_faults_that_are_no_gaps_still_refuse() -> None:
    """Prevents a wrong code from slipping by as if none had been sent."""
    for cell, rule in (
        ("91411330MA", "uscc_length"),
        ("91411330MA00000!X0", "uscc_characters"),
        ("4.11302E+14", "digits_lost"),
        ("330203000030638", "uscc_old_reg_no"),
        ("674737245", "uscc_length"),
    ):
        rules = [found for _, found, _ in broken(check([penalty(1, CF_XDR_SHXYM=cell)]))]
        assert rules == [rule], cell


def test_test_rows_stay_out() -> None:
    """Prevents a row typed to try a system from waiting for identification."""
    checked = check([penalty(1, CF_XDR_SHXYM=None, CF_XDR_MC="测试企业001")])
    assert [rule for _, rule, _ in broken(checked)] == ["test_row"]


def _doubtful_number() -> str:
    """A valid registration number that reads like a citizen's old number: born 1980-01-01."""
    for serial in itertools.count():
        heads = [f"411330800101{serial:02d}{check}" for check in range(10)]
        valid = is_reg_no(pl.Series(heads))
        if valid.any():
            return heads[valid.arg_true()[0]]
    raise AssertionError


def test_personal_numbers_never_pass() -> None:
    """Prevents a citizen's number, whole, old or half hidden, from reaching the lake in any column."""
    number = _doubtful_number()
    assert looks_like_old_personal_id(pl.Series([number]))[0]
    hidden = PERSON[:16] + "**"
    for cell in (PERSON, number, hidden, "**" + PERSON[2:], PERSON[:6] + "XXXXXXXX" + PERSON[14:]):
        checked = check([penalty(1, CF_XDR_SHXYM=cell, CF_XDR_MC="张三")])
        assert checked.accepted.is_empty(), cell
        shown = str(checked.quarantine.to_dicts())
        assert cell not in shown and PERSON[6:14] not in shown, cell
    known = register(numbers=(number,))
    checked = check([penalty(1, CF_XDR_SHXYM=number)], known=known)
    assert checked.accepted["uscc_sent"].to_list() == [number], "the register is the witness"


def test_the_lake_is_the_witness(lake: Lake) -> None:
    """Prevents a register that is asked for numbers it never read, and a lake without what was sent."""
    number = _doubtful_number()
    lake.put("registrations/r.csv", [registration(1, regno=number)])
    lake.ingest("registrations")
    rows = [penalty(1, CF_XDR_SHXYM=number), penalty(2, CF_XDR_SHXYM=MASKED), penalty(3)]
    lake.put("penalties/p.csv", rows)
    assert lake.ingest("penalties").accepted == 3
    found = {row["source_row"]: (row["uscc"], row["uscc_sent"]) for row in lake.rows("raw", "penalties")}
    assert found == {2: (None, number), 3: (None, MASKED), 4: (make_uscc(3), None)}


def test_natural_persons_are_refused_whatever_names_them() -> None:
    """Prevents persons from piling up in the review queue; with a unified code a trader may call itself so."""
    rows = [
        penalty(1, CF_XDR_LB="自然人", CF_XDR_SHXYM=None),
        penalty(2, CF_XDR_LB="自然人", CF_XDR_SHXYM=REG_NO),
        penalty(3, CF_XDR_LB="自然人"),
    ]
    checked = check(rows)
    assert [(row["row_number"], row["rule"]) for row in checked.quarantine.to_dicts()] == [
        (2, "natural_person"),
        (3, "natural_person"),
        (3, "uscc_old_reg_no"),
    ]
    assert checked.accepted["uscc"].to_list() == [make_uscc(3)]


def test_a_cleaned_code_is_logged_with_what_is_kept() -> None:
    """Prevents the log of repairs from saying that an organisation code was made empty."""
    checked = check([penalty(1, CF_XDR_SHXYM="67473724-4")])
    assert fixed(checked) == [("uscc", "spaces_or_hyphens", "674737244")]


def test_which_feeds_may_lack_the_code() -> None:
    """Prevents the register, or a decision about identities, from being identified by a name."""
    without = {feed.name for feed in load_catalogue().values() if feed.has_uscc and not has_uscc_sent(feed)}
    assert without == {"registrations", "identity_decisions"}


def test_case_numbers_in_round_brackets_are_no_repair() -> None:
    """Prevents every court case from being logged as mended: courts write （2025）豫…; the key is unified."""
    feed = get_feed("judgment_defaulters")
    row: dict[str, str | None] = {
        "案号": "（2025）豫1330执12号", "被执行人名称": "桐柏县第1商贸有限公司",
        "统一社会信用代码": make_uscc(1), "发布时间": "2026-03-01",
    }  # fmt: skip
    checked = Contract(feed, DAY, REGIONS, register()).check(rows_of(feed, [row]))
    assert checked.accepted["case_no"].to_list() == ["〔2025〕豫1330执12号"]
    assert fixed(checked) == [] and broken(checked) == []
