"""The rules of plans, campaigns and grades in practice.

Ratios and exceptions are `policy_ratio_rules`; parties, sources of entropy and top-ups `policy_draw_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta

from credit_pipeline.transform.policy_check import GRADES, PackCheck, day_of, period_of, whole
from credit_pipeline.transform.policy_draw_rules import NO_SOURCE, distinct, draw_tables
from credit_pipeline.transform.policy_pack import Row
from credit_pipeline.transform.policy_ratio_rules import CODE, NAME, named

TEMPLATE = re.compile(r"[a-z][a-z0-9_]{0,19}", re.ASCII)
"""In capitals it stands in plan ids, file names and the protocol."""
INDUSTRY = re.compile(r"[A-T]\d{0,4}", re.ASCII)
LEAST_BITS_X10 = 240
"""24 bits: with 10 (3D) a party that may choose its reveal grinds 5 % down to 0.8 %."""
LONGEST_LAG_DAYS = 30
LONGEST_CAMPAIGN_DAYS = 366
CAMPAIGN_STEPS = ("never", "by_rule", "priority", "always")
FIRST_STEPS = ("no_penalty", "warning", "none")


def _known(
    pack: PackCheck, table: str, row: Row, column: str, values: Iterable[str], known: set[str], source: str
) -> None:
    for value in values:
        if known and value not in known:
            pack.add(table, row, column, "reference", f"{value!r} does not stand in {source}",
                     f"correct it, or add it to {source}")  # fmt: skip


def _scope(pack: PackCheck, table: str) -> None:
    """Region, industries and safety tag that a plan or campaign is limited to exist."""
    regions = pack.values("regions", "region")
    divisions = {row["section"] + row["division"] for row in pack.rows("industry_divisions")}
    tags = pack.values("safety_rules", "tag")
    for row in pack.rows(table):
        prefix = row["region_prefix"]
        if prefix and regions and not any(r.startswith(prefix) or prefix.startswith(r) for r in regions):
            pack.add(table, row, "region_prefix", "reference", "no region starts with it", "correct it")
        for prefix in distinct(pack, table, row, "industry_prefixes"):
            if not INDUSTRY.fullmatch(prefix) or (
                divisions and len(prefix) >= 3 and prefix[:3] not in divisions
            ):
                pack.add(table, row, "industry_prefixes", "reference", f"{prefix!r} begins no code of GB/T 4754",
                         "write a letter and up to four digits, for example C13, joined by '|'")  # fmt: skip
        if tags and row["safety_tag"] not in {"", "any", *tags}:
            pack.add(table, row, "safety_tag", "reference", "no such tag in safety_rules.csv",
                     "correct it; any stands for every tag")  # fmt: skip


def plans(pack: PackCheck) -> None:
    """Plans name units, items and parties that exist, and their rounds and windows fit the year."""
    table = "inspection_plans"
    pack.between(table, "first_due_month", 1, 12)
    pack.between(table, "first_due_day", 1, 28)
    pack.between(table, "window_days", 1, 366)
    pack.one_of(table, "direction", {"directed", "undirected"})
    named(pack, table, "approved_by", "document_no")
    _scope(pack, table)
    units = pack.values("units", "unit_id")
    for row in pack.rows(table):
        if not TEMPLATE.fullmatch(row["plan_template"]):
            pack.add(table, row, "plan_template", "not_a_code", "no name of a template",
                     "write up to 20 small letters, digits and _, a letter first")  # fmt: skip
        limited = [column for column in ("region_prefix", "industry_prefixes", "safety_tag") if row[column]]
        if row["direction"] == "undirected" and limited:
            pack.add(table, row, "direction", "direction_differs", f"an undirected plan (不定向) is limited by {limited[0]}",
                     "write directed, or take the limit out")  # fmt: skip
        if row["direction"] == "directed" and not limited:
            pack.add(table, row, "direction", "direction_differs", "a directed plan (定向) names no condition",
                     "write undirected, or limit it by region, industry or safety tag")  # fmt: skip
        if not row["document_no"] and not row["basis"].startswith("policy default"):
            pack.add(table, row, "document_no", "document_missing", "nothing orders the plan",
                     "write the document's number")  # fmt: skip
        others = distinct(pack, table, row, "cooperating_units")
        _known(pack, table, row, "cooperating_units", others, units, "units.csv")
        if row["initiator"] == "*":
            if others:
                pack.add(table, row, "cooperating_units", "joint_without_initiator",
                         "units cooperate, but every unit draws for itself", "name the initiator")  # fmt: skip
        else:
            _known(pack, table, row, "initiator", [row["initiator"]], units, "units.csv")
            if row["initiator"] in others:
                pack.add(table, row, "cooperating_units", "named_twice", "the initiator cooperates with itself",
                         "name each unit once")  # fmt: skip
        _plan_items(pack, row)
        _plan_rounds(pack, row)
        _plan_parties(pack, row)


def _plan_items(pack: PackCheck, row: Row) -> None:
    table = "inspection_plans"
    period = period_of(row)
    for code in distinct(pack, table, row, "item_codes"):
        if not CODE.fullmatch(code):
            pack.add(table, row, "item_codes", "not_a_code", f"{code!r} is no code of an item",
                     "write capital letters and digits, joined by '|'")  # fmt: skip
            continue
        reach = [
            p for g in pack.rows("inspection_item_groups") if g["item_code"] == code and (p := period_of(g))
        ]
        if not reach:
            pack.add(table, row, "item_codes", "item_of_feed",
                     f"{code!r} is no item group; it must stand in the feed inspection_items on the day of the freeze",
                     "correct it, or see credit-pipeline plan check", severity="warning")  # fmt: skip
        elif period and not _covered(period, reach):
            pack.add(table, row, "item_codes", "item_not_in_force",
                     f"the item group {code!r} is not in force on all days of the plan",
                     "end the plan with its items, or let the group go on")  # fmt: skip


def _covered(period: tuple[date, date], reach: list[tuple[date, date]]) -> bool:
    """Whether periods, put together, hold on every day of the period."""
    day = period[0]
    for first, last in sorted(reach):
        if first > day:
            return False
        if last >= period[1]:
            return True
        if last >= day:
            day = last + timedelta(days=1)
    return False


def _plan_rounds(pack: PackCheck, row: Row) -> None:
    table = "inspection_plans"
    rounds, month, day = (
        whole(row[name]) for name in ("rounds_per_year", "first_due_month", "first_due_day")
    )
    if rounds is None:
        return
    if rounds < 1 or 12 % rounds:
        pack.add(table, row, "rounds_per_year", "rounds_do_not_divide", "the rounds do not divide the year's twelve months",
                 "use 1, 2, 3, 4, 6 or 12")  # fmt: skip
        return
    if month is None or day is None or not (1 <= month <= 12 and 1 <= day <= 28):
        return
    if month > 12 // rounds:
        pack.add(table, row, "first_due_month", "round_in_next_year",
                 f"the last of {rounds} rounds is due in the next year", f"begin by month {12 // rounds}")  # fmt: skip
        return
    window = whole(row["window_days"])
    if window is None:
        return
    months = 12 // rounds
    first = date(2027, month, day)
    for number in range(rounds):
        due = first.replace(month=month + number * months)
        room = (date(2028, 1, 1) - due).days if number == rounds - 1 else (
            first.replace(month=month + (number + 1) * months) - due).days  # fmt: skip
        if window > room:
            pack.add(table, row, "window_days", "window_too_long",
                     f"the window of round {number + 1} runs beyond " + ("the year" if number == rounds - 1 else "the next round's start"),
                     f"write {room} or less")  # fmt: skip
            return


def _plan_parties(pack: PackCheck, row: Row) -> None:
    table = "inspection_plans"
    parties = distinct(pack, table, row, "parties")
    _known(pack, table, row, "parties", parties, pack.values("draw_parties", "party"), "draw_parties.csv")
    office: dict[str, str] = {}
    for party in pack.rows("draw_parties"):
        if party["party"] in parties and party["office"]:
            other = office.setdefault(party["office"], party["party"])
            if other != party["party"]:
                pack.add(table, row, "parties", "parties_of_one_office",
                         f"{other} and {party['party']} belong to {party['office']}", "name parties of different offices")  # fmt: skip
    sources = pack.values("entropy_sources", "source")
    bits = {source["source"]: whole(source["bits_x10"]) for source in pack.rows("entropy_sources")}
    fallback = distinct(pack, table, row, "entropy_fallback")
    for column, sources_named in (
        ("entropy_source", [row["entropy_source"]]),
        ("entropy_fallback", fallback),
    ):
        names = [name for name in sources_named if name]
        _known(pack, table, row, column, names, sources, "entropy_sources.csv")
        if any(name != NO_SOURCE and (bits.get(name) or LEAST_BITS_X10) < LEAST_BITS_X10 for name in names):
            pack.add(table, row, column, "too_little_entropy", "fewer than 24 bits can be tried out by a party",
                     "use KL8 (61.6 bits), SSQ or DLT")  # fmt: skip
    if {row["entropy_source"], NO_SOURCE} & set(fallback):
        pack.add(table, row, "entropy_fallback", "no_fallback", "it is no other source than the first",
                 "name others, or leave it empty")  # fmt: skip
    lag = whole(row["entropy_lag_days"])
    least = 0 if row["entropy_source"] == NO_SOURCE else 1
    if lag is not None and not least <= lag <= LONGEST_LAG_DAYS:
        pack.add(table, row, "entropy_lag_days", "out_of_range",
                 f"the number must be drawn {least} to {LONGEST_LAG_DAYS} days after the commitments", "correct it")  # fmt: skip


def grade_rules(pack: PackCheck) -> None:
    """What a grade means in practice: the notice's words on A and B, and never milder as the grade worsens."""
    table = "grade_rules"
    pack.one_of(table, "grade", set(GRADES))
    pack.one_of(table, "campaign", set(CAMPAIGN_STEPS))
    pack.one_of(table, "first_minor_violation", set(FIRST_STEPS))
    for row in pack.rows(table):
        exempt = row["grade"] == "A" and row["is_safety_related"] == "false"
        if (exempt or row["grade"] == "B") and row["campaign"] in CAMPAIGN_STEPS[1:]:
            pack.add(table, row, "campaign", "campaign_against_notice",
                     "the notice keeps B, and A where safety is no concern, out of campaigns", "write never")  # fmt: skip
        if exempt and row["may_be_drawn"] == "true":
            pack.add(table, row, "may_be_drawn", "a_is_exempt", "the notice exempts A where safety is no concern",
                     "write false; a superior's task is an exception")  # fmt: skip
    if not pack.has(table):
        return
    for day in pack.moments(table):
        cells = {(row["is_safety_related"], row["grade"]): row for row in pack.in_force(table, day)}
        for safety in ("false", "true"):
            for grade in [grade for grade in GRADES if (safety, grade) not in cells]:
                pack.add(table, None, "grade", "grade_missing",
                         f"grade {grade} with is_safety_related {safety} has no row on {day}", "add the row")  # fmt: skip
            ordered = [cells[safety, grade] for grade in GRADES if (safety, grade) in cells]
            for column, steps in (
                ("may_be_drawn", ("false", "true")), ("campaign", CAMPAIGN_STEPS),
                ("first_minor_violation", FIRST_STEPS), ("honours_priority", ("true", "false")),
                ("recheck", ("false", "true")),
            ):  # fmt: skip
                _never_milder(pack, ordered, column, steps, day)


