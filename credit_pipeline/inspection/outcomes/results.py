"""What became of the drawn visits and the leads: which result belongs to which, and how each stands.

Here: the table `inspection.inspection_progress`, made by SQL over a built warehouse after the draw (dbt's one build ends
before it). Not here: the clock (`inspection.outcomes.publication`), rates (`inspection.outcomes.rates`), alerts (`audit.alerts`).

A visit is (plan, round, unit, enterprise): all items of an enterprise that a unit drew in a round. Its task number is
`<plan_id>-<round>-<unit_id>`; a unit returns results under that number, those of a second visit under it with `-2`. A result finds its visit by the first of:
task number; plan number and unit; unit and the round's window when the result is of a random inspection. A lead's
result finds it by the lead's id as task number, else as the unit's next case check of the enterprise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import duckdb
import pyarrow as pa

from credit_pipeline.inspection.rounds.store import RoundStore

STATES = ("open", "overdue", "done", "cannot_inspect", "topped_up", "closed")
"""`closed`: a lead that ended without a check on site."""

_WINDOWS = pa.schema(
    {
        "plan_id": pa.string(),
        "round": pa.int32(),
        "window_start": pa.date32(),
        "window_end": pa.date32(),
        "cooperating_units": pa.string(),
    }
)

_COUNTED = """
    r.known_from <= $day and (r.known_to is null or r.known_to > $day)
    and (r.void_from is null or r.void_from > $day) and r.check_date <= $day
"""

_RESULTS = f"""
create or replace temporary table counted_results as
with codes as (
    select result_code, outcome from policy.inspection_result_codes
    where effective_from <= $day and effective_to >= $day
),
lists as (
    select result_codes, unnest(string_split(result_codes, '|')) as result_code
    from (select distinct coalesce(r.result_codes, '') as result_codes from staging.stg_inspection_results r where {_COUNTED})
),
meanings as (
    select
        l.result_codes,
        case
            when bool_or(c.outcome is null) then 'unknown_code'
            when count(*) > 1 and bool_or(l.result_code = 'no_problem') then 'no_problem_with_others'
            when bool_or(c.outcome = 'not_inspectable') and bool_or(c.outcome <> 'not_inspectable') then 'contradictory'
            else ''
        end as finding,
        case
            when bool_or(c.outcome = 'problem') then 4
            when bool_or(c.outcome = 'clean') then 3
            when bool_or(c.outcome = 'neutral') then 2
            when bool_or(c.outcome = 'not_inspectable') then 1
            else 0
        end as weight
    from lists l left join codes c using (result_code)
    group by l.result_codes
)
select
    r.task_no, r.plan_no, r.uscc, coalesce(r.unit_id, '') as unit_id, coalesce(r.origin, 'random') as origin,
    r.origin is null as is_origin_unknown, r.check_date, coalesce(r.result_codes, '') as result_codes, m.finding, m.weight,
    r.rectify_due_date, case when r.rectified_date <= $day then r.rectified_date end as rectified_date,
    case when r.published_date <= $day then r.published_date end as published_date,
    row_number() over (order by r.task_no, r.uscc, r.item_code nulls first) as result_no
from staging.stg_inspection_results r
join meanings m on m.result_codes = coalesce(r.result_codes, '')
where {_COUNTED}
"""

_VISITS = """
create or replace temporary table visits as
with drawn as (
    select
        plan_id, round, unit_id, uscc, max(frozen_date) as frozen_date,
        string_agg(distinct item_code, '|' order by item_code) as item_codes, bool_and(is_top_up) as is_top_up
    from inspection.inspection_draws
    where frozen_date <= $day
    group by plan_id, round, unit_id, uscc
),
replaced as (
    select distinct plan_id, round, unit_id, replaces as uscc from inspection.inspection_draws
    where is_top_up and coalesce(replaces, '') <> ''
),
owed as (
    select plan_id, round, unit_id, uscc, max(visits_planned) as visits_planned from inspection.inspection_tasks
    group by plan_id, round, unit_id, uscc
),
teams as (
    select plan_id, round, draw_unit_id as unit_id, uscc, count(distinct inspector_id) as inspectors
    from inspection.inspector_assignments
    group by plan_id, round, draw_unit_id, uscc
)
select
    d.plan_id || '-' || d.round || '-' || d.unit_id as task_no, d.*, p.uscc is not null as is_replaced,
    coalesce(t.inspectors, 0) as inspectors, w.window_start,
    coalesce(w.window_end, make_date(year(d.frozen_date), 12, 31)) as window_end,
    '|' || d.unit_id || '|' || coalesce(w.cooperating_units, '') || '|' as taking_part, coalesce(o.visits_planned, 1) as visits_planned
