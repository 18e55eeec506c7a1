"""The SQL that a source's own server is sent: which columns, in which form, from which cursor on, in which order.

One statement per fetch, so what it gives is one consistent snapshot on every engine. Whole numbers, exact decimals and
booleans come as they are; everything else as the text the server writes, because a driver's idea of a date, a float or
an array would change it (0000-00-00, infinity, 123456789012345678.1). Moments with a zone become local time.
"""

from __future__ import annotations

from dataclasses import dataclass

from credit_pipeline.feeds.sources.config import DatabaseSource
from credit_pipeline.feeds.sources.cursors import CursorKind
from credit_pipeline.settings import TIME_ZONE

CURSOR, CURSOR_TYPE = "__cursor__", "__cursor_type__"
"""Columns that the fetcher adds and takes away again."""

_KEPT = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "BOOLEAN",
)


@dataclass(frozen=True)
class SourceColumn:
    """A column of the source: its name there, and the type DuckDB sees."""

    name: str
    type: str


def literal(text: str) -> str:
    """A text in standard SQL."""
    return "'" + text.replace("'", "''") + "'"


def relation(source: DatabaseSource) -> str:
    """What stands behind `from`."""
    if source.table is not None:
        return ".".join(quoted(source, part) for part in source.table.split(".")) + " as s"
    return f"(\n{(source.query or '').strip().rstrip(';')}\n) as s"


def quoted(source: DatabaseSource, name: str) -> str:
    """An identifier as the engine quotes it."""
    mark = "`" if source.engine == "mysql" else '"'
    return mark + name.replace(mark, mark * 2) + mark


def remote_query(source: DatabaseSource, sql: str) -> str:
    """DuckDB's table function that has the attached server run a statement."""
    options = ", stream_results => true" if source.engine == "mysql" else ""
    return f"{source.engine}_query('src', {literal(sql)}{options})"


def cursor_kind(source: DatabaseSource, column: SourceColumn) -> CursorKind:
    """What kind of cursor a column is; SQLite's columns have no type, its rows say."""
    if column.type in _KEPT and column.type != "BOOLEAN":
        return "integer"
    if column.type.startswith("DECIMAL"):
        return "decimal"
    if column.type == "DATE":
        return "date"
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return "timestamptz"
    return "timestamp" if column.type.startswith("TIMESTAMP") else "text"


def select_statement(
    source: DatabaseSource,
    columns: list[SourceColumn],
    cursor: str | None,
    kind: CursorKind,
    limit: int | None = None,
) -> str:
    """All columns of the rows at and behind a cursor, in the order of the cursor.

    Rows without a cursor come first, always: an increment could not tell that they changed. Ties are ordered by all
    columns, so that equal tables give equal files. With a limit any rows will do.
    """
    wanted = [f"{_as_stored(source, column)} as {quoted(source, column.name)}" for column in columns]
    order = [str(place) for place in range(1, len(columns) + 1)]
    condition = ""
    if source.cursor is not None:
        field = f"s.{quoted(source, source.cursor)}"
        column = next(item for item in columns if item.name == source.cursor)
        wanted.append(f"{_as_cursor(source, column)} as {CURSOR}")
        if source.engine == "sqlite":
            wanted.append(f"typeof({field}) as {CURSOR_TYPE}")
        order = [f"case when {field} is null then 0 else 1 end", field, *order]
        if cursor is not None:
            condition = f" where {field} >= {_cursor_literal(source, cursor, kind)} or {field} is null"
    end = f" order by {', '.join(order)}" if limit is None else f" limit {limit}"
    return f"select {', '.join(wanted)} from {relation(source)}{condition}{end}"


def _as_stored(source: DatabaseSource, column: SourceColumn) -> str:
    field = f"s.{quoted(source, column.name)}"
    if source.engine == "sqlite":
        return f"case typeof({field}) when 'blob' then hex({field}) else cast({field} as text) end"
    if column.type in _KEPT or column.type.startswith("DECIMAL"):
        return field
    if source.engine == "mysql":
        if column.type == "VARCHAR":
            return field
        if column.type.startswith("TIMESTAMP"):
            return f"date_format({field}, '%Y-%m-%d %H:%i:%s')"
        if column.type == "BLOB":
            # MariaDB's JSON is described as binary too: what is text comes as text.
            text = f"convert({field} using utf8mb4)"
            return f"case when hex({text}) = hex({field}) then {text} else hex({field}) end"
        return f"cast({field} as char)"
    if column.type == "DATE":
        return f"case when isfinite({field}) then to_char({field}, 'YYYY-MM-DD') else {field}::text end"
    if column.type.startswith("TIMESTAMP"):
        local = f"{field} at time zone '{TIME_ZONE}'" if column.type.endswith("ZONE") else field
        return f"case when isfinite({field}) then to_char({local}, 'YYYY-MM-DD HH24:MI:SS') else {field}::text end"
    if column.type == "BLOB":
        return f"encode({field}, 'hex')"
    if column.type == "VARCHAR[]":
        return f"array_to_string({field}, '、')"
    return f"{field}::text"


def _as_cursor(source: DatabaseSource, column: SourceColumn) -> str:
    """The cursor as text, exact to the microsecond; null where it cannot be compared (infinity)."""
    field = f"s.{quoted(source, column.name)}"
    if source.engine == "sqlite":
        return f"cast({field} as text)"
    if source.engine == "mysql":
        if column.type.startswith("TIMESTAMP"):
            return f"date_format({field}, '%Y-%m-%d %H:%i:%s.%f')"
        return f"cast({field} as char)"
    if column.type == "DATE":
        return f"nullif(to_char({field}, 'YYYY-MM-DD'), '')"
    if column.type == "TIMESTAMP WITH TIME ZONE":
        return f"nullif(to_char({field} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US'), '') || '+00'"
    if column.type.startswith("TIMESTAMP"):
        return f"nullif(to_char({field}, 'YYYY-MM-DD HH24:MI:SS.US'), '')"
    return f"{field}::text"


def _cursor_literal(source: DatabaseSource, cursor: str, kind: CursorKind) -> str:
    if kind in ("integer", "decimal"):
        return cursor
    text = literal(cursor.replace("\\", "\\\\") if source.engine == "mysql" else cursor)
    if source.engine == "postgres" and kind != "text":
        return f"{kind} {text}"
    return text
