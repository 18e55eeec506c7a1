"""Files that once broke a reader, shrunk to what matters, and tricks that must not work."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from feeds_support import DAY, MOBILE, PERSON, Lake, csv_text, make_uscc, penalty

from credit_pipeline.feeds import readers
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.ingest import FileReport, ingest_feed
from credit_pipeline.feeds.ledger import reconcile
from credit_pipeline.feeds.reading import LostFile

MASKED = "411330********0015"


def taken_alone(lake: Lake, name: str, content: bytes | str, feed: str = "penalties") -> FileReport:
    """Ingest one file; the counts must add up."""
    lake.put(f"{feed}/{name}", content)
    [report] = lake.ingest(feed).files
    assert report.read == report.accepted + report.quarantined + report.duplicates
    assert reconcile(lake.settings, get_feed(feed)) == []
    assert all(readers.GAVE_UP not in (problem["message"] or "") for problem in report.problems)
    return report


def parquet(**columns: Any) -> bytes:
    rows = [penalty(number) for number in (1, 2)]
    texts = {name: [row[name] for row in rows] for name in rows[0]}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**texts, **columns}), buffer)
    return buffer.getvalue()


def workbook(**cells: Any) -> bytes:
    """A sheet with one penalty, and further cells by their address."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = book.add_worksheet("数据")
    sheet.write_row(0, 0, list(penalty()))
    sheet.write_row(1, 0, list(penalty().values()))
    for address, value in cells.items():
        sheet.write(address, value)
    book.close()
    return buffer.getvalue()


def repacked(content: bytes, member: str, old: str, new: str) -> bytes:
    """A ZIP file with one text in one member changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(buffer, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == member:
                assert old.encode() in data
                data = data.replace(old.encode(), new.encode(), 1)
            target.writestr(name, data)
    return buffer.getvalue()


# ----------------------------------------------------------------------------- JSON


def test_half_a_character_in_json_costs_one_row(lake: Lake) -> None:
    """Prevents an escape such as \\ud800, which no text can hold, from ending the run."""
    good, bad = json.dumps(penalty(1)), json.dumps(penalty(2) | {"BZ": "a\ud800"})
    key = json.dumps(penalty(3) | {"\udfff": "x"})
    report = taken_alone(lake, "a.jsonl", f"{good}\n{bad}\n{key}\n")
    assert (report.read, report.accepted, report.rules) == (3, 1, {"undecodable": 2})
    pair = json.dumps(penalty(4) | {"BZ": "\U00020000"})
    report = taken_alone(lake, "b.json", f"[{bad}, {pair}]")
    assert (report.read, report.accepted, report.rules) == (2, 1, {"undecodable": 1})


@pytest.mark.parametrize(("content", "read"), [("{}", 1), ("[{}, {}, {}]", 3), ("{}\n{}\n", 2)])
def test_objects_without_keys_are_rows(lake: Lake, content: str, read: int) -> None:
    """Prevents rows without a single cell from ending the run or vanishing."""
    report = taken_alone(lake, "a.json", content)
    assert (report.read, report.quarantined) == (read, read) and report.problem is not None


def test_deep_and_odd_json(lake: Lake) -> None:
    """Prevents the decoder's limits (depth, digits of a number) from ending the run."""
    first = json.dumps(penalty(1))[:-1]
    texts = {
        "deep.json": "[" * 100_000,
        "line.jsonl": '{"a":' * 50_000 + "1" + "}" * 50_000 + "\n" + first + "}\n",
        "digits.json": f'[{first}, "BZ": {"9" * 50_000}}}]',
        "nan.json": f'[{first}, "BZ": NaN, "别": -Infinity}}]',
        "twice.json": f'[{first}, "CF_WSH": "x"}}]',
    }
    reports = {name: taken_alone(lake, name, text) for name, text in texts.items()}
    assert {name: report.accepted for name, report in reports.items()} == {
        "deep.json": 0, "line.jsonl": 1, "digits.json": 0, "nan.json": 0, "twice.json": 0,
    }  # fmt: skip
    assert reports["nan.json"].duplicates == 1 and reports["digits.json"].rules == {"too_long": 1}
    assert "key stands twice" in str(reports["twice.json"].problem)


