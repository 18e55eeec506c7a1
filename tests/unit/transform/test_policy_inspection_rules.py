"""Special needs, campaigns and joint plans: what a pack needs several rows for, and strictness of whatever passes."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.settings import POLICY_DIR
from credit_pipeline.transform.policy_check import check_pack
from credit_pipeline.transform.policy_pack import table_specs
from credit_pipeline.transform.policy_ratios import effective_ratio_bp, exception_for, most_specific

GRADES = "ABCDE"
EXCEPTION = {
    "exception_id": "TX-2026-01", "kind": "ratio", "reason": "烟花爆竹旺季专项部署", "document_no": "宛信用办〔2026〕7号",
    "approver": "市信用办主任", "unit_id": "411300EM", "item_code": "*", "grade": "B", "uscc": "", "ratio_bp": "800",
    "effective_from": "2026-01-01", "effective_to": "2026-12-31",
}  # fmt: skip
ALLOWED = {
    "unit_id": "411300EM", "item_code": "*", "grade": "B", "is_safety_related": "true", "ratio_bp": "800", "min_visits": "0",
    "max_visits": "1", "rounding": "ceil", "exception_id": "TX-2026-01", "basis": "宛信用办〔2026〕7号",
    "effective_from": "2026-01-01", "effective_to": "2026-12-31",
}  # fmt: skip
BY_NAME = EXCEPTION | {
    "kind": "superior_task", "item_code": "SAFETY", "grade": "*", "uscc": "91411330MA40TE5TX8", "ratio_bp": "",
}  # fmt: skip
CAMPAIGN = {
    "campaign_id": "ZX-2026-1", "title": "燃气安全专项整治", "document_no": "宛安办〔2026〕3号", "approver": "市安委办",
    "unit_id": "411300EM", "item_code": "SAFETY", "region_prefix": "4113", "industry_prefixes": "D45|C26", "safety_tag": "any",
    "grades": "C|D", "starts_on": "2026-06-01", "ends_on": "2026-09-30", "effective_from": "2026-05-01",
    "effective_to": "2026-12-31",
}  # fmt: skip
Rows = dict[str, list[dict[str, str]]]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    shutil.copytree(POLICY_DIR, folder)
    return folder


def append(folder: Path, table: str, row: dict[str, str]) -> int:
    """Add a row; returns its line."""
    path = folder / f"{table}.csv"
    columns = list(table_specs()[table].columns)
    assert set(row) == set(columns)
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow([row[name] for name in columns])
    return path.read_text(encoding="utf-8").count("\n")


def told(folder: Path) -> list[tuple[str, str, int | None, str | None]]:
    return [(item.rule, item.file, item.line, item.column) for item in check_pack(folder)]


def test_an_exception_in_force_allows_its_ratio(pack: Path) -> None:
    """Prevents a special need, ordered as the notice asks, from being refused."""
    append(pack, "inspection_exceptions", EXCEPTION)
    append(pack, "inspection_ratios", ALLOWED)
    append(pack, "campaigns", CAMPAIGN)
    assert told(pack) == []


def test_a_uniform_draw_of_one_item_is_a_special_need(pack: Path) -> None:
    """Prevents draws blind to grades from being impossible."""
    uniform = {"kind": "uniform_draw", "grade": "*", "item_code": "GENERAL", "ratio_bp": "300"}
    append(pack, "inspection_exceptions", EXCEPTION | uniform)
    assert told(pack) == []


BROKEN_EXCEPTIONS: dict[str, tuple[dict[str, str], str, str]] = {
    "no document": ({"document_no": ""}, "empty", "document_no"),
    "a dash for a document": ({"document_no": "—"}, "placeholder", "document_no"),
    "nobody approved": ({"approver": ""}, "empty", "approver"),
    "an approver to be named": ({"approver": "TBD"}, "placeholder", "approver"),
    "no reason": ({"reason": "无"}, "placeholder", "reason"),
    "no kind": ({"kind": "favour"}, "not_allowed", "kind"),
    "no unit": ({"unit_id": ""}, "empty", "unit_id"),
    "an unknown unit": ({"unit_id": "411300XX"}, "reference", "unit_id"),
    "no scope": ({"unit_id": "*"}, "exception_without_scope", "unit_id"),
    "no end": ({"effective_to": "9999-12-31"}, "exception_without_end", "effective_to"),
    "a far end": ({"effective_to": "2029-06-30"}, "exception_without_end", "effective_to"),
    "no expiry": ({"effective_to": ""}, "empty", "effective_to"),
    "no ratio": ({"ratio_bp": ""}, "empty", "ratio_bp"),
    "a ratio for one enterprise": ({"uscc": "91411330MA40TE5TX8"}, "not_allowed", "uscc"),
    "an id with spaces": ({"exception_id": "TX 1"}, "not_a_code", "exception_id"),
    "a uniform draw of one grade": ({"kind": "uniform_draw"}, "not_allowed", "grade"),
}


@pytest.mark.parametrize("name", BROKEN_EXCEPTIONS)
def test_an_exception_without_its_papers_is_refused(name: str, pack: Path) -> None:
    """Prevents a draw beside the grades that nobody ordered, or that never ends."""
    changes, rule, column = BROKEN_EXCEPTIONS[name]
    line = append(pack, "inspection_exceptions", EXCEPTION | changes)
    append(pack, "inspection_ratios", ALLOWED)
    assert (rule, "inspection_exceptions.csv", line, column) in told(pack)


@pytest.mark.parametrize("kind", ["superior_task", "ratio"])
def test_an_exception_names_no_enterprise(kind: str, pack: Path) -> None:
    """Prevents a row that somebody believes to send inspectors to an enterprise, and that does nothing."""
    line = append(pack, "inspection_exceptions", BY_NAME | {"kind": kind})
    assert told(pack) == [("not_allowed", "inspection_exceptions.csv", line, "uscc")]
    (finding,) = check_pack(pack)
    assert "feed leads, type transferred" in finding.remedy and "superior_task" in finding.remedy
    line = append(pack, "inspection_exceptions", BY_NAME | {"kind": "manual_add"})
    assert ("not_allowed", "inspection_exceptions.csv", line, "kind") in told(pack)


def test_an_exception_without_a_ratio_is_not_sent_to_a_column_that_is_refused(pack: Path) -> None:
    """The advice to name the enterprise in uscc led to the next refusal."""
    append(pack, "inspection_exceptions", EXCEPTION | {"ratio_bp": ""})
    (remedy,) = [
        item.remedy for item in check_pack(pack) if (item.rule, item.column) == ("empty", "ratio_bp")
    ]
    assert "uscc" not in remedy and "type transferred" in remedy


BROKEN_USES: dict[str, tuple[dict[str, str], dict[str, str], str, str]] = {
    "it has ended": ({"effective_to": "2026-06-30"}, {}, "exception_expired", "effective_to"),
    "it has not begun": ({"effective_from": "2026-03-01"}, {}, "exception_expired", "effective_from"),
    "it was in force years ago": (
        {"effective_from": "2020-01-01", "effective_to": "2020-12-31"}, {}, "exception_expired", "exception_id",
    ),
    "it is for another unit": ({"unit_id": "411300EE"}, {}, "exception_does_not_reach", "exception_id"),
    "it is for another grade": ({"grade": "C"}, {}, "exception_does_not_reach", "exception_id"),
    "it is for one item": ({"item_code": "SAFETY"}, {}, "exception_does_not_reach", "exception_id"),
    "it orders another ratio": ({}, {"ratio_bp": "900"}, "exception_says_otherwise", "ratio_bp"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_USES)
def test_a_ratio_stays_within_its_exception(name: str, pack: Path) -> None:
    """Prevents an expired or narrower special need from going on in the ratios."""
    exception, ratio, rule, column = BROKEN_USES[name]
    append(pack, "inspection_exceptions", EXCEPTION | exception)
    line = append(pack, "inspection_ratios", ALLOWED | ratio)
    assert (rule, "inspection_ratios.csv", line, column) in told(pack)


def test_an_exception_holds_by_itself_and_must_be_strict(pack: Path) -> None:
    """Prevents a special need that lets a unit draw D less than C (R11), with or without a row of ratios."""
    append(pack, "inspection_exceptions", EXCEPTION)
    assert told(pack) == []
    line = append(
        pack, "inspection_exceptions", EXCEPTION | {"exception_id": "TX-2", "grade": "D", "ratio_bp": "1900"}
    )
    assert set(told(pack)) == {("falls", "inspection_exceptions.csv", line, "ratio_bp")}


def test_exempt_a_is_opened_by_a_superior_alone(pack: Path) -> None:
    """Prevents a unit from drawing an A where safety is no concern by an exception of its own (R23)."""
    row = {"grade": "A", "is_safety_related": "false", "ratio_bp": "300"}
    append(pack, "inspection_exceptions", EXCEPTION | {"grade": "A", "ratio_bp": "300"})
    line = append(pack, "inspection_ratios", ALLOWED | row)
    assert told(pack) == [("exception_of_other_kind", "inspection_ratios.csv", line, "exception_id")]
    path = pack / "inspection_exceptions.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",ratio,", ",superior_task,"), encoding="utf-8")
    assert told(pack) == []


BROKEN_CAMPAIGNS: dict[str, tuple[dict[str, str], str, str]] = {
    "B": ({"grades": "B|C"}, "campaign_against_notice", "grades"),
    "A of no safety": ({"grades": "A|C", "safety_tag": ""}, "campaign_against_notice", "grades"),
    "no grade": ({"grades": "F"}, "not_allowed", "grades"),
    "a grade twice": ({"grades": "C|C"}, "named_twice", "grades"),
    "no unit": ({"unit_id": "411300XX"}, "reference", "unit_id"),
    "an unknown item": ({"item_code": "SAFTY"}, "item_of_feed", "item_code"),
    "no region": ({"region_prefix": "4201"}, "reference", "region_prefix"),
    "no industry": ({"industry_prefixes": "D45|Z1"}, "reference", "industry_prefixes"),
    "no tag": ({"safety_tag": "sugar"}, "reference", "safety_tag"),
    "no order": ({"document_no": ""}, "empty", "document_no"),
    "days the wrong way round": ({"ends_on": "2026-05-01"}, "period_backwards", "ends_on"),
    "for ever": ({"ends_on": "2027-09-30", "effective_to": "2027-12-31"}, "campaign_without_end", "ends_on"),
    "beyond its row": ({"ends_on": "2027-01-31"}, "not_in_force", "ends_on"),
}


@pytest.mark.parametrize("name", BROKEN_CAMPAIGNS)
def test_a_campaign_against_the_rules_is_refused(name: str, pack: Path) -> None:
    """Prevents a campaign from reaching whom the notice spares, or from running without an order."""
    changes, rule, column = BROKEN_CAMPAIGNS[name]
    line = append(pack, "campaigns", CAMPAIGN | changes)
    assert (rule, "campaigns.csv", line, column) in told(pack)


PLAN = {
    "plan_template": "joint", "title": "部门联合抽查", "direction": "directed", "initiator": "411300MS",
    "cooperating_units": "411300EE|411300FI", "item_codes": "SAFETY", "region_prefix": "4113", "industry_prefixes": "C26",
    "safety_tag": "any", "rounds_per_year": "2", "first_due_month": "3", "first_due_day": "15", "window_days": "90",
    "parties": "credit_office|discipline|notary", "entropy_source": "KL8", "entropy_fallback": "SSQ|DLT", "entropy_lag_days": "2",
    "document_no": "宛双随机办〔2026〕1号", "approved_by": "市政府", "basis": "国发〔2019〕5号", "effective_from": "2026-01-01",
    "effective_to": "2026-12-31",
}  # fmt: skip
PARTY = {"label": "", "effective_from": "2015-01-01", "effective_to": "9999-12-31"}


def joint(pack: Path, plan: dict[str, str], second: dict[str, str]) -> tuple[int, int]:
    """A joint plan of three parties; returns the lines of the plan and of the third party."""
    import pyrage
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    line = 0
    for number, (party, office) in enumerate((("discipline", "市纪委监委"), ("notary", "南阳市公证处")), 1):
        key = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32).public_key().public_bytes_raw().hex()
        recipient = str(pyrage.x25519.Identity.generate().to_public())
        row = {
            "party": party,
            "label": office,
            "office": office,
            "signing_key": key,
            "age_recipient": recipient,
        }
        line = append(pack, "draw_parties", PARTY | row | (second if number == 2 else {}))
    return append(pack, "inspection_plans", PLAN | plan), line


def test_a_joint_plan_of_three_parties_is_sound(pack: Path) -> None:
    """Prevents the plan that the protocol is made for from being refused."""
    joint(pack, {}, {})
    assert told(pack) == []


BROKEN_JOINTS: dict[str, tuple[dict[str, str], dict[str, str], str, str]] = {
    "the initiator cooperates": ({"cooperating_units": "411300MS"}, {}, "named_twice", "cooperating_units"),
    "the fallback is the source": ({"entropy_fallback": "KL8"}, {}, "no_fallback", "entropy_fallback"),
    "the source falls back on itself too": (
        {"entropy_fallback": "SSQ|KL8"},
        {},
        "no_fallback",
        "entropy_fallback",
    ),
    "a fallback nobody knows": ({"entropy_fallback": "SSQ|DICE"}, {}, "reference", "entropy_fallback"),
    "a fallback twice": ({"entropy_fallback": "SSQ|SSQ"}, {}, "named_twice", "entropy_fallback"),
    "no day between": ({"entropy_lag_days": "0"}, {}, "out_of_range", "entropy_lag_days"),
    "two parties of one office": ({}, {"office": "市纪委监委"}, "parties_of_one_office", "parties"),
    "a window beyond the round": ({"window_days": "185"}, {}, "window_too_long", "window_days"),
}


@pytest.mark.parametrize("name", BROKEN_JOINTS)
def test_a_broken_joint_plan_is_refused(name: str, pack: Path) -> None:
    """Prevents a joint draw whose assurances are only on paper."""
    plan, second, rule, column = BROKEN_JOINTS[name]
    line, _ = joint(pack, plan, second)
    assert (rule, "inspection_plans.csv", line, column) in told(pack)


def test_two_parties_with_one_key_are_one_party(pack: Path) -> None:
    """Prevents one person from committing for two."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32).public_key().public_bytes_raw().hex()
    _, line = joint(pack, {}, {"signing_key": key})
    assert ("key_twice", "draw_parties.csv", line, "signing_key") in told(pack)


