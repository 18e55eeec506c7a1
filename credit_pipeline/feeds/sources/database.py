"""Reads a table or query of PostgreSQL, MySQL/MariaDB or SQLite into a Parquet file, from the last cursor on.

DuckDB's scanners do the reading; the connection is read-only and rows stream to disk in bounded memory. The SQL that
the server gets stands in `statements`, what survives a crash in `state`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb

from credit_pipeline.feeds.sources.config import DatabaseSource
from credit_pipeline.feeds.sources.connections import attached, describe, with_retries
from credit_pipeline.feeds.sources.cursors import CursorKind, kind_of, ordered, stepped_back
from credit_pipeline.feeds.sources.problems import SourceProblem
from credit_pipeline.feeds.sources.redaction import Secrets
from credit_pipeline.feeds.sources.state import Fetched, SourceState, Store, file_digest, sync_file
from credit_pipeline.feeds.sources.statements import (
    CURSOR,
    CURSOR_TYPE,
    SourceColumn,
    cursor_kind,
    literal,
    remote_query,
    select_statement,
)
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect

_DIGEST = "__digest__"


def fetch_database(
    source: DatabaseSource,
    settings: Settings,
    store: Store,
    secrets: Secrets,
    as_of_date: date,
    progress: Callable[[str], object],
) -> Fetched:
    """Fetch what was added or changed since the last cursor, and move the cursor.

    Raises:
        SourceProblem: the server, the table or the answer cannot be used; nothing has changed then.
    """
    state = store.state()
    store.discard()
    scratch, part = store.part("fetch"), store.part("increment")

    def read() -> tuple[list[SourceColumn], CursorKind, str | None]:
        with attached(source, settings, secrets) as remote:
            columns = describe(source, remote)
            kind = _kind(source, columns, state)
            start = _start(source, state.cursor, kind)
            progress("asks for everything" if start is None else f"asks for {source.cursor} >= {start}")
            with _interrupted_after(remote, source.timeout_seconds):
                _copy(remote, source, columns, select_statement(source, columns, start, kind), scratch)
        return columns, kind, start

    columns, kind, start = with_retries(source, secrets, read)
    with connect(settings) as connection:
        connection.execute("set enable_progress_bar = false")
        scanned = _scanned(connection, source, scratch, kind, state.cursor, as_of_date)
        following = replace(
            state,
            cursor=scanned.cursor,
            kind=scanned.kind,
            fetches=state.fetches + 1,
            columns=sorted(column.name for column in columns),
            seen=None,
        )
        return _deliver(connection, source, store, following, scratch, part, as_of_date, start, scanned)


def _kind(source: DatabaseSource, columns: list[SourceColumn], state: SourceState) -> CursorKind:
    """The kind of the cursor column; for SQLite that of the last cursor.

    Raises:
        SourceProblem: the column is of another kind than the cursor that was kept.
    """
    if source.cursor is None:
        return "text"
    if source.engine == "sqlite":
        return state.kind
    kind = cursor_kind(source, next(column for column in columns if column.name == source.cursor))
    if state.cursor is not None and state.kind != kind:
        raise SourceProblem(
            "configuration",
            f"the cursor column {source.cursor} is {kind}, the last cursor {state.cursor} is {state.kind}",
            "start anew with `credit-pipeline sources reset`; rows that come again fall out as duplicates",
        )
    return kind


def _start(source: DatabaseSource, cursor: str | None, kind: CursorKind) -> str | None:
    if source.cursor is None or cursor is None:
        return None
    try:
        return stepped_back(cursor, kind, source.lookback)
    except ValueError as error:
        raise SourceProblem("configuration", f"cursor_lookback: {error}", "mend it in sources.yaml") from None


def _copy(
    connection: duckdb.DuckDBPyConnection,
    source: DatabaseSource,
    columns: list[SourceColumn],
    sql: str,
    scratch: Path,
) -> None:
    """All rows with cursor and digest into the scratch file; the connection may be cut while it lasts."""
    names = [_name(column.name) for column in columns]
    texts = ", ".join(f"coalesce(cast({name} as varchar), chr(30))" for name in names)
    helpers = [] if source.cursor is None else [CURSOR, *([CURSOR_TYPE] if source.engine == "sqlite" else [])]
    connection.execute(
        f"copy (select {', '.join([*names, *helpers])}, md5(concat_ws(chr(31), {texts})) as {_DIGEST} "
        f"from {remote_query(source, sql)}) to {literal(str(scratch))} (format parquet, compression zstd)"
    )


@dataclass(frozen=True)
class _Scanned:
    """What the scratch file says about the cursor."""

    kind: CursorKind
    cursor: str | None
    in_future: int
    without_cursor: int


def _scanned(
    connection: duckdb.DuckDBPyConnection,
    source: DatabaseSource,
    scratch: Path,
    kind: CursorKind,
    before: str | None,
    as_of_date: date,
) -> _Scanned:
    """The last cursor that is not in the future, and what cannot move it.

    The server has sorted the rows, so its last cursor is the greatest by its own rules.
    """
    if source.cursor is None:
        return _Scanned(kind, None, 0, 0)
    rows = _rows(scratch)
    last_day = max(as_of_date, date.today())
    without = _count(connection, f"select count(*) from {rows} where {CURSOR} is null")
    if source.engine == "sqlite":
        kind = _sqlite_kind(connection, rows, kind)
    future = "false" if kind in ("integer", "decimal") else _future(last_day)
    in_future = _count(connection, f"select count(*) from {rows} where {future}")
    found = connection.execute(
        f"select {CURSOR} from {rows} where {CURSOR} is not null and not {future} "
        "order by file_row_number desc limit 1"
    ).fetchone()
    cursor = before if found is None else str(found[0])
    if cursor is not None and before is not None and kind not in ("text",):
        # The row of the last cursor may have been deleted there; the cursor does not follow it back.
        with suppress(ValueError):
            cursor = max(before, cursor, key=lambda text: ordered(text, kind))
    return _Scanned(kind, cursor, in_future, without)


def _rows(scratch: Path) -> str:
    return f"read_parquet({literal(str(scratch))}, file_row_number => true)"


def _future(last_day: date) -> str:
    """`cursors.is_future` in SQL; never null."""
    limit = (last_day + timedelta(days=1)).isoformat()
    return (
        f"coalesce(regexp_matches({CURSOR}, '^[0-9]{{4,}}-[0-9]{{2}}-[0-9]{{2}}') "
        f"and (left({CURSOR}, 10) > '{limit}' or regexp_matches({CURSOR}, '^[0-9]{{5,}}-')), false)"
    )


def _sqlite_kind(connection: duckdb.DuckDBPyConnection, rows: str, kind: CursorKind) -> CursorKind:
    """SQLite compares numbers and texts by class, so one class per column, or the order means nothing.

    Raises:
        SourceProblem: numbers and texts are mixed.
    """
    found = connection.execute(
        f"select distinct {CURSOR_TYPE} from {rows} where {CURSOR} is not null order by 1"
    ).fetchall()
    types = {str(row[0]) for row in found}
    if len(types) > 1 or types & {"blob"}:
        raise SourceProblem(
            "bad_answer",
            f"the cursor column holds {' and '.join(sorted(types))} values",
            "have the owner of the table write one kind, or order by another column",
        )
    if not types:
        return kind
    if types == {"integer"}:
        return "integer"
    if types == {"real"}:
        return "decimal"
    samples = connection.execute(
        f"select distinct regexp_replace({CURSOR}, '[0-9]', '0', 'g') as shape, min({CURSOR}) from {rows} "
        f"where {CURSOR} is not null group by shape limit 3"
    ).fetchall()
    kinds = {kind_of(str(row[1])) for row in samples}
    only = kinds.pop() if len(kinds) == 1 else "text"
    # Numbers written as text compare as text there, and moments only as long as all have one shape.
    return only if only in ("date", "timestamp") and len(samples) == 1 else "text"


def _deliver(
    connection: duckdb.DuckDBPyConnection,
    source: DatabaseSource,
    store: Store,
    state: SourceState,
    scratch: Path,
    part: Path,
    as_of_date: date,
    start: str | None,
    scanned: _Scanned,
) -> Fetched:
    """The rows that were not delivered before into the part, their digests beside the state, and the end."""
    rows = _rows(scratch)
    total = _count(connection, f"select count(*) from {rows}")
    before = store.seen_path(store.state())
    helpers = [_DIGEST, "file_row_number"]
    new = f"from {rows}"
    if source.cursor is not None:
        helpers += [CURSOR, *([CURSOR_TYPE] if source.engine == "sqlite" else [])]
        if before is not None:
            # A join does not promise to keep the order; the increment behind it is small.
            new += f" where {_DIGEST} not in (select digest from read_parquet({literal(str(before))}))"
            new += " order by file_row_number"
        seen = store.new_seen_path(state.fetches)
        connection.execute(
            f"copy (select distinct {_DIGEST} as digest from {rows} where {_window(source, state, rows)} order by 1) "
            f"to {literal(str(seen))} (format parquet, compression zstd)"
        )
        sync_file(seen)
        state = replace(state, seen=seen.name)
    connection.execute(
        f"copy (select * exclude ({', '.join(helpers)}) {new}) "
        f"to {literal(str(part))} (format parquet, compression zstd)"
    )
    sync_file(part)
    count = _count(connection, f"select count(*) from read_parquet({literal(str(part))})")
    delivered = None
    if count == 0 or (source.snapshot and state.sha256 == file_digest(part)):
        count = 0
        store.finish(None, "parquet", as_of_date, state)
    else:
        state = replace(state, sequence=state.sequence + 1)
        delivered = store.finish(part, "parquet", as_of_date, state)
    return Fetched(
        rows=count,
        seen_before=total - count,
        pages=1,
        without_cursor=scanned.without_cursor,
        in_future=scanned.in_future,
        asked_from=start,
        state=store.state(),
        delivered=delivered,
    )


def _window(source: DatabaseSource, state: SourceState, rows: str) -> str:
    """Which rows the next fetch will be sent again: from the first one at its start on, and those without a cursor."""
    start = _start(source, state.cursor, state.kind)
    if start is None:
        return "true"
    if state.kind in ("integer", "decimal"):
        return f"({CURSOR} is null or try_cast({CURSOR} as decimal(38, 9)) >= {start})"
    if state.kind == "text":
        # Only the server knows its collation; its order is the file's.
        first = f"(select min(file_row_number) from {rows} where {CURSOR} = {literal(start)})"
        return f"({CURSOR} is null or file_row_number >= {first})"
    return f"({CURSOR} is null or {CURSOR} >= {literal(start)})"


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def _interrupted_after(connection: duckdb.DuckDBPyConnection, seconds: int) -> Iterator[None]:
    timer = threading.Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
