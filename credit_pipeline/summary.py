"""What a run did and what a lake holds, as counts: for people (rich tables) and for machines (JSON).

Counts only: no enterprise and no grade of one ever appears here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.extracts.catalogue import list_extracts, office_held, office_held_line
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.feeds.ledger import read_ledger
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import Promotion, champion
from credit_pipeline.warehouse import connect, current_as_of_date, run_target

GRADES = {"A": "信用良好", "B": "守信", "C": "信用一般", "D": "失信", "E": "严重失信"}


@dataclass(frozen=True)
class RunSummary:
    """The counts of one daily run."""

    as_of: str
    run_id: str
    feeds: Mapping[str, Mapping[str, int]]
    enterprises: int
    grades: Mapping[str, int]
    quotas: int
    draws: int
    extracts: int
    units: list[tuple[str, str, int, int, int]] = field(default_factory=list)
    """unit_id, unit name, enterprises in frame, quota, drawn."""
    is_replay: bool = False
    attention: Mapping[str, int] = field(default_factory=dict)
    """What waits for somebody, see `attention_counts`."""
    problems: Sequence[str] = ()
    """What the run could not do, each with its remedy: files left in landing, units without inspectors."""

    def to_json(self) -> dict[str, Any]:
        """The object that `run --json` prints; its keys are a promise to others."""
        return {
            "as_of": self.as_of,
            "run_id": self.run_id,
            "feeds": {name: dict(counts) for name, counts in self.feeds.items()},
            "enterprises": self.enterprises,
            "grades": dict(self.grades),
            "quotas": self.quotas,
            "draws": self.draws,
            "extracts": self.extracts,
            "problems": list(self.problems),
        }


def attention_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Refused rows that nobody has corrected, parties nobody has identified, records missing from full deliveries
    that nobody has decided on, and feeds that did not come within their agreed interval; empty for a warehouse that was
    built before there was a quality report."""
    known = (
        "select count(*) from duckdb_tables() where schema_name = 'quality' and table_name = 'feed_overview'"
    )
    if not _count(connection, known):
        return {}
    return {
        "open_quarantine_rows": _count(
            connection, "select count(*) from quality.quarantined_rows where status = 'open'"
        ),
        "parties_in_review": _count(
            connection, "select count(distinct party_key) from quality.identity_review"
        ),
        "missing_records": _count(
            connection, "select count(*) from quality.silent_deletions where status = 'open'"
        ),
        "stale_feeds": _count(connection, "select count(*) from quality.feed_overview where is_stale"),
    }


def attention_line(counts: Mapping[str, int]) -> str:
    """The same in words, with the command that helps."""
    if not counts:
        return "What waits for somebody is known after the next run."
    return (
        f"Waiting for somebody: {counts['open_quarantine_rows']:,} refused rows (credit-pipeline quarantine), "
        f"{counts['parties_in_review']:,} parties in review (credit-pipeline review), "
        f"{counts['missing_records']:,} missing records (credit-pipeline absences), "
        f"{counts['stale_feeds']:,} stale feeds"
    )


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0


