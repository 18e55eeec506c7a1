"""Feeds from real databases: PostgreSQL and MariaDB started for the tests, SQLite in a file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sources_support import (
    CANARY,
    CANARY_FORMS,
    DatabaseServer,
    Office,
    database_source,
    free_port,
    mariadb_binaries,
    mariadb_server,
    occurrences,
    penalty,
    postgres_binaries,
    postgres_server,
)

DAYS = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
COLUMNS = [name for name in penalty(1) if name not in ("id", "updated_at")]


@pytest.fixture(scope="module")
def postgres() -> Iterator[DatabaseServer]:
    if postgres_binaries() is None:
        pytest.skip("no PostgreSQL under /usr/lib/postgresql; remedy: apt-get install postgresql")
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[DatabaseServer]:
    if mariadb_binaries() is None:
        pytest.skip("no MariaDB server; remedy: apt-get install mariadb-server")
    with mariadb_server() as server:
        yield server


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Either server, without tables."""
    found: DatabaseServer = request.getfixturevalue(request.param)
    found.sql("drop table if exists penalty")
    return found


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setenv("CREDIT_SECRET_DB", CANARY)
    return Office(tmp_path)


def create(server: DatabaseServer, cursor: str = "timestamp(6)") -> None:
    kind = cursor if server.engine == "postgres" else cursor.replace("timestamp", "datetime")
    columns = ", ".join(f"{_quoted(server, name)} varchar(200)" for name in COLUMNS)
    server.sql(f"create table penalty(id bigint primary key, {columns}, updated_at {kind})")


def insert(server: DatabaseServer, *rows: dict[str, Any]) -> None:
    names = ", ".join(_quoted(server, name) for name in ("id", *COLUMNS, "updated_at"))
    values = ", ".join(
        "(" + ", ".join("null" if row[name] is None else "'" + str(row[name]).replace("'", "''") + "'"
                        for name in ("id", *COLUMNS, "updated_at")) + ")"
        for row in rows
    )  # fmt: skip
    server.sql(f"insert into penalty({names}) values {values};")


def _quoted(server: DatabaseServer, name: str) -> str:
    return f'"{name}"' if server.engine == "postgres" else f"`{name}`"


def at(number: int, moment: str | None) -> dict[str, Any]:
    return penalty(number) | {"updated_at": moment}


def test_three_days_of_increments(server: DatabaseServer, office: Office) -> None:
    """Prevents lost and doubled rows, ties at the boundary above all, and a second day that fetches the first again."""
    create(server)
    insert(server, *[at(number, f"2026-10-30 08:00:{number // 3:02d}.5") for number in range(10)])
    office.sources(penalties=[database_source(server)])
    first = office.one("penalties", DAYS[0])
    assert first.problem is None and first.fetched is not None and first.fetched.rows == 10
    office.ingest("penalties", DAYS[0])
    # The last row of day 1 has the same moment as two that come now.
    insert(
        server,
        at(10, "2026-10-30 08:00:03.5"),
        at(11, "2026-10-30 08:00:03.5"),
        at(12, "2026-10-31 09:00:00"),
    )
    second = office.one("penalties", DAYS[1])
    assert second.fetched is not None and (second.fetched.rows, second.fetched.seen_before) == (3, 1)
    office.ingest("penalties", DAYS[1])
    # A change of an old row is a new version; what was not changed does not come.
    server.sql(
        f"update penalty set {_quoted(server, 'CF_NR')} = '警告', updated_at = '2026-11-01 10:00:00' where id = 3"
    )
    third = office.one("penalties", DAYS[2])
    assert third.fetched is not None and (third.fetched.rows, third.fetched.seen_before) == (1, 1)
    office.ingest("penalties", DAYS[2])
    assert third.fetched.asked_from == "2026-10-31 09:00:00.000000"
    selects = [line for line in server.asked() if "__cursor__" in line and "Prepare" not in line]
    assert "2026-10-30 08:00:03.500000" in selects[-2] and "2026-10-31 09:00:00.000000" in selects[-1]
    assert len(office.raw("penalties")) == 14
    assert {row["document_no"] for row in office.raw("penalties")} == {
        penalty(n)["CF_WSH"] for n in range(13)
    }
    again = office.one("penalties", DAYS[2])
    assert again.fetched is not None and again.fetched.rows == 0, "the same day again brings nothing"
    assert office.hidden("penalties") == []
    assert occurrences(CANARY_FORMS, office.root) == []


