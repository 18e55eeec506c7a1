"""The contract of a feed, made from the catalogue: text rows in, accepted typed rows, refusals and repairs out.

Two steps over a batch: `cells` and `uscc_cells` read every column (once per distinct text) and note repairs and
unreadable cells; then a pandera schema checks the typed frame (missing values, code lists, ranges, patterns, lengths,
days in the future, reversed periods). Duplicates and files are `ingest`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from credit_pipeline.feeds import cells
from credit_pipeline.feeds.catalogue import COMMON_COLUMNS, Column, Feed, get_feed, load_catalogue
from credit_pipeline.feeds.cells import Parsed
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

if TYPE_CHECKING:
    import pandera.polars as pa

_POLARS_TYPES: dict[str, type[pl.DataType]] = {
    "date": pl.Date,
    "integer": pl.Int64,
    "money": pl.Int64,
    "decimal": pl.Float64,
    "boolean": pl.Boolean,
}
READING_THREADS = 2
"""Columns read at once; polars runs outside the interpreter lock, and string work is not split over cores."""
_SAMPLE_ROWS = 10_000
_TEST_NAME = (
    r"(?i)^测试$|^测试[0-9a-z一二三_\-]|^测试(?:企业|公司|单位|数据|有限|个体|账号|用户)"
    r"|测试(?:企业|单位|数据|账号|用户|专用)|^test(?:$|[\s_\-0-9])|^[0-9]+$|^123456"
)
"""Names of rows typed to try a system out; 检测试验 and 软件测试 are trades and pass."""
_REVERSED = "__not_before__"


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

    def refuse(self, column: str, rule: pl.Series, value: pl.Series) -> None:
        """Note the rule each row breaks (null: none) with the text that breaks it."""
        rows = rule.is_not_null().arg_true()
        if len(rows):
            self.violations.append(_violation(rows, column, rule.gather(rows), value.gather(rows)))


def _constant(value: bool | None, dtype: type[pl.DataType], length: int) -> pl.Series:
    return pl.repeat(value, length, dtype=dtype, eager=True)


def _violation(rows: pl.Series, column: str, rule: pl.Series | str, value: pl.Series) -> pl.DataFrame:
    frame = pl.DataFrame({"row": rows.cast(pl.UInt32), "value": value.cast(pl.String)})
    rules = pl.lit(rule) if isinstance(rule, str) else pl.lit(rule.rename("rule"))
    return frame.select("row", pl.lit(column).alias("column"), rules.alias("rule"), "value")


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
            schema: a schema made before for the same feed and day.
        """
        self.feed = feed
        self.as_of_date = as_of_date
        self.regions = regions
        self.register = register
        self.schema: pa.DataFrameSchema = schema or build_schema(feed, as_of_date)
        self.foreign_words = foreign_words(feed)
        names = [column.name for column in feed.columns]
        self.name_column = next((name for name in ("party_name", "enterprise_name") if name in names), None)

    def check(self, rows: Rows) -> Checked:
        """Read, repair and check one batch."""
        frame = rows.frame
        notes = _Notes([], [])
        typed = self._read_columns(frame, rows, notes)
        self._repair_codes(frame, typed, notes)
        self._repair_units(frame, typed, notes)
        stored = pl.DataFrame(list(typed.values()))
        foreign = self._foreign_rows(frame, notes)
        violations = self._violations(frame, stored, notes, foreign)
        refused = violations["row"].unique().sort()
        accepted_rows = pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
        if len(refused):
            accepted_rows = accepted_rows.filter(~accepted_rows.is_in(refused.implode()))
        return Checked(
            accepted=self._accepted(frame, stored, accepted_rows),
            quarantine=self._quarantine(frame, rows, violations, refused),
            repairs=self._repairs(frame, stored, notes, accepted_rows),
            quarantined=len(refused),
        )

    def _read_columns(self, frame: pl.DataFrame, rows: Rows, notes: _Notes) -> dict[str, pl.Series]:
        """Every stored column as values; parse failures and repairs are noted."""

        def read(column: Column) -> tuple[Column, Parsed, list[tuple[str, pl.Series]]]:
            unit = rows.headers.columns[column.name][0].unit
            units = frame[f"{column.name}.unit"] if f"{column.name}.unit" in frame.columns else None
            return (column, *self._read(column, frame[column.name], unit, units))

        present = [column for column in self.feed.stored_columns if column.name in frame.columns]
        with ThreadPoolExecutor(READING_THREADS) as pool:
            readings = {column.name: (parsed, repairs) for column, parsed, repairs in pool.map(read, present)}
        typed: dict[str, pl.Series] = {}
        currencies: dict[str, pl.Series] = {}
        for column in self.feed.stored_columns:
            dtype = _POLARS_TYPES.get(column.type, pl.String)
            flag: pl.Series | None = None
            if column.name in readings:
                parsed, repairs = readings[column.name]
                notes.repairs += [(column.name, rule, flags) for rule, flags in repairs]
                values = parsed.values
                if parsed.violations is not None:
                    notes.refuse(column.name, parsed.violations, frame[column.name])
                    values = pl.select(pl.when(parsed.violations.is_null()).then(values)).to_series()
                typed[column.name] = values.cast(dtype).alias(column.name)
                flag = parsed.open_ended
                if parsed.currency is not None and column.currency_column is not None:
                    currencies[column.currency_column] = parsed.currency
            else:
                typed[column.name] = _constant(None, dtype, frame.height).alias(column.name)
            if column.open_ended:
                name = open_ended_flag(column)
                flag = (
                    _constant(False, pl.Boolean, frame.height)
                    if flag is None
                    else flag.fill_null(value=False)
                )
                typed[name] = flag.alias(name)
        for name, written in currencies.items():
            typed[name] = pl.select(pl.coalesce(written, typed[name])).to_series().alias(name)
        return typed

    def _read(
        self, column: Column, raw: pl.Series, unit: str | None, units: pl.Series | None
    ) -> tuple[Parsed, list[tuple[str, pl.Series]]]:
        """One column, each distinct text once (and once per unit where sources disagree on it), and its repairs."""
        groups: list[tuple[str | None, pl.Series | None]] = [(unit, None)]
        if units is not None:
            groups = [(item, units == item) for item in units.drop_nulls().unique().sort()]
        repairs: list[tuple[str, pl.Series]] = []
        result: Parsed | None = None
        for group_unit, members in groups:
            part = raw if members is None else pl.select(pl.when(members).then(raw)).to_series()
            distinct, places = _distinct(part)
            parsed = self._parse(column, distinct, group_unit)
            repairs += [
                (rule, flags.gather(places).fill_null(value=False))
                for rule, flags in parsed.repairs.items()
                if flags.any()
            ]
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
            case "name":
                parsed = cells.parse_name(raw)
            case "text":
                parsed = cells.parse_text(raw)
            case "code" | "reg_no":
                parsed = cells.parse_code(raw, column)
            case "document_no":
                parsed = cells.parse_document_no(raw)
            case "region":
                return cells.parse_region(raw, self.regions)
            case "date":
                return cells.parse_date(raw, column)
            case "integer":
                return cells.parse_integer(raw, column)
            case "decimal":
                return cells.parse_decimal(raw, column)
            case "money":
                return cells.parse_money(raw, column, unit or column.unit or "yuan")
            case "boolean":
                return cells.parse_boolean(raw)
            case "category":
                return cells.parse_category(raw, column)
            case "categories":
                return cells.parse_categories(raw, column)
        parsed.values = mask(parsed.values, mobiles=column.type in ("text", "name"))
        return parsed

    def _repair_codes(self, frame: pl.DataFrame, typed: dict[str, pl.Series], notes: _Notes) -> None:
        """Look-alike characters in bad enterprise codes, where the register confirms the name."""
        for column in self.feed.stored_columns:
            if column.type != "uscc" or column.name not in frame.columns or self.name_column not in typed:
                continue
            for index, violation in enumerate(notes.violations):
                wanted = (violation["column"] == column.name) & violation["rule"].is_in(REPAIRABLE)
                if not wanted.any():
                    continue
                bad = violation.filter(wanted)
                cleaned = parse_uscc(bad["value"]).values
                repaired = confusable_repairs(
                    cleaned, typed[self.name_column].gather(bad["row"]), self.register
                )
                rows = bad["row"].filter(repaired.is_not_null())
                if rows.is_empty():
                    continue
                typed[column.name] = typed[column.name].scatter(rows, repaired.drop_nulls())
                flags = _constant(False, pl.Boolean, frame.height).scatter(rows, True)
                notes.repairs.append((column.name, "confusable_character", flags))
                notes.violations[index] = violation.filter(~(violation["row"].is_in(rows.implode()) & wanted))

    def _repair_units(self, frame: pl.DataFrame, typed: dict[str, pl.Series], notes: _Notes) -> None:
        """Amounts 10,000 times too large or small by the words of the text beside them (元 under a 万元 header)."""
        for column in self.feed.stored_columns:
            if column.check_text is None or column.name not in frame.columns:
                continue
            keyword = column.label.removesuffix("金额")
            amounts, text = typed[column.name], typed[column.check_text]
            candidates = (
                amounts.is_not_null() & (amounts != 0) & text.str.contains(keyword, literal=True)
            ).fill_null(value=False)
            # One vectorised look at the commonest wording (罚款2000元) leaves few rows for the exact reading.
            simple = text.str.extract(rf"{keyword}([0-9]{{1,12}}(?:\.[0-9]{{1,2}})?)元", 1).cast(pl.Float64)
            agrees = ((simple * 100).round(0) == amounts).fill_null(value=False)
            rows = (candidates & ~agrees).arg_true()
            if rows.is_empty():
                continue
            texts = text.gather(rows)
            written = {item: amounts_in_text(item, keyword) for item in texts.unique()}
            repaired = [
                _other_unit(amount, written[item])
                for amount, item in zip(amounts.gather(rows), texts, strict=True)
            ]
            fixed = pl.Series(repaired, dtype=pl.Int64)
            hits = rows.filter(fixed.is_not_null())
            if len(hits):
                typed[column.name] = amounts.scatter(hits, fixed.drop_nulls())
                flags = _constant(False, pl.Boolean, frame.height).scatter(hits, True)
                notes.repairs.append((column.name, "unit_mismatch", flags))

    def _foreign_rows(self, frame: pl.DataFrame, notes: _Notes) -> pl.DataFrame:
        """(row, value) of rows that belong to another feed, by either of two signs.

        A value under another feed's header while a required one is missing; or a category that only another feed
        knows (普通 in penalties) beside a text that names that feed's subject (许可).
        """
        found = [pl.DataFrame(schema={"row": pl.UInt32, "value": pl.String})]
        if "foreign" in frame.columns:
            required = [column.name for column in self.feed.stored_columns if column.required]
            lacking = pl.any_horizontal(pl.col(name).is_null() for name in required)
            rows = frame.select((pl.col("foreign").is_not_null() & lacking).arg_true().cast(pl.UInt32)).to_series()
            found.append(pl.DataFrame({"row": rows, "value": frame["foreign"].gather(rows)}))
        texts = [
            column.name
            for column in self.feed.stored_columns
            if column.type in ("text", "document_no") and column.name in frame.columns
        ]
        for violation in notes.violations:
            unknown = violation.filter(pl.col("rule") == "code_unknown")
            for words, subject in self.foreign_words if unknown.height and texts else ():
                strange = unknown.filter(pl.Series([cells.plain_word(value) in words for value in unknown["value"]]))
                named = frame.select(texts)[strange["row"]].select(
                    pl.any_horizontal(pl.col(name).str.contains(subject, literal=True) for name in texts)
                )
                found.append(strange.filter(named.to_series().fill_null(value=False)).select("row", "value"))
        return pl.concat(found).unique("row", keep="first", maintain_order=True)

    def _violations(
        self, frame: pl.DataFrame, stored: pl.DataFrame, notes: _Notes, foreign: pl.DataFrame
    ) -> pl.DataFrame:
        """All broken rules: (row, column, rule, value), sorted; an unreadable cell is not also missing."""
        found = list(notes.violations)
        unreadable = pl.concat(found).select("row", "column") if found else None
        for name, rule, rows in self._schema_failures(stored):
            value = frame[name].gather(rows) if name in frame.columns else _constant(None, pl.String, len(rows))
            violation = _violation(rows, name, rule, value)
            if rule == "required_missing" and unreadable is not None:
                violation = violation.join(
                    unreadable, on=["row", "column"], how="anti", maintain_order="left"
                )
            found.append(violation)
        for column in self.feed.stored_columns:
            if column.type == "name" and column.name in frame.columns:
                names = stored[column.name]
                rows = names.str.contains(_TEST_NAME).fill_null(value=False).arg_true()
                if len(rows):
                    found.append(_violation(rows, column.name, "test_row", frame[column.name].gather(rows)))
        if len(foreign):
            found = [item.join(foreign, on="row", how="anti", maintain_order="left") for item in found]
            found.append(_violation(foreign["row"], "", "foreign_row", foreign["value"]))
        empty = pl.DataFrame(
            schema={"row": pl.UInt32, "column": pl.String, "rule": pl.String, "value": pl.String}
        )
        return (
            pl.concat([empty, *found])
            .unique(maintain_order=True)
            .sort("row", "column", "rule", maintain_order=True)
        )

    def _schema_failures(self, stored: pl.DataFrame) -> list[tuple[str, str, pl.Series]]:
        """(column, rule, rows) of every check of the schema that fails."""
        from pandera.constants import CHECK_OUTPUT_KEY
        from pandera.errors import SchemaErrorReason, SchemaErrors

        columns = {column.name: column for column in self.feed.stored_columns}
        checked = stored.select(
            *columns,
            *(
                (pl.col(later) >= pl.col(earlier)).alias(f"{_REVERSED}{later}")
                for later, earlier in self.feed.not_before.items()
            ),
        )
        try:
            self.schema.validate(checked, lazy=True)
        except SchemaErrors as failure:
            results = []
            for error in failure.schema_errors:
                missing = error.reason_code is SchemaErrorReason.SERIES_CONTAINS_NULLS
                rule = "required_missing" if missing else getattr(error.check, "name", None)
                output = error.check_output
                if rule is None or output is None:
                    raise
                passed = output.lazy().collect()[CHECK_OUTPUT_KEY]
                results.append((str(error.schema.name).removeprefix(_REVERSED), rule, (~passed).arg_true()))
            return results
        return []

    def _accepted(self, frame: pl.DataFrame, stored: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
        extra = frame["extra"] if "extra" in frame.columns else _constant(None, pl.String, frame.height)
        whole = stored.with_columns(frame["source_row"], mask(extra, mobiles=True).alias("extra"))
        return whole if len(rows) == frame.height else whole[rows]

    def _quarantine(
        self, frame: pl.DataFrame, rows: Rows, violations: pl.DataFrame, refused: pl.Series
    ) -> pl.DataFrame:
        codes = [column.name for column in self.feed.columns if column.type == "uscc"]
        value = mask(violations["value"], mobiles=True)
        is_code = violations["column"].is_in(codes).arg_true()
        if len(is_code):
            value = value.scatter(is_code, mask_code_values(value.gather(is_code)))
        refused_frame = frame[refused]
        texts = pl.DataFrame(
            {
                "row": refused,
                "row_number": refused_frame["source_row"],
                "row_text": self._row_texts(refused_frame, rows, codes),
            }
        )
        labels = {column.name: column.label for column in self.feed.columns}
        return (
            violations.with_columns(value.alias("value"))
            .join(texts, on="row", how="left", maintain_order="left")
            .select(
                "row_number",
                pl.when(pl.col("column") != "").then(pl.col("column")).alias("column"),
                "rule",
                "value",
                remedy_expression(pl.col("rule")).alias("remedy"),
                pl.col("column").replace_strict(labels, default=None, return_dtype=pl.String).alias("label"),
                "row_text",
            )
        )

    def _row_texts(self, frame: pl.DataFrame, rows: Rows, codes: list[str]) -> pl.Series:
        shown = frame.with_columns(mask_code_values(frame[name]) for name in codes if name in frame.columns)
        return row_texts(shown, rows.headers)

    def _repairs(
        self, frame: pl.DataFrame, stored: pl.DataFrame, notes: _Notes, accepted: pl.Series
    ) -> pl.DataFrame:
        schema = {
            "row": pl.UInt32,
            "column": pl.String,
            "rule": pl.String,
            "value": pl.String,
            "repaired": pl.String,
        }
        parts = [pl.DataFrame(schema=schema)]
        kept = _constant(False, pl.Boolean, frame.height).scatter(accepted, True)
        for column, rule, flags in notes.repairs:
            rows = (flags & kept).arg_true()
            if len(rows):
                parts.append(
                    pl.DataFrame(
                        {
                            "row": rows.cast(pl.UInt32),
                            "column": pl.repeat(column, len(rows), eager=True),
                            "rule": pl.repeat(rule, len(rows), eager=True),
                            "value": frame[column].gather(rows),
                            "repaired": stored[column].gather(rows).cast(pl.String),
                        },
                        schema=schema,
                    )
                )
        repairs = pl.concat(parts).sort("row", "column", "rule", maintain_order=True)
        return repairs.select(
            frame["source_row"].gather(repairs["row"]).alias("row_number"),
            "column",
            "rule",
            mask(repairs["value"], mobiles=True),
            "repaired",
        )


@cache
def _category_words(feed_name: str) -> frozenset[str]:
    columns = [column for column in get_feed(feed_name).columns if column.type in ("category", "categories")]
    common = {column.name for column in COMMON_COLUMNS}
    return frozenset(
        cells.plain_word(item)
        for column in columns
        if column.name not in common
        for code, words in column.codes.items()
        for item in (code, *words)
        if not item.isdigit()
    )


def foreign_words(feed: Feed) -> list[tuple[frozenset[str], str]]:
    """For each feed that the feed's foreign headers point to: category words only it has, and its subject."""
    others = []
    for other in load_catalogue().values():
        headers = {header for column in other.columns for header in column.source_names}
        if other.name != feed.name and headers & set(feed.foreign_headers):
            words = _category_words(other.name) - _category_words(feed.name)
            others.append((words, other.label.removeprefix("行政")))
    return others


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
        places = filled.cast(pl.UInt32).cum_sum() - 1
        return raw.filter(filled), pl.select(pl.when(filled).then(places)).to_series()
    places = (
        raw.to_frame("text")
        .join(distinct.to_frame("text").with_row_index("place"), on="text", how="left", maintain_order="left")
        .get_column("place")
    )
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
        if one is None or other is None:
            return one if other is None else other
        return pl.select(pl.coalesce(one, other)).to_series()

    values = either(first.values, second.values)
    assert values is not None  # noqa: S101 - both readings hold values
    return Parsed(
        values,
        {},
        either(first.violations, second.violations),
        either(first.open_ended, second.open_ended),
        either(first.currency, second.currency),
    )


def build_schema(feed: Feed, as_of_date: date) -> pa.DataFrameSchema:
    """The pandera schema of a feed's typed columns; the name of each check is the rule it stands for.

    It must validate an eager frame: on a LazyFrame pandera checks types only.
    """
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
        dtype = _POLARS_TYPES.get(column.type, pl.String)
        columns[column.name] = pa.Column(dtype, checks=checks, nullable=not column.required)
    for later in feed.not_before:
        columns[f"{_REVERSED}{later}"] = pa.Column(
            pl.Boolean, checks=[pa.Check.eq(True, name="period_reversed")], nullable=True
        )
    return pa.DataFrameSchema(columns)


def _limit(column: Column, value: float) -> int | float:
    return value if column.type == "decimal" else int(value)
