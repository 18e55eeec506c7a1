"""Dirt in single values: dates, amounts, categories, document numbers, nulls in words.

Here: kinds that spoil one value. Not here: codes and names (dirt_codes), whole rows (dirt_rows).
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from credit_pipeline.feeds.catalogue import Column
from credit_pipeline.sample.dirt import Case, Kind, Mutation
from credit_pipeline.sample.render import unit_of
from credit_pipeline.sample.streams import calendar_day

_EXCEL_EPOCH = date(1899, 12, 30)
_NULL_WORDS = ["\\N", "暂无", "无", "-", "/", "NULL"]
_BAD_PATTERNS = {
    "township": "41133",
    "industry_code": "五一九九",
    "industry_section": "W",
    "unit_id": "市监局",
}
_OPTIONAL = ("text", "code", "reg_no", "money", "integer", "date")
_KEEP = {"reported_date", "record_status", "region", "pripid"}


def _event_column(case: Case) -> Column | None:
    """The date that every row must have."""
    names = [case.feed.event_date] if case.feed.event_date else []
    names += [c.name for c in case.columns("date") if c.required]
    found = [n for n in names if n and case.has(n) and isinstance(case.row[n], str)]
    return case.feed.column(found[0]) if found else None


def _date_unreadable(case: Case) -> Mutation | None:
    column = _event_column(case)
    if column is None or not column.required:
        return None
    value = case.pick(["2025-02-30", "2025年13月5日", "二〇二五年三月", "见决定书", "20251345"])
    return Mutation(column.name, {column.name: value}, note=value)


def _date_in_future(case: Case) -> Mutation | None:
    column = _event_column(case)
    if column is None or column.may_be_future:
        return None
    value = calendar_day(case.as_of + int(case.rng.integers(70, 200))).isoformat()
    for later, earlier in case.feed.not_before.items():
        # The row must be wrong in one way only.
        if earlier == column.name and case.row.get(later) and case.row[later] < value:
            return None
    return Mutation(column.name, {column.name: value}, note=value)


def _period_reversed(case: Case) -> Mutation | None:
    for later, earlier in case.feed.not_before.items():
        if case.has(later, earlier) and isinstance(case.row[earlier], str):
            start = date.fromisoformat(case.row[earlier])
            value = (start - timedelta(days=int(case.rng.integers(30, 400)))).isoformat()
            return Mutation(later, {later: value}, note=f"{earlier}={case.row[earlier]}, {later}={value}")
    return None


def _date_format(case: Case) -> Mutation | None:
    columns = [c for c in case.columns("date") if case.row[c.name] and len(case.row[c.name]) == 10]
    column = case.pick_column(columns)
    if column is None:
        return None
    iso = case.row[column.name]
    day = date.fromisoformat(iso)
    forms = [
        f"{day:%Y%m%d}",
        f"{day:%Y/%m/%d}",
        f"{day.year}年{day.month}月{day.day}日",
        f"{day.year}.{day.month}.{day.day}",
        f"{iso} 00:00;00",
    ]
    if day.month < 10 or day.day < 10:
        forms.append(f"{day.year}-{day.month}-{day.day}")
    if day.year > 1990:
        forms.append(str((day - _EXCEL_EPOCH).days))
    value = case.pick(forms)
    return Mutation(column.name, {column.name: value}, expected=iso, note=value)


def _date_sentinel(case: Case) -> Mutation | None:
    columns = [
        c
        for c in case.columns("date")
        if not c.required and c.name not in _KEEP and c.name != case.feed.event_date
    ]
    column = case.pick_column(columns)
    if column is None:
        return None
    if column.open_ended:
        words = ["9999-09-09", "2099-12-31 00:00;00", "长期"] + (
            ["无处罚期限"] if case.feed.name == "penalties" else []
        )
        value = case.pick(words)
        return Mutation(column.name, {column.name: value}, expected="", note=f"{value} open_ended")
    value = case.pick(["1900-01-01", "1899-12-31"])
    return Mutation(column.name, {column.name: value}, expected="", note=f"{value} unknown")


def _numbers(case: Case) -> list[Column]:
    return case.columns("money", "integer", "decimal")


def _number_unreadable(case: Case) -> Mutation | None:
    column = case.pick_column(_numbers(case))
    if column is None:
        return None
    value = case.pick(["详见附件", "#VALUE!", "12..5", "若干"])
    return Mutation(column.name, {column.name: value}, note=value)


def _number_out_of_range(case: Case) -> Mutation | None:
    columns = [c for c in _numbers(case) if c.minimum is not None or c.maximum is not None]
    column = case.pick_column(columns)
    if column is None:
        return None
    if column.minimum is not None and (column.maximum is None or case.rng.random() < 0.5):
        value = str(int(column.minimum) - 5)
    elif column.maximum is not None:
        value = str(int(column.maximum / (unit_of(column, case.office) if column.type == "money" else 1)) + 5)
    else:
        return None
    return Mutation(column.name, {column.name: value}, note=value)


def _number_format(case: Case) -> Mutation | None:
    """Thousands separators (5,000.00), or the decimal comma of a column of six decimals (5,000000 is 5)."""
    columns = []
    for column in case.columns("money"):
        text = case.row[column.name]
        if text and text.replace(".", "", 1).isdigit() and Decimal(text) >= 1:
            columns.append(column)
    chosen = case.pick_column(columns)
    if chosen is None:
        return None
    number = Decimal(case.row[chosen.name])
    unit = unit_of(chosen, case.office)
    value = f"{number:,.2f}" if number >= 1_000 else f"{number:.6f}".replace(".", ",")
    if number >= 1_000 and number != number.quantize(Decimal("0.01")):
        return None
    return Mutation(chosen.name, {chosen.name: value}, expected=str(int(number * unit)), note=value)


def _unit_mismatch(case: Case) -> Mutation | None:
    """The fine in 元 although the column is in 万元: the text of the decision tells."""
    if not case.has("fine_fen", "penalty_content") or not case.row["fine_fen"]:
        return None
    column = case.feed.column("fine_fen")
    if unit_of(column, case.office) == 100:
        return None
    fen = int(Decimal(case.row["fine_fen"]) * 1_000_000)
    value = str(fen // 100)
    return Mutation(
        "fine_fen", {"fine_fen": value}, expected=str(fen), note=f"{value}: {case.row['penalty_content']}"
    )


def _foreign_currency(case: Case) -> Mutation | None:
    column = "registered_capital_fen"
    text = case.row.get(column)
    if not text:
        return None
    currency = case.pick(["美元", "港元", "欧元"])
    if case.has("currency"):
        code = {"美元": "USD", "港元": "HKD", "欧元": "EUR"}[currency]
        word = case.feed.column("currency").codes[code][0]
        return Mutation("currency", {"currency": word}, expected=code, note=f"{text} {word}")
    if "人民币" not in text:
        return None
    value = text.replace("元人民币", currency)
    return Mutation(column, {column: value}, note=value)


def _code_unknown(case: Case) -> Mutation | None:
    columns = case.columns("category", "categories")
    column = case.pick_column(columns)
    if column is None:
        return None
    value = "3" if column.name == "record_status" else case.pick(["未知类别", "ZZ", "其它（待定）"])
    return Mutation(column.name, {column.name: value}, note=value)


def _region_unknown(case: Case) -> Mutation | None:
    column = case.pick_column(case.columns("region"))
    if column is None:
        return None
    value = case.pick(["411399", "419999", "999999"])
    return Mutation(column.name, {column.name: value}, note=value)


def _pattern(case: Case) -> Mutation | None:
    columns = [c for c in case.columns("code") if c.pattern and c.name in _BAD_PATTERNS]
    column = case.pick_column(columns)
    if column is None:
        return None
    return Mutation(column.name, {column.name: _BAD_PATTERNS[column.name]}, note=_BAD_PATTERNS[column.name])


def _too_long(case: Case) -> Mutation | None:
    columns = [
        c for c in case.columns("name", "document_no", "text") if c.max_length < 1_000 and case.row[c.name]
    ]
    column = case.pick_column(columns)
    if column is None:
        return None
    value = (case.row[column.name] * (column.max_length + 20))[: column.max_length + 20]
    return Mutation(column.name, {column.name: value}, note=f"{len(value)} > {column.max_length}")


def _required_missing(case: Case) -> Mutation | None:
    required = [case.feed.column(n) for n in case.office.columns if case.feed.column(n).required]
    column = case.pick_column([c for c in required if isinstance(case.row[c.name], str)])
    if column is None:
        return None
    name = "uscc" if case.has("uscc") and case.rng.random() < 0.5 else column.name
    return Mutation(name, {name: None})


def _null_word(case: Case) -> Mutation | None:
    kept = _KEEP | {case.feed.event_date}
    optional = [c for c in case.columns(*_OPTIONAL) if not c.required and c.name not in kept]
    columns = [c for c in optional if not c.open_ended and c.personal != "drop"]
    column = case.pick_column(columns)
    if column is None:
        return None
    value = case.pick(_NULL_WORDS)
    return Mutation(column.name, {column.name: value}, expected="", note=value)


def _document_no_format(case: Case) -> Mutation | None:
    columns = [c for c in case.columns("document_no") if case.row[c.name] and "〔" in case.row[c.name]]
    column = case.pick_column(columns)
    if column is None:
        return None
    original: str = case.row[column.name]
    opening, closing = [("[", "]"), ("【", "】"), ("(", ")"), ("（", "）")][int(case.rng.integers(4))]
    changed = original.replace("〔", opening).replace("〕", closing)
    if case.rng.random() < 0.5:
        head, number = changed.rsplit(closing, 1)
        changed = f"{head}{closing}第{number.removesuffix('号').zfill(3)}号"
    return Mutation(column.name, {column.name: changed}, expected=original, note=changed)


VALUE_KINDS = [
    Kind("date_unreadable", "quarantined", "date_unreadable", _date_unreadable),
    Kind("date_in_future", "quarantined", "date_in_future", _date_in_future),
    Kind("period_reversed", "quarantined", "period_reversed", _period_reversed),
    Kind("number_unreadable", "quarantined", "number_unreadable", _number_unreadable),
    Kind("number_out_of_range", "quarantined", "number_out_of_range", _number_out_of_range),
    Kind("code_unknown", "quarantined", "code_unknown", _code_unknown),
    Kind("region_unknown", "quarantined", "region_unknown", _region_unknown),
    Kind("pattern", "quarantined", "pattern", _pattern),
    Kind("too_long", "quarantined", "too_long", _too_long),
    Kind("required_missing", "quarantined", "required_missing", _required_missing),
    Kind("date_format", "repaired", "date_format", _date_format),
    Kind("date_sentinel", "repaired", "date_sentinel", _date_sentinel),
    Kind("null_word", "repaired", "null_word", _null_word),
    Kind("number_format", "repaired", "number_format", _number_format),
    Kind("unit_mismatch", "repaired", "unit_mismatch", _unit_mismatch, feeds=("penalties",)),
    Kind("document_no_format", "repaired", "document_no_format", _document_no_format),
    Kind("foreign_currency", "accepted", "", _foreign_currency, feeds=("registrations",)),
]
