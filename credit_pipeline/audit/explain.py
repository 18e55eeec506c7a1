"""Why an enterprise has its grade: steps, points against the norm of its peers, and the records behind them down to file
and row; what no longer counts and why; what is missing.

Here: what is read, for one enterprise, as one dictionary. Not here: its records (`audit.explain_records`), how it is
printed (`audit.explain_render`), the words of a reason (`grading.reason_words`), where another day is computed
(`audit.explain_day`).
The answer is confidential; whoever asks holds the lake anyway. The warehouse is opened read-only.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import duckdb

from credit_pipeline.audit.explain_day import day_warehouse
from credit_pipeline.audit.explain_records import (
    PLACE,
    Rows,
    evidence_of,
    no_longer_counted,
    place_of,
    rows,
    word_contributions,
)
from credit_pipeline.audit.explain_words import status_words
from credit_pipeline.errors import BadInput
from credit_pipeline.grading.reason_words import english_label, sentence, value_words
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, current_as_of_date

NOTICE = "内部资料，仅供参考，不得公开 · Confidential: a reference for allocating supervision, never public"
SUGGESTIONS = 5


def explain_enterprise(
    settings: Settings,
    uscc: str,
    *,
    as_of_date: date | None = None,
    unit_id: str | None = None,
    language: str = "zh",
    progress: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Everything that led to the grade of an enterprise on a day.

    Args:
        as_of_date: another day than the warehouse's is computed anew in a private file, minutes for a big city.
        unit_id: only this unit's grade and steps, with the points of its system; else those of all its units.
        language: of sentences and labels, `zh` or `en`.

    Returns:
        The row of `grading.enterprise_grades` and: `enterprise`, `steps`, `points` (per indicator: value, points, norm,
        sentence, records), `intercept_micro`, `vetoes`, `units`, `records` (per feed, those that count), `no_longer`
        (those that do not, with the reason), `awaiting`, `known_later`, `missing`, `changes`, `affected`, and of another
        day `compared`: whether it equals what was stored that day.

    Raises:
        BadInput: no enterprise of the register has that code or name; the unit does not supervise it; nothing is graded yet.
    """
    uscc = uscc.strip()
    if not uscc:
        raise BadInput(
            "no enterprise named; remedy: give the 18 characters of its unified social credit code"
        )
    current = current_as_of_date(settings)
    if current is None:
        raise BadInput("nothing has been graded yet; remedy: credit-pipeline run")
    day = as_of_date or current
    with (
        day_warehouse(settings, day, progress) as (path, compared),
        connect(settings, path, read_only=True) as connection,
    ):
        enterprise = _enterprise(connection, uscc)
        found = _explain(connection, enterprise, day, unit_id, language)
    found["compared"] = compared
    found["known_later"] = _known_later(settings, found["uscc"], day) if day != current else []
    return found


def _enterprise(connection: duckdb.DuckDBPyConnection, uscc: str) -> dict[str, Any]:
    known = rows(connection, "select * from enterprises.enterprises where uscc = ?", uscc.upper())
    if known:
        return known[0]
    alike = rows(
        connection,
        """
        select uscc, enterprise_name from enterprises.enterprises
        where contains(enterprise_name, $1) or (length($1) = 18 and levenshtein(uscc, upper($1)) <= 2)
        order by length(enterprise_name), uscc limit $2
        """,
        uscc,
        SUGGESTIONS,
    )
    hint = (
        "; meant is perhaps: " + ", ".join(f"{row['uscc']} {row['enterprise_name']}" for row in alike)
        if alike
        else ""
    )
    raise BadInput(
        f"no enterprise {uscc!r} in the register; remedy: give the 18 characters of its unified social credit code{hint}"
    )


