"""The lake and the answer key as tables of one DuckDB session, for their comparison.

Here: reading the key, the ledger, accepted, refused, repaired and dropped rows, attaching the warehouse. Not
here: judging (verdicts).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.sample.landing import ANSWER_KEY, COLUMN_SUMS, FILE_ROWS
from credit_pipeline.settings import Settings


class LakeTables:
    """The lake and the key as tables of one session."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
        self.connection, self.settings = connection, settings
        self.remarks: list[str] = []

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def read_truth(self, truth: Path) -> None:
        """Tables `key` and `expected_rows` of what was delivered by the last day that the lake has read."""
        entries = self._files("ledger", "*", ".json")
        if not entries:
            raise BadInput(f"{self.settings.lake_dir} has read nothing yet; remedy: credit-pipeline run")
        self.run(
            f"""create table ledger as select feed, file, encoding, accepted, quarantined,
                    len(dropped_columns) as dropped, problems, ingest_date
                from read_json({_quoted(entries)}, format = 'unstructured', columns = {{
                    feed: 'varchar', file: 'varchar', encoding: 'varchar', accepted: 'bigint',
                    quarantined: 'bigint', dropped_columns: 'varchar[]',
                    problems: 'struct(file varchar, sheet varchar, rule varchar)[]', ingest_date: 'date'}})"""
        )
        delivered = (
            "coalesce(try_cast(regexp_extract(file, '/([0-9]{4}-[0-9]{2}-[0-9]{2})/', 1) as date),"
            " date '1970-01-01') <= (select max(ingest_date) from ledger)"
        )
        self.run(
            f"""create table key as
                select row_number() over () as id, feed, file, coalesce(sheet, '') as sheet,
                    cast(row_number as bigint) as row_number, coalesce("column", '') as "column", kind, outcome,
                    coalesce(rule, '') as rule, coalesce(expected_value, '') as expected, coalesce(note, '') as note
                from read_csv({_quoted([str(truth / ANSWER_KEY)])}, all_varchar = true, header = true,
                    quote = '"', escape = '"', nullstr = '')
                where {delivered}"""
        )
        self.run(
            f"""create table expected_rows as
                select feed, file, coalesce(sheet, '') as sheet,
                    first_row + place + case when place >= blank_row - first_row then 1 else 0 end as row_number
                from (select *, unnest(range(rows)) as place
                      from read_csv({_quoted([str(truth / FILE_ROWS)])}, header = true, columns = {{
                        feed: 'varchar', file: 'varchar', sheet: 'varchar', rows: 'bigint',
                        first_row: 'bigint', blank_row: 'bigint'}})
                      where {delivered})"""
        )

        self.run(
            f"""create table expected_sums as
                select feed, file, coalesce(sheet, '') as sheet, "column", rows, filled, measure
                from read_csv({_quoted([str(truth / COLUMN_SUMS)])}, header = true, columns = {{
                    feed: 'varchar', file: 'varchar', sheet: 'varchar', "column": 'varchar', rows: 'bigint',
                    filled: 'bigint', measure: 'bigint'}})
                where {delivered}"""
        )

    def read_lake(self) -> None:
        """Tables `accepted`, `refused`, `repairs`, `dropped`: where each row of the input went."""
        self.run("create table accepted (feed varchar, file varchar, sheet varchar, row_number bigint)")
        for feed in feed_names():
            if files := self._files("raw", feed, ".parquet"):
                self.run(
                    f"""insert into accepted
                        select '{feed}', source_file, coalesce(source_sheet, ''), source_row
                        from read_parquet({_quoted(files)}, hive_partitioning = false, union_by_name = true)
                        where source_row is not null"""
                )
        for table, folder, columns in (
            ("refused", "quarantine", "rule, value"),
            ("repairs", "repairs", '"column", rule, repaired'),
            ("dropped", "duplicates", "row_hash"),
        ):
            files = self._files(folder, "*", ".parquet")
            if not files and folder == "duplicates":
                self.remarks.append("the lake keeps no duplicates: dropped rows count as lost")
                self.run(
                    f"create table {table} (feed varchar, file varchar, sheet varchar, row_number bigint)"
                )
                continue
            self.run(
                f"""create table {table} as
                    select feed, file, coalesce(sheet, '') as sheet, row_number, {columns}
                    from read_parquet({_quoted(files)}, hive_partitioning = false, union_by_name = true)"""
            )

    def attach_warehouse(self) -> set[str]:
        """Attach the warehouse, if it speaks for the last day read; the names of its tables."""
        path = self.settings.warehouse_path
        if not path.exists():
            self.remarks.append("there is no warehouse yet: identities and effects are not compared")
            return set()
        self.run(f"attach '{path}' as warehouse (read_only)")
        return {
            f"{schema}.{table}"
            for schema, table in self.run(
                "select schema_name, table_name from duckdb_tables() where database_name = 'warehouse'"
                " union all select schema_name, view_name from duckdb_views() where database_name = 'warehouse'"
            )
        }

    def raw(self, feed: str) -> str:
        return (
            f"read_parquet({_quoted(self._files('raw', feed, '.parquet'))}, hive_partitioning = false,"
            " union_by_name = true)"
        )

    def _files(self, folder: str, feed: str, suffix: str) -> list[str]:
        pattern = f"{feed}/*{suffix}" if folder == "ledger" else f"{feed}/*/*{suffix}"
        return sorted(str(path) for path in (self.settings.lake_dir / folder).glob(pattern))


def _quoted(paths: Iterable[str]) -> str:
    return "[" + ", ".join("'" + path.replace("'", "''") + "'" for path in paths) + "]"
