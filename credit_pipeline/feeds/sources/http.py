"""Reads a paged JSON API into a file of JSON lines, page by page, so that a killed fetch goes on where it was.

Each page is appended to a hidden part file and put on disk, then the progress file says so. A page of which the progress
file does not know is cut off and asked for again. Requests and retries stand in `http_client`, ways of paging in
`pages`, the end of a fetch in `state`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.sources.config import HttpSource
from credit_pipeline.feeds.sources.cursors import CursorKind, is_future, kind_of, ordered, stepped_back
from credit_pipeline.feeds.sources.http_client import Client, ClientError, Page, Unusable
from credit_pipeline.feeds.sources.json_records import Missing, at_path, parse
from credit_pipeline.feeds.sources.pages import Position, first_position, next_position, request_of
from credit_pipeline.feeds.sources.problems import SourceProblem
from credit_pipeline.feeds.sources.redaction import Secrets
from credit_pipeline.feeds.sources.state import Fetched, SourceState, Store, file_digest, sync_file

_MARK = 33
"""Bytes of a line in the list of pages: 32 hexadecimal digits and a line end."""
_MOST_REPEATS = 3
_PAGES_TOLD = 100
"""Between two lines of progress: a run's log is read by people."""


def fetch_http(
    source: HttpSource,
    store: Store,
    secrets: Secrets,
    as_of_date: date,
    progress: Callable[[str], object],
) -> Fetched:
    """Fetch what was added or changed since the last cursor, and move the cursor.

    Raises:
        SourceProblem: the server or its answers cannot be used; the pages that came are kept for the next run.
    """
    client = Client(source, secrets)
    try:
        fetch = _Fetch(source, store, secrets, client, as_of_date, progress)
        try:
            fetch.run()
        except ClientError as error:
            if not fetch.has_resumed or fetch.pages_now or error.reason == "refused":
                raise
            # A token for the next page does not live for ever: begin anew rather than fail for ever.
            progress("the server does not know the page any more; begins anew")
            store.discard()
            fetch = _Fetch(source, store, secrets, client, as_of_date, progress)
            fetch.run()
        return fetch.finish()
    finally:
        client.close()


