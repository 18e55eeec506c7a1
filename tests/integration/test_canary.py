"""Broken files and personal numbers in a whole daily run: the job goes on, results do not change, nothing leaks.

Three runs of a small city: as it is; with a hundred broken files that are all refused; and on the day after, with
identity, mobile and bank card numbers planted wherever a source could send them.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import sys
import unicodedata
import zipfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter

from canary_support import (
    columns_with,
    extract_connections,
    files_with,
    grade_columns,
    grades_beside,
    open_database,
    texts,
)
from credit_pipeline.extracts.classification import extract_columns
from credit_pipeline.feeds.catalogue import feed_names, get_feed, load_catalogue
from credit_pipeline.feeds.ingest import ingest_feed, read_ledger
from credit_pipeline.settings import Settings
from credit_pipeline.transform.classification import column_classes
from credit_pipeline.transform.dbt import MANIFEST_PATH
from tests_support import Place, make_city, make_place

sys.path.insert(0, str(Path(__file__).parent.parent / "fuzz"))
from base_files import FORMATS, base_sheet, make_uscc
from mutations import broken_files

ENTERPRISES = 200
JUNK = 100
PROJECT = Path(__file__).parent.parent.parent


def identity(number: int) -> str:
    """A valid number (GB 11643) of nobody the generator makes."""
    head = f"4113301985{1 + number % 12:02d}{1 + number % 28:02d}{number:03d}"
    return head + "10X98765432"[sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(head)) % 11]


NUMBERS = [identity(number) for number in range(400, 440)]
WITH_X = next(identity(n) for n in range(500, 600) if identity(n).endswith("X"))
OLD = ["411330710312223", "411330720514447", "411330730716665"]
"""Numbers of 15 digits, born in the seventies; no check digit of a registration number is right in them."""
MOBILES = ["13987654321", "15887654322"]
CARDS = ["6222021234567890128", "6217001234567890123"]
COMPLAINANT = "欧阳告发"


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) for c in text)


def _luhn(code: str) -> bool:
    digits = [int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(code))]
    return sum(d - 9 if d > 9 else d for d in digits) % 10 == 0


def card(start: str) -> str:
    return next(start + str(digit) for digit in range(10) if _luhn(start + str(digit)))


CARDS = [card(code[:-1]) for code in CARDS]


def junk() -> list[tuple[str, str, bytes]]:
    """(feed, name, content) of files that are refused whole, whatever is in them."""
    feeds = list(load_catalogue().values())
    wanted = re.compile(
        r"random_bytes|zip: (bomb|nested|encrypted|member name|many|deeply|rar|gzip|empty|folders|directory lies: (checksum|method|offset outside))"
        r"|parquet: (other length|encrypted|text that)|xlsx: (inside \[|without|protected|html|xml|workbook far|packed bomb)|json: (null|number|very deep)"
        r"|rename_all|another_feed|zero bytes|truncate_start"
    )
    found = [file for file in broken_files(feeds, 5, 1900) if wanted.match(file.mutation)]
    return [(file.feed, f"junk-{place}-{file.name}", file.content) for place, file in enumerate(found)]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A clean run, the same city with junk, and the day after with planted numbers."""
    clean = make_city(make_place(tmp_path_factory.mktemp("clean")), enterprises=ENTERPRISES, days=1)
    root = tmp_path_factory.mktemp("noisy")
    # Whatever a process drops into its home or temporary folder is looked at, too.
    elsewhere = {"HOME": str(root / "home"), "TMPDIR": str(root / "tmp"), "CREDIT_THREADS": "1"}
    (root / "home").mkdir()
    (root / "tmp").mkdir()
    noisy = make_place(root, keys=clean.root / "keys", extra=elsewhere)
    shutil.copytree(clean.landing, noisy.landing)
    noisy.as_of = clean.as_of
    # Only files that the readers refuse whole: where rows are accepted, results may rightly differ.
    probe = _refused_alone(junk(), tmp_path_factory.mktemp("probe"))
    for feed, name, content in probe[:JUNK]:
        (noisy.landing / feed).mkdir(exist_ok=True)
        (noisy.landing / feed / name).write_bytes(content)
    result: dict[str, Any] = {"clean": clean, "noisy": noisy, "junk": probe[:JUNK]}
    result["clean_run"] = clean.run()
    result["noisy_run"] = noisy.run()
    result["tables"] = (clean.tables(), noisy.tables())
    next_day = (date.fromisoformat(noisy.as_of) + timedelta(days=1)).isoformat()
    plant(noisy.landing, next_day)
    result["enterprise"] = plant_grade_and_names(noisy, next_day)
    done = noisy.command(
        "run", "--landing", str(noisy.landing), "--lake", str(noisy.lake), "--as-of", next_day
    )
    result["output"] = done.stdout + done.stderr
    return result


