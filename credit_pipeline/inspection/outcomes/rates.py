"""Rates of breaches in the whole city from what the drawn visits found, and what the draw by grades gained.

Here: who belongs to which cell of which round, and the tables `inspection.estimated_rates` and `inspection.hit_rates`.
Not here: the arithmetic (`inspection.outcomes.estimation`), pictures (`inspection.outcomes.result_pictures`).

What is estimated is the share of objects (unit x enterprise) where an inspection by the unit finds a breach, among those
that could be drawn in the year and can be inspected. A enterprises that do not concern safety cannot be drawn: nothing is
said of them. Grade-level counts only: no unit x grade.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.outcomes import estimation
from credit_pipeline.inspection.outcomes.rate_words import COMMENTS
from credit_pipeline.inspection.outcomes.results import comment_tables, policy_value
from credit_pipeline.inspection.rounds.store import RoundStore, State

Objects = npt.NDArray[np.object_]
GRADES = ("A", "B", "C", "D", "E")
YEARS_PARAMETER, YEARS_DEFAULT = "estimate_years", 2

_OBJECTS_SCHEMA = """
create or replace temporary table round_objects (
    place integer, plan_id varchar, round integer, unit_id varchar, uscc varchar, platform_grade varchar, items varchar, pi double
)
"""

# What an earlier round of the year drew stays out of a later frame, but it would have had its chance there:
# without it, 1 - prod(1 - pi) would be too small for exactly those that were drawn.
_ROUND_OBJECTS = """
insert into round_objects
with cells as (
    select unit_id, item_code, platform_grade, quota / stratum_size as pi from frozen_quotas
    where quota > 0 and stratum_size > 0
),
earlier as (
    select distinct unit_id, uscc from inspection.inspection_draws
    where starts_with(plan_id, $year) and (frozen_date, plan_id, round) < ($frozen, $plan, $round) and not is_top_up
)
select
    $place, $plan, $round, f.unit_id, f.uscc, max(f.platform_grade), string_agg(f.item_code, '+' order by f.item_code), max(c.pi)
from frozen_frame f
join cells c on c.unit_id = f.unit_id and c.item_code = f.item_code and c.platform_grade = f.platform_grade
left join earlier e on e.unit_id = f.unit_id and e.uscc = f.uscc
where
    f.excluded_reason = ''
    or (e.uscc is not null and (f.excluded_reason like 'drawn:%' or f.excluded_reason like '%visit_cap_reached'))
group by f.unit_id, f.uscc
"""

_OBJECTS = """
create or replace temporary table year_objects as
select
    o.unit_id, o.uscc, arg_max(o.platform_grade, o.place) as grade,
    string_agg(o.place || ':' || o.platform_grade || ':' || o.items, '|' order by o.place) as chances,
    1 - product(1 - o.pi) as pi, any_value(coalesce(e.industry_section, '')) as industry_section,
    any_value(coalesce(substr(e.region, 1, 6), '')) as county
from round_objects o left join enterprises.enterprises e using (uscc)
group by o.unit_id, o.uscc
"""

_CELLS = """
create or replace temporary table year_cells as
select
    unit_id, grade, chances, count(*) as size, (row_number() over (order by unit_id, grade, chances) - 1)::bigint as cell,
    (dense_rank() over (order by unit_id, grade) - 1)::bigint as parent
from year_objects group by unit_id, grade, chances
"""

_SEEN = """
select
    c.cell, o.pi, o.grade, o.industry_section, o.county, o.unit_id,
    bool_or(p.state = 'done') as is_live, bool_or(p.state = 'done' and p.outcome = 'problem') as is_breach,
    bool_and(p.is_top_up) as is_top_up
from inspection.inspection_progress p
join year_objects o using (unit_id, uscc)
join year_cells c using (unit_id, grade, chances)
where p.kind = 'random' and starts_with(p.plan_id, $year) and p.state in ('done', 'cannot_inspect', 'topped_up')
group by c.cell, o.pi, o.grade, o.industry_section, o.county, o.unit_id, o.uscc
order by o.unit_id, o.uscc
"""

_DRAWN = """
select o.grade, count(distinct (p.unit_id, p.uscc))
from inspection.inspection_progress p join year_objects o using (unit_id, uscc)
where p.kind = 'random' and starts_with(p.plan_id, $year) group by o.grade
"""

_RATES_SCHEMA = pa.schema(
    {
        "as_of_date": pa.date32(), "plan_year": pa.int32(), "domain_kind": pa.string(), "domain": pa.string(),
        "domain_label": pa.string(), "population": pa.int64(), "inspected": pa.int64(), "not_inspectable": pa.int64(),
        "breaches": pa.int64(), "rate": pa.float64(), "low": pa.float64(), "high": pa.float64(), "note": pa.string(),
    }
)  # fmt: skip
_HITS_SCHEMA = pa.schema(
    {
        "as_of_date": pa.date32(), "plan_year": pa.int32(), "grade": pa.string(), "population": pa.int64(),
        "drawn": pa.int64(), "inspected": pa.int64(), "hits": pa.int64(), "hit_rate": pa.float64(),
        "uniform_rate": pa.float64(), "uniform_low": pa.float64(), "uniform_high": pa.float64(), "lift": pa.float64(),
        "inspections_saved": pa.float64(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class Estimates:
    """Counts of what was estimated."""

    rates: int
    years: tuple[int, ...]
    inspected: int
    hidden: int
    """Domains with results, but too few to show."""


@dataclass(frozen=True)
class YearSample:
    """The results of a year's draws, weighed; `columns` hold grade, section, county and unit of each result."""

    year: int
    sample: estimation.Sample
    results: estimation.Results
    columns: dict[str, Objects]


