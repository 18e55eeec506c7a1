"""One encrypted DuckDB file: written, closed, read back to the last row; and opened again read only.

Here: building and attaching. Not here: which rows a unit may have (the caller's SQL), keys (`credit_pipeline.keys`),
making a file current (`extracts.publish`), whether a file may be trusted (`extracts.manifest`).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import canonical_json, sha256_hex
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.warehouse import load_httpfs

_TABLE_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
_KEY = re.compile("[0-9a-f]{64}")
_READ_ONLY_CONFIG = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}


@dataclass(frozen=True)
class Comments:
    """What a table and its columns are called, in the reader's language; stored in the extract itself."""

    table: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BuiltExtract:
    """A finished, closed, encrypted file, read back completely."""

    path: Path
    tables: dict[str, int]
    content_digest: str
    size: int
    sha256: str


def build_encrypted(
    source: duckdb.DuckDBPyConnection | Path | str,
    tables: Mapping[str, str | pa.Table],
    target: Path,
    key: str,
    *,
    views: Mapping[str, str] | None = None,
    comments: Mapping[str, Comments] | None = None,
    digest_excludes: Collection[str] = (),
) -> BuiltExtract:
    """Writes `tables` (name -> SQL over `source`, or an Arrow table) into the new encrypted file `target`,
    mode 0600.

    `source` is an open connection with temp_file_encryption on (else grades would be spilled in plain text),
    or the path of a database, which is opened read only. `views` (name -> SQL over the tables) come after. `key` is 64 hexadecimal digits and goes in as a
    parameter, so that no query log or error can hold it. Give each SQL an ORDER BY: the order is stored. Tables in
    `digest_excludes` do not enter `content_digest`. The
    file is read back to the last row before this returns; on any error nothing is left. Raises
    `IntegrityError` if the rows read back are not the rows written.
    """
    if not isinstance(source, duckdb.DuckDBPyConnection):
        with closing(_secure_connection(target.parent)) as connection:
            connection.execute(f"attach {_literal(str(source))} as source_database (read_only)")
            connection.execute("use source_database")
            return build_encrypted(
                connection,
                tables,
                target,
                key,
                views=views,
                comments=comments,
                digest_excludes=digest_excludes,
            )
    if not _KEY.fullmatch(key):
        raise BadInput("an extract key is 64 lower-case hexadecimal digits")
    if not tables or not all(_TABLE_NAME.fullmatch(name) for name in tables):
        raise BadInput("an extract needs at least one table, named in lower-case letters, digits and '_'")
    if source.execute("select current_setting('temp_file_encryption')").fetchone() != (True,):
        raise IntegrityError(
            "temp_file_encryption is off: grades could be spilled in plain text; set it on connecting"
        )
    load_httpfs(source)
    name = f"extract_{secrets.token_hex(8)}"
    with _private_files(), _removed_on_error(target):
        try:
            source.execute(f"attach {_literal(str(target))} as {name} (encryption_key ?)", [key])
            try:
                _refuse_plain(source, name)
                with _transaction(source):
                    written = {table: _copy(source, name, table, rows) for table, rows in tables.items()}
                    _create_views(source, name, views or {})
                    for table, comment in (comments or {}).items():
                        _comment(source, name, table, comment, "view" if table in (views or {}) else "table")
                source.execute(f"checkpoint {name}")
            finally:
                source.execute(f"detach database if exists {name}")
        except duckdb.Error as error:
            raise CreditPipelineError(f"{target.name}: the extract could not be written: {error}") from error
        if target.with_name(f"{target.name}.wal").exists():
            raise IntegrityError(
                f"{target}: a write-ahead log is left, which a reader would not see; nothing was published"
            )
        with closing(attached(target, key)) as reader:
            found, digest = _read_back(reader, digest_excludes)
        if found != written:
            raise IntegrityError(
                f"{target}: the rows read back are not the rows written; nothing was published"
            )
        with target.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return BuiltExtract(target, found, digest, target.stat().st_size, sha256)


def _secure_connection(temp_directory: Path) -> duckdb.DuckDBPyConnection:
    spill = temp_directory / f"tmp-spill-{secrets.token_hex(8)}"
    connection = duckdb.connect(
        ":memory:", config={**_READ_ONLY_CONFIG, "temp_file_encryption": "true", "temp_directory": str(spill)}
    )
    load_httpfs(connection)
    return connection


