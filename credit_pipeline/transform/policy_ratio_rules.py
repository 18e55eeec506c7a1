"""The rules of ratios and exceptions: strictness never falls, the notice's 0 and 5 % stand unless an exception says so.

R10, R11, R22, R23, R29 of the notice. How rows resolve to a ratio is `policy_ratios`; plans, campaigns and parties are
`policy_inspection_rules`.
"""

from __future__ import annotations

import re
from datetime import date

from credit_pipeline.transform.policy_check import GRADES, OPEN_END, PackCheck, period_of, rises, whole
from credit_pipeline.transform.policy_pack import Row
from credit_pipeline.transform.policy_ratios import (
    ALL,
    RATIO_KINDS,
    effective_ratio_bp,
    exception_for,
    most_specific,
)

NOTICE_B_BP = 500
LONGEST_EXCEPTION_DAYS = 3 * 366
"""An exception that runs longer is a rule and belongs into a document of its own."""
KINDS = {*RATIO_KINDS, "superior_task"}
PLACEHOLDERS = {
    "-",
    "--",
    "—",
    "/",
    "?",
    "？",
    "无",
    "暂无",
    "待定",
    "未知",
    "n/a",
    "na",
    "none",
    "tbd",
    "todo",
    "x",
}
CODE = re.compile(r"[0-9A-Z][0-9A-Z_-]{0,31}", re.ASCII)
"""An item code, as the leaves of a frame hold it."""
NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,31}", re.ASCII)
TABLES = ("inspection_ratios", "inspection_item_groups", "inspection_policy", "inspection_exceptions")


def named(pack: PackCheck, table: str, *columns: str) -> None:
    """What must be named is named, not filled with a dash."""
    for row in pack.rows(table):
        for column in columns:
            if row[column].strip().lower() in PLACEHOLDERS:
                pack.add(table, row, column, "placeholder", "the value says nothing",
                         "name it; what cannot be named is not approved")  # fmt: skip


def parameter(pack: PackCheck, name: str, day: date, default: int) -> int:
    """A parameter of inspection_policy in force on the day."""
    for row in pack.in_force("inspection_policy", day):
        if row["parameter"] == name and (value := whole(row["value"])) is not None:
            return value
    return default


def ratios(pack: PackCheck) -> None:
    """Every cell there, in bounds, monotone, and no better or worse for A and B than the notice says."""
    table = "inspection_ratios"
    pack.between(table, "ratio_bp", 0, 10000)
    pack.between(table, "min_visits", 0, 366)
    pack.between(table, "max_visits", 0, 366)
    pack.one_of(table, "rounding", {"ceil", "half_up", "floor"})
    pack.one_of(table, "grade", set(GRADES))
    units = pack.values("units", "unit_id")
    groups = {row["item_code"]: row for row in pack.rows("inspection_item_groups")}
    exceptions: dict[str, list[Row]] = {}
    for row in pack.rows("inspection_exceptions"):
        exceptions.setdefault(row["exception_id"], []).append(row)
    for row in pack.rows(table):
        if units and row["unit_id"] not in {ALL, *units}:
            pack.add(table, row, "unit_id", "reference", "no such unit in units.csv",
                     "correct it, or write * for all")  # fmt: skip
        if row["item_code"] != ALL and not CODE.fullmatch(row["item_code"]):
            pack.add(table, row, "item_code", "not_a_code", "no code of an item",
                     "write capital letters and digits, or * for all")  # fmt: skip
        group = groups.get(row["item_code"])
        if group is not None:
            _fits_its_item(pack, row, group)
        _single_ratio(pack, row, exceptions)
    days = pack.moments(*TABLES)
    for day in days:
        _all_cells(pack, day)
        _monotone(pack, day)
        _frequency(pack, day)


def _fits_its_item(pack: PackCheck, row: Row, group: Row) -> None:
    table = "inspection_ratios"
    if row["is_safety_related"] != group["is_safety_related"]:
        pack.add(table, row, "is_safety_related", "safety_flag_differs",
                 f"the item has {group['is_safety_related']} (inspection_item_groups.csv line {group.line}), so nothing reads the row",
                 f"write {group['is_safety_related']}")  # fmt: skip
    ratio, cap = whole(row["ratio_bp"]), whole(group["max_ratio_bp"])
    if ratio is not None and cap is not None and ratio > cap:
        pack.add(table, row, "ratio_bp", "above_item_cap",
                 f"the item is capped at {cap} (inspection_item_groups.csv line {group.line})",
                 f"write {cap} or less; the cap of general items is the city's, only key items have none")  # fmt: skip


