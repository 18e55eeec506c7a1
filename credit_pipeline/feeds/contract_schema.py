"""The pandera schema of a feed's typed columns, made from the catalogue, and the rows that fail it.

pandera is imported when a schema is built: it takes seconds, and most commands need none.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from credit_pipeline.feeds.catalogue import Column, Feed, get_feed

if TYPE_CHECKING:
    import pandera.polars as pa

POLARS_TYPES: dict[str, type[pl.DataType]] = {
    "date": pl.Date,
    "integer": pl.Int64,
    "money": pl.Int64,
    "decimal": pl.Float64,
    "boolean": pl.Boolean,
}
"""Type of a column's values by its type in the catalogue; all others are String."""
_REVERSED = "__not_before__"


def build_schema(feed: Feed, as_of_date: date) -> pa.DataFrameSchema:
    """The schema of a feed on a day; the name of each check is the rule it stands for."""
    import pandera.polars as pa

    columns = {}
    for column in feed.stored_columns:
        checks: list[pa.Check] = []
        if column.type == "category":
            checks.append(pa.Check.isin(sorted(column.codes), name="code_unknown"))
        if column.type in ("text", "name", "code", "reg_no", "document_no"):
            checks.append(pa.Check.str_length(max_value=column.max_length, name="too_long"))
        if column.pattern:
            checks.append(pa.Check.str_matches(f"^(?:{column.pattern})$", name="pattern"))
        if column.minimum is not None:
            checks.append(pa.Check.ge(_limit(column, column.minimum), name="number_out_of_range"))
        if column.maximum is not None:
            checks.append(pa.Check.le(_limit(column, column.maximum), name="number_out_of_range"))
        if column.type == "date" and not column.may_be_future:
            checks.append(pa.Check.le(as_of_date, name="date_in_future"))
        dtype = POLARS_TYPES.get(column.type, pl.String)
        columns[column.name] = pa.Column(dtype, checks=checks, nullable=not column.required)
    for later in feed.not_before:
        in_order = pa.Check.eq(True, name="period_reversed")
        columns[f"{_REVERSED}{later}"] = pa.Column(pl.Boolean, checks=[in_order], nullable=True)
    return pa.DataFrameSchema(columns)


@lru_cache(maxsize=64)
def cached_schema(feed_name: str, as_of_date: date) -> pa.DataFrameSchema:
    """The schema of a feed of the catalogue, built once per day and process."""
    return build_schema(get_feed(feed_name), as_of_date)


def _limit(column: Column, value: float) -> int | float:
    return value if column.type == "decimal" else int(value)


def schema_failures(
    schema: pa.DataFrameSchema, feed: Feed, stored: pl.DataFrame
) -> list[tuple[str, str, pl.Series]]:
    """(column, rule, rows) of every check that fails.

    The frame is validated eagerly: on a LazyFrame pandera looks at types only. Rows come from the checks' own
    boolean outputs; pandera's table of failure cases would hold each failing value once more.
    """
    from pandera.constants import CHECK_OUTPUT_KEY
    from pandera.errors import SchemaErrorReason, SchemaErrors

    order = [
        (pl.col(later) >= pl.col(earlier)).alias(f"{_REVERSED}{later}")
        for later, earlier in feed.not_before.items()
    ]
    checked = stored.select(*(column.name for column in feed.stored_columns), *order)
    try:
        schema.validate(checked, lazy=True)
    except SchemaErrors as failure:
        results = []
        for error in failure.schema_errors:
            missing = error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS
            rule = "required_missing" if missing else getattr(error.check, "name", None)
            if rule is None or error.check_output is None:
                raise
            passed = error.check_output.lazy().collect()[CHECK_OUTPUT_KEY]
            results.append((str(error.schema.name).removeprefix(_REVERSED), rule, (~passed).arg_true()))
        return results
    return []
