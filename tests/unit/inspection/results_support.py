"""A warehouse after the draw, made by hand: two units, one plan, results as units send them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb
import pyarrow as pa

DAY = date(2026, 6, 30)
FROZEN = date(2026, 3, 2)
WINDOW = (date(2026, 3, 2), date(2026, 6, 15))
PLAN = "P2026GENERAL"
FOREVER = "date '2015-01-01' as effective_from, date '9999-12-31' as effective_to"
WEEKDAYS_OFF = {date(2026, 5, 1), date(2026, 5, 4), date(2026, 5, 5)}
MADE_UP = {date(2026, 5, 9)}


@dataclass
class Record:
    """What a round's record says, as far as the results read it."""

    plan_id: str = PLAN
    round: int = 1
    frozen_date: date = FROZEN
    state: str = "ASSIGNED"
    files: dict[str, str] = field(default_factory=lambda: {"draw.parquet": ""})
    commitments: tuple[tuple[str, str], ...] = (("credit_office", "00"),)
    entropy: str | None = "NONE"


@dataclass
class Rounds:
    """A store of rounds with their frames and quotas."""

    found: list[Record] = field(default_factory=lambda: [Record()])
    tables: dict[tuple[str, int, str], pa.Table] = field(default_factory=dict)
    cooperating: list[str] = field(default_factory=list)

    def records(self) -> list[Record]:
        return self.found

    def table(self, plan_id: str, round_: int, name: str) -> pa.Table:
        return self.tables[plan_id, round_, name]

    def statement(self, plan_id: str, round_: int, name: str) -> dict[str, Any]:
        return {
            "window_start": WINDOW[0].isoformat(),
            "window_end": WINDOW[1].isoformat(),
            "cooperating_units": self.cooperating,
        }


def working_days() -> list[tuple[date, bool, bool, int]]:
    """Every day of 2025 to 2027 with the number of working days up to it; 2027 is not covered."""
    day, number, rows = date(2025, 1, 1), 0, []
    while day.year < 2028:
        is_working = (day.isoweekday() < 6 and day not in WEEKDAYS_OFF) or day in MADE_UP
        number += is_working
        rows.append((day, is_working, day.year < 2027, number))
        day += timedelta(days=1)
    return rows


def warehouse() -> duckdb.DuckDBPyConnection:
    """Empty tables of every kind that the results read, and the policy of the shipped pack."""
    connection = duckdb.connect()
    connection.execute(f"""
        create schema inspection; create schema staging; create schema policy; create schema quality; create schema enterprises;
        create table inspection.inspection_draws (plan_id varchar, round integer, frozen_date date, unit_id varchar,
            item_code varchar, uscc varchar, platform_grade varchar, rank bigint, stratum_size bigint, quota bigint,
            ticket varchar, is_top_up boolean, replaces varchar);
        create table inspection.inspector_assignments (plan_id varchar, round integer, unit_id varchar, draw_unit_id varchar,
            uscc varchar, inspector_id varchar, role varchar, position integer, eligible_count integer, rank_taken integer,
            skipped varchar, wave integer);
        create table inspection.inspection_rounds (plan_id varchar, round integer, title varchar, due_date date,
            window_start date, window_end date);
        create table inspection.inspection_frame (plan_id varchar, round integer, unit_id varchar, item_code varchar,
            uscc varchar, excluded_reason varchar);
        create table inspection.inspection_tasks (plan_id varchar, round integer, unit_id varchar, uscc varchar,
            visit_no integer, visits_planned integer);
        create table inspection.lead_checks (lead_id varchar, lead_type varchar, uscc varchar, unit_id varchar,
            received_date date, scope varchar, item_code varchar, source_ref varchar, closed_date date);
        create table staging.stg_inspection_results (task_no varchar, plan_no varchar, item_code varchar, uscc varchar,
            check_date date, unit_id varchar, origin varchar, result_codes varchar, rectify_due_date date,
            rectified_date date, published_date date, known_from date, known_to date, void_from date);
        create table enterprises.enterprises (uscc varchar, industry_section varchar, region varchar);
        create table quality.working_days (day date, is_working_day boolean, is_covered boolean, working_day_number bigint);
        create table policy.inspection_policy as select 'publication_working_days' as parameter, '20' as value, {FOREVER};
        create table policy.units as select 'U1' as unit_id, '甲局' as unit_name, {FOREVER};
        create table policy.regions as select '411302' as region, '宛城区' as region_name, {FOREVER};
        create table policy.industry_divisions as select 'C' as section, '制造业' as section_label, {FOREVER};
        create table policy.inspection_result_codes as select *, {FOREVER} from (values
            ('no_problem', 'clean'), ('corrected', 'problem'), ('unreachable', 'problem'), ('no_activity', 'neutral'),
            ('cancelled', 'not_inspectable'), ('moved_out', 'not_inspectable')) as c(result_code, outcome);
    """)
    connection.executemany("insert into quality.working_days values (?, ?, ?, ?)", working_days())
    connection.execute(
        "insert into inspection.inspection_rounds values (?, 1, '年度计划', date '2026-01-01', ?, ?)",
        [PLAN, *WINDOW],
    )
    return connection


def draw(
    connection: duckdb.DuckDBPyConnection,
    unit: str,
    uscc: str,
    items: Sequence[str] = ("GENERAL",),
    **more: Any,
) -> None:
    """One drawn enterprise, with two inspectors."""
    for item in items:
        connection.execute(
            "insert into inspection.inspection_draws values (?, ?, ?, ?, ?, ?, ?, 1, 10, 1, 't', ?, ?)",
            [
                more.get("plan_id", PLAN), more.get("round", 1), more.get("frozen", FROZEN), unit, item, uscc,
                more.get("grade", "C"), "replaces" in more, more.get("replaces", ""),
            ],
        )  # fmt: skip
    for position in range(more.get("inspectors", 2)):
        connection.execute(
            "insert into inspection.inspector_assignments values (?, ?, ?, ?, ?, ?, 'member', ?, 3, 1, '', 1)",
            [more.get("plan_id", PLAN), more.get("round", 1), unit, unit, uscc, f"{unit}-{position}", position + 1],
        )  # fmt: skip


def result(connection: duckdb.DuckDBPyConnection, task: str, uscc: str, codes: str, **more: Any) -> None:
    """One row of the feed, known from the day after the check."""
    checked = more.get("checked", date(2026, 4, 20))
    connection.execute(
        "insert into staging.stg_inspection_results values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null, null)",
        [
            task, more.get("plan"), more.get("item"), uscc, checked, more.get("unit", "U1"), more.get("origin", "random"),
            codes, more.get("rectify_due"), more.get("rectified"), more.get("published"),
            more.get("known", checked + timedelta(days=1)),
        ],
    )  # fmt: skip
