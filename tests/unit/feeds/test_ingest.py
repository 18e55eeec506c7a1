"""Files into the lake: accounts, duplicates, days, crashes, secrecy."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from feeds_support import DAY, MOBILE, PERSON, Lake, csv_text, make_uscc, penalty, quick, registration
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_pipeline.feeds.catalogue import get_feed, load_catalogue
from credit_pipeline.feeds.ingest import ingest_feed, read_ledger, reconcile, totals, waiting_files
from credit_pipeline.feeds.lake_schema import KINDS, ensure_schema_files, lake_schema
from credit_pipeline.settings import Settings


def balanced(lake: Lake, feed: str = "penalties") -> None:
    """read = accepted + quarantined + duplicates for every file, and the Parquet files hold just that."""
    for entry in read_ledger(lake.settings, feed):
        assert entry["read"] == entry["accepted"] + entry["quarantined"] + entry["duplicates"]
    assert reconcile(lake.settings, get_feed(feed)) == []


def test_a_first_ingest(lake: Lake) -> None:
    """Prevents rows without provenance, and a ledger that does not say what happened."""
    rows = [penalty(1), penalty(2, CF_JDRQ="2026/3/1"), penalty(3, CF_NR=None), penalty(1)]
    lake.put("penalties/某县/a.csv", csv_text(rows))
    report = lake.ingest("penalties")
    assert (report.read, report.accepted, report.quarantined, report.duplicates, report.repaired) == (
        4,
        2,
        1,
        1,
        1,
    )
    assert report.rows_in_lake == 2 and "某县/a.csv" in report.to_markdown()
    [entry] = read_ledger(lake.settings, "penalties")
    assert entry["file"] == "penalties/某县/a.csv" and entry["rules"] == {"required_missing": 1}
    assert (
        entry["repairs"] == {"date_format": 1} and entry["problem"] is None and entry["encoding"] == "utf-8"
    )
    raw = lake.rows("raw", "penalties")
    assert [(row["source_file"], row["source_row"]) for row in raw] == [
        ("penalties/某县/a.csv", 2),
        ("penalties/某县/a.csv", 3),
    ]
    assert all(row["row_hash"] > 0 and row["source_sheet"] is None for row in raw)
    balanced(lake)
    assert totals(lake.settings, "penalties") == {"read": 4, "accepted": 2, "quarantined": 1, "duplicates": 1}


def test_duckdb_reads_the_lake(lake: Lake) -> None:
    """Prevents types or partitions that SQL sees differently; an empty feed reads as an empty table."""
    lake.put("penalties/a.csv", [penalty(1)])
    lake.ingest("penalties")
    for feed in load_catalogue():
        pattern = lake.settings.raw_dir / feed / "*" / "*.parquet"
        types = dict(
            duckdb.sql(
                f"select column_name, column_type from (describe from read_parquet('{pattern}', hive_partitioning=false))"
            ).fetchall()
        )
        names = {
            "string": "VARCHAR",
            "int64": "BIGINT",
            "double": "DOUBLE",
            "bool": "BOOLEAN",
            "date32[day]": "DATE",
        }
        assert types == {field.name: names[str(field.type)] for field in lake_schema(get_feed(feed))}
    for kind in KINDS:
        pattern = lake.settings.lake_dir / kind / "*" / "*" / "*.parquet"
        assert (
            duckdb.sql(
                f"from read_parquet('{pattern}', union_by_name=true, hive_partitioning=false)"
            ).fetchall()
            is not None
        )
    [(day,)] = duckdb.sql(
        f"select ingest_date from read_parquet('{lake.settings.raw_dir}/penalties/*/*.parquet')"
    ).fetchall()
    assert day == DAY


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0, straight from its specification."""
    mask = (1 << 64) - 1
    p1, p2, p3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
    p4, p5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

    def rotated(value: int, bits: int) -> int:
        return ((value << bits) | (value >> (64 - bits))) & mask

    def mixed(lane: int, word: int) -> int:
        return rotated((lane + word * p2) & mask, 31) * p1 & mask

    words = [int.from_bytes(data[start : start + 8], "little") for start in range(0, len(data) // 8 * 8, 8)]
    striped = len(data) // 32 * 4
    if striped:
        lanes = [p1 + p2, p2, 0, -p1]
        for place, word in enumerate(words[:striped]):
            lanes[place % 4] = mixed(lanes[place % 4] & mask, word)
        total = sum(rotated(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18), strict=True)) & mask
        for lane in lanes:
            total = ((total ^ mixed(0, lane)) * p1 + p4) & mask
    else:
        total = p5
    total = (total + len(data)) & mask
    for word in words[striped:]:
        total = (rotated(total ^ mixed(0, word), 27) * p1 + p4) & mask
    rest = data[len(words) * 8 :]
    if len(rest) >= 4:
        total = (rotated(total ^ int.from_bytes(rest[:4], "little") * p1 & mask, 23) * p2 + p3) & mask
        rest = rest[4:]
    for byte in rest:
        total = rotated(total ^ byte * p5 & mask, 11) * p1 & mask
    total = (total ^ total >> 33) * p2 & mask
    total = (total ^ total >> 29) * p3 & mask
    return total ^ total >> 32


def test_row_hash_is_the_documented_one(lake: Lake) -> None:
    """Prevents row hashes changing with a library: A, B, A would become new rows everywhere."""
    lake.put("credit_repairs/a.csv", [{
        "修复决定编号": "X1", "统一社会信用代码": make_uscc(1), "修复信息类型": "行政处罚", "原记录编号": "1",
        "修复决定日期": "2026-01-01", "修复生效日期": "2026-01-02",
    }])  # fmt: skip
    lake.ingest("credit_repairs")
    [row] = lake.rows("raw", "credit_repairs")
    null = "\x1e"
    text = "\x1f".join(
        ["X1", make_uscc(1), null, "penalties", "1", "20454", "20455", *[null] * 6]
    )  # fmt: skip
    assert row["row_hash"] == xxh64(text.encode()) >> 1
    assert [xxh64(b""), xxh64(b"abc")] == [0xEF46DB3751D8E999, 0x44BC2CF5AD770999], "test vectors of XXH64"


def test_exact_duplicates_follow_the_latest_version(lake: Lake) -> None:
    """Prevents A, B, A losing its return to A, and A, A counting twice, in a file, across files and days."""
    a, b = penalty(1), penalty(1, CF_NR="罚款3000元", CF_NR_FK="0.3")
    lake.put("penalties/1.csv", [a, a, b, a])
    lake.put("penalties/2.csv", [a, b])
    assert [(f.accepted, f.duplicates) for f in lake.ingest("penalties").files] == [(3, 1), (1, 1)]
    lake.put("penalties/2026-11-01/3.csv", [b | {"CF_JDRQ": "2026/03/01"}, a])
    [third] = lake.ingest("penalties", DAY + timedelta(1)).files
    assert (third.accepted, third.duplicates, third.repairs) == (1, 1, {})
    balanced(lake)


def test_keys_with_missing_parts_are_compared_too(lake: Lake) -> None:
    """Prevents rows without an authority code being new every day."""
    row = penalty(1, CF_CFJGDM=None)
    lake.put("penalties/1.csv", [row, penalty(2, CF_CFJGDM=None), row])
    [report] = lake.ingest("penalties").files
    assert (report.accepted, report.duplicates) == (3 - 1, 1)


@quick
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=60),
    st.integers(1, 5),
    st.sampled_from([2, 5, 1 << 24]),
)
def test_version_index_against_a_plain_loop(rows: list[tuple[int, int]], size: int, longest: int) -> None:
    """Prevents the vectorised search disagreeing with its definition at the seams of batches and runs."""
    import numpy as np

    from credit_pipeline.feeds import versions

    index = versions.VersionIndex(get_feed("penalties"))
    usual, versions.LONGEST_RUN = versions.LONGEST_RUN, longest
    latest: dict[int, int] = {}
    expected, found = [], []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        keys, hashes = (
            np.array([k for k, _ in part], dtype=np.uint64),
            np.array([h for _, h in part], dtype=np.int64),
        )
        found += index._remember(keys, hashes).tolist()
        for key, value in part:
            expected.append(latest.get(key) == value)
            latest[key] = value
    versions.LONGEST_RUN = usual
    assert found == expected


