"""What each day graded, kept in the lake: the full state of the newest days and month-ends, the changes of all days.

`LAKE/grades/as_of=D/` holds `grades.parquet` (one row per enterprise: grade, path, vetoes, score, reasons, micro points of
every indicator), `changes.parquet` (whose grade differs from the latest earlier stored day, with the reason) and
`day.parquet` (counts per grade, policy, model, SHA-256 of the other two). `day.parquet` is written last and makes the day
count; when a day is written anew it goes first. So a run that is killed leaves a day that does not count, never half a one.

A replay of a past day stores nothing: what was said on a day stays said, whatever the policy pack says today. It compares.
The grades themselves are dbt's (`grading/enterprise_grades`); who reads the history: extracts, `explain`, and, through
`macros/grade_history.sql`, the models that need what was said before the day.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from credit_pipeline.settings import Settings
from credit_pipeline.transform.policy import policy_parameter
from credit_pipeline.warehouse import RunTarget, connect

log = logging.getLogger(__name__)

_PARQUET = "(format parquet, compression zstd, row_group_size 122880)"
STATE_COLUMNS = (
    "as_of_date", "uscc", "platform_grade", "path", "decided_grade", "veto_codes", "score_micro", "probability",
    "data_completeness", "negative_record_count",
    *(f"reason_{place}" for place in range(1, 6)), *(f"over_{place}" for place in range(1, 6)),
    "policy_version", "model_digest",
)  # fmt: skip
_HISTORY = """
create or replace table grading.grade_history as
select * from ({changes}) as c where as_of_date <= date '{day}'
order by as_of_date, uscc
"""
_COMMENTS = {
    "as_of_date": "等级变动之日",
    "uscc": "统一社会信用代码",
    "previous_date": "与之比较的上一结果日",
    "old_grade": "原等级",
    "new_grade": "新等级，空为不再定级",
    "reason": "变动原因代码",
    "detail": "变动原因明细（直接判定情形或指标及其得分变动，百万分之一）",
    "policy_version": "政策版本",
    "model_digest": "模型摘要",
}


@dataclass(frozen=True)
class StoredDay:
    """What became of a day; counts only."""

    graded: int
    changed: int
    history_rows: int
    is_stored: bool
    """False for a replay."""
    agrees: bool | None
    """Of a replay: whether it gave what the day gave; None when the day was never stored."""


def day_dir(settings: Settings, as_of_date: date) -> Path:
    """The folder of a stored day."""
    return settings.grades_dir / f"as_of={as_of_date.isoformat()}"


def stored_days(settings: Settings) -> list[date]:
    """The days that count, in order."""
    found = settings.grades_dir.glob("as_of=*/day.parquet")
    return sorted(date.fromisoformat(path.parent.name.removeprefix("as_of=")) for path in found)


def state_path(settings: Settings, as_of_date: date) -> Path | None:
    """The full state of a stored day, if it is kept."""
    path = day_dir(settings, as_of_date) / "grades.parquet"
    return path if path.exists() and (path.parent / "day.parquet").exists() else None


def state_digest(settings: Settings, as_of_date: date) -> str | None:
    """SHA-256 of a stored day's full state, known even when the state itself is no longer kept."""
    import pyarrow.parquet as pq

    path = day_dir(settings, as_of_date) / "day.parquet"
    if not path.exists():
        return None
    digests = pq.read_table(path, columns=["state_sha256"])["state_sha256"].to_pylist()
    return str(digests[0]) if digests else None


def store_day(settings: Settings, target: RunTarget) -> StoredDay:
    """Store what the warehouse of a run says, or compare it when the run replays a past day; load the history table."""
    day = target.as_of_date
    stage = settings.grades_dir / f".stage-{day.isoformat()}"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True, mode=0o700)
    try:
        with connect(settings, target.path) as connection:
            digest = write_state(connection, stage / "grades.parquet")
            graded = _count(connection, f"read_parquet('{stage / 'grades.parquet'}')")
            if target.is_replay:
                before = state_digest(settings, day)
                changed, agrees = 0, None if before is None else before == digest
                if agrees is False:
                    log.warning("grades: %s computed again differs from what was stored that day", day)
            else:
                changed, agrees = _store(settings, connection, day, stage, digest), None
                _forget_old_states(settings, day)
            rows = load_history(settings, connection, day)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return StoredDay(graded, changed, rows, not target.is_replay, agrees)