from drawn d
left join owed o using (plan_id, round, unit_id, uscc)
left join replaced p using (plan_id, round, unit_id, uscc)
left join teams t using (plan_id, round, unit_id, uscc)
left join round_windows w using (plan_id, round)
"""

_MATCHES = """
create or replace temporary table visit_results as
with candidates as (
    select r.result_no, v.plan_id, v.round, v.unit_id, v.uscc, v.frozen_date, 1 as place, 'task_no' as matched_by
    from counted_results r join visits v on v.task_no = r.task_no and v.uscc = r.uscc
    union all
    select r.result_no, v.plan_id, v.round, v.unit_id, v.uscc, v.frozen_date, 1, 'task_no'
    from counted_results r
    join visits v on v.task_no = regexp_replace(r.task_no, '-[0-9]{1,2}$', '') and v.task_no <> r.task_no and v.uscc = r.uscc
    union all
    select r.result_no, v.plan_id, v.round, v.unit_id, v.uscc, v.frozen_date, 2, 'plan_no'
    from counted_results r
    join visits v on
        v.plan_id = r.plan_no and v.uscc = r.uscc and r.check_date >= v.frozen_date
        and position('|' || r.unit_id || '|' in v.taking_part) > 0
    union all
    select r.result_no, v.plan_id, v.round, v.unit_id, v.uscc, v.frozen_date, 3, 'window'
    from counted_results r
    join visits v on
        v.uscc = r.uscc and r.origin = 'random' and position('|' || r.unit_id || '|' in v.taking_part) > 0
        and r.check_date between v.frozen_date and v.window_end
    where r.plan_no is null or r.plan_no not in (select plan_id from visits)
)
select * from candidates
qualify row_number() over (partition by result_no order by place, frozen_date desc, plan_id, round desc) = 1
"""

_LEAD_MATCHES = """
create or replace temporary table lead_results as
with candidates as (
    select r.result_no, l.lead_id, l.received_date, 1 as place, 'task_no' as matched_by
    from counted_results r join inspection.lead_checks l on l.lead_id = r.task_no and l.uscc = r.uscc
    union all
    select r.result_no, l.lead_id, l.received_date, 2, 'window'
    from counted_results r
    join inspection.lead_checks l on
        l.unit_id = r.unit_id and l.uscc = r.uscc and r.origin = 'case' and r.check_date >= l.received_date
        and (l.closed_date is null or r.check_date <= l.closed_date)
    where r.result_no not in (select result_no from visit_results)
)
select * from candidates
qualify row_number() over (partition by result_no order by place, received_date desc, lead_id) = 1
"""

_SUMMED = """
    max(r.check_date) as check_date,
    array_to_string(list_sort(list_distinct(flatten(list(string_split(r.result_codes, '|'))))), '|') as result_codes,
    cast(count(distinct r.check_date) as integer) as visits_done,
    string_agg(distinct nullif(r.unit_id, ''), '|' order by nullif(r.unit_id, '')) as reported_units, max(r.weight) as weight, max(r.finding) as finding, min(m.matched_by) as matched_by,
    max(r.rectify_due_date) as rectify_due_date,
    case when count(r.rectified_date) = count(r.rectify_due_date) then max(r.rectified_date) end as rectified_date,
    case when count(r.published_date) = count(*) then max(r.published_date) end as published_date
