"""Whether a policy pack may grade: every table against its columns, types, periods and references, and the rules of the
field (grades never better for worse risk, nothing negative beyond 36 months, never A by default).

Rules of single tables stand in `policy_rules`; how files are read, in `policy_pack`. Each finding names file, line,
column, value and remedy.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from credit_pipeline.errors import BadInput
from credit_pipeline.transform.policy_pack import (
    Finding,
    Row,
    Severity,
    Table,
    TableSpec,
    pack_digest,
    read_pack,
    unknown_files,
)

log = logging.getLogger(__name__)

SHOWN = 20
GRADES = "ABCDE"
DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
OPEN_END = date(9999, 12, 31)

OPTIONAL: dict[str, set[str]] = {
    "data_poor_rules": {"max_age_months", "max_negative_records"},
    "effect_periods": {"effect_months"},
    "expert_calibration": {"micro_lower", "micro_upper"},
    "expert_scorecard": {"feature", "lower", "upper", "category"},
    "campaigns": {"region_prefix", "industry_prefixes", "safety_tag"},
    "draw_parties": {"signing_key", "age_recipient"},
    "entropy_sources": {"numbers_pattern", "weekdays"},
    "indicators": {"window_months", "cap"},
    "inspection_exceptions": {"uscc", "ratio_bp"},
    "inspection_item_groups": {"safety_tag", "industry_sections", "required_skill"},
    "inspection_plans": {
        "cooperating_units",
        "region_prefix",
        "industry_prefixes",
        "safety_tag",
        "entropy_fallback",
        "document_no",
    },
    "inspection_ratios": {"exception_id"},
    "rating_maps": {"mapped_grade"},
    "regions": {"parent_region", "address_keyword"},
    "unit_scopes": {"industry_section", "township"},
    "unit_system_indicators": {"industry_section", "full_risk_value"},
    "unit_systems": {"line", "unit_id", "template", "applies_to_sections", "safety_tag"},
    "units": {"township", "parent_unit_id"},
}
"""Columns that may be empty. Of a table that is not named here or in `COMPLETE`, only the key may not."""
COMPLETE = {
    "currencies", "excluded_enterprises", "extract_options", "grade_bounds", "grade_rules", "holidays", "industry_divisions", "inspection_policy",
    "inspection_result_codes", "label_rules", "measures", "model_policy", "penalty_kinds", "public_policy", "quality_policy",
    "retention_policy",
    "safety_rules", "size_classes", "subject_kinds", "topup_reasons", "unit_rating_schemes", "unit_system_bounds",
    "unit_system_combinations", "vetoes",
}  # fmt: skip
WITHOUT_GAPS = {
    "data_poor_rules", "effect_periods", "extract_options", "grade_bounds", "grade_rules", "inspection_item_groups", "inspection_policy",
    "model_policy", "public_policy", "quality_policy", "retention_policy", "topup_reasons", "vetoes",
}  # fmt: skip
"""Tables in which a day without a rule leaves a hole in the grading; elsewhere a gap may be meant."""


class PackCheck:
    """A pack while it is checked: its tables, and the findings so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables = read_pack(folder)
        self.findings: list[Finding] = []

    def add(
        self, table: str, row: Row | None, column: str | None, rule: str, message: str, remedy: str,
        *, severity: Severity = "error",
    ) -> None:  # fmt: skip
        """Note what is wrong with a row (or with the table as a whole)."""
        value = row[column] if row is not None and column is not None else None
        self.findings.append(
            Finding(severity, f"{table}.csv", row.line if row else None, column, value, rule, message, remedy)
        )

    def rows(self, table: str) -> list[Row]:
        """Rows of a table; none when it cannot be read."""
        return self.tables[table].rows if table in self.tables else []

    def has(self, table: str) -> bool:
        """Whether the table can be read, so that a missing reference is worth telling."""
        return bool(self.rows(table))

    def values(self, table: str, column: str) -> set[str]:
        """The values of a column."""
        return {row[column] for row in self.rows(table)} - {""}

    def reference(self, table: str, column: str, to: str, target: str, *, separator: str = "") -> None:
        """Every value of the column stands in the other table."""
        if not self.has(to):
            return
        known = self.values(to, target)
        for row in self.rows(table):
            for value in row[column].split(separator) if separator else [row[column]]:
                if value and value not in known:
                    self.add(
                        table, row, column, "reference", f"{value!r} does not stand in {to}.csv ({target})",
                        f"correct it, or add it to {to}.csv",
                    )  # fmt: skip

    def one_of(self, table: str, column: str, allowed: set[str], *, optional: bool = False) -> None:
        """Every value of the column is one of the allowed."""
        for row in self.rows(table):
            if row[column] not in allowed and not (optional and row[column] == ""):
                self.add(
                    table, row, column, "not_allowed", "the value is not one of those that are read",
                    f"use one of: {', '.join(sorted(allowed))}",
                )  # fmt: skip

    def between(self, table: str, column: str, low: int, high: int) -> None:
        """Every whole number of the column lies within the bounds; empty cells are left out."""
        for row in self.rows(table):
            number = whole(row[column])
            if number is not None and not low <= number <= high:
                self.add(
                    table, row, column, "out_of_range", f"the value must lie from {low} to {high}",
                    "correct the value",
                )  # fmt: skip

    def moments(self, *tables: str) -> list[date]:
        """The days on which something of the tables starts or ends: between two of them nothing changes."""
        days: set[date] = set()
        for table in tables:
            for row in self.rows(table):
                if (period := period_of(row)) is not None:
                    days.add(period[0])
                    if period[1] < OPEN_END:
                        days.add(period[1] + timedelta(days=1))
        return sorted(days)

    def in_force(self, table: str, day: date) -> list[Row]:
        """The rows of the table in force on the day."""
        return [
            row
            for row in self.rows(table)
            if (period := period_of(row)) is not None and period[0] <= day <= period[1]
        ]


