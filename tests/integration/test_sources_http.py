"""Feeds from a real HTTP server on loopback that pages, throttles, fails, hangs up, repeats and wants a token."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from sources_support import (
    CANARY,
    CANARY_FORMS,
    Fault,
    Office,
    api_server,
    body,
    cut_in_the_body,
    http_source,
    hung_up,
    killing,
    occurrences,
    page_before,
    penalty,
    slow,
    status,
    throttled_until,
    truncated,
)

DAYS = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
FETCH = """
import sys
from datetime import date
from pathlib import Path
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.feeds.sources import collect
from credit_pipeline.settings import Settings
root, day = Path(sys.argv[1]), date.fromisoformat(sys.argv[2])
settings = Settings(landing_dir=root / "landing", lake_dir=root / "lake", sources_file=root / "sources.yaml")
print("problem:", collect(get_feed("penalties"), settings, day, print).sources[0].problem)
ingest_feed("penalties", settings, day)
"""


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDIT_SECRET_API", CANARY)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def rows(first: int, last: int, day: int) -> list[dict[str, Any]]:
    """Penalties that changed on a day of October, some at the same moment."""
    return [
        penalty(number, f"2026-10-{day:02d}T{8 + number // 4:02d}:00:00+08:00")
        for number in range(first, last)
    ]


@contextmanager
def fetching(office: Office, day: date) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that fetches and ingests a day."""
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, str(office.root), day.isoformat()],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ),
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_three_days_with_a_kill_between_pages(office: Office) -> None:
    """Prevents lost or doubled rows over restarts, and a second day that fetches the first again."""
    with api_server(rows=rows(0, 20, 28)) as api:
        office.sources(penalties=[http_source(api)])
        running: list[subprocess.Popen[str]] = []
        # Day 1: killed while it waits for page 4, throttled, cut and failing on its way.
        api.faults = {
            2: status(429, Retry_After="0"), 3: cut_in_the_body, 6: killing(lambda: running[0].pid), 7: status(503),
        }  # fmt: skip
        with fetching(office, DAYS[0]) as process:
            running.append(process)
            assert process.wait(60) == -9
        asked = len(api.asked)
        assert [item.query["page"] for item in api.asked] == ["1", "2", "2", "2", "3", "4"]
        assert office.raw("penalties") == [] and office.delivered("penalties") == []
        with fetching(office, DAYS[0]) as process:
            assert "problem: None" in str(process.communicate(timeout=60)[0])
        assert [item.query["page"] for item in api.asked[asked:]] == ["4", "4", "5", "6", "7", "8"]
        assert all("since" not in item.query for item in api.asked)
        # Days 2 and 3: only what changed, the boundary included, is asked for and written.
        for number, day in enumerate(DAYS[1:], start=1):
            asked, last = len(api.asked), max(row["updated_at"] for row in api.rows)
            api.rows += rows(20 * number, 20 * number + 5, 28 + number)
            with fetching(office, day) as process:
                assert "problem: None" in str(process.communicate(timeout=60)[0])
            assert {item.query["since"] for item in api.asked[asked:]} == {last}
            assert len(api.asked) - asked <= 4
            written = office.settings.landing_dir / "penalties" / day.isoformat()
            assert [len(path.read_text().splitlines()) for path in written.iterdir()] == [5]
        found = sorted(row["document_no"] for row in office.raw("penalties"))
        assert found == sorted(row["CF_WSH"] for row in api.rows), "each row of the server once"
        assert sorted(row["id"] for row in office.delivered("penalties")) == sorted(
            row["id"] for row in api.rows
        )
        assert office.hidden("penalties") == []
        assert all(item.headers["Authorization"] == f"Bearer {CANARY}" for item in api.asked)
        assert occurrences(CANARY_FORMS, office.settings.landing_dir, office.settings.lake_dir) == []


