"""What a canary test asks of a folder: where a text stands in anything a run left there, and which cells stand beside it."""

from __future__ import annotations

import json
import sqlite3
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from tests_support import Place

GRADES = set("ABCDE")
SQLITE = b"SQLite format 3\x00"


def texts(path: Path) -> Iterator[str]:
    """All that can be read in a file: its bytes as text, and where it is a format that hides text, its cells."""
    raw = path.read_bytes()
    yield raw.decode("utf-8", "ignore")
    yield raw.decode("utf-16-le", "ignore")
    if raw[:4] == b"PAR1":
        for column in pq.ParquetFile(path).read().columns:
            yield " \n".join(str(value) for value in column.to_pylist() if value is not None)
    elif raw[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name + archive.read(name).decode("utf-8", "ignore")
    elif raw[:16] == SQLITE:
        yield from _cells_of_sqlite(path)


def _cells_of_sqlite(path: Path) -> Iterator[str]:
    """Every cell, also those that Dagster packs."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
        for name in names:
            for row in connection.execute(f'select * from "{name}"'):
                for cell in row:
                    if isinstance(cell, bytes):
                        try:
                            cell = zlib.decompress(cell)
                        except zlib.error:
                            yield cell.decode("utf-8", "ignore")
                            continue
                        yield cell.decode("utf-8", "ignore")
                    elif isinstance(cell, str):
                        yield cell


def files_with(folder: Path, wanted: Iterable[str]) -> dict[str, set[str]]:
    """Files below the folder that hold one of the texts, in their name or inside: path → texts."""
    wanted = list(wanted)
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*")):
        here = str(path.relative_to(folder))
        held = {text for text in wanted if text in path.name}
        if path.is_file() and not path.is_symlink():
            held |= {text for part in texts(path) for text in wanted if text in part}
        if held:
            found[here] = held
    return found


def open_database(file: Path | str, key: str = "") -> duckdb.DuckDBPyConnection:
    """A warehouse, or an extract with its key, attached as `warehouse` (views name their database)."""
    connection = duckdb.connect(":memory:")
    option = f", encryption_key '{key}'" if key else ""
    connection.execute(f"attach '{file}' as warehouse (read_only{option})")
    connection.execute("use warehouse")
    return connection


def extract_connections(place: Place, units: set[str]) -> Iterator[tuple[str, duckdb.DuckDBPyConnection]]:
    """The extracts of these units and of four others, opened as the office does."""
    shown = json.loads(place.command("extract", "list", "--lake", str(place.lake), "--json").stdout)
    others = sorted({str(item["unit_id"]) for item in shown} - units)
    for unit in sorted({*units, *others[:2], *others[-2:]}):
        words = place.command("extract", "open", unit, "--lake", str(place.lake), "--show-key").stdout.split()
        with closing(
            open_database(words[words.index("file") + 1], words[words.index("key") + 1])
        ) as connection:
            yield unit, connection


def columns_with(
    connection: duckdb.DuckDBPyConnection, text: str, *, with_views: bool = True
) -> set[tuple[str, str]]:
    """(schema.table, column) of every column that holds the text anywhere in a cell.

    An extract's views show its own tables and no more; the warehouse's evidence views show what no table holds.
    """
    found = set()
    tables_only = "" if with_views else "and table_oid in (select table_oid from duckdb_tables())"
    for schema, table, column in connection.execute(
        "select schema_name, table_name, column_name from duckdb_columns() "
        f"where not internal and database_name = 'warehouse' {tables_only}"
    ).fetchall():
        query = f'select 1 from "{schema}"."{table}" where contains("{column}"::varchar, ?) limit 1'
        if connection.execute(query, [text]).fetchone():
            found.add((f"{schema}.{table}", column))
    return found


def grades_beside(rows: Iterable[Mapping[str, object]], enterprise: str) -> set[str]:
    """Columns that hold a lone grade letter in a row that holds the enterprise's code."""
    return {
        column
        for row in rows
        if enterprise in map(str, row.values())
        for column, value in row.items()
        if str(value).strip().upper() in GRADES
    }  # fmt: skip


def grade_columns(
    connection: duckdb.DuckDBPyConnection, enterprise: str, *, with_views: bool = True
) -> set[tuple[str, str]]:
    """(schema.table, column) of every column that holds a grade letter beside the enterprise's code."""
    found = set()
    for table, column in columns_with(connection, enterprise, with_views=with_views):
        schema, name = table.split(".")
        cursor = connection.execute(
            f'select * from "{schema}"."{name}" where "{column}"::varchar = ?', [enterprise]
        )
        names = [item[0] for item in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        found |= {(table, beside) for beside in grades_beside(rows, enterprise)}
    return found
