"""The clock of what follows an inspection: publication of its result, rectification of what was found.

Here: the table `inspection.publication_clock`. Not here: which result belongs to which visit (`inspection.outcomes.results`), who is
told (`audit.alerts`).

A result is published within the working days of policy (20), counted from the day after the check, by the State Council's
holidays and make-up days. Years that the table of holidays does not cover count weekdays, and the row says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import duckdb

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.inspection.outcomes.results import (
    comment_tables,
    count_by_unit,
    count_rows,
    policy_value,
)

PUBLICATION_PARAMETER = "publication_working_days"
GRACE_PARAMETER = "rectification_alert_days"

_CLOCK = """
create or replace table inspection.publication_clock as
with inspections as (
    select
        r.unit_id, r.task_no, r.uscc, min(r.origin) as kind, max(r.check_date) as check_date,
        max(v.plan_id) as plan_id, max(v.round) as round, max(l.lead_id) as lead_id,
        case when count(r.published_date) = count(*) then max(r.published_date) end as published_date,
        -- What is late first: of several items the earliest day that still waits.
        coalesce(min(r.rectify_due_date) filter (r.rectified_date is null), max(r.rectify_due_date)) as rectify_due_date,
        case when count(r.rectified_date) >= count(r.rectify_due_date) then max(r.rectified_date) end as rectified_date,
        bool_or(r.rectify_due_date < r.rectified_date) as is_rectified_late
    from counted_results r
    left join visit_results v using (result_no)
    left join lead_results l using (result_no)
    where r.check_date >= make_date(year($day) - 1, 1, 1)
    group by r.unit_id, r.task_no, r.uscc
),
clocked as (
    select
        i.*, d.day as publication_due_date, b.is_covered and d.is_covered as is_calendar_covered,
        d.working_day_number - t.working_day_number as working_days_left
    from inspections i
    join quality.working_days b on b.day = i.check_date
    join quality.working_days d on d.working_day_number = b.working_day_number + $allowed and d.is_working_day
    join quality.working_days t on t.day = $day
)
select
    $day as as_of_date, unit_id, task_no, uscc, kind, plan_id, cast(round as integer) as round, lead_id, check_date,
    publication_due_date, published_date,
    case when published_date is null then cast(working_days_left as integer) end as publication_days_left,
    case
        when published_date > publication_due_date then 'published_late'
        when published_date is not null then 'published'
        when publication_due_date < $day then 'overdue'
        else 'due'
    end as publication_state,
    coalesce(is_calendar_covered, false) as is_calendar_covered,
    rectify_due_date, rectified_date,
    case when rectify_due_date is not null and rectified_date is null then cast(rectify_due_date - $day as integer) end
        as rectification_days_left,
    case
        when rectify_due_date is null then ''
        when rectified_date is not null then case when is_rectified_late then 'done_late' else 'done' end
        when rectify_due_date + cast($grace as integer) < $day then 'overdue'
        else 'due'
    end as rectification_state
from clocked
order by unit_id, task_no, uscc
"""

COMMENTS = {
    "inspection.publication_clock": (
        "检查结果公示与改正时限",
        {
            "as_of_date": "数据截止日",
            "unit_id": "单位编码",
            "task_no": "任务编号",
            "uscc": "统一社会信用代码",
            "kind": "检查来源",
            "plan_id": "抽查计划编号",
            "round": "轮次",
            "lead_id": "线索编号",
            "check_date": "检查日期",
            "publication_due_date": "应公示日（检查后的工作日期限）",
            "published_date": "公示日期",
            "publication_days_left": "距应公示日的工作日数（负数为已逾期）",
            "publication_state": "公示状态：published 按期公示，published_late 逾期公示，due 待公示，overdue 逾期未公示",
            "is_calendar_covered": "节假日表是否覆盖该期间（否则按周一至周五计）",
            "rectify_due_date": "责令改正期限",
            "rectified_date": "改正完成日期",
            "rectification_days_left": "距改正期限的天数（负数为已逾期）",
            "rectification_state": "改正状态：空为无须改正，due 待改正，overdue 逾期未改正，done 按期改正，done_late 逾期改正",
        },
    ),
}


@dataclass(frozen=True)
class Clock:
    """Counts of the day; unit ids and numbers only."""

    unpublished: Mapping[str, int] = field(default_factory=dict)
    """Unit → inspections whose result should have been published."""
    unrectified: Mapping[str, int] = field(default_factory=dict)
    """Unit → inspections whose rectification is overdue."""
    uncovered: int = 0
    """Inspections whose period lies in years without holiday table."""
    rows: int = 0


def make_clock(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> Clock:
    """`inspection.publication_clock`; after `match_results` on the same connection.

    Raises:
        CreditPipelineError: policy does not say how many working days a unit has.
    """
    allowed = policy_value(connection, PUBLICATION_PARAMETER, as_of_date)
    if allowed is None:
        raise CreditPipelineError(
            f"inspection_policy.csv has no {PUBLICATION_PARAMETER} in force on {as_of_date}; remedy: add the row (20)"
        )
    grace = policy_value(connection, GRACE_PARAMETER, as_of_date) or 0
    connection.execute(_CLOCK, {"day": as_of_date, "allowed": allowed, "grace": grace})
    comment_tables(connection, COMMENTS)
    table = "inspection.publication_clock"
    uncovered = connection.execute(f"select count(*) from {table} where not is_calendar_covered").fetchone()
    return Clock(
        unpublished=count_by_unit(connection, table, "publication_state = 'overdue'"),
        unrectified=count_by_unit(connection, table, "rectification_state = 'overdue'"),
        uncovered=int(uncovered[0]) if uncovered else 0,
        rows=count_rows(connection, table),
    )
