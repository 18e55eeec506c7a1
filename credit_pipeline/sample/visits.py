"""The units at work: the drawn visits and the open leads, checked, and their results sent back.

Here: from the drawn visits of the warehouse to a delivery of inspection results. What a visit finds depends on the
hidden risk of the enterprise and on luck, never on its grade, which is not even read. Not here: past inspections of
the go-live load (enforcement), how the files look (offices).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput
from credit_pipeline.sample.city import build_city
from credit_pipeline.sample.enforcement import details_of, findings
from credit_pipeline.sample.landing import TRUTH, Landing
from credit_pipeline.sample.names import where
from credit_pipeline.sample.streams import GO_LIVE, NO_DAY, Floats, Ints, Window, dates, day_number
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

DAYS_LATER = 21
"""Days after the lake's day on which the results are sent, when nothing else is said."""
RECTIFY_DAYS = 30
PUBLISH_WORKING_DAYS = 20
_LUCK = 16
_NEEDED = {
    "inspection.inspection_draws", "inspection.inspector_assignments", "inspection.inspection_rounds",
    "inspection.lead_checks", "staging.stg_inspection_results", "staging.stg_leads", "enterprises.enterprises", "quality.working_days",
}  # fmt: skip

_VISITS_SQL = """
with
    kept as (
        select d.* from inspection.inspection_draws as d
        where (d.rank <= d.quota or d.is_top_up)
            and not exists (
                select 1 from inspection.inspection_draws as t
                where t.is_top_up and t.replaces = d.uscc and t.plan_id = d.plan_id and t.round = d.round
                    and t.unit_id = d.unit_id
            )
    ),
    teams as (
        select plan_id, round, draw_unit_id, uscc, string_agg(inspector_id, ';' order by position) as inspectors
        from inspection.inspector_assignments
        group by all
    )
select
    d.plan_id || '-' || cast(d.round as varchar) || '-' || d.unit_id as task_no, d.plan_id as plan_no, d.unit_id, d.uscc,
    d.item_code, round(d.quota / d.stratum_size, 6) as inclusion_probability, r.direction, r.window_end, t.inspectors, e.status,
    'random' as origin
from kept as d
join teams as t on t.plan_id = d.plan_id and t.round = d.round and t.draw_unit_id = d.unit_id and t.uscc = d.uscc
left join inspection.inspection_rounds as r on r.plan_id = d.plan_id and r.round = d.round
left join enterprises.enterprises as e on e.uscc = d.uscc
where not exists (
    select 1 from staging.stg_inspection_results as s
    where s.task_no = d.plan_id || '-' || cast(d.round as varchar) || '-' || d.unit_id and s.uscc = d.uscc
)
"""
_LEADS_SQL = """
select
    l.lead_id as task_no, null as plan_no, l.unit_id, l.uscc, l.item_code, null as inclusion_probability, null as direction,
    null as window_end, null as inspectors, e.status, 'case' as origin
from inspection.lead_checks as l
left join enterprises.enterprises as e on e.uscc = l.uscc
where l.state = 'open'
"""
_LUCK_SQL = """
select *, {luck}
from (
    select *, 'VISIT|' || $seed || '|' || task_no || '|' || uscc as name
    from (from ({visits}) union all by name from ({leads}))
)
order by task_no, uscc, item_code
"""
_CLOSED_SQL = """
select l.* from staging.stg_leads as l
where l.lead_id in (select unnest($leads)) and l.known_to is null and not l.is_withdrawn
order by l.lead_id
"""
_STATUS_CODES = {
    "cancelled": "cancelled", "revoked": "revoked", "revoked_cancelled": "cancelled", "moved_out": "moved_out",
}  # fmt: skip


@dataclass(frozen=True)
class VisitSummary:
    """What was delivered: the day, visits of rounds, case checks of leads, rows, files; and visits left for later."""

    day: date
    visits: int
    cases: int
    left: int
    rows: int
    files: tuple[str, ...]