def write_state(connection: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Write the full state of a warehouse as Parquet, the same bytes for the same rows; return its SHA-256."""
    columns = ", ".join(f"g.{name}" for name in STATE_COLUMNS)
    connection.execute(
        f"""
        copy (
            select {columns}, s.* exclude (as_of_date, uscc, score_micro, probability, model_digest)
            from grading.enterprise_grades as g join grading.enterprise_scores as s using (uscc)
            order by g.uscc
        ) to '{path}' {_PARQUET}
        """
    )
    path.chmod(0o600)
    return _sha256(path)


def _store(
    settings: Settings, connection: duckdb.DuckDBPyConnection, day: date, stage: Path, digest: str
) -> int:
    """Put a day's three files in place; returns how many grades changed."""
    changes, facts = stage / "changes.parquet", stage / "day.parquet"
    earlier = [found for found in stored_days(settings) if found < day]
    before = earlier[-1] if earlier else None
    sql = changes_sql(
        connection,
        day,
        stage / "grades.parquet",
        before,
        state_path(settings, before) if before else None,
        _grades_by_changes(settings, earlier),
    )
    connection.execute(f"copy ({sql}) to '{changes}' {_PARQUET}")
    changed = _count(connection, f"read_parquet('{changes}')")
    connection.execute(
        f"""
        copy (
            select
                date '{day}' as as_of_date, b.platform_grade, coalesce(n.enterprise_count, 0) as enterprise_count,
                coalesce(n.enterprise_count * 10000 // nullif(sum(n.enterprise_count) over (), 0), 0)::bigint as share_bp,
                n.policy_version, n.model_digest, '{digest}' as state_sha256, '{_sha256(changes)}' as changes_sha256
            from (select unnest(['A', 'B', 'C', 'D', 'E']) as platform_grade) as b
            left join (
                select platform_grade, count(*) as enterprise_count, max(policy_version) as policy_version,
                    max(model_digest) as model_digest
                from read_parquet('{stage / "grades.parquet"}') group by platform_grade
            ) as n using (platform_grade)
            order by b.platform_grade
        ) to '{facts}' {_PARQUET}
        """
    )
    folder = day_dir(settings, day)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if _same(folder, stage):
        return changed
    (folder / "day.parquet").unlink(missing_ok=True)
    for name in ("grades.parquet", "changes.parquet", "day.parquet"):
        (stage / name).chmod(0o600)
        (stage / name).replace(folder / name)
    return changed


def _same(folder: Path, stage: Path) -> bool:
    return all(
        (folder / name).exists() and _sha256(folder / name) == _sha256(stage / name)
        for name in ("day.parquet", "grades.parquet", "changes.parquet")
    )


def changes_sql(
    connection: duckdb.DuckDBPyConnection,
    day: date,
    state: Path,
    before: date | None,
    before_state: Path | None,
    before_grades: str,
) -> str:
    """The query of a day's changes.

    Reasons, the first that holds: `first_graded`; `left_register`; `veto_ended` or `veto_began` (detail: the codes) when
    a veto decided the grade before or decides it now; `objection` when a pending objection holds the grade or no longer
    does; `data_poor` when the neutral path begins or ends; `model_changed`; `policy_changed`; `indicators` (detail: the
    one or two whose points moved the score most towards the new grade, with the difference in micro points; empty when
    the state of the day before is no longer kept).
    """
    new = f"read_parquet('{state}')"
    empty = "cast(null as varchar)"
    if before is None or before_state is None:
        old = f"""(select uscc, new_grade as platform_grade, {empty} as path, {empty} as veto_codes,
            {empty} as model_digest, {empty} as policy_version from ({before_grades}))"""
    else:
        old = f"read_parquet('{before_state}')"
    veto_paths = "('veto', 'floor')"
    base = f"""
        select
            coalesce(n.uscc, o.uscc) as uscc, o.platform_grade as old_grade, n.platform_grade as new_grade,
            o.veto_codes as old_vetoes, n.veto_codes as new_vetoes, n.policy_version, n.model_digest,
            case
                when o.uscc is null then 'first_graded'
                when n.uscc is null then 'left_register'
                when o.path is null then 'indicators'
                when o.veto_codes <> n.veto_codes and n.path in {veto_paths} and n.platform_grade > o.platform_grade
                    then 'veto_began'
                when o.veto_codes <> n.veto_codes and o.path in {veto_paths} and n.platform_grade < o.platform_grade
                    then 'veto_ended'
                when (o.path = 'objection') <> (n.path = 'objection') then 'objection'
                when (o.path in ('insufficient_data', 'new_enterprise')) <> (n.path in ('insufficient_data', 'new_enterprise'))
                    then 'data_poor'
                when o.model_digest <> n.model_digest then 'model_changed'
                when o.policy_version <> n.policy_version then 'policy_changed'
                else 'indicators'
            end as reason
        from {new} as n full join {old} as o on o.uscc = n.uscc
        where n.platform_grade is distinct from o.platform_grade
    """
    columns = _point_columns(connection, state)
    both = [
        name for name in columns if before_state and name in set(_point_columns(connection, before_state))
    ]
    if both:
        moved = f"""
            select uscc, string_agg(name || ':' || printf('%+d', difference), '|' order by place) as detail
            from (
                select
                    *,
                    row_number() over (
                        partition by uscc order by abs(difference) desc, name
                    ) as place
                from (
                    select uscc, unnest([{", ".join(f"'{name.removeprefix('p_')}'" for name in both)}]) as name,
                        unnest([{", ".join(f"n.{name} - o.{name}" for name in both)}]) as difference,
                        c.new_grade > c.old_grade as is_worse
                    from (select * from differing where reason = 'indicators') as c
                    join {new} as n using (uscc)
                    join {old} as o using (uscc)
                )
                where difference <> 0 and (difference > 0) = is_worse
            )
            where place <= 2
            group by uscc
        """
    else:
        moved = "select cast(null as varchar) as uscc, cast(null as varchar) as detail where false"
    lost = "list_filter(string_split(c.old_vetoes, '|'), lambda x: not list_contains(string_split(c.new_vetoes, '|'), x))"
    won = "list_filter(string_split(c.new_vetoes, '|'), lambda x: not list_contains(string_split(c.old_vetoes, '|'), x))"
    return f"""
        with differing as materialized ({base}), moved as ({moved})
        select
            date '{day}' as as_of_date, c.uscc, {f"date '{before}'" if before else "cast(null as date)"} as previous_date,
            c.old_grade, c.new_grade, c.reason,
            case c.reason
                when 'veto_began' then array_to_string({won}, '|')
                when 'veto_ended' then array_to_string({lost}, '|')
                else coalesce(m.detail, '')
            end as detail,
            c.policy_version, c.model_digest
        from differing as c left join moved as m using (uscc)
        order by c.uscc
    """


def _point_columns(connection: duckdb.DuckDBPyConnection, state: Path) -> list[str]:
    described = connection.execute(f"describe select * from read_parquet('{state}')").fetchall()
    return [row[0] for row in described if row[0].startswith("p_")]


def _changes(settings: Settings, days: Sequence[date]) -> str:
    files = [str(settings.grades_dir / "_schema" / "changes.parquet")]
    files += [str(day_dir(settings, day) / "changes.parquet") for day in days]
    return f"select * from read_parquet({files!r})"


def _grades_by_changes(settings: Settings, days: Sequence[date]) -> str:
    """Every enterprise's grade after these days, put together from the changes."""
    return f"""
        select uscc, new_grade from ({_changes(settings, days)})
        qualify row_number() over (partition by uscc order by as_of_date desc) = 1 and new_grade is not null
    """


def load_history(settings: Settings, connection: duckdb.DuckDBPyConnection, day: date) -> int:
    """`grading.grade_history` of a warehouse: every change of all stored days up to the day. Returns the rows."""
    days = [found for found in stored_days(settings) if found <= day]
    connection.execute("create schema if not exists grading")
    connection.execute(_HISTORY.format(changes=_changes(settings, days), day=day))
    connection.execute("comment on table grading.grade_history is '企业信用等级变动记录'")
    for name, comment in _COMMENTS.items():
        connection.execute(f"comment on column grading.grade_history.{name} is '{comment}'")
    return _count(connection, "grading.grade_history")


def _forget_old_states(settings: Settings, day: date) -> None:
    """Remove full states that policy no longer wants; changes and counts stay for ever."""
    days = [found for found in stored_days(settings) if found <= day]
    newest = set(days[-max(policy_parameter(settings, "grade_days_kept", day), 2) :])
    month_ends = {(found.year, found.month): found for found in days}
    kept = newest | set(
        sorted(month_ends.values())[-(policy_parameter(settings, "grade_month_ends_kept", day) + 1) :]
    )
    for found in days:
        if found not in kept:
            (day_dir(settings, found) / "grades.parquet").unlink(missing_ok=True)


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"select count(*) from {relation}").fetchone()
    return int(row[0]) if row else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
