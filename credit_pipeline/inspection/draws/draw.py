"""The draw of a round: tickets in SQL, and the Merkle roots of its tables.

Here: `draw_round`, the checks of frame and quotas, and their roots. Not here: what is hashed (`inspection.draws.protocol`), the files of a round
(`inspection.rounds.store`), who inspects (`inspection.teams.assignment`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol

ALGORITHM = "DRAW1"
QUOTA_COLUMNS = (
    "unit_id", "item_code", "platform_grade", "stratum_size", "drawn_before", "ratio_bp", "rounds_due",
    "rounds_per_year", "rounding", "target", "quota",
)  # fmt: skip
ROSTER_COLUMNS = ("unit_id", "inspector_id", "is_leader", "region_prefix", "skills", "excluded_reason")
RECUSAL_COLUMNS = ("inspector_id", "uscc", "reason")

DRAW_SQL = """
with
    cells as (
        select
            unit_id, item_code, platform_grade, cast(quota as bigint) as quota,
            cast(row_number() over (order by unit_id, item_code, platform_grade) as integer) as cell
        from {quotas}
    ),
    tickets as (
        select
            cells.cell, frame.uscc,
            sha256('DRAW1|' || $seed || '|' || frame.unit_id || '|' || frame.uscc) as ticket
        from {frame} as frame
        join cells
            on cells.unit_id = frame.unit_id
            and cells.item_code = frame.item_code
            and cells.platform_grade = frame.platform_grade
        where frame.excluded_reason = ''
    ),
    ranked as (
        select
            *,
            row_number() over (partition by cell order by ticket, uscc) as rank,
            count(*) over (partition by cell) as stratum_size
        from tickets
    )
select
    cells.unit_id, cells.item_code, ranked.uscc, cells.platform_grade, ranked.ticket, ranked.rank,
    ranked.stratum_size, cells.quota, ranked.rank <= cells.quota as is_drawn
from ranked
join cells on cells.cell = ranked.cell
order by ranked.cell, ranked.rank
"""
"""`||` and not concat_ws, which skips NULLs; hexadecimal text and not hash(), which changes between
versions. No item in the ticket: an enterprise drawn for one item of a unit is near the front for all. The cells are numbered, so that a million rows are
sorted by a short number and not by three texts: a fifth less time.
"""

_FRAME_PROBLEM_SQL = """
select unit_id, uscc, problem
from (
    select
        unit_id, uscc,
        case
            when unit_id is null or item_code is null or uscc is null or platform_grade is null
                or region is null or is_safety_related is null or excluded_reason is null
                then 'a field is NULL'
            when not regexp_full_match(unit_id, $unit) then 'the unit_id is malformed'
            when not regexp_full_match(item_code, $item) then 'the item_code is malformed'
            when not regexp_full_match(uscc, $uscc) then 'the uscc is malformed'
            when not regexp_full_match(platform_grade, $grade) then 'the grade is not one of A-E'
            when not regexp_full_match(region, $region) then 'the region is not up to 12 digits'
            when not regexp_full_match(excluded_reason, $reason)
                then 'the excluded_reason is over 200 characters, or holds | or a control character'
        end as problem
    from {frame}
    union all
    select unit_id, uscc, 'the enterprise stands in the frame of the unit and item more than once'
    from {frame} group by unit_id, item_code, uscc having count(*) > 1
)
where problem is not null
order by all
limit 1
"""
_PATTERNS = {
    "unit": protocol.UNIT_PATTERN,
    "item": protocol.ITEM_PATTERN,
    "uscc": protocol.USCC_PATTERN,
    "grade": protocol.GRADE_PATTERN,
    "region": protocol.REGION_PATTERN,
    "reason": protocol.REASON_PATTERN,
}

_QUOTA_PROBLEM_SQL = """
with
    eligible as (
        select unit_id, item_code, platform_grade, count(*) as size
        from {frame} where excluded_reason = '' group by all
    ),
    cells as (
        select unit_id, item_code, platform_grade, count(*) as rows, min(quota) as quota from {quotas} group by all
    )
select unit_id, problem
from (
    select
        unit_id,
        case
            when cells.rows is null then 'a stratum with eligible enterprises has no quota'
            when cells.rows > 1 then 'a stratum has more than one quota'
            when cells.quota is null or cells.quota < 0 then 'a quota is missing or negative'
            when cells.quota > coalesce(eligible.size, 0) then 'a quota is greater than its stratum'
        end as problem
    from eligible
    full join cells using (unit_id, item_code, platform_grade)
)
where problem is not null
order by all
limit 1
"""

_ARITHMETIC_PROBLEM_SQL = """
with
    eligible as (
        select unit_id, item_code, platform_grade, count(*) as size
        from {frame} where excluded_reason = '' group by all
    ),
    cells as (
        select
            quotas.*,
            coalesce(eligible.size, 0) as size,
            cast(quotas.stratum_size + drawn_before as hugeint) * ratio_bp * rounds_due as product,
            cast(10000 as hugeint) * rounds_per_year as divisor
        from {quotas} as quotas
        left join eligible using (unit_id, item_code, platform_grade)
    )