@pytest.mark.parametrize(
    ("paging", "source"),
    [
        ("page", {"paging": {"kind": "page"}}),
        ("page", {"paging": {"kind": "page"}, "total": "data.total", "expect": {"code": 0}}),
        ("offset", {"paging": {"kind": "offset"}, "total": "data.total"}),
        ("offset", {"paging": {"kind": "offset", "size": 50}}),
        ("cursor", {"paging": {"kind": "cursor", "next": "next"}}),
        ("link", {"paging": {"kind": "link"}}),
    ],
)
@pytest.mark.parametrize(
    "auth",
    [
        {"kind": "bearer", "token": "${secret:API}"},
        {"kind": "header", "header": "X-Token", "token": "${secret:API}"},
        {"kind": "query", "parameter": "access_token", "token": "${secret:API}"},
    ],
    ids=["bearer", "header", "query"],
)
def test_every_way_of_paging_with_every_kind_of_token(
    office: Office, paging: str, source: dict[str, Any], auth: dict[str, str]
) -> None:
    """Prevents a way of paging that ends early, and a token in what is kept (also of a server that repeats it)."""
    with api_server(rows=rows(0, 10, 20), paging=paging) as api:
        office.sources(penalties=[http_source(api, auth=auth, max_pages=2, **source)])
        assert "max_pages" in str(office.one("penalties", DAYS[0]).problem)
        folders = office.settings.landing_dir, office.settings.lake_dir
        assert occurrences(CANARY_FORMS, *folders) == [], "in the middle of a fetch"
        office.sources(penalties=[http_source(api, auth=auth, **source)])
        report = office.one("penalties", DAYS[0])
        assert report.problem is None
        assert sorted(row["id"] for row in office.delivered("penalties")) == list(range(10))
        assert api.statuses[401] == 0 and occurrences(CANARY_FORMS, *folders) == []


@pytest.mark.parametrize(
    "faults",
    [
        [status(429, Retry_After="0")],
        [throttled_until(-5)],
        [status(500), status(502), status(503, Retry_After="nonsense")],
        [cut_in_the_body, hung_up, truncated],
        [slow(0.6)],
        [body('{"code": 7}'), body(b"\xff{}")],
        [page_before],
    ],
    ids=["429", "429-date", "5xx", "cut", "slow", "code-in-body", "page-again"],
)
def test_a_server_in_trouble_is_asked_again(office: Office, faults: list[Fault]) -> None:
    """Prevents a passing fault from costing a day's rows."""
    with api_server(rows=rows(0, 10, 20)) as api:
        api.faults = dict(enumerate(faults, start=2))
        office.sources(penalties=[http_source(api, timeout_seconds=0.4, expect={"code": 0})])
        report = office.one("penalties", DAYS[0])
        assert report.problem is None
        assert [
            row["id"] for row in sorted(office.delivered("penalties"), key=lambda row: row["id"])
        ] == list(range(10))
        assert len(api.asked) == 5 + len(faults), "each fault cost one request"


@pytest.mark.parametrize(
    ("fault", "changes", "words", "requests"),
    [
        (status(401), {}, ["answers 401", "token"], 1),
        (status(403), {}, ["answers 403"], 1),
        (status(404), {}, ["answers 404", "check url"], 1),
        (status(302, Location="http://example.org"), {}, ["another address"], 1),
        (status(503), {}, ["answers 503 again and again"], 3),
        (status(429, Retry_After="7200"), {}, ["asks to wait 7200 s"], 1),
        (body("<html>login</html>", "text/html"), {}, ["an HTML page", "status 200"], 1),
        (body(""), {}, ["an empty answer"], 1),
        (body('{"rows": []}'), {}, ["no array of records at data.items", "the answer has rows"], 1),
        (body('{"data": {"items": null}}'), {}, ["no array of records"], 1),
        (body('{"data": {"items": [1]}}'), {}, ["record 1 is no object"], 1),
        (body('{"code": 9, "data": {"items": []}}'), {"expect": {"code": 0}}, ["code is 9 instead of 0"], 3),
        (body('{"data": {"items": [{"a": 1}]}}'), {"paging": {"kind": "none"}}, ["no record has a value at updated_at"], 1),
        (body('{"data": {"items": [{"updated_at": "soon"}]}}'), {}, ["holds text values"], 1),
        (truncated, {}, ["the JSON breaks off"], 3),
        (cut_in_the_body, {}, ["cut in the middle"], 3),
        (hung_up, {}, ["cut the connection"], 3),
        (slow(1), {"timeout_seconds": 0.2}, ["did not answer within 0.2 s"], 3),
        (None, {"max_bytes": 100}, ["max_bytes"], 1),
        (None, {"total": "data.count"}, ["no number at data.count"], 1),
        (None, {"records": "data.rows"}, ["no array of records at data.rows"], 1),
    ],
)  # fmt: skip
def test_a_server_that_stays_in_trouble_is_named_with_the_remedy(
    office: Office, fault: Fault | None, changes: dict[str, Any], words: list[str], requests: int
) -> None:
    """Prevents an office from having to guess; and a wrong token from being tried until the account is locked."""
    with api_server(rows=rows(0, 10, 20)) as api:
        api.faults = dict.fromkeys(range(1, 10), fault) if fault is not None else {}
        office.sources(penalties=[http_source(api, max_attempts=3, **changes)])
        report = office.one("penalties", DAYS[0])
        assert report.problem is not None and all(word in report.problem for word in words), report.problem
        assert "page 1" in report.problem or "no record" in report.problem
        assert "remedy: " in report.problem and len(api.asked) == requests
        assert office.delivered("penalties") == []
        assert not (office.settings.source_states_dir / "penalties" / "gateway.json").exists(), (
            "the cursor stays"
        )
        # The next run finds the server well.
        api.faults = {}
        office.sources(penalties=[http_source(api)])
        assert office.one("penalties", DAYS[0]).problem is None
        assert len(office.delivered("penalties")) == 10


