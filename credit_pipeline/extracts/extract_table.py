"""One table of a unit's extract: its query, its Chinese labels. Which tables there are: `extracts.builder` (enterprises and
grades) and `extracts.inspection_tables`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from credit_pipeline.extracts.publish import Comments


@dataclass(frozen=True)
class ExtractTable:
    """One table of the extract: its query for one unit (`$unit`), and what it and its columns are called."""

    label: str
    sql: str
    columns: dict[str, str]

    @property
    def comments(self) -> Comments:
        return Comments(self.label, self.columns)


def words(expression: str, known: Mapping[str, str]) -> str:
    """SQL that says a code in words; an unknown one stays as it is."""
    cases = " ".join(f"when '{code}' then '{word}'" for code, word in known.items())
    return f"case {expression} {cases} else {expression} end"