def inspect(
    settings: Settings,
    seed: int = 7,
    share: float = 0.8,
    day: date | None = None,
    progress: Callable[[str], None] | None = None,
) -> VisitSummary:
    """Inspect a share of the drawn visits and open leads, and deliver the results on `day` (`DAYS_LATER` after the lake's).

    Checks take place on working days after the lake's day, within the round's window unless that is over. Some results
    are published or put right late or never, some enterprises cannot be inspected. Visits without inspectors, and those
    whose result the lake knows, are left alone; so the next call, after the next run, goes on with the rest.
    The answer key learns of the files, and `landing/as_of` moves on to `day`.

    Raises:
        BadInput: no sample city or no draw to inspect, a share or day out of range, or a delivery that is there already.
    """
    known_day = current_as_of_date(settings)
    risk_file = settings.landing_dir / TRUTH / "risk.parquet"
    if not risk_file.exists():
        raise BadInput(f"{risk_file} is missing: only the enterprises of a sample city can be inspected here")
    if known_day is None:
        raise BadInput(f"{settings.lake_dir} has drawn nothing yet; remedy: credit-pipeline run")
    day = day or known_day + timedelta(DAYS_LATER)
    if not 0 < share <= 1:
        raise BadInput(f"share {share:.0%}: more than 0 % and up to 100 % of the visits can be made")
    if day <= known_day:
        raise BadInput(
            f"results of {day} come too late: the lake speaks for {known_day}; choose a later --day"
        )
    visits, working = _visits_to_make(settings, seed, day, known_day)
    if visits.is_empty():
        raise BadInput(
            f"{settings.lake_dir} has no drawn visit with inspectors and no lead that is still to be checked"
        )
    if not len(working):
        raise BadInput(f"no working day after {known_day} up to {day}; remedy: choose a later --day")
    made = visits.filter(pl.col("share_luck") < share)
    made = _with_risk(made, pl.read_parquet(risk_file), settings)
    landing = Landing(
        settings.landing_dir, seed, 0.0, build_city(1, seed), progress or (lambda message: None)
    )
    window = Window((day - GO_LIVE).days + 1, day_number(day), day_number(day))
    results = _results(made, working, day_number(day))
    _refuse_second(settings, day)
    landing.deliver("inspection_results", results, window, clean=True)
    checked = results.filter(pl.col("origin") == "case").select(lead_id="task_no", checked="check_date")
    if len(checked):
        landing.deliver("leads", _closed_leads(settings, checked, day), window, clean=True)
    landing.extend_key()
    (settings.landing_dir / "as_of").write_text(day.isoformat() + "\n", encoding="utf-8")
    made_of = {
        name: part["task_no", "uscc"].n_unique()
        for (name,), part in made.partition_by("origin", as_dict=True).items()
    }
    return VisitSummary(
        day,
        made_of.get("random", 0),
        made_of.get("case", 0),
        visits["task_no", "uscc"].n_unique() - sum(made_of.values()),
        len(results),
        tuple(landing.files),
    )