def _refused_alone(files: list[tuple[str, str, bytes]], root: Path) -> list[tuple[str, str, bytes]]:
    settings = Settings(landing_dir=root / "landing", lake_dir=root / "lake")
    for feed, name, content in files:
        path = settings.landing_dir / feed / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    refused = {
        report.file
        for feed in sorted({feed for feed, _, _ in files})
        for report in ingest_feed(feed, settings, date(2026, 10, 31)).files
        if report.accepted == 0 and report.problem is not None
    }
    return [file for file in files if f"{file[0]}/{file[1]}" in refused]


def _csv(rows: list[dict[str, str]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(names), *(",".join(row.get(name, "") for name in names) for row in rows)]
    return ("\n".join(lines) + "\n").encode()


def plant(landing: Path, day: str) -> None:
    """Numbers of persons in every place where one could hide."""
    numbers = iter(NUMBERS)

    def put(feed: str, name: str, content: bytes) -> None:
        path = landing / feed / day / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def penalty(number: int, **changes: str) -> dict[str, str]:
        sheet = base_sheet(get_feed("penalties"), 700_000 + number, 1)
        row = dict(zip(sheet.headers, map(str, sheet.rows[0]), strict=True))
        return {
            name: value for name, value in row.items() if "证件" not in name and name != "窗口备注"
        } | changes

    text = list(penalty(0))[list(penalty(0)).index("CF_SY")]
    rows = [
        penalty(1, **{text: f"当事人{next(numbers)}，电话{MOBILES[0]}，卡号{CARDS[0]}"}),
        penalty(2, **{text: f"身份证 {next(numbers)[:6]} {NUMBERS[1][6:14]} {NUMBERS[1][14:]}"}),
        penalty(3, **{text: f"身份证{wide(next(numbers))}，手机{wide(MOBILES[1])}"}),
        penalty(4, **{text: "-".join([NUMBERS[3][:6], NUMBERS[3][6:14], NUMBERS[3][14:]])}),
        penalty(5, **{text: " ".join(NUMBERS[4][place : place + 4] for place in range(0, 18, 4))}),
        penalty(6, **{text: "\u200b".join(NUMBERS[5])}),
        penalty(7, **{text: f"旧证{OLD[0]}号"}),
        penalty(8, CF_XDR_SHXYM=NUMBERS[6]),
        penalty(9, CF_XDR_SHXYM=WITH_X.lower()),
        penalty(10, CF_XDR_GSZC=OLD[1]),
        penalty(11, CF_XDR_GSZC=NUMBERS[7]),
        penalty(12, CF_XDR_SWDJ=NUMBERS[8]),
        penalty(13, CF_XDR_MC=f"张三{NUMBERS[9]}商店"),
        penalty(14, CF_WSH=f"桐市监罚〔2026〕{NUMBERS[10]}号"),
        penalty(15, CF_NR_FK=NUMBERS[11]),
        penalty(16, CF_NR_FK=OLD[2]),
        penalty(17, CF_JDRQ=NUMBERS[12]),
        penalty(18, CF_CFLB=NUMBERS[13]),
        penalty(19, CF_FR_ZJHM=NUMBERS[14]),
        penalty(
            20,
            别的列=NUMBERS[15],
            银行=f"{CARDS[1][:4]} {CARDS[1][4:8]} {CARDS[1][8:12]} {CARDS[1][12:16]} {CARDS[1][16:]}",
        ),
        penalty(21, CF_FRDB=NUMBERS[16], CF_CFJGDM=NUMBERS[17], BZ=f"{NUMBERS[18]}{MOBILES[0]}"),
    ]
    put("penalties", f"处罚{NUMBERS[19]}.csv", _csv(rows))
    broken = _csv([penalty(30)]).decode().splitlines()
    put(
        "penalties",
        "broken.csv",
        f'{broken[0]}\n{broken[1]},{NUMBERS[20]}\n"{NUMBERS[21]}{broken[1]}\n'.encode(),
    )
    put(
        "penalties",
        "undecodable.csv",
        broken[0].encode() + b"\n" + broken[1].replace("警告", NUMBERS[22]).encode() + b"\xff\n",
    )
    put("penalties", "header.csv", _csv([penalty(31) | {NUMBERS[23]: "x"}]))
    put(
        "penalties",
        "no_header.csv",
        f"张三,{NUMBERS[24]},{NUMBERS[25]},x,y\n李四,{NUMBERS[26]},2026-01-01,x,y\n".encode(),
    )
    put(
        "penalties",
        "keys.json",
        json.dumps(
            [penalty(32) | {NUMBERS[27]: 1, "甲": {NUMBERS[28]: [NUMBERS[29], int(OLD[0])]}}]
        ).encode(),
    )
    put("penalties", "cut.json", json.dumps([penalty(33, BZ=NUMBERS[30])])[:-3].encode())
    put(
        "penalties",
        "lines.jsonl",
        (json.dumps(penalty(34, BZ=NUMBERS[31]))[:-1] + "\n" + json.dumps(penalty(35)) + "\n").encode(),
    )
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    for name in (NUMBERS[32], "说明"):
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, [*penalty(36), "数"])
        sheet.write_row(1, 0, [*penalty(36).values(), int(NUMBERS[33][:17])])
        sheet.write_row(2, 0, [*penalty(37).values(), int(OLD[1])])
    book.close()
    put("penalties", "book.xlsx", buffer.getvalue())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{NUMBERS[34]}/{NUMBERS[35]}.csv", _csv([penalty(38)]))
        archive.writestr(f"bad{NUMBERS[36]}.xlsx", b"PK\x03\x04")
    put("penalties", "packed.zip", packed.getvalue())
    parquet = io.BytesIO()
    pq.write_table(
        pa.table(
            {**{k: [v] for k, v in penalty(39).items()}, "数字": [int(OLD[2])], "嵌": [{"a": NUMBERS[37]}]}
        ),
        parquet,
    )
    put("penalties", "table.parquet", parquet.getvalue())
    complaint = {
        "工单编号": "T700001", "类型": "投诉", "统一社会信用代码": make_uscc(700_001), "登记时间": "2026-03-01", "诉求内容": f"我是{NUMBERS[38]}电话{MOBILES[1]}",
        "投诉人": COMPLAINANT, "来电号码": MOBILES[0], "联系地址": COMPLAINANT, "诉求人": COMPLAINANT, "姓名": COMPLAINANT, "来电人": COMPLAINANT,
    }  # fmt: skip
    put("complaints", "工单.csv", _csv([complaint]))
    put("complaints", "改名.csv", _csv([{f"我的{name}": value for name, value in complaint.items()}]))
    put("honours", f"{NUMBERS[39]}.csv", FORMATS["csv"](base_sheet(get_feed("honours"), 700_100)))