def _never_milder(
    pack: PackCheck, ordered: list[Row], column: str, steps: tuple[str, ...], day: date
) -> None:
    strictest: Row | None = None
    for row in ordered:
        if row[column] not in steps:
            continue
        # B never is the notice's word, whatever holds for an A whom safety concerns.
        by_notice = column == "campaign" and row["grade"] == "B"
        if (
            strictest is not None
            and not by_notice
            and steps.index(row[column]) < steps.index(strictest[column])
        ):
            pack.add("grade_rules", row, column, "falls",
                     f"milder than grade {strictest['grade']} with {strictest[column]} (line {strictest.line}) on {day}",
                     "let it become stricter from A to E")  # fmt: skip
        if strictest is None or steps.index(row[column]) > steps.index(strictest[column]):
            strictest = row


def campaigns(pack: PackCheck) -> None:
    """Campaigns name units, items and days, never B, never A where safety is no concern (R30)."""
    table = "campaigns"
    named(pack, table, "title", "document_no", "approver")
    pack.reference(table, "unit_id", "units", "unit_id")
    _scope(pack, table)
    groups = pack.values("inspection_item_groups", "item_code")
    for row in pack.rows(table):
        if not NAME.fullmatch(row["campaign_id"]):
            pack.add(table, row, "campaign_id", "not_a_code", "no id of a campaign",
                     "write letters, digits, - and _")  # fmt: skip
        if not CODE.fullmatch(row["item_code"]):
            pack.add(
                table, row, "item_code", "not_a_code", "no code of an item", "write one item or item group"
            )
        elif groups and row["item_code"] not in groups:
            pack.add(table, row, "item_code", "item_of_feed",
                     "no item group; it must stand in the feed inspection_items", "correct it, or see credit-pipeline plan check",
                     severity="warning")  # fmt: skip
        first, last = day_of(row["starts_on"]), day_of(row["ends_on"])
        if first and last and first > last:
            pack.add(
                table, row, "ends_on", "period_backwards", "the campaign ends before it starts", "correct it"
            )
        elif first and last and (last - first).days >= LONGEST_CAMPAIGN_DAYS:
            pack.add(table, row, "ends_on", "campaign_without_end", "a campaign of more than a year is routine supervision",
                     "end it within a year, or make it a plan")  # fmt: skip
        period = period_of(row)
        if first and last and period and not (period[0] <= first and last <= period[1]):
            pack.add(table, row, "ends_on", "not_in_force", "its days lie outside effective_from to effective_to",
                     "let the row be in force on all its days")  # fmt: skip
        for grade in distinct(pack, table, row, "grades"):
            if grade not in set(GRADES):
                pack.add(
                    table,
                    row,
                    "grades",
                    "not_allowed",
                    f"{grade!r} is no grade",
                    "use C, D and E joined by '|'",
                )
            elif grade == "B" or (grade == "A" and not row["safety_tag"]):
                pack.add(table, row, "grades", "campaign_against_notice",
                         "the notice keeps B, and A where safety is no concern, out of campaigns",
                         "take the grade out" if grade == "B" else "take A out, or limit the campaign by safety_tag")  # fmt: skip


INSPECTION_RULES = [plans, grade_rules, campaigns, draw_tables]
