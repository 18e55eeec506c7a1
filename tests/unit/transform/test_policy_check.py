"""A broken policy pack never grades: every kind of mistake is found, in its file and line, with what to do."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import POLICY_DIR
from credit_pipeline.transform.policy_check import check_pack, require_sound_policy
from credit_pipeline.transform.policy_pack import Finding, read_pack, table_specs

Cells = list[list[str]]


@dataclass(frozen=True)
class Place:
    """Where the mistake is expected: line 0 stands for the table as a whole."""

    line: int
    column: str | None = None


def edit(folder: Path, table: str, change: Callable[[Cells], Place]) -> Place:
    """Change the cells of a table (header first) and write it back."""
    path = folder / f"{table}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        cells = list(csv.reader(file))
    place = change(cells)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(cells)
    return place


def find(cells: Cells, match: dict[str, str]) -> int:
    header = cells[0]
    return next(
        index
        for index, row in enumerate(cells[1:], 1)
        if all(row[header.index(name)] == value for name, value in match.items())
    )


def put(column: str, value: str, told: str = "", **match: str) -> Callable[[Cells], Place]:
    """Another value in one cell; the mistake is told of that cell, or of another of its row."""

    def change(cells: Cells) -> Place:
        index = find(cells, match)
        cells[index][cells[0].index(column)] = value
        return Place(index + 1, told or column)

    return change


def drop(
    told_at: dict[str, str] | None = None, column: str | None = None, **match: str
) -> Callable[[Cells], Place]:
    """All rows that match are gone; the mistake is told of the table, or of another row."""

    def change(cells: Cells) -> Place:
        header = cells[0]
        kept = [
            row
            for row in cells[1:]
            if not all(row[header.index(name)] == value for name, value in match.items())
        ]
        assert len(kept) < len(cells) - 1
        cells[1:] = kept
        return Place(find(cells, told_at) + 1 if told_at else 0, column)

    return change


def again(column: str, changes: dict[str, str], **match: str) -> Callable[[Cells], Place]:
    """The row a second time at the end, with changes."""

    def change(cells: Cells) -> Place:
        row = list(cells[find(cells, match)])
        for name, value in changes.items():
            row[cells[0].index(name)] = value
        cells.append(row)
        return Place(len(cells), column)

    return change


def header(old: str, new: str | None) -> Callable[[Cells], Place]:
    """A column renamed, or taken out."""

    def change(cells: Cells) -> Place:
        index = cells[0].index(old)
        if new is None:
            for row in cells:
                del row[index]
        else:
            cells[0][index] = new
        return Place(1, old)

    return change


SAFE = {"grade": "C", "is_safety_related": "true"}
BASE = {"system_id": "environment", "indicator": "penalty_weight"}
CASES: dict[str, tuple[str, Callable[[Cells], Place], str]] = {
    # cells
    "not a whole number": ("model_policy", put("value", "12.0", parameter="horizon_months"), "not_bigint"),
    "thousands separator": ("currencies", put("yuan_per_100_units", "1,00", currency="CNY"), "not_bigint"),
    "not a number": ("grade_bounds", put("probability_upper", "5%", grade="B"), "not_double"),
    "infinite number": ("grade_bounds", put("probability_upper", "inf", grade="B"), "not_double"),
    "flag of a spreadsheet": ("units", put("has_own_system", "TRUE", unit_id="411300EE"), "not_boolean"),
    "day of a spreadsheet": ("vetoes", put("effective_from", "2015/1/1", veto="abnormal_listed"), "not_date"),
    "day that does not exist": ("measures", put("effective_from", "2026-02-30", grade="A", rank="1"), "not_date"),
    "empty cell": ("vetoes", put("grade", "", veto="abnormal_listed"), "empty"),
    "space around a value": ("units", put("line", "environment ", unit_id="411300EE"), "whitespace"),
    # keys and periods
    "row twice": ("currencies", again("effective_from", {}, currency="USD"), "duplicate_key"),
    "holiday twice": ("holidays", again("holiday_date", {}, holiday_date="2015-01-01"), "duplicate_key"),
    "two rows in force": (
        "vetoes", again("effective_from", {"effective_from": "2026-01-01"}, veto="abnormal_listed"), "period_overlap",
    ),
    "ends before it starts": (
        "vetoes", put("effective_to", "2014-12-31", veto="abnormal_listed"), "period_backwards",
    ),
    "a day without a rule": (
        "effect_periods",
        put("effective_from", "2026-04-02", record_class="minor", effective_from="2026-04-01"), "period_gap",
    ),
    # grades
    "unknown grade": ("measures", put("grade", "F", grade="E", rank="1"), "not_allowed"),
    "a grade without a bound": ("grade_bounds", drop(column="grade", grade="C"), "grade_missing"),
    "bounds that fall": ("grade_bounds", put("probability_upper", "0.01", grade="B"), "falls"),
    "bounds that stay": ("grade_bounds", put("probability_upper", "0.05", grade="C"), "falls"),
    "bound above 1": ("grade_bounds", put("probability_upper", "1.5", grade="E"), "out_of_range"),
    "bound of 0": ("grade_bounds", put("probability_upper", "0", grade="A"), "out_of_range"),
    "the worst grade ends early": ("grade_bounds", put("probability_upper", "0.9", grade="E"), "not_covered"),
    "grades in another order": ("grade_bounds", put("rank", "3", grade="B"), "rank"),
    "A for want of data": ("data_poor_rules", put("grade", "A", path="insufficient_data"), "a_by_default"),
    "unknown path": ("data_poor_rules", put("path", "unknown", path="insufficient_data"), "not_allowed"),
    # ratios
    "a ratio that falls": ("inspection_ratios", put("ratio_bp", "400", **SAFE), "falls"),
    "visits that fall": (
        "inspection_ratios", put("max_visits", "0", grade="E", is_safety_related="true"), "falls",
    ),
    "more at least than at most": ("inspection_ratios", put("min_visits", "3", **SAFE), "min_above_max"),
    "a ratio above 1": (
        "inspection_ratios", put("ratio_bp", "10001", grade="E", is_safety_related="true"), "out_of_range",
    ),
    "a cell is missing": (
        "inspection_ratios", drop(column="grade", grade="D", is_safety_related="true"), "grade_missing",
    ),
    "unknown rounding": ("inspection_ratios", put("rounding", "round", **SAFE), "not_allowed"),
    "B against the notice": (
        "inspection_ratios", put("ratio_bp", "600", grade="B", is_safety_related="false"), "notice_says_five_percent",
    ),
    "safety drawn less": ("inspection_ratios", put("ratio_bp", "1999", **SAFE), "safety_ratio"),
    "a cell of no unit": ("inspection_ratios", again("unit_id", {"unit_id": "411300XX"}, **SAFE), "reference"),
    "a cell of no code": ("inspection_ratios", again("item_code", {"item_code": "general"}, **SAFE), "not_a_code"),
    "a ratio without a visit": (
        "inspection_ratios", put("max_visits", "0", told="max_visits", grade="E", is_safety_related="true"),
        "no_visit_allowed",
    ),
    "a unit draws D less than C": (
        "inspection_ratios",
        again("ratio_bp", {"unit_id": "411300EE", "ratio_bp": "1500"}, grade="D", is_safety_related="false"), "falls",
    ),
    "an item visits D less than C": (
        "inspection_ratios",
        again("max_visits", {"item_code": "GENERAL", "min_visits": "0", "max_visits": "0", "ratio_bp": "0"},
              grade="D", is_safety_related="false"), "falls",
    ),
    "a unit and item draw E less than the unit draws D": (
        "inspection_ratios",
        again("ratio_bp", {"unit_id": "411300EE", "item_code": "SAFETY", "ratio_bp": "4999"},
              grade="E", is_safety_related="true"), "falls",
    ),
    "a period of a unit in which ratios fall": (
        "inspection_ratios",
        again("ratio_bp", {"unit_id": "411300EE", "ratio_bp": "100", "effective_from": "2031-01-01",
                           "effective_to": "2031-03-31"}, **SAFE), "falls",
    ),
    "C below the exploration floor of A": (
        "inspection_ratios",
        again("ratio_bp", {"item_code": "SAFETY", "ratio_bp": "0", "min_visits": "0"}, **SAFE), "falls",
    ),
    "safety flag of another item": (
        "inspection_ratios", again("is_safety_related", {"item_code": "GENERAL"}, **SAFE), "safety_flag_differs",
    ),
    "A drawn without an exception": (
        "inspection_ratios", put("ratio_bp", "100", grade="A", is_safety_related="false"), "a_is_exempt",
    ),
    "A visited without an exception": (
        "inspection_ratios", put("max_visits", "1", grade="A", is_safety_related="false"), "a_is_exempt",
    ),
    "B of one unit against the notice": (
        "inspection_ratios",
        again("ratio_bp", {"unit_id": "411300EE", "ratio_bp": "499", "basis": "policy default, not law"},
              grade="B", is_safety_related="true"), "notice_says_five_percent",
    ),
    "an exception nobody knows": (
        "inspection_ratios", put("exception_id", "TX-1", grade="B", is_safety_related="true"), "reference",
    ),
    "more visits than the city allows": (
        "inspection_ratios", again("min_visits", {"unit_id": "411300EE", "min_visits": "7", "max_visits": "9"},
                                   grade="E", is_safety_related="false"), "above_city_cap",
    ),
    # items
    "an item of no kind": ("inspection_item_groups", put("item_kind", "usual", item_code="GENERAL"), "not_allowed"),
    "an item in small letters": ("inspection_item_groups", put("item_code", "general", item_code="GENERAL"), "not_a_code"),
    "a cap below B": ("inspection_item_groups", put("max_ratio_bp", "499", item_code="GENERAL"), "out_of_range"),
    "a cap on a key item": ("inspection_item_groups", put("max_ratio_bp", "5000", item_code="SAFETY"), "key_item_capped"),
    "an item of no tag": ("inspection_item_groups", put("safety_tag", "sugar", item_code="SAFETY"), "reference"),
    "an item of no section": (
        "inspection_item_groups", put("industry_sections", "C|Z", item_code="SAFETY"), "not_allowed",
    ),
    "two skills in one": ("inspection_item_groups", put("required_skill", "food+drugs", item_code="SAFETY"), "not_allowed"),
    # plans
    "a template in capitals": ("inspection_plans", put("plan_template", "GENERAL", plan_template="general"), "not_a_code"),
    "a plan of no direction": ("inspection_plans", put("direction", "both", plan_template="general"), "not_allowed"),
    "an undirected plan with a limit": (
        "inspection_plans", put("region_prefix", "411302", told="direction", plan_template="general"), "direction_differs",
    ),
    "a directed plan without a limit": (
        "inspection_plans", put("direction", "directed", plan_template="general"), "direction_differs",
    ),
    "a plan of no unit": ("inspection_plans", put("initiator", "411300XX", plan_template="general"), "reference"),
    "a joint plan with no unit": (
        "inspection_plans", put("cooperating_units", "411300XX", plan_template="general"), "reference",
    ),
    "a joint plan nobody starts": (
        "inspection_plans", put("cooperating_units", "411300EE", plan_template="general"), "joint_without_initiator",
    ),
    "a unit cooperates twice": (
        "inspection_plans", put("cooperating_units", "411300EE|411300EE", plan_template="general"), "named_twice",
    ),
    "a misspelt item": ("inspection_plans", put("item_codes", "GENERL|SAFETY", plan_template="general"), "item_of_feed"),
    "an item of no code": ("inspection_plans", put("item_codes", "GENERAL|safety", plan_template="general"), "not_a_code"),
    "a plan without items": ("inspection_plans", put("item_codes", "", plan_template="general"), "empty"),
    "an item that ends before its plan": (
        "inspection_item_groups",
        lambda cells: (put("effective_to", "2030-12-31", item_code="SAFETY")(cells), Place(2, "item_codes"))[1],
        "inspection_plans:item_not_in_force",
    ),
    "five rounds a year": ("inspection_plans", put("rounds_per_year", "5", plan_template="general"), "rounds_do_not_divide"),
    "a round in the next year": (
        "inspection_plans",
        lambda cells: (put("rounds_per_year", "4", plan_template="general")(cells),
                       put("first_due_month", "4", plan_template="general")(cells))[1], "round_in_next_year",
    ),
    "a window into the next round": (
        "inspection_plans", put("rounds_per_year", "2", told="window_days", plan_template="general"), "window_too_long",
    ),
    "a window into the next year": (
        "inspection_plans", put("first_due_day", "2", told="window_days", plan_template="general"), "window_too_long",
    ),
    "a party nobody knows": ("inspection_plans", put("parties", "credit_office|notary", plan_template="general"), "reference"),
    "a party twice": (
        "inspection_plans", put("parties", "credit_office|credit_office", plan_template="general"), "named_twice",
    ),
    "no known source of entropy": ("inspection_plans", put("entropy_source", "3D", plan_template="general"), "reference"),
    "a lottery drawn on the day of the commitments": (
        "inspection_plans", put("entropy_source", "KL8", told="entropy_lag_days", plan_template="general"), "out_of_range",
    ),
    "a fallback that is none": ("inspection_plans", put("entropy_fallback", "NONE", plan_template="general"), "no_fallback"),
    "a plan nobody ordered": (
        "inspection_plans", put("basis", "decided", told="document_no", plan_template="general"), "document_missing",
    ),
    "a plan nobody approved": ("inspection_plans", put("approved_by", "待定", plan_template="general"), "placeholder"),
    "a plan of no industry": ("inspection_plans", put("industry_prefixes", "C99", plan_template="general"), "reference"),
    # grades in practice, top-ups, parties, sources
    "A in campaigns": ("grade_rules", put("campaign", "by_rule", grade="A", is_safety_related="false"), "campaign_against_notice"),
    "B in campaigns": ("grade_rules", put("campaign", "by_rule", grade="B", is_safety_related="true"), "campaign_against_notice"),
    "A may be drawn": ("grade_rules", put("may_be_drawn", "true", grade="A", is_safety_related="false"), "a_is_exempt"),
    "milder for E than for D": ("grade_rules", put("campaign", "by_rule", grade="E", is_safety_related="true"), "falls"),
    "lenient to C": ("grade_rules", put("first_minor_violation", "no_penalty", **SAFE), "falls"),
    "honours for D": ("grade_rules", put("honours_priority", "true", grade="D", is_safety_related="true"), "falls"),
    "a grade without rule": ("grade_rules", drop(column="grade", **SAFE), "grade_missing"),
    "an open list of top-ups": ("topup_reasons", put("reason", "inconvenient", reason="merged"), "not_allowed"),
    "a top-up without evidence": ("topup_reasons", put("evidence", "", reason="merged"), "empty"),
    "a top-up on hearsay": ("topup_reasons", put("evidence", "registrations|hearsay", reason="merged"), "reference"),
    "a party without key": ("draw_parties", again("signing_key", {"party": "notary"}, party="credit_office"), "key_missing"),
    "a key of zeros": ("draw_parties", put("signing_key", "0" * 64, party="credit_office"), "not_a_key"),
    "a key cut short": ("draw_parties", put("signing_key", "ab" * 31, party="credit_office"), "not_a_key"),
    "a recipient mistyped": (
        "draw_parties",
        put("age_recipient", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q", party="credit_office"), "not_a_key",
    ),
    "no credit office": ("draw_parties", put("party", "office", told="signing_key", party="credit_office"), "key_missing"),
    "a source of no bits": ("entropy_sources", put("bits_x10", "0", source="KL8"), "out_of_range"),
    "a source of too few bits": (
        "entropy_sources", lambda cells: (put("bits_x10", "99", source="KL8")(cells), Place(2, "entropy_source"))[1],
        "inspection_plans:too_little_entropy",
    ),
    "a broken pattern": ("entropy_sources", put("numbers_pattern", r"\d{2}(", source="KL8"), "not_a_pattern"),
    "an eighth day": ("entropy_sources", put("weekdays", "1|8", source="SSQ"), "not_allowed"),
    "a floor above the notice's 5 %": (
        "inspection_policy", put("value", "600", parameter="exploration_floor_bp"), "out_of_range",
    ),
    "one inspector alone": ("inspection_policy", put("value", "1", parameter="inspectors_per_visit"), "out_of_range"),
    # effects, labels, parameters
    "a negative record for ever": (
        "effect_periods", put("effect_months", "60", record_kind="complaint", record_class="report"), "too_long",
    ),
    "a weight of 0": (
        "effect_periods", put("weight", "0", record_kind="complaint", record_class="report"), "out_of_range",
    ),
    "a kind without period": (
        "effect_periods", drop(column="record_class", record_kind="inspection", record_class="any"), "row_missing",
    ),
    "a kind nobody counts": (
        "effect_periods", put("record_class", "reprot", record_kind="complaint", record_class="report"), "row_unknown",
    ),
    "unknown penalty class": (
        "penalty_kinds", put("penalty_class", "grave", penalty_kind="revocation"), "not_allowed",
    ),
    "label of no code": ("label_rules", put("code", "nothing", event_kind="inspection", code="quality"), "reference"),
    "label of 2": ("label_rules", put("label", "2", code="quality"), "not_allowed"),
    "parameter out of range": ("model_policy", put("value", "0", parameter="horizon_months"), "out_of_range"),
    "parameter missing": ("model_policy", drop(column="parameter", parameter="seeds"), "parameter_missing"),
    "parameter unknown": ("model_policy", put("parameter", "seedz", parameter="seeds"), "parameter_unknown"),
    # vetoes, indicators, expert card
    "a veto on no known fact": ("vetoes", put("veto", "bad_mood", veto="abnormal_listed"), "not_allowed"),
    "a veto of unknown effect": ("vetoes", put("effect", "forbid", veto="abnormal_listed"), "not_allowed"),
    "a veto to A": ("vetoes", put("grade", "A", veto="abnormal_listed"), "veto_to_a"),
    "a veto of no feed": ("vetoes", put("source_feed", "rumours", veto="abnormal_listed"), "not_allowed"),
    "an indicator nobody computes": (
        "indicators", put("indicator", "shoe_size", indicator="change_count"), "not_allowed",
    ),
    "an indicator left out": ("indicators", drop(column="indicator", indicator="change_count"), "row_missing"),
    "no direction": ("indicators", put("direction", "0", indicator="change_count"), "not_allowed"),
    "no cap": ("indicators", put("cap", "", indicator="change_count"), "cap_missing"),
    "an expert score of nothing": (
        "expert_scorecard", put("feature", "shoe_size", feature="change_count", kind="missing"), "reference",
    ),
    "bins with a hole": (
        "expert_scorecard", put("lower", "0.06", feature="operating_months", lower="0.05"), "bins_apart",
    ),
    "no score for missing": (
        "expert_scorecard",
        drop({"feature": "operating_months"}, "kind", feature="operating_months", kind="missing"), "missing_score",
    ),
    "a calibration that falls": (
        "expert_calibration", put("probability", "0.001", micro_lower="-5000000"), "falls",
    ),
    "a calibration with an end": (
        "expert_calibration", put("micro_upper", "9000000", micro_upper=""), "not_covered",
    ),
    # units
    "a scope of no unit": ("unit_scopes", put("unit_id", "411300XX", unit_id="411300TR"), "reference"),
    "a scope of no region": ("unit_scopes", put("region_prefix", "4201", unit_id="411300TR"), "reference"),
    "no section of GB/T 4754": ("unit_scopes", put("industry_section", "Z", unit_id="411300TR"), "not_allowed"),
    "a unit of no region": ("units", put("region", "999999", unit_id="411300TR"), "reference"),
    "a unit under nobody": ("units", put("parent_unit_id", "411300XX", unit_id="411302MS"), "reference"),
    "a rating nobody maps": ("unit_rating_schemes", put("scheme", "karma", line="tax"), "reference"),
    "a rating of no line": ("unit_rating_schemes", put("line", "tax_office", line="tax"), "reference"),
    "a lost leading zero": ("industry_divisions", put("division", "1", division="01"), "not_a_code"),
    "a plan in month 13": ("inspection_plans", put("first_due_month", "13", plan_template="general"), "out_of_range"),
    "a safety rule on nothing": ("safety_rules", put("match_on", "colour", pattern="C13"), "not_allowed"),
    # unit systems
    "a weight of 0 in a system": ("unit_system_indicators", put("weight", "0", **BASE), "out_of_range"),
    "half a weight": ("unit_system_indicators", put("weight", "2.5", **BASE), "not_bigint"),
    "an indicator off the catalogue": (
        "unit_system_indicators", put("indicator", "shoe_size", **BASE), "reference",
    ),
    "weights of no section": (
        "unit_system_indicators", put("industry_section", "c", system_id="environment", industry_section="C"),
        "not_allowed",
    ),
    "weights of no system": ("unit_system_indicators", put("system_id", "nobodys", **BASE), "reference"),
    "a threshold of 0": ("unit_system_indicators", put("full_risk_value", "0", **BASE), "out_of_range"),
    "a system without indicators": (
        "unit_systems", again("system_id", {"system_id": "new", "unit_id": "411300TX", "line": ""},
                              system_id="template_general"), "no_indicator",
    ),
    "a system without bounds": (
        "unit_systems", again("system_id", {"system_id": "new", "unit_id": "411300TX", "line": ""},
                              system_id="template_general"), "bound_missing",
    ),
    "a system that asks for more than it has": (
        "unit_systems", put("minimum_indicators", "99", system_id="environment"), "too_few_indicators",
    ),
    "a system of no unit": ("unit_systems", put("unit_id", "411300XX", system_id="template_general"), "reference"),
    "a system of no line": ("unit_systems", put("line", "weather", system_id="environment"), "reference"),
    "a unit of another line": ("unit_systems", put("unit_id", "411300TX", system_id="environment"), "line_differs"),
    "a system of unknown combination": (
        "unit_systems", put("combination", "best_of", system_id="environment"), "reference",
    ),
    "a system of no section": (
        "unit_systems", put("applies_to_sections", "B|c", system_id="environment"), "not_allowed",
    ),
    "a system of no tag": ("unit_systems", put("safety_tag", "sugar", system_id="food_supervision"), "reference"),
    "a system reviewed before it starts": (
        "unit_systems", put("review_date", "2025-12-31", system_id="environment"), "review_before_start",
    ),
    "two systems of one line and priority": (
        "unit_systems", put("line", "environment", told="priority", system_id="emergency"), "same_priority",
    ),
    "a bound that falls": (
        "unit_system_bounds", put("score_upper_bp", "100", system_id="environment", grade="B"), "falls",
    ),
    "bounds that do not cover": (
        "unit_system_bounds", put("score_upper_bp", "9000", system_id="environment", grade="E"), "not_covered",
    ),
    "two steps up": (
        "unit_system_combinations", put("max_steps_up", "2", combination="as_rating"), "out_of_range",
    ),
    # columns
    "a column is missing": ("vetoes", header("effect", None), "column_missing"),
    "a column is misspelt": ("vetoes", header("basis", "bassis"), "column_missing"),
}  # fmt: skip


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    shutil.copytree(POLICY_DIR, folder)
    return folder


def found(folder: Path, file: str, rule: str) -> list[Finding]:
    return [item for item in check_pack(folder) if (item.file, item.rule) == (file, rule)]


def test_the_shipped_pack_is_sound() -> None:
    """Prevents a release whose own policy is refused, or warns without need."""
    assert [str(item) for item in check_pack(POLICY_DIR)] == []


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_found_in_its_line(name: str, pack: Path) -> None:
    """Prevents a broken pack that grades, and a message that sends people to the wrong row."""
    table, change, rule = CASES[name]
    place = edit(pack, table, change)
    if ":" in rule:  # told of another table
        table, rule = rule.split(":")
        if rule == "too_little_entropy":
            edit(pack, table, put("entropy_source", "KL8", plan_template="general"))
    hits = found(pack, f"{table}.csv", rule)
    where = [(item.line or 0, item.column) for item in hits]
    assert (place.line, place.column) in where or (place.column is None and place.line in dict(where)), [
        str(item) for item in check_pack(pack)
    ]
    assert all(item.message and item.remedy for item in hits)


FILES: dict[str, tuple[str, Callable[[bytes], bytes], int | None]] = {
    "byte_order_mark": ("units", lambda data: b"\xef\xbb\xbf" + data, 1),
    "encoding": ("units", lambda data: data.decode().encode("gb18030"), 2),
    "separator": ("units", lambda data: data.replace(b",", b";"), 1),
    "ragged_row": ("vetoes", lambda data: data.replace(b"force,E,", b"force,E,,", 1), 2),
    "blank_row": ("vetoes", lambda data: data.replace(b"\n", b"\n,,,,,,,\n", 1), 2),
    "broken_csv": ("vetoes", lambda data: data + b'"open,quote\n', 7),
    "empty_table": ("vetoes", lambda data: data.split(b"\n")[0] + b"\n", None),
    "column_twice": ("vetoes", lambda data: data.replace(b"basis", b"label", 1), 1),
    "too_large": ("measures", lambda data: data + b"x" * 1024 * 1024, None),
}  # fmt: skip


@pytest.mark.parametrize("rule", FILES)
def test_a_file_spoilt_by_a_spreadsheet_is_found(rule: str, pack: Path) -> None:
    """Prevents dbt from loading a table with a wrong header, a shifted row or broken Chinese."""
    table, change, line = FILES[rule]
    path = pack / f"{table}.csv"
    path.write_bytes(change(path.read_bytes()))
    assert line in [item.line for item in found(pack, f"{table}.csv", rule)], [
        str(i) for i in check_pack(pack)
    ]


def test_other_encodings_and_workbooks_are_named(pack: Path) -> None:
    """Prevents the message “not UTF-8” for what Excel's other menu entries make."""
    path = pack / "units.csv"
    data = path.read_bytes()
    for spoilt, words in (
        (b"PK\x03\x04" + data, "workbook"),
        (data.decode().encode("utf-16"), "UTF-16"),
        (b"\xff" + data, "neither"),
    ):
        path.write_bytes(spoilt)
        assert any(words in item.message for item in found(pack, "units.csv", "encoding"))