"""

_OUTCOME = "case weight when 4 then 'problem' when 3 then 'clean' when 2 then 'neutral' when 1 then 'not_inspectable' else '' end"

_PROGRESS = f"""
create or replace table inspection.inspection_progress as
with of_visits as (
    select m.plan_id, m.round, m.unit_id, m.uscc, {_SUMMED},
        bool_or(r.unit_id <> '' and position('|' || r.unit_id || '|' in v.taking_part) = 0) as is_of_other_unit,
        min(r.check_date) < max(m.frozen_date) as is_before_draw
    from visit_results m
    join counted_results r using (result_no)
    join visits v on v.plan_id = m.plan_id and v.round = m.round and v.unit_id = m.unit_id and v.uscc = m.uscc
    group by m.plan_id, m.round, m.unit_id, m.uscc
),
of_leads as (
    select m.lead_id, {_SUMMED} from lead_results m join counted_results r using (result_no) group by m.lead_id
),
rows_of_day as (
    select
        'random' as kind, v.task_no, v.plan_id, v.round, cast(null as varchar) as lead_id, v.unit_id, v.uscc, v.item_codes,
        v.is_top_up, v.is_replaced, v.inspectors, v.visits_planned,
        v.taking_part, v.frozen_date as since_date, v.window_end as due_date,
        cast(null as date) as closed_date, r.* exclude (plan_id, round, unit_id, uscc, finding, is_of_other_unit, is_before_draw),
        case
            when coalesce(r.finding, '') <> '' then r.finding
            when r.is_of_other_unit then 'checked_by_another_unit'
            when r.is_before_draw then 'checked_before_the_draw'
            else ''
        end as finding
    from visits v left join of_visits r using (plan_id, round, unit_id, uscc)
    union all by name
    select
        'case' as kind, l.lead_id as task_no, l.lead_id, coalesce(l.unit_id, '') as unit_id, l.uscc, coalesce(l.item_code, '') as item_codes,
        false as is_top_up, false as is_replaced, 0 as inspectors, 1 as visits_planned,
        '|' || coalesce(l.unit_id, '') || '|' as taking_part, l.received_date as since_date, l.closed_date,
        r.* exclude (lead_id, finding), coalesce(r.finding, '') as finding
    from inspection.lead_checks l left join of_leads r using (lead_id)
    where l.received_date <= $day
)
select
    $day as as_of_date, kind, task_no, plan_id, cast(round as integer) as round, lead_id, unit_id, uscc, item_codes, is_top_up,
    cast(inspectors as integer) as inspectors, trim(taking_part, '|') as units, cast(visits_planned as integer) as visits_planned,
    coalesce(visits_done, 0) as visits_done, coalesce(reported_units, '') as reported_units, since_date, due_date,
    case
        when is_replaced then 'topped_up'
        when weight = 1 then 'cannot_inspect'
        when visits_done >= visits_planned then 'done'
        when closed_date <= $day then 'closed'
        when due_date < $day then 'overdue'
        else 'open'
    end as state,
    check_date, coalesce(result_codes, '') as result_codes, {_OUTCOME} as outcome, coalesce(matched_by, '') as matched_by, finding,
    case when coalesce(visits_done, 0) < visits_planned and coalesce(weight, 0) <> 1 and closed_date is null and not is_replaced
        then cast(due_date - $day as integer) end as days_left,
    rectify_due_date, rectified_date, published_date
from rows_of_day
order by kind, plan_id nulls first, round nulls first, unit_id, uscc, task_no
"""

_UNMATCHED = """
select r.unit_id, count(*)
from counted_results r
where
    r.result_no not in (select result_no from visit_results)
    and (r.plan_no in (select plan_id from visits) or exists (select 1 from visits v where v.task_no = r.task_no))
group by r.unit_id order by r.unit_id
"""

COMMENTS = {
    "inspection.inspection_progress": (
        "抽查任务与线索核查的进度",
        {
            "as_of_date": "数据截止日",
            "kind": "检查来源：random 双随机，case 线索核查",
            "task_no": "任务编号（计划编号-轮次-单位编码；线索核查为线索编号）",
            "plan_id": "抽查计划编号",
            "round": "轮次",
            "lead_id": "线索编号",
            "unit_id": "单位编码",
            "uscc": "统一社会信用代码",
            "item_codes": "检查事项（以|分隔）",
            "is_top_up": "是否递补抽取",
            "inspectors": "已安排检查人员数",
            "units": "参加检查的单位（以|分隔）",
            "visits_planned": "应检查次数",
            "visits_done": "已检查次数",
            "reported_units": "已报送结果的单位（以|分隔）",
            "since_date": "名单冻结日或线索接收日",
            "due_date": "检查期限",
            "state": "状态：open 待检查，overdue 逾期未检查，done 已检查，cannot_inspect 无法检查，topped_up 已递补，closed 线索办结未现场检查",
            "check_date": "检查日期",
            "result_codes": "检查结果代码（以|分隔）",
            "outcome": "检查结论：problem 发现问题，clean 未发现问题，neutral 无相关经营活动，not_inspectable 无法检查",
            "matched_by": "结果与任务的对应依据：task_no 任务编号，plan_no 计划编号，window 单位与期间",
            "finding": "结果核对发现的疑点（空为无）",
            "days_left": "距检查期限的天数（负数为已逾期）",
            "rectify_due_date": "责令改正期限",
            "rectified_date": "改正完成日期",
            "published_date": "公示日期（全部事项公示后）",
        },
    ),
}


@dataclass(frozen=True)
class Progress:
    """Counts of the day; unit ids and numbers only."""

    states: Mapping[str, int] = field(default_factory=dict)
    overdue: Mapping[str, int] = field(default_factory=dict)
    """Unit → visits whose window has ended without a result."""
    findings: Mapping[str, int] = field(default_factory=dict)
    """Unit → visits whose results contradict themselves or the draw."""
    unmatched: Mapping[str, int] = field(default_factory=dict)
    """Unit → results under a plan of ours for an enterprise that nobody drew."""
    rows: int = 0


@dataclass(frozen=True)
class Window:
    """What the results need of a round's frozen rule."""

    plan_id: str
    round: int
    start: date | None
    end: date | None
    cooperating_units: str = ""
    """Joined by |: who takes part in the visits beside the unit that drew."""