select unit_id, problem
from (
    select
        unit_id,
        case
            when stratum_size <> size then 'a stratum_size is not the number of eligible enterprises'
            when drawn_before < 0 or ratio_bp not between 0 and 10000
                or rounds_due not between 1 and rounds_per_year
                then 'drawn_before, ratio_bp, rounds_due or rounds_per_year is out of its range'
            when rounding not in ('ceil', 'half_up', 'floor')
                then 'a rounding is not ceil, half_up or floor'
            when target <> case rounding
                when 'ceil' then (product + divisor - 1) // divisor
                when 'half_up' then (2 * product + divisor) // (2 * divisor)
                else product // divisor
            end then 'a target is not what its arithmetic gives'
            when quota <> least(greatest(target - drawn_before, 0), stratum_size)
                then 'a quota is not its target less what was drawn before'
        end as problem
    from cells
)
where problem is not null
order by all
limit 1
"""


@dataclass(frozen=True)
class FrameRoot:
    """The Merkle root over all lines of a frame, excluded ones too, and how many lines each unit has."""

    root: str
    size: int
    unit_sizes: dict[str, int]


def draw_round(
    connection: duckdb.DuckDBPyConnection,
    *,
    frame_table: str,
    quotas_table: str,
    seed: str,
    is_checked: bool = False,
) -> pa.Table:
    """Every eligible enterprise with its ticket and rank; the first `quota` of each unit × item × grade are
    drawn.

    `frame_table`: unit_id, item_code, uscc, platform_grade, region, is_safety_related, excluded_reason ('' =
    eligible). `quotas_table`: unit_id, item_code, platform_grade, quota. Result, by unit, item, grade, rank:
    these with ticket, rank, stratum_size, quota, is_drawn. The chance of each was quota / stratum_size; the
    next ranks are the reserve. The seed goes in as a parameter, so no query log or error can show it.
    `is_checked`: the tables were checked when they were frozen and are the same by digest. Raises `BadInput`
    for malformed tables.
    """
    frame, quotas = _identifier(frame_table), _identifier(quotas_table)
    protocol.checked_seed(seed)
    _refuse_collation(connection)
    if not is_checked:
        check_frame(connection, frame_table)
        _check(connection, _QUOTA_PROBLEM_SQL, frame, quotas)
    return connection.execute(DRAW_SQL.format(frame=frame, quotas=quotas), {"seed": seed}).to_arrow_table()


def check_quotas(connection: duckdb.DuckDBPyConnection, *, frame_table: str, quotas_table: str) -> None:
    """Raises `BadInput` unless every stratum has one quota and each quota is what its arithmetic says."""
    frame, quotas = _identifier(frame_table), _identifier(quotas_table)
    _check(connection, _QUOTA_PROBLEM_SQL, frame, quotas)
    _check(connection, _ARITHMETIC_PROBLEM_SQL, frame, quotas)


def frame_root(connection: duckdb.DuckDBPyConnection, *, frame_table: str, frame_salt: bytes) -> FrameRoot:
    """RFC 6962 root over `protocol.frame_leaf` of each row, each behind its 16-byte salt, by (unit_id,
    item_code, uscc) bytewise.

    Streams: 6 s and a few MB for a million rows.
    """
    frame = _identifier(frame_table)
    check_frame(connection, frame_table)
    tree, unit_sizes = protocol.MerkleTree(), dict[str, int]()
    rows = connection.execute(
        "select unit_id, item_code, uscc, platform_grade, region, is_safety_related, excluded_reason"
        f" from {frame} order by unit_id, item_code, uscc"
    )
    while batch := rows.fetchmany(50_000):
        for row in batch:
            tree.add(protocol.leaf_salt(frame_salt, *row[:3]) + protocol.frame_line(*row))
            unit_sizes[row[0]] = unit_sizes.get(row[0], 0) + 1
    return FrameRoot(tree.root(), tree.size, unit_sizes)


def quotas_root(quotas: pa.Table, *, frame_salt: bytes) -> str:
    """The root over `protocol.quota_leaf` of each stratum, by (unit_id, item_code, grade) bytewise."""
    rows = zip(*(quotas[name].to_pylist() for name in QUOTA_COLUMNS), strict=True)
    ordered = sorted(rows, key=lambda row: tuple(text.encode() for text in row[:3]))
    return protocol.merkle_root(
        protocol.leaf_salt(frame_salt, "QUOTA", *row[:3]) + protocol.quota_leaf(*row) for row in ordered
    )


def tables_root(roster: pa.Table, recusals: pa.Table, *, frame_salt: bytes) -> str:
    """`protocol.roster_root` of two tables."""
    rows = zip(*(roster[name].to_pylist() for name in ROSTER_COLUMNS), strict=True)
    pairs = zip(*(recusals[name].to_pylist() for name in RECUSAL_COLUMNS), strict=True)
    return protocol.roster_root(frame_salt, rows, pairs)


def _identifier(name: str) -> str:
    parts = name.split(".")
    if not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", part) for part in parts):
        raise BadInput(f"{name!r} is not the name of a table")
    return ".".join(f'"{part}"' for part in parts)


def check_frame(connection: duckdb.DuckDBPyConnection, frame_table: str) -> None:
    """Raises `BadInput` naming unit and enterprise unless every row of a frame is well-formed and there once."""
    _refuse_collation(connection)
    sql = _FRAME_PROBLEM_SQL.format(frame=_identifier(frame_table))
    problem = connection.execute(sql, _PATTERNS).fetchone()
    if problem:
        raise BadInput(f"frame, unit {problem[0]!r}, enterprise {problem[1]!r}: {problem[2]}")


def _check(connection: duckdb.DuckDBPyConnection, sql: str, frame: str, quotas: str) -> None:
    problem = connection.execute(sql.format(frame=frame, quotas=quotas)).fetchone()
    if problem:
        raise BadInput(f"quotas of unit {problem[0]}: {problem[1]}")


def _refuse_collation(connection: duckdb.DuckDBPyConnection) -> None:
    collation = connection.execute("select current_setting('default_collation')").fetchone()
    if collation and collation[0]:
        raise BadInput(f"the connection sorts text by {collation[0]!r}; a draw is ordered bytewise")
