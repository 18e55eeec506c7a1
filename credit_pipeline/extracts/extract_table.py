"""One table of a unit's extract: the rows of all units prepared once, a unit's part as a slice, Chinese labels.

Preparing once matters: 60 units would otherwise be 60 times the same joins and sentences. Which tables there are:
`extracts.grade_tables`, `extracts.inspection_tables`, `extracts.correction_tables`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from credit_pipeline.extracts.encrypted_file import Comments

Share = Literal["by_unit", "by_scope", "all"]
"""What of a prepared table is a unit's: rows with its `unit_id`; rows of its enterprises (`scope_no`); every row."""
OWN_SCOPES = "(select scope_no from extract_scopes where unit_id = '{unit}')"


@dataclass(frozen=True)
class ExtractTable:
    """One table of the extract: the query over all units (`{day}`), how a unit's part is cut out of it (`{unit}`), and
    what it and its columns are called. Columns that are not listed never reach a unit."""

    name: str
    label: str
    prepared: str
    columns: dict[str, str]
    share: Share
    order: str
    computed: Mapping[str, str] = field(default_factory=dict)
    """Columns that depend on the unit: column -> SQL over the prepared row `r`."""
    joined: str = ""
    """Joins that these need."""

    @property
    def comments(self) -> Comments:
        return Comments(self.label, self.columns)

    def prepare_sql(self, day: str) -> str:
        """The statement that makes the rows of all units, in a temporary table."""
        query = self.prepared.replace("{day}", day)
        return f"create or replace temporary table extract_of_{self.name} as {query}"

    def slice_sql(self, unit_id: str) -> str:
        """The query of one unit's rows, in their order."""
        columns = ", ".join(
            f"{self.computed[name]} as {name}" if name in self.computed else f"r.{name}"
            for name in self.columns
        )
        condition = {
            "by_unit": "where r.unit_id = '{unit}'",
            "by_scope": f"where r.scope_no in {OWN_SCOPES}",
            "all": "",
        }[self.share]
        sql = (
            f"select {columns} from extract_of_{self.name} r {self.joined} {condition} order by {self.order}"
        )
        return sql.replace("{unit}", unit_id)


def words(expression: str, known: Mapping[str, str]) -> str:
    """SQL that says a code in words; an unknown one stays as it is."""
    cases = " ".join(f"when '{code}' then '{word}'" for code, word in known.items())
    return f"case {expression} {cases} else {expression} end"