def test_a_server_that_sends_one_page_for_ever_is_stopped(office: Office) -> None:
    """Prevents an endless fetch from a server that does not know the parameter."""
    with api_server(rows=rows(0, 3, 20)) as api:
        paging = {"kind": "page", "parameter": "seite"}
        office.sources(penalties=[http_source(api, paging=paging)])
        report = office.one("penalties", DAYS[0])
        assert "the same records again and again" in str(report.problem) and len(api.asked) < 20
        assert office.hidden("penalties") == [], "the next run begins anew"


def test_a_server_that_leads_in_a_circle_is_stopped(office: Office) -> None:
    """Prevents an endless fetch from a server whose next page is an old one."""

    def circle(handler: Any) -> bool:
        items = rows(len(handler.api.asked), len(handler.api.asked) + 1, 20)
        token = "ab"[len(handler.api.asked) % 2]
        handler.answer(200, json.dumps({"next": token, "data": {"items": items}}))
        return True

    with api_server() as api:
        api.faults = dict.fromkeys(range(1, 50), circle)
        office.sources(penalties=[http_source(api, paging={"kind": "cursor", "next": "next"})])
        assert "fetched before" in str(office.one("penalties", DAYS[0]).problem) and len(api.asked) == 3


def test_pages_that_shift_while_they_are_read(office: Office) -> None:
    """Prevents a stop when rows added at the front push a whole page back; what comes twice is a duplicate."""
    with api_server(rows=rows(0, 9, 20)) as api:

        def push(handler: Any) -> bool:
            handler.api.rows += rows(20, 23, 1)
            return False

        api.faults = {3: push}
        office.sources(penalties=[http_source(api)])
        report = office.one("penalties", DAYS[0])
        assert report.problem is None and report.fetched is not None and report.fetched.repeated_pages == 1
        assert "pages came twice" in " ".join(report.notes)
        office.ingest("penalties", DAYS[0])
        numbers = {row["document_no"] for row in office.raw("penalties")}
        assert numbers == {row["CF_WSH"] for row in rows(0, 9, 20)}
        assert len(office.raw("penalties")) == 9


def test_a_server_that_sends_less_than_it_counts(office: Office) -> None:
    """Prevents a fetch that ends early from moving the cursor."""
    with api_server(rows=rows(0, 10, 20)) as api:
        api.faults = {3: body('{"data": {"total": 10, "items": []}}')}
        office.sources(penalties=[http_source(api, total="data.total")])
        assert "counts 10 records and sent 6" in str(office.one("penalties", DAYS[0]).problem)
        assert office.one("penalties", DAYS[0]).problem is None
        assert len(office.delivered("penalties")) == 10


def test_numbers_are_kept_to_the_letter(office: Office) -> None:
    """Prevents 1.10 from becoming 1.1, and a long number from losing digits."""
    text = '{"CF_NR_FK": 0.20, "no": 12345678901234567890.10, "updated_at": "2026-10-20T08:00:00Z",\n "名": "桐柏\\u2028"}'
    with api_server() as api:
        api.faults = {1: body(f"[{text}]", "application/json; charset=utf-8"), 2: body("[]")}
        office.sources(penalties=[http_source(api, records="")])
        assert office.one("penalties", DAYS[0]).problem is None
        (path,) = (office.settings.landing_dir / "penalties").rglob("*.jsonl")
        assert path.read_text("utf-8") == text.replace("\n", " ") + "\n"
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_chinese_server_that_says_gbk(office: Office) -> None:
    """Prevents names in the wrong characters."""
    with api_server() as api:
        text = json.dumps([penalty(1)], ensure_ascii=False)

        def answer(handler: Any) -> bool:
            handler.answer(200, text.encode("gb18030"), kind="application/json;charset=GBK")
            return True

        api.faults = {1: answer}
        office.sources(penalties=[http_source(api, records="", paging={"kind": "none"})])
        assert office.one("penalties", DAYS[0]).problem is None
        assert office.delivered("penalties")[0]["CF_XDR_MC"] == penalty(1)["CF_XDR_MC"]