def _visits_to_make(settings: Settings, seed: int, day: date, known_day: date) -> tuple[pl.DataFrame, Ints]:
    """The items of every visit still to make with its luck, and the working days on which it may be made."""
    luck = ", ".join(
        f"cast('0x' || substr(sha256(name || '|{block}'), {1 + 8 * place}, 8) as bigint) / 4294967296 as luck_{8 * block + place}"
        for block in range(_LUCK // 8)
        for place in range(8)
    )
    luck += ", cast('0x' || substr(sha256(name || '|' || $day), 1, 8) as bigint) / 4294967296 as share_luck"
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        there = {
            f"{schema}.{table}"
            for schema, table in connection.execute(
                "select table_schema, table_name from information_schema.tables"
            ).fetchall()
        }
        if missing := sorted(_NEEDED - there):
            raise BadInput(
                f"{settings.warehouse_path} lacks {', '.join(missing)}; remedy: credit-pipeline run, which draws and assigns"
            )
        visits = connection.execute(
            _LUCK_SQL.format(luck=luck, visits=_VISITS_SQL, leads=_LEADS_SQL),
            {"seed": str(seed), "day": day.isoformat()},
        ).pl()
        working = connection.execute(
            "select day from quality.working_days where is_working_day and day > $from and day <= $to order by day",
            {"from": known_day, "to": day},
        ).pl()
    return visits, working["day"].cast(pl.Int32).to_numpy().astype(np.int64)


def _with_risk(visits: pl.DataFrame, risk: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    known = visits.join(risk, on="uscc", how="left")
    strangers = known["latent_risk"].null_count()
    if strangers:
        raise BadInput(
            f"{strangers} drawn items are of enterprises that the sample in {settings.landing_dir} does not know;"
            " remedy: give the landing folder that this lake was filled from"
        )
    return known.sort("task_no", "uscc", "item_code")


def _results(visits: pl.DataFrame, working: Ints, end: int) -> pl.DataFrame:
    """One row for each item; a finding stands on one item of the visit, what concerns the whole visit on all."""
    luck = visits.select(pl.col(f"luck_{place}") for place in range(_LUCK)).to_numpy().T
    codes = findings(visits["latent_risk"].to_numpy(), luck[:6])
    ended = visits["status"].replace_strict(_STATUS_CODES, default=None, return_dtype=pl.String)
    codes = where(ended.is_not_null().to_numpy(), ended, codes)
    whole = codes.is_in(["closed", "unreachable", "no_activity", *_STATUS_CODES.values()]).to_numpy()
    item = visits.select(
        n=pl.len().over("task_no", "uscc"), i=pl.int_range(pl.len()).over("task_no", "uscc")
    ).to_numpy()
    codes = where(whole | (item[:, 1] == (luck[6] * item[:, 0]).astype(np.int64)), codes, "no_problem")
    day = _check_days(visits["window_end"], working, luck[7])
    has_problem = ~codes.is_in(["no_problem", "no_activity", "closed", *_STATUS_CODES.values()]).to_numpy()
    due = np.where(has_problem, day + RECTIFY_DAYS, NO_DAY)
    fixed = day + _mostly_in_time(luck[8], luck[9], RECTIFY_DAYS, 0.75, 0.9)
    # Five working days make a calendar week; who publishes late does so two weeks after the term.
    published = day + _mostly_in_time(luck[10], luck[11], PUBLISH_WORKING_DAYS * 7 // 5 - 2, 0.85, 0.97) + 1
    return visits.select(
        "task_no", "plan_no", "item_code", "uscc",
        check_date=dates(day),
        unit_id="unit_id",
        origin="origin",
        direction="direction",
        result_codes=codes,
        detail=details_of(codes),
        inspectors="inspectors",
        rectify_due_date=dates(due),
        rectified_date=dates(np.where(has_problem & (fixed <= end), fixed, NO_DAY)),
        published_date=dates(np.where(published <= end, published, NO_DAY)),
        inclusion_probability="inclusion_probability",
        reported_date=dates(np.full(len(visits), end)),
        record_status=pl.lit("valid"),
        _firm=pl.lit(-1, dtype=pl.Int64),
        _part=pl.concat_str(pl.coalesce("unit_id", pl.lit("411300")), pl.lit("_"), "origin"),
    )  # fmt: skip


def _check_days(window_end: pl.Series, working: Ints, luck: Floats) -> Ints:
    """A working day for each: up to the end of the window, or any when that is over."""
    last = window_end.cast(pl.Date).cast(pl.Int32).fill_null(NO_DAY).to_numpy().astype(np.int64)
    usable = np.searchsorted(working, last, side="right")
    usable = np.where(usable == 0, len(working), usable)
    return working[(luck * usable).astype(np.int64)]


def _mostly_in_time(luck: Floats, place: Floats, term: int, in_time: float, at_all: float) -> Ints:
    """Days until something is done: within the term with that probability, else up to twice as long, or never."""
    days = 1 + (place * (term - 1)).astype(np.int64)
    return np.where(luck < in_time, days, np.where(luck < at_all, term + days + 4, 10**6))


def _closed_leads(settings: Settings, checked: pl.DataFrame, day: date) -> pl.DataFrame:
    """The leads that were checked, with the day on which they were closed."""
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        leads = connection.execute(_CLOSED_SQL, {"leads": checked["lead_id"].to_list()}).pl()
    return leads.join(checked, on="lead_id").with_columns(
        closed_date="checked",
        reported_date=pl.lit(day),
        record_status=pl.lit("valid"),
        _firm=pl.lit(-1, dtype=pl.Int64),
        _part=pl.lit("办结"),
    )


def _refuse_second(settings: Settings, day: date) -> None:
    folder = settings.landing_dir / "inspection_results" / day.isoformat()
    if any(folder.glob("*_random.csv")) or any(folder.glob("*_case.csv")):
        raise BadInput(
            f"{folder} already holds results; remedy: credit-pipeline run --as-of {day}, then inspect the rest on a later --day"
        )
