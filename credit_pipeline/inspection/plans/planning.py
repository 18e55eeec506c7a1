"""The counts and rules that a what-if needs, read from the warehouse in a few queries over strata; and the year's plans.

Here: SQL and dates. The arithmetic is `simulation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.inspection.plans.simulation import Cell, Group, Means, Place, Plan, Workbench
from credit_pipeline.inspection.rounds.store import RoundStore, State
from credit_pipeline.settings import Settings
from credit_pipeline.transform.policy import policy_table
from credit_pipeline.warehouse import connect, current_as_of_date

NANO = 1_000_000_000
"""Probabilities are summed as whole numbers: the same sum on every machine."""

# What the year's ratios speak of: who may be drawn, who was drawn this year, and whom only a cap keeps away now.
_GROUPS = """
with places as (
    select
        uscc,
        concat_ws('/', plan_id, unit_id, item_code, platform_grade)
            || case when excluded_reason like 'grade\\_%\\_exempt' escape '\\' then '-' else '' end as place
    from inspection.inspection_frame
    where
        excluded_reason = ''
        or excluded_reason like 'drawn:%'
        or excluded_reason like '%visit\\_cap\\_reached' escape '\\'
        or excluded_reason like 'grade\\_%\\_exempt' escape '\\'
),
enterprises as (
    select uscc, string_agg(place, '|' order by place) as places from places group by uscc
)
select
    e.places,
    count(*) as enterprises,
    cast(sum(cast(round(coalesce(g.probability, 0) * 1000000000) as bigint)) as bigint) as breaches_nano
from enterprises e
left join grading.enterprise_grades g on g.uscc = e.uscc
group by e.places
order by e.places
"""
_CELLS = """
select
    q.plan_id, q.unit_id, q.item_code, q.platform_grade, q.ratio_bp, q.rounding, i.is_safety_related, i.max_ratio_bp
from inspection.inspection_quotas q
join inspection.plan_items i on i.plan_id = q.plan_id and i.round = q.round and i.item_code = q.item_code
order by all
"""
_PLANS = """
select plan_id, plan_template, rounds_per_year, initiator, cooperating_units from inspection.inspection_rounds order by plan_id
"""
_MEANS = """
select unit_id, count(*) as inspectors, count(*) filter (where is_leader) as leaders
from staging.stg_inspectors
where
    known_from <= $day and (known_to is null or known_to > $day) and (void_from is null or void_from > $day)
    and certificate_valid_to >= $day