def test_late_commits_missing_cursors_and_the_year_2099(server: DatabaseServer, office: Office) -> None:
    """Prevents losing rows that commit late or have no cursor, and a typing error that ends a source for ever."""
    create(server)
    insert(server, at(1, "2026-10-30 08:00:00"), at(2, None), at(3, "2099-12-31 00:00:00"))
    office.sources(penalties=[database_source(server, cursor_lookback="2 hours")])
    report = office.one("penalties", DAYS[0])
    assert report.fetched is not None and report.fetched.rows == 3
    assert report.fetched.state.cursor == "2026-10-30 08:00:00.000000"
    assert "no cursor" in report.notes[0] and "in the future" in report.notes[1]
    insert(
        server,
        at(4, "2026-10-30 07:00:00"),
        at(5, "2026-10-30 05:00:00"),
        at(6, None),
        at(7, "2026-10-31 08:00:00"),
    )
    report = office.one("penalties", DAYS[1])
    assert report.fetched is not None and report.fetched.rows == 3, "5 lies outside the look-back"
    assert sorted(row["id"] for row in office.delivered("penalties")) == [1, 2, 3, 4, 6, 7]


@pytest.mark.parametrize("cursor", ["bigint", "date", "varchar(40)", "decimal(20, 3)"])
def test_every_kind_of_cursor(server: DatabaseServer, office: Office, cursor: str) -> None:
    """Prevents 9 from standing behind 10, and a date from being compared as a number."""
    create(server, cursor)
    values = {"bigint": [9, 10, 11], "date": ["2026-10-09", "2026-10-10", "2026-10-11"],
              "varchar(40)": ["a'1", "a'2", "b"], "decimal(20, 3)": [9.5, 10.25, 11]}[cursor]  # fmt: skip
    insert(server, at(1, values[0]), at(2, values[1]))
    lookback = {"bigint": 1, "date": "1 day"}.get(cursor, 0)
    office.sources(penalties=[database_source(server, cursor_lookback=lookback)])
    assert office.one("penalties", DAYS[0]).problem is None
    insert(server, at(3, values[1]), at(4, values[2]))
    report = office.one("penalties", DAYS[1])
    assert report.problem is None and report.fetched is not None
    assert (report.fetched.rows, report.fetched.seen_before) == (2, 2 if lookback else 1)
    assert [row["id"] for row in office.delivered("penalties")] == [1, 2, 3, 4]


def test_a_query_and_a_snapshot(server: DatabaseServer, office: Office) -> None:
    """Prevents a view of the owner's making from being out of reach, and an unchanged table from filling landing."""
    create(server)
    insert(server, at(1, "2026-10-30 08:00:00"), at(2, "2026-10-30 08:00:00"))
    query = "select id as 编号, updated_at from penalty -- all of them\n;"
    office.sources(penalties=[database_source(server, table=None, query=query, cursor=None, snapshot=True)])
    rows = [office.one("penalties", day).fetched for day in DAYS[:2]]
    assert [report.rows for report in rows if report is not None] == [2, 0]
    server.sql("delete from penalty where id = 1")
    report = office.one("penalties", DAYS[2])
    assert report.fetched is not None and report.fetched.rows == 1
    assert [row["编号"] for row in office.delivered("penalties")] == [1, 2, 2]


