"""Workbooks and archives, harmless, damaged and hostile."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import xlsxwriter
import xlwt
from base_files import FORMATS, Sheet, base_sheet, make_person, pack
from broken_bytes import delete_bytes, flip_some, repeat_block, truncate, zero_block

from credit_pipeline.feeds.catalogue import Feed


def odd_workbooks(rng: random.Random, feed: Feed, sheet: Sheet) -> Iterator[tuple[str, bytes, int | None]]:
    """(what, file, rows) of workbooks that spreadsheets open, or nearly."""

    def book(fill: Callable[[xlsxwriter.Workbook], None]) -> bytes:
        buffer = io.BytesIO()
        workbook = xlsxwriter.Workbook(buffer, {"in_memory": True, "nan_inf_to_errors": True})
        fill(workbook)
        workbook.close()
        return buffer.getvalue()

    def plain(workbook: xlsxwriter.Workbook, name: str | None = None, rows: int = 3) -> Any:
        table = workbook.add_worksheet(name)
        for number, row in enumerate([sheet.headers, *sheet.rows[:rows]]):
            for place, value in enumerate(row):
                table.write_string(number, place, str(value))
        return table

    column = rng.randrange(len(sheet.headers))

    def typed(workbook: xlsxwriter.Workbook) -> None:
        table = plain(workbook)
        table.write_formula(1, column, "=1/0", None, "#DIV/0!")
        table.write_formula(2, column, "=cmd|' /C calc'!A0", None, "x")
        table.write_number(
            3,
            column,
            rng.choice([43843, 43843.75, 4.11330198001010e17, 1e300, -1, 0.1 + 0.2, 411330800101001]),
        )
        for place, value in enumerate(
            [True, False, float("nan"), float("inf"), datetime(1900, 2, 28), datetime(9999, 12, 31)]
        ):
            if isinstance(value, datetime):
                table.write_datetime(4, place, value, workbook.add_format({"num_format": "yyyy-mm-dd"}))
            else:
                table.write(4, place, value)

    def hidden(workbook: xlsxwriter.Workbook) -> None:
        plain(workbook, "可见")
        plain(workbook, "隐藏").hide()
        plain(workbook, "深藏").very_hidden()

    def only_hidden(workbook: xlsxwriter.Workbook) -> None:
        workbook.add_worksheet("空").write(0, 0, "见附表")
        plain(workbook, "隐藏").hide()

    def far(workbook: xlsxwriter.Workbook) -> None:
        plain(workbook).write_string(1_000_000, 16_000, "远")

    def merged(workbook: xlsxwriter.Workbook) -> None:
        table = plain(workbook, rows=8)
        table.merge_range(1, column, 5, column, str(sheet.rows[0][column]))
        table.merge_range(6, 0, 8, 3, "块")

    def notes(workbook: xlsxwriter.Workbook) -> None:
        workbook.add_worksheet("填表说明").write(0, 0, "请按要求填写")
        workbook.add_worksheet("图").set_column(0, 0, 3)

    def charts(workbook: xlsxwriter.Workbook) -> None:
        plain(workbook, "数据", rows=8)
        sheet_ = workbook.add_chartsheet("图表")
        chart = workbook.add_chart({"type": "line"})
        chart.add_series({"values": "=数据!$A$1:$A$5"})
        sheet_.set_chart(chart)

    def many_sheets(workbook: xlsxwriter.Workbook) -> None:
        for number in range(60):
            workbook.add_worksheet(f"表{number}").write_row(0, 0, sheet.headers)

    def named_by_person(workbook: xlsxwriter.Workbook) -> None:
        for number in (1, 2):
            plain(workbook, make_person(number), rows=1)

    for fill, rows in (
        (typed, None), (hidden, None), (only_hidden, None), (far, None), (merged, None), (notes, None), (charts, 8),
        (many_sheets, None), (named_by_person, 2),
    ):  # fmt: skip
        yield f"workbook {fill.__name__}", book(fill), rows
    whole = FORMATS["xlsx"](sheet)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in (
        "xl/worksheets/sheet1.xml",
        "xl/sharedStrings.xml",
        "xl/workbook.xml",
        "[Content_Types].xml",
    ):
        for breaks in (flip_some, truncate, delete_bytes, repeat_block, zero_block):
            yield f"inside {name.split('/')[-1]}", pack({**members, name: breaks(rng, members[name])}), None
        yield (
            f"without {name.split('/')[-1]}",
            pack({key: value for key, value in members.items() if key != name}),
            None,
        )
    table = members["xl/worksheets/sheet1.xml"].decode()
    for what, old, new in (
        ("row numbers repeat", 'r="3"', 'r="2"'), ("row number huge", 'r="3"', 'r="99999999999"'), ("cell name", 'r="B3"', 'r="ZZZZZ3"'),
        ("cell name missing", ' r="B3"', ""), ("string index", "<v>5</v>", "<v>99999999</v>"), ("string index negative", "<v>5</v>", "<v>-1</v>"),
        ("error cell", 't="s"><v>5</v>', 't="e"><v>#BOGUS!</v>'), ("boolean cell", 't="s"><v>5</v>', 't="b"><v>7</v>'),
        ("date cell", 't="s"><v>5</v>', 't="d"><v>2026-13-45</v>'), ("inline", 't="s"><v>5</v>', 't="inlineStr"><is><t>x</t></is>'),
        ("entity", "<v>5</v>", "<v>&bogus;</v>"), ("number text", 't="s"><v>5</v>', "><v>1e999</v>"), ("dimension", 'ref="A1', 'ref="XFD1048576:A1" x="'),
    ):  # fmt: skip
        yield (
            f"sheet {what}",
            pack({**members, "xl/worksheets/sheet1.xml": table.replace(old, new, 1).encode()}),
            None,
        )
    bomb = (
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
        + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
        + "]>"
    )
    yield (
        "entity bomb",
        pack(
            {
                **members,
                "xl/sharedStrings.xml": (
                    bomb + members["xl/sharedStrings.xml"].decode().replace("</t>", "&j;</t>", 1)
                ).encode(),
            }
        ),
        None,
    )
    yield (
        "external entity",
        pack(
            {
                **members,
                "xl/worksheets/sheet1.xml": table.replace(
                    "<worksheet", '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><worksheet', 1
                ).encode(),
            }
        ),
        None,
    )
    yield "packed bomb", pack({**members, "xl/media/x.bin": b"\x00" * (30 << 20)}), None
    old = xlwt.Workbook()
    first = old.add_sheet("数据", cell_overwrite_ok=True)
    for number, row in enumerate([sheet.headers, *sheet.rows]):
        for place, value in enumerate(row):
            first.write(number, place, value[:32_767])
    first.write(2, column, xlwt.Formula("1/0"))
    first.write(3, column, 43843.5)
    first.write(4, column, True)
    old.add_sheet("隐").visibility = 1
    buffer = io.BytesIO()
    old.save(buffer)
    yield "xls typed", buffer.getvalue(), None
    yield "protected workbook", encrypted_workbook(buffer.getvalue()), None
    yield "html named xls", b"<html><table><tr><td>x</td></tr></table></html>", None
    yield (
        "xml spreadsheet",
        b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>',
        None,
    )


def encrypted_workbook(xls: bytes) -> bytes:
    """What a spreadsheet with a password looks like: an OLE file with a stream EncryptedPackage."""
    old, new = "Workbook".encode("utf-16-le"), "EncryptedPackage".encode("utf-16-le")
    place = xls.index(old)
    entry = new.ljust(64, b"\x00") + struct.pack("<H", len(new) + 2)
    return xls[:place] + entry + xls[place + 66 :]


def odd_archives(rng: random.Random, feed: Feed, sheet: Sheet) -> Iterator[tuple[str, bytes, int | None]]:
    """(what, file, rows) of archives, harmless and hostile."""
    table, count = FORMATS["csv"](sheet), len(sheet.rows)
    good = pack({"a.csv": table})
    yield "nested archive", pack({"a.csv": table, "inner.zip": good}), None
    deep = good
    for _ in range(20):
        deep = pack({"x.zip": deep})
    yield "deeply nested", deep, None
    yield "bomb", pack({"a.csv": b"0" * (20 << 20)}), None
    yield "bomb beside", pack({"a.csv": table, "b.csv": b"\n" * (8 << 20)}), None
    yield "many members", pack({f"{n}.csv": b"" for n in range(1001)}), None
    for name in (
        "../a.csv",
        "/etc/a.csv",
        "C:\\a.csv",
        "..\\a.csv",
        "a/../../b.csv",
        "\\\\host\\a.csv",
        "//a.csv",
        "a\x00.csv",
        "a\n.csv",
        "",
        ".",
        "x/.",
        ":a",
        make_person(9) + ".csv",
        "文" * 200 + ".csv",
    ):
        yield f"member name {name[:12]!r}", pack({name: table}), None
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("a.csv", table)
    yield "symbolic link", buffer.getvalue(), None
    place = good.rindex(b"PK\x01\x02")
    encrypted = bytearray(good)
    encrypted[6] |= 1
    encrypted[place + 8] |= 1
    yield "encrypted member", bytes(encrypted), None
    for what, offset, form, value in (
        ("size too small", 24, "<I", 10), ("size too large", 24, "<I", 10**9), ("size absurd", 24, "<I", 2**32 - 2), ("packed size", 20, "<I", 3),
        ("packed size absurd", 20, "<I", 2**31), ("checksum", 16, "<I", 1), ("method", 10, "<H", 99), ("lzma", 10, "<H", 14), ("bzip2", 10, "<H", 12),
        ("offset", 42, "<I", 7), ("offset outside", 42, "<I", 2**31), ("name length", 28, "<H", 60000), ("descriptor", 8, "<H", 8), ("patch flag", 8, "<H", 0x20),
        ("strong flag", 8, "<H", 0x40), ("utf-8 flag", 8, "<H", 0x800), ("version", 6, "<H", 999), ("date", 12, "<I", 0),
    ):  # fmt: skip
        lied = bytearray(good)
        struct.pack_into(form, lied, place + offset, value)
        yield f"directory lies: {what}", bytes(lied), None
    streamed = io.BytesIO()

    class OneWay(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            return streamed.write(data)

    with zipfile.ZipFile(OneWay(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", table)
    yield "data descriptor", streamed.getvalue(), count
    yield "bytes before", b"MZ" + b"\x00" * 500 + good, None
    yield "bytes behind", good + b"x" * 500, None
    yield "comment", good[:-2] + struct.pack("<H", 5) + b"hello", count
    yield "empty", pack({}), None
    yield "folders only", pack({"a/": b"", "a/b/": b""}), None
    yield "system files only", pack({"__MACOSX/._a": b"x", ".DS_Store": b"x"}), None
    yield (
        "twice one name",
        _twice(table, FORMATS["csv"](base_sheet(feed, rng.randint(600_000, 700_000)))),
        None,
    )
    yield "stored", pack({"a.csv": table}, zipfile.ZIP_STORED), count
    yield "lzma", pack({"a.csv": table}, zipfile.ZIP_LZMA), count
    yield "bzip2", pack({"a.csv": table}, zipfile.ZIP_BZIP2), count
    yield "overlapping", _overlapping(good), None
    yield "gbk name", pack({"处罚.csv".encode("gbk").decode("cp437"): table}), count
    yield (
        "broken member",
        pack(
            {
                "a.csv": table,
                "b.xlsx": b"PK\x03\x04",
                "c.parquet": b"PAR1",
                "d.json": b"[",
                "e.csv": b"\xff\xfe\x00",
            }
        ),
        None,
    )
    yield "gzip", b"\x1f\x8b\x08\x00" + rng.randbytes(200), None
    yield "rar", b"Rar!\x1a\x07\x00" + rng.randbytes(200), None


def _twice(one: bytes, other: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for content in (one, other):
            info = zipfile.ZipInfo("a.csv")
            archive.fp.write(b"") if archive.fp else None
            archive.NameToInfo.pop("a.csv", None)
            archive.writestr(info, content)
    return buffer.getvalue()


def _overlapping(good: bytes) -> bytes:
    """A central directory that names the same member three times."""
    place, end = good.rindex(b"PK\x01\x02"), good.rindex(b"PK\x05\x06")
    entry = good[place:end]
    tail = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 3, 3, 3 * len(entry), place, 0)
    return good[:place] + entry * 3 + tail
