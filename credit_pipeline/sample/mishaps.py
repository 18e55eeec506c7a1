"""Whole files that went wrong on their way: sent twice, to the wrong place, cut off, empty, with other headers.

Here: extra files beside those of the city, made of a few rows that are sent properly elsewhere, so that what
a reader refuses with them takes nothing away. Not here: dirt in the rows of proper files (dirt*).
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.sample.answer_key import Entry
from credit_pipeline.sample.days import later_state
from credit_pipeline.sample.landing import Landing
from credit_pipeline.sample.office import Layout, Office
from credit_pipeline.sample.render import render
from credit_pipeline.sample.streams import Window

_FEW = 12
_HIDDEN = 3
WITHDRAWN_EARLY = 2
"""The last of the remembered penalties are withdrawn on the first day."""


def go_live_mishaps(landing: Landing, window: Window) -> None:
    """The mishaps of the first day; each beside a feed that lost nothing by it."""
    sent = {name: rows[:_FEW] for name, rows in landing.sent.items()}
    _copy(landing, "serious_violations", "serious_violations", "_副本")
    for name, guest in (("penalties", "licences"), ("licences", "penalties")):
        if guest in sent:
            office, rows = landing.deliver_broken(guest, sent[guest], file := f"{name}/误投_{guest}.csv")
            landing.holds(name, file, office, rows)
            landing.note(name, file, office, [Entry("foreign_file", "refused", "foreign_file", note=guest)])
    _empty(landing, "complaints/空文件.jsonl")
    for name, file in (
        ("honours", "honours/荣誉信息_截断.xlsx"),
        ("related_parties", "related_parties/截断.parquet"),
    ):
        if name in sent:
            office, _ = landing.deliver_broken(
                name, sent[name], file, damage=lambda data: data[: len(data) // 2]
            )
            landing.note(
                name, file, office, [Entry("truncated_file", "refused", "unreadable_file", note="截断")]
            )
    if "honours" in sent:
        _hidden_copy(landing, "honours", sent["honours"], "honours/荣誉信息_含隐藏表.xlsx")
    if "operations" in landing.sent:
        _truncated_archive(landing)
    if "licences" in sent:
        _truncated_csv(landing, "licences", sent["licences"], "licences/截断_行政许可.csv")
    for name in ("penalties", "complaints"):
        if name in sent:
            _renamed_columns(landing, name, sent[name])
    if len(landing.sent.get("penalties", [])) > WITHDRAWN_EARLY:
        _withdrawn_in_another_file(landing, window)


def repeated_file(landing: Landing, folder: str) -> None:
    """A file of the go-live load again on a later day, under another name."""
    _copy(landing, "judgment_defaulters", folder, "_再次报送")


def _copy(landing: Landing, name: str, folder: str, suffix: str) -> None:
    original = next((file for file in landing.files if file.startswith(f"{name}/")), None)
    if original is None:
        return
    stem, dot, extension = original.rpartition("/")[2].rpartition(".")
    file = f"{folder}/{stem}{suffix}{dot}{extension}"
    landing.copy(original, file)
    landing.note_file(name, file, Entry("same_content", "skipped", note=f"与 {original} 内容相同"))


def _empty(landing: Landing, file: str) -> None:
    landing.write_bytes(file, b"")
    landing.note_file(
        file.partition("/")[0], file, Entry("empty_file", "refused", "empty_file", note="0 字节")
    )


def _truncated_archive(landing: Landing) -> None:
    original = next(
        file for file in landing.files if file.startswith("operations/") and file.endswith(".zip")
    )
    file = "operations/annual_reports_截断.zip"
    landing.write_bytes(file, (landing.out / original).read_bytes()[:2_000])
    landing.note_file("operations", file, Entry("truncated_file", "refused", "unreadable_file", note="截断"))


def _truncated_csv(landing: Landing, name: str, rows: pl.DataFrame, file: str) -> None:
    """Cut off within the last line: what stands before it is known already."""

    def cut(data: bytes) -> bytes:
        return data.rstrip(b"\r\n").rsplit(b",", 4)[0]

    office, count = landing.deliver_broken(name, rows, file, damage=cut)
    landing.holds(name, file, office, count)
    known = Entry("truncated_csv", "duplicate", "exact_duplicate", note="截断文件中的完整行")
    last = Entry(
        "truncated_csv", "quarantined", "column_count", office.row_number(count - 1), note="截断的末行"
    )
    entries = [replace(known, row_number=office.row_number(place)) for place in range(count - 1)]
    landing.note(name, file, office, [*entries, last])


def _hidden_copy(landing: Landing, name: str, rows: pl.DataFrame, file: str) -> None:
    """A workbook with an older copy of some of its rows on a hidden sheet, which nobody meant to send."""

    def with_copy(office: Office) -> Office:
        texts = render(rows[:_HIDDEN], get_feed(name), office).fill_null("").rows()
        copy = (tuple(office.headers[column] for column in office.columns), *texts)
        return replace(office, layout=replace(office.layout or Layout("Sheet1"), hidden_sheet=copy))

    office, count = landing.deliver_broken(name, rows, file, change=with_copy)
    landing.holds(name, file, office, count)
    known = Entry("hidden_copy", "duplicate", "exact_duplicate", note="已报送的行")
    landing.note(
        name, file, office, [replace(known, row_number=office.row_number(place)) for place in range(count)]
    )
    hidden = Entry("hidden_copy", "quarantined", "hidden_sheet", note="隐藏工作表中的行")
    landing.note_hidden(name, file, min(_HIDDEN, count), hidden)


def _renamed_columns(landing: Landing, name: str, rows: pl.DataFrame) -> None:
    """Every second header is a name that nobody knows."""

    def renamed(office: Office) -> Office:
        headers = {
            column: header if place % 2 else f"字段{place + 1}"
            for place, (column, header) in enumerate(office.headers.items())
        }
        return replace(office, headers=headers)

    file = f"{name}/列名改动{'.jsonl' if name == 'complaints' else '.csv'}"
    office, count = landing.deliver_broken(name, rows, file, change=renamed)
    landing.holds(name, file, office, count)
    landing.note(
        name, file, office, [Entry("columns_renamed", "refused", "columns_missing", note="半数列名改动")]
    )


def _withdrawn_in_another_file(landing: Landing, window: Window) -> None:
    """Withdrawals in a file that is read before the one with their originals."""
    back = later_state(landing.sent["penalties"][-WITHDRAWN_EARLY:], window, "withdrawn")
    file = "penalties/CF_411300_撤销.csv"
    office, count = landing.deliver_broken("penalties", back, file)
    landing.holds("penalties", file, office, count)
    entries = [
        Entry(
            "withdrawal_other_file",
            "accepted",
            "",
            office.row_number(place),
            "record_status",
            "withdrawn",
            f"先于原记录 {number}",
        )
        for place, number in enumerate(back["document_no"])
    ]
    landing.note("penalties", file, office, entries)