RATIO_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "unit_id": st.sampled_from(["*", "411300EE", "411300MS"]),
            "item_code": st.sampled_from(["*", "GENERAL", "SAFETY", "EM01"]),
            "grade": st.sampled_from("CDE"),
            "is_safety_related": st.sampled_from(["true", "false"]),
            "ratio_bp": st.sampled_from(["0", "50", "500", "1500", "2000", "5000", "9000", "10000"]),
            "max_visits": st.sampled_from(["1", "2", "3", "4"]),
            "effective_from": st.sampled_from(["2026-01-01", "2026-07-01"]),
            "effective_to": st.sampled_from(["2026-06-30", "2026-12-31", "9999-12-31"]),
        }
    ),
    min_size=1, max_size=5,
)  # fmt: skip

ORDERS = st.lists(
    st.fixed_dictionaries(
        {
            "unit_id": st.sampled_from(["411300EE", "411300MS"]),
            "item_code": st.sampled_from(["*", "SAFETY"]),
            "grade": st.sampled_from("BCDE"),
            "ratio_bp": st.sampled_from(["0", "400", "800", "3000", "6000"]),
            "effective_to": st.sampled_from(["2026-06-30", "2026-12-31"]),
        }
    ),
    max_size=2,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(rows=RATIO_ROWS, orders=ORDERS, floor=st.sampled_from([0, 100, 500]))
def test_strictness_of_any_pack_that_passes_never_falls(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    orders: list[dict[str, str]],
    floor: int,
) -> None:
    """Prevents a unit, item or period in which a worse grade is drawn or visited less than a better one (R11)."""
    folder = tmp_path_factory.mktemp("pack") / "policy"
    shutil.copytree(POLICY_DIR, folder)
    policy = folder / "inspection_policy.csv"
    policy.write_text(policy.read_text(encoding="utf-8").replace("floor_bp,100,", f"floor_bp,{floor},"))
    for row in rows:
        append(folder, "inspection_ratios", ALLOWED | {"exception_id": "", "min_visits": "0"} | row)
    for number, order in enumerate(orders):
        append(folder, "inspection_exceptions", EXCEPTION | {"exception_id": f"TX-{number}"} | order)
    if any(item.severity == "error" for item in check_pack(folder)):
        return
    with (folder / "inspection_exceptions.csv").open(encoding="utf-8") as file:
        special = list(csv.DictReader(file))
    with (folder / "inspection_ratios.csv").open(encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    for day in ("2025-12-31", "2026-03-01", "2026-06-30", "2026-07-01", "2026-12-31", "2027-01-01"):
        held = [row for row in cells if row["effective_from"] <= day <= row["effective_to"]]
        for unit in ("411300EE", "411300MS", "411300TX"):
            for item, safety in (
                ("GENERAL", False),
                ("SAFETY", True),
                ("EM01", True),
                ("EM01", False),
                ("CT01", False),
            ):
                found = [most_specific(held, unit, item, grade, safety) for grade in GRADES]
                assert all(found)
                orders_held = [row for row in special if row["effective_from"] <= day <= row["effective_to"]]
                drawn = []
                for grade, row in zip(GRADES, found, strict=True):
                    assert row is not None
                    order = (
                        None
                        if (grade, safety) == ("A", False)
                        else exception_for(orders_held, unit, item, grade)
                    )
                    drawn.append(
                        effective_ratio_bp(int((order or row)["ratio_bp"]), grade, safety, floor, 10000)
                    )
                visits = [int(row["max_visits"]) for row in found if row is not None]
                assert drawn == sorted(drawn), (day, unit, item)
                assert visits == sorted(visits), (day, unit, item)


def test_the_property_above_sees_packs_of_both_kinds(pack: Path) -> None:
    """Prevents the property from holding because every pack was refused."""
    append(
        pack,
        "inspection_ratios",
        ALLOWED | {"grade": "D", "ratio_bp": "6000", "max_visits": "2", "exception_id": ""},
    )
    assert told(pack) == []
    append(
        pack,
        "inspection_ratios",
        ALLOWED | {"grade": "E", "ratio_bp": "5500", "max_visits": "4", "exception_id": ""},
    )
    assert "falls" in [rule for rule, *_ in told(pack)]


def test_the_most_specific_row_wins() -> None:
    """Prevents a city-wide row from beating a unit's, or a unit's from beating an item's."""
    base = {"grade": "C", "is_safety_related": "false"}
    rows = [
        base | {"unit_id": "*", "item_code": "*", "n": "all"},
        base | {"unit_id": "U1", "item_code": "*", "n": "unit"},
        base | {"unit_id": "*", "item_code": "I1", "n": "item"},
        base | {"unit_id": "U1", "item_code": "I1", "n": "both"},
    ]
    for order in (rows, rows[::-1]):
        names = {
            (unit, item): (most_specific(order, unit, item, "C", False) or {})["n"]
            for unit in ("U1", "U2")
            for item in ("I1", "I2")
        }
        assert names == {
            ("U1", "I1"): "both",
            ("U2", "I1"): "item",
            ("U1", "I2"): "unit",
            ("U2", "I2"): "all",
        }
    assert most_specific(rows, "U1", "I1", "C", True) is None


def test_floor_and_cap_reach_whom_law_lets_visit() -> None:
    """Prevents the exploration floor from drawing an A where safety is no concern, or from lifting a cap."""
    assert effective_ratio_bp(0, "A", False, 100, 10000) == 0
    assert effective_ratio_bp(0, "A", True, 100, 10000) == 100
    assert effective_ratio_bp(0, "B", True, 100, 10000) == 0
    assert effective_ratio_bp(50, "C", False, 100, 10000) == 100
    assert effective_ratio_bp(5000, "D", False, 100, 3000) == 3000
