"""Encrypted extracts: one DuckDB file per unit and release, replaced as a whole, current once its manifest
stands.

Here: building, publishing and opening them. Not here: which rows a unit may have (the caller's SQL), keys
(`credit_pipeline.keys`), what the manifest says (`extracts.manifest`).

Order of publishing, so that a crash at any edge leaves the release before: a temporary file in the same
folder -> CHECKPOINT, DETACH, no .wal -> opened again READ_ONLY and read to the last row -> fsync -> rename ->
fsync of the folder -> manifest, last. What a crash leaves is named tmp-* and swept by the next publication.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import canonical_json, fsync_directory, sha256_hex, write_durably
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.extracts.manifest import (
    MANIFEST_NAME,
    build_manifest,
    manifest_bytes,
    manifest_sha256,
    read_manifest,
    verify_manifest,
)
from credit_pipeline.keys import KeyStore, extract_key_id
from credit_pipeline.warehouse import load_httpfs

_TABLE_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
_KEY = re.compile("[0-9a-f]{64}")
DIGEST_EXCLUDES = frozenset({"notice"})
"""Tables that differ from release to release although nothing of the content did."""
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


@dataclass(frozen=True)
class Publication:
    """The manifest that is current now. `is_new` is False when nothing was published, for the `reason`
    given.
    """

    manifest: dict[str, Any]
    is_new: bool
    reason: str


def build_encrypted(
    source: duckdb.DuckDBPyConnection | Path | str,
    tables: Mapping[str, str | pa.Table],
    target: Path,
    key: str,
    *,
    comments: Mapping[str, Comments] | None = None,
    views: Mapping[str, str] | None = None,
) -> BuiltExtract:
    """Writes `tables` (name -> SQL over `source`, or an Arrow table) into the new encrypted file `target`,
    mode 0600.

    `source` is an open connection with temp_file_encryption on (else grades would be spilled in plain text),
    or the path of a database, which is opened read only. `key` is 64 hexadecimal digits and goes in as a
    parameter, so that no query log or error can hold it. Give each SQL an ORDER BY: the order is stored. The
    file is read back to the last row before this returns; on any error nothing is left. Raises
    `IntegrityError` if the rows read back are not the rows written.
    """
    if not isinstance(source, duckdb.DuckDBPyConnection):
        with closing(_secure_connection(target.parent)) as connection:
            connection.execute(f"attach {_literal(str(source))} as source_database (read_only)")
            connection.execute("use source_database")
            return build_encrypted(connection, tables, target, key, comments=comments, views=views)
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
                    for view, sql in (views or {}).items():
                        source.execute(f'create view {name}."{view}" as {sql}')
                    for table, comment in (comments or {}).items():
                        _comment(source, name, table, comment, is_view=table in (views or {}))
                source.execute(f"checkpoint {name}")
            finally:
                source.execute(f"detach database if exists {name}")
        except duckdb.Error as error:
            raise CreditPipelineError(f"{target.name}: the extract could not be written: {error}") from error
        if target.with_name(f"{target.name}.wal").exists():
            raise IntegrityError(
                f"{target}: a write-ahead log is left, which a reader would not see; nothing was published"
            )
        with closing(_attached(target, key)) as reader:
            found, digest = _read_back(reader)
        if found != written:
            raise IntegrityError(
                f"{target}: the rows read back are not the rows written; nothing was published"
            )
        with target.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return BuiltExtract(target, found, digest, target.stat().st_size, sha256)


def publish_extract(
    directory: Path,
    unit_id: str,
    as_of_date: date,
    source: duckdb.DuckDBPyConnection | Path | str,
    tables: Mapping[str, str | pa.Table],
    keys: KeyStore,
    *,
    checkpoint: Mapping[str, Any] | None,
    comments: Mapping[str, Comments] | None = None,
    views: Mapping[str, str] | None = None,
) -> Publication:
    """Publishes the next release of a unit's extract in `directory` as `<unit_id>-<release_seq>.duckdb` +
    manifest.json.

    Nothing new is published for the same day and content, nor for a day before the current release's: running
    a day again changes nothing. The release before stays, with its manifest; older ones and their keys go.
    Raises `IntegrityError` if the manifest that stands there was not signed by us.
    """
    private_key = keys.signing_key()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left_over in directory.glob("tmp-*"):
        if left_over.is_dir():
            shutil.rmtree(left_over)
        else:
            left_over.unlink()
    current: dict[str, Any] | None = None
    if (directory / MANIFEST_NAME).exists():
        current = read_manifest(directory / MANIFEST_NAME)
        verify_manifest(current, private_key.public_key(), None, unit_id=unit_id)
        if as_of_date.isoformat() < current["as_of_date"]:
            return Publication(
                current,
                False,
                f"a release for {current['as_of_date']} is current; older days stay as they were",
            )
    release_seq = 1 if current is None else current["release_seq"] + 1
    key = keys.unit_key(unit_id, release_seq)
    final = directory / f"{unit_id}-{release_seq:06d}.duckdb"
    temporary = directory / f"tmp-{final.name}-{secrets.token_hex(8)}"
    built = build_encrypted(source, tables, temporary, key, comments=comments, views=views)
    if current is not None and _is_unchanged(current, built, as_of_date, directory):
        temporary.unlink()
        return Publication(current, False, "the same content is published for this day")
    temporary.replace(final)
    fsync_directory(directory)
    manifest = build_manifest(
        unit_id=unit_id,
        as_of_date=as_of_date,
        release_seq=release_seq,
        file=final.name,
        size=built.size,
        sha256=built.sha256,
        content_digest=built.content_digest,
        prev_manifest_sha256=None if current is None else manifest_sha256(current),
        checkpoint=checkpoint,
        key_id=extract_key_id(key),
        tables=built.tables,
        private_key=private_key,
    )
    if current is not None:
        write_durably(_kept_manifest(directory, current), manifest_bytes(current))
    write_durably(directory / MANIFEST_NAME, manifest_bytes(manifest))
    _remove_older(directory, unit_id, keep={release_seq, release_seq - 1})
    keys.forget_unit_keys(unit_id, release_seq - 1)
    return Publication(manifest, True, "published")


def open_extract(
    directory: Path,
    public_key: Any,
    key: str,
    *,
    unit_id: str | None = None,
    last_seen_seq: int = 0,
    last_seen_sha256: str | None = None,
    manifest_name: str = MANIFEST_NAME,
) -> tuple[duckdb.DuckDBPyConnection, dict[str, Any]]:
    """A connection that reads the current extract, and its manifest, after `verify_manifest`; needs no
    extension.

    The caller closes it and keeps release_seq for the next time. Raises the errors of `verify_manifest`, and
    `IntegrityError` for a wrong key.
    """
    manifest = read_manifest(directory / manifest_name)
    verify_manifest(
        manifest,
        public_key,
        directory,
        unit_id=unit_id,
        last_seen_seq=last_seen_seq,
        last_seen_sha256=last_seen_sha256,
    )
    if extract_key_id(key) != manifest["key_id"]:
        raise IntegrityError(
            f"the key given is not the key of release {manifest['release_seq']} ({manifest['key_id']})"
        )
    return _attached(directory / manifest["file"], key), manifest


def _secure_connection(temp_directory: Path) -> duckdb.DuckDBPyConnection:
    spill = temp_directory / f"tmp-spill-{secrets.token_hex(8)}"
    connection = duckdb.connect(
        ":memory:", config={**_READ_ONLY_CONFIG, "temp_file_encryption": "true", "temp_directory": str(spill)}
    )
    load_httpfs(connection)
    return connection


def _attached(path: Path, key: str) -> duckdb.DuckDBPyConnection:
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


def _comment(
    connection: duckdb.DuckDBPyConnection, name: str, table: str, comment: Comments, *, is_view: bool
) -> None:
    kind = "view" if is_view else "table"
    connection.execute(f'comment on {kind} {name}."{table}" is {_literal(comment.table)}')
    quoted = {column.replace('"', '""'): text for column, text in comment.columns.items()}
    connection.execute(
        ";".join(
            f'comment on column {name}."{table}"."{column}" is {_literal(text)}'
            for column, text in quoted.items()
        )
    )


def _read_back(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], str]:
    """Rows per table, and a digest of names, types and rows in any order: every page of the file is
    decrypted for it.
    """
    counts: dict[str, int] = {}
    content: list[Any] = []
    names = connection.execute(
        "select table_name from duckdb_tables() where database_name = 'extract' order by 1"
    ).fetchall()
    # Not from duckdb_columns(): it binds every view, a third of the time of a small extract.
    tables = {
        table: [row[:2] for row in connection.execute(f'describe extract."{table}"').fetchall()]
        for (table,) in names
    }
    # Sums over the rows, so that their order does not count. Not against forgery (the file's SHA-256 is), but to tell
    # whether anything changed: twice 64 bits. SHA-256 of each row took half the time of all extracts.
    parts = []
    for table, columns in tables.items():
        row = ", ".join('"' + column.replace('"', '""') + '"' for column, _ in columns)
        sums = ", ".join(
            f"coalesce(sum(hash({salted})::hugeint), 0)::varchar" for salted in (row, f"'2', {row}")
        )
        parts.append(f'select {_literal(table)}, count(*), {sums} from extract."{table}"')
    found = connection.execute(" union all ".join(parts) + " order by 1").fetchall() if parts else []
    for table, rows, first, second in found:
        counts[table] = int(rows)
        if table not in DIGEST_EXCLUDES:
            content.append([table, [list(column) for column in tables[table]], int(rows), first, second])
    return counts, sha256_hex(b"EXTRACT2|" + canonical_json(content))


def _is_unchanged(current: Mapping[str, Any], built: BuiltExtract, as_of_date: date, directory: Path) -> bool:
    same = (current["as_of_date"], current["content_digest"]) == (
        as_of_date.isoformat(),
        built.content_digest,
    )
    return same and (directory / current["file"]).exists()


def _kept_manifest(directory: Path, manifest: Mapping[str, Any]) -> Path:
    return directory / f"{manifest['unit_id']}-{manifest['release_seq']:06d}.manifest.json"


def _remove_older(directory: Path, unit_id: str, keep: set[int]) -> None:
    for path in directory.glob(f"{unit_id}-*"):
        found = re.fullmatch(rf"{unit_id}-(\d{{6,}})\.(duckdb|manifest\.json)", path.name)
        if found and int(found[1]) not in keep:
            path.unlink()
    fsync_directory(directory)


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
