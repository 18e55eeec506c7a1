"""Refused rows on their way back, records that vanish from the register, and the quality report, over four days."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xlsxwriter
from python_calamine import CalamineWorkbook

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.absences import confirm_absences, list_absences, undo_absences
from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.feeds.quarantine import export_quarantine, list_quarantine
from credit_pipeline.feeds.quarantine_workbook import FILES_SHEET, GUIDE_SHEET
from credit_pipeline.sample.codes import make_usccs
from credit_pipeline.settings import Settings
from credit_pipeline.transform.dbt import dbt_args, dbt_vars, run_dbt
from credit_pipeline.warehouse import connect, mark_current
from tests_support import make_place

DAYS = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)]
FIRMS = 40
UNIT = "411330MS"
UNIT_NAME = "桐柏县市场监督管理局"
IDENTITY_NO = "411330198001010015"


class Office:
    """One landing folder and lake, run day by day as far as the quality report."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(landing_dir=root / "landing", lake_dir=root / "lake", keys_dir=root / "keys")
        self.settings.audit_dir.mkdir(parents=True)
        numbers = np.arange(1, FIRMS + 1)
        self.codes = make_usccs(
            np.full(FIRMS, 91), np.full(FIRMS, 411330), numbers, np.full(FIRMS, fill_value=True)
        ).to_list()

    def put(self, path: str, rows: list[dict[str, str]]) -> None:
        file = self.settings.landing_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.DictWriter(handle, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def run(self, day: date) -> None:
        for name in feed_names():
            ingest_feed(name, self.settings, day)
        mark_current(self.settings, day)
        variables = dbt_vars(self.settings, day, self.settings.models_dir)
        arguments = dbt_args("build", variables, "+path:models/quality")
        run_dbt(
            self.settings,
            self.settings.warehouse_path,
            day.isoformat(),
            [*arguments, "--indirect-selection", "cautious"],
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with connect(self.settings, self.settings.warehouse_path, read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def register(self, missing: tuple[int, ...] = ()) -> list[dict[str, str]]:
        return [
            {
                "uniscid": code, "entname": f"桐柏县第{number}商贸有限公司", "regcap": "100",
                "estdate": "2015-06-01", "domdistrict": "411330", "regorg": UNIT_NAME,
            }
            for number, code in enumerate(self.codes)
            if number not in missing
        ]  # fmt: skip

    def penalty(self, number: int, **changes: str) -> dict[str, str]:
        return {
            "CF_XDR_MC": f"桐柏县第{number}商贸有限公司", "CF_XDR_SHXYM": self.codes[number],
            "CF_WSH": f"桐市监罚〔2026〕{number}号", "CF_WFXW": "销售过期食品", "CF_CFLB": "罚款",
            "CF_NR": "罚款2000元", "CF_NR_FK": "0.2", "CF_JDRQ": "2026-10-20", "CF_YXQ": "2027-10-20",
            "CF_CFJG": UNIT_NAME, "CF_SJLY": UNIT_NAME, "SJC": "2026-10-28", "备用列": "=1+1",
        } | changes  # fmt: skip


def corrected(path: Path, sheet: str, changes: dict[str, dict[str, str]]) -> bytes:
    """A workbook as it comes back: every sheet, with other cells in one, by document number and header."""
    book = CalamineWorkbook.from_path(path)
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "strings_to_formulas": False}) as workbook:
        for name in book.sheet_names:
            page = workbook.add_worksheet(name)
            rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            headers = [str(cell) for cell in rows[0]]
            for number, row in enumerate(rows):
                cells = [str(cell) for cell in row]
                if name == sheet and number:
                    for header, text in changes.get(cells[headers.index("CF_WSH")], {}).items():
                        cells[headers.index(header)] = text
                for column, text in enumerate(cells):
                    page.write_string(number, column, text)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Day 1: a register and penalties with faults of several kinds."""
    place = Office(tmp_path_factory.mktemp("quality"))
    wrong = place.codes[6][:-1] + ("1" if place.codes[6].endswith("0") else "0")
    place.put("registrations/register.csv", place.register())
    place.put(
        "penalties/october.csv",
        [
            place.penalty(1),
            place.penalty(2, CF_JDRQ="见决定书"),
            place.penalty(3, CF_XDR_SHXYM=IDENTITY_NO),
            place.penalty(4, CF_WFXW="", CF_SJLY="市监局"),
            place.penalty(5, CF_CFLB="未知类别"),
            place.penalty(6, CF_XDR_SHXYM=wrong, CF_WFXW=""),
            place.penalty(7, CF_YXQ="2026-10-01"),
        ],
    )
    place.put("penalties/列名改动.csv", [{"a": "1", "b": "2", "c": "3"}])
    place.put(
        f"complaints/{UNIT}/hotline.csv",
        [
            {
                "工单编号": "T1", "类型": "投诉", "被诉主体信用代码": place.codes[1], "登记时间": "二月三十",
                "诉求内容": "缺斤少两", "投诉人姓名": "张三",
            }
        ],
    )  # fmt: skip
    place.run(DAYS[0])
    return place


@pytest.fixture(scope="module")
def returned(office: Office) -> dict[str, Any]:
    """The unit's workbook of day 1, and day 2: most rows corrected, a full register without three firms."""
    folder = office.settings.lake_dir.parent
    whole = folder / "whole.xlsx"
    before = export_quarantine(office.settings, UNIT, whole)
    path = folder / "penalties.xlsx"
    export_quarantine(office.settings, UNIT, path, "penalties")
    again = folder / "again.xlsx"
    export_quarantine(office.settings, UNIT, again, "penalties")
    content = corrected(
        path,
        "行政处罚",
        {
            "桐市监罚〔2026〕2号": {"CF_JDRQ": "2026-10-21"},
            "桐市监罚〔2026〕3号": {"CF_XDR_SHXYM": office.codes[3]},
            "桐市监罚〔2026〕5号": {"CF_CFLB": "罚款"},
            "桐市监罚〔2026〕6号": {"CF_XDR_SHXYM": office.codes[6], "CF_WFXW": "无证经营"},
        },
    )
    target = office.settings.landing_dir / "penalties" / "2026-11-01" / "退回.xlsx"
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
    # A file that was refused as a whole, mended and put in its place; a corrected row by its key alone.
    office.put("penalties/列名改动.csv", [office.penalty(8)])
    office.put("penalties/2026-11-01/others.csv", [office.penalty(4)])
    office.put("registrations/2026-11-01/register.csv", office.register(missing=(10, 11, 12)))
    office.run(DAYS[1])
    return {"whole": whole, "path": path, "again": again, "report": before}


@pytest.fixture(scope="module")
def decided(office: Office, returned: dict[str, Any]) -> dict[str, str]:
    """Day 3: two of the three absences were confirmed; one of these firms is in the register again."""
    hashes = {row["uscc"]: row["record_hash"] for row in list_absences(office.settings)}
    ids, _ = confirm_absences(
        office.settings,
        "registrations",
        [hashes[office.codes[10]][:12], hashes[office.codes[11]]],
        decided_by="李四",
        reason="登记机关来函",
    )
    office.put("registrations/2026-11-02/register.csv", office.register(missing=(10, 12)))
    office.run(DAYS[2])
    by_hash = dict(office.query("select record_hash, confirmation_id from staging.stg_absence_confirmations"))
    assert set(by_hash.values()) == set(ids)
    return {str(number): by_hash[hashes[office.codes[number]]] for number in (10, 11)}


def test_day_one_is_counted_by_sender(office: Office) -> None:
    """Prevents rows that no report mentions, and a lag that forgets weekends or the history's reported day."""
    columns = "read_rows, accepted, quarantined, reject_rate_bp, lag_facts, lag_median, lag_working_median, within_deadline_bp"
    found = office.query(
        f"select unit_id, {columns} from quality.feed_quality "
        "where feed = 'penalties' and ingest_date = date '2026-10-31' order by unit_id"
    )
    assert found == [
        (UNIT, 6, 1, 5, 8333, 1, 8, 6, 10000),
        ("unknown", 2, 0, 2, 10000, 0, None, None, None),
    ]
    # A feed without a unit's column goes by the folder of its file.
    assert office.query(
        "select unit_id, quarantined, top_rules from quality.feed_quality where feed = 'complaints'"
    ) == [(UNIT, 1, "date_unreadable×1")]


def test_the_workbook_says_what_to_do(office: Office, returned: dict[str, Any]) -> None:
    """Prevents a return that leaks an identity number, holds formulas, or lacks a column that must be filled in."""
    assert returned["report"]["feeds"] == {"complaints": 1, "penalties": 5}
    assert returned["path"].read_bytes() == returned["again"].read_bytes()
    book = CalamineWorkbook.from_path(returned["whole"])
    assert book.sheet_names == [GUIDE_SHEET, "投诉举报", "行政处罚"]
    rows = book.get_sheet_by_name("行政处罚").to_python()
    headers = rows[0]
    assert headers[:4] == ["隔离编号", "来源文件", "行号", "问题"]
    assert {"CF_XDR_SHXYM", "CF_WFXW", "CF_NR_FK", "备用列"} <= set(headers)
    by_number = {row[headers.index("CF_WSH")]: dict(zip(headers, row, strict=True)) for row in rows[1:]}
    assert "处罚决定日期“见决定书”：日期无法识别" in by_number["桐市监罚〔2026〕2号"]["问题"]
    assert "违法行为类型：必填项为空" in by_number["桐市监罚〔2026〕6号"]["问题"]
    assert by_number["桐市监罚〔2026〕2号"]["备用列"] == "=1+1"
    with zipfile.ZipFile(returned["whole"]) as archive:
        inside = b"".join(archive.read(name) for name in archive.namelist())
    assert b"<f>" not in inside and IDENTITY_NO.encode() not in inside and "张三".encode() not in inside
    assert returned["whole"].stat().st_mode & 0o777 == 0o600
    exported = AuditLog(office.settings.audit_log_path).records("quarantine_exported")
    assert [record.details["rows"] for record in exported] == [6, 5, 5]


def test_corrected_rows_are_released(office: Office, returned: dict[str, Any]) -> None:
    """Prevents a row that was mended from being asked for again, and one that was not from being forgotten."""
    found = office.query(
        "select split_part(l.row_text, '2026〕', 2)[1:1], r.status, r.released_on, r.released_by_file "
        "from quality.quarantined_rows r join (select quarantine_id, min(row_text) as row_text from "
        f"read_parquet('{office.settings.quarantine_dir}/penalties/*/*.parquet') group by 1) l using (quarantine_id) "
        "where r.ingest_date = date '2026-10-31' order by 1"
    )
    sheet = "penalties/2026-11-01/退回.xlsx"
    day = DAYS[1]
    assert found == [
        ("", "replaced", day, "penalties/列名改动.csv"),
        ("2", "released", day, sheet),
        ("3", "released", day, sheet),
        ("4", "released", day, "penalties/2026-11-01/others.csv"),
        ("5", "released", day, sheet),
        ("6", "released", day, sheet),
        ("7", "replaced", day, sheet),
    ]
    # Row 7 came back as it was: it waits again, once.
    waiting = [row for row in list_quarantine(office.settings) if row["feed"] == "penalties"]
    assert [(row["unit_id"], row["rule"], row["rows"]) for row in waiting] == [(UNIT, "period_reversed", 1)]
    # What is said to people only does not become data.
    assert office.query(
        "select distinct extra from "
        f"read_parquet('{office.settings.raw_dir}/penalties/*/*.parquet') where source_file = '{sheet}'"
    ) == [('{"备用列":"=1+1"}',)]


def test_records_that_vanish_are_told_but_not_ended(office: Office, returned: dict[str, Any]) -> None:
    """Prevents a register that forgot some rows from closing enterprises, and from doing so unnoticed."""
    assert office.query(
        "select ingest_date, known_records, seen_known_records, is_full from quality.snapshot_deliveries "
        "where feed = 'registrations' order by 1"
    )[:2] == [(DAYS[0], 0, 0, False), (DAYS[1], 40, 37, True)]
    assert office.query(
        "select vanished_bp, is_vanishing, missing_records from quality.feed_overview where feed = 'registrations'"
    ) == [(750, True, 3)]
    assert office.query("select status, count(*) from enterprises.enterprises group by 1") == [
        ("active", FIRMS)
    ]


def test_only_confirmed_absences_end_a_record(office: Office, decided: dict[str, str]) -> None:
    """Prevents an absence from ending anything before the office says so, or after the record came again."""
    found = office.query(
        "select uscc, status, missing_since, reappeared_on from quality.silent_deletions order by uscc"
    )
    assert sorted(found) == sorted(
        [
            (office.codes[10], "confirmed", DAYS[1], None),
            (office.codes[11], "reappeared", DAYS[1], DAYS[2]),
            (office.codes[12], "open", DAYS[1], None),
        ]
    )
    statuses = dict(office.query("select uscc, status from enterprises.enterprises"))
    assert statuses.pop(office.codes[10]) == "absent"
    assert set(statuses.values()) == {"active"} and len(statuses) == FIRMS - 1


def test_a_withdrawn_confirmation_ends_nothing(office: Office, decided: dict[str, str]) -> None:
    """Prevents a decision that cannot be taken back."""
    with pytest.raises(BadInput):
        undo_absences(office.settings, ["A20261101-NONE"], decided_by="李四", reason="误操作")
    undo_absences(office.settings, [decided["10"]], decided_by="李四", reason="误操作")
    office.run(DAYS[3])
    assert office.query("select distinct status from enterprises.enterprises") == [("active",)]
    assert office.query(f"select status from quality.silent_deletions where uscc = '{office.codes[10]}'") == [
        ("open",)
    ]


def test_the_overview_of_the_last_day(office: Office, decided: dict[str, str]) -> None:
    """Prevents coverage beyond the register, and a feed that never came from looking fresh."""
    overview = {
        row[0]: row[1:]
        for row in office.query(
            "select feed, is_stale, covered_enterprises, coverage_bp, open_rows, is_vanishing from quality.feed_overview"
        )
    }
    assert overview["registrations"][2] == 10_000
    assert overview["penalties"][:1] == (False,) and overview["penalties"][1] == 7
    assert overview["licences"] == (True, 0, 0, 0, False)
    assert overview["absence_confirmations"][0] is False
    assert overview["registrations"][4] is False, (
        "the last full delivery lacked nothing that was not missing before"
    )
    assert FILES_SHEET.endswith(GUIDE_SHEET), "the reader of workbooks skips sheets of notes"


def test_the_commands_tell_the_same(office: Office, decided: dict[str, str]) -> None:
    """Prevents a command that shows other rows than the tables, or takes half an order."""
    place = make_place(office.settings.lake_dir.parent)
    options = ["--lake", str(office.settings.lake_dir), "--json"]
    rows = json.loads(place.command("quarantine", "list", *options).stdout)
    assert {(row["unit_id"], row["feed"]) for row in rows} == {(UNIT, "penalties"), (UNIT, "complaints")}
    missing = json.loads(place.command("absences", "list", "--status", "all", *options).stdout)
    assert {row["uscc"] for row in missing} == {office.codes[number] for number in (10, 11, 12)}
    assert "period_reversed" in place.command("quarantine", "list", *options[:2]).stdout
    half = place.command(
        "absences",
        "confirm",
        "--feed",
        "registrations",
        "--by",
        "李四",
        "--reason",
        "注销",
        *options[:2],
        check=False,
    )
    assert half.returncode == 2 and "--all-since" in half.stderr
    nobody = place.command(
        "quarantine", "export", "--unit", "X", "--out", "x.xlsx", *options[:2], check=False
    )
    assert nobody.returncode == 2 and "no unit X" in nobody.stderr