class _Fetch:
    """One fetch: what of it is on disk, and the way to the next page."""

    def __init__(
        self,
        source: HttpSource,
        store: Store,
        secrets: Secrets,
        client: Client,
        as_of_date: date,
        progress: Callable[[str], object],
    ) -> None:
        self.source, self.store, self.secrets, self.client = source, store, secrets, client
        self.tell = progress
        self.as_of_date = as_of_date
        self.last_day = max(as_of_date, date.today())
        self._field = "" if source.increment is None else source.increment.field
        self.state = store.state()
        self.asked_from = self._asked_from()
        self.part, self.marks = store.part("fetch"), store.part("pages")
        self.pages_now = 0
        self.seen_pages: set[str] = set()
        self.position: Position | None
        kept = store.progress()
        self.has_resumed = (
            kept is not None
            and kept.get("fingerprint") == self._fingerprint()
            and self.part.exists()
            and self.part.stat().st_size >= kept["bytes"]
        )
        if kept is not None and self.has_resumed:
            self.done = kept
            self.position = _revealed(kept["position"], secrets)
            os.truncate(self.part, kept["bytes"])
            if self.marks.exists():
                text = self.marks.read_bytes()[: kept["pages"] * 2 * _MARK]
                self.seen_pages = set(text.decode("ascii").split())
                self.marks.write_bytes(text)
            progress(f"goes on behind page {kept['pages']}")
        else:
            store.discard()
            self.done = {
                "fingerprint": self._fingerprint(),
                "position": first_position(source),
                "pages": 0,
                "records": 0,
                "bytes": 0,
                "again": 0,
                "received": 0,
                "repeated": 0,
                "in_a_row": 0,
                "total": None,
                "cursor": None,
                "kind": None,
                "without_cursor": 0,
                "in_future": 0,
                "columns": [],
            }
            self.position = first_position(source)
            self.part.write_bytes(b"")
            progress(
                "asks for everything"
                if self.asked_from is None
                else f"asks for what changed since {self.asked_from}"
            )

    def run(self) -> None:
        """All pages that are left."""
        while self.position is not None:
            self._take(self.position)

    def _asked_from(self) -> str | None:
        increment = self.source.increment
        if increment is None:
            return None
        if self.state.cursor is None:
            return increment.start
        try:
            return stepped_back(self.state.cursor, self.state.kind, increment.parsed_lookback)
        except ValueError as error:
            raise SourceProblem(
                "configuration", f"increment.lookback: {error}", "mend it in sources.yaml"
            ) from None

    def _fingerprint(self) -> str:
        """Of all that decides which records are asked for; limits and waits may change in between."""
        asked = self.source.model_dump(
            mode="json", include={"url", "params", "records", "total", "paging", "increment"}
        )
        text = json.dumps([asked, self.asked_from], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def _take(self, position: Position) -> None:
        number = self.done["pages"] + 1
        if number > self.source.max_pages:
            raise SourceProblem(
                "limit",
                f"more than max_pages = {self.source.max_pages} pages have come",
                "raise max_pages when so many are right; the next run then goes on from here",
            )
        url, parameters = request_of(self.source, position, self.asked_from)
        page, is_repeated = self._page(number, url, parameters)
        done = dict(self.done)
        done["in_a_row"] = done["in_a_row"] + 1 if is_repeated else 0
        if done["in_a_row"] > _MOST_REPEATS:
            self.store.discard()
            raise SourceProblem(
                "repeats",
                f"page {number}: the server sends the same records again and again",
                "check under paging that the server knows the parameter",
            )
        done["repeated"] += is_repeated
        done["again"] += len(page.records) if is_repeated else 0
        done["pages"], done["records"] = number, done["records"] + len(page.records)
        done["received"] += page.size
        self._learn(done, page)
        is_all = done["total"] is not None and done["records"] - done["again"] >= done["total"]
        following = next_position(self.source, position, page.answer, len(page.records), page.link, is_all)
        mark = _digest(json.dumps(following, sort_keys=True))
        if following is not None and mark in self.seen_pages:
            self.store.discard()
            raise SourceProblem(
                "repeats",
                f"page {number}: the next page is one that was fetched before",
                "the server leads in a circle: ask its owner; nothing of this fetch is used",
            )
        text = "".join(f"{record}\n" for record in page.records).encode("utf-8")
        _append(self.part, text)
        own = _digest("\n".join(page.records))
        _append(self.marks, f"{own}\n{mark}\n".encode("ascii"), to_disk=False)
        done["bytes"] += len(text)
        done["position"] = _concealed(following, self.secrets)
        self.store.save_progress(done)
        self.done, self.position = done, following
        self.seen_pages |= {own, mark}
        self.pages_now += 1
        if number % _PAGES_TOLD == 0:
            self.tell(f"{number:,} pages, {done['records']:,} records so far")

    def _page(self, number: int, url: str, parameters: dict[str, str]) -> tuple[Page, bool]:
        """The page, and whether it is one that came before, although it was asked for again."""
        repeated: list[Page] = []

        def new(page: Page) -> None:
            if page.records and _digest("\n".join(page.records)) in self.seen_pages:
                repeated.append(page)
                if len(repeated) < min(3, self.source.max_attempts):
                    raise Unusable(SourceProblem("repeats", "a page came again", "ask the server's owner"))

        left = self.source.max_bytes - self.done["received"]
        page = self.client.page(number, url, parameters, left, new)
        return page, bool(repeated) and repeated[-1] is page

    def _learn(self, done: dict[str, Any], page: Page) -> None:
        """Total, keys and greatest cursor of the page."""
        if self.source.total is not None:
            try:
                done["total"] = int(str(at_path(page.answer, self.source.total)))
            except (Missing, ValueError):
                raise SourceProblem(
                    "bad_answer",
                    f"page {done['pages']}: there is no number at {self.source.total}",
                    "write the dotted path of the number of all records under total",
                ) from None
        records = at_path(page.answer, self.source.records)
        done["columns"] = sorted({*done["columns"], *(key for record in records for key in record)})
        for record in records if self.source.increment is not None else ():
            text = self._cursor_of(record)
            if text is None:
                done["without_cursor"] += 1
                continue
            kind = self._kind(text, done["kind"], done["pages"])
            done["kind"] = kind
            if is_future(text, kind, self.last_day):
                done["in_future"] += 1
            elif done["cursor"] is None or ordered(text, kind) > ordered(done["cursor"], kind):
                done["cursor"] = text

    def _cursor_of(self, record: dict[str, Any]) -> str | None:
        try:
            value = at_path(record, self._field)
        except Missing:
            return None
        return None if value is None or value == "" else str(value)

    def _kind(self, text: str, before: CursorKind | None, page: int) -> CursorKind:
        """The kind of a cursor, which is one for all records.

        Raises:
            SourceProblem: it is another than before, or one that cannot be compared.
        """
        kind = kind_of(text)
        if before is not None and {kind, before} == {"integer", "decimal"}:
            return "decimal"
        try:
            ordered(text, kind)
        except ValueError:
            kind = "text"
        if kind == "text" or (before is not None and kind != before):
            raise SourceProblem(
                "bad_answer",
                f"page {page}: {self._field} holds {kind} values" + (f" and {before} ones" if before else ""),
                "name a field under increment that holds numbers or moments such as 2026-10-31T08:00:00+08:00",
            )
        return kind

    def finish(self) -> Fetched:
        """New records into the increment, their digests beside the state, and the end.

        Raises:
            SourceProblem: fewer records came than the server's total; or none of them holds the cursor.
        """
        done, increment = self.done, self.source.increment
        distinct = done["records"] - done["again"]
        if done["total"] is not None and distinct < done["total"]:
            self.store.discard()
            raise SourceProblem(
                "bad_answer",
                f"the server counts {done['total']} records and sent {distinct}",
                "nothing of this fetch is used; the next run begins anew; if it stays so, ask the server's owner",
            )
        if increment is not None and done["records"] and done["without_cursor"] == done["records"]:
            self.store.discard()
            raise SourceProblem(
                "bad_answer",
                f"no record has a value at {increment.field}; records have {', '.join(done['columns'][:40])}",
                "name the field under increment as the server writes it",
            )
        state = replace(
            self.state,
            fetches=self.state.fetches + 1,
            columns=done["columns"] or self.state.columns,
            seen=None,
        )
        if increment is not None:
            state = self._moved(state)
        part, count, seen_before, state = self._increment(state)
        suffix = "jsonl"
        delivered = None
        if count and (increment is not None or file_digest(part) != state.sha256):
            state = replace(state, sequence=state.sequence + 1)
            delivered = self.store.finish(part, suffix, self.as_of_date, state)
        else:
            seen_before, count = done["records"], 0
            self.store.finish(None, suffix, self.as_of_date, state)
        return Fetched(
            rows=count,
            seen_before=seen_before,
            pages=done["pages"],
            without_cursor=done["without_cursor"],
            in_future=done["in_future"],
            asked_from=self.asked_from,
            state=self.store.state(),
            delivered=delivered,
            repeated_pages=done["repeated"],
        )

    def _moved(self, state: SourceState) -> SourceState:
        """The state with the greatest cursor of all fetches."""
        cursor, kind = self.done["cursor"], self.done["kind"]
        if cursor is None:
            return state
        if (
            state.cursor is not None
            and state.kind == kind
            and ordered(cursor, kind) < ordered(state.cursor, kind)
        ):
            return state
        return replace(state, cursor=cursor, kind=kind)

    def _increment(self, state: SourceState) -> tuple[Path, int, int, SourceState]:
        """(part with what is new, its records, records seen before, state naming the digests for the next fetch)."""
        if self.source.increment is None:
            return self.part, self.done["records"], 0, state
        path = self.store.seen_path(self.state)
        before = set() if path is None else set(pq.read_table(path).column("digest").to_pylist())
        floor = None
        if state.cursor is not None:
            start = stepped_back(state.cursor, state.kind, self.source.increment.parsed_lookback)
            floor = ordered(start, state.kind)
        part = self.store.part("increment")
        coming: set[str] = set()
        count = seen_before = 0
        with part.open("wb") as stream:
            for line in _lines(self.part):
                digest = hashlib.md5(line, usedforsecurity=False).hexdigest()
                text = self._cursor_of(parse(line.decode("utf-8")))
                if text is None or floor is None or ordered(text, state.kind) >= floor:  # type: ignore[operator]
                    coming.add(digest)
                if digest in before:
                    seen_before += 1
                else:
                    stream.write(line)
                    count += 1
        sync_file(part)
        seen = self.store.new_seen_path(state.fetches)
        pq.write_table(pa.table({"digest": pa.array(sorted(coming), pa.string())}), seen)
        sync_file(seen)
        return part, count, seen_before, replace(state, seen=seen.name)


def _append(path: Path, data: bytes, *, to_disk: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as stream:
        stream.write(data)
        stream.flush()
        if to_disk:
            os.fsync(stream.fileno())


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from stream


def _digest(text: str) -> str:
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def _concealed(position: Position | None, secrets: Secrets) -> Position | None:
    """A position for the progress file: servers repeat tokens in the addresses of their next pages."""
    if position is None:
        return None
    return {
        key: secrets.conceal(value) if isinstance(value, str) else value for key, value in position.items()
    }


def _revealed(position: Position | None, secrets: Secrets) -> Position | None:
    if position is None:
        return None
    return {
        key: secrets.reveal(value) if isinstance(value, str) else value for key, value in position.items()
    }
