"""The draw of a round: tickets in SQL, and the Merkle root of the frame.

Here: `draw_round` and `frame_root` over tables. Not here: what is hashed (`inspection.protocol`), the files of a round
(`inspection.round_store`), who inspects (`inspection.assignment`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection import protocol

DRAW_SQL = """
with
    tickets as (
        select
            unit_id, uscc, platform_grade,
            sha256('DRAW1|' || $seed || '|' || unit_id || '|' || uscc) as ticket
        from {frame}
        where excluded_reason = ''
    ),
    ranked as (
        select
            *,
            row_number() over (partition by unit_id, platform_grade order by ticket, uscc) as rank,
            count(*) over (partition by unit_id, platform_grade) as stratum_size
        from tickets
    )
select
    ranked.unit_id, ranked.uscc, ranked.platform_grade, ranked.ticket, ranked.rank, ranked.stratum_size,
    cast(quotas.quota as bigint) as quota, ranked.rank <= quotas.quota as is_drawn
from ranked
join {quotas} as quotas on quotas.unit_id = ranked.unit_id and quotas.platform_grade = ranked.platform_grade
order by ranked.unit_id, ranked.platform_grade, ranked.rank
"""
"""`||` and not concat_ws, which skips NULLs; hexadecimal text and not hash(), which changes between
versions.
"""

_FRAME_PROBLEM_SQL = """
select unit_id, uscc, problem
from (
    select
        unit_id, uscc,
        case
            when unit_id is null or uscc is null or platform_grade is null or excluded_reason is null
                then 'a field is NULL'
            when not regexp_full_match(unit_id, $unit) then 'the unit_id is malformed'
            when not regexp_full_match(uscc, $uscc) then 'the uscc is malformed'
            when not regexp_full_match(platform_grade, $grade) then 'the grade is not one of A-E'
            when not regexp_full_match(excluded_reason, $reason)
                then 'the excluded_reason is over 200 characters, or holds | or a control character'
        end as problem
    from {frame}
    union all
    select unit_id, uscc, 'the enterprise stands in the frame of the unit more than once'
    from {frame} group by unit_id, uscc having count(*) > 1
)
where problem is not null
order by all
limit 1
"""
_PATTERNS = {
    "unit": protocol.UNIT_PATTERN,
    "uscc": protocol.USCC_PATTERN,
    "grade": protocol.GRADE_PATTERN,
    "reason": protocol.REASON_PATTERN,
}

QUOTA_PROBLEM_SQL = """
with
    eligible as (
        select unit_id, platform_grade, count(*) as size from {frame} where excluded_reason = '' group by all
    ),
    cells as (
        select unit_id, platform_grade, count(*) as rows, min(quota) as quota from {quotas} group by all
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
    full join cells using (unit_id, platform_grade)
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
    connection: duckdb.DuckDBPyConnection, *, frame_table: str, quotas_table: str, seed: str
) -> pa.Table:
    """Every eligible enterprise with its ticket and rank; the first `quota` of each unit × grade are drawn.

    `frame_table`: unit_id, uscc, platform_grade, excluded_reason ('' = eligible). `quotas_table`: unit_id,
    platform_grade, quota. Result, by unit, grade, rank: unit_id, uscc, platform_grade, ticket, rank,
    stratum_size, quota, is_drawn. The chance of each was quota / stratum_size; the next ranks are the
    reserve. The seed goes in as a parameter, so no query log or error can show it. 1 million rows take 4 s on
    two cores. Raises `BadInput` for malformed tables.
    """
    frame, quotas = _identifier(frame_table), _identifier(quotas_table)
    protocol.checked_seed(seed)
    _check_frame(connection, frame)
    problem = connection.execute(QUOTA_PROBLEM_SQL.format(frame=frame, quotas=quotas)).fetchone()
    if problem:
        raise BadInput(f"quotas of unit {problem[0]}: {problem[1]}")
    return connection.execute(DRAW_SQL.format(frame=frame, quotas=quotas), {"seed": seed}).to_arrow_table()


def frame_root(connection: duckdb.DuckDBPyConnection, *, frame_table: str, frame_salt: bytes) -> FrameRoot:
    """RFC 6962 root over `protocol.frame_leaf` of each row, each behind its 16-byte salt, by (unit_id, uscc)
    bytewise.

    Streams: 4 s and a few MB for a million rows.
    """
    frame = _identifier(frame_table)
    _check_frame(connection, frame)
    tree, unit_sizes = protocol.MerkleTree(), dict[str, int]()
    sql = f"select unit_id, uscc, platform_grade, excluded_reason from {frame} order by unit_id, uscc"
    rows = connection.execute(sql)
    while batch := rows.fetchmany(50_000):
        for unit_id, uscc, grade, reason in batch:
            tree.add(protocol.leaf_salt(frame_salt, uscc) + protocol.frame_line(unit_id, uscc, grade, reason))
            unit_sizes[unit_id] = unit_sizes.get(unit_id, 0) + 1
    return FrameRoot(tree.root(), tree.size, unit_sizes)


def _identifier(name: str) -> str:
    parts = name.split(".")
    if not all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", part) for part in parts):
        raise BadInput(f"{name!r} is not the name of a table")
    return ".".join(f'"{part}"' for part in parts)


def _check_frame(connection: duckdb.DuckDBPyConnection, frame: str) -> None:
    collation = connection.execute("select current_setting('default_collation')").fetchone()
    if collation and collation[0]:
        raise BadInput(f"the connection sorts text by {collation[0]!r}; a draw is ordered bytewise")
    problem = connection.execute(_FRAME_PROBLEM_SQL.format(frame=frame), _PATTERNS).fetchone()
    if problem:
        raise BadInput(f"frame, unit {problem[0]!r}, enterprise {problem[1]!r}: {problem[2]}")