def load_windows(connection: duckdb.DuckDBPyConnection, windows: Sequence[Window]) -> None:
    """Register the rounds as the table `round_windows` of the connection."""
    rows = [(one.plan_id, one.round, one.start, one.end, one.cooperating_units) for one in windows]
    columns = list(zip(*rows, strict=True)) or [()] * len(_WINDOWS)
    table = pa.table(dict(zip(_WINDOWS.names, map(list, columns), strict=True)), schema=_WINDOWS)
    connection.register("incoming_windows", table)
    connection.execute("create or replace temporary table round_windows as select * from incoming_windows")
    connection.unregister("incoming_windows")


def windows_of_rounds(store: RoundStore, as_of_date: date) -> list[Window]:
    """The windows of all rounds on file, as their frozen rules say."""
    found = []
    for record in store.records():
        if record.frozen_date <= as_of_date:
            rule = store.statement(record.plan_id, record.round, "rule")
            units = rule.get("cooperating_units") or []
            found.append(
                Window(
                    record.plan_id,
                    int(record.round),
                    _as_date(rule.get("window_start")),
                    _as_date(rule.get("window_end")),
                    "|".join(units),
                )
            )
    return found


def _as_date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def comment_tables(
    connection: duckdb.DuckDBPyConnection, comments: Mapping[str, tuple[str, Mapping[str, str]]]
) -> None:
    """Chinese comments on tables and columns that Python makes."""
    for table, (label, columns) in comments.items():
        connection.execute(f"comment on table {table} is '{label}'")
        for column, text in columns.items():
            connection.execute(f"comment on column {table}.{column} is '{text}'")


def match_results(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> None:
    """Temporary tables of the connection: which result known on the day belongs to which visit or lead."""
    for sql in (_RESULTS, _VISITS):
        connection.execute(sql, {"day": as_of_date})
    connection.execute(_MATCHES)
    connection.execute(_LEAD_MATCHES)


def make_progress(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> Progress:
    """`inspection.inspection_progress` of the warehouse for the day; `load_windows` has been called."""
    match_results(connection, as_of_date)
    connection.execute(_PROGRESS, {"day": as_of_date})
    comment_tables(connection, COMMENTS)
    table = "inspection.inspection_progress"
    return Progress(
        states=_counts(connection, f"select state, count(*) from {table} group by state order by state"),
        overdue=count_by_unit(connection, table, "state = 'overdue'"),
        findings=count_by_unit(connection, table, "finding <> ''"),
        unmatched=_counts(connection, _UNMATCHED),
        rows=count_rows(connection, table),
    )


def policy_value(connection: duckdb.DuckDBPyConnection, parameter: str, as_of_date: date) -> int | None:
    """A whole number of `inspection_policy` in force on the day; None when it has none."""
    row = connection.execute(
        "select max(cast(value as integer)) from policy.inspection_policy "
        "where parameter = $name and effective_from <= $day and effective_to >= $day",
        {"name": parameter, "day": as_of_date},
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def count_rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else 0


def _counts(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, int]:
    return {str(name): int(count) for name, count in connection.execute(sql).fetchall()}


def count_by_unit(connection: duckdb.DuckDBPyConnection, table: str, condition: str) -> dict[str, int]:
    return _counts(
        connection,
        f"select unit_id, count(*) from {table} where {condition} group by unit_id order by unit_id",
    )
