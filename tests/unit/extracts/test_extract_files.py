"""The extract as workbook and CSV: what a spreadsheet makes of it, and that nothing in it is run."""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
import struct
import tempfile
import zipfile
import zlib
from datetime import date
from pathlib import Path

import duckdb
import msoffcrypto
import pytest
import python_calamine
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from extract_contract import attached, finished_extract
from extract_warehouse import extract_warehouse
from hypothesis import given, settings
from hypothesis import strategies as st

from credit_pipeline.extracts.cell_text import guarded
from credit_pipeline.extracts.csv_files import csv_contents
from credit_pipeline.extracts.documents import unit_documents
from credit_pipeline.extracts.locked_zip import locked_zip
from credit_pipeline.extracts.options import UnitOptions
from credit_pipeline.extracts.workbook import CUT, MAX_CHARACTERS, workbook_bytes, write_workbook
from credit_pipeline.keys.age import excel_password

HOSTILE = ["=1+1", "+1+cmd", "-2+3", "@SUM(A1)", "＝1+1", "＋1", "－1+1", "＠A1", "\t=1", "\r=1", "\n@x", " =1", "\u3000=1",
    "\ufeff=1", 'a,=1', 'a;+cmd|x', 'a"=1', "甲\n=HYPERLINK(\"http://x\")", "|=1"]  # fmt: skip
PEACEFUL = [
    "",
    "企业",
    "-5",
    "+86",
    "3.14",
    "2026-10-31",
    "〔2026〕1号",
    "A=B",
    "a-b",
    "南阳-某厂",
    "0012",
    "1e5",
    "http://x.cn",
]


_CONNECTION = duckdb.connect()


def guard(text: str) -> str:
    return _CONNECTION.execute(f"select {guarded('t')} from (select ?::varchar as t)", [text]).fetchone()[0]


def starts_formula(text: str) -> bool:
    return re.match(r"[\s\u3000\ufeff\u200b]*[=+\-@＝＋－＠]", text) is not None


@pytest.mark.parametrize("text", HOSTILE)
def test_formulas_are_kept_from_running(text: str) -> None:
    """Prevents =, +, -, @, also full width, after blanks and after what other settings split at."""
    found = guard(text)
    assert (
        not any(starts_formula(part) for part in re.split(r'[,;|\t\n"]', found))
        and found.replace("'", "") == text
    )


@pytest.mark.parametrize("text", PEACEFUL)
def test_other_text_stays_as_it_is(text: str) -> None:
    """Prevents apostrophes in negative numbers, days and names."""
    assert guard(text) == text


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet=st.sampled_from("=+-@＝＋－＠ \t\n,;|\"'1a企\u3000"), max_size=12))
def test_no_cell_of_any_separator_begins_a_formula(text: str) -> None:
    """Prevents a combination nobody thought of."""
    found = guard(text)
    if _CONNECTION.execute("select try_cast(? as double) is null", [text]).fetchone()[0]:
        assert not any(starts_formula(part) for part in re.split(r'[,;|\t\n"]', found))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """An extract whose enterprises bear hostile, long and odd names, and a code with leading zeros."""
    connection = extract_warehouse()
    names = [*HOSTILE, "长" * 40_000, "𠮷" * 20_000, 'a<b>&"c"_x0041_\x01', "0012"]
    for number, name in enumerate(names):
        connection.execute(
            "insert into enterprises.enterprises by name select ? as uscc, ? as enterprise_name, 'active' as status, "
            "'411302' as region, 'C' as industry_section, false as is_safety_related, 'enterprise' as subject_kind",
            [f"00{number:03d}", name],
        )
        connection.execute("insert into enterprises.enterprise_units values ('U', ?)", [f"00{number:03d}"])
    return attached(*finished_extract(tmp_path_factory.mktemp("hostile"), connection=connection))


def sheet(content: bytes, name: str) -> list[list]:
    return (
        python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        .get_sheet_by_name(name)
        .to_python()
    )


def test_the_workbook_holds_what_the_extract_holds(hostile: duckdb.DuckDBPyConnection) -> None:
    """Prevents lost rows, codes turned into numbers, days turned into numbers, sheets out of order."""
    content = workbook_bytes(hostile)
    book = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    assert book.sheet_names[:3] == ["使用须知", "待检查企业及原因", "检查人员任务单"]
    rows = sheet(content, "监管企业")
    expected = hostile.execute("select uscc, established_date, visits_left from enterprises").fetchall()
    head = rows[0]
    assert head[:3] == ["统一社会信用代码", "企业名称", "登记状态"] and len(set(head)) == len(head)
    assert [row[0] for row in rows[1:]] == [uscc for uscc, _, _ in expected]
    assert [row[head.index("成立日期")] or None for row in rows[1:]] == [day for _, day, _ in expected]
    assert isinstance(rows[-1][head.index("成立日期")] or date.min, date)
    assert {row[head.index("是否涉及安全")] for row in rows[1:]} <= {"是", "否"}
    assert [row[head.index("本年入企检查剩余次数")] for row in rows[1:]] == [left for _, _, left in expected]


def test_nothing_in_the_workbook_is_a_formula_or_a_link(hostile: duckdb.DuckDBPyConnection) -> None:
    """Prevents Excel from running a name, also after saving the workbook as CSV, and codes of XML in a name."""
    content = workbook_bytes(hostile)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert not any("<f>" in archive.read(name).decode() for name in archive.namelist() if "sheet" in name)
        assert not any(
            "External" in archive.read(name).decode() for name in archive.namelist() if "rels" in name
        )
    names = [row[1] for row in sheet(content, "监管企业")[1:]]
    assert not any(starts_formula(str(name)) for name in names)
    assert 'a<b>&"c"_x0041_' in names and "0012" in names