def attached(path: Path, key: str) -> duckdb.DuckDBPyConnection:
    """A connection that reads the file as its default catalog `extract`; needs no extension. The caller has proved
    the file and closes the connection.
    """
    connection = duckdb.connect(":memory:", config={**_READ_ONLY_CONFIG, "temp_directory": ""})
    try:
        connection.execute(f"attach {_literal(str(path))} as extract (read_only, encryption_key ?)", [key])
        connection.execute("use extract")
    except duckdb.Error as error:
        connection.close()
        raise IntegrityError(f"{path}: cannot be opened with this key: {error}") from None
    return connection


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing, and fast: 85 comments by themselves would be 85 commits, a third of the time of an extract."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def _refuse_plain(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    found = connection.execute(
        "select encrypted, cipher from duckdb_databases() where database_name = ?", [name]
    ).fetchone()
    if found != (True, "GCM"):
        raise IntegrityError("DuckDB did not encrypt the extract with AES-GCM; nothing was published")


def _copy(connection: duckdb.DuckDBPyConnection, name: str, table: str, rows: str | pa.Table) -> int:
    target = f'{name}."{table}"'
    if isinstance(rows, str):
        connection.execute(f"create table {target} as {rows}")
    else:
        view = f"rows_{secrets.token_hex(8)}"
        connection.register(view, rows)
        try:
            connection.execute(f"create table {target} as select * from {view}")
        finally:
            connection.unregister(view)
    counted = connection.execute(f"select count(*) from {target}").fetchone()
    return int(counted[0]) if counted else 0


def _create_views(connection: duckdb.DuckDBPyConnection, name: str, views: Mapping[str, str]) -> None:
    """Views that name tables without a database: they work under whatever name a reader attaches the file."""
    if not views:
        return
    before = connection.execute("select current_database(), current_schema()").fetchone()
    database, schema = before or ("memory", "main")
    connection.execute(f"use {name}")
    try:
        for view, sql in views.items():
            connection.execute(f'create view "{view}" as {sql}')
    finally:
        with suppress(
            duckdb.TransactionException
        ):  # a failed statement ends the transaction; see _transaction
            connection.execute(f'use "{database}"."{schema}"')


def _comment(
    connection: duckdb.DuckDBPyConnection, name: str, table: str, comment: Comments, kind: str
) -> None:
    connection.execute(f'comment on {kind} {name}."{table}" is {_literal(comment.table)}')
    connection.execute(
        ";".join(
            f'comment on column {name}."{table}".{_quoted(column)} is {_literal(text)}'
            for column, text in comment.columns.items()
        )
    )


def _read_back(
    connection: duckdb.DuckDBPyConnection, digest_excludes: Collection[str]
) -> tuple[dict[str, int], str]:
    """Rows per table, and a digest of names, types and rows in any order: every page of the file is decrypted for it.

    Of each table the sums of two 64-bit hashes of its rows. They tell whether anything changed; against forgery stands
    the file's SHA-256. SHA-256 of each row took half the time of all extracts.
    """
    names = connection.execute(
        "select table_name from duckdb_tables() where database_name = 'extract' order by 1"
    ).fetchall()
    # Not from duckdb_columns(): it binds every view, a third of the time of a small extract.
    tables = {
        table: [row[:2] for row in connection.execute(f'describe extract."{table}"').fetchall()]
        for (table,) in names
    }
    parts = []
    for table, columns in tables.items():
        row = ", ".join(_quoted(column) for column, _ in columns)
        sums = ", ".join(
            f"coalesce(sum(hash({salted})::hugeint), 0)::varchar" for salted in (row, f"'2', {row}")
        )
        parts.append(f'select {_literal(table)}, count(*), {sums} from extract."{table}"')
    found = connection.execute(" union all ".join(parts) + " order by 1").fetchall() if parts else []
    counts: dict[str, int] = {}
    content: list[Any] = []
    for table, rows, first, second in found:
        counts[table] = int(rows)
        if table not in digest_excludes:
            content.append([table, [list(column) for column in tables[table]], int(rows), first, second])
    views = connection.execute(
        "select view_name, sql from duckdb_views() where database_name = 'extract' and not internal order by 1"
    ).fetchall()
    for view, sql in views:
        connection.execute(f'select * from extract."{view}" limit 0')
        content.append([view, sql])
    return counts, sha256_hex(b"EXTRACT2|" + canonical_json(content))


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextmanager
def _private_files() -> Iterator[None]:
    """DuckDB creates its files by the process's umask."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _removed_on_error(target: Path) -> Iterator[None]:
    if target.exists():
        raise BadInput(f"{target}: exists already; an extract is written once")
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
        raise
