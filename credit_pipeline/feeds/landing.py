"""Which files lie in landing for a feed on a day, and in which order they are taken."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import date
from functools import lru_cache
from pathlib import Path

from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.feeds.lake_files import file_sha256
from credit_pipeline.feeds.ledger import read_ledger
from credit_pipeline.feeds.personal import mask_text
from credit_pipeline.feeds.reading import storable
from credit_pipeline.settings import Settings

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_UNFINISHED = (".part", ".tmp")


def shown_path(path: Path, settings: Settings, sha256: str | None = None) -> str:
    """Path relative to landing as lake, logs and messages name it.

    Bytes that are not UTF-8 and control characters stand as escapes, personal numbers masked; a masked name
    gets the beginning of the content's SHA-256, so that two files stay two and each can be found.
    """
    name = os.fsencode(path.relative_to(settings.landing_dir).as_posix())
    whole = name.decode("utf-8", "backslashreplace")
    masked = mask_text(whole)
    if masked != whole and sha256 is not None:
        masked = f"{masked}#{sha256[:8]}"
    return storable(masked)


def landing_files(settings: Settings, feed_name: str, as_of_date: date) -> list[Path]:
    """Files of a feed delivered by the day, ordered by the day of their folder, then by path.

    Files in no dated folder come first. Hidden files, locks of spreadsheets and files still being written
    are left alone, and so are folders of later days.
    """
    folder = settings.landing_dir / feed_name
    found = []
    for path in folder.rglob("*") if folder.is_dir() else ():
        parts = path.relative_to(folder).parts
        if any(part.startswith((".", "~$")) for part in parts) or path.name.lower().endswith(_UNFINISHED):
            continue
        day = max((part for part in parts[:-1] if _DAY.fullmatch(part)), default="")
        if day <= as_of_date.isoformat() and path.is_file():
            found.append((day, os.fsencode(path.relative_to(folder).as_posix()), path))
    return [path for _, _, path in sorted(found)]


@lru_cache(maxsize=100_000)
def _cached_sha256(path: Path, size: int, modified: int) -> str:
    return file_sha256(path)


def waiting_files(settings: Settings, as_of_date: date) -> dict[str, list[Path]]:
    """Files of every feed that the next run of that day would read; feeds without any are left out.

    Contents are hashed once per size and time of change, so that asking every minute costs little.
    """
    waiting: dict[str, list[Path]] = {}
    for name in load_catalogue():
        known = {entry["sha256"] for entry in read_ledger(settings, name)}
        for path in landing_files(settings, name, as_of_date):
            with suppress(OSError):  # taken back by its sender, or not readable: `ingest_feed` says so
                status = path.stat()
                if _cached_sha256(path, status.st_size, status.st_mtime_ns) not in known:
                    waiting.setdefault(name, []).append(path)
    return waiting
