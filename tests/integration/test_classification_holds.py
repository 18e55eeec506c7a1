"""The levels of columns against what a run really built: dbt knows no lineage of columns, so the values are asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from credit_pipeline.transform.classification import ColumnClass, column_classes
from credit_pipeline.transform.dbt import MANIFEST_PATH
from tests_support import Place

GRADES = set("ABCDE")
MANY = 15


@pytest.fixture(scope="module")
def warehouse(city: Place, finished_run: dict[str, Any]) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(city.lake / "warehouse.duckdb"), read_only=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def classes() -> dict[str, dict[str, ColumnClass]]:
    return column_classes(json.loads(MANIFEST_PATH.read_text(encoding="utf-8")))


def columns_of(warehouse: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    return warehouse.execute(
        "select schema_name || '.' || table_name, column_name, data_type from duckdb_columns() "
        "where not internal and database_name = current_database() order by all"
    ).fetchall()


def test_every_column_that_was_built_has_a_level(
    warehouse: duckdb.DuckDBPyConnection, classes: dict[str, dict[str, ColumnClass]]
) -> None:
    """Prevents a column that only the SQL knows, or a description of one that is gone."""
    built = {(table, column) for table, column, _ in columns_of(warehouse)}
    described = {(table, column) for table, columns in classes.items() for column in columns}
    assert built - described == set()
    assert described - built == set()


def grade_coded(
    warehouse: duckdb.DuckDBPyConnection, classes: dict[str, dict[str, ColumnClass]]
) -> list[tuple[str, str]]:
    """Columns whose values are grades and whose level is not confidential."""
    found = []
    for table, column, kind in columns_of(warehouse):
        if kind != "VARCHAR" or classes[table][column].level == "confidential":
            continue
        values = warehouse.execute(
            f'select distinct upper(trim("{column}")) from {table} where trim("{column}") <> \'\' limit 6'
        ).fetchall()
        if values and {value for (value,) in values} <= GRADES:
            found.append((table, column))
    return found


def test_only_confidential_columns_hold_grades(
    warehouse: duckdb.DuckDBPyConnection, classes: dict[str, dict[str, ColumnClass]]
) -> None:
    """Prevents a grade under another name. The policy's own tables name grades of no enterprise."""
    found = grade_coded(warehouse, classes)
    assert [where for where in found if not where[0].startswith("policy.")] == []
    assert all(
        classes[table][column].level == "internal" and column.endswith("grade") for table, column in found
    )


def telling(
    warehouse: duckdb.DuckDBPyConnection, classes: dict[str, dict[str, ColumnClass]]
) -> tuple[int, list[tuple[str, str]]]:
    """How many columns were judged, and those below confidential from which a grade follows.

    Either each of a few values goes with one grade only (values of fewer than three enterprises each say who it is, not how
    it is graded), or one value holds for many enterprises and all of them have the same grade.
    """
    judged, found = 0, []
    for table, column, _ in columns_of(warehouse):
        if (
            table.startswith("policy.")
            or "uscc" not in classes[table]
            or column == "uscc"
            or classes[table][column].level == "confidential"
        ):
            continue
        row = warehouse.execute(f"""
            with pairs as (
                select distinct x.uscc, cast(x."{column}" as varchar) as value, g.platform_grade as grade
                from {table} x join grading.enterprise_grades g using (uscc) where x."{column}" is not null
            ),
            per_value as (select value, count(distinct grade) as grades, count(distinct uscc) as enterprises from pairs group by value)
            select
                count(*), min(enterprises), max(grades), max(enterprises) filter (grades = 1), max(enterprises),
                (select count(distinct grade) from pairs)
            from per_value
        """).fetchone()
        assert row is not None
        values, fewest, most_grades, largest_of_one_grade, largest, all_grades = row
        if values < 2 or all_grades < 2 or (fewest < 3 and largest < MANY):
            continue
        judged += 1
        if (fewest >= 3 and most_grades == 1) or (largest_of_one_grade or 0) >= MANY:
            found.append((table, column))
    return judged, found


def test_no_lower_column_gives_the_grade_away(
    warehouse: duckdb.DuckDBPyConnection, classes: dict[str, dict[str, ColumnClass]]
) -> None:
    """Prevents a code below confidential from which the grade follows: a ratio, a measure, a number of visits."""
    judged, found = telling(warehouse, classes)
    assert judged > 50
    assert found == []


@pytest.mark.parametrize(
    "copied",
    [
        "platform_grade",
        "lower(platform_grade)",
        "case platform_grade when 'A' then 0 when 'B' then 5 else 20 end",
    ],
)
def test_the_search_finds_a_hidden_grade(copied: str) -> None:
    """Prevents a search that finds nothing anywhere."""
    public = ColumnClass(level="public")
    classes = {
        "grading.enterprise_grades": {"uscc": public, "platform_grade": ColumnClass(level="confidential")},
        "enterprises.open": {"uscc": public, "colour": public},
    }
    with duckdb.connect() as connection:
        connection.execute(f"""
            create schema grading; create schema enterprises;
            create table grading.enterprise_grades as
                select i::varchar as uscc, substr('ABCDE', (i % 5 + 1)::integer, 1) as platform_grade from range(500) r(i);
            create table enterprises.open as select uscc, cast({copied} as varchar) as colour from grading.enterprise_grades;
        """)
        assert telling(connection, classes) == (1, [("enterprises.open", "colour")])
        assert grade_coded(connection, classes) == (
            [] if copied.startswith("case") else [("enterprises.open", "colour")]
        )
