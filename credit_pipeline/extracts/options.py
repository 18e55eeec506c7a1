"""What a unit chose for its extract (policy table `extract_options`): formats, and whether inspectors see the grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import duckdb

ALL_UNITS = "*"
CSV_ENCODINGS = {"utf8": "utf-8-sig", "gb18030": "gb18030"}
"""Value of option `csv` -> Python's name of the encoding."""


@dataclass(frozen=True)
class UnitOptions:
    """What one unit gets besides the DuckDB file."""

    xlsx: bool
    csv_encoding: str | None
    inspector_grade: bool


@dataclass(frozen=True)
class Options:
    """The options in force on a day: (unit or '*', option) -> value."""

    values: Mapping[tuple[str, str], str]

    def of(self, unit_id: str) -> UnitOptions:
        """A unit's options; its own row comes before the one of all units, and without either nothing is added."""

        def value(option: str) -> str:
            return self.values.get((unit_id, option)) or self.values.get((ALL_UNITS, option), "no")

        return UnitOptions(
            xlsx=value("xlsx") == "yes",
            csv_encoding=CSV_ENCODINGS.get(value("csv")),
            inspector_grade=value("inspector_grade") == "yes",
        )


def read_options(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> Options:
    """The options in force on the day."""
    found = connection.execute(
        "select unit_id, option, value from policy.extract_options where effective_from <= $day and effective_to >= $day",
        {"day": as_of_date},
    ).fetchall()
    return Options({(unit_id, option): value for unit_id, option, value in found})