def test_version_index_grows_with_its_keys_only(lake: Lake) -> None:
    """Prevents each batch copying all keys known so far, which made ten million rows take a hundred times as
    long as one million: 64 batches of the same length end as one run, 63 as six."""
    import numpy as np

    from credit_pipeline.feeds.versions import VersionIndex

    index = VersionIndex(get_feed("penalties"))
    chance = np.random.default_rng(1)
    for number in range(1, 65):
        index._remember(chance.integers(0, 1 << 60, 100).astype(np.uint64), np.zeros(100, dtype=np.int64))
        lengths = [len(keys) for keys, _ in index.state()]
        assert len(lengths) == number.bit_count() and sum(lengths) == number * 100


def test_a_second_run_reads_nothing(lake: Lake) -> None:
    """Prevents double ingestion, also of the same content under another name or in another feed's order."""
    lake.put("penalties/a.csv", [penalty(1)])
    lake.ingest("penalties")
    before = lake.bytes()
    lake.put("penalties/copy.csv", [penalty(1)])
    again = lake.ingest("penalties")
    assert (again.read, again.files, again.known_files, again.rows_in_lake) == (0, [], 2, 1)
    assert lake.bytes() == before and waiting_files(lake.settings, DAY) == {}


def test_every_row_leaves_a_trace_that_names_it(lake: Lake) -> None:
    """Prevents a refused or repeated row that cannot be found again, sent back, or matched by its correction."""
    number, code = "桐市监罚〔2026〕1号", "11411330MB0R12345X"
    key = json.dumps([code, number, make_uscc(1)], ensure_ascii=False, separators=(",", ":"))
    rows = [
        penalty(1),
        penalty(1),
        penalty(1, CF_NR=None, CF_JDRQ="2026/3/1", CF_SJLY="县局"),
        penalty(2, CF_XDR_SHXYM="x"),
    ]
    lake.put("penalties/a.csv", csv_text([penalty(3, CF_JDRQ="2026/3/1"), *rows]) + "only one cell\n")
    [report] = lake.ingest("penalties").files
    assert (report.accepted, report.duplicates, report.quarantined) == (2, 1, 3)
    sha = report.sha256[:16]
    [again] = lake.rows("duplicates", "penalties")
    [kept] = [row for row in lake.rows("raw", "penalties") if row["source_row"] == 3]
    assert again == {
        "feed": "penalties", "file": "penalties/a.csv", "sheet": None, "row_number": 4, "record_key": key,
        "unit": "桐柏县市场监督管理局", "row_hash": kept["row_hash"], "ingest_date": DAY,
    }  # fmt: skip
    refused = {row["row_number"]: row for row in lake.rows("quarantine", "penalties")}
    assert {n: row["quarantine_id"] for n, row in refused.items()} == {n: f"{sha}:1:{n}" for n in (5, 6, 7)}
    assert (refused[5]["record_key"], refused[5]["unit"]) == (key, "县局")
    assert json.loads(refused[6]["record_key"]) == [code, "桐市监罚〔2026〕2号", None]
    assert (refused[7]["record_key"], refused[7]["unit"]) == (None, None)
    [repair] = lake.rows("repairs", "penalties")
    assert (repair["row_number"], repair["unit"]) == (2, "桐柏县市场监督管理局")
    assert {row["ingest_date"] for kind in KINDS for row in lake.rows(kind, "penalties")} == {DAY}
    keys = duckdb.sql(
        f"""select to_json([authority_code, document_no, uscc]) from read_parquet('{lake.settings.raw_dir}/penalties/*/*.parquet',
        hive_partitioning=false) where source_row = 3"""
    ).fetchall()
    assert keys == [(key,)]
    balanced(lake)


