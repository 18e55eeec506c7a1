"""Policy tables as Python reads them: the same CSV seeds that dbt loads, filtered to the day."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import Settings


def policy_table(settings: Settings, name: str, as_of_date: date | None = None) -> pl.DataFrame:
    """A policy table with all values as text, only the rows in force on the day when one is given.

    Raises:
        BadInput: the pack has no such table.
    """
    path = settings.policy_dir / f"{name}.csv"
    if not path.exists():
        raise BadInput(f"the policy pack has no table {name}; remedy: add {path}")
    table = pl.read_csv(path, infer_schema=False).fill_null("")
    if as_of_date is None or "effective_from" not in table.columns:
        return table
    day = as_of_date.isoformat()
    return table.filter((pl.col("effective_from") <= day) & (pl.col("effective_to") >= day))


def policy_parameter(settings: Settings, name: str, as_of_date: date) -> int:
    """One whole-number parameter of `model_policy.csv` in force on the day.

    Raises:
        BadInput: it is missing or not a whole number.
    """
    rows = policy_table(settings, "model_policy", as_of_date).filter(pl.col("parameter") == name)
    if rows.height != 1:
        raise BadInput(
            f"model_policy.csv has {rows.height} rows for {name} on {as_of_date}; it needs exactly one"
        )
    value = rows["value"][0]
    try:
        return int(value)
    except ValueError as error:
        raise BadInput(f"model_policy.csv: {name} is {value!r}; it must be a whole number") from error


def exceptions_in_force(settings: Settings, day: date) -> list[dict[str, Any]]:
    """The special needs (特殊需求) in force on the day with the days they have left, those that end first above."""
    rows = policy_table(settings, "inspection_exceptions", day).iter_rows(named=True)
    found = [{**row, "days_left": (date.fromisoformat(row["effective_to"]) - day).days} for row in rows]
    return sorted(found, key=lambda row: (row["days_left"], row["exception_id"]))


def exceptions_for_audit(settings: Settings, day: date) -> dict[str, Any]:
    """What the audit log says of them (R10): how many, which, by which document; no grade and no enterprise."""
    told = ("exception_id", "kind", "document_no", "effective_to")
    found = [{name: row[name] for name in told} for row in exceptions_in_force(settings, day)]
    return {"count": len(found), "in_force": sorted(found, key=lambda row: row["exception_id"])}
