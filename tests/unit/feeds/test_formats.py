"""JSON, JSON lines, Parquet, archives; formats are found by content."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feeds_support import Lake, csv_text, make_uscc, penalty

from credit_pipeline.feeds import readers
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.ledger import reconcile


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def archive(members: dict[str, bytes], **options: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", options.get("compression", zipfile.ZIP_DEFLATED)) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return buffer.getvalue()


def test_json_lines(lake: Lake) -> None:
    """Prevents numbers changing on the way, and a broken line stopping the others."""
    good = penalty(1) | {"CF_NR_FK": 0.20, "CF_CFLB": ["警告", "罚款"]}
    text = (
        '{"CF_XDR_MC": "断\n'
        + lines(good)
        + "\n[1]\n"
        + '{"CF_WSH": "a", "CF_WSH": "b"}\n'
        + lines(penalty(2))
    )
    lake.put("penalties/a.txt", text)
    [report] = lake.ingest("penalties").files
    assert (report.format, report.read, report.accepted, report.quarantined) == ("json_lines", 5, 2, 3)
    assert report.rules == {"undecodable": 3} and report.layout_rows == 1
    rows = sorted(lake.rows("raw", "penalties"), key=lambda row: row["source_row"])
    assert [(row["source_row"], row["fine_fen"], row["penalty_kinds"]) for row in rows] == [
        (2, 200_000, "fine|warning"),
        (6, 200_000, "fine"),
    ]


def test_json_arrays(lake: Lake) -> None:
    """Prevents exports wrapped in an object, or pretty-printed, being refused."""
    rows = [penalty(n) for n in (1, 2)]
    answer = {"code": 0, "data": {"total": 2, "records": rows}}
    lake.put("penalties/a.json", json.dumps(answer, ensure_ascii=False))
    per_line = ",\n".join(json.dumps(penalty(n)) for n in (4, 5, 6))
    lake.put("penalties/c.json", '{\n"data": [\n' + per_line + "\n]\n}")
    lake.put("penalties/b.json", json.dumps([penalty(3)], ensure_ascii=False, indent=2).encode("gb18030"))
    reports = lake.ingest("penalties").files
    assert [(report.format, report.accepted, report.encoding) for report in reports] == [
        ("json", 2, "utf-8"),
        ("json", 1, "gb18030"),
        ("json", 3, "utf-8"),
    ]
    assert {row["source_row"] for row in lake.rows("raw", "penalties")} == {1, 2, 3}


def test_a_cut_json_array_is_refused_whole(lake: Lake) -> None:
    """Prevents half of a snapshot passing for the whole."""
    lake.put("penalties/a.json", json.dumps([penalty(1), penalty(2)])[:-20])
    [report] = lake.ingest("penalties").files
    assert (report.read, report.quarantined, report.rules) == (1, 1, {"unreadable_file": 1})


def test_keys_that_come_late_are_kept(lake: Lake) -> None:
    """Prevents a key missing in the first object being dropped from all."""
    lake.put("penalties/a.jsonl", lines(penalty(1), penalty(2) | {"BZ": "备注", "别的": 1.50}))
    lake.ingest("penalties")
    rows = sorted(lake.rows("raw", "penalties"), key=lambda row: row["source_row"])
    assert [(row["remark"], row["extra"]) for row in rows] == [(None, None), ("备注", '{"别的":"1.5"}')]


def test_parquet(lake: Lake) -> None:
    """Prevents typed columns changing: dates, decimals, integers, missing values."""
    table = pa.table(
        {
            "uscc": pa.array([make_uscc(1), make_uscc(2)]).dictionary_encode(),
            "report_year": pa.array([2025, None], pa.int32()),
            "report_date": [date(2026, 3, 1), date(2026, 3, 2)],
            "revenue_fen": [Decimal("12.340000"), None],
            "employee_count": [3.0, None],
            "is_revenue_published": [True, False],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    lake.put("operations/a.parquet", buffer.getvalue())
    lake.put("operations/cut.parquet", buffer.getvalue()[:-30])
    reports = {report.file: report for report in lake.ingest("operations").files}
    assert reports["operations/cut.parquet"].rules == {"unreadable_file": 1}
    assert reports["operations/a.parquet"].rules == {"required_missing": 1}
    [row] = lake.rows("raw", "operations")
    assert (row["source_row"], row["report_year"], row["report_date"]) == (1, 2025, date(2026, 3, 1))
    assert (row["revenue_fen"], row["employee_count"], row["is_revenue_published"]) == (12_340_000, 3, True)


def test_parquet_damaged_inside_is_refused_whole(lake: Lake) -> None:
    """Prevents the rows before the damage being accepted and the rest vanishing."""
    table = pa.table({name: [value] * 2000 for name, value in penalty(1).items()})
    table = table.set_column(2, "CF_WSH", pa.array([f"豫〔2026〕{n}号" for n in range(2000)]))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=500, compression="zstd", write_page_checksum=True)
    data = bytearray(buffer.getvalue())
    place = pq.ParquetFile(buffer).metadata.row_group(3).column(2).data_page_offset + 100
    data[place : place + 20] = b"\x00" * 20
    lake.put("penalties/a.parquet", bytes(data))
    [report] = lake.ingest("penalties").files
    assert (report.read, report.accepted, report.quarantined) == (1, 0, 1)
    assert report.rules == {"unreadable_file": 1} and lake.rows("raw", "penalties") == []


def test_archives(lake: Lake) -> None:
    """Prevents members in other encodings, of other formats, or beside a bad one being lost."""
    members = {
        "b/处罚.csv": csv_text([penalty(1)]).encode("gb18030"),
        "a.jsonl": lines(penalty(2)).encode(),
        "c.csv": csv_text([penalty(3)]).encode("utf-8-sig"),
        "inner.zip": archive({"x.csv": b"a"}),
        "notes.pdf": b"%PDF-1.7",
        "empty.csv": b"",
        "__MACOSX/._c.csv": b"junk",
        ".hidden": b"junk",
    }
    lake.put("penalties/a.zip", archive(members))
    [report] = lake.ingest("penalties").files
    assert (report.read, report.accepted, report.quarantined) == (6, 3, 3)
    assert report.rules == {"unsafe_archive": 1, "unknown_format": 1, "empty_file": 1}
    assert report.format == "zip:csv+json_lines" and len(report.problems) == 3
    assert {row["source_file"] for row in lake.rows("raw", "penalties")} == {
        "penalties/a.zip!a.jsonl",
        "penalties/a.zip!b/处罚.csv",
        "penalties/a.zip!c.csv",
    }


def test_members_of_one_name_stay_apart(lake: Lake) -> None:
    """Prevents rows of two members falling together, which the accounts would call a loss."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in (1, 2):
            packed.writestr("a.csv", csv_text([penalty(number, CF_NR=None)]))
    lake.put("penalties/a.zip", buffer.getvalue())
    assert lake.ingest("penalties").quarantined == 2
    assert reconcile(lake.settings, get_feed("penalties")) == []