GRADED_E = "C799999"
"""Number of the listing that forces the planted grade."""
PERSONS = {
    "licences": "欧阳探针甲",
    "related_parties": "司徒探针乙",
    "registration_changes": "上官探针丙",
    "inspectors": "诸葛探针丁",
    "penalties": "皇甫探针戊",
}


def plant_grade_and_names(place: Place, day: str) -> str:
    """An enterprise that becomes an E on that day, with names of persons in every feed that may bring one."""
    uscc, name = place.query(
        "select uscc, enterprise_name from enterprises.enterprises join grading.enterprise_grades using (uscc) "
        "where platform_grade in ('B', 'C') and industry_section > 'E' and status = 'active' order by uscc limit 1"
    )[0]
    changes = {
        "serious_violations": {
            "illid": GRADED_E, "uniscid": uscc, "entname": name, "serillrea": "严重违法", "remexcpres": "", "remdate": "",
            "decorg": "市市场监督管理局", "recorg": "",
        },
        "licences": {"XK_XDR_MC": name, "XK_XDR_SHXYM": uscc, "XK_FRDB": PERSONS["licences"], "XK_YXQZI": "2030-01-01"},
        "penalties": {"CF_XDR_MC": name, "CF_XDR_SHXYM": uscc, "CF_FRDB": PERSONS["penalties"]},
        "related_parties": {"inv_id": "P799999", "inv": PERSONS["related_parties"], "to_id": uscc, "终止日期": ""},
        "registration_changes": {
            "uniscid": uscc, "altitem": "法定代表人变更", "altbe": PERSONS["registration_changes"],
            "altaf": PERSONS["registration_changes"],
        },
        "inspectors": {"人员编号": "C799999", "姓名": PERSONS["inspectors"], "所属单位编码": "411330MS"},
    }  # fmt: skip
    for feed, changed in changes.items():
        sheet = base_sheet(get_feed(feed), 799_999, 1)
        row = dict(zip(sheet.headers, map(str, sheet.rows[0]), strict=True))
        kept = {
            header: value for header, value in row.items() if "证件" not in header and header != "窗口备注"
        }
        assert set(changed) <= set(kept), (feed, kept)
        path = place.landing / feed / day / "planted.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_csv([kept | changed]))
    return str(uscc)


