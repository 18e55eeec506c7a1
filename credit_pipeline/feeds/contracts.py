"""The contract of a feed, made from the catalogue: text rows in, accepted typed rows, refusals and repairs
out.

Two steps over a batch: readers of cells read every column (once per distinct text) and note repairs and
unreadable cells; then a pandera schema checks the typed frame (missing values, code lists, ranges,
patterns, lengths, days in the future, reversed periods). Duplicates and files are `ingest`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from credit_pipeline.feeds import text_cells, value_cells
from credit_pipeline.feeds.catalogue import Column, Feed
from credit_pipeline.feeds.cells import Parsed, none_of, where
from credit_pipeline.feeds.contract_schema import POLARS_TYPES, build_schema, schema_failures
from credit_pipeline.feeds.foreign_rows import foreign_rows
from credit_pipeline.feeds.lake_schema import open_ended_flag
from credit_pipeline.feeds.numbers import amounts_in_text
from credit_pipeline.feeds.personal import mask
from credit_pipeline.feeds.reading import Rows, row_texts
from credit_pipeline.feeds.rules import remedy_expression
from credit_pipeline.feeds.uscc_cells import (
    REPAIRABLE,
    Register,
    confusable_repairs,
    mask_code_values,
    parse_uscc,
)

READING_THREADS = 2
"""Columns read at once; polars runs outside the interpreter lock, and string work is not split over cores."""
_SAMPLE_ROWS = 10_000
_TEST_NAME = (
    r"(?i)^测试$|^测试[0-9a-z一二三_\-]|^测试(?:企业|公司|单位|数据|有限|个体|账号|用户)"
    r"|测试(?:企业|单位|数据|账号|用户|专用)|^test(?:$|[\s_\-0-9])|^[0-9]+$|^123456"
)
"""Names of rows typed to try a system out; 检测试验 and 软件测试 are trades and pass."""
_VIOLATIONS = {"row": pl.UInt32, "column": pl.String, "rule": pl.String, "value": pl.String}


@dataclass(frozen=True)
class Checked:
    """A batch after the contract."""

    accepted: pl.DataFrame
    """The lake's value columns, then `source_row` and `extra`."""
    quarantine: pl.DataFrame
    """row_number, column, rule, value, remedy, label, row_text: one entry per broken rule."""
    repairs: pl.DataFrame
    """row_number, column, rule, value, repaired: of accepted rows only."""
    quarantined: int
    """Rows refused."""


@dataclass
class _Notes:
    """What happened to the cells of a batch so far."""

    repairs: list[tuple[str, str, pl.Series]]
    """(column, rule, which rows)"""
    violations: list[pl.DataFrame]
    """row, column, rule, value"""


def _violation(rows: pl.Series, column: str, rule: pl.Series | str, value: pl.Series) -> pl.DataFrame:
    """Rows that break a rule (or each its own), with the text that breaks it."""
    frame = pl.DataFrame({"row": rows.cast(pl.UInt32), "value": value.cast(pl.String)})
    rules = pl.lit(rule) if isinstance(rule, str) else pl.lit(rule.rename("rule"))
    return frame.select("row", pl.lit(column).alias("column"), rules.alias("rule"), "value")


def _nothing(length: int, dtype: type[pl.DataType] = pl.String) -> pl.Series:
    return pl.repeat(None, length, dtype=dtype, eager=True)


def _rows_flagged(rows: pl.Series, length: int) -> pl.Series:
    return none_of(length).scatter(rows, True)


