"""The contract of a feed, made from the catalogue: text rows in, accepted typed rows, refusals and repairs
out.

Two steps over a batch: readers of cells read every column (once per distinct text) and note repairs and
unreadable cells; then the catalogue's checks run over the typed frame (missing values, code lists, ranges,
patterns, lengths, days in the future, reversed periods). Duplicates and files are `ingest`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import polars as pl

from credit_pipeline.feeds import text_cells, value_cells
from credit_pipeline.feeds.catalogue import Column, Feed
from credit_pipeline.feeds.cells import Parsed, none_of, where
from credit_pipeline.feeds.contract_reports import (
    VIOLATIONS,
    refused_rows,
    repaired_cells,
    rows_flagged,
    violation_rows,
)
from credit_pipeline.feeds.contract_schema import POLARS_TYPES, Check, build_schema, schema_failures
from credit_pipeline.feeds.foreign_rows import foreign_rows
from credit_pipeline.feeds.lake_schema import USCC_SENT, has_uscc_sent, open_ended_flag
from credit_pipeline.feeds.numbers import amounts_in_text
from credit_pipeline.feeds.personal import mask
from credit_pipeline.feeds.reading import Rows
from credit_pipeline.feeds.unidentified import PARTY_NAMES, Unidentified, read_unidentified
from credit_pipeline.feeds.uscc_cells import (
    REPAIRABLE,
    Register,
    confusable_repairs,
    parse_uscc,
)

READING_THREADS = 2
"""Columns read at once; polars runs outside the interpreter lock, and string work is not split over cores."""
_FEW_ROWS = 2_000
_SAMPLE_ROWS = 10_000
_FEW_VALUES = frozenset({"date", "region", "category", "categories", "boolean"})
"""Types whose texts repeat in a large batch, whatever a sample says: 20 years are 7,300 days."""
_TEST_NAME = (
    r"(?i)^测试$|^测试[0-9a-z一二三_\-]|^测试(?:企业|公司|单位|数据|有限|个体|账号|用户)"
    r"|测试(?:企业|单位|数据|账号|用户|专用)|^test(?:$|[\s_\-0-9])|^[0-9]+$|^123456"
)
"""Names of rows typed to try a system out; 检测试验 and 软件测试 are trades and pass."""


@dataclass(frozen=True)
class Checked:
    """A batch after the contract."""

    accepted: pl.DataFrame
    """The lake's value columns, then `source_row`, `extra` and, where a feed may name its enterprises
    otherwise than by their unified code, `uscc_sent`."""
    quarantine: pl.DataFrame
    """row_number, column, rule, value, remedy, label, row_text, record_key, unit: one entry per broken rule."""
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


def _nothing(length: int, dtype: type[pl.DataType] = pl.String) -> pl.Series:
    return pl.repeat(None, length, dtype=dtype, eager=True)


class Contract:
    """The contract of one feed on one day."""

    def __init__(
        self,
        feed: Feed,
        as_of_date: date,
        regions: Mapping[str, str],
        register: Register,
        schema: list[Check] | None = None,
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
        self.name_column = next((name for name in PARTY_NAMES if name in names), None)
        self.may_lack_uscc = has_uscc_sent(feed)

    def check(self, rows: Rows) -> Checked:
        """Read, repair and check one batch."""
        frame = rows.frame
        notes = _Notes([], [])
        typed = self._read_columns(rows, notes)
        self._repair_codes(frame, typed, notes)
        self._repair_units(frame, typed, notes)
        unidentified = self._unidentified(typed, notes) if self.may_lack_uscc else None
        stored = pl.DataFrame(list(typed.values()))
        violations = self._violations(frame, stored, notes, unidentified)
        refused = violations["row"].unique().sort()
        accepted = (~rows_flagged(refused, frame.height)).arg_true()
        extra = frame["extra"] if "extra" in frame.columns else _nothing(frame.height)
        whole = stored.with_columns(frame["source_row"], mask(extra, mobiles=True).alias("extra"))
        if unidentified is not None:
            whole = whole.with_columns(unidentified.sent.alias(USCC_SENT))
        return Checked(
            accepted=whole[accepted] if len(refused) else whole,
            quarantine=refused_rows(self.feed, self.code_columns, rows, stored, violations, refused),
            repairs=repaired_cells(frame, whole, notes.repairs, accepted),
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
            # For few rows starting the threads costs more than reading.
            found = map(read, present) if frame.height < _FEW_ROWS else pool.map(read, present)
            readings = {name: (parsed, repairs) for name, parsed, repairs in found}
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
                            violation_rows(bad, column.name, parsed.violations.gather(bad), raw)
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
            distinct, places = _distinct(raw if members is None else where(members, raw), column)
            parsed = self._parse(column, distinct, group_unit)
            for rule, flags in parsed.repairs.items():
                if flags.any():
                    repairs.append((rule, _spread(flags, places).fill_null(value=False)))
            spread = Parsed(
                _spread(parsed.values, places),
                {},
                *(
                    None if item is None else _spread(item, places)
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
            case "case_no":
                # Courts write （2025）豫…: right as sent. The stored form agrees with repairs that name the case.
                parsed = text_cells.parse_document_no(raw)
                parsed.repairs.pop("document_no_format")
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
                    (column, "confusable_character", rows_flagged(repaired["row"], frame.height))
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
                notes.repairs.append((column.name, "unit_mismatch", rows_flagged(hits, frame.height)))

    def _unidentified(self, typed: dict[str, pl.Series], notes: _Notes) -> Unidentified:
        """Rows without a unified code; those that something else names are no longer at fault for it."""
        whole = pl.concat([pl.DataFrame(schema=VIOLATIONS), *notes.violations])
        found = read_unidentified(typed, whole.filter(pl.col("column") == "uscc"), self.register)
        settled = (found.passing | found.missing).arg_true()
        if len(settled):
            mine = (pl.col("column") == "uscc") & pl.col("row").is_in(settled.implode())
            notes.violations = [violation.filter(~mine) for violation in notes.violations]
        return found

    def _violations(
        self, frame: pl.DataFrame, stored: pl.DataFrame, notes: _Notes, unidentified: Unidentified | None
    ) -> pl.DataFrame:
        """All broken rules: (row, column, rule, value), sorted; an unreadable cell is not also missing."""
        found = list(notes.violations)
        unreadable = pl.concat([pl.DataFrame(schema=VIOLATIONS), *found]).select("row", "column")
        if unidentified is not None and unidentified.persons.any():
            rows = unidentified.persons.arg_true()
            found.append(
                violation_rows(rows, "party_kind", "natural_person", frame["party_kind"].gather(rows))
            )
        for name, rule, rows in schema_failures(self.schema, stored):
            if unidentified is not None and (name, rule) == ("uscc", "required_missing"):
                rows = rows.filter(~(unidentified.passing | unidentified.persons).gather(rows))
            value = frame[name].gather(rows) if name in frame.columns else _nothing(len(rows))
            violation = violation_rows(rows, name, rule, value)
            if rule == "required_missing":
                violation = violation.join(
                    unreadable, on=["row", "column"], how="anti", maintain_order="left"
                )
            found.append(violation)
        found += [
            violation.join(unreadable, on=["row", "column"], how="anti", maintain_order="left")
            for violation in self._missing_beside(frame, stored)
        ]
        for column in self.feed.stored_columns:
            if column.type == "name" and column.name in frame.columns:
                rows = stored[column.name].str.contains(_TEST_NAME).fill_null(value=False).arg_true()
                if len(rows):
                    found.append(
                        violation_rows(rows, column.name, "test_row", frame[column.name].gather(rows))
                    )
        foreign = foreign_rows(self.feed, frame, notes.violations)
        if foreign.height:
            found = [item.join(foreign, on="row", how="anti", maintain_order="left") for item in found]
            found.append(violation_rows(foreign["row"], "", "foreign_row", foreign["value"]))
        whole = pl.concat([pl.DataFrame(schema=VIOLATIONS), *found])
        return whole.unique(maintain_order=True).sort("row", "column", "rule", maintain_order=True)

    def _missing_beside(self, frame: pl.DataFrame, stored: pl.DataFrame) -> list[pl.DataFrame]:
        """Values that a row needs only because it has another one (a decision needs who decided)."""
        found = []
        for column in self.feed.stored_columns:
            if column.required_with is not None:
                other, _, code = column.required_with.partition("=")
                wanted = pl.col(other) == code if code else pl.col(other).is_not_null()
                rows = stored.select((pl.col(column.name).is_null() & wanted).arg_true()).to_series()
                if len(rows):
                    found.append(violation_rows(rows, column.name, "required_missing", _nothing(len(rows))))
        return found


def _spread(values: pl.Series, places: pl.Series | None) -> pl.Series:
    """What was found for distinct texts, for every row."""
    return values if places is None else values.gather(places)


def _distinct(raw: pl.Series, column: Column) -> tuple[pl.Series, pl.Series | None]:
    """The texts to read and the place of each row among them (null for null; None: each row its own).

    Where most texts differ, finding the equal ones costs more than reading them twice.
    """
    sample = raw.head(_SAMPLE_ROWS)
    distinct = None
    if column.type in _FEW_VALUES or len(raw) < _SAMPLE_ROWS or sample.n_unique() * 2 <= len(sample):
        distinct = raw.drop_nulls().unique(maintain_order=True)
    if distinct is None or len(distinct) * 2 > len(raw):
        if raw.null_count() == 0:
            return raw, None
        filled = raw.is_not_null()
        return raw.filter(filled), where(filled, filled.cast(pl.UInt32).cum_sum() - 1)
    return distinct, raw.cast(pl.Enum(distinct)).to_physical()


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