def _databases(place: Place) -> Iterator[tuple[str, str]]:
    """Every text of every table of the warehouse and of the decrypted extracts."""
    shown = json.loads(place.command("extract", "list", "--lake", str(place.lake), "--json").stdout)
    opened: list[tuple[str, str]] = [(str(place.lake / "warehouse.duckdb"), "")]
    units = [str(item.get("unit_id", item.get("unit"))) for item in shown]
    for unit in units[:5] + units[-5:]:
        words = place.command("extract", "open", unit, "--lake", str(place.lake), "--show-key").stdout.split()
        opened.append((words[words.index("file") + 1], words[words.index("key") + 1]))
    for file, key in opened:
        with duckdb.connect(":memory:") as connection:
            option = f", encryption_key '{key}'" if key else ""
            # The warehouse's views name their database: under another alias they read nothing.
            connection.execute(f"attach '{file}' as warehouse (read_only{option})")
            columns = connection.execute(
                "select schema_name, table_name, column_name from duckdb_columns() where database_name = 'warehouse' and not internal "
                "and (data_type like 'VARCHAR%' or data_type like 'STRUCT%' or data_type like 'JSON%' or data_type in ('BIGINT', 'HUGEINT', 'DOUBLE'))"
            ).fetchall()
            for schema, table, column in columns:
                values = connection.execute(
                    f'select distinct "{column}"::varchar from warehouse."{schema}"."{table}" where length("{column}"::varchar) >= 8'
                ).fetchall()
                yield (
                    f"{Path(file).name}:{schema}.{table}.{column}",
                    " \n".join(value for (value,) in values if value),
                )


