"""Dirt in single values: dates, amounts, categories, document numbers, nulls in words.

Here: kinds that spoil one value. Not here: codes and names (dirt_codes), whole rows (dirt_rows).
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal

import numpy as np

from credit_pipeline.feeds.catalogue import Column
from credit_pipeline.sample.codes import make_person_ids
from credit_pipeline.sample.dirt import Case, Kind, Mutation
from credit_pipeline.sample.render import unit_of, word_of
from credit_pipeline.sample.streams import calendar_day
from credit_pipeline.sample.writers import NUMBER_CELL

_EXCEL_EPOCH = date(1899, 12, 30)
_NULL_WORDS = ["\\N", "暂无", "无", "-", "/", "NULL"]
_ZERO_IS_NULL = ("code", "reg_no", "date")
_FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_BAD_PATTERNS = {
    "township": "41133",
    "industry_code": "五一九九",
    "industry_section": "W",
    "unit_id": "市监局",
}
_OPTIONAL = ("text", "code", "reg_no", "money", "integer", "date")
_SPOKEN = {"violation_facts", "penalty_content", "remark", "content", "detail", "topic"}
"""Free text in which people are spoken of."""
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
    for later, earlier in case.feed.date_order:
        # The row must be wrong in one way only.
        if earlier == column.name and case.row.get(later) and case.row[later] < value:
            return None
    return Mutation(column.name, {column.name: value}, note=value)


def _period_reversed(case: Case) -> Mutation | None:
    for later, earlier in case.feed.date_order:
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
        iso.translate(_FULL_WIDTH),
    ]
    if day.month < 10 or day.day < 10:
        forms.append(f"{day.year}-{day.month}-{day.day}")
    if day.year > 1990:
        forms.append(str((day - _EXCEL_EPOCH).days))
    value = case.pick(forms)
    return Mutation(column.name, {column.name: value}, expected=iso, note=value)


def _sentinel_column(case: Case, open_ended: bool) -> Column | None:
    columns = [c for c in case.columns("date") if not c.required and c.open_ended == open_ended]
    return case.pick_column([c for c in columns if c.name not in _KEEP and c.name != case.feed.event_date])


def _date_open_ended(case: Case) -> Mutation | None:
    """A date or a word that means that there is no end."""
    column = _sentinel_column(case, open_ended=True)
    if column is None:
        return None
    words = ["9999-09-09", "2099-12-31 00:00;00", "2099-12-31", "长期"]
    value = case.pick([*words, "无处罚期限"] if case.feed.name == "penalties" else words)
    return Mutation(column.name, {column.name: value}, note=value)


def _date_unknown(case: Case) -> Mutation | None:
    """Day zero of a spreadsheet or a database: nobody knows."""
    column = _sentinel_column(case, open_ended=False)
    if column is None:
        return None
    value = case.pick(["1900-01-01", "1899-12-31"])
    return Mutation(column.name, {column.name: value}, note=value)


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
    """Thousands separators (5,000.00), the decimal comma of a column of six decimals (5,000000 is 5), full
    width, a unit in the cell."""
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
    fen = int(number * unit)
    forms = [
        case.row[chosen.name].translate(_FULL_WIDTH),
        f"{Decimal(fen) / 100:f}元",
        f"￥{Decimal(fen) / 100:,.2f}元",
    ]
    if number < 1_000:
        forms += [f"{number:.6f}".replace(".", ",")] * 2
    elif number == number.quantize(Decimal("0.01")):
        forms += [f"{number:,.2f}"] * 2
    value = case.pick(forms)
    return Mutation(chosen.name, {chosen.name: value}, expected=str(fen), note=value)


def _unit_mismatch(case: Case) -> Mutation | None:
    """The fine in 元 although the column is in 万元, or the other way: the text of the decision tells."""
    if not case.has("fine_fen", "penalty_content") or not case.row["fine_fen"]:
        return None
    column = case.feed.column("fine_fen")
    unit = unit_of(column, case.office)
    fen = int(Decimal(case.row["fine_fen"]) * unit)
    value = f"{Decimal(fen) / (1_000_000 if unit == 100 else 100):f}"
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
    number = Decimal(re.sub("[^0-9.]", "", text))
    return Mutation(column, {column: value}, expected=str(int(number * 1_000_000)), note=value)


def _code_unknown(case: Case) -> Mutation | None:
    columns = case.columns("category", "categories")
    column = case.pick_column(columns)
    if column is None:
        return None
    value = "3" if column.name == "record_status" else case.pick(["未知类别", "ZZ", "其它（待定）"])
    return Mutation(column.name, {column.name: value}, note=value)


def _codes_conflict(case: Case) -> Mutation | None:
    """No problem found, and a problem."""
    columns = [c for c in case.columns("categories") if c.stands_alone and case.row[c.name]]
    column = case.pick_column(columns)
    if column is None:
        return None
    alone = word_of(column, column.stands_alone[0], case.office.coded)
    other = case.pick([code for code in column.codes if code not in column.stands_alone])
    value = case.office.separator.join([alone, word_of(column, other, case.office.coded)])
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
    if column.name == "uscc" and case.feed.name != "registrations":
        return None  # something else may name the enterprise: dirt_identity
    return Mutation(column.name, {column.name: None})


def _null_word(case: Case) -> Mutation | None:
    kept = _KEEP | {case.feed.event_date}
    optional = [c for c in case.columns(*_OPTIONAL) if not c.required and c.name not in kept]
    columns = [c for c in optional if not c.open_ended and c.personal != "drop"]
    column = case.pick_column(columns)
    if column is None:
        return None
    value = case.pick([*_NULL_WORDS, "0"] if column.type in _ZERO_IS_NULL else _NULL_WORDS)
    return Mutation(column.name, {column.name: value}, expected="", note=value)


def _null_word_required(case: Case) -> Mutation | None:
    """A word for nothing where there must be something."""
    columns = [c for c in case.columns("text", "name", "code", "document_no", "date") if c.required]
    column = case.pick_column(columns)
    if column is None:
        return None
    value = case.pick(_NULL_WORDS)
    return Mutation(column.name, {column.name: value}, note=value)


def _personal_id_in_text(case: Case) -> Mutation | None:
    """A citizen's number in the words of a decision or complaint: only its first six and last four stay."""
    columns = [c for c in case.columns("text") if c.name in _SPOKEN and case.row[c.name]]
    column = case.pick_column(columns)
    if column is None:
        return None
    number = make_person_ids(np.array([int(case.rng.integers(-5_000, 12_000))]))[0]
    text = str(case.row[column.name])
    sent = f"{text}（当事人身份证号{number}）"
    expected = f"{text}（当事人身份证号{number[:6]}********{number[14:]}）"
    return Mutation(column.name, {column.name: sent}, expected=expected, note="公民身份号码")


