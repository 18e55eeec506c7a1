"""The digest of a table: the same for the same rows, another for any other."""

from __future__ import annotations

import hashlib

import duckdb
import pytest

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.transform.tables import table_digest, table_digests

ROWS = "values (1, 'a', date '2026-01-01', true), (2, null, null, null), (3, '3:x', date '2026-01-02', false)"


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("create schema grading")
    return connection


def _digest(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    connection.execute(f"create or replace table grading.t as {sql}")
    return table_digest(connection, "grading.t")


def test_it_is_the_documented_digest(connection: duckdb.DuckDBPyConnection) -> None:
    """An auditor computes it with hashlib alone: a digest that only DuckDB can make dies with its version."""

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    rows = sorted(sha("".join("n" if cell is None else f"{len(cell)}:{cell}" for cell in row)) for row in
                  [("1", "文"), ("2", None), ("2", None)])  # fmt: skip
    buckets = {digest[:3]: "" for digest in rows}
    for digest in rows:
        buckets[digest[:3]] += digest
    expected = sha(
        "TABLE1|n INTEGER|t VARCHAR|" + "".join(sha(buckets[bucket]) for bucket in sorted(buckets))
    )
    assert (
        _digest(connection, "select * from (values (1, '文'), (2, null), (2, null)) as v(n, t)") == expected
    )


def test_order_and_threads_do_not_matter(connection: duckdb.DuckDBPyConnection) -> None:
    """Prevents a digest that changes when nothing did."""
    many = "select i, i::varchar as t from range(50000) as r(i)"
    first = _digest(connection, many)
    connection.execute("set threads = 1")
    assert _digest(connection, many + " order by hash(i)") == first


@pytest.mark.parametrize(
    "other",
    [
        ROWS.replace("'a'", "'b'"),
        ROWS.replace("(2, null, null, null), ", ""),
        ROWS + ", (3, '3:x', date '2026-01-02', false)",
        ROWS.replace("null, null, null", "'', null, null"),
        ROWS.replace("1, 'a'", "11, ''"),
        ROWS.replace("(1,", "(1::bigint,"),
    ],
    ids=["value", "row removed", "row doubled", "null to empty", "moved between columns", "type"],
)
def test_any_other_content_has_another_digest(connection: duckdb.DuckDBPyConnection, other: str) -> None:
    """Prevents an edited table that keeps its digest."""
    name = "select * from ({}) as v(n, t, d, b)"
    assert _digest(connection, name.format(ROWS)) != _digest(connection, name.format(other))


def test_missing_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """A table named for its digest that does not exist is an error by itself, and left out of a list."""
    _digest(connection, "select 1 as n")
    assert list(table_digests(connection, ["grading.t", "grading.gone"])) == ["grading.t"]
    with pytest.raises(CreditPipelineError, match=r"grading\.gone"):
        table_digest(connection, "grading.gone")