def test_late_rows_within_the_lookback_come_and_nothing_twice(office: Office) -> None:
    """Prevents losing a row that the server shows later than its own time stamp; and rows that flap between sources."""
    with api_server(rows=rows(0, 5, 28)) as api:
        increment = {"field": "updated_at", "parameter": "since", "lookback": "3 days"}
        office.sources(penalties=[http_source(api, increment=increment)])
        office.collect("penalties", DAYS[0])
        api.rows += [penalty(7, "2026-10-27T08:00:00+08:00"), penalty(8, "2099-12-31T08:00:00+08:00")]
        report = office.one("penalties", DAYS[1])
        assert report.fetched is not None and (report.fetched.rows, report.fetched.seen_before) == (2, 5)
        assert report.fetched.in_future == 1 and "in the future" in report.notes[0]
        api.rows += [penalty(9, "2026-10-29T08:00:00+08:00")]
        report = office.one("penalties", DAYS[2])
        assert report.fetched is not None and (report.fetched.rows, report.fetched.in_future) == (1, 1)
        assert sorted(row["id"] for row in office.delivered("penalties")) == [0, 1, 2, 3, 4, 7, 8, 9]


def test_a_server_without_increments_is_read_whole_but_delivered_once(office: Office) -> None:
    """Prevents the same answer from filling landing day by day."""
    with api_server(rows=rows(0, 5, 28)) as api:
        office.sources(penalties=[http_source(api, increment=None)])
        counts = []
        for day in DAYS:
            report = office.one("penalties", day)
            assert report.fetched is not None
            counts.append(report.fetched.rows)
            if day == DAYS[1]:
                api.rows += rows(5, 6, 29)
        assert counts == [5, 0, 6]


def test_the_rate_limit_is_kept(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents being throttled, or shut out, for asking too often."""
    import credit_pipeline.feeds.sources.http_client as module

    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    with api_server(rows=rows(0, 9, 28)) as api:
        office.sources(penalties=[http_source(api, rate_limit_per_second=0.5)])
        assert office.one("penalties", DAYS[0]).problem is None
    assert len(slept) == 3 and sum(slept) > 10, "waits add up: no real sleep happened in between"


def test_one_source_that_fails_stops_neither_the_others_nor_a_replay(office: Office) -> None:
    """Prevents a day without data because one office's server is down."""
    with api_server(rows=rows(0, 3, 28)) as api:
        down = http_source(api, name="down", url="http://127.0.0.1:9/v1", max_attempts=2)
        untold = http_source(api, name="untold", auth={"kind": "bearer", "token": "${secret:NOWHERE}"})
        office.sources(penalties=[down, untold, http_source(api)])
        collected = office.collect("penalties", DAYS[1])
        assert [report.reason for report in collected.sources] == ["connection", "secret", None]
        assert "CREDIT_SECRET_NOWHERE" in str(collected.sources[1].problem)
        assert collected.sources[0].is_overdue(DAYS[1], 7) and not collected.sources[2].is_overdue(DAYS[1], 7)
        assert office.ingest("penalties", DAYS[1]).accepted == 3
        asked = len(api.asked)
        assert office.collect("penalties", DAYS[0]).is_replay and len(api.asked) == asked
        text = office.settings.audit_log_path.read_text("utf-8")
        assert text.count('"event":"source_failed"') == 2 and text.count('"event":"source_fetched"') == 1


def test_a_broken_sources_file_is_told_by_every_feed(office: Office) -> None:
    """Prevents a typing error from stopping the day, or from passing unseen."""
    office.settings.sources_file.write_text("penalties: [")
    for feed in ("penalties", "honours"):
        report = office.one(feed, DAYS[0])
        assert report.reason == "configuration" and report.is_overdue(DAYS[0], 7)


def test_columns_that_no_longer_come_are_told(office: Office) -> None:
    """Prevents a server's new version from emptying a column unseen."""
    with api_server(rows=rows(0, 3, 28)) as api:
        office.sources(penalties=[http_source(api)])
        office.collect("penalties", DAYS[0])
        changed = penalty(4, "2026-10-29T08:00:00+08:00", 罚款=3)
        del changed["CF_NR_FK"]
        api.rows = [changed]
        report = office.one("penalties", DAYS[1])
        assert report.has_lost_columns
        assert report.notes == ["new columns: 罚款", "columns that no longer come: CF_NR_FK"]