def _full_width_number(case: Case) -> Mutation | None:
    """Digits and letters of a number in full width."""
    columns = [
        c for c in case.columns("code", "reg_no", "document_no") if case.row[c.name] and c.personal != "drop"
    ]
    column = case.pick_column([c for c in columns if re.search("[0-9A-Za-z]", case.row[c.name])])
    if column is None:
        return None
    original: str = case.row[column.name]
    value = re.sub("[0-9A-Za-z]", lambda found: found[0].translate(_FULL_WIDTH), original)
    return Mutation(column.name, {column.name: value}, expected=original, note=value)


def _invisible(case: Case) -> Mutation | None:
    """Zero-width and no-break spaces in numbers and names."""
    columns = [c for c in case.columns("code", "document_no", "name") if c.personal != "drop"]
    column = case.pick_column(
        [c for c in columns if isinstance(case.row[c.name], str) and len(case.row[c.name]) > 3]
    )
    if column is None or case.feed.name == "registrations":
        return None
    original: str = case.row[column.name]
    forms = [f"{original[:3]}\u200b{original[3:]}", f"\ufeff{original}"]
    if column.type != "name":  # around a name white space is nothing worth telling
        forms += [f"{original}\u00a0", f"\u3000{original}"]
    value = case.pick(forms)
    return Mutation(column.name, {column.name: value}, expected=original, note=value)


def _number_cell(case: Case) -> Mutation | None:
    """The 15 digits of a registration number as a number of Excel: none is lost, and nothing changes."""
    number = case.row.get("reg_no")
    if not number:
        return None
    return Mutation("reg_no", {"reg_no": f"{NUMBER_CELL}{number}"}, expected=number, note="数字单元格")


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
    Kind("codes_conflict", "quarantined", "codes_conflict", _codes_conflict, feeds=("inspection_results",)),
    Kind("region_unknown", "quarantined", "region_unknown", _region_unknown),
    Kind("pattern", "quarantined", "pattern", _pattern),
    Kind("too_long", "quarantined", "too_long", _too_long),
    Kind("required_missing", "quarantined", "required_missing", _required_missing),
    Kind("null_word_required", "quarantined", "required_missing", _null_word_required),
    Kind("date_format", "repaired", "date_format", _date_format),
    Kind("date_open_ended", "repaired", "date_sentinel", _date_open_ended),
    Kind("date_unknown", "repaired", "date_sentinel", _date_unknown),
    Kind("null_word", "repaired", "null_word", _null_word),
    Kind("number_format", "repaired", "number_format", _number_format),
    Kind("unit_mismatch", "repaired", "unit_mismatch", _unit_mismatch, feeds=("penalties",)),
    Kind("full_width_number", "repaired", "full_width", _full_width_number),
    Kind("invisible_character", "repaired", "spaces_or_hyphens", _invisible),
    Kind("personal_id_in_text", "accepted", "", _personal_id_in_text),
    Kind("number_cell", "accepted", "", _number_cell, formats=("xlsx",)),
    Kind("document_no_format", "repaired", "document_no_format", _document_no_format),
    Kind("foreign_currency", "accepted", "", _foreign_currency, feeds=("registrations",)),
]
