"""The rules of the tables about units: who they are, what they supervise, and their own indicator systems."""

from __future__ import annotations

import re

from credit_pipeline.transform.policy_check import GRADES, PackCheck, day_of, rises, whole
from credit_pipeline.transform.policy_pack import Row

SECTIONS = set("ABCDEFGHIJKLMNOPQRST")
"""GB/T 4754-2017."""
LARGEST_THRESHOLD = 10**14
"""Times 10000 it still fits a BIGINT."""
SAFETY_MATCHES = {"industry_prefix", "scope_keyword", "licence_keyword"}


def units(pack: PackCheck) -> None:
    """Units, their scopes, regions, industries and ratings hang together."""
    pack.reference("units", "region", "regions", "region")
    pack.reference("units", "parent_unit_id", "units", "unit_id")
    pack.reference("unit_scopes", "unit_id", "units", "unit_id")
    pack.reference("unit_rating_schemes", "line", "units", "line")
    pack.reference("unit_rating_schemes", "scheme", "rating_maps", "scheme")
    pack.one_of("units", "unit_level", {"city", "county", "township"})
    pack.one_of("regions", "region_level", {"city", "county", "zone"})
    pack.one_of("industry_divisions", "section", SECTIONS)
    pack.one_of("unit_scopes", "industry_section", SECTIONS, optional=True)
    pack.one_of("safety_rules", "match_on", SAFETY_MATCHES)
    regions = pack.values("regions", "region")
    for row in pack.rows("unit_scopes"):
        if regions and not any(region.startswith(row["region_prefix"]) for region in regions):
            pack.add(
                "unit_scopes", row, "region_prefix", "reference", "no region starts with it", "correct it"
            )
    for table in ("units", "unit_scopes"):
        for row in pack.rows(table):
            if row["township"] and not re.fullmatch(r"\d{9}", row["township"], re.ASCII):
                pack.add(
                    table, row, "township", "not_a_code", "a township has nine digits", "correct the code"
                )
    for row in pack.rows("industry_divisions"):
        if not re.fullmatch(r"\d{2}", row["division"], re.ASCII):
            pack.add("industry_divisions", row, "division", "not_a_code",
                     "a division has two digits; a spreadsheet drops the leading zero", "write 01, not 1")  # fmt: skip
    pack.between("currencies", "yuan_per_100_units", 1, 10**9)


def unit_systems(pack: PackCheck) -> None:
    """Units' own systems: indicators that exist, weights, ordered bounds, known ways to combine."""
    table = "unit_systems"
    pack.reference(table, "unit_id", "units", "unit_id")
    pack.reference(table, "line", "units", "line")
    pack.reference(table, "template", table, "system_id")
    pack.reference(table, "combination", "unit_system_combinations", "combination")
    pack.reference(table, "safety_tag", "safety_rules", "tag")
    pack.one_of(table, "missing_rule", {"neutral", "renormalise"})
    pack.one_of(table, "must_report_rule", {"worst", "same"})
    pack.between(table, "minimum_indicators", 1, 1000)
    pack.between("unit_system_combinations", "max_steps_down", 0, 4)
    pack.between("unit_system_combinations", "max_steps_up", 0, 1)
    pack.between("unit_system_combinations", "review_from_steps", 1, 4)
    for other, column in (("unit_system_indicators", "system_id"), ("unit_system_bounds", "system_id")):
        pack.reference(other, column, table, "system_id")
    pack.reference("unit_system_indicators", "indicator", "indicators", "indicator")
    pack.one_of("unit_system_indicators", "industry_section", SECTIONS, optional=True)
    pack.between("unit_system_indicators", "weight", 1, 10000)
    pack.between("unit_system_indicators", "full_risk_value", 1, LARGEST_THRESHOLD)
    pack.between("unit_system_bounds", "score_upper_bp", 0, 10000)
    for row in pack.rows(table):
        for section in row["applies_to_sections"].split("|") if row["applies_to_sections"] else ():
            if section not in SECTIONS:
                pack.add(table, row, "applies_to_sections", "not_allowed",
                         f"{section!r} is no section of GB/T 4754", "use letters A to T joined by '|'")  # fmt: skip
        review, start = day_of(row["review_date"]), day_of(row["effective_from"])
        if review and start and review <= start:
            pack.add(table, row, "review_date", "review_before_start", "the review is due before the system starts",
                     "name a later day")  # fmt: skip
        if row["line"] and row["unit_id"]:
            line = {unit["unit_id"]: unit["line"] for unit in pack.rows("units")}.get(row["unit_id"])
            if line is not None and line != row["line"]:
                pack.add(table, row, "unit_id", "line_differs", f"the unit belongs to the line {line}",
                         "leave the line empty, or write that line")  # fmt: skip
    _systems_are_whole(pack)


def _systems_are_whole(pack: PackCheck) -> None:
    tables = ("unit_systems", "unit_system_indicators", "unit_system_bounds")
    told: set[tuple[str, str]] = set()

    def once(
        row: Row | None, table: str, column: str, rule: str, message: str, remedy: str, mark: str
    ) -> None:
        if (rule, mark) not in told:
            told.add((rule, mark))
            pack.add(table, row, column, rule, message, remedy)

    for day in pack.moments(*tables):
        weights: dict[str, list[Row]] = {}
        bounds: dict[str, dict[str, Row]] = {}
        for row in pack.in_force("unit_system_indicators", day):
            weights.setdefault(row["system_id"], []).append(row)
        for row in pack.in_force("unit_system_bounds", day):
            bounds.setdefault(row["system_id"], {})[row["grade"]] = row
        places: dict[tuple[str, str], Row] = {}
        for row in pack.in_force("unit_systems", day):
            name = row["system_id"]
            if not weights.get(name):
                once(row, "unit_systems", "system_id", "no_indicator", f"the system has no indicator on {day}",
                     "add rows to unit_system_indicators.csv for the same days", name)  # fmt: skip
            least = whole(row["minimum_indicators"])
            sections = (
                row["applies_to_sections"].split("|") if row["applies_to_sections"] else sorted(SECTIONS)
            )
            for section in sections:
                found = {
                    item["indicator"]
                    for item in weights.get(name, [])
                    if item["industry_section"] in ("", section)
                }
                if weights.get(name) and least is not None and len(found) < least:
                    once(row, "unit_systems", "minimum_indicators", "too_few_indicators",
                         f"section {section} has {len(found)} indicators; the system asks for {least} to grade",
                         "lower minimum_indicators or add indicators", f"{name}/{section}")  # fmt: skip
            own = bounds.get(name, {})
            for grade in [grade for grade in GRADES if grade not in own]:
                once(row, "unit_systems", "system_id", "bound_missing", f"grade {grade} has no bound on {day}",
                     "add five rows to unit_system_bounds.csv for the same days", f"{name}/{grade}")  # fmt: skip
            ordered = [own[grade] for grade in GRADES if grade in own]
            rises(pack, "unit_system_bounds", ordered, "score_upper_bp", strictly=True, day=str(day))
            if "E" in own and own["E"]["score_upper_bp"] != "10000":
                once(own["E"], "unit_system_bounds", "score_upper_bp", "not_covered", "grade E must reach to 10000",
                     "write 10000", name)  # fmt: skip
            place = row["unit_id"] or (f"line {row['line']}" if row["line"] else "")
            other = places.setdefault((place, row["priority"]), row) if place else row
            if other is not row:
                once(row, "unit_systems", "priority", "same_priority",
                     f"{other['system_id']} (line {other.line}) of the same {place} has it too",
                     "give them different priorities; the lowest comes first", name)  # fmt: skip
