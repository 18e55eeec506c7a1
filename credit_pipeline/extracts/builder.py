"""What a unit receives: which tables and views its extract holds, their Chinese comments, and the notice on top.

Only the unit's own enterprises and only the columns listed in the tables' modules (an allow-list). How the file is
encrypted and replaced is `extracts.publish`; what it may contain is decided here and in the modules of tables, nowhere
else. Rows of all units are prepared once a run; an extract is a slice of them.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa

from credit_pipeline.extracts.changes import CHANGES, prepare_state
from credit_pipeline.extracts.classification import allowed
from credit_pipeline.extracts.correction_tables import CORRECTION_TABLES, read_quarantine
from credit_pipeline.extracts.encrypted_file import Comments
from credit_pipeline.extracts.extract_table import ExtractTable
from credit_pipeline.extracts.grade_tables import GRADE_TABLES
from credit_pipeline.extracts.inspection_tables import INSPECTION_TABLES
from credit_pipeline.extracts.shared_tables import SHARED
from credit_pipeline.extracts.views import VIEWS

CONTRACT_VERSION = 4
"""Raised when a table, view or column that units rely on goes or changes its type (tests/unit/extracts/contract.json)."""

NOTICE = (
    "内部资料，注意保密。企业信用风险等级是市场监管部门配置监管资源的参考指标，不得向社会公开；"
    "不得单独作为行政处罚、许可限制等决定的依据。本数据仅供接收单位在法定职责范围内使用。"
)
EXTRACT_TABLES: dict[str, ExtractTable] = {
    table.name: table for table in (*GRADE_TABLES, CHANGES, *INSPECTION_TABLES, *CORRECTION_TABLES)
}
"""In the order in which they are prepared."""
_NOTICE_COLUMNS = {
    "unit_id": "接收单位编码",
    "unit_name": "接收单位",
    "as_of_date": "数据截止日",
    "release_seq": "数据包期号",
    "contract_version": "数据约定版本",
    "notice": "须知",
    "watermark": "本单位本期专用标识（用于泄密溯源）",
}
_DICTIONARY_COLUMNS = {
    "kind": "表或视图",
    "table_name": "表或视图名",
    "table_label": "内容",
    "column_name": "字段",
    "label": "含义",
}


def prepare_extracts(
    connection: duckdb.DuckDBPyConnection,
    as_of_date: date,
    *,
    quarantine_dir: Path | None = None,
    state_dir: Path | None = None,
) -> None:
    """Make the rows of all units, as temporary tables of the connection.

    Args:
        quarantine_dir: refused rows of the lake; None: none are known.
        state_dir: what earlier extracts told (`extracts.changes`); None: nothing to compare with.
    """
    day = as_of_date.isoformat()
    for sql in SHARED:
        connection.execute(sql.replace("{day}", day))
    read_quarantine(connection, quarantine_dir)
    for table in EXTRACT_TABLES.values():
        if table is CHANGES:
            prepare_state(connection, as_of_date, state_dir)
        connection.execute(table.prepare_sql(day))


def unit_tables(
    unit_id: str, unit_name: str, as_of_date: date, *, release_seq: int = 0, watermark: str = ""
) -> dict[str, str | pa.Table]:
    """All tables of one unit's extract, as queries over what `prepare_extracts` made or as finished tables."""
    tables: dict[str, str | pa.Table] = {
        name: allowed(name, table.slice_sql(unit_id), table.columns) for name, table in EXTRACT_TABLES.items()
    }
    tables["notice"] = pa.table(
        {
            "unit_id": [unit_id],
            "unit_name": [unit_name],
            "as_of_date": pa.array([as_of_date], pa.date32()),
            "release_seq": pa.array([release_seq], pa.int32()),
            "contract_version": pa.array([CONTRACT_VERSION], pa.int32()),
            "notice": [NOTICE],
            "watermark": [watermark],
        }
    )
    tables["data_dictionary"] = _data_dictionary()
    return tables


def _data_dictionary() -> pa.Table:
    rows = [
        (kind, name, comments.table, column, label)
        for name, comments in extract_comments().items()
        for kind in ["视图" if name in {view.name for view in VIEWS} else "表"]
        for column, label in comments.columns.items()
    ]
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(_DICTIONARY_COLUMNS)})


def extract_comments() -> dict[str, Comments]:
    """Chinese comments of every table and view and their columns: views first, then tables."""
    return {
        **{view.name: Comments(view.question, view.columns) for view in VIEWS},
        **{name: table.comments for name, table in EXTRACT_TABLES.items()},
        "notice": Comments("使用须知与保密要求", _NOTICE_COLUMNS),
        "data_dictionary": Comments("数据字典", _DICTIONARY_COLUMNS),
    }


def unit_views(*, shows_grade_to_inspectors: bool = False) -> dict[str, str]:
    """View -> its query over the extract's own tables, in the order of creation (a view may read an earlier one)."""
    grade = "t.信用风险等级" if shows_grade_to_inspectors else "cast(null as varchar)"
    return {view.name: view.sql.replace("{inspector_grade}", grade) for view in VIEWS}
