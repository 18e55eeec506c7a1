"""The published list: what stands in its files, and when they change."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import IntegrityError
from credit_pipeline.extracts.public_results import (
    COLUMNS,
    MANIFEST,
    publish_public_results,
    read_public_manifest,
    result_number,
)
from credit_pipeline.keys import KeyStore
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import RunTarget, connect

DAY = date(2026, 11, 2)
Row = tuple[str, str, str, str, date, str, str]
ROWS: list[Row] = [
    ("914113300000000001", "桐柏县甲公司", "桐柏县", "桐柏县市场监督管理局", date(2026, 9, 1), "no_problem", "未发现问题"),
    ("914113300000000002", "=HYPERLINK(1)", "桐柏县", "南阳市税务局", date(2026, 9, 2), "quality", "违反产品质量管理规定"),
]  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = Settings(landing_dir=tmp_path / "landing", lake_dir=tmp_path / "lake", keys_dir=tmp_path / "keys")
    found.lake_dir.mkdir()
    return found


def warehouse(settings: Settings, rows: list[Row]) -> None:
    """A warehouse of the day: the list, and many inspections for the statistics. Grades stand beside, as in a real one."""
    settings.warehouse_path.unlink(missing_ok=True)
    with connect(settings, settings.warehouse_path) as connection:
        connection.execute("""
            create schema public; create schema inspection; create schema policy; create schema grading;
            create table public.inspection_results (uscc varchar, enterprise_name varchar, region_name varchar, authority varchar,
                check_date date, result_codes varchar, results varchar);
            create table inspection.completed_inspections as
                select case when i % 2 = 0 then '桐柏县' else '唐河县' end as region_name, date '2026-03-01' + cast(i % 90 as integer) as check_date,
                    case when i % 7 = 0 then 'problem' else 'clean' end as outcome, date '2026-06-15' as public_from
                from range(400) as r(i);
            create table policy.public_policy as select *, date '2015-01-01' as effective_from, date '9999-12-31' as effective_to
                from (values ('small_cell', 10), ('rounding', 5)) as p(parameter, value);
            create table grading.enterprise_grades as select 'CANARYGRADE' as platform_grade, 'CANARYNAME' as enterprise_name;
        """)
        for row in rows:
            connection.execute("insert into public.inspection_results values (?, ?, ?, ?, ?, ?, ?)", row)


def publish(
    settings: Settings, rows: list[Row], day: date = DAY, *, is_replay: bool = False
) -> dict[str, bytes]:
    warehouse(settings, rows)
    target = RunTarget(day, settings.warehouse_path, is_replay)
    publish_public_results(settings, target, AuditLog(settings.audit_log_path), "run")
    return {path.name: path.read_bytes() for path in sorted(settings.public_dir.glob("*"))}


def listed(settings: Settings) -> dict[str, Any]:
    manifest = read_public_manifest(settings.public_dir, trusted_keys(KeyStore(settings.keys_dir)))
    return json.loads(
        (settings.public_dir / next(name for name in manifest["files"] if name.endswith("json"))).read_bytes()
    )


def test_the_same_day_gives_the_same_bytes(settings: Settings) -> None:
    """Prevents a second run of a day from publishing anew, or from depending on the order of rows."""
    first = publish(settings, ROWS)
    assert set(first) == {
        "inspection-results-2026-11-02.csv", "inspection-results-2026-11-02.json", "inspection-results-2026-11-02.manifest.json",
        "inspection-statistics-2026-11-02.csv", "manifest.json", "signing_key.pub",
    }  # fmt: skip
    assert publish(settings, ROWS[::-1]) == first
    events = [record.event for record in AuditLog(settings.audit_log_path).records()]
    assert events == ["public_results_published"]


def test_a_past_day_publishes_nothing(settings: Settings) -> None:
    """Prevents a replay, or a day before the published one, from putting an old list out."""
    first = publish(settings, ROWS)
    assert publish(settings, [], DAY - timedelta(days=1)) == first
    assert publish(settings, [], DAY + timedelta(days=1), is_replay=True) == first


def test_what_is_taken_off_is_told(settings: Settings) -> None:
    """Prevents a withdrawn or repaired result from living on with those who copied the list, in later days too."""
    publish(settings, ROWS)
    gone = result_number(ROWS[0][0], ROWS[0][3], ROWS[0][4].isoformat())
    for number in (1, 2):
        publish(settings, ROWS[1:], DAY + timedelta(days=number))
        assert listed(settings)["removed"] == [{"result_no": gone, "removed_on": "2026-11-03"}]
        assert [row["uscc"] for row in listed(settings)["results"]] == [ROWS[1][0]]
    publish(settings, ROWS, DAY + timedelta(days=3))
    assert listed(settings)["removed"] == []


def test_a_corrected_day_replaces_its_files_as_a_whole(settings: Settings) -> None:
    """Prevents a reader from having the new list under the old manifest when a day is run again with more data."""
    publish(settings, ROWS[:1])
    after = publish(settings, ROWS)
    assert "inspection-results-2026-11-02-2.csv" in after and "inspection-results-2026-11-02.csv" not in after
    assert listed(settings)["removed"] == [] and len(listed(settings)["results"]) == 2
    assert publish(settings, ROWS) == after


def test_files_hold_the_allowed_columns_and_nothing_else(settings: Settings) -> None:
    """Prevents a column of grade, plan, round, task, kind or person, a formula, and anything of the grades beside the list."""
    files = publish(settings, ROWS)
    text = files["inspection-results-2026-11-02.csv"].decode("utf-8-sig")
    header, *rows = csv.reader(io.StringIO(text))
    assert header == list(COLUMNS.values())
    assert rows[1][2] == "'=HYPERLINK(1)"
    assert set(listed(settings)["results"][0]) == set(COLUMNS)
    for name, content in files.items():
        assert b"CANARY" not in content, name
        for column in (
            zip(*csv.reader(io.StringIO(content.decode("utf-8-sig"))), strict=True)
            if name.endswith("csv")
            else ()
        ):
            assert not set(column[1:]) <= {"A", "B", "C", "D", "E", ""} or set(column[1:]) == {""}, (
                name,
                column[0],
            )
    assert not re.search(
        r"(?i)grade|score|stratum|quota|plan|round|task|lead|rank|inspector",
        json.dumps(sorted(listed(settings)["results"][0])),
    )
    assert [row["uscc"] for row in listed(settings)["results"]] == sorted(row[0] for row in ROWS)


def test_a_changed_file_is_refused(settings: Settings) -> None:
    """Prevents a list that somebody edited from being taken for ours, and the next day from building on it."""
    publish(settings, ROWS)
    path = settings.public_dir / "inspection-results-2026-11-02.json"
    path.write_bytes(path.read_bytes().replace("甲".encode(), "乙".encode()))
    with pytest.raises(IntegrityError, match="not the file that was published"):
        publish(settings, ROWS, DAY + timedelta(days=1))
    manifest = settings.public_dir / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"results":2', b'"results":1'))
    with pytest.raises(IntegrityError, match="not a manifest"):
        read_public_manifest(settings.public_dir, trusted_keys(KeyStore(settings.keys_dir)))


def test_a_crash_before_the_manifest_leaves_the_day_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents half a publication: until the manifest is replaced, the files of the day before are what is published."""
    from credit_pipeline.extracts import public_results

    publish(settings, ROWS)
    real = public_results.write_durably

    def full(path: Path, data: bytes) -> None:
        if path.name == MANIFEST:
            raise OSError(28, "No space left on device")
        real(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(public_results, "write_durably", full)
        with pytest.raises(OSError, match="No space"):
            publish(settings, ROWS[:1], DAY + timedelta(days=1))
    assert listed(settings)["as_of_date"] == "2026-11-02" and len(listed(settings)["results"]) == 2
    publish(settings, ROWS[:1], DAY + timedelta(days=1))
    assert listed(settings)["as_of_date"] == "2026-11-03"