def _leaks(text: str) -> set[str]:
    """Which planted numbers a text holds, in whatever width, split or not."""
    folded = unicodedata.normalize("NFKC", text)
    # Split ones only within a short run, or unrelated numbers of neighbouring cells would join.
    squeezed = re.sub(r"(?<=[0-9])[\s\-\u200b]{1,2}(?=[0-9xX])", "", folded)
    wanted = [*NUMBERS, WITH_X, WITH_X.lower(), *OLD, *MOBILES, *CARDS, COMPLAINANT]
    return {number for number in wanted if number in text or number in folded or number in squeezed}


def test_junk_changes_nothing(places: dict[str, Any]) -> None:
    """Prevents one broken file of a hundred from ending the job or changing anybody's grade."""
    assert len(places["junk"]) == JUNK
    clean, noisy = places["clean_run"], places["noisy_run"]
    for feed, counts in noisy["feeds"].items():
        assert counts["read"] == counts["accepted"] + counts["quarantined"] + counts["duplicates"], feed
        more = sum(1 for name, _, _ in places["junk"] if name == feed)
        assert counts["accepted"] == clean["feeds"][feed]["accepted"], feed
        assert counts["quarantined"] - clean["feeds"][feed]["quarantined"] >= more, feed
    assert {key: clean[key] for key in ("enterprises", "grades", "quotas", "draws")} == {
        key: noisy[key] for key in ("enterprises", "grades", "quotas", "draws")
    }
    before, after = places["tables"]
    results = [
        name
        for name in before
        if name.split(".")[0] in ("enterprises", "indicators", "grading", "inspection", "staging")
    ]
    differing = [name for name in results if before[name] != after.get(name)]
    assert results and differing == []


def test_every_junk_file_is_accounted_for(places: dict[str, Any]) -> None:
    """Prevents a refused file that the ledger does not name."""
    noisy: Place = places["noisy"]
    known = {path.stem for path in (noisy.lake / "ledger").rglob("*.json")}
    junk = places["junk"]
    assert [name for _, name, content in junk if hashlib.sha256(content).hexdigest() not in known] == []


def test_no_planted_number_is_anywhere(places: dict[str, Any]) -> None:
    """Prevents a person's number from reaching the lake, Dagster's folder, a log, the output or dbt's target."""
    noisy: Place = places["noisy"]
    found: list[tuple[str, str]] = [("output", number[:8]) for number in _leaks(places["output"])]
    for folder in (noisy.lake, noisy.root / "dagster_home", PROJECT / "dbt_project" / "target"):
        for path in sorted(folder.rglob("*")):
            found += [(f"name of {path.relative_to(folder)}", number[:8]) for number in _leaks(path.name)]
            if path.is_file():
                found += [
                    (f"{folder.name}/{path.relative_to(folder)}", number[:8])
                    for text in texts(path)
                    for number in _leaks(text)
                ]
    for place, text in _databases(noisy):
        found += [(place, number[:8]) for number in _leaks(text)]
    assert sorted(set(found)) == []


def test_what_was_planted_was_read(places: dict[str, Any]) -> None:
    """Prevents a canary that proves nothing because its files were not read."""
    noisy: Place = places["noisy"]
    settings = Settings(landing_dir=noisy.landing, lake_dir=noisy.lake)
    ledger = [entry for feed in feed_names() for entry in read_ledger(settings, feed)]
    planted = [entry for entry in ledger if entry["ingest_date"] > noisy.as_of]
    assert len(planted) == 20 and sum(entry["read"] for entry in planted) > 40
    assert sum(entry["accepted"] for entry in planted) > 20
    masked = [text for path in (noisy.lake / "raw" / "penalties").rglob("*.parquet") for text in texts(path)]
    assert any(f"{NUMBERS[0][:6]}********{NUMBERS[0][14:]}" in text for text in masked)