def test_values_are_what_the_server_writes(postgres: DatabaseServer, office: Office) -> None:
    """Prevents digits, days and zones from changing on their way through a driver."""
    postgres.sql("""
        drop table if exists penalty;
        create table penalty(id int, n numeric, m numeric(10, 2), d date, t timestamptz, f float8, j jsonb, a text[],
                             u uuid, b bytea, c char(5), flag boolean);
        insert into penalty values
            (1, 123456789012345678901234.5678, 1.10, 'infinity', '2026-10-31 00:30:00+08', 0.1, '{"a": 1}',
             '{x,y}', '00000000-0000-0000-0000-000000000001', '\\xff00', 'ab', true),
            (2, 'NaN', null, '2026-10-31', '2026-10-30 16:30:00Z', 1e300, null, null, null, null, null, null);
    """)
    postgres.sql(
        "alter role reader set datestyle = 'German'; alter role reader set timezone = 'America/New_York'"
    )
    office.sources(penalties=[database_source(postgres, cursor="id")])
    assert office.one("penalties", DAYS[0]).problem is None
    first, second = office.delivered("penalties")
    assert (first["n"], str(first["m"]), first["d"]) == ("123456789012345678901234.5678", "1.10", "infinity")
    assert first["t"] == "2026-10-31 00:30:00" and second["t"] == "2026-10-31 00:30:00", (
        "local time, whatever the zone"
    )
    assert (first["f"], first["j"], first["a"]) == ("0.1", '{"a": 1}', "x、y")
    assert (first["b"], first["c"], first["flag"]) == ("ff00", "ab", True)
    assert (second["n"], second["d"], second["f"]) == ("NaN", "2026-10-31", "1e+300")
    postgres.sql("drop table penalty; alter role reader reset all")


def test_values_are_what_mariadb_writes(mariadb: DatabaseServer, office: Office) -> None:
    """Prevents a status of 2 from becoming true, a day of zeros from becoming none, and moments in another zone."""
    mariadb.sql("""
        set sql_mode = ''; drop table if exists penalty;
        create table penalty(id bigint unsigned, m decimal(30, 4), d date, t timestamp null, x varchar(20), doc json,
                             b blob, s tinyint(1)) character set gbk;
        insert into penalty values (18446744073709551615, 12345678901234567890.1, '0000-00-00', '2026-10-30 16:30:00',
                                    '桐柏', '{"a":1}', x'ff00', 2);
    """)
    office.sources(penalties=[database_source(mariadb, cursor="id")])
    assert office.one("penalties", DAYS[0]).problem is None
    (row,) = office.delivered("penalties")
    assert (row["id"], str(row["m"]), row["d"]) == (
        18446744073709551615,
        "12345678901234567890.1000",
        "0000-00-00",
    )
    assert (row["t"], row["x"], row["doc"], row["b"], row["s"]) == (
        "2026-10-31 00:30:00", "桐柏", '{"a":1}', "FF00", 2,
    )  # fmt: skip
    mariadb.sql("drop table penalty")