def _explain(
    connection: duckdb.DuckDBPyConnection,
    enterprise: dict[str, Any],
    day: date,
    unit_id: str | None,
    language: str,
) -> dict[str, Any]:
    uscc = enterprise["uscc"]
    catalogue = _catalogue(connection, day, language)
    records = evidence_of(connection, uscc, day, set(catalogue))
    word_contributions(connection, records, catalogue, language)
    states = {
        place_of(row): row
        for row in rows(connection, "select * from grading.record_states where uscc = ?", uscc)
    }
    for feed, found in records.items():
        for record in found:
            state = states.get((feed, *place_of(record)[1:]), {})
            record["effect_end"] = state.get("effect_end")
            record["in_objection"] = state.get("state") == "objection"
    counted = {
        (feed, *place_of(record)[1:])
        for feed, found in records.items()
        for record in found
        if record["contributions"] or record["weighs_in"]
    }
    result: dict[str, Any] = {
        "uscc": uscc,
        "as_of_date": day,
        "notice": NOTICE,
        "language": language,
        "labels": {name: item["label"] for name, item in catalogue.items()},
        "result_labels": {
            row["result_code"]: row["label"]
            for row in rows(
                connection,
                "select result_code, label from policy.inspection_result_codes "
                "where effective_from <= $1 and effective_to >= $1",
                day,
            )
        },
        "system_labels": {
            row["system_id"]: row["label"]
            for row in rows(
                connection, "select system_id, max(label) as label from policy.unit_systems group by 1"
            )
        },
        "unit_names": {
            row["unit_id"]: row["unit_name"]
            for row in rows(
                connection, "select unit_id, max(unit_name) as unit_name from policy.units group by 1"
            )
        },
        "enterprise": enterprise,
        "platform_grade": None,
        "points": [],
        "steps": [],
        "vetoes": [],
        "units": [],
        "records": {
            feed: [row for row in found if (feed, *place_of(row)[1:]) in counted]
            for feed, found in records.items()
        },
        "no_longer": no_longer_counted(states, counted, day),
        "awaiting": rows(
            connection,
            """select party_name, review_reason, rows_by_feed, waiting_since, why from quality.identity_review
            where candidate_uscc = ? order by waiting_since, party_key""",
            uscc,
        ),
        "missing": [],
        "changes": rows(
            connection, "select * from grading.grade_history where uscc = ? order by as_of_date desc", uscc
        ),
        "affected": rows(
            connection,
            "select * from grading.affected_grades where uscc = ? order by known_on desc, feed, record_no",
            uscc,
        ),
        "objections": rows(
            connection,
            "select * from grading.disputed_records where uscc = ? order by event_date, record_no",
            uscc,
        ),
    }
    result["records"] = {feed: found for feed, found in result["records"].items() if found}
    result["units"] = _units(connection, uscc, unit_id)
    grades = rows(connection, "select * from grading.enterprise_grades where uscc = ?", uscc)
    if not grades:
        kinds = rows(
            connection, "select subject_kind, max(label) as label from policy.subject_kinds group by 1"
        )
        result["why"] = status_words(
            enterprise, {row["subject_kind"]: row["label"] for row in kinds}, language
        )
        return result
    points, missing, intercept = _points(connection, uscc, catalogue, language)
    for item in points:
        item["records"] = [
            {"feed": feed, **{name: record[name] for name in ("record_no", "event_date", "effect_end", *PLACE)},
             "contribution": record["contributions"][item["indicator"]]}
            for feed, found in records.items()
            for record in found
            if item["indicator"] in record["contributions"]
        ]  # fmt: skip
    result |= grades[0] | {"as_of_date": day, "points": points, "intercept_micro": intercept}
    result["missing"] = missing
    result["steps"] = rows(
        connection,
        "select * from grading.grade_steps where uscc = ? and (unit_id is null or unit_id = coalesce(?, unit_id)) "
        "order by unit_id nulls first, step_no",
        uscc,
        unit_id,
    )
    result["vetoes"] = rows(
        connection, "select * from grading.grade_vetoes where uscc = ? order by veto_grade desc, veto", uscc
    )
    return result


def _catalogue(connection: duckdb.DuckDBPyConnection, day: date, language: str) -> dict[str, dict[str, Any]]:
    window = "case when indicator like '%_12m' then ' (12 months)' when indicator like '%_36m' then ' (36 months)' else '' end"
    label = "label" if language == "zh" else f"({english_label()}) || {window}"
    found = rows(
        connection,
        f"""select indicator, {label} as label, label as chinese_label, definition, group_label, unit, direction, window_months, effect_rule, must_report
        from policy.indicators where effective_from <= $1 and effective_to >= $1""",
        day,
    )
    return {row["indicator"]: row for row in found}


