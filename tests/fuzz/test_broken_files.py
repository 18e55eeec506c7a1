"""Two thousand broken files over all feeds and formats: the job goes on, no row is lost, every file is
accounted for.

`CREDIT_FUZZ_SEED` and `CREDIT_FUZZ_FILES` choose other files (`pytest tests/fuzz -rP` prints the table). A file
that breaks something is shrunk and becomes a test of its own in `tests/unit/feeds/test_hostile_files.py`.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from base_files import FORMATS, base_sheet, suffix
from mutations import Broken, broken_files

from credit_pipeline.feeds.catalogue import feed_names, get_feed, load_catalogue
from credit_pipeline.feeds.ingest import ingest_feed, read_ledger, reconcile
from credit_pipeline.feeds.readers import GAVE_UP
from credit_pipeline.feeds.rules import REMEDIES
from credit_pipeline.settings import Settings

SEED = int(os.environ.get("CREDIT_FUZZ_SEED", "1"))
FILES = int(os.environ.get("CREDIT_FUZZ_FILES", "2000"))
DAY = date(2026, 10, 31)
GOOD_ROWS = 8
_PERSON = re.compile(r"(?=(411330(?:19|20)[0-9]{9}[0-9X]))")


@dataclass(frozen=True)
class Outcome:
    """What became of all files."""

    settings: list[Settings]
    """One lake per process; each feed is in one of them."""
    broken: list[Broken]
    entries: dict[str, dict[str, Any]]
    """Ledger entries by feed and SHA-256 of the input file."""
    good: list[str]
    """The same key of every whole file."""
    differences: list[str]
    """What `reconcile` found."""


def _ingest(landing: Path, lake: Path, feeds: list[str]) -> list[str]:
    """Ingest feeds in a process of its own; the differences that `reconcile` finds."""
    settings = Settings(landing_dir=landing, lake_dir=lake)
    differences = []
    for feed in feeds:
        ingest_feed(feed, settings, DAY)
        differences += reconcile(settings, get_feed(feed))
    return differences


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    root = tmp_path_factory.mktemp("fuzz")
    landing = root / "landing"
    broken = broken_files(list(load_catalogue().values()), SEED, FILES)
    for file in broken:
        folder = landing / file.feed
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(file.content)
    good = []
    for number, feed in enumerate(load_catalogue().values()):
        for place, (name, render) in enumerate(FORMATS.items()):
            content = render(
                base_sheet(feed, 800_000 + (number * len(FORMATS) + place) * GOOD_ROWS, GOOD_ROWS)
            )
            path = landing / feed.name / f"good-{name}.{suffix(name)}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            good.append(_key(feed.name, content))
    names = feed_names()
    halves = [names[::2], names[1::2]]
    lakes = [root / f"lake{number}" for number in range(len(halves))]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(halves), mp_context=context) as pool:
        runs = [pool.submit(_ingest, landing, lake, half) for lake, half in zip(lakes, halves, strict=True)]
        differences = [line for run in runs for line in run.result()]
    settings = [Settings(landing_dir=landing, lake_dir=lake) for lake in lakes]
    entries: dict[str, dict[str, Any]] = {}
    for place in settings:
        for name in names:
            for entry in read_ledger(place, name):
                entries[f"{name}/{entry['sha256']}"] = entry
    result = Outcome(settings, broken, entries, good, differences)
    sys.stdout.write(_table(result))
    return result


def _key(feed: str, content: bytes) -> str:
    return f"{feed}/{hashlib.sha256(content).hexdigest()}"


def _entry(outcome: Outcome, file: Broken) -> dict[str, Any]:
    return outcome.entries[_key(file.feed, file.content)]


def _table(outcome: Outcome) -> str:
    """Per mutation: files, refused whole, rows read, accepted, quarantined, duplicates."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for file in outcome.broken:
        entry = _entry(outcome, file)
        row = counts[file.mutation.split(":")[0]]
        row["files"] += 1
        row["refused"] += entry["problem"] is not None
        row.update({name: entry[name] for name in ("read", "accepted", "quarantined", "duplicates")})
    names = ("files", "refused", "read", "accepted", "quarantined", "duplicates")
    lines = [f"{'mutation':24}" + "".join(f"{name:>12}" for name in names)]
    lines += [
        f"{name:24}" + "".join(f"{row[column]:12,}" for column in names)
        for name, row in sorted(counts.items())
    ]
    total = Counter[str]()
    for row in counts.values():
        total.update(row)
    lines.append(f"{'all':24}" + "".join(f"{total[column]:12,}" for column in names))
    return "\n".join(lines) + "\n"


