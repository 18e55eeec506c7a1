"""What stands in a finished extract, read from itself: its views and tables in reading order, with Chinese labels.

Workbooks and CSV files are made from the extract alone, so that they cannot say anything that it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from credit_pipeline.extracts.views import VIEWS

SHEETS = {
    "enterprises": "监管企业",
    "changes": "本期变动",
    "inspection_tasks": "抽查任务",
    "inspectors": "检查人员安排",
    "leads": "问题线索",
    "campaign_targets": "专项整治对象",
    "results_missing": "尚缺检查结果",
    "deadlines": "公示与改正时限",
    "refused_rows": "退回数据",
    "parties_to_review": "待核对主体",
    "measures": "各等级监管措施",
    "grade_changes": "等级变动记录",
    "grade_reasons": "主要影响因素",
    "grade_evidence": "依据记录",
    "drawn_items": "抽取结果明细",
    "quotas": "抽查比例与数量",
    "data_dictionary": "数据字典",
}
"""Table -> its short Chinese name, in reading order; views have Chinese names already and come before."""


@dataclass(frozen=True)
class Column:
    """One column: its name in the extract, its DuckDB type, what it is called."""

    name: str
    data_type: str
    header: str


@dataclass(frozen=True)
class Listing:
    """One view or table of the extract as a list for people."""

    name: str
    title: str
    """At most 31 characters, as a sheet of a workbook is called."""
    question: str
    columns: tuple[Column, ...]
    rows: int


@dataclass(frozen=True)
class Notice:
    """Whose extract it is, and what must be kept to."""

    unit_id: str
    unit_name: str
    as_of_date: str
    release_seq: int
    contract_version: int
    text: str
    watermark: str


def read_notice(connection: duckdb.DuckDBPyConnection) -> Notice:
    """The notice of the extract."""
    [row] = connection.execute(
        "select unit_id, unit_name, as_of_date::varchar, release_seq, contract_version, notice, watermark from notice"
    ).fetchall()
    return Notice(*row)


def listings(connection: duckdb.DuckDBPyConnection) -> list[Listing]:
    """Every view and table but the notice, in reading order; one that is not known here comes last by name."""
    described: dict[str, list[tuple[str, str, str]]] = {}
    for table, column, data_type, comment in connection.execute(
        """select table_name, column_name, data_type, coalesce(comment, '') from duckdb_columns()
        where database_name = current_database() and not internal order by table_name, column_index"""
    ).fetchall():
        described.setdefault(table, []).append((column, data_type, comment))
    comments = dict(
        connection.execute(
            """select table_name, coalesce(comment, '') from duckdb_tables() where database_name = current_database()
            union all
            select view_name, coalesce(comment, '') from duckdb_views() where database_name = current_database() and not internal"""
        ).fetchall()
    )
    views = [view.name for view in VIEWS]
    known = [*views, *SHEETS]
    names = [name for name in known if name in described]
    names += sorted(set(described) - set(known) - {"notice"})
    found = []
    for name in names:
        [(rows,)] = connection.execute(f'select count(*) from "{name}"').fetchall()
        columns = _columns(described[name], is_view=name in views)
        found.append(Listing(name, SHEETS.get(name, name)[:31], comments.get(name, ""), columns, rows))
    return found


def _columns(described: Sequence[tuple[str, str, str]], *, is_view: bool) -> tuple[Column, ...]:
    """Columns of views are Chinese; those of tables are called as the comment says before its explanation."""
    short = [name if is_view else comment.split("（")[0] or name for name, _, comment in described]
    return tuple(
        Column(name, data_type, header if short.count(header) == 1 else comment)
        for (name, data_type, comment), header in zip(described, short, strict=True)
    )
