"""Fetches all sources of a feed before its files are ingested; one that fails stops neither the others nor the day.

What was fetched is a file in landing by then. What failed is told in the report, in the asset check `sources_reached`
and, as a reason without details, in the audit log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.ledger import last_ingest_date
from credit_pipeline.feeds.sources.config import DatabaseSource, HttpSource, load_sources
from credit_pipeline.feeds.sources.database import fetch_database
from credit_pipeline.feeds.sources.http import fetch_http
from credit_pipeline.feeds.sources.problems import Reason, SourceProblem
from credit_pipeline.feeds.sources.redaction import Secrets
from credit_pipeline.feeds.sources.state import Fetched, Store
from credit_pipeline.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourceReport:
    """What became of one source on one day."""

    source: str
    kind: str
    fetched: Fetched | None = None
    problem: str | None = None
    """What is wrong and the remedy; holds no secret."""
    reason: Reason | None = None
    last_fetched: str | None = None
    """Day of the last fetch that ended well, this one included."""
    notes: list[str] = field(default_factory=list)
    """What an office should know although the fetch ended well."""
    has_lost_columns: bool = False
    """Columns that came before no longer come."""

    def is_overdue(self, as_of_date: date, days: int) -> bool:
        """Whether it failed, and the last fetch that ended well is longer ago than agreed."""
        if self.problem is None:
            return False
        return self.last_fetched is None or (as_of_date - date.fromisoformat(self.last_fetched)).days > days


@dataclass(frozen=True)
class Collected:
    """What became of the sources of one feed."""

    feed: str
    sources: list[SourceReport] = field(default_factory=list)
    is_replay: bool = False
    """The day lies before the last ingested one, so nothing was fetched."""

    @property
    def failed(self) -> list[SourceReport]:
        return [report for report in self.sources if report.problem is not None]

    @property
    def rows(self) -> int:
        return sum(report.fetched.rows for report in self.sources if report.fetched is not None)

    def to_markdown(self) -> str:
        """A table of the sources for the UI."""
        if not self.sources:
            return "replay: nothing is fetched" if self.is_replay else "files only"
        lines = [
            "| source | kind | rows | pages | sent again | cursor | file | remarks |",
            "|---|---|--:|--:|--:|---|---|---|",
        ]
        for report in self.sources:
            found = report.fetched
            counts = (
                ["", "", ""]
                if found is None
                else [f"{found.rows:,}", f"{found.pages:,}", f"{found.seen_before:,}"]
            )
            cursor = found.state.cursor or "" if found is not None else ""
            file = found.delivered.file if found is not None and found.delivered is not None else ""
            remarks = "; ".join([*([report.problem] if report.problem else []), *report.notes])
            cells = [report.source, report.kind, *counts, cursor, file, remarks]
            lines.append(
                "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
            )
        return "\n".join(lines)


def collect(
    feed: Feed,
    settings: Settings,
    as_of_date: date,
    progress: Callable[[str], object] = lambda message: None,
    run_id: str | None = None,
) -> Collected:
    """Fetch every source of the feed into landing. The caller holds the lake.

    A day before the last ingested one is a replay and fetches nothing, as it ingests nothing.

    Args:
        progress: called with lines that carry counts and cursors, no values.
    """
    try:
        sources = load_sources(settings).get(feed.name, [])
    except CreditPipelineError as error:
        # Nobody can say which feeds it would have had sources for, so every feed tells.
        return Collected(feed.name, [SourceReport("sources.yaml", "", None, str(error), "configuration")])
    if not sources:
        return Collected(feed.name)
    last = last_ingest_date(settings)
    if last is not None and as_of_date < last:
        return Collected(feed.name, is_replay=True)
    audit = AuditLog(settings.audit_log_path)
    with _private_files():
        return Collected(
            feed.name,
            [_collect_one(feed, source, settings, as_of_date, progress, audit, run_id) for source in sources],
        )


def _collect_one(
    feed: Feed,
    source: DatabaseSource | HttpSource,
    settings: Settings,
    as_of_date: date,
    progress: Callable[[str], object],
    audit: AuditLog,
    run_id: str | None,
) -> SourceReport:
    secrets = Secrets(settings)
    store = Store(settings, feed.name, source.name)
    kind = source.engine if isinstance(source, DatabaseSource) else "http"
    before = None

    def tell(message: str) -> None:
        progress(secrets.redact(f"{feed.name} from {source.name}: {message}"))

    problem: SourceProblem
    try:
        with secrets.kept_out_of_logs():
            store.prepare()
            recovered = store.recover()
            if recovered is not None:
                tell(f"{recovered.file} was complete before the last run was killed")
                audit.append(
                    "source_recovered",
                    "feeds",
                    run_id,
                    feed=feed.name,
                    source=source.name,
                    sha256=recovered.sha256,
                )
            before = store.state()
            if before.as_of_date is not None and as_of_date.isoformat() < before.as_of_date:
                return SourceReport(source.name, kind, last_fetched=before.as_of_date)
            if isinstance(source, DatabaseSource):
                fetched = fetch_database(source, settings, store, secrets, as_of_date, tell)
            else:
                fetched = fetch_http(source, store, secrets, as_of_date, tell)
    except SourceProblem as error:
        problem = error
    except CreditPipelineError as error:
        problem = SourceProblem("configuration", *_halves(secrets.redact(str(error))))
    except OSError as error:
        what = secrets.redact(f"{error.strerror or type(error).__name__}: {error.filename or ''}")
        problem = SourceProblem("disk", what, "free space or mend the permissions of landing and the lake")
    except Exception as error:  # noqa: BLE001 (one source must not stop the day, nor a library's text leak a secret)
        what = secrets.redact(f"{type(error).__name__}: {error}")[:400]
        problem = SourceProblem("unexpected", what, "report this with the log of the run")
    else:
        notes = _notes(fetched, before.columns)
        tell(f"{fetched.rows:,} new rows")
        audit.append(
            "source_fetched",
            "feeds",
            run_id,
            feed=feed.name,
            source=source.name,
            source_kind=kind,
            as_of_date=as_of_date.isoformat(),
            rows=fetched.rows,
            rows_sent_again=fetched.seen_before,
            pages=fetched.pages,
            sha256=fetched.delivered.sha256 if fetched.delivered else None,
        )
        return SourceReport(
            source.name,
            kind,
            fetched,
            last_fetched=fetched.state.as_of_date,
            notes=notes,
            has_lost_columns=not set(before.columns) <= set(fetched.state.columns),
        )
    message = secrets.redact(str(problem))
    log.warning("%s from %s failed: %s", feed.name, source.name, message)
    audit.append(
        "source_failed",
        "feeds",
        run_id,
        feed=feed.name,
        source=source.name,
        source_kind=kind,
        as_of_date=as_of_date.isoformat(),
        reason=problem.reason,
    )
    return SourceReport(
        source.name,
        kind,
        problem=message,
        reason=problem.reason,
        last_fetched=None if before is None else before.as_of_date,
    )


def _notes(fetched: Fetched, columns_before: list[str]) -> list[str]:
    """What the source should be asked about."""
    notes = []
    new = sorted(set(fetched.state.columns) - set(columns_before)) if columns_before else []
    gone = sorted(set(columns_before) - set(fetched.state.columns))
    if new:
        notes.append(f"new columns: {', '.join(new)}")
    if gone:
        notes.append(f"columns that no longer come: {', '.join(gone)}")
    if fetched.without_cursor:
        notes.append(
            f"{fetched.without_cursor:,} rows have no cursor and are asked for every time: have them filled in"
        )
    if fetched.in_future:
        notes.append(f"{fetched.in_future:,} rows have a cursor in the future: have it mended")
    if fetched.repeated_pages:
        notes.append(f"{fetched.repeated_pages:,} pages came twice")
    return notes


def _halves(text: str) -> tuple[str, str]:
    message, _, remedy = text.partition("; remedy: ")
    return message, remedy or "see docs/sources.md"


@contextmanager
def _private_files() -> Iterator[None]:
    """What comes from sources may be personal: files are for their owner only."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