def whole(text: str) -> int | None:
    """The whole number a cell holds; None for an empty or wrong one (told elsewhere)."""
    return int(text) if WHOLE.fullmatch(text) else None


def number(text: str) -> float | None:
    """The number a cell holds; None for an empty or wrong one."""
    return float(text) if NUMBER.fullmatch(text) else None


@lru_cache(maxsize=4096)
def day_of(text: str) -> date | None:
    """The day a cell holds; None for an empty or wrong one."""
    if not DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def period_of(row: Row) -> tuple[date, date] | None:
    """First and last day of a row; None when they cannot be read or are the wrong way round."""
    first, last = day_of(row["effective_from"]), day_of(row["effective_to"])
    return (first, last) if first and last and first <= last else None


def rises(pack: PackCheck, table: str, rows: list[Row], column: str, *, strictly: bool, day: str) -> None:
    """From row to row, of better grades first, the column rises (or at least never falls)."""
    for before, row in pairwise(rows):
        low, high = number(before[column]), number(row[column])
        if low is not None and high is not None and (high < low or (strictly and high == low)):
            pack.add(
                table, row, column, "falls",
                f"the worse grade has {row[column]}, the better one {before[column]} (line {before.line}) on {day}",
                "let it rise from A to E",
            )  # fmt: skip


def check_pack(folder: Path) -> list[Finding]:
    """Everything that is wrong with the pack in the folder, errors first, then by file and line.

    Raises:
        BadInput: there is no such folder.
    """
    from credit_pipeline.transform.policy_rules import RULES

    if not folder.is_dir():
        raise BadInput(f"there is no policy folder {folder}; remedy: set CREDIT_POLICY_DIR or --dir")
    pack = PackCheck(folder)
    for table in pack.tables.values():
        pack.findings += table.findings
        _check_cells(pack, table)
        _check_key(pack, table)
    pack.findings += unknown_files(folder)
    for rule in RULES:
        rule(pack)
    unique = dict.fromkeys(pack.findings)
    return sorted(
        unique,
        key=lambda item: (item.severity != "error", item.file, item.line or 0, item.column or "", item.rule),
    )


def _is_whole(text: str) -> bool:
    return WHOLE.fullmatch(text) is not None


def _is_number(text: str) -> bool:
    return NUMBER.fullmatch(text) is not None


def _is_flag(text: str) -> bool:
    return text in ("true", "false")


def _is_day(text: str) -> bool:
    return day_of(text) is not None


TYPES: dict[str, tuple[Callable[[str], bool], str, str]] = {
    "bigint": (_is_whole, "not a whole number", "write digits only, without separators or decimals"),
    "double": (_is_number, "not a number", "write it as 0.05"),
    "boolean": (_is_flag, "neither true nor false", "write true or false in small letters"),
    "date": (_is_day, "not a day", "write it as YYYY-MM-DD, for example 2026-10-31"),
}