# ----------------------------------------------------------------------------- Parquet


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62, 1], pa.timestamp("ms")),
        pa.array([-(2**62), 1], pa.timestamp("us")),
        pa.array([1, 1], pa.timestamp("ns")),
        pa.array([2**30, 1], pa.int32()).cast(pa.date32()),
        pa.array([10**18, 1], pa.duration("ns")),
        pa.array([{"a": [date(2026, 1, 1)]}, None]),
        pa.array([[("k", 2**62)], []], pa.map_(pa.string(), pa.timestamp("ms"))),
        pa.array([b"\xff\x00", b"\xfe" * 10_000]),
        pa.array([1.5, None], pa.float32()).cast(pa.float16()),
        pa.nulls(2),
    ],
    ids=str,
)
def test_odd_types_of_an_unknown_column_do_no_harm(lake: Lake, column: pa.Array) -> None:
    """Prevents a value outside Python's types, in a column nobody needs, from ending the run."""
    report = taken_alone(lake, "a.parquet", parquet(另一列=column))
    assert (report.read, report.accepted) == (2, 2)


def test_days_of_parquet_keep_their_day(lake: Lake) -> None:
    """Prevents a day moving with the time zone or turning into a number on its way through Arrow's text."""
    local = pa.array([1_772_294_400_000_000] * 2, pa.timestamp("us", "Asia/Shanghai"))  # 2026-03-01 00:00
    taken_alone(lake, "a.parquet", parquet(CF_JDRQ=local))
    assert {row["decision_date"] for row in lake.rows("raw", "penalties")} == {date(2026, 3, 1)}


def test_text_that_is_no_utf8_refuses_a_parquet_file(lake: Lake) -> None:
    """Prevents a crash of the whole process: Arrow hands such bytes on as text without looking."""
    offsets = pa.py_buffer(struct.pack("<3i", 0, 1, 2))
    bad = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"\xff\xff")])
    report = taken_alone(lake, "a.parquet", parquet(CF_CFJG=bad))
    assert report.rules == {"unreadable_file": 1}


# ----------------------------------------------------------------------------- workbooks


def test_one_cell_far_away_refuses_a_workbook(lake: Lake) -> None:
    """Prevents 6 KB from asking for 512 GB, which ended the process without an exception."""
    report = taken_alone(lake, "far.xlsx", workbook(WQK1000001="远"))
    assert report.rules == {"unreadable_file": 1} and "too large" in str(report.problem)
    wide = repacked(workbook(), "xl/worksheets/sheet1.xml", 'r="B2"', 'r="ZZZZZ2"')
    assert taken_alone(lake, "wide.xlsx", wide).rules == {"unreadable_file": 1}
    assert taken_alone(lake, "whole.xlsx", workbook()).accepted == 1


def test_error_cells_booleans_and_formulas(lake: Lake) -> None:
    """Prevents an error cell or a formula from being taken for a value."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, [*penalty(), "窗口"])
    for row in range(1, 5):
        sheet.write_row(row, 0, list(penalty(row).values()))
    sheet.write_formula("G2", "=1/0", None, "#DIV/0!")
    sheet.write_boolean("H3", True)
    sheet.write_formula("L4", "=cmd|' /C calc'!A0", None, "abc")
    book.close()
    report = taken_alone(lake, "a.xlsx", buffer.getvalue())
    rules = {row: found for (_, row), found in lake.rules("penalties").items()}
    assert rules == {3: {"date_unreadable"}} | ({2: rules[2]} if 2 in rules else {})
    assert report.read == 4


def test_sheets_named_by_persons_stay_apart(lake: Lake) -> None:
    """Prevents two sheets whose masked names are equal from being counted as one, and the names from leaking."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    for number, name in ((1, PERSON), (2, "4113301980010100" + "15 ")):
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, list(penalty()))
        sheet.write_row(1, 0, [*penalty(number).values()][:-2])
    book.close()
    report = taken_alone(lake, "a.xlsx", buffer.getvalue())
    assert len(set(report.sheets)) == 2 and all(PERSON not in sheet for sheet in report.sheets)


