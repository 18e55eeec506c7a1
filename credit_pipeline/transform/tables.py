"""What stands in a warehouse, as counts, types and digests: metadata for the UI and the audit log. Never a value of a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import duckdb

from credit_pipeline.audit.log import sha256_hex
from credit_pipeline.errors import CreditPipelineError


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table."""

    name: str
    type: str
    comment: str | None


@dataclass(frozen=True)
class TableFacts:
    """One table or view."""

    row_count: int
    columns: tuple[ColumnFacts, ...]


def describe_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, TableFacts]:
    """Rows and columns of every table, by `schema.table`."""
    columns: dict[str, list[ColumnFacts]] = {}
    for schema, table, name, type_, comment in connection.execute(
        """
        select schema_name, table_name, column_name, data_type, comment from duckdb_columns()
        where not internal and database_name = current_database()
        order by schema_name, table_name, column_index
        """
    ).fetchall():
        columns.setdefault(f"{schema}.{table}", []).append(ColumnFacts(name, type_, comment))
    found = {}
    for key, facts in columns.items():
        schema, table = key.split(".")
        row = connection.execute(f'select count(*) from "{schema}"."{table}"').fetchone()
        found[key] = TableFacts(int(row[0]) if row else 0, tuple(facts))
    return found


def table_digest(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    """SHA-256 over names, types and rows of `schema.table`, whatever the order of its rows.

    Each row is its values as text, each with its length before it and `n` for NULL, so that no two rows give the same text;
    its SHA-256 falls into one of 4,096 buckets by the first three digits, a bucket's digest is that of its rows' digests in
    order, the table's that of its buckets'. Nothing depends on DuckDB's version or threads, as `hash()` would. One million
    rows of 30 columns take 4 s on two cores; no text grows beyond a bucket's.
    """
    schema, name = table.split(".")
    columns = connection.execute(
        """
        select column_name, data_type from duckdb_columns()
        where database_name = current_database() and schema_name = ? and table_name = ? order by column_index
        """,
        [schema, name],
    ).fetchall()
    if not columns:
        raise CreditPipelineError(f"there is no table {table} to make a digest of")
    texts = [f'cast("{column}" as varchar)' for column, _ in columns]
    row = " || ".join(f"coalesce(length({text}) || ':' || {text}, 'n')" for text in texts)
    found = connection.execute(
        f"""
        with rows as (select sha256({row}) as digest from "{schema}"."{name}"),
        buckets as (
            select left(digest, 3) as bucket, sha256(string_agg(digest, '' order by digest)) as digest from rows group by 1
        )
        select coalesce(string_agg(digest, '' order by bucket), '') from buckets
        """
    ).fetchone()
    head = "|".join(f"{column} {type_}" for column, type_ in columns)
    return sha256_hex(f"TABLE1|{head}|{found[0] if found else ''}".encode())


def table_digests(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> dict[str, str]:
    """Digest of each of the tables that exists, by name."""
    known = {f"{schema}.{name}" for schema, name in connection.execute(
        "select schema_name, table_name from duckdb_columns() where not internal and database_name = current_database()"
    ).fetchall()}  # fmt: skip
    return {table: table_digest(connection, table) for table in sorted(set(tables) & known)}