def test_every_file_has_one_entry(outcome: Outcome) -> None:
    """Prevents a file that is passed over in silence, or taken twice."""
    wanted = [_key(file.feed, file.content) for file in outcome.broken] + outcome.good
    assert sorted(outcome.entries) == sorted(set(wanted))
    assert len(outcome.broken) >= FILES


def test_every_row_is_somewhere(outcome: Outcome) -> None:
    """Prevents a row that is read and neither accepted nor quarantined nor a duplicate, in ledger or lake."""
    for entry in outcome.entries.values():
        assert entry["read"] == entry["accepted"] + entry["quarantined"] + entry["duplicates"], entry["file"]
    assert outcome.differences == []


def test_good_files_are_whole(outcome: Outcome) -> None:
    """Prevents a broken file from harming the others of its run."""
    wrong = [
        (entry["file"], entry["accepted"], entry["rules"])
        for entry in map(outcome.entries.__getitem__, outcome.good)
        if entry["accepted"] != GOOD_ROWS or entry["problem"] is not None
    ]
    assert wrong == []


def test_countable_rows_are_all_read(outcome: Outcome) -> None:
    """Prevents rows lost in reading, where the mutation leaves no doubt how many there are."""
    countable = [(file, _entry(outcome, file)) for file in outcome.broken if file.rows is not None]
    wrong = [
        (file.mutation, entry["file"], file.rows, entry["read"], entry["rules"])
        for file, entry in countable
        if entry["read"] != file.rows
    ]
    assert wrong == []
    assert len(countable) > len(outcome.broken) // 5


def test_a_refused_file_says_what_and_why(outcome: Outcome) -> None:
    """Prevents a refusal that an office cannot act on, and one by an error nobody thought of."""
    for file in outcome.broken:
        entry = _entry(outcome, file)
        for problem in entry["problems"]:
            assert problem["rule"] in REMEDIES and problem["remedy"], (file.mutation, problem)
            assert problem["message"].strip() and "\n" not in problem["message"], (file.mutation, problem)
            assert GAVE_UP not in problem["message"], (file.mutation, entry["file"], problem)
            assert problem["file"].split("!")[0] == entry["file"]
        if entry["problem"] is not None:
            assert entry["quarantined"] > 0, (file.mutation, entry["file"])


def test_no_identity_number_is_in_the_lake(outcome: Outcome) -> None:
    """Prevents an identity number getting through with a broken row, a header or a message."""
    found = [place for settings in outcome.settings for place in _persons(settings.lake_dir)]
    assert found == []


def _persons(lake: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(lake.rglob("*")):
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path, hive_partitioning=False).select(pl.col(pl.String))
            texts = [text for name in frame.columns for text in frame[name].drop_nulls().unique()]
        elif path.suffix == ".json":
            texts = [path.read_text(encoding="utf-8")]
        else:
            continue
        for text in texts:
            digits = re.sub(r"[\s\-\u200b]", "", unicodedata.normalize("NFKC", text)).upper()
            for match in _PERSON.finditer(digits):
                total = sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(match[1][:17]))
                if "10X98765432"[total % 11] == match[1][17] and 1 <= int(match[1][10:12]) <= 12:
                    yield path.relative_to(lake).as_posix(), match[1][:10] + "…"