def test_a_missing_week_comes_in_day_by_day(lake: Lake) -> None:
    """Prevents a backfill that lands on one day: seven runs, oldest first, take each its own folder; what comes
    late lands on the day it arrived, and the day's run again reads nothing."""
    days = [DAY + timedelta(n) for n in range(1, 8)]
    lake.put("penalties/a.csv", [penalty(1)])
    lake.ingest("penalties")
    for number, day in enumerate(days):
        lake.put(
            f"penalties/{day}/a.csv",
            [penalty(10 + number), penalty(1, CF_NR=f"罚款{number}元", CF_NR_FK=None)],
        )
    late = f"penalties/{days[2]}/late.csv"
    for day in days:
        if day == days[4]:
            lake.put(late, [penalty(50)])
        [file, *others] = lake.ingest("penalties", day).files
        assert file.file in (f"penalties/{day}/a.csv", late) and len(others) == (day == days[4])
        assert lake.ingest("penalties", day).files == []
    rows = lake.rows("raw", "penalties")
    assert {(row["ingest_date"], row["source_file"]) for row in rows} == {
        (DAY, "penalties/a.csv"),
        *((day, f"penalties/{day}/a.csv") for day in days),
        (days[4], late),
    }
    balanced(lake)


def test_an_old_file_sent_again_is_a_no_op(lake: Lake) -> None:
    """Prevents an older copy, sent by mistake under another name, from undoing what came after it: a correction
    is a file with other content."""
    first = [penalty(1)]
    lake.put("penalties/a.csv", first)
    lake.ingest("penalties")
    lake.put("penalties/2026-11-01/b.csv", [penalty(1, CF_NR="罚款3000元", CF_NR_FK="0.3")])
    lake.ingest("penalties", DAY + timedelta(1))
    lake.put("penalties/2026-11-02/old copy.csv", first)
    report = lake.ingest("penalties", DAY + timedelta(2))
    assert (report.files, report.known_files) == ([], 3)
    lake.put("penalties/2026-11-02/back.csv", [*first, penalty(2)])
    assert lake.ingest("penalties", DAY + timedelta(2)).accepted == 2


