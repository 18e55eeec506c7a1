"""How a round stands: per unit from the frame to the last result, its states with their days, what its proof lacks.

Here: the table `inspection.round_summary` and its words. Not here: pictures (`inspection.outcomes.result_pictures`), the progress of
visits (`inspection.outcomes.results`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import duckdb

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.inspection.draws.statements import missing_assurances
from credit_pipeline.inspection.outcomes.results import comment_tables
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.settings import TIME_ZONE

COUNTS = (
    "frame_size", "eligible", "drawn", "topped_up", "assigned", "waiting", "done", "cannot_inspect", "open", "overdue",
)  # fmt: skip
LINE = ("FRAME_FROZEN", "COMMITTED", "ENTROPY", "DRAWN", "ASSIGNED", "CLOSED")
"""The states of a round that comes to its end, in their order."""

_SUMMARY = """
create or replace table inspection.round_summary as
with rounds as (select plan_id, round, title from inspection.inspection_rounds),
frames as (
    select
        plan_id, round, unit_id, count(distinct uscc) as frame_size,
        count(distinct uscc) filter (excluded_reason = '') as eligible
    from inspection.inspection_frame
    group by plan_id, round, unit_id
),
visits as (
    select
        plan_id, round, unit_id, count(*) as drawn, count(*) filter (is_top_up) as topped_up,
        count(*) filter (inspectors > 0) as assigned,
        -- A visit that was replaced, or ended before a team was found, waits for nobody.
        count(*) filter (inspectors = 0 and state in ('open', 'overdue')) as waiting,
        count(*) filter (state = 'done') as done, count(*) filter (state in ('cannot_inspect', 'topped_up')) as cannot_inspect,
        count(*) filter (state = 'open') as open, count(*) filter (state = 'overdue') as overdue
    from inspection.inspection_progress
    where kind = 'random'
    group by plan_id, round, unit_id
),
joined as (
    select r.plan_id, r.round, r.title, u.unit_id, f.frame_size, f.eligible, v.* exclude (plan_id, round, unit_id)
    from rounds r
    join (
        select plan_id, round, unit_id from frames union select plan_id, round, unit_id from visits
    ) u using (plan_id, round)
    left join frames f using (plan_id, round, unit_id)
    left join visits v using (plan_id, round, unit_id)
)
select
    $day as as_of_date, j.plan_id, j.round, j.title, j.unit_id, coalesce(n.unit_name, '') as unit_name,
    {counts}
