"""Policy tables as Python reads them: the same CSV seeds that dbt loads, filtered to the day."""

from __future__ import annotations

from datetime import date

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