def test_member_names_in_gbk(lake: Lake) -> None:
    """Prevents mojibake in source_file: Chinese tools write GBK names without the UTF-8 flag."""
    data = archive({"XXXX.csv": csv_text([penalty(1)]).encode()}, compression=zipfile.ZIP_STORED)
    lake.put("penalties/a.zip", data.replace(b"XXXX.csv", "处罚".encode("gbk") + b".csv"))
    lake.ingest("penalties")
    [row] = lake.rows("raw", "penalties")
    assert row["source_file"] == "penalties/a.zip!处罚.csv"


@pytest.mark.parametrize("name", ["../a.csv", "/etc/a.csv", "x/../../a.csv", "C:\\a.csv"])
def test_members_that_lead_outside(lake: Lake, name: str) -> None:
    """Prevents path traversal; nothing of such an archive is read."""
    lake.put("penalties/a.zip", archive({name: csv_text([penalty(1)]).encode(), "b.csv": b"x"}))
    [report] = lake.ingest("penalties").files
    assert (report.read, report.rules) == (1, {"unsafe_archive": 1})


def test_archive_limits(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents an archive bomb by members, size or ratio."""
    row = csv_text([penalty(1)]).encode()
    lake.put("penalties/bomb.zip", archive({"a.csv": b" " * 3_000_000}))
    monkeypatch.setattr(readers, "MAX_MEMBERS", 3)
    lake.put("penalties/many.zip", archive({f"{n}.csv": row for n in range(4)}))
    monkeypatch.setattr(readers, "MAX_UNCOMPRESSED", 2000)
    lake.put("penalties/large.zip", archive({"a.csv": bytes(range(1, 251)) * 10}))
    rules = [report.rules for report in lake.ingest("penalties").files]
    assert rules == [{"unsafe_archive": 1}] * 3


def test_a_member_with_a_wrong_checksum(lake: Lake) -> None:
    """Prevents damaged content passing because it still looks like CSV."""
    data = bytearray(archive({"a.csv": csv_text([penalty(1)]).encode()}, compression=zipfile.ZIP_STORED))
    place = data.index("商贸".encode())
    data[place : place + 3] = "农".encode()
    lake.put("penalties/a.zip", bytes(data))
    [report] = lake.ingest("penalties").files
    assert (report.read, report.rules) == (1, {"unreadable_file": 1})


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "empty_file"),
        (b" \n\t ", "empty_file"),
        (b"%PDF-1.7 x", "unknown_format"),
        (b"<html><table>", "unknown_format"),
        (b"\x89PNG\r\n\x1a\n", "unknown_format"),
        (b"a\x00b\x00c\x00", "unknown_format"),
        (b"PAR1xxxx", "unreadable_file"),
        (b"PK\x03\x04garbage", "unreadable_file"),
        (archive({"word/document.xml": b"x", "[Content_Types].xml": b"x"}), "unknown_format"),
        (archive({}), "empty_file"),
    ],
)
def test_what_is_no_table(lake: Lake, content: bytes, rule: str) -> None:
    """Prevents a crash, or silence, on any content; the others go on."""
    lake.put("penalties/a.csv", content)
    lake.put("penalties/b.csv", [penalty(1)])
    first, second = lake.ingest("penalties").files
    assert (first.read, first.quarantined, first.rules) == (1, 1, {rule: 1}) and second.accepted == 1
    [row] = lake.rows("quarantine", "penalties")
    assert row["row_number"] == 0 and row["remedy"] and row["file"] == "penalties/a.csv"


def test_refused_tables_count_every_row(lake: Lake) -> None:
    """Prevents rows of a wrong file vanishing: each is quarantined, without personal columns."""
    licence = {
        "XK_XDR_MC": "某公司",
        "XK_XDR_SHXYM": make_uscc(1),
        "XK_WSH": "1",
        "XK_NR": "准予",
        "XK_FR_ZJHM": "机密",
    }
    lake.put("penalties/foreign.csv", [licence, licence | {"XK_WSH": "2"}])
    lake.put("penalties/renamed.csv", [{f"_{name}": value for name, value in penalty(1).items()}])
    lake.put("penalties/only_header.csv", "CF_WSH,CF_NR\n")
    reports = {report.file.split("/")[1]: report for report in lake.ingest("penalties").files}
    assert reports["foreign.csv"].rules == {"foreign_file": 2} and reports["foreign.csv"].read == 2
    assert reports["renamed.csv"].rules == {"columns_missing": 1}
    assert reports["only_header.csv"].rules == {"columns_missing": 1} and reports["only_header.csv"].read == 1
    shown = [row for row in lake.rows("quarantine", "penalties") if row["rule"] == "foreign_file"]
    assert {row["row_number"] for row in shown} == {2, 3} and "机密" not in str(shown)
    assert all("某公司" in row["row_text"] for row in shown)