def summarize(
    settings: Settings,
    as_of_date: date,
    run_id: str,
    feeds: Mapping[str, Mapping[str, int]],
    problems: Sequence[str] = (),
) -> RunSummary:
    """Read the counts of a finished run from its warehouse."""
    target = run_target(settings, as_of_date)
    with connect(settings, target.path, read_only=True) as connection:
        grades = dict(
            connection.execute(
                "select platform_grade, count(*) from grading.enterprise_grades group by all"
            ).fetchall()
        )
        units = connection.execute(
            """
            with quotas as (select unit_id, sum(quota) as quota from inspection.inspection_quotas group by unit_id),
            frames as (select unit_id, count(distinct uscc) as n from inspection.inspection_frame group by unit_id),
            draws as (
                select unit_id, count(*) as n
                from inspection.inspection_draws semi join inspection.inspection_rounds using (plan_id, round)
                where not is_top_up
                group by unit_id
            )
            select u.unit_id, u.unit_name, coalesce(f.n, 0), coalesce(q.quota, 0), coalesce(d.n, 0)
            from policy.units u
            left join frames f using (unit_id) left join quotas q using (unit_id) left join draws d using (unit_id)
            order by u.unit_id
            """
        ).fetchall()
        enterprises = _count(connection, "select count(*) from grading.enterprise_grades")
        attention = attention_counts(connection)
    return RunSummary(
        as_of=as_of_date.isoformat(),
        run_id=run_id,
        feeds=feeds,
        enterprises=enterprises,
        grades={grade: int(grades.get(grade, 0)) for grade in GRADES},
        quotas=sum(int(unit[3]) for unit in units),
        draws=sum(int(unit[4]) for unit in units),
        extracts=len(list_extracts(settings)),
        units=[(str(unit[0]), str(unit[1]), int(unit[2]), int(unit[3]), int(unit[4])) for unit in units],
        is_replay=target.is_replay,
        attention=attention,
        problems=problems,
    )


def model_line(model: Promotion) -> str:
    """Which model grades, since when, and why no trained one does."""
    if model.kind == "expert" and model.decided_by == "no_usable_model":
        return (
            f"Model: the expert scorecard {model.digest[:16]} since {model.valid_from}; no trained model may grade yet: "
            f"{model.reason}"
        )
    return f"Model: {model.kind} {model.digest[:16]} since {model.valid_from} ({model.reason})"


def render(settings: Settings, summary: RunSummary, console: Console) -> None:
    """Print a run's summary for people."""
    labels = load_catalogue()
    feeds = Table(title=f"Feeds read on {summary.as_of}", title_justify="left", header_style="bold")
    feeds.add_column("feed")
    for name in ("read", "accepted", "quarantined", "duplicates"):
        feeds.add_column(name, justify="right")
    for name, counts in summary.feeds.items():
        feeds.add_row(
            f"{name} {labels[name].label}",
            *(f"{counts[key]:,}" for key in ("read", "accepted", "quarantined", "duplicates")),
        )
    totals = {
        key: sum(counts[key] for counts in summary.feeds.values())
        for key in ("read", "accepted", "quarantined", "duplicates")
    }
    feeds.add_section()
    feeds.add_row("all", *(f"{value:,}" for value in totals.values()), style="bold")
    console.print(feeds)
    for name in summary.feeds:
        for entry in read_ledger(settings, name):
            if entry["problem"] and entry["ingest_date"] == summary.as_of:
                problem = entry["problem"]
                console.print(
                    f"refused {entry['file']}: {problem['message']}. {problem['remedy']}", style="yellow"
                )
    if not totals["read"]:
        console.print("Nothing new had arrived; the results were computed again from the lake.")

    grades = Table(
        title=f"{summary.enterprises:,} enterprises graded (confidential, reference only)",
        title_justify="left",
    )
    grades.add_column("grade")
    grades.add_column("enterprises", justify="right")
    grades.add_column("share", justify="right")
    for grade, count in summary.grades.items():
        share = count / summary.enterprises if summary.enterprises else 0.0
        grades.add_row(f"{grade} {GRADES[grade]}", f"{count:,}", f"{share:.1%}")
    console.print(grades)

    units = Table(title="Inspections by supervising unit", title_justify="left")
    for name, justify in (
        ("unit", "left"),
        ("name", "left"),
        ("in frame", "right"),
        ("quota", "right"),
        ("drawn", "right"),
    ):
        units.add_column(name, justify=justify)  # type: ignore[arg-type]
    for unit_id, name, frame, quota, drawn in summary.units:
        units.add_row(unit_id, name, f"{frame:,}", f"{quota:,}", f"{drawn:,}")
    units.add_section()
    units.add_row("all", "", "", f"{summary.quotas:,}", f"{summary.draws:,}", style="bold")
    console.print(units)

    size, head = AuditLog(settings.audit_log_path).head()
    model = champion(settings, date.fromisoformat(summary.as_of))
    console.print(f"Extracts: {summary.extracts} encrypted files in {settings.extracts_dir}")
    if line := office_held_line(office_held(settings)):
        console.print(line, style="yellow", highlight=False)
    if model is not None:
        console.print(model_line(model))
    console.print(f"Audit log: {size} records, head {head[:16]}…")
    console.print(attention_line(summary.attention), highlight=False)
    for problem in summary.problems:
        console.print(problem, style="yellow", markup=False, highlight=False)
    if summary.is_replay:
        console.print(
            "A past day was computed again: nothing current was changed, drawn or published.", style="yellow"
        )
    console.print(
        "\nWhere to look next:\n"
        "  refused rows        credit-pipeline quarantine list\n"
        "  the units' extracts credit-pipeline extract list\n"
        "  one enterprise      credit-pipeline explain USCC\n"
        "  lineage and checks  make ui",
        highlight=False,
    )


