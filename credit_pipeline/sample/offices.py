"""How each office sends its feed: file names, formats, encodings, headers, layouts.

Here: which office writes which part of a feed, as data. Not here: turning values into text (render),
writing (writers). Each feed arrives as several files of different make, as in practice; all headers are
known to the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.sample.office import Layout, Office, Style, Trait, columns_of, headers_of
from credit_pipeline.sample.tables import regions

XLSX_ROWS = 20_000
"""An Excel file holds at most so many rows; the rest of the part follows as CSV."""
BIG_CITY = 200_000
"""From so many enterprises on, ratings come as CSV."""


_ENCODINGS = {
    "utf-8-sig": Trait("encoding_utf8_bom", "UTF-8 带 BOM"),
    "gb18030": Trait("encoding_gb18030", "GB18030 编码"),
}


def _csv(
    feed: Feed,
    data: pl.DataFrame,
    file: str,
    style: Style,
    encoding: str,
    overrides: dict[str, str] | None = None,
    without: tuple[str, ...] = (),
    newline: str = "\r\n",
    coded: bool = False,
) -> Office:
    columns = columns_of(feed, data, without)
    traits = (_ENCODINGS[encoding],) if encoding in _ENCODINGS else ()
    headers = headers_of(feed, columns, style, overrides)
    return Office(file, "csv", tuple(columns), headers, encoding, newline, coded, traits=traits)


def _xlsx(feed: Feed, data: pl.DataFrame, file: str, layout: Layout, without: tuple[str, ...] = ()) -> Office:
    columns = columns_of(feed, data, without)
    traits = [
        Trait(kind, note)
        for kind, note, present in (
            ("title_row", layout.title, layout.title),
            ("unit_line", layout.unit_line, layout.unit_line),
            ("explanation_row", "表格说明行", layout.explanation),
            ("two_row_header", "两行合并表头", layout.groups),
            ("footer", layout.footer, layout.footer),
            ("blank_row", "数据中有空行", layout.blank_after),
            ("date_cells", "日期为 Excel 日期单元格", layout.date_cells),
            ("hidden_sheet", "隐藏工作表", layout.hidden_sheet),
            ("notes_sheet", "表格说明工作表", layout.notes_sheet),
        )
        if present
    ]
    return Office(
        file, "xlsx", tuple(columns), headers_of(feed, columns, "label"), layout=layout, traits=tuple(traits)
    )


_PLAIN_REGISTER = (
    "reg_no",
    "legal_representative_id",
    "pripid",
    "contact_phone",
    "record_status",
    "currency",
    "approved_date",
)
_WITH_REG_NO = tuple(name for name in _PLAIN_REGISTER if name != "reg_no")


def _registrations(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    place = _place(part)
    turn = sum(map(int, part)) % 3 if part.isdigit() else 0
    if part == "411371":
        # The title row, unit line and two header rows of a hand-made workbook.
        layout = Layout(
            "登记信息",
            title=f"{place}企业登记信息汇总表",
            unit_line="单位：万元",
            groups=(("基本信息", 8), ("资本与期限", 5), ("住所与行业", 9)),
            footer="填报人：王登记    联系电话：0377-00000000    填报日期：2026年10月31日",
        )
        office = _xlsx(feed, data, f"{place}企业登记信息.xlsx", layout, _WITH_REG_NO)
        headers = office.headers | {"registered_capital_fen": "注册资本（万元）"}
        return replace(office, headers=headers)
    if turn == 0:
        overrides = {
            "established_date": "注册日期",
            "registered_capital_fen": "注册资金",
            "address": "注册地址",
        }
        office = _csv(feed, data, f"{place}企业登记.csv", "label", "gb18030", overrides, _WITH_REG_NO)
        columns = _front(office, "enterprise_name", "uscc", "established_date")
        return replace(
            _with(office, _capital("注册资金如 1,000(万元人民币)")), capital="with_currency", columns=columns
        )
    if turn == 1:
        headers = {"record_status": "数据状态"}
        office = _csv(
            feed, data, f"registrations_{part}.csv", "code", "utf-8-sig", headers, newline="\n", coded=True
        )
        return _with(office, _personal("法定代表人证件号码、联系电话", "legal_representative_id"))
    office = _csv(
        feed,
        data,
        f"{place}市场主体名单.csv",
        "label",
        "gb18030",
        {"enterprise_name": "市场主体名称"},
        _PLAIN_REGISTER,
    )
    return replace(_with(office, _capital("注册资本如 500万元人民币")), capital="words")


def _with(office: Office, *traits: Trait) -> Office:
    return replace(office, traits=(*office.traits, *traits))


def _personal(note: str, column: str) -> Trait:
    """Personal data that is sent and must not be kept."""
    return Trait("personal_data", note, column=column)


def _capital(note: str) -> Trait:
    return Trait("capital_in_words", note, "number_format", "registered_capital_fen")


def _front(office: Office, *first: str) -> tuple[str, ...]:
    return (*first, *(name for name in office.columns if name not in first))


def _place(part: str) -> str:
    return dict(zip(regions().code, regions().name, strict=True)).get(part, "南阳市")


def _licences(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    headers = {"record_status": "数据状态"}
    if part == "411326":
        headers |= {"legal_representative": "XK_FDDB", "valid_to": "XK_JZQ", "authority_name": "XK_XZJG"}
    newline = "\n" if part == "411302" else "\r\n"
    return _csv(feed, data, f"XK_{part}.csv", "code", "utf-8-sig", headers, newline=newline)


def _penalties(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    person = ("legal_representative_id",)
    if part == "411371":
        place = _place(part)
        layout = Layout(
            "处罚",
            title=f"{place}行政处罚信息公示表",
            unit_line="单位：万元",
            groups=(("行政相对人", 7), ("处罚决定", 12), ("机关信息", 4), ("其他", 5)),
            footer="填报人：李公示    审核人：张审核",
        )
        return _xlsx(feed, data, f"{place}行政处罚.xlsx", layout, ("record_status", *person))
    headers = {
        "411328": {"fine_fen": "punishmoney", "severity": "严重程度"},
        "411324": {"authority_name": "CF_XKJG"},
    }.get(part)
    trait = {
        "411328": Trait("unit_alias", "punishmoney 单位为元", column="fine_fen"),
        "411324": Trait("wrong_header", "处罚机关误列于 CF_XKJG", "wrong_header", "authority_name"),
        "411321": _personal("法定代表人证件号码", "legal_representative_id"),
    }.get(part)
    without = () if part == "411321" else person
    office = _csv(feed, data, f"CF_{part}.csv", "code", "gb18030", headers, without)
    return _with(office, *([trait] if trait else []))


def _honours(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    layout = Layout("荣誉", title=f"{part}年荣誉信息", blank_after=4, date_cells=True)
    return _xlsx(feed, data, f"荣誉信息_{part}.xlsx", layout, ("record_status",))


def _inspection_results(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    office = _csv(
        feed,
        data,
        f"inspection_results_{part}.csv",
        "code",
        "utf-8",
        newline="\n",
        without=("record_status",),
        coded=True,
    )
    return replace(office, separator=",")


def _json(feed: Feed, data: pl.DataFrame, file: str, style: Style) -> Office:
    columns = columns_of(feed, data, ("record_status",))
    return Office(file, "jsonl", tuple(columns), headers_of(feed, columns, style), "utf-8", "\n")


def _complaints(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    office = _json(feed, data, f"12345工单_{part}.jsonl", "label")
    return _with(office, _personal("投诉人姓名、电话", "complainant_name"))


def _public_opinion(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _json(feed, data, f"public_opinion_{part}.jsonl", "label")


def _parquet(feed: Feed, data: pl.DataFrame, file: str) -> Office:
    columns = columns_of(feed, data, ("record_status",))
    return Office(file, "parquet", tuple(columns), headers_of(feed, columns, "label"))


def _related_parties(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _parquet(feed, data, f"related_parties_{part}.parquet")


def _operations(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    year, half = part.split("-")
    encoding = "utf-8" if half == "a" else "gb18030"
    style: Style = "code" if half == "a" else "label"
    office = _csv(
        feed,
        data,
        f"annual_reports_{year}.zip!reports_{year}_{half}.csv",
        style,
        encoding,
        without=("record_status",),
    )
    return replace(office, traits=(Trait("mixed_encoding_in_zip", f"ZIP 内编码 {encoding}"),))


def _registration_changes(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _csv(feed, data, f"变更登记_{part}.csv", "label", "utf-8-sig", without=("record_status",))


def _abnormal_listings(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    place = _place(part)
    if part == "411371":
        layout = Layout("列异", title=f"{place}经营异常名录", footer="制表：监管科")
        return _xlsx(feed, data, f"经营异常名录_{part}.xlsx", layout, ("record_status",))
    style: Style = "code" if int(part or 0) % 2 else "label"
    encoding = "utf-8-sig" if style == "code" else "gb18030"
    return _csv(feed, data, f"经营异常名录_{part}.csv", style, encoding, without=("record_status",))


def _serious_violations(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    layout = Layout("严重违法", title="严重违法失信名单", date_cells=True)
    return _xlsx(feed, data, "严重违法失信名单.xlsx", layout, ("record_status",))


def _judgment_defaulters(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    office = _json(feed, data, "judgment_defaulters.jsonl", "code")
    return replace(
        office,
        traits=(
            Trait(
                "court_brackets", "案号年份用圆括号，如（2025）豫1302执1号", "document_no_format", "case_no"
            ),
        ),
    )


def _public_credit_evaluations(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _parquet(feed, data, f"public_credit_evaluations_{part}.parquet")


def _industry_ratings(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    layout = Layout("评价结果", title=f"{feed.column('scheme').codes[part][0]}评价结果")
    return _xlsx(feed, data, f"industry_ratings_{part}.xlsx", layout, ("record_status",))


def _credit_repairs(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _csv(feed, data, f"信用修复_{part}.csv", "label", "gb18030", without=("record_status",))


def _inspectors(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    codes = (("代码", "含义"), ("食品", "食品安全监管"), ("药品", "药品监管"), ("特种设备", "特种设备监察"))
    layout = Layout("执法人员", title="南阳市执法检查人员名录库", hidden_sheet=codes)
    return _xlsx(feed, data, "执法检查人员名录.xlsx", layout)


def _inspection_items(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    layout = Layout(
        "事项清单",
        title="南阳市随机抽查事项清单",
        explanation="表格说明：事项类别分为重点检查事项和一般检查事项；空白的适用行业门类表示不限。",
        notes_sheet=("表格说明", "一、本清单依据法律、行政法规、部门规章制定。", "二、清单实行动态管理。"),
    )
    return _xlsx(feed, data, "随机抽查事项清单.xlsx", layout)


def _leads(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _csv(feed, data, f"问题线索_{part}.csv", "label", "gb18030", without=("record_status",))


def _recusals(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    layout = Layout("回避", title="执法检查人员回避关系申报表", footer="填报人：赵法规    审核人：孙法规")
    return _xlsx(feed, data, "回避关系申报.xlsx", layout, ("record_status",))


def _public_entropy(feed: Feed, data: pl.DataFrame, part: str) -> Office:
    return _csv(feed, data, f"{part}.csv", "code", "utf-8", newline="\n", without=("record_status",))


_OFFICES: dict[str, Callable[[Feed, pl.DataFrame, str], Office]] = {
    "registrations": _registrations,
    "licences": _licences,
    "penalties": _penalties,
    "honours": _honours,
    "inspection_results": _inspection_results,
    "complaints": _complaints,
    "public_opinion": _public_opinion,
    "related_parties": _related_parties,
    "operations": _operations,
    "registration_changes": _registration_changes,
    "abnormal_listings": _abnormal_listings,
    "serious_violations": _serious_violations,
    "judgment_defaulters": _judgment_defaulters,
    "public_credit_evaluations": _public_credit_evaluations,
    "industry_ratings": _industry_ratings,
    "credit_repairs": _credit_repairs,
    "inspectors": _inspectors,
    "inspection_items": _inspection_items,
    "leads": _leads,
    "recusals": _recusals,
    "public_entropy": _public_entropy,
}


def deliveries(feed: Feed, data: pl.DataFrame, enterprises: int) -> list[tuple[Office, pl.DataFrame]]:
    """The files of a feed: the frame split by `_part`, each part with the office that sends it."""
    found = []
    for (part,), rows in sorted(data.partition_by("_part", as_dict=True, maintain_order=True).items()):
        if feed.name == "operations":
            middle = (len(rows) + 1) // 2
            halves = [(f"{part}-a", rows[:middle]), (f"{part}-b", rows[middle:])]
        else:
            halves = [(str(part), rows)]
        for name, piece in halves:
            found += _capped(feed, _OFFICES[feed.name](feed, piece, name), piece, enterprises)
    return found


def _capped(
    feed: Feed, office: Office, rows: pl.DataFrame, enterprises: int
) -> list[tuple[Office, pl.DataFrame]]:
    if office.format != "xlsx":
        return [(office, rows)]
    most = 0 if feed.name == "industry_ratings" and enterprises > BIG_CITY else XLSX_ROWS
    if len(rows) <= most:
        return [(office, rows)]
    name = office.file.removesuffix(".xlsx") + ("_续.csv" if most else ".csv")
    rest = replace(
        office, file=name, format="csv", encoding="gb18030", layout=None, traits=(_ENCODINGS["gb18030"],)
    )
    return [(office, rows[:most]), (rest, rows[most:])] if most else [(rest, rows)]
