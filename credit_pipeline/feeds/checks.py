"""Asset checks of stage 1, run in the step of the asset they watch: one step per feed instead of three."""

from __future__ import annotations

from datetime import date

import dagster as dg

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.ledger import read_ledger, reconcile
from credit_pipeline.feeds.sources import Collected
from credit_pipeline.settings import Settings


def raw_check_specs(feed: Feed) -> list[dg.AssetCheckSpec]:
    """The checks of `raw/<feed>`."""
    key = dg.AssetKey(["raw", feed.name])
    return [
        dg.AssetCheckSpec(
            "rows_reconcile",
            asset=key,
            blocking=True,
            description="read = accepted + quarantined + exact duplicates for every file, and the lake holds just those rows.",
        ),
        dg.AssetCheckSpec(
            "no_file_refused",
            asset=key,
            description="Every file that arrived on the day could be read as this feed; the others say what to mend.",
        ),
        dg.AssetCheckSpec(
            "arrived_in_time",
            asset=key,
            description="Decisions of the office come when there are any."
            if feed.is_decision
            else f"A file arrived within the agreed {feed.cadence_days} days; otherwise ask {feed.owner} for it.",
        ),
        dg.AssetCheckSpec(
            "sources_reached",
            asset=key,
            description="Every database and API of the feed could be read; the others say what to do. The day goes on.",
        ),
    ]


def check_raw(settings: Settings, feed: Feed, as_of_date: date) -> list[dg.AssetCheckResult]:
    """Compare the ledger with the lake, name the files that were refused, and say when the feed last came.

    The asset's own freshness only tells that the job ran: it is materialized on days without a file too.
    """
    key = dg.AssetKey(["raw", feed.name])
    differences = reconcile(settings, feed)
    day = as_of_date.isoformat()
    last = max((entry["ingest_date"] for entry in read_ledger(settings, feed.name)), default=None)
    age = (as_of_date - date.fromisoformat(last)).days if last else None
    refused = [
        entry
        for entry in read_ledger(settings, feed.name)
        if entry["problem"] and entry["ingest_date"] == day
    ]
    return [
        dg.AssetCheckResult(
            asset_key=key,
            check_name="rows_reconcile",
            passed=not differences,
            metadata={"differences": _bullets(differences)},
        ),
        dg.AssetCheckResult(
            asset_key=key,
            check_name="no_file_refused",
            passed=not refused,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "count": len(refused),
                "refused": _bullets(
                    [
                        f"`{entry['file']}`: {entry['problem']['message']} {entry['problem']['remedy']}"
                        for entry in refused
                    ]
                ),
            },
        ),
        dg.AssetCheckResult(
            asset_key=key,
            check_name="arrived_in_time",
            passed=feed.is_decision or (age is not None and age <= feed.cadence_days),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"last_arrival": last or "never", "agreed_days": feed.cadence_days},
        ),
    ]


def check_sources(feed: Feed, collected: Collected, as_of_date: date) -> dg.AssetCheckResult:
    """Name the sources that failed; an error once one has failed for longer than the feed's agreed interval."""
    overdue = any(report.is_overdue(as_of_date, feed.cadence_days) for report in collected.sources)
    lines = [f"`{report.source}`: {report.problem}" for report in collected.failed]
    lines += [f"`{report.source}`: {note}" for report in collected.sources for note in report.notes]
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(["raw", feed.name]),
        check_name="sources_reached",
        passed=not collected.failed and not any(report.has_lost_columns for report in collected.sources),
        severity=dg.AssetCheckSeverity.ERROR if overdue else dg.AssetCheckSeverity.WARN,
        metadata={"sources": _bullets(lines)},
    )


def _bullets(lines: list[str]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {line}" for line in lines) or "none")
