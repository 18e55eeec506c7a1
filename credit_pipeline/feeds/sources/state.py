"""What survives a crash: how far each source was read, what of the current fetch is done, and how it ends.

A fetch ends in a fixed order, each step whole or not at all:

1. the increment stands complete in a hidden part file in landing, on disk;
2. the progress file says `finished`: under which name the part is to stand, and what the state becomes then;
3. the part gets its name;
4. the state is written: the cursor moves;
5. progress and leftovers go.

Whoever starts next does what is left (`recover`), so a kill between any two steps loses and doubles nothing. State and
progress lie in `LAKE/sources/<feed>/`, parts in `LANDING/<feed>/` under hidden names that ingestion leaves alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log import fsync_directory, write_durably
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.feeds.sources.cursors import CursorKind
from credit_pipeline.settings import Settings


@dataclass(frozen=True)
class SourceState:
    """How far a source was read."""

    cursor: str | None = None
    kind: CursorKind = "text"
    sequence: int = 0
    """Files delivered so far; part of their names, so that they sort in the order of their coming."""
    fetches: int = 0
    """Fetches that ended well."""
    as_of_date: str | None = None
    """Day of the last fetch that ended well, whether it brought rows or not."""
    columns: list[str] = field(default_factory=list)
    """What its rows were made of then, sorted."""
    sha256: str | None = None
    """Of the last file delivered."""
    seen: str | None = None
    """File beside this one with the digests of rows that the next fetch will be sent again."""


@dataclass(frozen=True)
class Delivered:
    """The file that a fetch put into landing."""

    file: str
    """Relative to landing."""
    sha256: str


@dataclass(frozen=True)
class Fetched:
    """What a fetch of a source brought."""

    rows: int
    """New rows delivered."""
    seen_before: int
    """Rows that the source sent again, because they lie within the look-back or have no cursor."""
    pages: int
    without_cursor: int
    in_future: int
    """Rows whose cursor lies after tomorrow; the cursor does not follow them."""
    asked_from: str | None
    state: SourceState
    delivered: Delivered | None
    repeated_pages: int = 0


class Store:
    """State, progress and part files of one source."""

    def __init__(self, settings: Settings, feed: str, source: str) -> None:
        self._landing = settings.landing_dir
        self._incoming = settings.landing_dir / feed
        self._folder = settings.source_states_dir / feed
        self._source = source
        self._state = self._folder / f"{source}.json"
        self._progress = self._folder / f"{source}.progress.json"

    def prepare(self) -> None:
        """Make the folders."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    def state(self) -> SourceState:
        """As the last fetch left it; an empty one before the first."""
        if not self._state.exists():
            return SourceState()
        return SourceState(**self._read(self._state))

    def progress(self) -> dict[str, Any] | None:
        """What `save_progress` wrote last in a fetch that has not ended."""
        return self._read(self._progress) if self._progress.exists() else None

    def save_progress(self, progress: dict[str, Any]) -> None:
        write_durably(self._progress, _bytes(progress))

    def part(self, name: str) -> Path:
        """A hidden file of the fetch in landing's own file system, so that renaming it is one step."""
        return self._incoming / f".{self._source}.{name}.part"

    def seen_path(self, state: SourceState) -> Path | None:
        """Digests of rows fetched before; None when there are none."""
        path = self._folder / state.seen if state.seen else None
        return path if path is not None and path.exists() else None

    def new_seen_path(self, fetches: int) -> Path:
        """Where the fetch with that number puts its own; it counts once the state names it."""
        return self._folder / f"{self._source}.seen-{fetches:06d}.parquet"

    def finish(
        self, part: Path | None, suffix: str, as_of_date: date, state: SourceState
    ) -> Delivered | None:
        """Give the part its name and move the cursor; without a part (nothing new) only the latter.

        Args:
            part: complete and on disk.
            state: with all fields but `as_of_date`, `sequence` and, for a part, `sha256` as they are to be.
        """
        state = replace(state, as_of_date=as_of_date.isoformat())
        finished: dict[str, Any] = {"part": None, "file": None}
        if part is not None:
            sha256 = file_digest(part)
            state = replace(state, sha256=sha256)
            name = f"{self._source}-{state.sequence:06d}-{sha256[:8]}.{suffix}"
            final = self._incoming / as_of_date.isoformat() / name
            finished = {"part": part.name, "file": final.relative_to(self._landing).as_posix()}
        self.save_progress({"finished": {**finished, "state": asdict(state)}})
        self.recover()
        return None if part is None else Delivered(finished["file"], state.sha256 or "")

    def recover(self) -> Delivered | None:
        """End a fetch that was complete when it was killed; the file that got its name, if there was one."""
        progress = self.progress()
        if progress is None or "finished" not in progress:
            return None
        finished = progress["finished"]
        delivered = None
        if finished["file"] is not None:
            part, final = self._incoming / finished["part"], self._landing / finished["file"]
            if part.exists():
                final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                fsync_directory(final.parent.parent)
                part.replace(final)
                fsync_directory(final.parent)
            elif not final.exists():
                # Somebody cleared landing between the kill and now: the old cursor still stands, so fetch again.
                self.discard()
                return None
            delivered = Delivered(finished["file"], finished["state"]["sha256"])
        write_durably(self._state, _bytes(finished["state"]))
        self.discard()
        return delivered

    def discard(self) -> None:
        """Forget the current fetch: its progress, its parts, digests that no state names."""
        self._progress.unlink(missing_ok=True)
        kept = self.state().seen
        leftovers = [
            *self._incoming.glob(f".{self._source}.*.part"),
            *self._folder.glob(f"tmp-{self._source}.*"),
        ]
        leftovers += [path for path in self._folder.glob(f"{self._source}.seen-*") if path.name != kept]
        for path in leftovers:
            path.unlink(missing_ok=True)

    def reset(self, cursor: str | None, kind: CursorKind) -> SourceState:
        """Let the next fetch start at that cursor, or from the beginning; what was delivered stays."""
        self.recover()
        before = self.state()
        self.prepare()
        state = replace(before, cursor=cursor, kind=kind, sha256=None, seen=None)
        write_durably(self._state, _bytes(asdict(state)))
        self.discard()
        return before

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise CreditPipelineError(
                f"{path} is damaged; remedy: remove it and run `credit-pipeline sources reset` for this source"
            ) from None


def _bytes(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, indent=1).encode("utf-8") + b"\n"


def sync_file(path: Path) -> None:
    """Put a file's bytes on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