def test_one_fetch_is_one_moment(
    server: DatabaseServer, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents rows committed during a fetch from falling between it and the next one."""
    create(server)
    insert(server, *[at(number, "2026-10-30 08:00:00") for number in range(5)])
    office.sources(penalties=[database_source(server)])
    import credit_pipeline.feeds.sources.database as module

    real = module._copy

    def disturbed(*arguments: Any) -> None:
        real(*arguments)
        insert(server, at(7, "2026-10-30 09:00:00"), at(8, "2026-10-30 08:00:00"))

    monkeypatch.setattr(module, "_copy", disturbed)
    office.collect("penalties", DAYS[0])
    monkeypatch.setattr(module, "_copy", real)
    office.collect("penalties", DAYS[1])
    assert sorted(row["id"] for row in office.delivered("penalties")) == [0, 1, 2, 3, 4, 7, 8]


@pytest.mark.parametrize(
    ("changes", "secret", "reason", "words"),
    [
        ({}, "wrong" + CANARY, "refused", ["password"]),
        ({"port": 1}, CANARY, "connection", ["refused"]),
        ({"host": "no.such.host.invalid"}, CANARY, "connection", ["host"]),
        ({"database": "village"}, CANARY, None, ["village"]),
        ({"table": "penalti"}, CANARY, "not_found", ["penalti", "table or query"]),
        ({"cursor": "changed_at"}, CANARY, "not_found", ["changed_at", "updated_at"]),
        (
            {"table": None, "query": "select nothing from penalty"},
            CANARY,
            "not_found",
            ["nothing", "columns"],
        ),
        ({"ssl_mode": "require"}, CANARY, "connection", ["SSL", "ssl_mode"]),
    ],
    ids=["password", "port", "host", "database", "table", "cursor", "column", "tls"],
)
def test_what_is_wrong_is_named_without_the_password(
    server: DatabaseServer,
    office: Office,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    secret: str,
    reason: str | None,
    words: list[str],
) -> None:
    """Prevents an office from having to guess, and a password in what it is told."""
    monkeypatch.setenv("CREDIT_SECRET_DB", secret)
    create(server)
    office.sources(penalties=[database_source(server, **changes)])
    told: list[str] = []
    (report,) = office.collect("penalties", DAYS[0], told).sources
    assert report.problem is not None and all(word in report.problem for word in words), report.problem
    assert "remedy: " in report.problem and (reason is None or report.reason == reason)
    output = capfd.readouterr()
    shown = report.problem + "".join(told) + output.out + output.err + repr(report)
    assert not any(form.decode() in shown for form in CANARY_FORMS)
    assert occurrences(CANARY_FORMS, office.root) == []
    assert office.delivered("penalties") == [] and office.hidden("penalties") == []


def test_a_connection_that_comes_back_is_used(
    server: DatabaseServer, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a restart of the server from costing a day; a wrong password must not be tried again."""
    create(server)
    insert(server, at(1, "2026-10-30 08:00:00"))
    import credit_pipeline.feeds.sources.connections as module

    tries: list[int] = []
    real = module.socket.create_connection

    def flaky(*arguments: Any, **options: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionRefusedError(111, "Connection refused")
        return real(*arguments, **options)

    monkeypatch.setattr(module.socket, "create_connection", flaky)
    office.sources(penalties=[database_source(server, max_attempts=3)])
    assert office.one("penalties", DAYS[0]).problem is None and len(tries) == 3
    monkeypatch.setenv("CREDIT_SECRET_DB", "wrong")
    office.one("penalties", DAYS[1])
    assert len(tries) == 4


def test_a_server_that_goes_down_in_between(office: Office) -> None:
    """Prevents a half table from counting when the server is stopped, and rows from being lost after it."""
    if postgres_binaries() is None:
        pytest.skip("no PostgreSQL under /usr/lib/postgresql; remedy: apt-get install postgresql")
    with postgres_server() as server:
        create(server)
        insert(server, at(1, "2026-10-30 08:00:00"))
        server.sql(
            "create view slow_penalty as select p.*, pg_sleep(0.2)::text as slept from penalty p, generate_series(1, 200)"
        )
        office.sources(penalties=[database_source(server, table="slow_penalty", max_attempts=1)])
        script = (
            "import sys; from datetime import date; from pathlib import Path\n"
            "from credit_pipeline.settings import Settings\n"
            "from credit_pipeline.feeds.catalogue import get_feed\n"
            "from credit_pipeline.feeds.sources import collect\n"
            "root = Path(sys.argv[1])\n"
            "settings = Settings(landing_dir=root / 'landing', lake_dir=root / 'lake', sources_file=root / 'sources.yaml')\n"
            "print(collect(get_feed('penalties'), settings, date(2026, 10, 31)).sources[0].problem)\n"
        )
        fetch = subprocess.Popen(
            [sys.executable, "-c", script, str(office.root)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=dict(os.environ),
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while "order by" not in server.log.read_text("utf-8", "replace") and time.monotonic() < deadline:
            time.sleep(0.05)
        server.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'credit-pipeline'"
        )
        said = fetch.communicate(timeout=60)[0]
        assert "remedy: check that the server runs" in said, said
        assert office.delivered("penalties") == []
        office.sources(penalties=[database_source(server)])
        assert office.one("penalties", DAYS[0]).problem is None
        assert [row["id"] for row in office.delivered("penalties")] == [1]


def test_sqlite_by_the_same_door(office: Office) -> None:
    """Prevents the smallest database, which has no types, from losing rows to a comparison of numbers with texts."""
    path = office.root / "city.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as city:
        city.execute("create table penalty(id integer, name text, version integer, data)")
        city.executemany(
            "insert into penalty values (?, '桐柏', ?, ?)", [(1, 9, b"\xff"), (2, 10, 1.5), (3, None, None)]
        )
        city.commit()
        source = {"name": "file", "kind": "database", "engine": "sqlite", "database": str(path), "table": "penalty",
                  "cursor": "version", "cursor_lookback": 1}  # fmt: skip
        office.sources(penalties=[source])
        report = office.one("penalties", DAYS[0])
        assert report.problem is None and report.fetched is not None
        assert (report.fetched.state.cursor, report.fetched.state.kind) == ("10", "integer")
        city.executemany("insert into penalty values (?, null, ?, null)", [(4, 10), (5, 11), (6, 100)])
        city.commit()
        report = office.one("penalties", DAYS[1])
        assert report.fetched is not None and (report.fetched.rows, report.fetched.asked_from) == (3, "9")
        assert [row["id"] for row in office.delivered("penalties")] == ["3", "1", "2", "4", "5", "6"]
        city.execute("insert into penalty values (7, null, 'mixed', null)")
        city.commit()
        assert "integer and text values" in str(office.one("penalties", DAYS[2]).problem)
    office.sources(penalties=[source | {"database": str(office.root / "none.sqlite")}])
    assert "there is no file" in str(office.one("penalties", DAYS[2]).problem)


def test_a_million_rows_in_bounded_memory(postgres: DatabaseServer, office: Office) -> None:
    """Prevents a large table from being held in memory: the first fetch of a register."""
    postgres.sql(
        "drop table if exists penalty; create table penalty as select i as id, 'x' || i as name, repeat('桐', 60) as text, "
        "'2026-10-01'::timestamp + i * interval '1 second' as updated_at from generate_series(1, 1000000) i"
    )
    office.sources(penalties=[database_source(postgres)])
    script = (
        "import sys, time; from datetime import date; from pathlib import Path\n"
        "from credit_pipeline.settings import Settings\n"
        "from credit_pipeline.feeds.catalogue import get_feed\n"
        "from credit_pipeline.feeds.sources import collect\n"
        "root = Path(sys.argv[1])\n"
        "settings = Settings(landing_dir=root / 'landing', lake_dir=root / 'lake', sources_file=root / 'sources.yaml')\n"
        "def peak():\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return int(next(line.split()[1] for line in lines if line.startswith('VmHWM'))) // 1024\n"
        "before, start = peak(), time.monotonic()\n"
        "found = collect(get_feed('penalties'), settings, date(2026, 10, 31))\n"
        "print(found.rows, peak() - before, round(time.monotonic() - start, 1), found.sources[0].problem)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(office.root)],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    rows, megabytes, _, problem = done.stdout.split(maxsplit=3)
    assert (rows, problem.strip()) == ("1000000", "None"), done.stdout + done.stderr
    assert int(megabytes) < 1000
    (path,) = (office.settings.landing_dir / "penalties").rglob("*.parquet")
    assert pq.ParquetFile(path).metadata.num_rows == 1_000_000
    postgres.sql("drop table penalty")


def test_a_port_where_nobody_listens_is_found_out_quickly(office: Office) -> None:
    """Prevents a run from waiting for minutes on each source that is down."""
    server = DatabaseServer("mysql", "127.0.0.1", free_port(), office.root, [], office.root)
    office.sources(penalties=[database_source(server)])
    report = office.one("penalties", DAYS[0])
    assert report.reason == "connection" and "remedy: check" in str(report.problem)