def test_days(lake: Lake) -> None:
    """Prevents reading tomorrow's delivery, a file still being written, or anything in a replay."""
    lake.put("penalties/b.csv", [penalty(1, CF_NR="第二")])
    lake.put("penalties/a.csv", [penalty(1, CF_NR="第一")])
    lake.put("penalties/2026-10-01/0.csv", [penalty(1, CF_NR="第三")])
    lake.put("penalties/2026-11-01/c.csv", [penalty(2)])
    for name in (".hidden.csv", "d.csv.part", "e.tmp", "~$f.xlsx", ".git/g.csv"):
        lake.put(f"penalties/{name}", [penalty(3)])
    assert [path.name for path in waiting_files(lake.settings, DAY)["penalties"]] == [
        "a.csv",
        "b.csv",
        "0.csv",
    ]
    assert [file.file.split("/")[-1] for file in lake.ingest("penalties").files] == [
        "a.csv",
        "b.csv",
        "0.csv",
    ]
    assert [entry["sequence"] for entry in read_ledger(lake.settings, "penalties")] == [1, 2, 3]
    lake.put("honours/a.csv", b"")
    lake.ingest("honours", DAY + timedelta(1))
    lake.put("penalties/late.csv", [penalty(4)])
    replay = lake.ingest("penalties", DAY)
    assert replay.is_replay and replay.files == [] and replay.rows_in_lake == 3
    assert [file.accepted for file in lake.ingest("penalties", DAY + timedelta(1)).files] == [1, 1]
    partitions = {path.parent.name for path in lake.settings.raw_dir.rglob("[0-9a-f]*.parquet")}
    assert partitions == {"ingest_date=2026-10-31", "ingest_date=2026-11-01"}