def _points(
    connection: duckdb.DuckDBPyConnection,
    uscc: str,
    catalogue: dict[str, dict[str, Any]],
    language: str,
) -> tuple[Rows, list[str], int]:
    """Points of every indicator that the model uses or a value is known of, the most above the norm first; the labels of
    those without a value, what must be reported first; the intercept."""
    [score] = rows(connection, "select * from grading.enterprise_scores where uscc = ?", uscc)
    [values] = rows(connection, "select * from indicators.enterprise_indicators where uscc = ?", uscc)
    [norm] = rows(
        connection,
        "select * from grading.peer_points where industry_section = ? and size_class = ?",
        values["industry_section"] or "",
        values["size_class"] or "",
    )
    names = [name.removeprefix("p_") for name in score if name.startswith("p_")]
    listed = [
        (
            name, catalogue[name]["chinese_label"], catalogue[name]["unit"], catalogue[name]["window_months"], values.get(name),
            int(score[f"p_{name}"]), int(norm[f"n_{name}"]), norm["peer_level"],
        )
        for name in names
        if name in catalogue
    ]  # fmt: skip
    import pyarrow as pa

    columns = (
        "indicator",
        "label",
        "unit",
        "window_months",
        "indicator_value",
        "micro_points",
        "norm_micro",
        "peer_level",
    )
    items = pa.table(
        {name: pa.array([row[place] for row in listed], type_) for place, (name, type_) in enumerate(zip(columns, (
            pa.string(), pa.string(), pa.string(), pa.int64(), pa.int64(), pa.int64(), pa.int64(), pa.string()), strict=True))}
    )  # fmt: skip
    connection.register("explained_items", items)
    found = rows(
        connection,
        f"""
        select indicator, label, unit, indicator_value as value, {value_words(language)} as value_text, micro_points, norm_micro,
            points_over, peer_level, {sentence(language)} as sentence
        from (select *, micro_points - norm_micro as points_over from explained_items)
        order by points_over desc, indicator
        """,
    )
    connection.unregister("explained_items")
    total = sum(int(score[f"p_{name}"]) for name in names)
    used = [item for item in found if item["micro_points"] or item["norm_micro"] or item["value"] is not None]
    for item in used:
        item |= {
            name: catalogue[item["indicator"]][name]
            for name in ("label", "definition", "group_label", "effect_rule")
        }
    missing = sorted(
        (not catalogue[item["indicator"]]["must_report"], catalogue[item["indicator"]]["label"])
        for item in found
        if item["value"] is None
    )
    return used, [label for _, label in missing], int(score["score_micro"]) - total


def _units(connection: duckdb.DuckDBPyConnection, uscc: str, unit_id: str | None) -> Rows:
    found = rows(
        connection,
        """
        select g.*, u.unit_name from grading.unit_grades as g
        left join (select unit_id, max(unit_name) as unit_name from policy.units group by unit_id) as u using (unit_id)
        where g.uscc = ? and g.unit_id = coalesce(?, g.unit_id) order by g.unit_id
        """,
        uscc,
        unit_id,
    )
    if unit_id is not None and not found:
        supervising = connection.execute(
            "select unit_id from enterprises.enterprise_units where uscc = ? order by 1", [uscc]
        ).fetchall()
        raise BadInput(
            f"unit {unit_id} does not supervise {uscc}; its units are: "
            + (", ".join(row[0] for row in supervising) or "none")
        )
    if unit_id is not None and found[0].get("system_id"):
        found[0]["system_points"] = rows(
            connection,
            "select * from grading.unit_score_points where uscc = ? and unit_id = ? order by all",
            uscc,
            unit_id,
        )
    return found


def _known_later(settings: Settings, uscc: str, day: date) -> Rows:
    """What happened by the day and only became known after it, as the current warehouse has it."""
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        return rows(
            connection,
            """
            select feed, record_no, event_date, state, ingest_date as known_since, source_file, source_sheet, source_row
            from grading.record_states
            where uscc = ? and event_date <= ? and ingest_date > ? order by ingest_date, feed, record_no
            """,
            uscc,
            day,
            day,
        )
