"""The contract of a feed: each rule refuses, each repair is recorded, and nothing else happens."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest
from feeds_support import DAY, MOBILE, PERSON, make_uscc, penalty, quick, registration, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.feeds.catalogue import get_feed, load_catalogue
from credit_pipeline.feeds.contract_schema import build_schema
from credit_pipeline.feeds.contracts import Checked, Contract
from credit_pipeline.feeds.headers import column_of
from credit_pipeline.feeds.lake_schema import has_uscc_sent, lake_schema, value_fields
from credit_pipeline.feeds.rules import QUARANTINE_RULES, REPAIR_RULES
from credit_pipeline.feeds.uscc_cells import name_key

REGIONS = {"411330": "411330"}
SCHEMAS = {name: build_schema(get_feed(name), DAY) for name in ("penalties", "registrations")}


class register:
    """A register of pairs (code, name) that knows the given old registration numbers."""

    def __init__(self, *pairs: tuple[str, str], numbers: tuple[str, ...] = ()) -> None:
        known = pl.DataFrame(
            {"uscc": [p[0] for p in pairs], "name": [p[1] for p in pairs]},
            schema={"uscc": pl.String, "name": pl.String},
        )
        self.keyed = known.select("uscc", name_key(known["name"]).alias("name_key"))
        self.numbers = list(numbers)

    def __call__(self, names: pl.Series) -> pl.DataFrame:
        return self.keyed.filter(pl.col("name_key").is_in(names.implode()))

    def reg_nos(self, numbers: pl.Series) -> pl.Series:
        return numbers.is_in(self.numbers).fill_null(value=False)


def check(rows: list[dict[str, str | None]], feed: str = "penalties", known: object = None) -> Checked:
    contract = Contract(get_feed(feed), DAY, REGIONS, known or register(), SCHEMAS.get(feed))  # type: ignore[arg-type]
    return contract.check(rows_of(get_feed(feed), rows))


def broken(checked: Checked) -> list[tuple[str | None, str, str | None]]:
    return list(checked.quarantine.select("column", "rule", "value").iter_rows())


def fixed(checked: Checked) -> list[tuple[str, str, str | None]]:
    return list(checked.repairs.select("column", "rule", "repaired").iter_rows())


def test_a_good_row_passes_untouched() -> None:
    """Prevents refusing or repairing what is right."""
    checked = check([penalty(1)])
    assert checked.accepted.height == 1 and broken(checked) == [] and fixed(checked) == []
    row = checked.accepted.row(0, named=True)
    assert (row["fine_fen"], row["decision_date"], row["penalty_kinds"]) == (
        200_000,
        date(2026, 3, 1),
        "fine",
    )
    assert row["valid_to_is_open_ended"] is False and row["source_row"] == 2


@pytest.mark.parametrize(
    ("changes", "column", "rule"),
    [
        ({"CF_NR": "无"}, "penalty_content", "required_missing"),
        ({"CF_XDR_SHXYM": "91411330MA"}, "uscc", "uscc_length"),
        ({"CF_XDR_SHXYM": "91411330MA00000!X0"}, "uscc", "uscc_characters"),
        ({"CF_XDR_SHXYM": make_uscc(1)[:-1] + "?"}, "uscc", "uscc_characters"),
        ({"CF_XDR_SHXYM": "110000000343474"}, "uscc", "uscc_old_reg_no"),
        ({"CF_XDR_SHXYM": "674737245"}, "uscc", "uscc_length"),
        ({"CF_XDR_SHXYM": "411330********0015"}, "uscc", "uscc_masked"),
        ({"CF_XDR_SHXYM": PERSON}, "uscc", "personal_id_in_uscc"),
        ({"CF_XDR_SHXYM": None, "CF_XDR_LB": "自然人"}, "party_kind", "natural_person"),
        ({"CF_XDR_SHXYM": "9.14113E+17"}, "uscc", "digits_lost"),
        ({"CF_JDRQ": "2026-02-30"}, "decision_date", "date_unreadable"),
        ({"CF_JDRQ": "2099-12-31"}, "decision_date", "date_unreadable"),
        ({"CF_JDRQ": "2026-11-01", "CF_YXQ": None}, "decision_date", "date_in_future"),
        ({"CF_NR_FK": "详见附件"}, "fine_fen", "number_unreadable"),
        ({"CF_NR_FK": "-1"}, "fine_fen", "number_out_of_range"),
        ({"CF_NR_FK": "999999999999"}, "fine_fen", "number_out_of_range"),
        ({"CF_NR_FK": "5(万美元)"}, "fine_fen", "number_unreadable"),
        ({"CF_CFLB": "未知类别"}, "penalty_kinds", "code_unknown"),
        ({"CF_ZT": "3"}, "record_status", "code_unknown"),
        ({"CF_WSH": "号" * 129}, "document_no", "too_long"),
        ({"CF_XDR_MC": "测试企业001"}, "party_name", "test_row"),
        ({"CF_GSJZQ": "2020-01-01"}, "publication_end_date", "period_reversed"),
        ({"CF_CFLB": "普通", "CF_NR": "准予许可"}, None, "foreign_row"),
        ({"XK_WSH": "许可1号", "CF_CFLB": None}, None, "foreign_row"),
    ],
)
def test_rules(changes: dict[str, str | None], column: str | None, rule: str) -> None:
    """Prevents a rule that does not bite, or that bites a neighbouring row."""
    checked = check([penalty(2), penalty(1, **changes), penalty(3)])
    assert [(name, found) for name, found, _ in broken(checked)] == [(column, rule)]
    assert checked.accepted["source_row"].to_list() == [2, 4] and checked.quarantined == 1
    [row] = checked.quarantine.to_dicts()
    assert row["row_number"] == 3 and row["remedy"] and row["row_text"].startswith('{"CF_XDR_MC":')
    assert (row["label"] is None) == (column is None) and rule in QUARANTINE_RULES
    assert PERSON not in str(row)


def test_other_rules_of_the_register() -> None:
    """Prevents rules that penalties do not have (region, pattern, sign of capital) going untested."""
    rows = [
        registration(1, domdistrict="411399"),
        registration(2, township="41133"),
        registration(3, regcap="-5"),
        registration(4, name="x" * 101),
    ]
    found = check(rows, "registrations")
    assert [(column, rule) for column, rule, _ in broken(found)] == [
        ("region", "region_unknown"),
        ("township", "pattern"),
        ("registered_capital_fen", "number_out_of_range"),
        ("legal_representative", "too_long"),
    ]


def test_several_faults_are_several_entries_and_one_row() -> None:
    """Prevents the sender mending one fault at a time, and a row counted twice."""
    checked = check([penalty(1, CF_XDR_SHXYM="1", CF_JDRQ="x", CF_NR=None)])
    assert {rule for _, rule, _ in broken(checked)} == {"uscc_length", "date_unreadable", "required_missing"}
    assert checked.quarantined == 1 and checked.accepted.is_empty() and checked.repairs.is_empty()


@pytest.mark.parametrize(
    ("changes", "column", "rule", "stored"),
    [
        ({"CF_XDR_SHXYM": "９１" + make_uscc(1)[2:]}, "uscc", "full_width", make_uscc(1)),
        ({"CF_XDR_SHXYM": f"'{make_uscc(1)}"}, "uscc", "spaces_or_hyphens", make_uscc(1)),
        (
            {"CF_XDR_SHXYM": make_uscc(1)[:8] + "-" + make_uscc(1)[8:]},
            "uscc",
            "spaces_or_hyphens",
            make_uscc(1),
        ),
        (
            {"CF_XDR_SHXYM": make_uscc(1)[:8] + "\u200b" + make_uscc(1)[8:]},
            "uscc",
            "spaces_or_hyphens",
            make_uscc(1),
        ),
        ({"CF_XDR_SHXYM": make_uscc(1).lower()}, "uscc", "lower_case", make_uscc(1)),
        ({"CF_JDRQ": "2026年3月1日"}, "decision_date", "date_format", "2026-03-01"),
        ({"CF_YXQ": "长期"}, "valid_to", "date_sentinel", None),
        ({"BZ": "\\N"}, "remark", "null_word", None),
        ({"CF_NR_FK": "2000"}, "fine_fen", "unit_mismatch", "200000"),
        ({"CF_NR_FK": "0.00002"}, "fine_fen", "unit_mismatch", "200000"),
        ({"CF_NR_FK": "2,000.00元"}, "fine_fen", "number_format", "200000"),
        ({"CF_WSH": "桐市监罚[2026]第001号"}, "document_no", "document_no_format", "桐市监罚〔2026〕1号"),
        ({"CF_XDR_MC": "桐柏(南阳)公司"}, "party_name", "name_brackets", "桐柏（南阳）公司"),
        ({"CF_CFJGDM": "000000000000000000"}, "authority_code", "placeholder_code", None),
    ],
)
def test_repairs(changes: dict[str, str | None], column: str, rule: str, stored: str | None) -> None:
    """Prevents a repair that is not recorded with what the source sent."""
    checked = check([penalty(1, **changes)])
    assert (column, rule, stored) in fixed(checked) and broken(checked) == []
    assert checked.repairs.filter(pl.col("rule") == rule)["value"].to_list() == list(changes.values())
    assert rule in REPAIR_RULES and len(checked.repairs) == 1


def test_open_ended_days_are_flagged() -> None:
    """Prevents 'no end' looking like 'unknown'."""
    rows = check(
        [penalty(1, CF_YXQ="2099-12-31"), penalty(2, CF_YXQ="1899-12-31"), penalty(3, CF_YXQ=None)]
    ).accepted
    assert rows["valid_to"].null_count() == 3
    assert rows["valid_to_is_open_ended"].to_list() == [True, False, False]


def test_fine_of_the_published_example() -> None:
    """Prevents touching a right amount: 罚款2000元 with 0.2 (万元) stays; unrelated amounts stay too."""
    for amount, fen, rules in (
        ("0.2", 200_000, []),
        ("2000", 200_000, ["unit_mismatch"]),
        ("0.3", 300_000, []),
    ):
        checked = check([penalty(1, CF_NR_FK=amount)])
        assert checked.accepted["fine_fen"].to_list() == [fen] and checked.repairs["rule"].to_list() == rules
    both = check([penalty(1, CF_NR="对单位罚款2000元，对责任人罚款0.2元", CF_NR_FK="0.2")])
    assert both.accepted["fine_fen"].to_list() == [200_000] and both.repairs.is_empty()


def test_confusable_characters_need_both_checks_and_the_name() -> None:
    """Prevents guessing an enterprise: the register must know the repaired code under the same name."""
    code = make_uscc(1)
    place = code.index("0", 8)
    wrong = code[:place] + "O" + code[place + 1 :]
    name = penalty(1)["CF_XDR_MC"]
    known = register((code, str(name)))
    repaired = check([penalty(1, CF_XDR_SHXYM=wrong)], known=known)
    assert repaired.accepted["uscc"].to_list() == [code]
    assert fixed(repaired) == [("uscc", "confusable_character", code)]
    for rows, pairs in (
        ([penalty(1, CF_XDR_SHXYM=wrong, CF_XDR_MC="另一公司")], known),
        ([penalty(1, CF_XDR_SHXYM=wrong)], register()),
        ([penalty(1, CF_XDR_SHXYM=wrong)], register((code[:-1] + "Y", str(name)))),
    ):
        assert [rule for _, rule, _ in broken(check(rows, known=pairs))] == ["uscc_characters"]
    lower = check([penalty(1, CF_XDR_SHXYM=wrong.lower().replace("1", "l", 1))], known=known)
    assert {rule for _, rule, _ in fixed(lower)} == {"confusable_character", "lower_case"}


def test_capital_in_foreign_currency() -> None:
    """Prevents dollars counted as yuan: the suffix names the currency and the unit."""
    rows = check(
        [registration(1, regcap="500(万美元)"), registration(2, regcap="100", regcapcur="港币")],
        "registrations",
    ).accepted
    assert rows["currency"].to_list() == ["USD", "HKD"]
    assert rows["registered_capital_fen"].to_list() == [500_000_000, 100_000_000]


def test_two_units_in_one_file() -> None:
    """Prevents 元 of punishmoney being read as 万元 of CF_NR_FK beside it."""
    rows = check([penalty(1), penalty(2, CF_NR_FK=None, punishmoney="2000")])
    assert rows.accepted["fine_fen"].to_list() == [200_000, 200_000] and rows.repairs.is_empty()


@settings(parent=quick, max_examples=30)
@given(st.text(max_size=30), st.text(max_size=30))
def test_extra_and_row_text_are_json(key: str, value: str) -> None:
    """Prevents JSON that no reader can parse, whatever a source writes into unknown columns."""
    unknown = "列" + key.replace("\x00", "")
    checked = check([penalty(1) | {unknown: value}, penalty(2, CF_NR=None) | {unknown: value}])
    [extra], [row] = checked.accepted["extra"], checked.quarantine.to_dicts()
    shown = json.loads(row["row_text"])
    assert shown["CF_XDR_MC"] == penalty(2)["CF_XDR_MC"]
    if extra is not None and column_of(get_feed("penalties"), unknown) is None:
        [kept] = json.loads(extra).values()
        assert kept == shown[unknown.strip()] and [c for c in kept if c.isalpha()] == [
            c for c in value if c.isalpha()
        ]


def test_personal_data_never_leaves() -> None:
    """Prevents identity and mobile numbers in texts, unknown columns, values, row texts and repairs."""
    rows = [
        penalty(1, CF_SY=f"当事人{PERSON}，{MOBILE}", 附注=f"见{PERSON}", BZ=f"{PERSON}\u200b"),
        penalty(2, CF_NR_FK=f"{PERSON}", CF_SY=f"{MOBILE}", CF_XDR_SHXYM=PERSON),
        penalty(3, CF_WSH=f"号{PERSON}", CF_CFJGDM=PERSON),
    ]
    checked = check(rows)
    shown = (
        str(checked.accepted.to_dicts())
        + str(checked.quarantine.to_dicts())
        + str(checked.repairs.to_dicts())
    )
    assert PERSON not in shown and MOBILE not in shown and "411330********0015" in shown
    assert checked.accepted["extra"].to_list()[0] == '{"附注":"见411330********0015"}'


def test_every_feed_has_a_contract_and_a_lake_schema() -> None:
    """Prevents a catalogue change that no contract can be built from."""
    for feed in load_catalogue().values():
        empty = Contract(feed, DAY, REGIONS, register()).check(rows_of(feed, []))  # type: ignore[arg-type]
        assert empty.accepted.height == 0 and empty.quarantined == 0
        names = [field.name for field in value_fields(feed)]
        sent = ["uscc_sent"] if has_uscc_sent(feed) else []
        assert empty.accepted.columns == [*names, "source_row", "extra", *sent]
        places = {"source_file", "source_sheet", "source_row", "row_hash", "extra", "ingest_date"}
        assert {*names, *places, *sent} == set(lake_schema(feed).names)
        assert not {column.name for column in feed.columns if column.personal == "drop"} & set(names)


def test_large_batches_of_faults_stay_columnar() -> None:
    """Prevents failure cases being handled row by row: 40,000 faults in one batch take the same path."""
    rows = check([penalty(1)] * 20_000)
    frame = pl.concat([rows.accepted] * 1)
    assert frame.height == 20_000
    bad = check([penalty(1, CF_JDRQ="x", CF_CFLB="y")] * 20_000)
    assert bad.quarantined == 20_000 and bad.quarantine.height == 40_000
