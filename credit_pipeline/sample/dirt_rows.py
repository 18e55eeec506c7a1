"""Dirt of whole rows: test rows, rows of another feed, broken lines, duplicates, versions, dead firms.

Here: kinds that concern a row as a whole. Not here: single values (dirt_codes, dirt_values).
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from credit_pipeline.sample.city import City
from credit_pipeline.sample.dirt import Case, Kind, Mutation
from credit_pipeline.sample.render import word_of
from credit_pipeline.sample.streams import Ints, calendar_day
from credit_pipeline.sample.writers import BROKEN_BYTES

_VERSION_TEXT = {"penalties": "penalty_content", "licences": "content", "honours": "honour_name"}


def _test_row(case: Case) -> Mutation | None:
    column = case.name_column
    if column is None or not case.has("uscc"):
        return None
    name = case.pick(["测试企业", "测试企业001", "测试公司", "test测试数据"])
    changes: dict[str, str | None] = {column: name}
    if case.rng.random() < 0.5 and case.feed.name != "registrations":
        changes["uscc"] = "123456789012345678"
    return Mutation(column, changes, note=name)


def _foreign_row(case: Case) -> Mutation | None:
    """A licence among penalties, or a penalty among licences."""
    number = str(case.row["document_no"])
    if case.feed.name == "penalties":
        number, kind = number.replace("处罚", "许可"), case.pick(["普通", "核准"])
        changes: dict[str, str | None] = {
            "document_no": number,
            "penalty_kinds": kind,
            "violation_type": "食品经营许可",
            "penalty_content": "准予许可",
            "fine_fen": None,
            "confiscated_fen": None,
        }
    else:
        number, kind = number.replace("许可", "处罚"), case.pick(["罚款", "警告"])
        changes = {
            "document_no": number,
            "document_name": "行政处罚决定书",
            "licence_kind": kind,
            "content": f"行政处罚：{kind}",
        }
    return Mutation("document_no", case.present(changes), note=f"{number} {kind}")


def _column_count(case: Case) -> Mutation | None:
    last = [case.row[name] or "" for name in case.office.columns[-2:]]
    cannot_cut = len(last) < 2 or any("," in value or '"' in value for value in last)
    damage = "extra" if cannot_cut or case.rng.random() < 0.5 else "short"
    return Mutation("", {}, note=damage, damage=damage)  # type: ignore[arg-type]


def _undecodable(case: Case) -> Mutation | None:
    columns = [c for c in case.columns("text", "name") if case.row[c.name] and c.personal != "drop"]
    column = case.pick_column(columns)
    if column is None:
        return None
    text = case.row[column.name]
    middle = len(text) // 2
    return Mutation(
        column.name, {column.name: text[:middle] + BROKEN_BYTES + text[middle:]}, note=case.office.encoding
    )


def _exact_duplicate(case: Case) -> Mutation | None:
    return Mutation("", {}, place="after" if case.rng.random() < 0.5 else "end")


def _later(case: Case, most: int) -> str | None:
    """A day of reporting some days after the row's own, not after the as-of day."""
    reported = case.row.get("reported_date")
    if not isinstance(reported, str):
        return None
    later = date.fromisoformat(reported) + timedelta(days=int(case.rng.integers(1, most)))
    return later.isoformat() if later <= calendar_day(case.as_of) else None


def _version(case: Case) -> Mutation | None:
    """The same decision once more with small edits; half of the time its number is written another way."""
    column, later = _VERSION_TEXT[case.feed.name], _later(case, 6)
    if later is None or not case.row.get(column):
        return None
    text = f"{case.row[column]}（更正）"
    number = str(case.row["document_no"])
    changes: dict[str, str | None] = {column: text, "reported_date": later}
    if "〔" in number and case.rng.random() < 0.5:
        brackets = case.pick(["[]", "【】", "()", "（）"])
        changes["document_no"] = number.replace("〔", brackets[0]).replace("〕", brackets[1])
    return Mutation(column, changes, expected=text, note=f"{number} 的后一版本", place="end")