def make_rates(connection: duckdb.DuckDBPyConnection, store: RoundStore, as_of_date: date) -> Estimates:
    """`inspection.estimated_rates`, newest year first; needs `inspection.inspection_progress`.

    Raises:
        BadInput: the results of a draw do not fit its frame.
    """
    rows: list[tuple[object, ...]] = []
    years = []
    for found in _samples(connection, store, as_of_date):
        years.append(found.year)
        rows += _rates(connection, as_of_date, found)
    _replace(connection, "inspection.estimated_rates", rows, _RATES_SCHEMA)
    comment_tables(connection, {"inspection.estimated_rates": COMMENTS["inspection.estimated_rates"]})
    return Estimates(
        len(rows),
        tuple(years),
        sum(int(str(row[6])) for row in rows if row[2] == "all"),
        sum(row[12] == "too_few" for row in rows),
    )


def make_hits(
    connection: duckdb.DuckDBPyConnection, store: RoundStore, as_of_date: date
) -> list[dict[str, Any]]:
    """`inspection.hit_rates`, and its rows. Likewise."""
    rows: list[tuple[object, ...]] = []
    for found in _samples(connection, store, as_of_date):
        rows += _hits(connection, as_of_date, found)
    _replace(connection, "inspection.hit_rates", rows, _HITS_SCHEMA)
    comment_tables(connection, {"inspection.hit_rates": COMMENTS["inspection.hit_rates"]})
    return read_table(connection, "inspection.hit_rates")


