"""What units send back: a filled template is read by our own intake, without a row refused."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import python_calamine
from extract_warehouse import DAY, extract_warehouse

from credit_pipeline.errors import BadInput
from credit_pipeline.extracts import templates
from credit_pipeline.extracts.templates import write_template
from credit_pipeline.feeds.catalogue import get_feed, load_catalogue
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.settings import Settings


@pytest.fixture
def office(tmp_path: Path) -> Settings:
    """An office with the small warehouse as its current one."""
    settings = Settings(
        lake_dir=tmp_path / "lake", landing_dir=tmp_path / "landing", keys_dir=tmp_path / "keys"
    )
    settings.lake_dir.mkdir()
    connection = extract_warehouse()
    connection.execute(f"attach '{settings.warehouse_path}' as target")
    connection.execute("copy from database memory to target")
    connection.close()
    (settings.lake_dir / "current.json").write_text(json.dumps({"as_of_date": DAY.isoformat()}))
    return settings


def valid_uscc() -> str:
    """A valid code, digit by digit (GB 32100)."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    head = "91411330" + "MA000001"
    total = sum(int(c, 36) * w for c, w in zip("MA000001", [3, 7, 9, 10, 5, 8, 4, 2], strict=True))
    head += "0123456789X0"[11 - total % 11] if total % 11 else "0"
    return head + alphabet[(31 - sum(alphabet.index(c) * pow(3, i, 31) for i, c in enumerate(head))) % 31]


FILLED: dict[str, dict[str, str]] = {
    "inspection_results": {
        "task_no": "P2026GENERAL-1-U", "plan_no": "P2026GENERAL", "item_code": "M2", "unit_id": "411330MS",
        "check_date": "2026-10-20", "origin": "双随机", "result_codes": "未发现问题", "reported_date": "2026-10-21",
    },
    "industry_ratings": {
        "enterprise_name": "某厂", "scheme": "环境信用评价", "rating": "绿", "rating_year": "2026", "rated_by": "某局",
        "rated_date": "2026-06-01",
    },
    "identity_decisions": {
        "decision_id": "U-20261031-00001", "party_key": "0123456789ABCDEF" * 2, "decision": "同一主体", "decided_by": "某科",
        "decided_date": "2026-10-30", "reason": "核对营业执照",
    },
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
@pytest.mark.parametrize("feed", sorted(FILLED))
def test_a_filled_template_is_accepted(
    office: Settings, monkeypatch: pytest.MonkeyPatch, feed: str, suffix: str
) -> None:
    """Prevents a form whose header, list, note or text format our own intake refuses."""
    row = {**FILLED[feed], "uscc": valid_uscc()}
    monkeypatch.setattr(templates, "_prefilled", lambda *arguments: [row])
    path = office.landing_dir / feed / f"U{suffix}"
    path.parent.mkdir(parents=True)
    assert write_template(office, feed, path, "U") == 1
    report = ingest_feed(feed, office, date(2026, 10, 31))
    pattern = (office.raw_dir / feed / "*" / "*.parquet").as_posix()
    accepted = duckdb.execute(
        f"select * from read_parquet('{pattern}', union_by_name = true) where source_row is not null"
    )
    names = [column[0] for column in accepted.description]
    [found] = [dict(zip(names, values, strict=True)) for values in accepted.fetchall()]
    assert found["uscc"] == row["uscc"], report
    assert not list(office.quarantine_dir.glob(f"{feed}/ingest_date=2026*/*.parquet"))


def test_words_of_the_lists_are_codes_of_the_feed() -> None:
    """Prevents a drop-down list with a word that is refused, for any feed."""
    for feed in load_catalogue().values():
        for column in templates._columns(feed):
            known = {word for words in column.codes.values() for word in words} | set(column.codes)
            assert set(templates._words(column)) <= known, (feed.name, column.name)


def test_open_tasks_are_prefilled(office: Settings, tmp_path: Path) -> None:
    """Prevents an officer from typing task numbers: own open visits with their items, joint ones not yet reported, leads."""
    path = tmp_path / "results.csv"
    assert write_template(office, "inspection_results", path, "U") == 4
    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"))))
    assert {(row["抽查任务编号"], row["抽查事项代码"], row["统一社会信用代码"], row["检查来源"]) for row in rows} == {
        ("P2026GENERAL-1-U", "GENERAL", "1", "双随机"), ("P2026GENERAL-1-U", "SAFETY", "1", "双随机"),
        ("P2026JOINT-1-V", "SAFETY", "1", "双随机"), ("L1", "", "2", "个案"),
    }  # fmt: skip
    assert {row["检查单位编码"] for row in rows} == {"U"} and "抽取概率" not in rows[0]


def test_parties_to_review_are_prefilled(office: Settings, tmp_path: Path) -> None:
    """Prevents decisions under one number for two parties, and other units' parties."""
    path = tmp_path / "decisions.xlsx"
    assert write_template(office, "identity_decisions", path, "U") == 2
    book = python_calamine.CalamineWorkbook.from_path(str(path))
    assert book.sheet_names == ["主体核对决定", "填写说明", "代码说明"]
    _, *rows = book.get_sheet_by_name("主体核对决定").to_python()
    assert [row[:2] for row in rows] == [["U-20261031-00001", "P1"], ["U-20261031-00002", "P2"]]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("feed", "name", "unit", "message"),
    [
        ("no_feed", "x.xlsx", None, "there is no feed"),
        ("penalties", "x.doc", None, "must end in"),
        ("inspection_results", "x.xlsx", "NOBODY", "there is no unit"),
    ],
)
def test_what_cannot_be_made_is_said(
    office: Settings, tmp_path: Path, feed: str, name: str, unit: str | None, message: str
) -> None:
    """Prevents a form for nothing."""
    with pytest.raises(BadInput, match=message):
        write_template(office, feed, tmp_path / name, unit)
    assert not (tmp_path / name).exists()


def test_every_feed_has_a_template(office: Settings, tmp_path: Path) -> None:
    """Prevents a feed whose name, labels or lists a workbook cannot hold."""
    for name in load_catalogue():
        assert write_template(office, name, tmp_path / f"{name}.xlsx") == 0
        book: Any = python_calamine.CalamineWorkbook.from_path(str(tmp_path / f"{name}.xlsx"))
        head = book.get_sheet_by_name(book.sheet_names[0]).to_python()[0]
        assert set(head) <= {column.label for column in get_feed(name).columns}