from joined j
left join (
    select unit_id, unit_name from policy.units where effective_from <= $day and effective_to >= $day
) n using (unit_id)
order by j.plan_id, j.round, j.unit_id
"""

COMMENTS = {
    "inspection.round_summary": (
        "在行抽查轮次各单位进度",
        {
            "as_of_date": "数据截止日",
            "plan_id": "抽查计划编号",
            "round": "轮次",
            "title": "计划名称",
            "unit_id": "单位编码",
            "unit_name": "单位名称",
            "frame_size": "名单企业数",
            "eligible": "可抽企业数",
            "drawn": "已抽取任务数（含递补）",
            "topped_up": "其中递补",
            "assigned": "已安排检查人员",
            "waiting": "待安排检查人员",
            "done": "已检查",
            "cannot_inspect": "无法检查（含已递补）",
            "open": "待检查",
            "overdue": "逾期未检查",
        },
    )
}


@dataclass(frozen=True)
class RoundLine:
    """A round in force: its states with the days on which they were reached, and what its proof lacks."""

    plan_id: str
    round: int
    title: str
    state: str
    due_date: date | None
    steps: tuple[tuple[str, str], ...]
    """(state, day in Shanghai; empty when it has not been reached)."""
    missing_assurances: tuple[str, ...]
    units: tuple[tuple[str, str, tuple[int, ...]], ...]
    """(unit, its name, counts in the order of `COUNTS`)."""

    @property
    def totals(self) -> dict[str, int]:
        return {name: sum(unit[2][place] for unit in self.units) for place, name in enumerate(COUNTS)}


def make_summary(
    connection: duckdb.DuckDBPyConnection, store: RoundStore, audit: AuditLog, as_of_date: date
) -> list[RoundLine]:
    """`inspection.round_summary` of the warehouse, and the same for people. Needs `inspection.inspection_progress`."""
    counts = ", ".join(f"coalesce(j.{name}, 0) as {name}" for name in COUNTS)
    connection.execute(_SUMMARY.replace("{counts}", counts), {"day": as_of_date})
    comment_tables(connection, COMMENTS)
    rows = connection.execute(
        f"select plan_id, round, unit_id, unit_name, {', '.join(COUNTS)} from inspection.round_summary order by 1, 2, 3"
    ).fetchall()
    rounds = connection.execute(
        "select plan_id, round, title, due_date from inspection.inspection_rounds order by plan_id, round"
    ).fetchall()
    records = {(record.plan_id, int(record.round)): record for record in store.records()}
    lines = []
    for plan_id, round_, title, due in rounds:
        record = records.get((plan_id, int(round_)))
        known = record is not None and record.frozen_date <= as_of_date
        lines.append(
            RoundLine(
                plan_id,
                int(round_),
                str(title),
                str(record.state) if known and record else "PLAN",
                due,
                (("PLAN", str(due or "")), *_steps(audit if known else None, plan_id, int(round_))),
                tuple(
                    missing_assurances([party for party, _ in record.commitments], record.entropy)
                    if known and record and record.entropy is not None
                    else ()
                ),
                tuple(
                    (row[2], row[3], tuple(int(count) for count in row[4:]))
                    for row in rows
                    if (row[0], int(row[1])) == (plan_id, int(round_))
                ),
            )
        )
    return lines


def _steps(audit: AuditLog | None, plan_id: str, round_: int) -> list[tuple[str, str]]:
    """Each state with the day of its entry in the audit log (None: nothing has begun); ABORTED only when it happened."""
    days: dict[str, str] = {}
    for record in audit.records(stage="inspection") if audit else ():
        facts = record.details
        is_of_round = (facts.get("plan_id"), facts.get("round")) == (plan_id, round_)
        if record.event.startswith("round_") and is_of_round:
            days.setdefault(record.event.removeprefix("round_").upper(), _local_day(record.time))
    line = [(state, days.get(state, "")) for state in LINE]
    return line + ([("ABORTED", days["ABORTED"])] if "ABORTED" in days else [])


def _local_day(time: str) -> str:
    moment = datetime.fromisoformat(time.replace("Z", "+00:00"))
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return moment.astimezone(ZoneInfo(TIME_ZONE)).date().isoformat()


def line_markdown(line: RoundLine) -> str:
    """The round's state line: plan → frozen → … with dates, the present state in bold."""
    parts = []
    for state, day in line.steps:
        words = f"{state} {day}".strip()
        parts.append(f"**{words}**" if state == line.state else words if day else f"{words} (not yet)")
    return f"{line.plan_id} round {line.round}: " + " → ".join(parts)


def summary_markdown(lines: Sequence[RoundLine]) -> str:
    """All rounds in force as Markdown: state line, missing assurances, units."""
    if not lines:
        return "No round is in force."
    parts = []
    for line in lines:
        head = "| unit | " + " | ".join(name.replace("_", " ") for name in COUNTS) + " |"
        rule = "|---|" + "---:|" * len(COUNTS)
        body = [
            f"| {unit} {name} | " + " | ".join(f"{count:,}" for count in counts) + " |"
            for unit, name, counts in line.units
        ]
        total = "| **all** | " + " | ".join(f"**{count:,}**" for count in line.totals.values()) + " |"
        lacking = [f"- missing: {text}" for text in line.missing_assurances] or [
            "- no assurance is missing"
            if line.state not in ("PLAN", "FRAME_FROZEN", "COMMITTED")
            else "- not drawn yet"
        ]
        parts.append(
            "\n".join([f"### {line.title}", line_markdown(line), "", *lacking, "", head, rule, total, *body])
        )
    return "\n\n".join(parts)