def _single_ratio(pack: PackCheck, row: Row, exceptions: dict[str, list[Row]]) -> None:
    table = "inspection_ratios"
    low, high, ratio = whole(row["min_visits"]), whole(row["max_visits"]), whole(row["ratio_bp"])
    if low is not None and high is not None and low > high:
        pack.add(table, row, "min_visits", "min_above_max", f"more visits at least than at most ({high})",
                 "correct one of the two")  # fmt: skip
    if ratio is not None and high == 0 and ratio > 0:
        pack.add(table, row, "max_visits", "no_visit_allowed", f"a ratio of {ratio} and no visit at most",
                 "allow a visit, or write a ratio of 0")  # fmt: skip
    exempt = row["grade"] == "A" and row["is_safety_related"] == "false"
    needs = ""
    if exempt and ((ratio or 0) > 0 or (high or 0) > 0):
        column = "ratio_bp" if (ratio or 0) > 0 else "max_visits"
        rule, needs = "a_is_exempt", "the notice exempts A where safety is no concern"
    elif row["grade"] == "B" and ratio is not None and ratio != NOTICE_B_BP:
        column = "ratio_bp"
        rule, needs = "notice_says_five_percent", "the notice gives B a ratio of 5 %"
    wanted = row["exception_id"]
    if needs and not wanted:
        pack.add(table, row, column, rule, needs,
                 f"write {0 if exempt else NOTICE_B_BP}, or name the exception (special need) that orders it in exception_id")  # fmt: skip
    if wanted:
        _covered_by_exception(pack, row, exceptions.get(wanted, []), exempt)


def _covered_by_exception(pack: PackCheck, row: Row, found: list[Row], exempt: bool) -> None:
    table = "inspection_ratios"
    if not found:
        pack.add(table, row, "exception_id", "reference", "no such exception in inspection_exceptions.csv",
                 "add it with document, approver, scope and expiry, or correct the id")  # fmt: skip
        return
    period = period_of(row)
    for exception in found:
        where = f"inspection_exceptions.csv line {exception.line}"
        reach = period_of(exception)
        if exempt and exception["kind"] != "superior_task":
            pack.add(table, row, "exception_id", "exception_of_other_kind",
                     f"A where safety is no concern is drawn by a superior's task alone, this is {exception['kind']} ({where})",
                     "name the superior's task, or leave the ratio at 0")  # fmt: skip
            return
        if period is None or reach is None or reach[1] < period[0] or reach[0] > period[1]:
            continue
        beyond = [
            column
            for column in ("unit_id", "item_code", "grade")
            if exception[column] not in (ALL, row[column])
        ]
        if beyond:
            pack.add(table, row, "exception_id", "exception_does_not_reach",
                     f"its {beyond[0]} is {exception[beyond[0]]}, the row's {row[beyond[0]]} ({where})",
                     "limit the row to the exception's scope")  # fmt: skip
        elif exception["ratio_bp"] != row["ratio_bp"]:
            pack.add(table, row, "ratio_bp", "exception_says_otherwise",
                     f"the exception orders {exception['ratio_bp']} ({where})", "write that ratio")  # fmt: skip
        elif reach[0] > period[0] or reach[1] < period[1]:
            pack.add(table, row, "effective_to" if reach[1] < period[1] else "effective_from", "exception_expired",
                     f"the exception holds from {reach[0]} to {reach[1]} ({where}), the row does not stay within",
                     "end the row with its exception; a row of the ordinary ratio follows")  # fmt: skip
        return
    pack.add(table, row, "exception_id", "exception_expired", "the exception is not in force in the row's days",
             "have it renewed, or write the ordinary ratio")  # fmt: skip