class Contract:
    """The contract of one feed on one day."""

    def __init__(
        self, feed: Feed, as_of_date: date, regions: Mapping[str, str], register: Register, schema: Any = None
    ) -> None:
        """
        Args:
            as_of_date: no event may lie after it.
            regions: the city's region codes and their names → code.
            register: names and codes of known enterprises, for repairs of look-alike characters.
            schema: a schema built before for the same feed and day.
        """
        self.feed = feed
        self.regions = regions
        self.register = register
        self.schema = schema or build_schema(feed, as_of_date)
        self.code_columns = [column.name for column in feed.stored_columns if column.type == "uscc"]
        names = [column.name for column in feed.columns]
        self.name_column = next((name for name in ("party_name", "enterprise_name") if name in names), None)

    def check(self, rows: Rows) -> Checked:
        """Read, repair and check one batch."""
        frame = rows.frame
        notes = _Notes([], [])
        typed = self._read_columns(rows, notes)
        self._repair_codes(frame, typed, notes)
        self._repair_units(frame, typed, notes)
        stored = pl.DataFrame(list(typed.values()))
        violations = self._violations(frame, stored, notes)
        refused = violations["row"].unique().sort()
        accepted = (~_rows_flagged(refused, frame.height)).arg_true()
        extra = frame["extra"] if "extra" in frame.columns else _nothing(frame.height)
        whole = stored.with_columns(frame["source_row"], mask(extra, mobiles=True).alias("extra"))
        return Checked(
            accepted=whole[accepted] if len(refused) else whole,
            quarantine=self._quarantine(rows, violations, refused),
            repairs=self._repairs(frame, stored, notes, accepted),
            quarantined=len(refused),
        )

    def _read_columns(self, rows: Rows, notes: _Notes) -> dict[str, pl.Series]:
        """Every stored column as values; parse failures and repairs are noted."""
        frame = rows.frame

        def read(column: Column) -> tuple[str, Parsed, list[tuple[str, pl.Series]]]:
            unit = rows.headers.columns[column.name][0].unit
            units = frame[f"{column.name}.unit"] if f"{column.name}.unit" in frame.columns else None
            return (column.name, *self._read(column, frame[column.name], unit, units))

        present = [column for column in self.feed.stored_columns if column.name in frame.columns]
        with ThreadPoolExecutor(READING_THREADS) as pool:
            readings = {name: (parsed, repairs) for name, parsed, repairs in pool.map(read, present)}
        typed: dict[str, pl.Series] = {}
        currencies: dict[str, pl.Series] = {}
        for column in self.feed.stored_columns:
            dtype = POLARS_TYPES.get(column.type, pl.String)
            values, flag = _nothing(frame.height, dtype), none_of(frame.height)
            if column.name in readings:
                parsed, repairs = readings[column.name]
                values = parsed.values
                notes.repairs += [(column.name, rule, flags) for rule, flags in repairs]
                if parsed.violations is not None:
                    bad = parsed.violations.is_not_null().arg_true()
                    if len(bad):
                        raw = frame[column.name].gather(bad)
                        notes.violations.append(
                            _violation(bad, column.name, parsed.violations.gather(bad), raw)
                        )
                        values = where(parsed.violations.is_null(), values)
                if parsed.open_ended is not None:
                    flag = parsed.open_ended.fill_null(value=False)
                if parsed.currency is not None and column.currency_column is not None:
                    currencies[column.currency_column] = parsed.currency
            typed[column.name] = values.cast(dtype).alias(column.name)
            if column.open_ended:
                typed[open_ended_flag(column)] = flag.alias(open_ended_flag(column))
        for name, written in currencies.items():
            typed[name] = where(written.is_not_null(), written, typed[name]).alias(name)
        return typed

    def _read(
        self, column: Column, raw: pl.Series, unit: str | None, units: pl.Series | None
    ) -> tuple[Parsed, list[tuple[str, pl.Series]]]:
        """One column, each distinct text once (and once per unit where sources disagree), and its repairs."""
        groups: list[tuple[str | None, pl.Series | None]] = [(unit, None)]
        if units is not None:
            groups = [(item, units == item) for item in units.drop_nulls().unique().sort()]
        repairs: list[tuple[str, pl.Series]] = []
        result: Parsed | None = None
        for group_unit, members in groups:
            distinct, places = _distinct(raw if members is None else where(members, raw))
            parsed = self._parse(column, distinct, group_unit)
            for rule, flags in parsed.repairs.items():
                if flags.any():
                    repairs.append((rule, flags.gather(places).fill_null(value=False)))
            spread = Parsed(
                parsed.values.gather(places),
                {},
                *(
                    None if item is None else item.gather(places)
                    for item in (parsed.violations, parsed.open_ended, parsed.currency)
                ),
            )
            result = spread if result is None else _merged(result, spread)
        return result or Parsed(raw), repairs

    def _parse(self, column: Column, raw: pl.Series, unit: str | None) -> Parsed:
        match column.type:
            case "uscc":
                return parse_uscc(raw)
            case "region":
                return text_cells.parse_region(raw, self.regions)
            case "date":
                return value_cells.parse_date(raw, column)
            case "integer":
                return value_cells.parse_integer(raw)
            case "decimal":
                return value_cells.parse_decimal(raw)
            case "money":
                currency = column.currency_column
                known = self.feed.column(currency).codes if currency else {"CNY": []}
                return value_cells.parse_money(raw, unit or column.unit or "yuan", known)
            case "boolean":
                return value_cells.parse_boolean(raw)
            case "category":
                return value_cells.parse_category(raw, column)
            case "categories":
                return value_cells.parse_categories(raw, column)
            case "name":
                parsed = text_cells.parse_name(raw)
            case "document_no":
                parsed = text_cells.parse_document_no(raw)
            case "code" | "reg_no":
                parsed = text_cells.parse_code(raw, column)
            case _:
                parsed = text_cells.parse_text(raw)
        parsed.values = mask(parsed.values, mobiles=column.type in ("text", "name"))
        return parsed

    def _repair_codes(self, frame: pl.DataFrame, typed: dict[str, pl.Series], notes: _Notes) -> None:
        """Look-alike characters in bad enterprise codes, where the register confirms the name."""
        if self.name_column not in frame.columns:
            return
        for index, violation in enumerate(notes.violations):
            bad = violation.filter(
                pl.col("column").is_in(self.code_columns) & pl.col("rule").is_in(REPAIRABLE)
            )
            if bad.is_empty():
                continue
            names = typed[self.name_column].gather(bad["row"])
            codes = confusable_repairs(parse_uscc(bad["value"]).values, names, self.register)
            repaired = bad.with_columns(codes.alias("code")).drop_nulls("code")
            if repaired.height:
                column = repaired["column"][0]
                typed[column] = typed[column].scatter(repaired["row"], repaired["code"])
                notes.repairs.append(
                    (column, "confusable_character", _rows_flagged(repaired["row"], frame.height))
                )
                notes.violations[index] = violation.join(
                    repaired, on=["row", "column"], how="anti", maintain_order="left"
                )

    def _repair_units(self, frame: pl.DataFrame, typed: dict[str, pl.Series], notes: _Notes) -> None:
        """Amounts 10,000 times too large or small by the words beside them (元 under a 万元 header)."""
        for column in self.feed.stored_columns:
            if column.check_text is None or column.name not in frame.columns:
                continue
            keyword = column.label.removesuffix("金额")
            amounts, text = typed[column.name], typed[column.check_text]
            named = amounts.is_not_null() & (amounts != 0) & text.str.contains(keyword, literal=True)
            # One vectorised look at the commonest wording (罚款2000元) leaves few rows for the exact reading.
            simple = text.str.extract(rf"{keyword}([0-9]{{1,12}}(?:\.[0-9]{{1,2}})?)元", 1).cast(pl.Float64)
            agrees = ((simple * 100).round(0) == amounts).fill_null(value=False)
            rows = (named.fill_null(value=False) & ~agrees).arg_true()
            if rows.is_empty():
                continue
            texts = text.gather(rows)
            written = {item: amounts_in_text(item, keyword) for item in texts.unique()}
            pairs = zip(amounts.gather(rows), texts, strict=True)
            fixed = pl.Series([_other_unit(amount, written[item]) for amount, item in pairs], dtype=pl.Int64)
            hits = rows.filter(fixed.is_not_null())
            if len(hits):
                typed[column.name] = amounts.scatter(hits, fixed.drop_nulls())
                notes.repairs.append((column.name, "unit_mismatch", _rows_flagged(hits, frame.height)))

    def _violations(self, frame: pl.DataFrame, stored: pl.DataFrame, notes: _Notes) -> pl.DataFrame:
        """All broken rules: (row, column, rule, value), sorted; an unreadable cell is not also missing."""
        found = list(notes.violations)
        unreadable = pl.concat([pl.DataFrame(schema=_VIOLATIONS), *found]).select("row", "column")
        for name, rule, rows in schema_failures(self.schema, self.feed, stored):
            value = frame[name].gather(rows) if name in frame.columns else _nothing(len(rows))
            violation = _violation(rows, name, rule, value)
            if rule == "required_missing":
                violation = violation.join(
                    unreadable, on=["row", "column"], how="anti", maintain_order="left"
                )
            found.append(violation)
        for column in self.feed.stored_columns:
            if column.type == "name" and column.name in frame.columns:
                rows = stored[column.name].str.contains(_TEST_NAME).fill_null(value=False).arg_true()
                if len(rows):
                    found.append(_violation(rows, column.name, "test_row", frame[column.name].gather(rows)))
        foreign = foreign_rows(self.feed, frame, notes.violations)
        if foreign.height:
            found = [item.join(foreign, on="row", how="anti", maintain_order="left") for item in found]
            found.append(_violation(foreign["row"], "", "foreign_row", foreign["value"]))
        whole = pl.concat([pl.DataFrame(schema=_VIOLATIONS), *found])
        return whole.unique(maintain_order=True).sort("row", "column", "rule", maintain_order=True)

    def _quarantine(self, rows: Rows, violations: pl.DataFrame, refused: pl.Series) -> pl.DataFrame:
        value = mask(violations["value"], mobiles=True)
        of_code = violations["column"].is_in(self.code_columns).arg_true()
        if len(of_code):
            value = value.scatter(of_code, mask_code_values(value.gather(of_code)))
        shown = rows.frame[refused]
        shown = shown.with_columns(
            mask_code_values(shown[name]) for name in self.code_columns if name in shown.columns
        )
        texts = pl.DataFrame(
            {"row": refused, "row_number": shown["source_row"], "row_text": row_texts(shown, rows.headers)}
        )
        labels = {column.name: column.label for column in self.feed.columns}
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
            )
        )

    def _repairs(
        self, frame: pl.DataFrame, stored: pl.DataFrame, notes: _Notes, accepted: pl.Series
    ) -> pl.DataFrame:
        schema = {**_VIOLATIONS, "repaired": pl.String}
        parts = [pl.DataFrame(schema=schema)]
        kept = _rows_flagged(accepted, frame.height)
        for column, rule, flags in notes.repairs:
            rows = (flags & kept).arg_true()
            if len(rows):
                repair = _violation(rows, column, rule, frame[column].gather(rows))
                parts.append(
                    repair.with_columns(stored[column].gather(rows).cast(pl.String).alias("repaired"))
                )
        repairs = pl.concat(parts).sort("row", "column", "rule", maintain_order=True)
        value = mask(repairs["value"], mobiles=True)
        row_number = frame["source_row"].gather(repairs["row"])
        return repairs.select(
            row_number.alias("row_number"), "column", "rule", value.alias("value"), "repaired"
        )


