"""What a contract says about a batch: the rows it refused and the cells it repaired, ready for the lake.

Masking happens here, at the last door: a bad value may be a citizen's number. What counts as bad or is repaired
is decided in `contracts`.
"""

from __future__ import annotations

import polars as pl

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.cells import none_of, where
from credit_pipeline.feeds.lake_schema import USCC_SENT
from credit_pipeline.feeds.personal import mask
from credit_pipeline.feeds.reading import Rows, row_texts
from credit_pipeline.feeds.record_keys import record_keys, sending_units
from credit_pipeline.feeds.rules import remedy_expression
from credit_pipeline.feeds.uscc_cells import mask_code_values

VIOLATIONS = {"row": pl.UInt32, "column": pl.String, "rule": pl.String, "value": pl.String}
"""Broken rules of a batch: place of the row, column ('' for the row), rule, the text that breaks it."""


def violation_rows(rows: pl.Series, column: str, rule: pl.Series | str, value: pl.Series) -> pl.DataFrame:
    """Rows that break a rule (or each its own), with the text that breaks it."""
    frame = pl.DataFrame({"row": rows.cast(pl.UInt32), "value": value.cast(pl.String)})
    rules = pl.lit(rule) if isinstance(rule, str) else pl.lit(rule.rename("rule"))
    return frame.select("row", pl.lit(column).alias("column"), rules.alias("rule"), "value")


def rows_flagged(rows: pl.Series, length: int) -> pl.Series:
    """Flags that are true at the given places."""
    return none_of(length).scatter(rows, True)


_REFUSALS = {
    "row_number": pl.Int64,
    **dict.fromkeys(
        ["column", "rule", "value", "remedy", "label", "row_text", "record_key", "unit"], pl.String
    ),
}


def refused_rows(
    feed: Feed,
    code_columns: list[str],
    rows: Rows,
    stored: pl.DataFrame,
    violations: pl.DataFrame,
    refused: pl.Series,
) -> pl.DataFrame:
    """The quarantine of a batch: one entry per broken rule, with remedy and the row's masked text.

    Args:
        code_columns: columns of unified codes, in which a bad value may be a citizen's number.
        stored: the batch as typed values.
        refused: places of the refused rows, sorted.
    """
    if refused.is_empty():
        return pl.DataFrame(schema=_REFUSALS)
    value = mask(violations["value"], mobiles=True)
    of_code = violations["column"].is_in(code_columns).arg_true()
    if len(of_code):
        value = value.scatter(of_code, mask_code_values(value.gather(of_code)))
    shown = rows.frame[refused]
    shown = shown.with_columns(
        mask_code_values(shown[name]) for name in code_columns if name in shown.columns
    )
    read = stored[refused]
    texts = pl.DataFrame(
        {
            "row": refused,
            "row_number": shown["source_row"],
            "row_text": row_texts(shown, rows.headers),
            "record_key": record_keys(read, feed),
            "unit": sending_units(read, feed),
        }
    )
    labels = {column.name: column.label for column in feed.columns}
    label = pl.col("column").replace_strict(labels, default=None, return_dtype=pl.String)
    return (
        violations.with_columns(value.alias("value"))
        .join(texts, on="row", how="left", maintain_order="left")
        .select(
            "row_number",
            pl.when(pl.col("column") != "").then(pl.col("column")).alias("column"),
            "rule",
            "value",
            remedy_expression(pl.col("rule")).alias("remedy"),
            label.alias("label"),
            "row_text",
            "record_key",
            "unit",
        )
    )


def repaired_cells(
    frame: pl.DataFrame,
    whole: pl.DataFrame,
    repairs: list[tuple[str, str, pl.Series]],
    accepted: pl.Series,
) -> pl.DataFrame:
    """The log of repairs of a batch: row_number, column, rule, value as sent, repaired; of accepted rows only.

    Args:
        frame: the batch as text.
        whole: the batch as it is stored.
        repairs: (column, rule, which rows).
    """
    parts = [pl.DataFrame(schema={**VIOLATIONS, "repaired": pl.String})]
    kept = rows_flagged(accepted, frame.height)
    for column, rule, flags in repairs:
        rows = (flags & kept).arg_true()
        if len(rows):
            repair = violation_rows(rows, column, rule, frame[column].gather(rows))
            repaired = whole[column].gather(rows).cast(pl.String)
            if column == "uscc" and USCC_SENT in whole.columns:
                repaired = where(repaired.is_not_null(), repaired, whole[USCC_SENT].gather(rows))
            parts.append(repair.with_columns(repaired.alias("repaired")))
    found = pl.concat(parts).sort("row", "column", "rule", maintain_order=True)
    value = mask(found["value"], mobiles=True)
    row_number = frame["source_row"].gather(found["row"])
    return found.select(row_number.alias("row_number"), "column", "rule", value.alias("value"), "repaired")
