"""Breaks whole files in the ways sources, networks and attackers do; the same seed makes the same files.

Three layers: a table before it becomes a file (columns, headers, cells), the text or container of one
format, and bytes of any file. Nothing here reads a feed; `test_broken_files` says what must hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import xlsxwriter
from base_files import FORMATS, Sheet, base_sheet, cycle, suffix
from broken_bytes import BYTE_MUTATIONS, TEXT_MUTATIONS
from broken_tables import TABLE_MUTATIONS
from odd_containers import odd_archives, odd_workbooks
from odd_data import odd_json, odd_parquet

from credit_pipeline.feeds.catalogue import Feed


@dataclass(frozen=True)
class Broken:
    """One broken file."""

    feed: str
    name: str
    """File name below the feed's folder."""
    content: bytes
    mutation: str
    rows: int | None = None
    """Rows it holds, where the mutation leaves no doubt."""


_ODD_FILES: dict[str, Callable[[random.Random, Feed, Sheet], Iterator[tuple[str, bytes, int | None]]]] = {
    "json": odd_json,
    "parquet": odd_parquet,
    "xlsx": odd_workbooks,
    "zip": odd_archives,
}
ODD_NAMES = [
    "名 字（1）.csv", "a\nb.csv", "a\tb.csv", "'quote\".csv", "x" * 230 + ".csv", "文" * 75 + ".csv", "-rf.csv", "%00.csv", "a;b|c&d.csv", "\u202ecsv.exe",
    "CON.csv", "a.csv.csv", "no_ending", "b\\c.csv", "$(x).csv", "`x`.csv", "*.csv", "emoji😀.csv", "e\u0301.csv", "d.CSV", "a!b.csv", "s#2.csv",
]  # fmt: skip
_TEXT_FORMATS = {"csv": "csv", "json": "json", "json-lines": "jsonl"}


def broken_files(feeds: list[Feed], seed: int, count: int) -> list[Broken]:
    """About `count` different broken files over all feeds, formats and mutations.

    Every mutation of every layer comes before any comes twice as often as another.
    """
    rng = random.Random(seed)
    next_format, next_feed = cycle(list(FORMATS), seed), cycle([feed.name for feed in feeds], seed + 1)
    by_name = {feed.name: feed for feed in feeds}
    files: list[Broken] = []
    taken: set[bytes] = set()

    def start() -> tuple[Feed, Sheet]:
        feed = by_name[next_feed()]
        return feed, base_sheet(feed, rng.randint(1, 590_000))

    def put(feed: Feed, ending: str, content: bytes, mutation: str, rows: int | None = None) -> None:
        if content not in taken and len(files) < count:
            taken.add(content)
            files.append(Broken(feed.name, f"{len(files):05d}.{ending}", content, mutation, rows))

    layers = 0
    while len(files) < count:
        layers += 1
        for mutate in TABLE_MUTATIONS:
            for _ in range(3):
                feed, sheet = start()
                name = next_format()
                changed, rows = mutate(rng, feed, sheet)
                try:
                    content = FORMATS[name](changed)
                except (ValueError, OverflowError, UnicodeError, xlsxwriter.exceptions.XlsxWriterException):
                    content, name, rows = FORMATS["csv"](changed), "csv", None
                if name in ("xls", "ods", "xlsx", "xlsx-titled", "zip") and any(
                    len(str(cell)) > 32_000 for row in changed.rows for cell in row
                ):
                    rows = None
                exact = rows if _is_countable(name, changed) else None
                put(feed, suffix(name), content, mutate.__name__, exact)
        for change in BYTE_MUTATIONS:
            for _ in range(6):
                feed, sheet = start()
                name = next_format()
                put(feed, suffix(name), change(rng, FORMATS[name](sheet)), change.__name__)
        for spoil in TEXT_MUTATIONS:
            for name, ending in _TEXT_FORMATS.items():
                feed, sheet = start()
                put(feed, ending, spoil(rng, FORMATS[name](sheet).decode()), spoil.__name__)
        for ending, make in _ODD_FILES.items():
            feed, sheet = start()
            odd = list(make(rng, feed, sheet))
            for what, content, rows in odd if layers == 1 else rng.sample(odd, min(len(odd), 12)):
                put(feed, ending, content, f"{ending}: {what}", rows)
        if layers == 1:
            for odd_name in ODD_NAMES:
                feed, sheet = start()
                files.append(
                    Broken(feed.name, odd_name, FORMATS["csv"](sheet), "odd file name", len(sheet.rows))
                )
            feed, _ = start()
            files.append(Broken(feed.name, "leer.csv", b"", "zero bytes"))
    return files


def _is_countable(name: str, sheet: Sheet) -> bool:
    """Whether the format keeps every row of the table as one row: no blank row, no repeated key, room for all."""
    if name == "xls" and len(sheet.headers) > 256:
        return False
    if name in ("xlsx", "xlsx-titled", "ods", "zip") and len(sheet.headers) > 16_384:
        return False
    if name.startswith("json") and len(set(sheet.headers)) < len(sheet.headers):
        return name != "json" and name != "json-wrapped"
    if name == "zip" and not sheet.rows:
        return False
    return bool(sheet.rows) and all(any(str(cell).strip() for cell in row) for row in sheet.rows)
