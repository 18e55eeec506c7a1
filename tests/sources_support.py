"""Real servers for the tests of sources: PostgreSQL, MariaDB and a hostile HTTP server, each on loopback."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pyarrow.parquet as pq
import yaml

from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.ingest import FeedReport, ingest_feed
from credit_pipeline.feeds.sources import Collected, SourceReport, collect
from credit_pipeline.settings import Settings

CANARY = "Kanarie'n/ vogel%7&=q\"x"
"""A secret with everything that URLs, SQL and DSNs write in another way."""
CANARY_FORMS = [b"Kanarie", b"vogel%7", b"vogel%257"]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _as(user: str, command: list[str]) -> list[str]:
    """Servers refuse to run as root."""
    return ["runuser", "-u", user, "--", *command] if os.geteuid() == 0 else command


@contextmanager
def _server_folder(user: str) -> Iterator[Path]:
    """A short path (sockets have a limit of 107 bytes) that belongs to the server's user."""
    folder = Path(tempfile.mkdtemp(prefix=f"{user}-"))
    if os.geteuid() == 0:
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: path.as_posix())
    return found[-1].parent if found else None


def mariadb_binaries() -> Path | None:
    found = shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
    return Path(found) if found and shutil.which("mariadb-install-db") else None


@dataclass
class DatabaseServer:
    """A running server with one database `city`, and a user `reader` who may read it."""

    engine: str
    host: str
    port: int
    socket_folder: Path
    client: list[str]
    log: Path
    pid: int = 0

    def sql(self, text: str) -> str:
        done = subprocess.run(self.client, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def asked(self) -> list[str]:
        """Statements that name the feed's table or view, in order."""
        return [line for line in self.log.read_text("utf-8", "replace").splitlines() if "penalty" in line]


@contextmanager
def postgres_server() -> Iterator[DatabaseServer]:
    binaries = postgres_binaries()
    assert binaries is not None
    with _server_folder("postgres") as folder:
        data, port = folder / "data", free_port()
        subprocess.run(
            _as("postgres", [str(binaries / "initdb"), "-D", str(data), "-U", "owner", "--auth-host=scram-sha-256",
                             "--auth-local=trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"]),
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        options = (
            f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off -c log_statement=all "
            f"-c timezone=UTC -c log_error_verbosity=terse"
        )
        control = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
        subprocess.run(
            _as("postgres", [*control, "-o", options, "-l", str(folder / "log"), "start"]),
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        try:
            client = [str(binaries / "psql"), "-h", str(folder), "-p", str(port), "-U", "owner", "-qtA",
                      "-v", "ON_ERROR_STOP=1", "-d"]  # fmt: skip
            server = DatabaseServer(
                "postgres", "127.0.0.1", port, folder, [*client, "postgres"], folder / "log"
            )
            server.sql("create database city")
            server.client = [*client, "city"]
            password = CANARY.replace("'", "''")
            server.sql(f"create user reader password '{password}'; grant pg_read_all_data to reader")
            yield server
        finally:
            subprocess.run(
                _as("postgres", [*control, "-m", "immediate", "stop"]),
                check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip


@contextmanager
def mariadb_server() -> Iterator[DatabaseServer]:
    binary = mariadb_binaries()
    assert binary is not None
    with _server_folder("mysql") as folder:
        data, port, socket_path, log = folder / "data", free_port(), folder / "socket", folder / "log"
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", *(["--user=mysql"] if os.geteuid() == 0 else []),
             f"--datadir={data}", "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True, capture_output=True,
        )  # fmt: skip
        process = subprocess.Popen(
            [str(binary), "--no-defaults", *(["--user=mysql"] if os.geteuid() == 0 else []), f"--datadir={data}",
             f"--socket={socket_path}", f"--port={port}", "--bind-address=127.0.0.1", "--default-time-zone=+00:00",
             f"--pid-file={folder / 'pid'}", "--general-log", f"--general-log-file={log}", "--skip-networking=0"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            client = ["mariadb", "--no-defaults", "-S", str(socket_path), "-u", "root", "-N", "-B"]
            server = DatabaseServer("mysql", "127.0.0.1", port, folder, client, log, process.pid)
            _wait(
                lambda: (
                    subprocess.run([*client, "-e", "select 1"], capture_output=True, check=False).returncode
                    == 0
                )
            )
            password = CANARY.replace("'", "''")
            server.sql(
                f"create database city character set utf8mb4; create user reader@'%' identified by '{password}'; "
                "grant select on city.* to reader@'%';"
            )
            server.client = [*client, "city"]
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "the server did not start"
        time.sleep(0.1)


@dataclass
class Asked:
    """One request that the server was sent."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


Fault = Callable[["Handler"], bool]
"""Answers a request in place of the server; false when it leaves it to the server."""


@dataclass
class Api:
    """What the server holds, how it pages, and the faults it still has in store, by request number from 1."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    token: str | None = CANARY
    paging: str = "page"
    size: int = 3
    cursor: str = "updated_at"
    faults: dict[int, Fault] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    encode: Callable[[Any], str] = lambda value: json.dumps(value, ensure_ascii=False)
    statuses: Counter[int] = field(default_factory=Counter)

    def matching(self, query: dict[str, str]) -> list[dict[str, Any]]:
        since = query.get("since", "")
        rows = sorted(self.rows, key=lambda row: str(row.get(self.cursor) or ""))
        return [row for row in rows if str(row.get(self.cursor) or "") >= since]


class Handler(BaseHTTPRequestHandler):
    """Speaks for an `Api`."""

    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.query = query
        self.api.asked.append(Asked(parts.path, query, dict(self.headers)))
        fault = self.api.faults.pop(len(self.api.asked), None)
        if fault is not None and fault(self):
            return
        token = self.api.token
        sent = [self.headers.get("Authorization"), self.headers.get("X-Token"), query.get("access_token")]
        if token is not None and f"Bearer {token}" not in sent and token not in sent:
            self.answer(401, '{"message": "no"}')
            return
        self.answer(200, *self.page(query))

    def page(self, query: dict[str, str]) -> tuple[str, dict[str, str]]:
        api, rows, size = self.api, self.api.matching(query), self.api.size
        headers: dict[str, str] = {}
        body: dict[str, Any] = {"code": 0}
        if api.paging == "page":
            start = (int(query.get("page", "1")) - 1) * size
        else:
            start = int(query.get("offset") or query.get("cursor") or query.get("start") or "0")
        chosen = rows[start : start + size]
        following = start + size if start + size < len(rows) else None
        if api.paging == "cursor":
            body["next"] = None if following is None else str(following)
        if api.paging == "link" and following is not None:
            # Servers repeat what they were sent, the token too.
            rest = "&".join(
                f"{name}={quote(value, safe='')}" for name, value in query.items() if name != "start"
            )
            headers["Link"] = f'<{urlsplit(self.path).path}?{rest}&start={following}>; rel="next"'
        body["data"] = {"total": len(rows), "items": chosen}
        return api.encode(body), headers

    def answer(
        self,
        status: int,
        body: str | bytes,
        headers: dict[str, str] | None = None,
        kind: str = "application/json",
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.api.statuses[status] += 1
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    """Says nothing about clients that hang up, as the tests have them do."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


@contextmanager
def api_server(**options: Any) -> Iterator[Api]:
    """An API on a free port of loopback."""
    api = Api(**options)
    server = _Server(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"api": api}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}/v1/items"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def status(code: int, **headers: str) -> Fault:
    """Answer with a status."""

    def fault(handler: Handler) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer(code, '{"message": "later"}', named)
        return True

    return fault


def throttled_until(seconds: float) -> Fault:
    """429 with a date."""

    def fault(handler: Handler) -> bool:
        handler.answer(429, "{}", {"Retry-After": formatdate(time.time() + seconds, usegmt=True)})
        return True

    return fault


def body(text: str | bytes, kind: str = "application/json", code: int = 200) -> Fault:
    """Answer with that text."""

    def fault(handler: Handler) -> bool:
        handler.answer(code, text, kind=kind)
        return True

    return fault


def cut_in_the_body(handler: Handler) -> bool:
    """Promise more than is sent, then hang up."""
    text, headers = handler.page(handler.query)
    data = text.encode()
    handler.send_response(200)
    for name, value in {
        "Content-Type": "application/json",
        "Content-Length": str(len(data)),
        **headers,
    }.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])
    handler.close_connection = True
    return True


def hung_up(handler: Handler) -> bool:
    """Hang up without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)
    return True


def truncated(handler: Handler) -> bool:
    """A whole answer that is half a JSON."""
    text, headers = handler.page(handler.query)
    handler.answer(200, text[: len(text) // 2], headers)
    return True


def slow(seconds: float) -> Fault:
    """Say nothing for a while."""

    def fault(handler: Handler) -> bool:
        time.sleep(seconds)
        return False

    return fault


def page_before(handler: Handler) -> bool:
    """The content of the page before the one that is asked for."""
    query = dict(handler.query)
    query["page"] = str(int(query["page"]) - 1)
    handler.answer(200, *handler.page(query))
    return True


def killing(pid: Callable[[], int]) -> Fault:
    """kill -9 the client while it waits for this answer."""

    def fault(handler: Handler) -> bool:
        os.kill(pid(), signal.SIGKILL)
        return True

    return fault


_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def make_uscc(number: int) -> str:
    """A valid code of Tongbai county."""
    body = f"MA{number:06d}"
    rest = 11 - sum(int(c, 36) * w for c, w in zip(body, [3, 7, 9, 10, 5, 8, 4, 2], strict=True)) % 11
    head = f"91411330{body}{'X' if rest == 10 else '0' if rest == 11 else rest}"
    total = sum(_ALPHABET.index(c) * pow(3, place, 31) for place, c in enumerate(head))
    return head + _ALPHABET[(31 - total % 31) % 31]


def penalty(number: int, updated_at: str = "2026-10-30T08:00:00+08:00", **changes: Any) -> dict[str, Any]:
    """A penalty as an API or a table sends it."""
    return {
        "id": number,
        "CF_XDR_MC": f"桐柏县第{number}商贸有限公司",
        "CF_XDR_SHXYM": make_uscc(number),
        "CF_WSH": f"桐市监罚〔2026〕{number}号",
        "CF_WFXW": "销售过期食品",
        "CF_CFLB": "罚款",
        "CF_NR": "罚款2000元",
        "CF_NR_FK": "0.20",
        "CF_JDRQ": "2026-03-01",
        "CF_YXQ": "2027-03-01",
        "CF_CFJG": "桐柏县市场监督管理局",
        "CF_CFJGDM": "11411330MB0R12345X",
        "updated_at": updated_at,
        **changes,
    }


def occurrences(forms: list[bytes], *folders: Path) -> list[str]:
    """Files below the folders that hold one of the byte strings."""
    return [
        str(path)
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and any(form in path.read_bytes() for form in forms)
    ]


class Office:
    """A landing folder, a lake and a sources.yaml of one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(
            landing_dir=root / "landing", lake_dir=root / "lake", sources_file=root / "sources.yaml"
        )

    def sources(self, **feeds: list[dict[str, Any]]) -> None:
        self.settings.sources_file.write_text(yaml.safe_dump(feeds, allow_unicode=True), encoding="utf-8")

    def collect(self, feed: str, day: date, told: list[str] | None = None) -> Collected:
        return collect(get_feed(feed), self.settings, day, (told if told is not None else []).append)

    def one(self, feed: str, day: date) -> SourceReport:
        """The report of a feed's only source."""
        (report,) = self.collect(feed, day).sources
        return report

    def ingest(self, feed: str, day: date) -> FeedReport:
        return ingest_feed(feed, self.settings, day)

    def delivered(self, feed: str) -> list[dict[str, Any]]:
        """Every row of every file that sources put into landing, in order."""
        rows: list[dict[str, Any]] = []
        for path in sorted((self.settings.landing_dir / feed).rglob("*")):
            if path.suffix == ".jsonl":
                rows += [json.loads(line, parse_float=str) for line in path.read_text("utf-8").splitlines()]
            elif path.suffix == ".parquet":
                rows += pq.read_table(path).to_pylist()
        return rows

    def raw(self, feed: str) -> list[dict[str, Any]]:
        """Every accepted row of the lake."""
        return [
            row
            for path in sorted((self.settings.raw_dir / feed).rglob("*.parquet"))
            for row in pq.ParquetFile(path).read().to_pylist()
        ]

    def hidden(self, feed: str) -> list[str]:
        """What a fetch left behind in landing and beside the states."""
        folder = self.settings.source_states_dir / feed
        left = [path.name for path in (self.settings.landing_dir / feed).glob(".*")]
        return (
            left
            + [path.name for path in folder.glob("*progress*")]
            + [path.name for path in folder.glob("tmp-*")]
        )


def http_source(api: Api, **changes: Any) -> dict[str, Any]:
    """A source of an `Api`, by page numbers, incremental, with a bearer token."""
    source = {
        "name": "gateway",
        "kind": "http",
        "url": api.url,
        "auth": {"kind": "bearer", "token": "${secret:API}"},
        "records": "data.items",
        "paging": {"kind": "page"},
        "increment": {"field": "updated_at", "parameter": "since"},
        "timeout_seconds": 5,
        "backoff_seconds": 0.001,
        **changes,
    }
    return {key: value for key, value in source.items() if value is not None}


def database_source(server: DatabaseServer, **changes: Any) -> dict[str, Any]:
    """A source of a table `penalty`, incremental by `updated_at`."""
    source = {
        "name": "bureau",
        "kind": "database",
        "engine": server.engine,
        "host": server.host,
        "port": server.port,
        "database": "city",
        "user": "reader",
        "password": "${secret:DB}",
        "ssl_mode": "disable",
        "table": "penalty",
        "cursor": "updated_at",
        "backoff_seconds": 0.001,
        "max_attempts": 2,
        **changes,
    }
    return {key: value for key, value in source.items() if value is not None}