def lake_status(settings: Settings) -> dict[str, Any]:
    """What the lake holds: day, feeds, grades, draws, extracts, audit log."""
    current = current_as_of_date(settings)
    feeds = {}
    for name, feed in load_catalogue().items():
        entries = read_ledger(settings, name)
        last = max((entry["ingest_date"] for entry in entries), default=None)
        age = (current - date.fromisoformat(last)).days if last and current else None
        feeds[name] = {
            "files": len(entries),
            **{
                key: sum(entry[key] for entry in entries)
                for key in ("read", "accepted", "quarantined", "duplicates")
            },
            "last_ingest_date": last,
            "is_stale": not feed.is_decision and age is not None and age > feed.cadence_days,
        }
    size, head = AuditLog(settings.audit_log_path).head()
    status: dict[str, Any] = {
        "lake": str(settings.lake_dir),
        "as_of": current.isoformat() if current else None,
        "feeds": feeds,
        "audit": {"records": size, "head": head},
        "extracts": len(list_extracts(settings)),
        "office_held_keys": office_held(settings),
    }
    if current is not None and settings.warehouse_path.exists():
        summary = summarize(settings, current, "", {})
        model = champion(settings, current)
        status |= {
            "enterprises": summary.enterprises,
            "grades": dict(summary.grades),
            "quotas": summary.quotas,
            "draws": summary.draws,
            "attention": dict(summary.attention),
            "model": {"kind": model.kind, "digest": model.digest, "valid_from": model.valid_from}
            if model
            else None,
        }
    return status


def render_status(status: Mapping[str, Any], console: Console) -> None:
    """Print a lake's status for people."""
    if status["as_of"] is None:
        console.print(f"{status['lake']} has not been run yet; next: credit-pipeline run --landing DIR")
        return
    table = Table(title=f"{status['lake']} as of {status['as_of']}", title_justify="left")
    for name in ("feed", "files", "read", "accepted", "quarantined", "duplicates", "last arrival"):
        table.add_column(name, justify="left" if name in ("feed", "last arrival") else "right")
    for name, counts in status["feeds"].items():
        arrival = (counts["last_ingest_date"] or "never") + (
            " [yellow]stale[/yellow]" if counts["is_stale"] else ""
        )
        numbers = (f"{counts[key]:,}" for key in ("files", "read", "accepted", "quarantined", "duplicates"))
        table.add_row(name, *numbers, arrival)
    console.print(table)
    if "grades" in status:
        shares = ", ".join(f"{grade} {count:,}" for grade, count in status["grades"].items())
        console.print(f"{status['enterprises']:,} enterprises graded: {shares}")
        console.print(f"quota {status['quotas']:,}, drawn {status['draws']:,}, extracts {status['extracts']}")
        console.print(attention_line(status["attention"]), highlight=False)
        console.print(f"model: {json.dumps(status['model'])}", highlight=False)
    if line := office_held_line(status["office_held_keys"]):
        console.print(line, style="yellow", highlight=False)
    console.print(f"audit log: {status['audit']['records']} records, head {status['audit']['head'][:16]}…")
