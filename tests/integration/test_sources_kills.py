"""A fetch killed before any of its steps loses and doubles nothing, over HTTP and from a database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sources_support import CANARY, Office, api_server, http_source

DAY_1, DAY_2 = date(2026, 10, 31), date(2026, 11, 1)


class Killed(BaseException):
    """Stands for a kill: nothing behind it runs that handles errors."""


@contextlib.contextmanager
def killed_before(step: int) -> Iterator[list[str]]:
    """Die before the given step (from 1) among all that change or secure a file; gives the steps taken."""
    taken: list[str] = []

    def dying(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(taken) + 1 == step:
                raise Killed(name)
            taken.append(name)
            return real(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace", "unlink", "truncate"):
            patch.setattr(os, name, dying(name, getattr(os, name)))
        patch.setattr(pq, "write_table", dying("write_table", pq.write_table))
        patch.setattr(Path, "write_bytes", dying("write_bytes", Path.write_bytes))
        yield taken


def row(number: int, day: int) -> dict[str, Any]:
    return {"id": number, "updated_at": f"2026-10-{day:02d}T08:00:00+08:00", "amount": "1.10"}


def fetch_killed_at(office: Office, step: int) -> bool:
    """Whether the fetch was killed."""
    with killed_before(step):
        try:
            office.collect("penalties", DAY_1)
        except Killed:
            return True
    return False


def test_a_fetch_over_http_killed_before_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents rows that are lost or doubled by a crash, and pages that are asked for again without need."""
    monkeypatch.setenv("CREDIT_SECRET_API", CANARY)
    steps = 0
    for step in range(1, 200):
        office = Office(tmp_path / str(step))
        office.root.mkdir()
        with api_server(rows=[row(number, 20 + number) for number in range(7)]) as api:
            office.sources(penalties=[http_source(api)])
            killed = fetch_killed_at(office, step)
            asked_before = len(api.asked)
            report = office.one("penalties", DAY_1)
            assert report.problem is None
            # Three pages and an empty one; at most the page in the air is asked for again. A killed finish asks
            # anew from the cursor: one page and an empty one.
            assert len(api.asked) - asked_before <= 4 + 1 - min(asked_before, 3) or asked_before == 4
            api.rows += [row(7, 28), row(8, 29)]
            assert office.one("penalties", DAY_2).problem is None
            assert [item["id"] for item in office.delivered("penalties")] == list(range(9)), step
            assert office.hidden("penalties") == []
        if not killed:
            steps = step
            break
    assert 15 < steps < 100, "the whole fetch was gone through"


def test_a_fetch_from_a_database_killed_before_any_step(tmp_path: Path) -> None:
    """Prevents rows that are lost or doubled when the crash comes between file and cursor."""
    steps = 0
    for step in range(1, 100):
        office = Office(tmp_path / str(step))
        office.root.mkdir()
        path = office.root / "city.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as city:
            city.execute("create table penalty(id integer, updated_at text)")
            city.executemany(
                "insert into penalty values (?, ?)", [(n, f"2026-10-2{n} 08:00:00") for n in range(7)]
            )
            city.commit()
            source = {"name": "bureau", "kind": "database", "engine": "sqlite", "database": str(path),
                      "table": "penalty", "cursor": "updated_at", "cursor_lookback": "3 days"}  # fmt: skip
            office.sources(penalties=[source])
            killed = fetch_killed_at(office, step)
            assert office.one("penalties", DAY_1).problem is None
            city.execute("insert into penalty values (7, '2026-10-28 08:00:00'), (8, '2026-10-26 07:00:00')")
            city.commit()
            report = office.one("penalties", DAY_2)
            assert report.problem is None and report.fetched is not None
            assert report.fetched.rows == 2 and report.fetched.asked_from == "2026-10-23 08:00:00"
            assert sorted(int(item["id"]) for item in office.delivered("penalties")) == list(range(9)), step
            assert office.hidden("penalties") == []
        if not killed:
            steps = step
            break
    assert 5 < steps < 60, "the whole fetch was gone through"
