"""What stands in a warehouse, as counts and types: metadata for the UI. Never a value of a row."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb


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