def test_the_register_confirms_later_feeds_and_later_days(lake: Lake) -> None:
    """Prevents a look-alike repair without the lake's register, or with one that forgets earlier days."""
    wrong = make_uscc(1).replace("0", "O", 1) if "0" in make_uscc(1)[8:] else make_uscc(1)
    place = make_uscc(1).index("0", 8)
    wrong = make_uscc(1)[:place] + "O" + make_uscc(1)[place + 1 :]
    lake.put("registrations/a.csv", [registration(1)])
    lake.put("penalties/a.csv", [penalty(1, CF_XDR_SHXYM=wrong)])
    lake.ingest("registrations")
    assert lake.ingest("penalties").files[0].repairs == {"confusable_character": 1}
    lake.put("registrations/2026-11-01/b.csv", [registration(1, uniscid=wrong, regcap="200")])
    assert lake.ingest("registrations", DAY + timedelta(1)).files[0].accepted == 1


class Crash(Exception):
    pass


def _city(lake: Lake) -> None:
    rows = [registration(1), registration(2, regcap="5,000.00"), registration(9, uniscid="x")]
    lake.put("registrations/a.csv", rows)
    lake.put("penalties/a.csv", [penalty(1), penalty(2), penalty(2), penalty(5, CF_JDRQ="?")])
    lake.put("penalties/b.csv", [penalty(1, CF_JDRQ="20260301"), penalty(1, CF_NR="警告", CF_NR_FK=None)])


def _run(lake: Lake) -> None:
    for feed in ("registrations", "penalties"):
        ingest_feed(feed, lake.settings, DAY)