LAKE_TABLES_WITH_GRADES = ("draws/", "extract_state/", "grades/", "training/")
"""Parquet in which a grade may stand beside a code: frozen frames and draws, the grades of each day, what models are fitted on."""


def test_the_planted_grade_is_an_e(places: dict[str, Any]) -> None:
    """Prevents a canary whose grade never came to be."""
    where = f"where uscc = '{places['enterprise']}'"
    noisy: Place = places["noisy"]
    assert noisy.query(f"select platform_grade from grading.enterprise_grades {where}") == [("E",)]
    found = {
        name
        for feed, name in PERSONS.items()
        for held in files_with(noisy.lake / "raw" / feed, [name]).values()
        for name in held
    }
    assert found == set(PERSONS.values())


def test_no_text_names_a_graded_enterprise(places: dict[str, Any]) -> None:
    """Prevents a grade in a log, a run's record, its configuration or tags, compiled SQL, the audit log or a draft.

    A grade is one letter, which stands everywhere; the code beside which it would mean something may stand in no text
    but the published results of inspections, whose columns test_public_results.py counts one by one.
    """
    noisy: Place = places["noisy"]
    codes = [code for (code,) in noisy.query("select uscc from grading.enterprise_grades")]
    assert places["enterprise"] in codes and len(codes) > 100
    assert [code for code in codes if code in places["output"]] == []
    pattern = re.compile(f"(?=({'|'.join(codes)}))")
    found = []
    for folder in (noisy.lake, *_outside_the_lake(noisy)):
        for path in sorted(folder.rglob("*")):
            is_table = path.suffix == ".parquet" or path == noisy.lake / "warehouse.duckdb"
            is_result = path.parent == noisy.lake / "public" and path.name.startswith("inspection-results-")
            if (
                path.is_file()
                and not is_table
                and not is_result
                and any(pattern.search(text) for text in texts(path))
            ):
                found.append(f"{folder.name}/{path.relative_to(folder)}")
    assert found == []


def _outside_the_lake(place: Place) -> list[Path]:
    return [
        place.root / "dagster_home", place.root / "home", place.root / "tmp", PROJECT / "dbt_project" / "target",
    ]  # fmt: skip


def test_the_planted_grade_stands_in_confidential_columns_only(places: dict[str, Any]) -> None:
    """Prevents a grade beside a code in a column that more people may see, in the warehouse, a file or an extract."""
    noisy: Place = places["noisy"]
    planted: str = places["enterprise"]
    classes = column_classes(json.loads(MANIFEST_PATH.read_text(encoding="utf-8")))
    with open_database(noisy.lake / "warehouse.duckdb") as warehouse:
        found = grade_columns(warehouse, planted)
        units = {
            unit
            for (unit,) in warehouse.execute(
                "select unit_id from enterprises.enterprise_units where uscc = ?", [planted]
            ).fetchall()
        }
    assert ("grading.enterprise_grades", "platform_grade") in found
    assert [where for where in found if classes[where[0]][where[1]].level != "confidential"] == []
    wrong = []
    for path in sorted(noisy.lake.rglob("*.parquet")):
        name = str(path.relative_to(noisy.lake))
        for column in grades_beside(pq.ParquetFile(path).read().to_pylist(), planted):
            # A line's own rating is a letter, too.
            is_rating = name.startswith("raw/") and (
                get_feed(name.split("/")[1]).column(column).classification == "confidential"
            )
            if not is_rating and not name.startswith(LAKE_TABLES_WITH_GRADES):
                wrong.append((name, column))
    assert wrong == []
    listed = extract_columns()
    seen = set()
    for unit, connection in extract_connections(noisy, units):
        if columns_with(connection, planted, with_views=False):
            seen.add(unit)
        for table, column in grade_columns(connection, planted, with_views=False):
            name = table.split(".")[1]
            assert listed[name][column].level == "confidential", f"{unit}: {table}.{column}"
    assert units and seen == units


