"""Whole files of every feed in every format, from which `mutations` makes broken ones.

Rows come from the catalogue's types and are made independently of the code under test. Every row carries
identity numbers and mobile numbers where sources really send them; none of them may reach the lake.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter
import xlwt

from credit_pipeline.feeds.catalogue import Column, Feed

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
MOBILE = "13912345678"
UNKNOWN_HEADER = "窗口备注"


def make_uscc(number: int, region: str = "411330") -> str:
    """A valid enterprise code, digit by digit."""
    body = f"MA{number:06d}"
    total = sum(int(c, 36) * w for c, w in zip(body, [3, 7, 9, 10, 5, 8, 4, 2], strict=True))
    check = 11 - total % 11
    body += "X" if check == 10 else "0" if check == 11 else str(check)
    head = f"91{region}{body}"
    total = sum(ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(head))
    return head + ALPHABET[(31 - total % 31) % 31]


def make_person(number: int) -> str:
    """A valid identity number (GB 11643); each number has its own."""
    day = 1 + number % 28
    head = (
        f"411330{1950 + number // 28 % 50}{1 + number // 1400 % 12:02d}{day:02d}{number // 16800 % 1000:03d}"
    )
    total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(head))
    return head + "10X98765432"[total % 11]


@dataclass(frozen=True)
class Sheet:
    """A table before it becomes a file."""

    headers: list[str]
    rows: list[list[Any]]

    def with_rows(self, rows: list[list[Any]]) -> Sheet:
        return replace(self, rows=rows)


def _cell(column: Column, number: int) -> str:
    if column.personal == "drop":
        return MOBILE if "电话" in column.label or "手机" in column.label else make_person(number)
    match column.type:
        case "uscc":
            return make_uscc(number)
        case "name":
            return f"桐柏县第{number}商贸有限公司"
        case "reg_no":
            return ""
        case "code":
            return _code(column, number)
        case "document_no":
            return f"桐文〔2026〕{number}号"
        case "region":
            return "411330"
        case "date":
            return "2026-03-01"
        case "integer":
            return "2025" if (column.minimum or 0) > 1000 else str(number)
        case "decimal":
            return "0.5"
        case "money":
            return "12.5"
        case "boolean":
            return "是"
        case "category" | "categories":
            code, words = next(iter(column.codes.items()))
            return next((word for word in words if not word.isdigit()), code)
        case _:
            return f"第{number}件，经办人{make_person(number)}，电话{MOBILE}"[: column.max_length]


def _code(column: Column, number: int) -> str:
    """A code as the column's pattern wants it; a pattern that none of these fits needs another one here."""
    codes = (
        f"C{number:06d}",
        f"{number:07d}",
        "411330100",
        "F",
        "5132",
        "penalties",
        f"{number:032X}",
        f"{number:064x}",
    )
    fitting = [code for code in codes if re.fullmatch(column.pattern or ".*", code)]
    if not fitting:
        raise ValueError(f"column {column.name}: no code is made for the pattern {column.pattern}")
    return fitting[0]


_LEFT_OUT = frozenset({"quarantine_id", "org_code", "tax_no", "institution_no", "social_org_no"})
"""Columns that a plain row does not need and that mean something by themselves."""


def base_sheet(feed: Feed, first: int, count: int = 8) -> Sheet:
    """`count` good rows of a feed, numbered from `first`, under the commonest headers."""
    columns = [column for column in feed.columns if column.name not in _LEFT_OUT]
    rows = [
        [_cell(column, number) for column in columns] + [f"证件{make_person(number)}"]
        for number in range(first, first + count)
    ]
    return Sheet([column.source_names[0] for column in columns] + [UNKNOWN_HEADER], rows)


def _csv(sheet: Sheet, separator: str = ",", newline: str = "\n") -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator=newline)
    writer.writerow(sheet.headers)
    writer.writerows(sheet.rows)
    return buffer.getvalue()


def _objects(sheet: Sheet) -> list[str]:
    """Rows as JSON objects; written by hand, as headers may stand twice."""
    keys = [json.dumps(str(header), ensure_ascii=False) for header in sheet.headers]
    return [
        "{"
        + ", ".join(
            f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in zip(keys, row, strict=False)
        )
        + "}"
        for row in sheet.rows
    ]


def _xlsx(sheet: Sheet) -> bytes:
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False})
    table = book.add_worksheet("数据")
    for number, row in enumerate([sheet.headers, *sheet.rows]):
        for place, value in enumerate(row):
            if isinstance(value, str):
                table.write_string(number, place, value[:32_767])
            else:
                table.write(number, place, value)
    book.close()
    return buffer.getvalue()


