"""Removes what policy says is no longer kept, and writes into the audit log what went.

Here: which records are older than `retention_policy.csv` allows, and their removal. Not here: how a Parquet file loses its texts
(`feeds.blanking`), the history of Dagster (`orchestration.delete_old_runs`). Draws, reveals and the audit log are evidence: policy
may not give them an end. Rows of the lake are never removed, only texts of them, and raw texts never within the longest
effect period. What can no longer be computed afterwards stands in docs/retention.md.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from credit_pipeline.audit.log import AuditLog, canonical_json, fsync_directory, sha256_hex
from credit_pipeline.errors import BadInput
from credit_pipeline.extracts.manifest import MANIFEST_NAME, read_manifest
from credit_pipeline.feeds.blanking import blank_old_files
from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.compaction import finish_compaction
from credit_pipeline.feeds.lake_files import file_sha256, private_files
from credit_pipeline.settings import TIME_ZONE, Settings
from credit_pipeline.transform.policy import policy_table

FOR_EVER = frozenset({"audit_log", "draw_reveals", "draws"})
DAYS_OF_A_MONTH = 31
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Purged:
    """What went of one kind of record, or would go."""

    record_kind: str
    before: date
    """Records of this day and later stay."""
    files: int = 0
    rows: int = 0
    """Rows that lost their texts; 0 where whole files go."""
    size: int = 0
    """Bytes of the files that go, or of those that are rewritten."""
    digest: str = ""
    """SHA-256 over paths and contents as they were, so that a copy found later can be told to be one of them."""


@dataclass(frozen=True)
class _File:
    """A file that goes or loses its texts."""

    name: str
    sha256: str
    size: int
    rows: int = 0


def keep_days(settings: Settings, day: date) -> dict[str, int]:
    """Kind of record → days it is kept on that day's policy; 0: for ever.

    Raises:
        BadInput: the table lacks a kind, has an unknown one, or gives evidence an end.
    """
    rows = policy_table(settings, "retention_policy", day).iter_rows(named=True)
    found: dict[str, int] = {}
    for row in rows:
        if not row["keep_days"].isdecimal():
            raise BadInput(f"retention_policy.csv: keep_days of {row['record_kind']} must be a whole number")
        found[row["record_kind"]] = int(row["keep_days"])
    known = {*_REMOVERS, *FOR_EVER, "dagster_runs", "backups"}
    if set(found) != known:
        raise BadInput(
            f"retention_policy.csv on {day}: missing {sorted(known - set(found))}, unknown {sorted(set(found) - known)}; "
            "remedy: one row for each kind, keep_days 0 keeps it for ever"
        )
    for kind in sorted(FOR_EVER):
        if found[kind] != 0:
            raise BadInput(f"retention_policy.csv: {kind} is evidence and never purged; remedy: keep_days 0")
    return found


def horizon(settings: Settings, record_kind: str, days: int, day: date) -> date:
    """The first day whose records stay. Raw rows stay whole at least as long as any fact can weigh in a grade."""
    before = day - timedelta(days=days)
    if record_kind != "raw_personal":
        return before
    months = policy_table(settings, "effect_periods")["effect_months"]
    longest = max(int(value) for value in months if value)
    return min(before, day - timedelta(days=longest * DAYS_OF_A_MONTH))


def purge_lake(settings: Settings, day: date, *, dry_run: bool = False) -> Iterator[Purged]:
    """Removes from the lake, kind by kind, what is older than policy allows on that day, and says what went.

    The caller holds the lake's lock and records each kind (`record_purge`). Running again the same day removes nothing more. A
    crash in between leaves a lake that agrees with its ledger; the next purge goes on.
    """
    kept = keep_days(settings, day)
    finish_compaction(settings)
    for kind, remove in _REMOVERS.items():
        if kept[kind]:
            before = horizon(settings, kind, kept[kind], day)
            with private_files():
                files = remove(settings, before, dry_run)
            yield _told(kind, before, files)


def purge_backups(directory: Path, day: date, days: int, *, dry_run: bool = False) -> Purged:
    """Removes old backups from their folder, the newest always staying, and then what no backup names any more."""
    from credit_pipeline.audit.backup import list_backups, remove_backups

    before = day - timedelta(days=days)
    listed = list_backups(directory)
    old = [item for item in listed[:-1] if item.made_on < before] if days else []
    files = [_file(item.path, directory) for item in old]
    if not dry_run:
        remove_backups(directory, [item.path for item in old])
    return _told("backups", before, files)


def record_purge(settings: Settings, done: Iterable[Purged], run_id: str | None = None) -> None:
    """Append to the audit log what went; nothing if nothing did."""
    kinds = [
        {"record_kind": item.record_kind, "before": item.before.isoformat(), "files": item.files, "rows": item.rows,
         "size": item.size, "digest": item.digest}
        for item in done
        if item.files
    ]  # fmt: skip
    if kinds:
        AuditLog(settings.audit_log_path).append("retention_purged", "audit", run_id, kinds=kinds)


def _told(kind: str, before: date, files: list[_File]) -> Purged:
    if not files:
        return Purged(kind, before)
    names = [[file.name, file.sha256] for file in sorted(files, key=lambda file: file.name)]
    return Purged(
        kind,
        before,
        len(files),
        sum(file.rows for file in files),
        sum(file.size for file in files),
        sha256_hex(canonical_json(names)),
    )


def _file(path: Path, root: Path) -> _File:
    return _File(path.relative_to(root).as_posix(), file_sha256(path), path.stat().st_size)


def _remove(root: Path, paths: Iterable[Path], dry_run: bool) -> list[_File]:
    """Removes files and folders, told file by file."""
    done = []
    for path in sorted(paths):
        files = sorted(item for item in path.rglob("*") if item.is_file()) if path.is_dir() else [path]
        done += [_file(item, root) for item in files]
        if not dry_run:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            fsync_directory(path.parent)
    return done


def _blanked(kind: str, feeds: Callable[[Feed], bool]) -> Callable[[Settings, date, bool], list[_File]]:
    def blank(settings: Settings, before: date, dry_run: bool) -> list[_File]:
        return [
            _File(file.path, file.sha256_before, file.size, file.rows)
            for feed in load_catalogue().values()
            if feeds(feed)
            for file in blank_old_files(settings, feed, kind, before, dry_run=dry_run)
        ]

    return blank


def _may_lose_names(feed: Feed) -> bool:
    """Not a snapshot, whose old file may hold what is current; not decisions, which are evidence of who decided; not changes of
    the register, by whose former names enterprises are still found."""
    is_evidence = feed.information_kind == "decision"
    return feed.update_pattern == "increment" and not is_evidence and feed.name != "registration_changes"


def _extracts(settings: Settings, before: date, dry_run: bool) -> list[_File]:
    """Files of a unit's releases before the current one, once that release has been out long enough."""
    old = []
    for path in sorted(settings.extracts_dir.glob(f"*/{MANIFEST_NAME}")):
        current = read_manifest(path)
        for kept in path.parent.glob("*.manifest.json"):
            earlier = read_manifest(kept)
            is_before = earlier["release_seq"] < current["release_seq"]
            if is_before and earlier["as_of_date"] < before.isoformat():
                old += list(path.parent.glob(f"{earlier['unit_id']}-{earlier['release_seq']:06d}.*"))
    return _remove(settings.lake_dir, old, dry_run)