def test_missing_and_unknown_files_are_told(pack: Path) -> None:
    """Prevents a table that is missing or misspelt from being taken for an empty one."""
    (pack / "vetoes.csv").rename(pack / "vetos.csv")
    assert [item.severity for item in found(pack, "vetoes.csv", "table_missing")] == ["error"]
    assert [item.severity for item in found(pack, "vetos.csv", "file_unknown")] == ["warning"]
    with pytest.raises(BadInput, match=r"vetoes\.csv: the table is missing"):
        require_sound_policy(pack)


def test_an_unknown_column_warns_and_grades(pack: Path) -> None:
    """Prevents a remark in a column of its own from stopping a run."""

    def remark(cells: Cells) -> Place:
        for index, row in enumerate(cells):
            row.append("remark" if index == 0 else "")
        return Place(1)

    edit(pack, "vetoes", remark)
    assert [item.severity for item in check_pack(pack)] == ["warning"]
    require_sound_policy(pack)


def test_a_period_may_be_split_in_two(pack: Path) -> None:
    """Prevents the ordinary way of changing a rule from a day on from being refused."""

    def split(cells: Cells) -> Place:
        index = find(cells, {"grade": "A"})
        row = list(cells[index])
        cells[index][-1] = "2026-12-31"
        row[cells[0].index("probability_upper")] = "0.01"
        row[-2] = "2027-01-01"
        cells.append(row)
        return Place(len(cells))

    edit(pack, "grade_bounds", split)
    assert check_pack(pack) == []


TYPED = [
    (name, row.line, column)
    for name, table in read_pack(POLICY_DIR).items()
    for row in table.rows
    for column, type_ in table_specs()[name].columns.items()
    if type_ != "varchar" and row[column]
]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    cell=st.sampled_from(TYPED),
    value=st.sampled_from(["x", "１２", "1e", "--1", "TRUE", "2026-13-01", "1 2", "0x1"]),
)
def test_any_typed_cell_is_checked(
    tmp_path_factory: pytest.TempPathFactory, cell: tuple[str, int, str], value: str
) -> None:
    """Prevents a column that is left out of the check, wherever it stands."""
    table, line, column = cell
    folder = tmp_path_factory.mktemp("pack") / "policy"
    shutil.copytree(POLICY_DIR, folder)

    def spoil(cells: Cells) -> Place:
        cells[line - 1][cells[0].index(column)] = value
        return Place(line, column)

    edit(folder, table, spoil)
    assert any(
        (item.file, item.line, item.column) == (f"{table}.csv", line, column) for item in check_pack(folder)
    )