# ----------------------------------------------------------------------------- archives


def test_directories_that_lie(lake: Lake) -> None:
    """Prevents zipfile's many exceptions from ending the run."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", csv_text([penalty(1)]))
    good = buffer.getvalue()
    place = good.rindex(b"PK\x01\x02")
    lies = {  # offset in the central directory, form, value
        "size": (24, "<I", 10**9), "method": (10, "<H", 99), "offset": (42, "<I", 2**31), "checksum": (16, "<I", 1), "encrypted": (8, "<H", 1), "strong": (8, "<H", 0x40),
    }  # fmt: skip
    for name, (offset, form, value) in lies.items():
        data = bytearray(good)
        struct.pack_into(form, data, place + offset, value)
        report = taken_alone(lake, f"{name}.zip", bytes(data))
        assert report.accepted + report.duplicates == 0 and report.problem is not None, name
    bad_name = bytearray(good)
    struct.pack_into("<H", bad_name, place + 8, 0x800)
    bad_name[place + 46] = 0x83
    assert taken_alone(lake, "utf8.zip", bytes(bad_name)).rules == {"unreadable_file": 1}


def test_members_named_by_persons_are_masked(lake: Lake) -> None:
    """Prevents an identity number in a member's name from reaching the lake, and two members becoming one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{PERSON}.csv", csv_text([penalty(1)]))
        archive.writestr(f"{PERSON[:17]} {PERSON[17:]}.csv", csv_text([penalty(2)]))
    report = taken_alone(lake, "a.zip", buffer.getvalue())
    files = {row["source_file"] for row in lake.rows("raw", "penalties")}
    assert report.accepted == 2 and files == {
        f"penalties/a.zip!{MASKED}.csv",
        f"penalties/a.zip!{MASKED}.csv#2",
    }


# ----------------------------------------------------------------------------- landing


def test_names_are_masked_and_stay_two(lake: Lake) -> None:
    """Prevents an identity number in a file name from reaching lake and log, and two files sharing one name."""
    lake.put(f"penalties/{PERSON}.csv", [penalty(1)])
    lake.put(f"penalties/{PERSON[:6]}-{PERSON[6:]}.csv", [penalty(2)])
    lines: list[str] = []
    reports = ingest_feed("penalties", lake.settings, DAY, lines.append).files
    names = {report.file for report in reports}
    assert len(names) == 2 and {name.split("#")[0] for name in names} == {f"penalties/{MASKED}.csv"}
    assert {name.split("#")[1] for name in names} == {report.sha256[:8] for report in reports}
    assert PERSON not in "".join(lines) and all(PERSON.encode() not in data for data in lake.bytes().values())


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.csv",
        "\u202ecsv.exe",
        "-rf",
        "$(x).csv",
        "'\".csv",
        "文" * 80,
        "a!b.csv",
        "😀.csv",
        "%00.csv",
        "a|b\\c.csv",
    ],
)
def test_odd_names(lake: Lake, name: str) -> None:
    """Prevents a name from breaking the ledger, the report's table or a path."""
    lake.put(f"penalties/{name}", [penalty(1)])
    report = lake.ingest("penalties")
    assert report.accepted == 1 and "\n" not in report.files[0].file
    assert len(report.to_markdown().splitlines()) == 3


def test_a_name_that_is_no_utf8(lake: Lake) -> None:
    """Prevents bytes of a GBK file name from ending the run."""
    folder = os.fsencode(lake.put("penalties/a.csv", [penalty(1)]).parent)
    with open(folder + b"/\xb4\xa6\xb7\xa3.csv", "wb") as stream:  # noqa: PTH123 - pathlib takes no bytes
        stream.write(csv_text([penalty(2)]).encode())
    assert {file.accepted for file in lake.ingest("penalties").files} == {1}