def _replays(settings: Settings, before: date, dry_run: bool) -> list[_File]:
    """Warehouses of past days that were computed again, by the day they were made."""
    found = (settings.lake_dir / "replays").glob("*.duckdb")
    old = [path for path in found if _changed_on(path) < before]
    return _remove(settings.lake_dir, old, dry_run)


def _training_sets(settings: Settings, before: date, dry_run: bool) -> list[_File]:
    folders = sorted((settings.lake_dir / "training").glob("as_of=*"))
    old = [path for path in folders[:-1] if path.name.partition("=")[2] < before.isoformat()]
    return _remove(settings.lake_dir, old, dry_run)


def _public_results(settings: Settings, before: date, dry_run: bool) -> list[_File]:
    """Lists of past days but the two newest: the last one is current, and what it took off is told by the one before."""
    by_day: dict[str, list[Path]] = {}
    for path in settings.public_dir.glob("inspection-*"):
        day = _DAY.search(path.name)
        if day:
            by_day.setdefault(day[0], []).append(path)
    old = [path for day in sorted(by_day)[:-2] if day < before.isoformat() for path in by_day[day]]
    return _remove(settings.lake_dir, old, dry_run)


def _changed_on(path: Path) -> date:
    moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return moment.astimezone(ZoneInfo(TIME_ZONE)).date()


_REMOVERS: Mapping[str, Callable[[Settings, date, bool], list[_File]]] = {
    "raw_personal": _blanked("raw", _may_lose_names),
    "quarantine_texts": _blanked("quarantine", lambda feed: True),
    "repair_texts": _blanked("repairs", lambda feed: True),
    "extracts": _extracts,
    "replays": _replays,
    "training_sets": _training_sets,
    "public_results": _public_results,
}
