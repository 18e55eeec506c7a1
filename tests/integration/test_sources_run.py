"""The daily job with sources: facts merge, a source that fails stops nothing, and no secret is anywhere afterwards."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import yaml

from sources_support import CANARY, CANARY_FORMS, api_server, body, http_source, occurrences, penalty, status
from tests_support import Place, make_city, make_place


def sqlite_city(path: Path, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A source of an SQLite file with those rows."""
    names = list(rows[0])
    with contextlib.closing(sqlite3.connect(path)) as city:
        city.execute(f"create table penalty({', '.join(names)})")
        city.executemany(
            f"insert into penalty values ({', '.join('?' * len(names))})", [[*row.values()] for row in rows]
        )
        city.commit()
    return {"name": "bureau", "kind": "database", "engine": "sqlite", "database": str(path), "table": "penalty",
            "cursor": "id"}  # fmt: skip


def evaluations(place: Place, feed: str) -> dict[str, Any]:
    """The last evaluation of `sources_reached`, out of the run's own records."""
    import dagster as dg

    with dg.DagsterInstance.from_config(place.environment["DAGSTER_HOME"]) as instance:
        key = dg.AssetCheckKey(dg.AssetKey(["raw", feed]), "sources_reached")
        record = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert record.event is not None
        evaluation = record.event.dagster_event.event_specific_data  # type: ignore[union-attr]
        return {
            "passed": evaluation.passed,
            "severity": evaluation.severity.value,
            "text": str(evaluation.metadata["sources"].value),
        }