def _xlsx_titled(sheet: Sheet) -> bytes:
    """Title, unit line, merged group header, header, rows, footer, a sheet of notes, a hidden code table."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False})
    table = book.add_worksheet("报送表")
    last = max(len(sheet.headers) - 1, 1)
    table.merge_range(0, 0, 0, last, "2026年信息报送表")
    table.write_string(1, 0, "单位：万元")
    table.merge_range(2, 0, 2, last, "报送内容")
    for place, header in enumerate(sheet.headers):
        table.write_string(3, place, str(header)[:32_767])
    for number, row in enumerate(sheet.rows, start=4):
        for place, value in enumerate(row):
            table.write_string(number, place, str(value)[:32_767])
    table.write_string(len(sheet.rows) + 5, 0, "填报人：张三    填报日期：2026-10-31")
    book.add_worksheet("填表说明").write_string(0, 0, "请按要求填写")
    book.close()
    return buffer.getvalue()


def _xls(sheet: Sheet) -> bytes:
    book = xlwt.Workbook(encoding="utf-8")
    table = book.add_sheet("数据")
    for number, row in enumerate([sheet.headers[:256], *(row[:256] for row in sheet.rows)]):
        for place, value in enumerate(row):
            table.write(number, place, value[:32_767] if isinstance(value, str) else value)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _legal_xml(text: str) -> str:
    return escape("".join(c for c in text if c in "\t\n\r" or 32 <= ord(c) < 0xD800 or ord(c) > 0xDFFF))


def _ods(sheet: Sheet) -> bytes:
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="string"><text:p>{_legal_xml(str(value))}</text:p></table:table-cell>'
            for value in row
        )
        + "</table:table-row>"
        for row in [sheet.headers, *sheet.rows]
    )
    spaces = "urn:oasis:names:tc:opendocument:xmlns:"
    content = (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document-content xmlns:office="{spaces}office:1.0" '
        f'xmlns:table="{spaces}table:1.0" xmlns:text="{spaces}text:1.0" office:version="1.2"><office:body>'
        f'<office:spreadsheet><table:table table:name="数据">{rows}</table:table></office:spreadsheet>'
        "</office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = (
        '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{kind}"/></manifest:manifest>'
    )
    return pack(
        {
            "mimetype": kind.encode(),
            "META-INF/manifest.xml": manifest.encode(),
            "content.xml": content.encode(),
        }
    )


def _parquet(sheet: Sheet) -> bytes:
    width = len(sheet.headers)
    columns = [
        pa.array([None if place >= len(row) else str(row[place]) for row in sheet.rows], pa.string())
        for place in range(width)
    ]
    buffer = io.BytesIO()
    table = pa.Table.from_arrays(columns, names=[str(header) for header in sheet.headers])
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def pack(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive of the members; always the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


def _zip(sheet: Sheet) -> bytes:
    """The rows over three members of different kinds and encodings."""
    third = max(len(sheet.rows) // 3, 1)
    parts = [sheet.with_rows(sheet.rows[place : place + third]) for place in range(0, len(sheet.rows), third)]
    members = {}
    for place, part in enumerate(parts):
        render, suffix = ((_csv_gb, "csv"), (_xlsx, "xlsx"), (_jsonl, "jsonl"))[place % 3]
        members[f"第{place}部分.{suffix}"] = render(part)
    return pack(members)


def _encoded(codec: str, separator: str = ",", newline: str = "\n") -> Callable[[Sheet], bytes]:
    return lambda sheet: _csv(sheet, separator, newline).encode(codec, "ignore")


def _csv_gb(sheet: Sheet) -> bytes:
    return _csv(sheet).encode("gb18030", "ignore")


def _jsonl(sheet: Sheet) -> bytes:
    return "".join(line + "\n" for line in _objects(sheet)).encode("utf-8", "surrogatepass")


FORMATS: dict[str, Callable[[Sheet], bytes]] = {
    "csv": _encoded("utf-8"),
    "csv-bom": _encoded("utf-8-sig", newline="\r\n"),
    "csv-gb18030": _csv_gb,
    "csv-utf16": _encoded("utf-16", "\t"),
    "csv-semicolon": _encoded("utf-8", ";", "\r"),
    "xlsx": _xlsx,
    "xlsx-titled": _xlsx_titled,
    "xls": _xls,
    "ods": _ods,
    "json": lambda sheet: ("[" + ",\n".join(_objects(sheet)) + "]").encode(),
    "json-wrapped": lambda sheet: (
        '{"code": 0, "data": {"total": 1, "records": [' + ", ".join(_objects(sheet)) + "]}}"
    ).encode(),
    "json-lines": _jsonl,
    "parquet": _parquet,
    "zip": _zip,
}
"""Format → how a table becomes a file of it."""
SUFFIXES = {"json-lines": "jsonl", "json-wrapped": "json", "xlsx-titled": "xlsx"}


def suffix(name: str) -> str:
    """File name ending of a format."""
    return SUFFIXES.get(name, name.split("-")[0])


def cycle(items: Sequence[str], seed: int) -> Callable[[], str]:
    """The items in turn, each round in another order."""
    random_ = random.Random(seed)
    waiting: list[str] = []

    def following() -> str:
        if not waiting:
            waiting.extend(random_.sample(list(items), len(items)))
        return waiting.pop()

    return following