def _all_cells(pack: PackCheck, day: date) -> None:
    table = "inspection_ratios"
    if not pack.has(table):
        return
    there = {
        (row["is_safety_related"], row["grade"])
        for row in pack.in_force(table, day)
        if row["unit_id"] == ALL and row["item_code"] == ALL
    }
    for safety in ("false", "true"):
        for grade in [grade for grade in GRADES if (safety, grade) not in there]:
            pack.add(table, None, "grade", "grade_missing",
                     f"grade {grade} with is_safety_related {safety} has no row for all units and items (*, *) on {day}",
                     "add the row")  # fmt: skip


def combinations(rows: list[Row], groups: dict[str, Row]) -> list[tuple[str, str, bool]]:
    """Every unit x item x safety that some row tells apart; '*' stands for all others."""
    units = sorted({row["unit_id"] for row in rows} | {ALL})
    items = sorted({row["item_code"] for row in rows} | {ALL} | set(groups))
    found = []
    for item in items:
        flags = [False, True]
        if item in groups and groups[item]["is_safety_related"] in ("true", "false"):
            flags = [groups[item]["is_safety_related"] == "true"]
        found += [(unit, item, flag) for unit in units for flag in flags]
    return found


def _monotone(pack: PackCheck, day: date) -> None:
    table = "inspection_ratios"
    rows = pack.in_force(table, day)
    special = pack.in_force("inspection_exceptions", day)
    floor = parameter(pack, "exploration_floor_bp", day, 0)
    general_cap = parameter(pack, "general_item_max_ratio_bp", day, 10000)
    groups = {row["item_code"]: row for row in pack.in_force("inspection_item_groups", day)}
    for unit, item, safety in combinations([*rows, *special], groups):
        cells = {grade: most_specific(rows, unit, item, grade, safety) for grade in GRADES}
        ordered = [row for grade in GRADES if (row := cells[grade]) is not None]
        for column in ("min_visits", "max_visits"):
            rises(pack, table, ordered, column, strictly=False, day=str(day))
        cap = whole(groups[item]["max_ratio_bp"]) if item in groups else general_cap
        before: tuple[int, int, str] | None = None
        for row in ordered:
            # An exempt A stays exempt whatever an exception of these kinds says.
            exempt = row["grade"] == "A" and not safety
            exception = None if exempt else exception_for(special, unit, item, row["grade"])
            source, held = (table, row) if exception is None else ("inspection_exceptions", exception)
            ratio = whole(held["ratio_bp"])
            if ratio is None:
                continue
            drawn = effective_ratio_bp(ratio, row["grade"], safety, floor, 10000 if cap is None else cap)
            if before is not None and (ratio < before[0] or drawn < before[1]):
                floored = (
                    ""
                    if ratio < before[0]
                    else f"; with the exploration floor of {floor} it is {before[1]} and {drawn}"
                )
                pack.add(source, held, "ratio_bp", "falls",
                         f"the worse grade has {ratio}, the better one {before[0]} ({before[2]}) on {day}{floored}",
                         "let it rise from A to E")  # fmt: skip
            before = (ratio, drawn, f"{source}.csv line {held.line}")
    for unit, item, grade in sorted({(row["unit_id"], row["item_code"], row["grade"]) for row in rows}):
        rest = most_specific(rows, unit, item, grade, False)
        concerned = most_specific(rows, unit, item, grade, True)
        if rest and concerned and rest["item_code"] == concerned["item_code"] == ALL:
            low, high = whole(rest["ratio_bp"]), whole(concerned["ratio_bp"])
            if low is not None and high is not None and high < low:
                pack.add(table, concerned, "ratio_bp", "safety_ratio",
                         f"safety items of grade {grade} are drawn less than others: {low} (line {rest.line})",
                         "never less for safety items")  # fmt: skip


def _frequency(pack: PackCheck, day: date) -> None:
    cap = parameter(pack, "enterprise_visits_per_year", day, 0)
    keys = {
        row["item_code"] for row in pack.in_force("inspection_item_groups", day) if row["item_kind"] == "key"
    }
    for row in pack.in_force("inspection_ratios", day):
        low = whole(row["min_visits"])
        if cap and low is not None and low > cap and row["item_code"] not in keys:
            pack.add("inspection_ratios", row, "min_visits", "above_city_cap",
                     f"nobody is visited more than {cap} times a year by all units together (enterprise_visits_per_year)",
                     f"write {cap} or less; only key items may go beyond")  # fmt: skip