def read_table(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    """The rows of a table in their order."""
    answer = connection.execute(f"select * from {table}")
    names = [str(column[0]) for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def _samples(
    connection: duckdb.DuckDBPyConnection, store: RoundStore, as_of_date: date
) -> Iterator[YearSample]:
    """Year after year; the temporary tables `year_objects` and `year_cells` are the yielded year's."""
    for year in _years(connection, as_of_date):
        if _load_objects(connection, store, as_of_date, year):
            yield _weighed(connection, year)


def _years(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> list[int]:
    count = policy_value(connection, YEARS_PARAMETER, as_of_date) or YEARS_DEFAULT
    return [as_of_date.year - back for back in range(count)]


def _load_objects(
    connection: duckdb.DuckDBPyConnection, store: RoundStore, as_of_date: date, year: int
) -> bool:
    """`year_objects` and `year_cells` from the frozen frames of the year's drawn rounds; False when there is none."""
    records = sorted(
        (
            record
            for record in store.records()
            if record.plan_id.startswith(f"P{year}")
            and record.frozen_date <= as_of_date
            and "draw.parquet" in record.files
            and record.state is not State.ABORTED
        ),
        key=lambda record: (record.frozen_date, record.plan_id, int(record.round)),
    )
    connection.execute(_OBJECTS_SCHEMA)
    for place, record in enumerate(records, start=1):
        connection.register("frozen_frame", store.table(record.plan_id, record.round, "frame"))
        connection.register("frozen_quotas", store.table(record.plan_id, record.round, "quotas"))
        connection.execute(
            _ROUND_OBJECTS,
            {
                "place": place,
                "plan": record.plan_id,
                "round": int(record.round),
                "frozen": record.frozen_date,
                "year": f"P{year}",
            },
        )
        connection.unregister("frozen_frame")
        connection.unregister("frozen_quotas")
    connection.execute(_OBJECTS)
    connection.execute(_CELLS)
    return bool(records)


def _weighed(connection: duckdb.DuckDBPyConnection, year: int) -> YearSample:
    cells = connection.execute("select size, parent, grade from year_cells order by cell").fetchnumpy()
    seen = connection.execute(_SEEN, {"year": f"P{year}"}).fetchnumpy()
    number = {grade: place for place, grade in enumerate(GRADES)}
    groups = np.array([number[str(grade)] for grade in cells["grade"]], dtype=np.int64)
    results = estimation.Results(
        _ints(seen["cell"]),
        np.asarray(seen["pi"], dtype=np.float64),
        *(np.asarray(seen[name], dtype=np.bool_) for name in ("is_live", "is_breach", "is_top_up")),
    )
    try:
        sample = estimation.weigh(results, _ints(cells["size"]), _ints(cells["parent"]), groups)
    except BadInput as error:
        raise BadInput(
            f"inspections of {year}: {error}; remedy: compare draws/ with a copy of the lake"
        ) from None
    columns = {
        "all": np.full(len(results.cell), "all", dtype=object),
        "grade": np.asarray(seen["grade"], dtype=object),
        "industry_section": np.asarray(seen["industry_section"], dtype=object),
        "county": np.asarray(seen["county"], dtype=object),
        "unit": np.asarray(seen["unit_id"], dtype=object),
    }
    return YearSample(year, sample, results, columns)


def _rates(
    connection: duckdb.DuckDBPyConnection, as_of_date: date, found: YearSample
) -> list[tuple[object, ...]]:
    labels = _labels(connection, as_of_date)
    rows: list[tuple[object, ...]] = []
    for kind, values in found.columns.items():
        sizes, covered = _populations(connection, kind, found.year)
        for domain in sorted(sizes):
            members = values == domain
            rate = estimation.rate(found.sample, members[found.sample.kept])
            dead = int((members & ~found.results.is_live).sum())
            rows.append(
                (
                    as_of_date, found.year, kind, domain, labels(kind, domain), sizes[domain], rate.inspected, dead,
                    rate.breaches, *_rounded(rate.rate, rate.low, rate.high),
                    _note(rate, covered.get(domain, 0) < sizes[domain]),
                )
            )  # fmt: skip
    return rows


def _note(found: estimation.Rate, is_partly_covered: bool) -> str:
    if not found.inspected:
        return "no_results"
    if found.rate is None:
        return "too_few"
    return "partly_covered" if is_partly_covered else ""


def _populations(
    connection: duckdb.DuckDBPyConnection, kind: str, year: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Objects of each domain that could be drawn, and how many of them lie in a unit and grade with results."""
    column = {"all": "'all'", "unit": "unit_id"}.get(kind, kind)
    rows = connection.execute(
        f"""
        with spoken_for as (
            select distinct o.unit_id, o.grade from year_objects o
            join inspection.inspection_progress p using (unit_id, uscc)
            where p.kind = 'random' and starts_with(p.plan_id, $year) and p.state in ('done', 'cannot_inspect', 'topped_up')
        )
        select {column}, count(*), count(s.unit_id)
        from year_objects o left join spoken_for s using (unit_id, grade)
        group by 1
        """,
        {"year": f"P{year}"},
    ).fetchall()
    return {str(name): int(count) for name, count, _ in rows}, {
        str(name): int(count) for name, _, count in rows
    }


def _hits(
    connection: duckdb.DuckDBPyConnection, as_of_date: date, found: YearSample
) -> list[tuple[object, ...]]:
    """Hit rates of the draw beside what a uniform draw over the same objects would have found."""
    population, _ = _populations(connection, "grade", found.year)
    counted = connection.execute(_DRAWN, {"year": f"P{found.year}"}).fetchall()
    drawn = {str(grade): int(count) for grade, count in counted}
    uniform = estimation.rate(found.sample)
    results = found.results
    rows: list[tuple[object, ...]] = []
    for grade in ("all", *GRADES):
        is_all = grade == "all"
        members = results.is_live if is_all else results.is_live & (found.columns["grade"] == grade)
        inspected, hits = int(members.sum()), int((members & results.is_breach).sum())
        shown = hits / inspected if inspected >= estimation.FEWEST else None
        lift = shown / uniform.rate if shown is not None and uniform.rate else None
        saved = hits / uniform.rate - inspected if is_all and lift is not None and uniform.rate else None
        rows.append(
            (
                as_of_date, found.year, grade, sum(population.values()) if is_all else population.get(grade, 0),
                sum(drawn.values()) if is_all else drawn.get(grade, 0), inspected, hits,
                *_rounded(shown, uniform.rate, uniform.low, uniform.high, lift),
                None if saved is None else round(saved, 1),
            )
        )  # fmt: skip
    return rows


def _labels(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> Callable[[str, str], str]:
    day = {"day": as_of_date}
    known: dict[tuple[str, str], str] = {}
    for kind, sql in {
        "industry_section": "select section, section_label from policy.industry_divisions",
        "county": "select region, region_name from policy.regions",
        "unit": "select unit_id, unit_name from policy.units",
    }.items():
        rows = connection.execute(
            f"{sql} where effective_from <= $day and effective_to >= $day", day
        ).fetchall()
        known |= {(kind, str(name)): str(text) for name, text in rows}

    def label(kind: str, domain: str) -> str:
        if kind == "all":
            return "全部"
        return known.get((kind, domain), f"{domain}级" if kind == "grade" else domain or "未知")

    return label


def _rounded(*values: float | None) -> tuple[float | None, ...]:
    return tuple(None if value is None else round(value, 6) for value in values)


def _ints(values: object) -> estimation.Ints:
    return np.asarray(values, dtype=np.int64)


def _replace(
    connection: duckdb.DuckDBPyConnection, name: str, rows: Sequence[tuple[object, ...]], schema: pa.Schema
) -> None:
    columns = list(map(list, zip(*rows, strict=True))) if rows else [[] for _ in schema]
    connection.register("incoming", pa.table(dict(zip(schema.names, columns, strict=True)), schema=schema))
    connection.execute(f"create or replace table {name} as select * from incoming")
    connection.unregister("incoming")