def _several_parties(case: Case) -> Mutation | None:
    """One decision against two firms: the same number, another party."""
    if case.row.get("uscc") != case.city.uscc[case.firm]:
        return None
    other = int(case.rng.integers(len(case.city)))
    if other == case.firm:
        return None
    changes: dict[str, str | None] = {"uscc": case.city.uscc[other], "party_name": case.city.name[other]}
    changes |= {"reg_no": case.city.reg_no[other], "legal_representative": case.city.legal_rep[other]}
    changes |= {"org_code": None, "tax_no": None}
    note = f"{case.row['document_no']} 的另一当事人"
    return Mutation("uscc", case.present(changes), expected=case.city.uscc[other], note=note, place="end")


def _correction_unseen(case: Case) -> Mutation | None:
    """A correction whose original nobody sent."""
    if not case.has("record_status") or not case.row["record_status"]:
        return None
    word = word_of(case.feed.column("record_status"), "corrected", case.office.coded)
    return Mutation("record_status", {"record_status": word}, expected="corrected", note="无原记录的更正")


def _withdrawal(case: Case) -> Mutation | None:
    later = _later(case, 20)
    if later is None or not case.has("record_status"):
        return None
    word = word_of(case.feed.column("record_status"), "withdrawn", case.office.coded)
    changes: dict[str, str | None] = {"record_status": word, "reported_date": later}
    return Mutation(
        "record_status",
        changes,
        expected="withdrawn",
        note=f"先于原记录 {case.row['document_no']}",
        place="before",
    )


def _dead_enterprise(case: Case) -> Mutation | None:
    """The decision goes to an enterprise that was struck off before it."""
    decided = (date.fromisoformat(case.row["decision_date"]) - date(1970, 1, 1)).days
    city = case.city
    dead = np.flatnonzero((city.ended < decided) & (city.status > 0))
    if not len(dead):
        return None
    firm = int(dead[int(case.rng.integers(len(dead)))])
    changes: dict[str, str | None] = {"uscc": city.uscc[firm], "party_name": city.name[firm]}
    changes |= {"reg_no": city.reg_no[firm], "legal_representative": city.legal_rep[firm]}
    changes |= {"org_code": None, "tax_no": None}
    if case.has("party_kind"):
        code = "individual_business" if city.head[firm] == 92 else "legal_person"
        changes["party_kind"] = word_of(case.feed.column("party_kind"), code, case.office.coded)
    ended = calendar_day(int(city.ended[firm])).isoformat()
    return Mutation("uscc", case.present(changes), expected=city.uscc[firm], note=f"{ended} 已终止")


def _branch(case: Case) -> Mutation | None:
    uscc = case.row.get("uscc")
    return Mutation("uscc", {}, expected=str(uscc), note=f"{case.city.name[case.firm]}：记录归分公司")


def _is_branch(city: City, firms: Ints) -> np.ndarray:
    return city.is_branch[np.maximum(firms, 0)]


ROW_KINDS = [
    Kind("test_row", "quarantined", "test_row", _test_row),
    Kind("foreign_row", "quarantined", "foreign_row", _foreign_row, feeds=("penalties", "licences")),
    Kind("column_count", "quarantined", "column_count", _column_count, formats=("csv",)),
    Kind("undecodable", "quarantined", "undecodable", _undecodable, formats=("csv",)),
    Kind("exact_duplicate", "duplicate", "exact_duplicate", _exact_duplicate),
    Kind("version", "accepted", "", _version, feeds=("penalties", "licences", "honours")),
    Kind("withdrawal_before_original", "accepted", "", _withdrawal, feeds=("penalties", "licences")),
    Kind("several_parties", "accepted", "", _several_parties, feeds=("penalties",)),
    Kind("correction_unseen", "accepted", "", _correction_unseen, feeds=("penalties", "licences")),
    Kind("dead_enterprise", "accepted", "", _dead_enterprise, feeds=("penalties",)),
    Kind(
        "branch",
        "accepted",
        "",
        _branch,
        feeds=("penalties", "licences", "abnormal_listings"),
        firms=_is_branch,
    ),
]
