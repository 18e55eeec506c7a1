"""Why an enterprise has its grade: points per indicator, vetoes, and the records behind them down to file and row.

The answer is confidential; whoever prints it holds the lake anyway. Tables are read as dbt made them.
"""

from __future__ import annotations

from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.feeds.lake_schema import has_uscc_sent
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect

MICRO = 1_000_000
RECORDS_SHOWN = 20


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    answer = connection.execute(sql, list(parameters))
    names = [column[0] for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def explain_enterprise(settings: Settings, uscc: str) -> dict[str, Any]:
    """Everything that led to the current grade of an enterprise.

    Returns:
        The row of `grading.enterprise_grades`, `points` (per indicator: value, micro points, reference), `vetoes`,
        `units` (unit grades) and `records` (per feed: the current version of each record, with source file and row).

    Raises:
        BadInput: no enterprise of the register has that code.
    """
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        known = _rows(connection, "select * from enterprises.enterprises where uscc = ?", uscc)
        if not known:
            raise BadInput(
                f"no enterprise {uscc!r} in the register; remedy: check the 18 characters of the unified social credit code"
            )
        grades = _rows(connection, "select * from grading.enterprise_grades where uscc = ?", uscc)
        if not grades:
            return {
                "uscc": uscc,
                "enterprise": known[0],
                "platform_grade": None,
                "why": "not gradable",
                "points": [],
                "records": {},
            }
        scores = _rows(connection, "select * from grading.enterprise_scores where uscc = ?", uscc)[0]
        indicators = _rows(connection, "select * from indicators.enterprise_indicators where uscc = ?", uscc)[
            0
        ]
        catalogue = {row["indicator"]: row for row in _rows(connection, "select * from policy.indicators")}
        reference = dict(
            connection.execute(
                "select distinct feature, reference_micro from " + _points(settings, connection)
            ).fetchall()
        )
        points: list[dict[str, Any]] = [
            {
                "indicator": name,
                "label": catalogue[name]["label"] if name in catalogue else name,
                "value": indicators.get(name),
                "micro_points": int(value),
                "reference_micro": int(reference.get(name) or 0),
            }
            for name, value in (
                (column.removeprefix("p_"), scores[column]) for column in scores if column.startswith("p_")
            )
            if name in reference
        ]
        points.sort(key=lambda item: (item["reference_micro"] - item["micro_points"], item["indicator"]))
        feeds = [
            "registrations",
            *sorted(
                {feed for row in catalogue.values() for feed in row["source_feeds"].split("|")}
                - {"registrations"}
            ),
        ]
        records = {feed: found for feed in feeds if (found := _records(connection, feed, uscc))}
        return {
            **grades[0],
            "enterprise": known[0],
            "intercept_micro": int(scores["score_micro"]) - sum(item["micro_points"] for item in points),
            "points": points,
            "vetoes": _rows(connection, "select * from grading.grade_vetoes where uscc = ?", uscc),
            "units": _rows(
                connection, "select * from grading.unit_grades where uscc = ? order by unit_id", uscc
            ),
            "records": records,
        }


def _points(settings: Settings, connection: duckdb.DuckDBPyConnection) -> str:
    row = connection.execute("select model_digest from grading.enterprise_grades limit 1").fetchone()
    digest = row[0] if row else ""
    return f"read_parquet('{settings.models_dir / digest[:16] / 'points.parquet'}')"


def _records(connection: duckdb.DuckDBPyConnection, feed: str, uscc: str) -> list[dict[str, Any]]:
    columns = load_catalogue()[feed]
    shown = [
        column.name
        for column in columns.stored_columns
        if column.classification != "personal" and column.type != "text" and column.name != "quarantine_id"
    ]
    names = ", ".join(f's."{name}"' for name in shown)
    places = "s.known_from, s.source_file, s.source_sheet, s.source_row"
    order = "order by s.known_from desc, s.source_file, s.source_row"
    if not has_uscc_sent(columns):
        return _rows(
            connection,
            f"select {names}, {places} from staging.stg_{feed} as s where s.uscc = ? and s.known_to is null {order}",
            uscc,
        )
    return _rows(
        connection,
        f"""
        select {names}, {places}, s.identity_rung, u.sent
        from staging.stg_{feed} as s
        left join (
            select source_file, coalesce(source_sheet, '') as sheet, source_row, row_hash,
                max(concat_ws(' ', party_name, uscc_sent, reg_no, org_code, tax_no)) as sent
            from staging.unidentified_rows where feed = '{feed}' group by all
        ) as u on u.source_file = s.source_file and u.sheet = coalesce(s.source_sheet, '')
            and u.source_row = s.source_row and u.row_hash = s.row_hash and s.identity_rung <> 'uscc'
        where s.uscc = ? and s.known_to is null {order}
        """,
        uscc,
    )


def render_explanation(found: dict[str, Any], console: Console) -> None:
    """Print the answer for people."""
    enterprise = found["enterprise"]
    console.print(f"{found['uscc']} {enterprise['enterprise_name']}  [dim]内部资料，仅供参考，不得公开[/dim]")
    if found["platform_grade"] is None:
        console.print(f"not graded: status {enterprise['status']}")
        return
    console.print(
        f"grade {found['platform_grade']} {found['grade_label']} as of {found['as_of_date']}, by {found['path']}; "
        f"probability of a serious breach within 12 months {found['probability']:.1%}; "
        f"{found['data_completeness']} kinds of information known"
    )
    for veto in found["vetoes"]:
        console.print(f"veto: {veto['veto']} {veto.get('label', '')}", style="red")
    table = Table(
        title="Points per indicator (log-odds; reference = the average enterprise)", title_justify="left"
    )
    for name in ("indicator", "label", "value", "points", "reference", "difference"):
        table.add_column(name, justify="left" if name in ("indicator", "label") else "right")
    for item in found["points"]:
        difference = item["micro_points"] - item["reference_micro"]
        table.add_row(
            item["indicator"],
            item["label"],
            "–" if item["value"] is None else str(item["value"]),
            f"{item['micro_points'] / MICRO:+.3f}",
            f"{item['reference_micro'] / MICRO:+.3f}",
            f"{difference / MICRO:+.3f}",
        )
    console.print(table)
    for feed, records in found["records"].items():
        console.print(f"[bold]{feed}[/bold]: {len(records)} records")
        for record in records[:RECORDS_SHOWN]:
            facts = ", ".join(
                f"{name} {value}"
                for name, value in record.items()
                if value is not None
                and name
                not in (
                    "uscc",
                    "source_file",
                    "source_sheet",
                    "source_row",
                    "known_from",
                    "identity_rung",
                    "sent",
                )
            )
            if record.get("identity_rung", "uscc") != "uscc":
                facts += f"; identified by {record['identity_rung']} (sent: {record['sent']})"
            console.print(
                f"  {record['source_file']} row {record['source_row']}: {facts}",
                highlight=False,
                soft_wrap=True,
            )
    for unit in found["units"]:
        console.print(f"unit {unit['unit_id']}: {unit['unit_grade']}", highlight=False)
