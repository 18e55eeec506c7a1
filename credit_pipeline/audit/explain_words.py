"""What a row of a feed says, in plain words: money in its unit, codes as the feed's own words, yes and no.

Here: the facts of one record for people. Not here: sentences of reasons (`grading.reason_words`), the page
(`audit.explain_render`).
"""

from __future__ import annotations

from typing import Any

from credit_pipeline.feeds.catalogue import Column, get_feed

LINK_WORDS = {
    "shareholder": ("股东", "shareholder"),
    "investment": ("对外投资", "investment"),
    "branch": ("分支机构", "branch"),
    "guarantor": ("担保", "guarantee"),
    "person": ("同一人员", "same person"),
    "address": ("同址或同电话", "same address or telephone"),
    "same_address": ("同址", "same address"),
    "representative": ("同一法定代表人", "same legal representative"),
}
RISK_WORDS = {
    "penalized": ("严重处罚", "serious penalty"),
    "listed": ("列入名录名单", "listed"),
    "defaulter": ("失信被执行", "defaulter of a judgment"),
    "revoked": ("吊销", "revoked"),
}
_RUNG = ("主体识别依据", "identified by")


def column_words(feed: str, name: str, language: str) -> str:
    """What a column of a feed is called: its Chinese label, or its name as English words."""
    if name == "identity_rung":
        return _RUNG[0 if language == "zh" else 1]
    if language == "zh":
        column = _column(feed, name)
        return column.label if column else name
    return name.removesuffix("_fen").replace("_", " ")


def fact_words(feed: str, name: str, value: Any, language: str, labels: dict[str, str] | None = None) -> str:
    """A value of a feed's column for people, for example fen as 万元 and `no_problem` as 未发现问题.

    Args:
        labels: Chinese words of codes that the feed itself only numbers.
    """
    column = _column(feed, name)
    zh = language == "zh"
    if column is None:
        return str(value)
    if column.type == "money":
        return f"{value / 1e6:,.2f}万元" if zh else f"CNY {value / 100:,.2f}"
    if column.type == "boolean":
        return ("是" if value else "否") if zh else ("yes" if value else "no")
    if column.codes:
        codes = str(value).split("|") if column.type == "categories" else [str(value)]
        if not zh:
            return ", ".join(code.replace("_", " ") for code in codes)
        return "、".join((labels or {}).get(code) or _chinese(column, code) for code in codes)
    return str(value)


def status_words(enterprise: dict[str, Any], kinds: dict[str, str], language: str) -> str:
    """Why an enterprise of the register has no grade: its kind of subject, or its status."""
    zh = language == "zh"
    if not enterprise["is_gradable_kind"]:
        kind = (
            kinds.get(enterprise["subject_kind"], "") if zh else enterprise["subject_kind"].replace("_", " ")
        )
        return f"主体类别为{kind}，不属于定级范围" if zh else f"its kind, {kind}, is not graded"
    status = fact_words("registrations", "status", enterprise["status"], language)
    return f"登记状态为{status}" if zh else f"its status is {status}"


def words_of(codes: str | None, table: dict[str, tuple[str, str]], language: str) -> str:
    """Codes with spaces between them as words."""
    place, between = (0, "、") if language == "zh" else (1, ", ")
    return between.join(table[code][place] if code in table else code for code in (codes or "").split())


def _column(feed: str, name: str) -> Column | None:
    return next((column for column in get_feed(feed).stored_columns if column.name == name), None)


def _chinese(column: Column, code: str) -> str:
    words = (column.codes or {}).get(code, [])
    return next((word for word in words if not word.isascii()), code)
