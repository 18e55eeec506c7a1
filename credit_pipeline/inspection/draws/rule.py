"""The rule of a round: all that is settled before the freeze and may be published, in one JSON object.

Here: its fields, and reading them from the plan's rows once, at the freeze. From then on every step reads the frozen
rule, never the policy: a policy changed between freeze and draw has no effect. Not here: ratios and counts by grade
(they stand in the quotas, which are not published).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.audit.log import canonical_json, sha256_hex
from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws.draw import ALGORITHM, DRAW_SQL
from credit_pipeline.inspection.draws.parties import PublicParty
from credit_pipeline.inspection.draws.protocol import NO_ENTROPY

OFFICE = "credit_office"
FALLBACK_AFTER_DAYS = 14
"""A lottery that has announced nothing for so long (Spring Festival: 10 days) is replaced by the fallback."""
PAIR_RULE = "ceil(visits*C(k,2)/C(inspectors,2))+1"
VERIFIER_PATH = Path(__file__).parents[1] / "verify_draw.py"
_PLAN_TEXTS = (
    "plan_template", "title", "direction", "initiator", "region_prefix", "safety_tag", "document_no", "approved_by",
)  # fmt: skip
_PLAN_DAYS = ("due_date", "window_start", "window_end")
_PLAN_LISTS = ("cooperating_units", "industry_prefixes")
_ITEM_FIELDS = (
    "item_code", "item_name", "item_kind", "is_safety_related", "safety_tag", "industry_sections", "required_skill",
)  # fmt: skip


def read_rule(
    connection: duckdb.DuckDBPyConnection, plan_id: str, round_: int, day: date, office: PublicParty
) -> dict[str, Any]:
    """The rule of a round in force, from the warehouse. `office`: the keys of credit_office, used where the policy
    leaves them empty. Raises `BadInput` for a plan that cannot be drawn by any party.
    """
    named = {"plan": plan_id, "round": round_}
    found = _rows(
        connection,
        "select * from inspection.inspection_rounds where plan_id = $plan and round = $round",
        named,
    )
    if not found:
        raise BadInput(f"plan {plan_id}, round {round_} is not in force on {day}; see inspection_plans")
    plan = found[0]
    items = _rows(
        connection,
        "select * from inspection.plan_items where plan_id = $plan and round = $round order by item_code",
        named,
    )
    if not items:
        raise BadInput(
            f"plan {plan_id}, round {round_} names no item that is valid on {day}; see inspection_plans"
        )
    parties = _parties(connection, _list(plan["parties"]), day, office)
    inspectors = _rows(
        connection, _in_force("inspection_policy", "parameter = 'inspectors_per_visit'"), {"day": day}
    )
    source = str(plan["entropy_source"] or NO_ENTROPY)
    reasons = _rows(connection, _in_force("topup_reasons"), {"day": day})
    ordered = _rows(
        connection,
        _in_force("inspection_exceptions", "kind = 'superior_task'") + " order by exception_id",
        {"day": day},
    )
    return {
        "format": "RULE1",
        "plan_id": plan_id,
        "round": round_,
        "rounds_per_year": int(plan["rounds_per_year"]),
        **{name: str(plan[name] or "") for name in _PLAN_TEXTS},
        **{name: plan[name].isoformat() for name in _PLAN_DAYS},
        **{name: _list(plan[name]) for name in _PLAN_LISTS},
        "items": [{name: _plain(item[name]) for name in _ITEM_FIELDS} for item in items],
        "parties": parties,
        "entropy": {
            "source": source,
            "fallback": _list(plan["entropy_fallback"]),
            # On the day of the commitments itself the lottery may have been drawn before them.
            "lag_days": max(1, int(plan["entropy_lag_days"] or 0)) if source != NO_ENTROPY else 0,
            "fallback_after_days": FALLBACK_AFTER_DAYS,
        },
        "topup_reasons": sorted(str(row["reason"]) for row in reasons),
        # Only these let grade A be drawn where safety is no concern.
        "superior_tasks": [
            {
                "exception_id": str(row["exception_id"]),
                "document_no": str(row["document_no"] or ""),
                "unit_id": str(row["unit_id"] or "*"),
                "item_code": str(row["item_code"] or "*"),
            }
            for row in ordered
            if (row["grade"] or "*") in ("*", "A")
        ],
        "inspectors_per_visit": int(inspectors[0]["value"]) if inspectors else 2,
        "pair_rule": PAIR_RULE,
        "algorithm": ALGORITHM,
        "draw_sql_sha256": sha256_hex(DRAW_SQL.encode()),
        "verifier_sha256": sha256_hex(VERIFIER_PATH.read_bytes()) if VERIFIER_PATH.exists() else "",
    }


def _parties(
    connection: duckdb.DuckDBPyConnection, names: list[str], day: date, office: PublicParty
) -> list[dict[str, str]]:
    known = {row["party"]: row for row in _rows(connection, _in_force("draw_parties"), {"day": day})}
    if not names or len(set(names)) != len(names):
        raise BadInput("inspection_plans, column parties: a plan needs at least one party, and each once")
    result = []
    for name in names:
        if name not in known:
            raise BadInput(f"party {name} of a plan is not in force in draw_parties on {day}; enter its row")
        row = known[name]
        key, recipient = str(row["signing_key"] or ""), str(row["age_recipient"] or "")
        if name == OFFICE and not key:
            key, recipient = office.signing_key, office.age_recipient
        if not key or (len(names) > 1 and not recipient):
            raise BadInput(
                f"draw_parties, party {name}: signing_key or age_recipient is empty; the office makes them by "
                f"`credit-pipeline draw party init --party {name}` on its own machine and hands in what is printed"
            )
        result.append(
            {
                "party": name,
                "label": str(row["label"] or ""),
                "office": str(row["office"] or ""),
                "signing_key": key,
                "age_recipient": recipient,
            }
        )
    if len({one["signing_key"] for one in result}) != len(result):
        raise BadInput(
            "draw_parties: two parties of a plan have the same signing_key; each office has its own"
        )
    canonical_json(result)
    return result


def _in_force(table: str, condition: str = "true") -> str:
    return (
        f"select * from policy.{table} where effective_from <= $day and effective_to >= $day and {condition}"
    )


def _rows(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]
) -> list[dict[str, Any]]:
    cursor = connection.execute(sql, dict(parameters))
    names = [one[0] for one in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _list(cell: Any) -> list[str]:
    return [part.strip() for part in str(cell or "").split("|") if part.strip()]


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value if value is not None else "")
