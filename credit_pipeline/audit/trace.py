"""From a draw to the files: one query over the frozen round, the warehouse of its day, the ledger and the audit log.

Here: the query, and running it for one enterprise of one round. Not here: how a day is computed anew (`audit.explain_day`),
how the answer is printed (`audit.trace_words`).

What is stored of a past draw: its frame, quotas and tickets (`LAKE/draws`, each file's SHA-256 in the log), the grade that was
frozen, the records in the lake, the ledger, the log. The points of a past day are not stored for all days and are computed
anew from the lake with that day's model and policy; `reproduced` says whether the grades then equal the stored ones.
The answer is CONFIDENTIAL: it holds grade, rank and quota.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from credit_pipeline.audit.explain_day import day_warehouse
from credit_pipeline.audit.explain_records import Rows, rows
from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.protocol import Round
from credit_pipeline.inspection.rounds.record import RoundRecord
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect

DRAW_COLUMNS = (
    "plan_id", "round", "frozen_date", "unit_id", "item_code", "uscc", "drawn_as", "frozen_grade", "rank", "stratum_size",
    "quota", "ratio_bp", "basis", "frozen_seq", "drawn_seq",
)  # fmt: skip
GRADE_COLUMNS = (
    "day_grade", "unit_grade", "path", "veto_codes", "score_micro", "policy_version", "model_digest", "built_seq",
)  # fmt: skip
LINE_COLUMNS = (
    "factor", "factor_kind", "factor_value", "points_micro", "feed", "record_no", "event_date", "contribution", "source_file",
    "source_sheet", "source_row", "ingest_date", "file_sha256", "ingest_seq", "ingest_run",
)  # fmt: skip

_QUERY = """\
-- Draw {plan_id} round {round}, enterprise {uscc}: draw -> grade -> indicator -> row -> file. CONFIDENTIAL.
-- Run it in the warehouse of {day}: {warehouse}
with
log as (
    select * from read_json('{log}', format = 'newline_delimited', columns = {{
        seq: 'BIGINT', event: 'VARCHAR', run_id: 'VARCHAR', details: 'JSON'}})
),
round_events as (
    select
        max(seq) filter (event = 'round_frame_frozen') as frozen_seq,
        max(seq) filter (event = 'round_drawn') as drawn_seq
    from log
    where (details ->> 'plan_id') = '{plan_id}' and (details ->> 'round') = '{round}'
),
builds as (
    select max(seq) as built_seq from log
    where event = 'warehouse_built' and (details ->> 'as_of_date') = '{day}'
        and seq < coalesce((select frozen_seq from round_events), seq + 1)
),
ingests as (
    select
        (details ->> 'feed') as feed, (file ->> 'sha256') as sha256, min(seq) as ingest_seq,
        arg_min(run_id, seq) as ingest_run
    from (
        select seq, run_id, details, unnest(cast((details -> 'files') as json[])) as file
        from log where event = 'feed_ingested'
    )
    group by all
),
ledger as (
    select feed, file, cast(ingest_date as date) as ingest_date, max(sha256) as sha256
    from read_json('{ledger}', columns = {{
        feed: 'VARCHAR', file: 'VARCHAR', ingest_date: 'VARCHAR', sha256: 'VARCHAR'}})
    group by all
),
drawn as (
    select
        d.unit_id, d.item_code, d.uscc, d.platform_grade as frozen_grade, d.rank, d.stratum_size, d.quota, q.ratio_bp,
        q.basis,
        case
            when d.is_drawn then 'drawn'
            when list_contains({top_ups}, d.unit_id || '|' || d.item_code) then 'top_up'
            else 'not_drawn'
        end as drawn_as
    from read_parquet('{folder}/draw.parquet') as d
    left join read_parquet('{folder}/quotas.parquet') as q using (unit_id, item_code, platform_grade)
    where d.uscc = '{uscc}'{unit_filter}
),
points as (
    unpivot (select columns('^p_') from grading.enterprise_scores where uscc = '{uscc}')
    on * into name factor value points_micro
),
measured as (
    unpivot (
        select {indicators} from indicators.enterprise_indicators where uscc = '{uscc}' and as_of_date = date '{day}'
    )
    on * into name factor value factor_value
),
records as (
{records}
),
factors as (
    select
        coalesce(p.factor, m.factor) as factor, 'indicator' as factor_kind,
        cast(m.factor_value as varchar) as factor_value, p.points_micro, r.feed, r.record_no, r.event_date,
        r.contribution, r.source_file, r.source_sheet, r.source_row, r.ingest_date
    from (select * replace (substr(factor, 3) as factor) from points) as p
    full join measured as m using (factor)
    left join records as r on r.factor = coalesce(p.factor, m.factor)
    where p.points_micro <> 0 or r.factor is not null
    union all
    select
        veto, 'veto', effect || ' ' || veto_grade, null, source_feed, record_no, event_date, null, source_file,
        source_sheet, source_row, ingest_date
    from grading.grade_vetoes where uscc = '{uscc}'
)
select
    '{plan_id}' as plan_id, '{round}' as round, date '{day}' as frozen_date, d.unit_id, d.item_code, d.uscc, d.drawn_as,
    d.frozen_grade, d.rank, d.stratum_size, d.quota, d.ratio_bp, d.basis, e.frozen_seq, e.drawn_seq,
    g.platform_grade as day_grade, u.unit_grade, g.path, g.veto_codes, g.score_micro, g.policy_version, g.model_digest,
    b.built_seq,
    f.factor, f.factor_kind, f.factor_value, f.points_micro, f.feed, f.record_no, f.event_date, f.contribution,
    f.source_file, f.source_sheet, f.source_row, f.ingest_date,
    l.sha256 as file_sha256, i.ingest_seq, i.ingest_run
