"""The rules of single policy tables: references, enumerations, and what the notice and the law of the field ask.

Each function checks one topic of a pack and adds its findings; `policy_check` calls them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.settings import DBT_PROJECT_DIR, POLICY_DIR
from credit_pipeline.transform.indicator_catalogue import load_indicators
from credit_pipeline.transform.policy_check import GRADES, PackCheck, number, rises, whole
from credit_pipeline.transform.policy_extract_rules import extracts
from credit_pipeline.transform.policy_inspection_rules import INSPECTION_RULES
from credit_pipeline.transform.policy_pack import Row, read_table, table_specs
from credit_pipeline.transform.policy_ratio_rules import RATIO_RULES
from credit_pipeline.transform.policy_unit_rules import unit_systems, units

POSITIVE_KINDS = {"honour", "evaluation", "evidence", "operation"}
LONGEST_NEGATIVE_MONTHS = 36
"""Order 36 of 2025: no negative record counts longer."""
GROUPS = {"企业基础属性信息", "企业动态信息", "监管信息", "关联关系信息", "社会评价信息"}
PARAMETERS = {
    "horizon_months": (1, 36), "snapshot_count": (1, 120), "minimum_breaches": (1, 10**6), "seeds": (1, 100),
    "promotion_min_gain_bp": (-10000, 10000), "peer_minimum": (2, 10**6), "serious_fine_fen": (1, 10**14),
    "related_person_limit": (1, 10**6), "related_hop_limit": (1, 10**6), "label_weight_limit": (1, 10**6),
    "e_needs_negative_record": (0, 1), "snapshot_share_bp": (0, 10000), "vanished_alert_bp": (0, 10000),
    "publicity_working_days": (0, 366),
    # Above 500 the exploration floor would draw more of B than the notice's 5 %; a lower cap less.
    "exploration_floor_bp": (0, 500), "general_item_max_ratio_bp": (500, 10000), "enterprise_visits_per_year": (0, 366),
    "inspectors_per_visit": (2, 9), "visits_per_team_day": (1, 50), "inspector_days_per_year": (1, 366),
    "handled_recently_rounds": (0, 12), "former_employer_years": (0, 50), "publication_working_days": (1, 366),
    "rectification_alert_days": (0, 366), "receipt_days": (0, 366), "reports_are_leads": (0, 1), "estimate_years": (1, 20),
    # A cell below five names people; a list of more than three years tells who is never inspected.
    "delay_days": (0, 60), "batch_by_month": (0, 1), "window_months": (1, 36), "small_cell": (5, 10**4), "rounding": (1, 100),
}  # fmt: skip
"""Range of the parameters of model_policy, quality_policy, inspection_policy and public_policy; others must be whole numbers."""


@cache
def veto_facts() -> frozenset[str]:
    """The facts that the model of vetoes can find."""
    sql = (DBT_PROJECT_DIR / "models" / "grading" / "grade_vetoes.sql").read_text(encoding="utf-8")
    return frozenset(re.findall(r"'(\w+)' as veto\b", sql))


@cache
def computed_indicators() -> frozenset[str]:
    """The indicators that the models compute: those of the catalogue that the models were written from."""
    return frozenset(indicator.name for indicator in load_indicators())


def grades(pack: PackCheck) -> None:
    """The five grades of the notice, bounds that rise and cover (0, 1]."""
    table = "grade_bounds"
    pack.one_of(table, "grade", set(GRADES))
    for row in pack.rows(table):
        bound = number(row["probability_upper"])
        if bound is not None and not 0 < bound <= 1:
            pack.add(table, row, "probability_upper", "out_of_range", "a probability lies above 0 and up to 1",
                     "correct the bound")  # fmt: skip
    for day in pack.moments(table):
        rows = {row["grade"]: row for row in pack.in_force(table, day)}
        for grade in [grade for grade in GRADES if grade not in rows]:
            pack.add(table, None, "grade", "grade_missing", f"grade {grade} has no bound on {day}",
                     "add its row, or end all five on the same day")  # fmt: skip
        ordered = [rows[grade] for grade in GRADES if grade in rows]
        for place, row in enumerate(ordered, 1):
            if len(ordered) == 5 and whole(row["rank"]) not in (None, place):
                pack.add(table, row, "rank", "rank", f"grade {row['grade']} is number {place} of the notice",
                         f"write {place}")  # fmt: skip
        rises(pack, table, ordered, "probability_upper", strictly=True, day=str(day))
        if "E" in rows and number(rows["E"]["probability_upper"]) not in (None, 1.0):
            pack.add(
                table, rows["E"], "probability_upper", "not_covered", "grade E must reach to 1", "write 1"
            )
    for other, column in (
        ("data_poor_rules", "grade"), ("measures", "grade"), ("vetoes", "grade"),
        ("unit_system_bounds", "grade"),
    ):  # fmt: skip
        pack.one_of(other, column, set(GRADES))
    pack.one_of("rating_maps", "mapped_grade", set(GRADES), optional=True)
    for row in pack.rows("data_poor_rules"):
        if row["grade"] == "A":
            pack.add("data_poor_rules", row, "grade", "a_by_default", "nobody is A for want of data",
                     "use B or C")  # fmt: skip
    pack.one_of("data_poor_rules", "path", {"insufficient_data", "new_enterprise"})


def effects(pack: PackCheck) -> None:
    """How long and how much records count."""
    table = "effect_periods"
    pack.between(table, "effect_months", 1, 1200)
    for row in pack.rows(table):
        months, weight = whole(row["effect_months"]), whole(row["weight"])
        if (
            row["record_kind"] not in POSITIVE_KINDS
            and months is not None
            and months > LONGEST_NEGATIVE_MONTHS
        ):
            pack.add(table, row, "effect_months", "too_long", "no negative record counts longer than 36 months",
                     "write 36 or less")  # fmt: skip
        if weight is not None and weight < 1:
            pack.add(table, row, "weight", "out_of_range", "a weight is a whole number above 0", "correct it")
    shipped = {(row["record_kind"], row["record_class"]) for row in _shipped("effect_periods")}
    present = {(row["record_kind"], row["record_class"]) for row in pack.rows(table)}
    if present:
        for kind, class_ in sorted(shipped - present):
            pack.add(table, None, "record_class", "row_missing", f"{kind}/{class_} has no period",
                     "restore its row; to end a rule, end its period")  # fmt: skip
        for row in pack.rows(table):
            if (row["record_kind"], row["record_class"]) not in shipped:
                pack.add(table, row, "record_class", "row_unknown", "no model counts records of this kind and class",
                         "correct the spelling or delete the row", severity="warning")  # fmt: skip
    pack.one_of("penalty_kinds", "penalty_class", {"minor", "ordinary", "serious"})
    pack.one_of("inspection_result_codes", "outcome", {"clean", "problem", "neutral", "not_inspectable"})
    pack.between("inspection_result_codes", "problem_weight", 0, 1000)
    pack.one_of("label_rules", "event_kind", {"penalty", "serious_violation", "inspection"})
    pack.one_of("label_rules", "label", {"0", "1"})
    codes = pack.values("inspection_result_codes", "result_code")
    for row in pack.rows("label_rules"):
        if codes and row["event_kind"] == "inspection" and row["code"] not in codes:
            pack.add("label_rules", row, "code", "reference", "no such code in inspection_result_codes.csv",
                     "correct it")  # fmt: skip


def _shipped(name: str) -> list[Row]:
    return read_table(POLICY_DIR, table_specs()[name]).rows


def parameters(pack: PackCheck) -> None:
    """Whole numbers in their range; none missing, none unknown."""
    for table in ("model_policy", "quality_policy", "inspection_policy", "public_policy"):
        known = {row["parameter"] for row in _shipped(table)}
        present = pack.values(table, "parameter")
        for row in pack.rows(table):
            value = whole(row["value"])
            low, high = PARAMETERS.get(row["parameter"], (-(10**18), 10**18))
            if value is not None and not low <= value <= high:
                pack.add(table, row, "value", "out_of_range",
                         f"{row['parameter']} must lie from {low} to {high}", "correct the value")  # fmt: skip
            if row["parameter"] not in known:
                pack.add(table, row, "parameter", "parameter_unknown", "nothing reads the parameter",
                         "correct the spelling or delete the row", severity="warning")  # fmt: skip
        for name in sorted(known - present) if present else ():
            pack.add(table, None, "parameter", "parameter_missing", f"the parameter {name} is missing",
                     "restore its row")  # fmt: skip


def vetoes(pack: PackCheck) -> None:
    """Vetoes name facts that the models can find, and are no lever upwards."""
    table = "vetoes"
    pack.one_of(table, "veto", set(veto_facts()))
    pack.one_of(table, "effect", {"force", "not_better_than"})
    pack.one_of(table, "source_feed", set(feed_names()))
    for row in pack.rows(table):
        if row["grade"] == "A":
            pack.add(table, row, "grade", "veto_to_a", "a veto to A decides or bounds nothing good",
                     "use B to E")  # fmt: skip


def indicators(pack: PackCheck) -> None:
    """The catalogue and the SQL name the same indicators; people gave each a direction."""
    table = "indicators"
    columns = pack.tables[table].spec.columns
    pack.one_of(table, "indicator", set(computed_indicators()))
    pack.one_of(table, "direction", {"1", "-1"})
    pack.one_of(table, "group_label", GROUPS)
    pack.one_of(table, "missing_rule", {"zero", "null", "never"})
    pack.one_of(table, "standardization", {"cap", "peers"})
    pack.between(table, "window_months", 1, 600)
    feeds = set(feed_names())
    column = "source_feeds" if "source_feeds" in columns else "source_feed"
    for row in pack.rows(table):
        for feed in row[column].split("|"):
            if feed not in feeds:
                pack.add(
                    table,
                    row,
                    column,
                    "reference",
                    f"there is no feed {feed!r}",
                    "name feeds of the catalogue",
                )
        cap = whole(row["cap"])
        if row["standardization"] == "cap" and (cap is None or cap <= 0):
            pack.add(table, row, "cap", "cap_missing", "an indicator standardized against a cap needs one above 0",
                     "write the value that counts as full")  # fmt: skip
    if pack.has(table):
        for name in sorted(computed_indicators() - pack.values(table, "indicator")):
            pack.add(table, None, "indicator", "row_missing", f"the models compute {name}, the catalogue lacks it",
                     "restore its row; to take it out of the model, set in_model to false")  # fmt: skip


def expert_card(pack: PackCheck) -> None:
    """The expert scorecard: bins without holes, one missing score each, a calibration that rises over all scores."""
    table = "expert_scorecard"
    pack.one_of(table, "kind", {"num", "cat", "missing", "intercept"})
    names = pack.values("indicators", "indicator")
    for row in pack.rows(table):
        if names and row["kind"] != "intercept" and row["feature"] not in names:
            pack.add(table, row, "feature", "reference", "no such indicator in indicators.csv", "correct it")
    for day in pack.moments(table):
        rows = pack.in_force(table, day)
        if rows and sum(row["kind"] == "intercept" for row in rows) != 1:
            pack.add(
                table, None, "kind", "intercept", f"there must be one intercept on {day}", "keep one row"
            )
        by_feature: dict[str, list[Row]] = {}
        for row in rows:
            if row["kind"] == "num":
                by_feature.setdefault(row["feature"], []).append(row)
        for feature, bins in by_feature.items():
            if not any(row["kind"] == "missing" and row["feature"] == feature for row in rows):
                pack.add(table, bins[0], "kind", "missing_score", f"{feature} says nothing of missing values",
                         "add its row of kind missing")  # fmt: skip
            _covers(pack, table, bins, "lower", "upper")
    table = "expert_calibration"
    for day in pack.moments(table):
        steps = pack.in_force(table, day)
        _covers(pack, table, steps, "micro_lower", "micro_upper")
        ordered = sorted(steps, key=lambda row: _low(row["micro_lower"]))
        for before, row in pairwise(ordered):
            low, high = number(before["probability"]), number(row["probability"])
            if low is not None and high is not None and high < low:
                pack.add(table, row, "probability", "falls", f"a higher score has a lower probability than line {before.line}",
                         "let it rise")  # fmt: skip
    for row in pack.rows(table):
        chance = number(row["probability"])
        if chance is not None and not 0 <= chance <= 1:
            pack.add(
                table, row, "probability", "out_of_range", "a probability lies from 0 to 1", "correct it"
            )


def _low(text: str) -> float:
    found = number(text)
    return float("-inf") if found is None else found


def _covers(pack: PackCheck, table: str, rows: list[Row], lower: str, upper: str) -> None:
    ordered = sorted(rows, key=lambda row: _low(row[lower]))
    if not ordered:
        return
    if ordered[0][lower] != "":
        pack.add(
            table,
            ordered[0],
            lower,
            "not_covered",
            "values below it have no row",
            "leave the lowest bound empty",
        )
    if ordered[-1][upper] != "":
        pack.add(
            table,
            ordered[-1],
            upper,
            "not_covered",
            "values above it have no row",
            "leave the highest bound empty",
        )
    for before, row in pairwise(ordered):
        if number(before[upper]) != number(row[lower]):
            pack.add(table, row, lower, "bins_apart", f"the row before (line {before.line}) ends at {before[upper] or 'no bound'}",
                     "let each row start where the one before ends")  # fmt: skip


RULES: list[Callable[[PackCheck], None]] = [
    grades, effects, parameters, vetoes, indicators, expert_card, units, unit_systems, *RATIO_RULES, *INSPECTION_RULES,
    extracts,
]  # fmt: skip
