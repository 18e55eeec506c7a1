"""What of an extract's columns may leave the office, and how: the allow-list of classified_columns.yaml, applied.

`allowed` stands between the queries of a unit and the file that is made of them. A query that returns a column which is not
listed ends the publication; a personal column is masked here, whatever its query does. Levels and masks as such:
`transform.classification`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

import yaml

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.transform.classification import ColumnClass, ListedTable, Mask

COLUMNS = Path(__file__).with_name("classified_columns.yaml")
_STREET = "^(.*(街道|大道|路|街|巷|镇|乡|村)).*$"


@cache
def extract_columns(path: Path = COLUMNS) -> Mapping[str, Mapping[str, ColumnClass]]:
    """Columns of each table of an extract."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {table: ListedTable.model_validate(columns).columns for table, columns in listed.items()}


def masked(expression: str, mask: Mask) -> str:
    """SQL of a personal value as a unit may see it; empty stays empty.

    name 王**; phone 138****0000; id_number 411330********001X; address to its street; what does not look like one is hidden
    whole (domain rule: PIPL minimum necessary, art. 34).
    """
    if mask == "none":
        return expression
    if mask == "drop":
        raise CreditPipelineError(f"{expression} is never in an extract; remedy: take it out of the query")
    text = f"trim(cast({expression} as varchar))"
    shown = {
        "name": f"substr({text}, 1, 1) || '**'",
        "phone": f"case when length({text}) >= 11 then substr({text}, 1, 3) || '****' || right({text}, 4) else '****' end",
        "id_number": (
            f"case when length({text}) = 18 then substr({text}, 1, 6) || '********' || right({text}, 4) else '********' end"
        ),
        "address": (
            f"case when regexp_matches({text}, '{_STREET}') then regexp_replace({text}, '{_STREET}', '\\1') else '***' end"
        ),
    }[mask]
    return f"case when {text} = '' then '' else {shown} end"


def allowed(table: str, query: str, columns: Iterable[str]) -> str:
    """A query for these columns of `query` and no others, its rows in their order, personal values masked.

    Raises:
        CreditPipelineError: the table or a column is not on the list, or is never to leave.
    """
    columns = list(columns)
    listed = extract_columns().get(table, {})
    unknown = sorted(set(columns) - set(listed))
    if unknown:
        raise CreditPipelineError(
            f"extract table {table}: {', '.join(unknown)} may not leave the office; remedy: list it with its level in "
            f"{COLUMNS.name}, or take it out"
        )
    shown = [f"{masked(name, listed[name].mask or 'none')} as {name}" for name in columns]
    return f"select {', '.join(shown)} from ({query})"