group by unit_id
order by unit_id
"""
_RATES = """
select domain, rate from inspection.estimated_rates
where domain_kind = 'grade' and rate is not null
qualify row_number() over (partition by domain order by plan_year desc) = 1
order by domain
"""
_PARAMETERS = """
select parameter, cast(value as bigint) from policy.inspection_policy
where effective_from <= $day and effective_to >= $day
"""


def read_workbench(
    connection: duckdb.DuckDBPyConnection, as_of_date: date, *, with_rates: bool = True
) -> Workbench:
    """The workbench of the rounds in force.

    Args:
        with_rates: also the rates estimated from past random inspections, where that table is there.

    Raises:
        CreditPipelineError: the warehouse is older than this program, or has no round in force.
    """
    day = {"day": as_of_date}
    try:
        parameters = dict(connection.execute(_PARAMETERS, day).fetchall())
        plans = {
            str(plan_id): Plan(str(template), int(rounds), str(initiator), _parts(cooperating))
            for plan_id, template, rounds, initiator, cooperating in connection.execute(_PLANS).fetchall()
        }
        cells: dict[Place, Cell] = {
            (str(row[0]), str(row[1]), str(row[2]), str(row[3])): Cell(
                int(row[4]), str(row[5]), bool(row[6]), int(row[7])
            )
            for row in connection.execute(_CELLS).fetchall()
        }
        groups = [
            _group(str(places), int(number), int(nano))
            for places, number, nano in connection.execute(_GROUPS).fetchall()
        ]
        means = {
            str(unit): Means(int(number), int(leaders))
            for unit, number, leaders in connection.execute(_MEANS, day).fetchall()
        }
        rates = {}
        if with_rates and _has_table(connection, "inspection", "estimated_rates"):
            rates = {str(grade): float(rate) for grade, rate in connection.execute(_RATES).fetchall()}
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise CreditPipelineError(
            f"the warehouse has no plans that can be simulated ({str(error).splitlines()[0]}); remedy: credit-pipeline run"
        ) from error
    return Workbench(
        as_of_date.isoformat(), plans, cells, groups, means, parameters.get("inspectors_per_visit", 2),
        parameters.get("visits_per_team_day", 1), parameters.get("inspector_days_per_year", 120),
        parameters.get("exploration_floor_bp", 0), rates,
    )  # fmt: skip


_COLUMNS = {
    "as_of_date": ("date", "Day the result speaks for. 中文标签：数据日期"),
    "factor_bp": (
        "integer",
        "Today's ratios of C to E times this, in ten-thousandths. 中文标签：比例倍数（万分之）",
    ),
    "unit_id": ("varchar", "Unit whose inspectors go. 中文标签：单位编码"),
    "visits": ("double", "Visits expected in the year, joint ones included. 中文标签：预计检查次数"),
    "inspector_days": ("double", "Inspector-days they take. 中文标签：所需人日"),
    "capacity_days": ("bigint", "Inspector-days the unit has. 中文标签：可用人日"),
    "over_days": ("double", "Days beyond its inspectors or leaders; 0 if it fits. 中文标签：超出人日"),
    "expected_findings": (
        "double",
        "Visits to enterprises with a breach, by calibrated probabilities. 中文标签：预计发现问题数",
    ),
}


def write_what_if(connection: duckdb.DuckDBPyConnection, day: date, rows: Sequence[tuple[Any, ...]]) -> None:
    """`inspection.plan_what_if`, made anew."""
    import pyarrow as pa

    types = {"integer": pa.int32(), "varchar": pa.string(), "double": pa.float64(), "bigint": pa.int64()}
    names = list(_COLUMNS)[1:]
    schema = pa.schema([(name, types[_COLUMNS[name][0]]) for name in names])
    table = pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema)
    connection.register("what_if_rows", table)
    connection.execute("create schema if not exists inspection")
    connection.execute(
        f"create or replace table inspection.plan_what_if as select date '{day.isoformat()}' as as_of_date, * from what_if_rows"
    )
    connection.unregister("what_if_rows")
    for name, (_, words) in _COLUMNS.items():
        connection.execute(
            f"comment on column inspection.plan_what_if.{name} is '{words.replace(chr(39), chr(39) * 2)}'"
        )


def _parts(text: str | None) -> tuple[str, ...]:
    return tuple(text.split("|")) if text else ()


def _group(places: str, enterprises: int, nano: int) -> Group:
    open_: list[Place] = []
    exempt: list[Place] = []
    for text in places.split("|"):
        plan_id, unit_id, item_code, grade = text.removesuffix("-").split("/")
        (exempt if text.endswith("-") else open_).append((plan_id, unit_id, item_code, grade))
    return Group(tuple(open_), tuple(exempt), enterprises, nano / NANO)


def _has_table(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    found = connection.execute(
        "select count(*) from duckdb_tables() where schema_name = $schema and table_name = $table and database_name = current_database()",
        {"schema": schema, "table": table},
    ).fetchone()
    return bool(found and found[0])


def open_workbench(settings: Settings, template: str | None = None) -> Workbench:
    """The workbench of the lake as it stands, of one plan or of all.

    Raises:
        BadInput: no such plan is in force.
        CreditPipelineError: the lake has no run yet.
    """
    day = lake_day(settings)
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        bench = read_workbench(connection, day)
    return bench if template is None else only_plan(bench, template)


def lake_day(settings: Settings) -> date:
    """The day the lake speaks for.

    Raises:
        CreditPipelineError: the lake has no run yet.
    """
    day = current_as_of_date(settings)
    if day is None:
        raise CreditPipelineError(f"{settings.lake_dir} has no finished run yet; remedy: credit-pipeline run")
    return day


def only_plan(bench: Workbench, template: str) -> Workbench:
    """The workbench with one plan alone.

    Raises:
        BadInput: no such plan is in force.
    """
    plans = {plan_id: plan for plan_id, plan in bench.plans.items() if plan.template == template}
    if not plans:
        known = ", ".join(sorted(plan.template for plan in bench.plans.values())) or "none"
        raise BadInput(f"no plan {template!r} is in force on {bench.as_of_date}; in force: {known}")

    def kept(places: tuple[Place, ...]) -> tuple[Place, ...]:
        return tuple(place for place in places if place[0] in plans)

    merged: dict[tuple[tuple[Place, ...], tuple[Place, ...]], tuple[int, float]] = {}
    for group in bench.groups:
        mark = (kept(group.places), kept(group.exempt))
        if mark != ((), ()):
            number, breaches = merged.get(mark, (0, 0.0))
            merged[mark] = (number + group.enterprises, breaches + group.breaches)
    return Workbench(
        bench.as_of_date, plans, {place: cell for place, cell in bench.cells.items() if place[0] in plans},
        [Group(*mark, *counts) for mark, counts in merged.items()], bench.means, bench.inspectors_per_visit,
        bench.visits_per_team_day, bench.days_per_inspector, bench.exploration_floor_bp, bench.rates,
    )  # fmt: skip


@dataclass(frozen=True)
class PlannedRound:
    """One round of a plan's year."""

    plan_id: str
    plan_template: str
    title: str
    round: int
    due_date: str
    window_end: str
    state: str
    """A state of the protocol, or: not due, due (its frame is frozen by the next run)."""
    initiator: str
    cooperating_units: str
    item_codes: str
    approved_by: str
    document_no: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def planned_rounds(settings: Settings, day: date, year: int) -> list[PlannedRound]:
    """The rounds of a year's plans, by the policy in force on the day, with what the draws on file say of them.

    A round that was aborted is there, and after it the round that takes its place (its number plus the year's rounds).
    """
    store = RoundStore(settings.draws_dir)
    found = []
    for row in policy_table(settings, "inspection_plans", day).iter_rows(named=True):
        rounds = int(row["rounds_per_year"])
        plan_id = f"P{year}{row['plan_template'].upper()}"
        for part in range(1, rounds + 1):
            due = date(
                year, int(row["first_due_month"]) + (part - 1) * (12 // rounds), int(row["first_due_day"])
            )
            number = part
            while True:
                state = store.state(plan_id, number)
                found.append(
                    PlannedRound(
                        plan_id,
                        row["plan_template"],
                        row["title"],
                        number,
                        due.isoformat(),
                        (due + timedelta(days=int(row["window_days"]) - 1)).isoformat(),
                        str(state) if state is not None else ("due" if due <= day else "not due"),
                        row["initiator"],
                        row["cooperating_units"],
                        row["item_codes"],
                        row["approved_by"],
                        row["document_no"],
                    )
                )
                if state is not State.ABORTED:
                    break
                number += rounds
    return sorted(found, key=lambda item: (item.plan_id, item.due_date, item.round))


def unknown_items(settings: Settings, day: date) -> list[tuple[str, str]]:
    """Template and item of the plans in force that name neither an item group nor an item valid on the day."""
    groups = set(policy_table(settings, "inspection_item_groups", day)["item_code"])
    listed: set[str] = set()
    if Path(settings.warehouse_path).exists():
        with connect(settings, settings.warehouse_path, read_only=True) as connection:
            rows = connection.execute(
                """
                select item_code from staging.stg_inspection_items
                where known_from <= $day and (known_to is null or known_to > $day) and (void_from is null or void_from > $day)
                    and coalesce(valid_from, $day) <= $day and coalesce(valid_to, $day) >= $day
                """,
                {"day": day},
            ).fetchall()
        listed = {str(row[0]) for row in rows}
    return [
        (row["plan_template"], code)
        for row in policy_table(settings, "inspection_plans", day).iter_rows(named=True)
        for code in row["item_codes"].split("|")
        if code not in groups | listed
    ]
