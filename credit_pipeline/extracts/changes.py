"""What changed for a unit since the release of an earlier day: enterprises added, removed, changed, in words.

The state that a day's extracts told is kept as `LAKE/extract_state/<as_of_date>.parquet`: per unit and enterprise its
grades and a digest of each group of columns. A day is compared with the newest state of an earlier day, so that the same
day again gives the same table.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from credit_pipeline.audit.log import fsync_directory
from credit_pipeline.extracts.extract_table import ExtractTable, words

KEPT_STATES = 3
"""Days kept: the current one, the one it was compared with, and one more should the current be taken back."""
ACTIONS = {"added": "新增", "removed": "移除", "changed": "变更"}
_GROUPS = {
    "register_digest": ("登记信息", "enterprise_name, status, region, industry_section, established_date, is_safety_related, safety_tags"),
    "veto_digest": ("直接判定情形", "veto_text"),
    "reason_digest": ("主要影响因素", "reason_1, reason_2, reason_3"),
    "visit_digest": ("检查情况", "last_checked_on, visits_this_year, visits_planned"),
}  # fmt: skip
"""Digest -> what its columns are called together, and which columns of `enterprises` it speaks for."""
_GRADES = {"platform_grade": "市平台信用风险等级", "unit_grade": "本单位综合等级"}
_DIGESTS = ", ".join(
    f"md5_number_lower(to_json([{', '.join(f'{column.strip()}::varchar' for column in columns.split(','))}])::varchar) as {name}"
    for name, (_, columns) in _GROUPS.items()
)
_NOW = f"""
    create or replace temporary table extract_state_now as
    with told as (select scope_no, uscc, enterprise_name, platform_grade, {_DIGESTS} from extract_of_enterprises)
    select
        s.unit_id, t.uscc, t.enterprise_name, t.platform_grade, g.unit_grade, {", ".join(f"t.{name}" for name in _GROUPS)}
    from told t
    join extract_scopes s using (scope_no)
    left join grading.unit_grades g on g.unit_id = s.unit_id and g.uscc = t.uscc
"""
_COMPARED = (*_GRADES, *_GROUPS)
_WHAT = ", ".join(
    f"case when n.{name} is distinct from b.{name} then '{label}' end"
    for name, label in (_GRADES | {name: group[0] for name, group in _GROUPS.items()}).items()
)

CHANGES = ExtractTable(
    "changes",
    "与上一数据日相比的企业增减与变动（首个数据包为空）",
    f"""
    with compared as (
        select
            coalesce(n.unit_id, b.unit_id) as unit_id, coalesce(n.uscc, b.uscc) as uscc, b.since,
            case when b.uscc is null then 'added' when n.uscc is null then 'removed' else 'changed' end as change,
            coalesce(n.enterprise_name, b.enterprise_name) as enterprise_name, concat_ws('；', {_WHAT}) as what,
            b.platform_grade as old_grade, n.platform_grade as new_grade
        from extract_state_now n
        full join extract_state_before b on b.unit_id = n.unit_id and b.uscc = n.uscc
        where n.uscc is null or b.uscc is null or {" or ".join(f"n.{name} is distinct from b.{name}" for name in _COMPARED)}
    )
    select
        c.unit_id, (select max(since) from extract_state_before) as since, {words("c.change", ACTIONS)} as change, c.uscc,
        case when w.uscc is null then c.enterprise_name end as enterprise_name,
        case when c.change = 'changed' then c.what else '' end as what, c.old_grade, c.new_grade
    from compared c
    left join extract_withheld w on w.uscc = c.uscc
    where exists (select 1 from extract_state_before)
    """,
    {
        "since": "对比的数据日",
        "change": "变动（新增、移除、变更）",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "what": "变更内容",
        "old_grade": "原市平台等级",
        "new_grade": "现市平台等级",
    },
    "by_unit",
    "r.change desc, r.uscc",
)


def prepare_state(connection: duckdb.DuckDBPyConnection, as_of_date: date, state_dir: Path | None) -> None:
    """Make the state of today and of the newest earlier day that was published, if there is one."""
    connection.execute(_NOW)
    earlier = None if state_dir is None else _newest_before(state_dir, as_of_date)
    source = "extract_state_now where false" if earlier is None else f"read_parquet({_literal(earlier)})"
    since = "null" if earlier is None else f"'{earlier.stem}'"
    connection.execute(
        f"create or replace temporary table extract_state_before as select *, {since}::date as since from {source}"
    )


def keep_state(connection: duckdb.DuckDBPyConnection, as_of_date: date, state_dir: Path) -> Path:
    """Keep the state of today, once every unit has its extract; the same day again gives the same file."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = state_dir / f"{as_of_date.isoformat()}.parquet"
    draft = state_dir / f".{path.name}.part"
    connection.execute(
        f"copy (select * from extract_state_now order by unit_id, uscc) to {_literal(draft)} (format parquet, compression zstd)"
    )
    draft.chmod(0o600)
    draft.replace(path)
    for old in _states(state_dir)[:-KEPT_STATES]:
        old.unlink()
    fsync_directory(state_dir)
    return path


def _states(state_dir: Path) -> list[Path]:
    return sorted(state_dir.glob("[0-9]*.parquet"))


def _newest_before(state_dir: Path, as_of_date: date) -> Path | None:
    earlier = [path for path in _states(state_dir) if path.stem < as_of_date.isoformat()]
    return earlier[-1] if earlier else None


def _literal(path: Path) -> str:
    return "'" + path.as_posix().replace("'", "''") + "'"
