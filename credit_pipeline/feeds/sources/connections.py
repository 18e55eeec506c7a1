"""Connections to PostgreSQL, MySQL/MariaDB and SQLite through DuckDB's scanners, and what their errors mean.

The extensions come from wheels, the password goes in as a temporary DuckDB secret, the source is attached read-only.
What is read stands in `database`, the SQL in `statements`.
"""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from credit_pipeline.feeds.sources.config import DatabaseSource
from credit_pipeline.feeds.sources.cursors import CursorKind
from credit_pipeline.feeds.sources.problems import Reason, SourceProblem
from credit_pipeline.feeds.sources.redaction import Secrets
from credit_pipeline.feeds.sources.statements import (
    SourceColumn,
    cursor_kind,
    literal,
    relation,
    remote_query,
)
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, load_extension

_T = TypeVar("_T")
CONNECT_TIMEOUT_S = 10
_PORTS = {"postgres": 5432, "mysql": 3306}
_MYSQL_TLS = {
    "disable": "disabled", "require": "required", "verify-ca": "verify_ca", "verify-full": "verify_identity",
}  # fmt: skip

# Whether another attempt can help, the reason, and the remedy, by what the drivers say; the first that fits.
_PROBLEMS: list[tuple[str, bool, Reason, str]] = [
    (r"password authentication failed|Access denied|no pg_hba\.conf entry|authentication", False, "refused",
     "check user, password and what the server allows this user from here"),
    (r"permission denied|command denied", False, "refused", "have the server's owner grant SELECT to this user"),
    (r"(database|Unknown database) .*(does not exist|Unknown)|Unknown database", False, "not_found",
     "check the name of the database"),
    (r"(relation|schema) .* does not exist|Table .* doesn't exist|no such table", False, "not_found",
     "check table or query; names are as the database writes them, upper and lower case too"),
    (r"column .* does not exist|Unknown column|no such column", False, "not_found",
     "check the names of columns in query and cursor"),
    (r"SSL SYSCALL|SSL connection has been closed", True, "connection", "check the network to the server"),
    (r"SSL|TLS|certificate", False, "connection",
     "have TLS set up on the server; or, on a network that is safe without it, ssl_mode: disable"),
    (r"unable to open database file|not a database|Cannot open database", False, "not_found",
     "check the path of the SQLite file and who may read it"),
    (r"translate host name|Unknown server host|Name or service", True, "connection", "check host"),
    (r"nable to connect|ailed to connect|Can't connect|onnection refused|server closed|lost connection|Lost connection"
     r"|terminating connection|gone away|timed out|could not receive|starting up|too many (clients|connections)"
     r"|database is locked|reset by peer", True, "connection", "check that the server runs and can be reached from here"),
    (r"statement timeout|INTERRUPT|Interrupted", False, "limit",
     "raise timeout_seconds, or have the server's owner index the cursor column"),
]  # fmt: skip


