"""The records behind an explanation: which count, what each contributes and says, and which no longer count.

Here: reading one enterprise's records from the evidence views and the staging tables. Not here: the grade and its points
(`audit.explain`), words (`audit.explain_words`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import duckdb

from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.grading.reason_words import value_words

PLACE = ("source_file", "source_sheet", "source_row")
_EVIDENCE_KEYS = {"as_of_date", "uscc", "record_no", "event_date", *PLACE, "ingest_date"}
_COUNTS = {"negative_count", "negative_count_12m", "evidence_count", "current_listing_count"}
Rows = list[dict[str, Any]]


def rows(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: Any) -> Rows:
    """The answer of a query as dictionaries."""
    answer = connection.execute(sql, list(parameters))
    names = [column[0] for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def place_of(row: dict[str, Any]) -> tuple[Any, ...]:
    return (row.get("feed"), row["source_file"], row["source_sheet"], row["source_row"])


def evidence_of(
    connection: duckdb.DuckDBPyConnection, uscc: str, day: date, indicators: set[str]
) -> dict[str, Rows]:
    """Per feed the records in effect or observed, each with its contributions and what its row says."""
    views = connection.execute(
        "select table_name from information_schema.tables "
        "where table_schema = 'indicators' and starts_with(table_name, 'evidence_') order by 1"
    ).fetchall()
    found: dict[str, Rows] = {}
    for (view,) in views:
        feed = view.removeprefix("evidence_")
        sent = rows(
            connection,
            f"select * from indicators.{view} where uscc = ? and as_of_date = ? order by event_date desc, record_no, source_row",
            uscc,
            day,
        )
        if not sent:
            continue
        facts = _facts(connection, feed, uscc)
        found[feed] = [
            {
                **{name: row[name] for name in ("record_no", "event_date", *PLACE, "ingest_date")},
                "contributions": {
                    name: row[name] for name in row if name in indicators and row[name] is not None
                },
                "weighs_in": [name for name in _COUNTS if row.get(name)],
                "facts": facts.get(place_of(row)[1:], {}),
                "others": {
                    name: value
                    for name, value in row.items()
                    if name not in _EVIDENCE_KEYS | _COUNTS | indicators and value is not None
                },
            }
            for row in sent
        ]
    return found


def word_contributions(
    connection: duckdb.DuckDBPyConnection,
    records: dict[str, Rows],
    catalogue: dict[str, dict[str, Any]],
    language: str,
) -> None:
    """Give every record its contributions with their units, in the wording of the reasons."""
    asked = sorted(
        {
            (catalogue[name]["unit"], catalogue[name]["chinese_label"], value)
            for found in records.values()
            for record in found
            for name, value in record["contributions"].items()
        }
    )
    if not asked:
        return
    import pyarrow as pa

    columns = ("unit", "label", "indicator_value")
    items = pa.table({name: [row[place] for row in asked] for place, name in enumerate(columns)})
    connection.register("contributed", items)
    said = {
        (row["unit"], row["label"], row["indicator_value"]): row["words"]
        for row in rows(connection, f"select *, {value_words(language)} as words from contributed")
    }
    connection.unregister("contributed")
    for found in records.values():
        for record in found:
            record["contribution_words"] = {
                name: said[catalogue[name]["unit"], catalogue[name]["chinese_label"], value]
                for name, value in record["contributions"].items()
            }


def _facts(
    connection: duckdb.DuckDBPyConnection, feed: str, uscc: str
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What the rows of one enterprise say, by their place; no personal column, no free text."""
    definition = get_feed(feed)
    shown = [
        column.name
        for column in definition.stored_columns
        if column.personal == "none"
        and column.type not in ("text", "name", "uscc")
        and column.name not in ("quarantine_id", "reported_date")
    ]
    names = ", ".join(f's."{name}"' for name in shown)
    has_rung = connection.execute(
        "select count(*) from information_schema.columns where table_schema = 'staging' and table_name = ? "
        "and column_name = 'identity_rung'",
        [f"stg_{feed}"],
    ).fetchone()
    rung = ", s.identity_rung" if has_rung and has_rung[0] else ""
    found = rows(
        connection,
        f"select {names}, s.source_file, s.source_sheet, s.source_row{rung} from staging.stg_{feed} as s where s.uscc = ?",
        uscc,
    )
    return {
        place_of(row)[1:]: {
            name: value
            for name, value in row.items()
            if value is not None and name not in PLACE and not (name == "identity_rung" and value == "uscc")
        }
        for row in found
    }


def no_longer_counted(
    states: dict[tuple[Any, ...], dict[str, Any]], counted: Iterable[Any], day: date
) -> Rows:
    """Records of the enterprise that weigh nothing on the day, with the reason."""
    known = set(counted)
    found = [
        {
            "feed": row["feed"],
            "record_no": row["record_no"],
            "event_date": row["event_date"],
            "reason": row["state"] if row["state"] not in ("in_effect", "objection") else "no_weight",
            "since": row["state_date"] if row["state"] not in ("in_effect", "objection") else None,
            **{name: row[name] for name in PLACE},
        }
        for place, row in states.items()
        if place not in known
    ]
    return sorted(
        found, key=lambda row: (row["feed"], str(row["event_date"]), str(row["record_no"]), row["source_row"])
    )