def test_a_crash_at_any_step_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents half a file in the lake: after a crash at any rename the next run ends with the same bytes."""
    template = Lake(tmp_path / "template")
    _city(template)
    ensure_schema_files(template.settings)
    whole = Lake(shutil.copytree(template.root, tmp_path / "whole"))
    real = Path.replace
    steps: list[str] = []

    def counted(self: Path, target: Path) -> Path:
        steps.append(Path(target).name)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", counted)
    _run(whole)
    wanted = whole.bytes()
    assert len(steps) == 11
    for number, step in enumerate(steps):
        broken = Lake(shutil.copytree(template.root, tmp_path / str(number)))
        seen = 0

        def failing(self: Path, target: Path, stop: int = number) -> Path:
            nonlocal seen
            seen += 1
            if seen > stop:
                raise Crash
            return real(self, target)

        monkeypatch.setattr(Path, "replace", failing)
        with pytest.raises(Crash):
            _run(broken)
        for feed in ("registrations", "penalties"):
            for entry in read_ledger(broken.settings, feed):
                assert all(
                    (broken.settings.lake_dir / output["path"]).exists() for output in entry["outputs"]
                )
        monkeypatch.setattr(Path, "replace", real)
        _run(broken)
        assert broken.bytes() == wanted, step


def test_what_a_killed_process_leaves_is_swept(lake: Lake) -> None:
    """Prevents orphans of a kill -9 being counted: Parquet no entry names, temporary files, half an entry."""
    lake.put("penalties/a.csv", [penalty(1)])
    lake.ingest("penalties")
    clean = lake.bytes()
    [parquet] = lake.settings.raw_dir.glob("penalties/ingest_date=2026-10-31/*.parquet")
    parquet.with_name("0123456789abcdef.parquet").write_bytes(parquet.read_bytes())
    parquet.with_name("0123456789abcdef.parquet.tmp").write_bytes(b"half")
    (lake.settings.quarantine_dir / "penalties" / "ingest_date=2026-10-30").mkdir()
    orphan = lake.settings.quarantine_dir / "penalties" / "ingest_date=2026-10-30" / "x.parquet"
    orphan.write_bytes(b"")
    (lake.settings.ledger_dir / "penalties" / "x.json.tmp").write_bytes(b"{")
    assert len(reconcile(lake.settings, get_feed("penalties"))) == 2
    lake.ingest("penalties")
    assert lake.bytes() == clean and not orphan.parent.exists()


def test_reconcile_sees_tampering(lake: Lake) -> None:
    """Prevents a check that always says yes."""
    lake.put("penalties/a.csv", [penalty(1), penalty(2), penalty(3, CF_NR=None)])
    lake.ingest("penalties")
    [parquet] = lake.settings.raw_dir.glob("penalties/ingest_date=2026-10-31/*.parquet")
    table = pq.read_table(parquet, partitioning=None)
    pq.write_table(table.slice(0, 1), parquet)
    assert len(reconcile(lake.settings, get_feed("penalties"))) == 2
    parquet.unlink()
    assert any("cannot be read" in line for line in reconcile(lake.settings, get_feed("penalties")))


def test_files_are_private(lake: Lake) -> None:
    """Prevents other users of the machine reading personal data."""
    lake.put("penalties/a.csv", [penalty(1), penalty(2, CF_NR=None)])
    lake.ingest("penalties")
    assert [path for path in lake.settings.lake_dir.rglob("*") if path.stat().st_mode & 0o077] == []


def test_no_identity_number_anywhere_under_the_lake(lake: Lake) -> None:
    """Prevents a leak into Parquet, ledger or file of any kind, from any format, accepted or refused."""
    secret, landline = "绝密姓名", "0377-63220000"
    complaint = {
        "登记编号": "T1", "类型": "投诉", "统一社会信用代码": make_uscc(1), "登记时间": "2026-01-01",
        "诉求内容": f"我是{PERSON}，电话{MOBILE}", "投诉人": secret, "投诉人电话": landline, "投诉人证件号": PERSON,
    }  # fmt: skip
    bad = complaint | {"登记编号": "T2", "登记时间": "?", "备用": PERSON, "统一社会信用代码": PERSON}
    text = csv_text([complaint, bad]) + f"T3,{secret},{PERSON},{landline}\n"
    lake.put("complaints/a.csv", text.encode("gb18030"))
    lake.put(
        "complaints/b.jsonl",
        json.dumps(complaint | {"登记编号": "T4"}) + "\n" + f'{{"投诉人": "{secret}", "x": "{PERSON}\n',
    )
    lake.put("complaints/c.csv", f"{secret}\n{PERSON},{MOBILE}\n{PERSON},x\n")
    lake.put("complaints/d.csv", text.encode("utf-16"))
    lake.put("complaints/e.csv", text.encode("gb18030").replace(b"T2", b"T2\xff"))
    lake.put("penalties/wrong.csv", text)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("f.csv", csv_text([complaint | {"登记编号": f"T5 {PERSON}"}]))
    lake.put("complaints/f.zip", buffer.getvalue())
    reports = [lake.ingest("complaints"), lake.ingest("penalties")]
    assert reports[0].accepted >= 3 and reports[0].quarantined >= 6
    canaries = [PERSON, MOBILE, secret, landline]
    shown = [report.to_markdown() for report in reports]
    for path in lake.settings.lake_dir.rglob("*"):
        if path.suffix == ".parquet":
            shown.append(str(pq.read_table(path, partitioning=None).to_pylist()))
        elif path.is_file():
            shown.append(path.read_bytes().decode("utf-8", "replace"))
            shown.append(path.read_bytes().decode("utf-16-le", "replace"))
    for canary in canaries:
        assert not [text for text in shown if canary in text], canary


@pytest.fixture(scope="module")
def mutation_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake(tmp_path_factory.mktemp("mutations"))
    ensure_schema_files(lake.settings)
    return lake


def _sources() -> list[tuple[str, bytes]]:
    rows = [penalty(n, BZ=f'说,"明"\n{n}') for n in range(1, 8)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", csv_text(rows).encode("gb18030"))
        archive.writestr("b.jsonl", lines)
    return [
        ("csv", csv_text(rows).encode()),
        ("gbk", csv_text(rows, newline="\r\n").encode("gb18030")),
        ("utf16", csv_text(rows).encode("utf-16")),
        ("jsonl", lines),
        ("json", json.dumps(rows, ensure_ascii=False).encode()),
        ("zip", packed.getvalue()),
    ]


SOURCES = _sources()


@settings(parent=quick, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(range(len(SOURCES))), st.data())
def test_accounts_balance_whatever_the_bytes(mutation_lake: Lake, source: int, data: st.DataObject) -> None:
    """Prevents rows vanishing from, or a crash on, files broken in any way."""
    name, content = SOURCES[source]
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        match data.draw(st.sampled_from(["flip", "insert", "delete", "cut", "double"])):
            case "flip" if changed:
                changed[place] = data.draw(st.integers(0, 255))
            case "insert":
                changed[place:place] = data.draw(
                    st.sampled_from([b'"', b"\n", b",", b"\x00", b"\xff", b"\r", b"{", b"]", b"\xe5"])
                )
            case "delete":
                del changed[place : place + data.draw(st.integers(1, 40))]
            case "cut":
                del changed[place:]
            case "double":
                changed[place:place] = changed[place : place + 60]
    lake = mutation_lake
    for path in lake.settings.landing_dir.rglob("*"):
        if path.is_file():
            path.unlink()
    lake.put(f"penalties/{name}", bytes(changed))
    report = lake.ingest("penalties")
    assert report.read == report.accepted + report.quarantined + report.duplicates
    if report.files:
        [file] = report.files
        assert (
            file.read > 0
            or file.layout_rows > 0
            or bytes(changed).strip() in (b"[]", b"{}")
            or name == "json"
        )
        written: dict[str, Any] = {output["path"].split("/")[0]: output["rows"] for output in file.outputs}
        assert written.get("raw", 0) == file.accepted
        assert (written.get("quarantine", 0) > 0) == (file.quarantined > 0)


def test_mutations_balance_in_the_lake_too(mutation_lake: Lake) -> None:
    """Prevents the ledger agreeing with itself only: the Parquet of all mutations is counted."""
    balanced(mutation_lake)


def test_a_file_that_changes_while_it_is_read_is_left(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a hash of one content on the rows of another."""
    from credit_pipeline.feeds import ingest

    path = lake.put("penalties/a.csv", [penalty(1)])
    real = ingest.open_tables

    def touching(*arguments: Any) -> Any:
        path.write_bytes(path.read_bytes() + b"\n")
        return real(*arguments)

    monkeypatch.setattr(ingest, "open_tables", touching)
    assert lake.ingest("penalties").files == [] and read_ledger(lake.settings, "penalties") == []
    monkeypatch.setattr(ingest, "open_tables", real)
    assert lake.ingest("penalties").accepted == 1