from drawn as d
cross join round_events as e
cross join builds as b
left join grading.enterprise_grades as g on g.uscc = d.uscc
left join grading.unit_grades as u on u.uscc = d.uscc and u.unit_id = d.unit_id
left join factors as f on true
left join ledger as l
    on l.feed = f.feed and l.file = split_part(f.source_file, '!', 1) and l.ingest_date = f.ingest_date
left join ingests as i on i.feed = f.feed and i.sha256 = l.sha256
order by
    d.unit_id, d.item_code, f.factor_kind desc, abs(f.points_micro) desc nulls last, f.factor, f.feed, f.event_date desc,
    f.source_file, f.source_row
"""


@dataclass(frozen=True)
class Trace:
    """The answer for one enterprise of one round."""

    record: RoundRecord
    query: str
    """The one query, as it was run; it runs in plain duckdb too, in the warehouse that its head names."""
    lines: Rows
    """One row for each unit and item, factor and record: `DRAW_COLUMNS`, `GRADE_COLUMNS`, `LINE_COLUMNS`."""
    reproduced: bool | None
    """Of a past day computed anew: whether its grades are the stored ones; None for the current day, or when that day's
    grades were not stored."""


def trace_draw(
    settings: Settings,
    plan_id: str,
    round_: Round,
    uscc: str,
    *,
    unit_id: str | None = None,
    progress: Callable[[str], None] = lambda message: None,
) -> Trace:
    """Follow a draw down to the files.

    Raises:
        BadInput: the round was not drawn yet, or the enterprise is not in its draw; the message says why.
        IntegrityError: a file of the round is not the recorded one.
    """
    uscc = protocol.checked("uscc", uscc.strip().upper(), protocol.USCC_PATTERN)
    if unit_id is not None:
        protocol.checked("unit_id", unit_id, protocol.UNIT_PATTERN)
    store = RoundStore(settings.draws_dir)
    record = store.record(plan_id, round_)
    if "draw.parquet" not in record.files:
        raise BadInput(f"{record.named()} is {record.state}: it has not been drawn yet")
    store.verify_files(record)
    day = record.frozen_date
    with (
        day_warehouse(settings, day, progress) as (path, reproduced),
        connect(settings, path, read_only=True) as connection,
    ):
        query = _query(settings, connection, store, record, uscc, unit_id, path)
        lines = rows(connection, query)
        if not lines:
            raise BadInput(_why_absent(connection, store, record, uscc, unit_id))
    return Trace(record, query, lines, reproduced)


def _query(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    store: RoundStore,
    record: RoundRecord,
    uscc: str,
    unit_id: str | None,
    warehouse: Path,
) -> str:
    indicators, records = _records(connection, uscc, record.frozen_date)
    quoted = {name: str(path).replace("'", "''") for name, path in {
        "folder": store.directory(record.plan_id, record.round),
        "log": settings.audit_log_path,
        "ledger": settings.ledger_dir / "*" / "*.json",
    }.items()}  # fmt: skip
    return _QUERY.format(
        **quoted,
        warehouse=warehouse,
        plan_id=record.plan_id,
        round=record.round,
        uscc=uscc,
        day=record.frozen_date.isoformat(),
        unit_filter=f" and d.unit_id = '{unit_id}'" if unit_id else "",
        top_ups=_list(_top_ups(settings, record, uscc)),
        indicators=", ".join(indicators),
        records=records,
    )


def _records(connection: duckdb.DuckDBPyConnection, uscc: str, day: date) -> tuple[list[str], str]:
    """The indicators, and the query of all records that contribute to one of them."""
    scored = {
        name.removeprefix("p_")
        for name in _columns(connection, "grading.enterprise_scores")
        if name.startswith("p_")
    }
    indicators = [name for name in _columns(connection, "indicators.enterprise_indicators") if name in scored]
    views = connection.execute(
        "select table_name from information_schema.tables "
        "where table_schema = 'indicators' and starts_with(table_name, 'evidence_') order by 1"
    ).fetchall()
    parts = []
    for (view,) in views:
        own = [name for name in _columns(connection, f"indicators.{view}") if name in set(indicators)]
        if own:
            parts.append(f"""\
    select
        factor, '{view.removeprefix("evidence_")}' as feed, record_no, event_date, contribution, source_file, source_sheet,
        source_row, ingest_date
    from (
        unpivot (select * from indicators.{view} where uscc = '{uscc}' and as_of_date = date '{day.isoformat()}')
        on {", ".join(own)} into name factor value contribution
    )
    where contribution <> 0""")
    return indicators, "\n    union all\n".join(parts)


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [row[0] for row in connection.execute(f"describe {table}").fetchall()]


def _top_ups(settings: Settings, record: RoundRecord, uscc: str) -> list[str]:
    """unit|item of the cells in which the enterprise took the place of another, as the current warehouse knows them."""
    if not record.top_ups:
        return []
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        found = connection.execute(
            "select unit_id || '|' || item_code from inspection.inspection_draws "
            "where plan_id = ? and cast(round as varchar) = ? and uscc = ? and is_top_up order by 1",
            [record.plan_id, str(record.round), uscc],
        ).fetchall()
    return [row[0] for row in found]


def _list(values: Sequence[str]) -> str:
    return "cast([" + ", ".join(f"'{value}'" for value in values) + "] as varchar[])"


def _why_absent(
    connection: duckdb.DuckDBPyConnection,
    store: RoundStore,
    record: RoundRecord,
    uscc: str,
    unit_id: str | None,
) -> str:
    frame = store.table(record.plan_id, record.round, "frame")
    connection.register("traced_frame", frame)
    known = connection.execute(
        "select unit_id, item_code, excluded_reason from traced_frame where uscc = ? order by all", [uscc]
    ).fetchall()
    connection.unregister("traced_frame")
    cells = "; ".join(f"{unit} {item}: {reason or 'eligible'}" for unit, item, reason in known)
    where = f"the draw of {record.named()}" + (f" for unit {unit_id}" if unit_id else "")
    if not known:
        return f"{uscc} is not in {where}: no unit had it in its frame on {record.frozen_date}"
    return f"{uscc} is not in {where}; its frame has it as {cells}"
