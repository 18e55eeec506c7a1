"""What an administrator asks of sources outside a run: which there are, whether they can be read, start over.

A trial reads one row or page, shows names of columns and never a value, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.code_version import by_hand
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.headers import match_headers
from credit_pipeline.feeds.sources.config import DatabaseSource, HttpSource, load_sources
from credit_pipeline.feeds.sources.connections import attached, cursor_kind_of, describe, with_retries
from credit_pipeline.feeds.sources.cursors import CursorKind, kind_of
from credit_pipeline.feeds.sources.http_client import Client
from credit_pipeline.feeds.sources.json_records import at_path
from credit_pipeline.feeds.sources.pages import first_position, next_position, request_of
from credit_pipeline.feeds.sources.redaction import Secrets
from credit_pipeline.feeds.sources.state import Store
from credit_pipeline.feeds.sources.statements import remote_query, select_statement
from credit_pipeline.settings import Settings


def listed(settings: Settings) -> list[dict[str, Any]]:
    """Every source: feed, source, kind, where it is, increments by what, last cursor and day."""
    lines = []
    for feed, sources in load_sources(settings).items():
        for source in sources:
            state = Store(settings, feed, source.name).state()
            lines.append(
                {
                    "feed": feed,
                    "source": source.name,
                    "kind": _kind(source),
                    "place": _place(source),
                    "increment_by": _increment(source),
                    "cursor": state.cursor,
                    "last_fetched": state.as_of_date,
                    "files": state.sequence,
                }
            )
    return lines


def tried(
    settings: Settings, feed: str | None, progress: Callable[[str], object] = lambda message: None
) -> list[dict[str, Any]]:
    """Of each source: how many records the trial saw, columns the catalogue knows and does not know, and the problem."""
    lines = []
    for name, sources in load_sources(settings).items():
        for source in sources if feed in (None, name) else ():
            secrets = Secrets(settings)
            progress(f"{name} from {source.name}: connecting to {_place(source)}")
            line: dict[str, Any] = {
                "feed": name, "source": source.name, "kind": _kind(source), "seen": None, "known": [],
                "unknown": [], "never_stored": [], "problem": None,
            }  # fmt: skip
            try:
                with secrets.kept_out_of_logs():
                    columns, line["seen"] = (
                        _database_columns(source, settings, secrets)
                        if isinstance(source, DatabaseSource)
                        else _http_columns(source, secrets)
                    )
                headers = match_headers(get_feed(name), columns)
                line["known"] = sorted(headers.columns)
                line["unknown"] = sorted(unknown.header for unknown in headers.unknown)
                line["never_stored"] = sorted(headers.dropped)
                if headers.rule is not None:
                    line["problem"] = f"every row would be refused: {headers.message}"
            except CreditPipelineError as error:
                line["problem"] = secrets.redact(str(error))
            except Exception as error:  # noqa: BLE001 (a library's text may hold a secret)
                line["problem"] = secrets.redact(f"{type(error).__name__}: {error}")[:400]
            lines.append(line)
    return lines


def reset_source(settings: Settings, feed: str, name: str, cursor: str | None) -> str | None:
    """Let the next fetch start at that cursor, or from the beginning; the cursor before. The caller holds the lake.

    Raises:
        BadInput: there is no such source, or it has no cursor.
    """
    source = next((item for item in load_sources(settings).get(feed, []) if item.name == name), None)
    if source is None:
        raise BadInput(
            f"{settings.sources_file} has no source {name} for {feed}; see `credit-pipeline sources list`"
        )
    if cursor is not None and _increment(source) is None:
        raise BadInput(f"{feed} from {name} is fetched whole every time: --to means nothing")
    store = Store(settings, feed, name)
    kind: CursorKind = "text"
    if cursor is not None:
        kind = kind_of(cursor)
        if isinstance(source, DatabaseSource):
            secrets = Secrets(settings)
            kind = cursor_kind_of(source, settings, secrets, kind)
    before = store.reset(cursor, kind)
    AuditLog(settings.audit_log_path).append(
        "source_reset",
        "feeds",
        by_hand(),
        feed=feed,
        source=name,
        cursor_before=before.cursor,
        cursor_after=cursor,
    )
    return before.cursor


def _database_columns(source: DatabaseSource, settings: Settings, secrets: Secrets) -> tuple[list[str], str]:
    def read() -> tuple[list[str], str]:
        with attached(source, settings, secrets) as connection:
            columns = describe(source, connection)
            sql = select_statement(source, columns, None, "text", limit=1)
            rows = connection.execute(f"select * from {remote_query(source, sql)}").fetchall()
            return [column.name for column in columns], f"{len(rows)} row"

    return with_retries(source, secrets, read)


def _http_columns(source: HttpSource, secrets: Secrets) -> tuple[list[str], str]:
    client = Client(source, secrets)
    try:
        position = first_position(source)
        url, parameters = request_of(source, position, source.increment.start if source.increment else None)
        page = client.page(1, url, parameters, source.max_bytes)
    finally:
        client.close()
    following = next_position(source, position, page.answer, len(page.records), page.link, False)
    columns = sorted({key for record in at_path(page.answer, source.records) for key in record})
    return columns, f"{len(page.records)} records{' and a next page' if following else ''}"


def _kind(source: DatabaseSource | HttpSource) -> str:
    return source.engine if isinstance(source, DatabaseSource) else "http"


def _place(source: DatabaseSource | HttpSource) -> str:
    """Where it is; neither user nor parameters."""
    if isinstance(source, HttpSource):
        parts = urlsplit(source.url)
        return f"{parts.scheme}://{parts.netloc}{parts.path}"
    what = source.table or "query"
    if source.engine == "sqlite":
        return f"{source.database} {what}"
    return f"{source.host}{f':{source.port}' if source.port else ''}/{source.database} {what}"


def _increment(source: DatabaseSource | HttpSource) -> str | None:
    if isinstance(source, DatabaseSource):
        return source.cursor
    return None if source.increment is None else source.increment.field