def test_limits_of_a_spreadsheet_are_told(hostile: duckdb.DuckDBPyConnection) -> None:
    """Prevents Excel from calling the workbook broken, and rows or text from missing in silence."""
    names = [str(row[1]) for row in sheet(workbook_bytes(hostile), "监管企业")[1:]]
    cut = [name for name in names if name.endswith(CUT)]
    assert len(cut) == 2 and all(len(name.encode("utf-16-le")) // 2 <= MAX_CHARACTERS for name in cut)
    content = workbook_bytes(hostile, max_rows=10)
    assert len(sheet(content, "监管企业")) == 10
    [line] = [row for row in sheet(content, "使用须知") if row[0] == "监管企业"]
    assert "超过 Excel 行数上限" in line[1] and "缺最后" in line[1]


def test_the_same_extract_gives_the_same_bytes(hostile: duckdb.DuckDBPyConnection) -> None:
    """Prevents a clock or an order in the files."""
    assert workbook_bytes(hostile) == workbook_bytes(hostile) and csv_contents(hostile) == csv_contents(
        hostile
    )


def test_the_workbook_opens_with_its_password_only(
    hostile: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a workbook in clear: on disk, in a temporary folder, or with any password."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path = tmp_path / "x.xlsx"
    write_workbook(path, hostile, "RIGHT-PASSWORD")
    assert list(scratch.iterdir()) == [] and path.stat().st_mode & 0o777 == 0o600
    assert b"xl/worksheets" not in path.read_bytes() and "企业1".encode() not in path.read_bytes()
    with path.open("rb") as file:
        office = msoffcrypto.OfficeFile(file)
        office.load_key(password="WRONG-PASSWORD")
        with pytest.raises(msoffcrypto.exceptions.InvalidKeyError):
            office.decrypt(io.BytesIO())
        office.load_key(password="RIGHT-PASSWORD", verify_password=True)
        office.decrypt(plain := io.BytesIO())
    assert plain.getvalue() == workbook_bytes(hostile)


@pytest.mark.parametrize(
    ("encoding", "start"), [("utf-8-sig", b"\xef\xbb\xbf"), ("gb18030", "统一".encode("gb18030"))]
)
def test_csv_in_both_encodings(hostile: duckdb.DuckDBPyConnection, encoding: str, start: bytes) -> None:
    """Prevents signs outside GBK from being lost or refused, and formulas in CSV."""
    files = csv_contents(hostile, encoding)
    [content] = [content for name, content in files.items() if name.endswith("监管企业.csv")]
    assert content.startswith(start)
    rows = list(csv.reader(io.StringIO(content.decode(encoding), newline="")))
    assert "0123456789abcdef0123" in files["00-使用须知.txt"].decode(encoding)
    expected = hostile.execute("select uscc from enterprises").fetchall()
    assert [row[0] for row in rows[1:]] == [uscc for (uscc,) in expected]
    assert "𠮷" * 20_000 in {row[1] for row in rows} and not any(starts_formula(row[1]) for row in rows[1:])


def test_documents_of_a_release(hostile: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Prevents a file that the unit did not choose, and an archive in clear."""
    assert unit_documents(UnitOptions(xlsx=False, csv_encoding=None, inspector_grade=False)) == {}
    documents = unit_documents(UnitOptions(xlsx=True, csv_encoding="gb18030", inspector_grade=False))
    assert set(documents) == {"xlsx", "csv.zip"}
    key, path = "ab" * 32, tmp_path / "x.csv.zip"
    documents["csv.zip"](path, hostile, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert unlocked(path.read_bytes(), excel_password(key)) == csv_contents(hostile, "gb18030")


def unlocked(archive: bytes, password: str) -> dict[str, bytes]:
    """A reader of WinZip's AES by its description, block by block (libarchive reads the same archives)."""
    found = {}
    for info in zipfile.ZipFile(io.BytesIO(archive)).infolist():
        assert (info.compress_type, info.flag_bits & 1, info.CRC) == (99, 1, 0)
        at = info.header_offset
        at += 30 + sum(struct.unpack("<HH", archive[at + 26 : at + 30]))
        sealed = archive[at : at + info.compress_size]
        salt, check, text, proof = sealed[:16], sealed[16:18], sealed[18:-10], sealed[-10:]
        keys = hashlib.pbkdf2_hmac("sha1", password.encode(), salt, 1000, 66)
        assert keys[64:] == check and hmac.digest(keys[32:64], text, "sha1")[:10] == proof
        aes = Cipher(algorithms.AES(keys[:32]), modes.ECB()).encryptor()  # noqa: S305 - the format
        plain = bytearray()
        for number in range(0, len(text), 16):
            pad = aes.update((number // 16 + 1).to_bytes(16, "little"))
            plain += bytes(a ^ b for a, b in zip(text[number : number + 16], pad, strict=False))
        found[info.filename] = zlib.decompress(bytes(plain), -15)
        assert len(found[info.filename]) == info.file_size
    return found


def test_a_locked_archive_tells_nothing() -> None:
    """Prevents content in clear, one key for two files, and any password opening it."""
    archive = locked_zip({"甲.csv": b"secret" * 99, "b.csv": b"secret" * 99, "c.csv": b""}, "RIGHT")
    assert unlocked(archive, "RIGHT") == {"甲.csv": b"secret" * 99, "b.csv": b"secret" * 99, "c.csv": b""}
    assert b"secret" not in archive and archive != locked_zip({"甲.csv": b"secret" * 99}, "RIGHT")
    with pytest.raises(AssertionError):
        unlocked(archive, "WRONG")