def test_planted_names_stand_in_personal_columns_only(places: dict[str, Any]) -> None:
    """Prevents a person's name from reaching anything but the columns that say so, and an extract unmasked."""
    noisy: Place = places["noisy"]
    classes = column_classes(json.loads(MANIFEST_PATH.read_text(encoding="utf-8")))
    assert [name for name in PERSONS.values() if name in places["output"]] == []
    allowed = ("raw/", "quarantine/", "duplicates/", "warehouse.duckdb")
    assert [path for path in files_with(noisy.lake, PERSONS.values()) if not path.startswith(allowed)] == []
    for folder in _outside_the_lake(noisy):
        assert files_with(folder, PERSONS.values()) == {}, folder
    with open_database(noisy.lake / "warehouse.duckdb") as warehouse:
        for feed, name in PERSONS.items():
            found = columns_with(warehouse, name)
            assert found, f"{feed}: the planted name was not read"
            for table, column in found:
                assert classes[table][column].level == "personal", f"{feed}: {table}.{column}"
        units = {
            unit
            for (unit,) in warehouse.execute(
                "select unit_id from enterprises.enterprise_units where uscc = ?", [places["enterprise"]]
            ).fetchall()
        }
    listed = extract_columns()
    for unit, connection in extract_connections(noisy, units):
        for name in PERSONS.values():
            for table, column in columns_with(connection, name, with_views=False):
                found_class = listed[table.split(".")[1]][column]
                assert found_class.level == "personal" and found_class.mask == "none", (
                    f"{unit}: {table}.{column}"
                )


def test_secrets_of_draws_and_keys_stay_where_they_belong(places: dict[str, Any]) -> None:
    """Prevents a ticket, a party's secret or a key in a log, a record of a run, or a table for more eyes."""
    noisy: Place = places["noisy"]
    tickets = [ticket for (ticket,) in noisy.query("select ticket from inspection.inspection_draws limit 20")]
    assert tickets and all(len(ticket) == 64 for ticket in tickets)
    # What a reader has seen (seen/) are digests of manifests, which the audit log names, too.
    keys = {
        word
        for path in Path(noisy.environment["CREDIT_KEYS_DIR"]).rglob("*")
        if path.is_file() and "seen" not in path.parts
        for word in re.findall(r"[0-9a-f]{64}|[A-Za-z0-9+/]{43,}=*", path.read_text("utf-8", "ignore"))
    }
    assert len(keys) > 60
    for folder in _outside_the_lake(noisy):
        assert files_with(folder, [*tickets, *keys]) == {}, folder
    assert [secret for secret in (*tickets, *keys) if secret in places["output"]] == []
    where_tickets_are = set(files_with(noisy.lake, tickets))
    assert {
        path for path in where_tickets_are if not path.startswith(("draws/", "warehouse.duckdb"))
    } == set()
    public = {
        word
        for word in keys
        if any(word in text for path in noisy.lake.rglob("manifest.json") for text in texts(path))
    }
    assert set(files_with(noisy.lake, keys - public)) == set()


def test_files_are_for_their_owner_only(places: dict[str, Any]) -> None:
    """Prevents a file of the lake or of Dagster that another account of the machine can read."""
    noisy: Place = places["noisy"]
    folders = (noisy.lake, noisy.root / "dagster_home", noisy.root / "home", noisy.root / "tmp")
    paths = [path for folder in folders[:2] for path in (folder, *folder.rglob("*"))]
    paths += [path for folder in folders[2:] for path in folder.rglob("*")]
    assert len(paths) > 200
    assert [str(path) for path in paths if not path.is_symlink() and path.stat().st_mode & 0o077] == []


def test_no_value_went_through_an_io_manager(places: dict[str, Any]) -> None:
    """Prevents an asset that returns rows: Dagster would pickle them in clear under its storage."""
    storage = places["noisy"].root / "dagster_home" / "storage"
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert [path for path in files if "compute_logs" not in path.parts] == []