def test_several_batches_are_one_file(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents rows lost or numbered anew at the seams of pieces and batches."""
    from credit_pipeline.feeds import readers_csv

    monkeypatch.setattr(readers_csv, "BATCH_ROWS", 7)
    rows = [penalty(n, CF_NR=None if n % 5 == 0 else "罚款2000元") for n in range(1, 101)]
    lake.put("penalties/a.csv", rows + rows[:10])
    [report] = lake.ingest("penalties").files
    assert (report.read, report.accepted, report.quarantined, report.duplicates) == (110, 80, 22, 8)
    numbers = [row["source_row"] for row in lake.rows("raw", "penalties")]
    assert numbers == [n + 1 for n in range(1, 101) if n % 5] and numbers == sorted(numbers)
    balanced(lake)


def test_an_empty_lake_and_landing(tmp_path: Path) -> None:
    """Prevents a crash when nothing has arrived yet."""
    settings_ = Settings(landing_dir=tmp_path / "none", lake_dir=tmp_path / "lake")
    report = ingest_feed("honours", settings_, date(2026, 1, 1))
    assert (report.read, report.files, report.rows_in_lake) == (
        0,
        [],
        0,
    ) and report.to_markdown() == "no new files"
    assert (
        reconcile(settings_, get_feed("honours")) == [] and waiting_files(settings_, date(2026, 1, 1)) == {}
    )