def test_a_run_with_sources_that_work_and_sources_that_fail(tmp_path: Path) -> None:
    """Prevents a fact counted twice because two offices send it, a day lost to one server, and a secret in any file."""
    sources_file = tmp_path / "sources.yaml"
    secrets_file = tmp_path / "private" / "secrets.yaml"
    secrets_file.parent.mkdir()
    secrets_file.write_text(yaml.safe_dump({"STORED": CANARY + "stored"}))
    secrets_file.chmod(0o600)
    place = make_place(
        tmp_path / "office",
        extra={
            "CREDIT_SOURCES_FILE": str(sources_file),
            "CREDIT_SECRETS_FILE": str(secrets_file),
            "CREDIT_SECRET_API": CANARY,
            "CREDIT_SECRET_WRONG": CANARY + "wrong",
        },
    )
    make_city(place, enterprises=120)
    day = place.as_of
    # One fact by three ways, and one more by each of them.
    shared = penalty(900_001)
    mine = {key: value for key, value in shared.items() if key not in ("id", "updated_at")}
    (place.landing / "penalties" / "office.json").write_text(
        json.dumps([mine, mine | {"CF_WSH": "桐市监罚〔2026〕900002号"}], ensure_ascii=False)
    )
    database = sqlite_city(tmp_path / "city.sqlite", [shared, penalty(900_003)])
    with api_server(rows=[shared, penalty(900_004)]) as api, api_server() as hostile:
        query = {"kind": "query", "parameter": "access_token", "token": "${secret:WRONG}"}
        hostile.faults = {1: status(401), 2: body("<html>login</html>", "text/html"), 3: status(404)}
        wrong = http_source(hostile, auth=query, max_attempts=1)
        sources_file.write_text(
            yaml.safe_dump(
                {
                    "penalties": [database, http_source(api), http_source(hostile, name="hostile", auth=query)],
                    "honours": [wrong],
                    "licences": [wrong | {"name": "gone", "url": f"http://127.0.0.1:9/{'x' * 20}"}],
                    "complaints": [
                        {"name": "db", "kind": "database", "engine": "postgres", "host": "127.0.0.1", "port": 9,
                         "database": "d", "user": "u", "password": "${secret:STORED}", "table": "t", "cursor": "c",
                         "max_attempts": 1},
                        http_source(api, name="untold", auth={"kind": "bearer", "token": "${secret:NOWHERE}"}),
                    ],
                    "operations": [wrong | {"name": "third"}],
                }
            )
        )  # fmt: skip
        done = place.command(
            "run", "--landing", str(place.landing), "--lake", str(place.lake), "--as-of", day, "--json"
        )
        folders = place.root, tmp_path / "city.sqlite"
        assert occurrences(CANARY_FORMS, *(folder for folder in folders if folder.is_dir())) == []
        assert not any(form.decode() in done.stdout + done.stderr for form in CANARY_FORMS)
        rows = place.query(
            "select document_no, count(*), count(*) filter (known_to is null) from staging.stg_penalties "
            "where document_no like '%90000_号' group by 1 order by 1"
        )
        assert [(row[0][-8:-1], row[2]) for row in rows] == [
            ("〕900001", 1), ("〕900002", 1), ("〕900003", 1), ("〕900004", 1),
        ]  # fmt: skip
        checks = {
            feed: evaluations(place, feed) for feed in ("penalties", "honours", "complaints", "registrations")
        }
        assert checks["registrations"]["passed"]
        assert "answers 401" in checks["penalties"]["text"] + checks["honours"]["text"]
        assert not checks["complaints"]["passed"] and checks["complaints"]["severity"] == "ERROR"
        assert "CREDIT_SECRET_NOWHERE" in checks["complaints"]["text"]
        log = (place.lake / "audit" / "log.jsonl").read_text("utf-8")
        assert log.count('"event":"source_fetched"') == 2 and log.count('"event":"source_failed"') == 6

        # Again the same day: nothing new comes, nothing is doubled.
        files = sorted(path.name for path in (place.landing / "penalties").rglob("*"))
        place.run(day)
        assert sorted(path.name for path in (place.landing / "penalties").rglob("*")) == files

        # What an administrator sees.
        listed = place.command("sources", "list", "--lake", str(place.lake)).stdout
        assert "gateway" in listed and "2026-10-30T08:00:00+08:00" in listed
        tried = place.command(
            "sources", "test", "penalties", "--json", "--lake", str(place.lake), check=False
        )
        lines = {line["source"]: line for line in json.loads(tried.stdout)}
        assert "document_no" in lines["bureau"]["known"] and lines["bureau"]["unknown"] == [
            "id",
            "updated_at",
        ]
        assert lines["gateway"]["seen"] == "2 records and a next page" and lines["gateway"]["problem"] is None
        assert lines["hostile"]["problem"] is not None and tried.returncode == 1
        reset = place.command(
            "sources",
            "reset",
            "penalties",
            "gateway",
            "--to",
            "2026-10-01T00:00:00+08:00",
            "--lake",
            str(place.lake),
        ).stdout
        assert "2026-10-30T08:00:00+08:00 → 2026-10-01" in reset
        assert '"event":"source_reset"' in (place.lake / "audit" / "log.jsonl").read_text("utf-8")
        unknown = place.command(
            "sources", "reset", "penalties", "nobody", "--lake", str(place.lake), check=False
        )
        assert unknown.returncode == 2 and "has no source nobody" in unknown.stderr
        shown = listed + tried.stdout + tried.stderr + reset
        assert not any(form.decode() in shown for form in CANARY_FORMS)
        assert occurrences(CANARY_FORMS, place.root) == []


def test_a_mistake_in_the_file_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents an administrator from finding out tomorrow."""
    place = make_place(tmp_path, extra={"CREDIT_SOURCES_FILE": str(tmp_path / "sources.yaml")})
    assert "feeds come as files only" in place.command("sources", "list").stdout
    (tmp_path / "sources.yaml").write_text("penalties:\n  - {name: a, kind: http, urll: x}\n")
    for command in ("list", "test"):
        done = place.command("sources", command, check=False)
        assert done.returncode == 2 and "source a, key urll: there is no such key" in done.stderr
    assert place.command("sources", "test", "nothing", check=False).returncode == 2
