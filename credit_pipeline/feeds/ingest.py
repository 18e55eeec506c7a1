"""Ingests a feed: finds new files in landing, takes each through reader, contract and duplicate check into
the lake.

The one entrance of stage 1 for the jobs. How a file is read (`readers`), a row judged (`contracts`), a
duplicate found (`versions`) and Parquet written (`lake_files`) stands in those modules.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict
from datetime import date
from pathlib import Path

import polars as pl

from credit_pipeline.feeds.catalogue import Feed, get_feed
from credit_pipeline.feeds.compaction import finish_compaction
from credit_pipeline.feeds.contract_schema import cached_schema
from credit_pipeline.feeds.contracts import Checked, Contract
from credit_pipeline.feeds.lake_files import LakeWriter, MonthFiles, file_sha256, private_files, sweep
from credit_pipeline.feeds.lake_schema import USCC_SENT, ensure_schema_files, has_uscc_sent
from credit_pipeline.feeds.landing import landing_files, shown_path, waiting_files
from credit_pipeline.feeds.ledger import (
    FeedReport,
    FileReport,
    last_ingest_date,
    outputs_of,
    read_ledger,
    reconcile,
    totals,
    write_entry,
)
from credit_pipeline.feeds.readers import open_tables
from credit_pipeline.feeds.reading import (
    BAD_ROWS_SCHEMA,
    BadRows,
    FileProblem,
    LostFile,
    RefusedFile,
    Rows,
    Table,
    row_texts,
)
from credit_pipeline.feeds.record_keys import record_keys, sending_units
from credit_pipeline.feeds.register import LakeRegister, load_regions
from credit_pipeline.feeds.rules import remedy_expression
from credit_pipeline.feeds.versions import VersionIndex
from credit_pipeline.settings import Settings

HASHING_THREADS = 2
"""Files hashed at once to see which are new; hashing runs outside the interpreter lock."""

__all__ = ["FeedReport", "FileReport", "ingest_feed", "read_ledger", "reconcile", "totals", "waiting_files"]


def ingest_feed(
    feed: Feed | str,
    settings: Settings,
    as_of_date: date,
    progress: Callable[[str], object] = lambda message: None,
) -> FeedReport:
    """Take every new file of a feed that was delivered by the day into the lake.

    Files whose content is known are skipped, so a second run reads nothing. A day before the last ingested
    one is a replay and reads nothing. After a crash each file is wholly in or wholly out, and the next run
    goes on.

    Args:
        progress: called with one line per file; carries counts, no values.
    """
    feed = get_feed(feed) if isinstance(feed, str) else feed
    with private_files():
        finish_compaction(settings)
        ensure_schema_files(settings)
        last = last_ingest_date(settings)
        entries = read_ledger(settings, feed.name)
        in_lake = sum(entry["accepted"] for entry in entries)
        if last is not None and as_of_date < last:
            return FeedReport(feed.name, as_of_date, is_replay=True, rows_in_lake=in_lake)
        sweep(settings, feed.name, outputs_of(entries))
        known = {entry["sha256"] for entry in entries}
        new: dict[str, tuple[Path, os.stat_result]] = {}
        left: list[str] = []
        paths = landing_files(settings, feed.name, as_of_date)
        with ThreadPoolExecutor(HASHING_THREADS) as pool:
            looks = [
                (path, pool.submit(lambda path: (path.stat(), file_sha256(path)), path)) for path in paths
            ]
        for path, look in looks:
            try:
                status, sha256 = look.result()
            except OSError as error:
                left.append(
                    f"{shown_path(path, settings)} cannot be read ({error.strerror}) and is left for the next run"
                )
                continue
            if sha256 not in known:
                new.setdefault(sha256, (path, status))
        reports: list[FileReport] = []
        if new:
            run = _FeedRun(feed, settings, as_of_date, len(entries))
            raw = [path for path in outputs_of(entries) if path.startswith("raw/")]
            places = MonthFiles(settings, feed.name).places(raw)
            run.versions.load([settings.lake_dir / path for path in places])
            for sha256, (path, status) in new.items():
                try:
                    report = run.ingest(path, sha256, status)
                except LostFile as lost:
                    left.append(f"{shown_path(path, settings)} is left for the next run: {lost}")
                    continue
                reports.append(report)
                progress(
                    f"{report.file}: read {report.read:,}, accepted {report.accepted:,}, "
                    f"quarantined {report.quarantined:,}, duplicates {report.duplicates:,}"
                    + (f"; refused: {report.problem['rule']}" if report.problem else "")
                )
        in_lake += sum(report.accepted for report in reports)
        known_files = len(paths) - len(new)
        return FeedReport(feed.name, as_of_date, reports, known_files, rows_in_lake=in_lake, left=left)


class _BrokenTable(Exception):
    """A table turned out to be damaged after some of its rows were taken; the file starts again without
    it."""

    def __init__(self, table: Table, refusal: RefusedFile) -> None:
        super().__init__(refusal.message)
        self.place = (table.file, table.sheet)
        self.refusal = refusal


class _FeedRun:
    """Ingests the new files of one feed, one after the other."""

    def __init__(
        self,
        feed: Feed,
        settings: Settings,
        as_of_date: date,
        entries: int,
    ) -> None:
        self.feed, self.settings, self.as_of_date = feed, settings, as_of_date
        self.sequence = entries
        self.versions = VersionIndex(feed)
        self.regions = load_regions(settings, as_of_date)
        self.schema = cached_schema(feed.name, as_of_date)
        self.register = LakeRegister(settings)

    def ingest(self, path: Path, sha256: str, before: os.stat_result) -> FileReport:
        """One file into the lake; `LostFile` if it changed, vanished or cannot be read since it was hashed."""
        if self.feed.name == "registrations":
            # Each file sees the registrations before it, whether they came in this run or before a crash.
            self.register.refresh()
        contract = Contract(self.feed, self.as_of_date, self.regions, self.register, self.schema)
        state = self.versions.state()
        broken: dict[tuple[str, str | None], RefusedFile] = {}
        while True:
            intake = _Intake(self, contract, path, sha256, broken)
            try:
                intake.take()
                if not _is_unchanged(path, before):
                    raise LostFile(
                        "it changed or vanished while it was read; remedy: wait until its sender is done"
                    )
                report = intake.finish(self.sequence + 1, before.st_size)
            except _BrokenTable as error:
                intake.writer.abort()
                self.versions.restore(state)
                broken[error.place] = error.refusal
                continue
            except BaseException:
                intake.writer.abort()
                self.versions.restore(state)
                raise
            write_entry(self.settings, report)
            self.sequence += 1
            return report


class _Intake:
    """One attempt at one input file: its rows, counts and outputs."""

    def __init__(
        self,
        run: _FeedRun,
        contract: Contract,
        path: Path,
        sha256: str,
        broken: dict[tuple[str, str | None], RefusedFile],
    ) -> None:
        self.run, self.contract, self.path, self.sha256, self.broken = run, contract, path, sha256, broken
        self.file = shown_path(path, run.settings, sha256)
        self.writer = LakeWriter(run.settings, run.feed, run.as_of_date, sha256[:16])
        self.counts: Counter[str] = Counter()
        self.rules: Counter[str] = Counter()
        self.repairs: Counter[str] = Counter()
        self.pending: Future[None] | None = None
        self.problems: list[FileProblem] = []
        self.tables: list[Table] = []

    def take(self) -> None:
        """Read all tables of the file.

        Reading, checking and storing overlap: while one batch is checked, the next is read and the one
        before it hashed and written. Batches keep their order.
        """
        with ThreadPoolExecutor(1) as storing:
            self.storing = storing
            self._take_tables()

    def _take_tables(self) -> None:
        for table in open_tables(self.path, self.run.feed, self.file, self.run.settings.landing_dir):
            self.tables.append(table)
            refusal = self.broken.get((table.file, table.sheet))
            if refusal is not None:
                table.problem = FileProblem(table.file, table.sheet, refusal.rule, refusal.message)
                table.parts = iter(())
            read = self.counts["read"]
            try:
                with closing(_read_ahead(table.parts)) as parts:
                    for part in parts:
                        self._take_part(table, part)
            except RefusedFile as error:
                raise _BrokenTable(table, error) from error
            self._wait()
            if table.problem is not None:
                self.problems.append(table.problem)
                if self.counts["read"] == read:
                    self._quarantine(table, _whole_file(table.problem), 1)

    def _take_part(self, table: Table, part: Rows | BadRows) -> None:
        problem = table.problem
        if isinstance(part, BadRows):
            self._wait()
            frame = part.frame
            if problem is not None:
                frame = frame.with_columns(
                    pl.lit(problem.rule).alias("rule"), pl.lit(problem.message).alias("value")
                )
            self._quarantine(table, frame, frame.height)
        elif problem is not None:
            frame = part.frame.select(
                pl.col("source_row").alias("row_number"),
                pl.lit(None, dtype=pl.String).alias("column"),
                pl.lit(problem.rule).alias("rule"),
                pl.lit(problem.message).alias("value"),
                row_texts(part.frame, part.headers),
            )
            self._quarantine(table, frame, frame.height)
        else:
            checked = self.contract.check(part)
            self._wait()
            self.pending = self.storing.submit(self._store, table, checked)

    def _wait(self) -> None:
        """Until the batch handed over last is stored."""
        if self.pending is not None:
            pending, self.pending = self.pending, None
            pending.result()

    def _store(self, table: Table, checked: Checked) -> None:
        self._quarantine(table, checked.quarantine, checked.quarantined)
        accepted = checked.accepted
        if has_uscc_sent(self.run.feed) and USCC_SENT not in accepted.columns:
            accepted = accepted.with_columns(pl.lit(None, dtype=pl.String).alias(USCC_SENT))
        hashes, duplicates = self.run.versions.add(accepted)
        accepted = accepted.with_columns(
            pl.lit(table.file).alias("source_file"),
            pl.lit(table.sheet, dtype=pl.String).alias("source_sheet"),
            hashes,
        )
        repairs = checked.repairs
        if duplicates.any():
            self._duplicates(table, accepted.filter(duplicates))
            accepted = accepted.filter(~duplicates)
        if repairs.height:
            repaired = pl.Series(repairs["row_number"].unique())
            rows = accepted.filter(pl.col("source_row").is_in(repaired.implode()))
            units = rows.select(pl.col("source_row").alias("row_number"), sending_units(rows, self.run.feed))
            repairs = repairs.join(units, on="row_number", how="inner", maintain_order="left")
        self.counts["read"] += checked.accepted.height
        self.counts["accepted"] += accepted.height
        self.counts["duplicates"] += checked.accepted.height - accepted.height
        self.counts["repaired"] += repairs["row_number"].n_unique()
        self.repairs.update(dict(repairs["rule"].value_counts().iter_rows()))
        self.writer.write("raw", accepted)
        self.writer.write("repairs", self._placed(table, repairs))

    def _duplicates(self, table: Table, rows: pl.DataFrame) -> None:
        """Leave a trace of every row that repeats the latest version of its fact."""
        frame = rows.select(
            pl.col("source_row").alias("row_number"),
            record_keys(rows, self.run.feed),
            sending_units(rows, self.run.feed),
            "row_hash",
        )
        self.writer.write("duplicates", self._placed(table, frame))

    def _quarantine(self, table: Table, frame: pl.DataFrame, rows: int) -> None:
        self.counts["read"] += rows
        self.counts["quarantined"] += rows
        self.rules.update(dict(frame["rule"].value_counts().iter_rows()))
        if "remedy" not in frame.columns:
            frame = frame.with_columns(
                remedy_expression(pl.col("rule")).alias("remedy"),
                pl.lit(None, dtype=pl.String).alias("label"),
            )
        if "record_key" not in frame.columns:
            # Rows refused before their cells meant anything.
            nothing = pl.lit(None, dtype=pl.String)
            frame = frame.with_columns(nothing.alias("record_key"), nothing.alias("unit"))
        # All rows of a table are stored before the next one opens, so this one is the last.
        place = f"{self.sha256[:16]}:{len(self.tables)}:"
        identity = pl.concat_str(pl.lit(place), pl.col("row_number").cast(pl.String))
        self.writer.write(
            "quarantine", self._placed(table, frame).with_columns(identity.alias("quarantine_id"))
        )

    def _placed(self, table: Table, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(
            pl.lit(table.file).alias("file"),
            pl.lit(table.sheet, dtype=pl.String).alias("sheet"),
            pl.lit(self.run.feed.name).alias("feed"),
        )

    def finish(self, sequence: int, size: int) -> FileReport:
        """Put the rows in place and say what became of them."""
        outputs = self.writer.commit()
        headers = [table.headers for table in self.tables if table.headers is not None]
        formats = sorted({table.format for table in self.tables if table.format})
        is_archive = any("!" in table.file for table in self.tables)
        conflicts: Counter[str] = Counter()
        for table in self.tables:
            conflicts.update(table.conflicts)
        missing = set.intersection(*({*item.missing} for item in headers)) if headers else set()
        problems = [{**asdict(problem), "remedy": problem.remedy} for problem in self.problems]
        return FileReport(
            feed=self.run.feed.name,
            file=self.file,
            sha256=self.sha256,
            size=size,
            format=("zip:" if is_archive else "") + "+".join(formats),
            encoding="+".join(sorted({table.encoding for table in self.tables if table.encoding})) or None,
            sheets=[table.sheet for table in self.tables if table.sheet is not None],
            ingest_date=self.run.as_of_date.isoformat(),
            sequence=sequence,
            read=self.counts["read"],
            accepted=self.counts["accepted"],
            quarantined=self.counts["quarantined"],
            duplicates=self.counts["duplicates"],
            repaired=self.counts["repaired"],
            rules=dict(sorted(self.rules.items())),
            repairs=dict(sorted(self.repairs.items())),
            unknown_columns=sorted(
                {source.header for item in headers for source in item.unknown if source.is_named}
            ),
            missing_columns=[
                column.name for column in self.run.feed.stored_columns if column.name in missing
            ],
            dropped_columns=sorted({header for item in headers for header in item.dropped}),
            conflicts=dict(sorted(conflicts.items())),
            layout_rows=sum(table.layout_rows for table in self.tables),
            problem=problems[0] if problems else None,
            problems=problems,
            outputs=[asdict(output) for output in outputs],
        )


def _is_unchanged(path: Path, before: os.stat_result) -> bool:
    try:
        after = path.stat()
    except OSError:
        return False
    return (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def _read_ahead(parts: Iterator[Rows | BadRows]) -> Generator[Rows | BadRows, None, None]:
    """The same parts, each read in a thread of its own while the one before it is worked on."""
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, parts, None)
        while (part := following.result()) is not None:
            following = pool.submit(next, parts, None)
            yield part


def _whole_file(problem: FileProblem) -> pl.DataFrame:
    """The single entry for a file whose rows could not be counted."""
    row = {"row_number": 0, "column": None, "rule": problem.rule, "value": problem.message, "row_text": None}
    return pl.DataFrame([row], schema=BAD_ROWS_SCHEMA)