@contextmanager
def attached(
    source: DatabaseSource, settings: Settings, secrets: Secrets
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB session with the source attached as `src`, read-only; to be called by way of `with_retries`."""
    with connect(settings) as connection:
        # Standard output belongs to the command's result.
        connection.execute("set enable_progress_bar = false")
        load_extension(connection, f"{source.engine}_scanner")
        if source.engine == "mysql":
            connection.execute("set mysql_tinyint1_as_boolean = false")  # a status of 2 would become true
            connection.execute("set mysql_session_time_zone = '+08:00'")
            connection.execute("set mysql_query_timeout_enabled = false")
        if source.engine == "postgres":
            connection.execute(f"set pg_statement_timeout_millis = {source.timeout_seconds * 1000}")
        _attach(source, connection, secrets)
        yield connection


def with_retries(source: DatabaseSource, secrets: Secrets, read: Callable[[], _T]) -> _T:
    """Call until it succeeds; again only when the connection failed, after a wait that doubles, with jitter.

    Raises:
        SourceProblem: what the last attempt failed with.
    """
    attempt = 1
    while True:
        try:
            with _told(source, secrets):
                return read()
        except _Retriable as error:
            if attempt >= source.max_attempts:
                raise error.problem from None
        wait = min(source.backoff_seconds * 2 ** (attempt - 1), 60)
        time.sleep(wait * random.uniform(0.5, 1))  # noqa: S311 (jitter, not a secret)
        attempt += 1


def _attach(source: DatabaseSource, connection: duckdb.DuckDBPyConnection, secrets: Secrets) -> None:
    if source.engine == "sqlite":
        if not Path(source.database).is_file():
            raise SourceProblem(
                "not_found", f"there is no file {source.database}", "check the path of the SQLite file"
            )
        connection.execute(f"attach {literal(source.database)} as src (type sqlite, read_only)")
        return
    host, user = source.host or "", source.user or ""
    port = source.port or _PORTS[source.engine]
    is_socket = host.startswith("/")
    if not is_socket:
        # The drivers wait for minutes on a host that does not answer; MySQL's has no setting for it.
        socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
    fields = {"database": source.database, "user": user}
    if source.password is not None:
        fields["password"] = secrets.reveal(source.password)
    fields["socket" if is_socket and source.engine == "mysql" else "host"] = host
    options = []
    if source.engine == "postgres":
        options = [f"connect_timeout={CONNECT_TIMEOUT_S}", "application_name=credit-pipeline"]
        options.append(f"sslmode={'prefer' if is_socket else source.ssl_mode}")
        if source.ssl_root_certificate is not None:
            options.append(f"sslrootcert='{source.ssl_root_certificate}'")
    elif not is_socket:
        options.append(f"ssl_mode={_MYSQL_TLS[source.ssl_mode]}")
        if source.ssl_root_certificate is not None:
            options.append(f"ssl_ca={source.ssl_root_certificate}")
    parameters = ", ".join(f"{name} {literal(value)}" for name, value in fields.items())
    connection.execute(
        f"create or replace temporary secret src_secret (type {source.engine}, port {port}, {parameters})"
    )
    connection.execute(
        f"attach {literal(' '.join(options))} as src (type {source.engine}, secret src_secret, read_only)"
    )


def describe(source: DatabaseSource, connection: duckdb.DuckDBPyConnection) -> list[SourceColumn]:
    """The columns of the table or query; asks the server to prepare it, not to run it.

    Raises:
        SourceProblem: the cursor is not one of them.
    """
    sql = f"select s.* from {relation(source)}"
    rows = connection.execute(f"describe select * from {remote_query(source, sql)}").fetchall()
    columns = [SourceColumn(str(row[0]), str(row[1])) for row in rows]
    names = [column.name for column in columns]
    if source.cursor is not None and source.cursor not in names:
        raise SourceProblem(
            "not_found",
            f"the cursor column {source.cursor} is not among the columns {', '.join(names)}",
            "name one of them under cursor, as the database writes it",
        )
    return columns


def cursor_kind_of(
    source: DatabaseSource, settings: Settings, secrets: Secrets, otherwise: CursorKind
) -> CursorKind:
    """The kind of the source's cursor column, asked of the server; SQLite's columns have none.

    Raises:
        SourceProblem: the server cannot be asked.
    """

    def read() -> CursorKind:
        with attached(source, settings, secrets) as connection:
            columns = describe(source, connection)
        return cursor_kind(source, next(column for column in columns if column.name == source.cursor))

    return otherwise if source.engine == "sqlite" else with_retries(source, secrets, read)


class _Retriable(Exception):
    def __init__(self, problem: SourceProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _classified(said: str, is_network: bool) -> tuple[bool, Reason, str]:
    """(whether another attempt can help, reason, remedy) of what a driver said."""
    for pattern, again, reason, remedy in _PROBLEMS:
        if re.search(pattern, said):
            return again, reason, remedy
    if is_network:
        return True, "connection", "check host and port, and that the server runs"
    return False, "bad_answer", "see what the server says; docs/sources.md"


@contextmanager
def _told(source: DatabaseSource, secrets: Secrets) -> Iterator[None]:
    """Turn what the drivers raise into a `SourceProblem`, redacted; what another attempt may mend into `_Retriable`."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        said = " ".join(str(error).split("\nLINE 1:")[0].split())
        # The statement they repeat is ours and long; what went wrong stands behind it.
        said = secrets.redact(re.sub(r'Failed to prepare (MySQL query|query|COPY) ".*": ', "", said))[:400]
        again, reason, remedy = _classified(said, isinstance(error, OSError))
        problem = SourceProblem(reason, f"{source.engine}: {said}", remedy)
        raise (_Retriable(problem) if again else problem) from None
