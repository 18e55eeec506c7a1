"""A fetch that was interrupted goes on where it may, and begins anew where it must."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sources_support import CANARY, Api, Office, api_server, http_source, status

DAY_1, DAY_2 = date(2026, 10, 31), date(2026, 11, 1)


class Killed(BaseException):
    """Stands for a kill: nothing behind it runs that handles errors."""


def row(number: int, day: int) -> dict[str, Any]:
    return {"id": number, "updated_at": f"2026-10-{day:02d}T08:00:00+08:00", "amount": "1.10"}


def test_a_query_killed_in_the_middle_of_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents half a table from counting as fetched."""
    office = Office(tmp_path)
    path = tmp_path / "city.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as city:
        city.execute("create table penalty as select 1 as id, 5 as version")
        city.commit()
    source = {"name": "bureau", "kind": "database", "engine": "sqlite", "database": str(path), "table": "penalty",
              "cursor": "version"}  # fmt: skip
    office.sources(penalties=[source])
    import credit_pipeline.feeds.sources.database as module

    def half(remote: duckdb.DuckDBPyConnection, source: Any, columns: Any, sql: str, scratch: Path) -> None:
        scratch.write_bytes(b"PAR1 half a file")
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, "_copy", half)
        with pytest.raises(Killed):
            office.collect("penalties", DAY_1)
    assert office.one("penalties", DAY_1).problem is None
    assert [item["version"] for item in office.delivered("penalties")] == ["5"]


def test_a_changed_question_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents pages of the old question from being joined to those of the new one."""
    monkeypatch.setenv("CREDIT_SECRET_API", CANARY)
    office = Office(tmp_path)
    with api_server(rows=[row(number, 20 + number) for number in range(7)]) as api:
        office.sources(penalties=[http_source(api, max_pages=2)])
        assert "max_pages = 2" in str(office.one("penalties", DAY_1).problem)
        office.sources(penalties=[http_source(api, params={"region": "411330"})])
        assert office.one("penalties", DAY_1).problem is None
        assert [asked.query.get("page") for asked in api.asked] == ["1", "2", "1", "2", "3", "4"]
        assert [item["id"] for item in office.delivered("penalties")] == list(range(7))


def test_a_raised_limit_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a day's pages from being asked for again because a limit was too low."""
    monkeypatch.setenv("CREDIT_SECRET_API", CANARY)
    office = Office(tmp_path)
    with api_server(rows=[row(number, 20 + number) for number in range(7)]) as api:
        office.sources(penalties=[http_source(api, max_pages=2)])
        office.collect("penalties", DAY_1)
        office.sources(penalties=[http_source(api)])
        assert office.one("penalties", DAY_2).problem is None
        assert [asked.query.get("page") for asked in api.asked] == ["1", "2", "3", "4"]
        assert [item["id"] for item in office.delivered("penalties")] == list(range(7))


def test_a_next_page_that_the_server_forgot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a source that fails for ever because its token for the next page has expired."""
    monkeypatch.setenv("CREDIT_SECRET_API", CANARY)
    office = Office(tmp_path)
    with api_server(rows=[row(number, 20 + number) for number in range(7)], paging="cursor") as api:
        paging = {"kind": "cursor", "next": "next"}
        office.sources(penalties=[http_source(api, max_pages=1, paging=paging)])
        office.collect("penalties", DAY_1)
        office.sources(penalties=[http_source(api, paging=paging)])
        api.faults[2] = status(400)
        assert office.one("penalties", DAY_1).problem is None
        assert [item["id"] for item in office.delivered("penalties")] == list(range(7))


def test_landing_cleared_between_crash_and_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a cursor that moves behind a file which nobody has."""
    monkeypatch.setenv("CREDIT_SECRET_API", CANARY)
    office = Office(tmp_path)
    with api_server(rows=[row(1, 21)]) as api:
        office.sources(penalties=[http_source(api)])
        _kill_between_progress_and_rename(office, api)
        for path in (office.settings.landing_dir / "penalties").iterdir():
            path.unlink()
        assert office.one("penalties", DAY_1).problem is None
        assert [item["id"] for item in office.delivered("penalties")] == [1]


def _kill_between_progress_and_rename(office: Office, api: Api) -> None:
    from credit_pipeline.feeds.sources.state import Store

    with pytest.MonkeyPatch.context() as patch:
        calls: list[int] = []

        def recover(self: Store) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise Killed

        patch.setattr(Store, "recover", recover)
        with pytest.raises(Killed):
            office.collect("penalties", DAY_1)
    assert any("increment" in name for name in office.hidden("penalties"))
