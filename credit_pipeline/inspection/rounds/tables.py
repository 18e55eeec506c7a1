"""What a round takes from the warehouse: the tables that are frozen, the roster of a later wave, the lottery issues.

Here: the queries. Not here: the policy rows of a plan (`inspection.draws.rule`), the tables that show the rounds
(`inspection.rounds.daily`).
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from credit_pipeline.inspection.draws.entropy import Announcement
from credit_pipeline.inspection.draws.protocol import Round

_FROZEN_SQL = {
    "frame": """
        select * exclude (plan_id, round, frozen_date) from inspection.inspection_frame
        where plan_id = $plan and round = $round
    """,
    "quotas": """
        select * exclude (plan_id, round, frozen_date) from inspection.inspection_quotas
        where plan_id = $plan and round = $round
    """,
    "roster": """
        select unit_id, inspector_id, is_leader, region_prefix, skills, excluded_reason
        from inspection.inspection_roster where plan_id = $plan and round = $round
    """,
    "recusals": """
        select inspector_id, uscc, string_agg(distinct reason, '+' order by reason) as reason
        from inspection.inspection_recusals where plan_id = $plan and round = $round
        group by inspector_id, uscc
    """,
}


def live_tables(connection: duckdb.DuckDBPyConnection, plan_id: str, round_: Round) -> dict[str, pa.Table]:
    """frame, quotas, roster and recusals of a round in force, as the warehouse knows them now."""
    named = {"plan": plan_id, "round": round_}
    return {name: connection.execute(sql, named).to_arrow_table() for name, sql in _FROZEN_SQL.items()}


def roster_of_day(
    connection: duckdb.DuckDBPyConnection, plan_id: str, round_: Round
) -> tuple[pa.Table, pa.Table]:
    """(roster, recusals) likewise, for a later wave."""
    named = {"plan": plan_id, "round": round_}
    roster, recusals = (
        connection.execute(_FROZEN_SQL[name], named).to_arrow_table() for name in ("roster", "recusals")
    )
    return roster, recusals


def announcements(connection: duckdb.DuckDBPyConnection, today: date) -> list[Announcement]:
    """Every lottery issue the feed public_entropy knows on the day."""
    rows = connection.execute(
        """
        select source, issue, announced_date, numbers from staging.stg_public_entropy
        where announced_date <= $day and known_from <= $day and (known_to is null or known_to > $day)
            and (void_from is null or void_from > $day)
        order by source, announced_date, issue
        """,
        {"day": today},
    ).fetchall()
    return [Announcement(*row) for row in rows]