def test_a_link_that_leads_outside_is_refused_unread(lake: Lake) -> None:
    """Prevents a sender from having any file of the machine read; links inside landing are followed."""
    outside = lake.root / "secret.csv"
    outside.write_text(csv_text([penalty(1)]), encoding="utf-8")
    inside = lake.put("shared/b.csv", [penalty(2)])
    folder = lake.settings.landing_dir / "penalties"
    folder.mkdir(parents=True)
    (folder / "a.csv").symlink_to(outside)
    (folder / "b.csv").symlink_to(inside)
    (folder / "dead.csv").symlink_to(lake.root / "nothing")
    reports = {report.file: report for report in lake.ingest("penalties").files}
    assert (
        reports["penalties/a.csv"].rules == {"link_outside": 1} and reports["penalties/b.csv"].accepted == 1
    )
    assert set(reports) == {"penalties/a.csv", "penalties/b.csv"}
    assert "桐柏县第1商贸" not in str(lake.rows("quarantine", "penalties"))


def test_folders_pipes_and_sockets_are_no_files(lake: Lake) -> None:
    """Prevents a folder named x.csv from breaking the run and a pipe from blocking it for ever."""
    lake.put("penalties/x.csv/a.csv", [penalty(1)])
    os.mkfifo(lake.settings.landing_dir / "penalties" / "pipe.csv")
    [report] = lake.ingest("penalties").files
    assert report.file == "penalties/x.csv/a.csv" and report.accepted == 1