def _distinct(raw: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The texts to read and the place of each row among them (null for null).

    Where most texts differ, finding the equal ones costs more than reading them twice.
    """
    sample = raw.head(_SAMPLE_ROWS)
    distinct = None
    if len(raw) < _SAMPLE_ROWS or sample.n_unique() * 2 <= len(sample):
        distinct = raw.drop_nulls().unique(maintain_order=True)
    if distinct is None or len(distinct) * 2 > len(raw):
        filled = raw.is_not_null()
        return raw.filter(filled), where(filled, filled.cast(pl.UInt32).cum_sum() - 1)
    numbered = distinct.to_frame("text").with_row_index("place")
    places = raw.to_frame("text").join(numbered, on="text", how="left", maintain_order="left")["place"]
    return distinct, places


def _other_unit(amount: int, written: list[int]) -> int | None:
    """The amount times or divided by 10,000 if the text says so and does not say the amount itself."""
    if amount in written:
        return None
    if amount * 10_000 in written:
        return amount * 10_000
    if amount % 10_000 == 0 and amount // 10_000 in written:
        return amount // 10_000
    return None


def _merged(first: Parsed, second: Parsed) -> Parsed:
    """Two readings of one column, each with its own rows."""

    def either(one: pl.Series | None, other: pl.Series | None) -> pl.Series | None:
        return other if one is None else one if other is None else where(one.is_not_null(), one, other)

    values = where(first.values.is_not_null(), first.values, second.values)
    return Parsed(
        values,
        {},
        either(first.violations, second.violations),
        either(first.open_ended, second.open_ended),
        either(first.currency, second.currency),
    )
