"""The rules of the tables about extracts: who is left out of all of them, and what a unit may choose for its own."""

from __future__ import annotations

import polars as pl

from credit_pipeline.feeds.codes import is_uscc
from credit_pipeline.transform.policy_check import PackCheck

OPTIONS = {"xlsx": {"yes", "no"}, "csv": {"no", "utf8", "gb18030"}, "inspector_grade": {"yes", "no"}}
ALL_UNITS = "*"


def extracts(pack: PackCheck) -> None:
    """Options are known ones of known units, every option has its default, and who is left out has a valid code."""
    units = pack.values("units", "unit_id") | {ALL_UNITS}
    for row in pack.rows("extract_options"):
        if row["unit_id"] not in units:
            pack.add(
                "extract_options", row, "unit_id", "reference", "no such unit in units.csv",
                f"correct it, or write {ALL_UNITS} for all units",
            )  # fmt: skip
        allowed = OPTIONS.get(row["option"])
        if allowed is None:
            pack.add(
                "extract_options", row, "option", "not_allowed", "the option is not one of those that are read",
                f"use one of: {', '.join(sorted(OPTIONS))}",
            )  # fmt: skip
        elif row["value"] not in allowed:
            pack.add(
                "extract_options", row, "value", "not_allowed", f"not a value of {row['option']}",
                f"use one of: {', '.join(sorted(allowed))}",
            )  # fmt: skip
    if pack.has("extract_options"):
        general = {row["option"] for row in pack.rows("extract_options") if row["unit_id"] == ALL_UNITS}
        for option in sorted(set(OPTIONS) - general):
            pack.add(
                "extract_options", None, None, "missing", f"option {option} has no row for all units",
                f"add one with unit_id {ALL_UNITS}",
            )  # fmt: skip
    for row in pack.rows("excluded_enterprises"):
        if not is_uscc(pl.Series([row["uscc"]]))[0]:
            pack.add(
                "excluded_enterprises", row, "uscc", "not_a_code", "no unified social credit code, so nobody is left out",
                "compare it with the register",
            )  # fmt: skip