def test_a_file_that_vanishes_or_cannot_be_read_is_left(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a sender who takes a file back from ending the run, and it from being refused for ever."""
    lake.put("penalties/a.csv", [penalty(1)])
    gone = lake.put("penalties/b.csv", [penalty(2)])
    original = readers.file_format

    def vanishing(stream: Any) -> str:
        gone.unlink(missing_ok=True)
        return original(stream)

    with monkeypatch.context() as patch:
        patch.setattr(readers, "file_format", vanishing)
        report = ingest_feed("penalties", lake.settings, DAY)
    assert [file.file for file in report.files] == ["penalties/a.csv"]
    [message] = report.left
    assert "penalties/b.csv" in message and "vanished" in message
    lake.put("penalties/c.csv", [penalty(3)])

    def failing(stream: Any) -> str:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(readers, "file_format", failing)
        assert lake.ingest("penalties").files == []
    assert [file.accepted for file in lake.ingest("penalties").files] == [1]


def test_a_machine_that_starts_no_process_says_so(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents workbooks that are left on every run, as if their senders were still writing them."""
    lake.put("penalties/a.xlsx", workbook())
    lake.put("penalties/b.csv", [penalty(2)])

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr("credit_pipeline.feeds.readers_excel.subprocess.run", refused)
        report = ingest_feed("penalties", lake.settings, DAY)
    assert [file.file for file in report.files] == ["penalties/b.csv"]
    [message] = report.left
    assert "penalties/a.xlsx is left for the next run" in message and "does not start" in message
    assert "Resource temporarily unavailable" in message and "ulimit -u" in message
    assert message in report.to_markdown()
    assert [file.accepted for file in lake.ingest("penalties").files] == [1]


def test_an_unreadable_file_is_left(lake: Lake, tmp_path: Path) -> None:
    """Prevents missing permissions from counting as damage of the content."""
    path = lake.put("penalties/a.csv", [penalty(1)])
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.chmod(stat.S_IRUSR)
        missing = tmp_path / "missing.csv"
        with pytest.raises(LostFile):
            list(readers.open_tables(missing, get_feed("penalties"), "penalties/missing.csv"))
        return
    assert lake.ingest("penalties").files == []


# ----------------------------------------------------------------------------- headers


def test_rows_above_the_header_are_not_lost(lake: Lake) -> None:
    """Prevents data above a header in the middle of a file from passing for a title."""
    rows = csv_text([penalty(1), penalty(2), penalty(3)]).splitlines()
    text = "\n".join(["2026年处罚信息", rows[1], rows[0], rows[2], rows[3]]) + "\n"
    report = taken_alone(lake, "a.csv", text)
    assert (report.read, report.accepted, report.rules) == (3, 2, {"above_header": 1})
    assert report.layout_rows == 1


def test_a_file_without_header_counts_its_first_row(lake: Lake) -> None:
    """Prevents the first row of a headerless file from passing for a header and vanishing."""
    text = csv_text([penalty(n) for n in (1, 2, 3)]).split("\n", 1)[1]
    report = taken_alone(lake, "a.csv", text)
    assert (report.read, report.rules) == (3, {"columns_missing": 3})
    assert "no header of penalties" in str(report.problem)


def test_ten_thousand_columns_of_one_name(lake: Lake) -> None:
    """Prevents names of repeated unknown headers from taking quadratic time."""
    text = csv_text([penalty(1)]).splitlines()
    report = taken_alone(lake, "a.csv", text[0] + ",附" * 20_000 + "\n" + text[1] + ",1" * 20_000 + "\n")
    assert report.accepted == 1 and len(report.unknown_columns) == 20_000


def test_a_refused_table_shows_no_complainant(lake: Lake) -> None:
    """Prevents a complainant under a header that nobody understands from reaching quarantine."""
    row: dict[str, str | None] = {
        "编号": "T1",
        "何种": "投诉",
        "来者": "王小明",
        "日子": "2026-01-01",
        "代码": make_uscc(1),
    }
    report = taken_alone(lake, "a.csv", csv_text([row]), feed="complaints")
    assert report.rules == {"columns_missing": 1}
    [shown] = lake.rows("quarantine", "complaints")
    assert "王小明" not in str(shown) and "2026-01-01" in shown["row_text"]


@pytest.mark.parametrize(
    "header",
    ["投诉人", "举报人姓名", "诉求人", "来电人", "来电号码", "联系电话", "联系人", "反映人地址", "申诉人", "投诉者", "联系方式", "姓名", "性别", "住址", "complainantName"],
)  # fmt: skip
def test_complainants_are_never_stored(lake: Lake, header: str) -> None:
    """Prevents a complainant's name, number or address from being kept as an unknown column."""
    row: dict[str, str | None] = {
        "工单编号": "T1", "类型": "投诉", "统一社会信用代码": make_uscc(1), "登记时间": "2026-03-01",
        header: "王小明", "被投诉人数": "3",
    }  # fmt: skip
    report = taken_alone(lake, "a.csv", csv_text([row]), feed="complaints")
    assert report.accepted == 1 and header in report.dropped_columns
    assert all("王小明".encode() not in data for data in lake.bytes().values())
    assert lake.rows("raw", "complaints")[0]["extra"] == '{"被投诉人数":"3"}'


def test_numbers_of_persons_are_no_numbers(lake: Lake) -> None:
    """Prevents an identity number under a header of amounts or counts from being stored as a value."""
    rows = [
        penalty(1, CF_NR_FK=PERSON, punishmoney=None),
        penalty(2, CF_NR_FK=None) | {"punishmoney": "411330800101001"},
    ]
    report = taken_alone(lake, "a.csv", csv_text(rows))
    assert report.quarantined == 2 and set(report.rules) <= {"number_out_of_range", "number_unreadable"}
    assert all(PERSON.encode() not in data and MOBILE.encode() not in data for data in lake.bytes().values())


def test_a_long_list_of_categories_ends(lake: Lake) -> None:
    """Prevents cubic time: 20 KB of 没收、没收、… kept a run busy for hours."""
    kinds = ["没收、" * 50_000, "警告、" * 50_000, "警告 罚款 " * 20_000]
    rows = [penalty(number, CF_CFLB=text) for number, text in enumerate(kinds, start=1)]
    report = taken_alone(lake, "a.csv", csv_text(rows))
    assert (report.read, report.accepted, report.rules) == (3, 2, {"code_unknown": 1})