def _check_cells(pack: PackCheck, table: Table) -> None:
    spec = table.spec
    required = _required(spec)
    for row in table.rows:
        for column, type_ in spec.columns.items():
            value = row[column]
            if value != value.strip() or any(ord(character) < 32 for character in value):
                pack.add(
                    spec.name, row, column, "whitespace", "spaces or control characters around or in the value",
                    "delete them",
                )  # fmt: skip
            elif value == "":
                if column in required:
                    pack.add(spec.name, row, column, "empty", "the value is missing", "fill it in")
            elif type_ in TYPES:
                fits, message, remedy = TYPES[type_]
                if not fits(value):
                    pack.add(spec.name, row, column, f"not_{type_}", message, remedy)


def _required(spec: TableSpec) -> set[str]:
    if spec.name in COMPLETE:
        return set(spec.columns)
    if spec.name in OPTIONAL:
        return set(spec.columns) - OPTIONAL[spec.name]
    return {*spec.key, "effective_from", "effective_to"} & set(spec.columns)


def _check_key(pack: PackCheck, table: Table) -> None:
    spec = table.spec
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table.rows:
        groups.setdefault(tuple(row[column] for column in spec.key), []).append(row)
        if spec.is_dated:
            first, last = day_of(row["effective_from"]), day_of(row["effective_to"])
            if first and last and first > last:
                pack.add(
                    spec.name, row, "effective_to", "period_backwards",
                    f"the row ends before it starts ({row['effective_from']})", "correct one of the two days",
                )  # fmt: skip
    if not spec.key:
        return
    for key, rows in groups.items():
        named = ", ".join(part or "(all)" for part in key)
        if not spec.is_dated:
            for row in rows[1:]:
                pack.add(
                    spec.name, row, spec.key[0], "duplicate_key", f"{named} stands in line {rows[0].line} already",
                    "delete one of the two",
                )  # fmt: skip
            continue
        dated = sorted(
            ((period, row) for row in rows if (period := period_of(row))),
            key=lambda item: (item[0], item[1].line),
        )
        for (earlier, before), (later, row) in pairwise(dated):
            if later[0] <= earlier[1]:
                same = later == earlier
                pack.add(
                    spec.name, max(row, before, key=lambda item: item.line) if same else row, "effective_from",
                    "duplicate_key" if same else "period_overlap",
                    f"{named} is in force twice from {row['effective_from']}, lines {before.line} and {row.line}",
                    "end the earlier row on the day before the later one starts",
                )  # fmt: skip
            elif later[0] > earlier[1] + timedelta(days=1):
                pack.add(
                    spec.name, row, "effective_from", "period_gap",
                    f"nothing holds for {named} between {before['effective_to']} (line {before.line}) and this row",
                    "let the row start on the day after the earlier one ends",
                    severity="error" if spec.name in WITHOUT_GAPS else "warning",
                )  # fmt: skip


def findings_json(findings: list[Finding]) -> str:
    """The findings as one JSON object."""
    return json.dumps(
        {
            "errors": sum(item.severity == "error" for item in findings),
            "warnings": sum(item.severity == "warning" for item in findings),
            "findings": [asdict(item) for item in findings],
        },
        ensure_ascii=False,
    )


_SOUND: set[tuple[str, str]] = set()


def require_sound_policy(folder: Path) -> None:
    """Refuse a pack that is broken, before anything is graded with it. A pack is checked once per process and content.

    Raises:
        BadInput: the pack has errors; the message lists the first of them.
    """
    if not folder.is_dir():
        raise BadInput(f"there is no policy folder {folder}; remedy: set CREDIT_POLICY_DIR")
    mark = (str(folder), pack_digest(folder))
    if mark in _SOUND:
        return
    findings = check_pack(folder)
    errors = [item for item in findings if item.severity == "error"]
    if errors:
        more = (
            f"\n… and {len(errors) - SHOWN} more: credit-pipeline policy check" if len(errors) > SHOWN else ""
        )
        raise BadInput(
            f"the policy pack in {folder} has {len(errors)} errors and grades nobody:\n"
            + "\n".join(f"- {item}" for item in errors[:SHOWN])
            + more
        )
    if findings:
        log.warning("policy: %d warnings; see credit-pipeline policy check", len(findings))
    _SOUND.add(mark)