def exceptions(pack: PackCheck) -> None:
    """Special needs: document, approver, scope and an expiry, every time (R10)."""
    table = "inspection_exceptions"
    pack.one_of(table, "kind", KINDS)
    pack.one_of(table, "grade", {ALL, *GRADES})
    pack.between(table, "ratio_bp", 0, 10000)
    named(pack, table, "reason", "document_no", "approver")
    units = pack.values("units", "unit_id")
    for row in pack.rows(table):
        if not NAME.fullmatch(row["exception_id"]):
            pack.add(table, row, "exception_id", "not_a_code", "no id of an exception",
                     "write letters, digits, - and _, for example TX-2026-01")  # fmt: skip
        if units and row["unit_id"] not in {ALL, "", *units}:
            pack.add(table, row, "unit_id", "reference", "no such unit in units.csv", "correct it")
        if row["item_code"] not in (ALL, "") and not CODE.fullmatch(row["item_code"]):
            pack.add(
                table, row, "item_code", "not_a_code", "no code of an item", "correct it, or write * for all"
            )
        period = period_of(row)
        if period is not None and (
            period[1] >= OPEN_END or (period[1] - period[0]).days >= LONGEST_EXCEPTION_DAYS
        ):
            pack.add(table, row, "effective_to", "exception_without_end",
                     "an exception ends within three years", "write the day on which it ends; a longer one is renewed")  # fmt: skip
        if row["uscc"]:
            pack.add(table, row, "uscc", "not_allowed",
                     "an exception orders a ratio; a visit to one enterprise by name is no draw and has no effect here",
                     "remove the row: hand the order over as a lead (feed leads, type transferred, with its document as "
                     "source_ref), and its result comes with origin superior_task")  # fmt: skip
        else:
            _ratio_exception(pack, row)


def _ratio_exception(pack: PackCheck, row: Row) -> None:
    table = "inspection_exceptions"
    if row["ratio_bp"] == "":
        pack.add(table, row, "ratio_bp", "empty", "the exception orders no ratio",
                 "write the ratio in basis points; an order to visit one enterprise is no exception: hand it over as a "
                 "lead (feed leads, type transferred)")  # fmt: skip
    if row["kind"] == "uniform_draw" and row["grade"] not in (ALL, ""):
        pack.add(table, row, "grade", "not_allowed", "a uniform draw knows no grade", "write *")
    if row["unit_id"] == ALL and row["item_code"] == ALL and row["kind"] != "superior_task":
        pack.add(table, row, "unit_id", "exception_without_scope",
                 "all units, all items: that is no exception but another notice", "name a unit or an item")  # fmt: skip


def items(pack: PackCheck) -> None:
    """Item groups: kinds, tags, sections, and caps that leave the notice's 5 % room."""
    from credit_pipeline.transform.policy_unit_rules import SECTIONS

    table = "inspection_item_groups"
    pack.one_of(table, "item_kind", {"general", "key"})
    pack.between(table, "max_ratio_bp", NOTICE_B_BP, 10000)
    tags = pack.values("safety_rules", "tag")
    for row in pack.rows(table):
        if not CODE.fullmatch(row["item_code"]):
            pack.add(table, row, "item_code", "not_a_code", "no code of an item",
                     "write up to 32 capital letters, digits, - and _")  # fmt: skip
        if tags and row["safety_tag"] not in {"", "any", *tags}:
            pack.add(table, row, "safety_tag", "reference", "no such tag in safety_rules.csv",
                     "correct it; any stands for every tag, empty for all enterprises")  # fmt: skip
        if set(row["required_skill"]) & set("+|"):
            pack.add(
                table, row, "required_skill", "not_allowed", "one skill, without + and |", "name one skill"
            )
        if row["item_kind"] == "key" and whole(row["max_ratio_bp"]) not in (None, 10000):
            pack.add(table, row, "max_ratio_bp", "key_item_capped", "key items have no upper limit (国市监信〔2019〕38号)",
                     "write 10000, or make the item general")  # fmt: skip
        for section in row["industry_sections"].split("|") if row["industry_sections"] else ():
            if section not in SECTIONS:
                pack.add(table, row, "industry_sections", "not_allowed", f"{section!r} is no section of GB/T 4754",
                         "use letters A to T joined by '|'")  # fmt: skip


RATIO_RULES = [ratios, exceptions, items]
