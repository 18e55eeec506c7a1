"""A plain reader of a sample's files that shares no code with the pipeline's readers."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl
import python_calamine

from credit_pipeline.feeds.catalogue import Feed, get_feed
from credit_pipeline.sample import SampleSummary, generate


@dataclass(frozen=True)
class SentTable:
    """A file as its sender sees it: headers and the cells of each row, by row number."""

    feed: Feed
    file: str
    headers: list[str]
    rows: dict[int, list[str]]

    def columns(self) -> dict[str, int]:
        """Canonical column → position."""
        known = {header: column.name for column in self.feed.columns for header in column.source_names}
        return {known[header]: place for place, header in enumerate(self.headers) if header in known}

    def record(self, row: int) -> dict[str, str]:
        """Canonical column → cell."""
        return dict(zip(self.columns(), self.rows[row], strict=False))

    def cell(self, row: int, column: str) -> str:
        return self.rows[row][self.columns()[column]]


def decoded(data: bytes) -> str:
    """Bytes that fit no encoding become surrogates."""
    if data.startswith(b"\xef\xbb\xbf"):
        return data[3:].decode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("gb18030", "surrogateescape")
        # A UTF-8 file with one damaged line is no GB18030: its headers would be unreadable.
        return (
            text
            if "统一社会信用代码" in text or "CF_WSH" in text
            else data.decode("utf-8", "surrogateescape")
        )


def _csv_rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(decoded(data), newline="")))


def _text(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()[:10]
    if isinstance(value, bool):
        return "是" if value else "否"
    if isinstance(value, float):
        return f"{value:.5E}" if value >= 1e15 else f"{value:.15g}"
    return "" if value is None else str(value)


def _tables(out: Path, feed: Feed, path: Path) -> Iterator[SentTable]:
    file = str(path.relative_to(out))
    known = {header for column in feed.columns for header in column.source_names}
    if path.suffix == ".csv":
        head, *rows = _csv_rows(path.read_bytes())
        yield SentTable(feed, file, head, dict(enumerate(rows, start=2)))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                head, *rows = _csv_rows(archive.read(name))
                yield SentTable(feed, f"{file}!{name}", head, dict(enumerate(rows, start=2)))
    elif path.suffix == ".jsonl":
        objects = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        head = list(objects[0]) if objects else []
        yield SentTable(
            feed, file, head, {i: [_text(one[name]) for name in head] for i, one in enumerate(objects, 1)}
        )
    elif path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        rows = {i: [_text(value) for value in row] for i, row in enumerate(frame.iter_rows(), 1)}
        yield SentTable(feed, file, frame.columns, rows)
    elif path.suffix == ".xlsx":
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        for sheet in workbook.sheets_metadata:
            if sheet.visible != python_calamine.SheetVisibleEnum.Visible:
                continue
            cells = workbook.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False)
            start = next((i for i, row in enumerate(cells) if sum(str(c) in known for c in row) > 3), None)
            if start is None:
                continue
            body = {i: [_text(c) for c in row] for i, row in enumerate(cells[start + 1 :], start + 2)}
            full = {i: row for i, row in body.items() if sum(bool(cell) for cell in row) > 2}
            yield SentTable(feed, file, [str(c) for c in cells[start]], full)


class Sample:
    """A generated sample and its files, read when first asked for."""

    def __init__(self, out: Path, **arguments: float) -> None:
        self.out = out
        self.summary: SampleSummary = generate(out, **arguments)  # type: ignore[arg-type]
        self.key = pl.read_csv(
            self.summary.answer_key, schema_overrides={"row_number": pl.Int64}, infer_schema_length=0
        )
        self._tables: dict[str, list[SentTable]] = {}

    def listed_rows(self) -> dict[tuple[str, str], set[int]]:
        """(file, sheet) → numbers of the rows that the list of rows says it holds."""
        listed = pl.read_csv(self.out / "_truth" / "file_rows.csv", schema_overrides={"blank_row": pl.Int64})
        found = {}
        for row in listed.iter_rows(named=True):
            blank = row["blank_row"] or 10**9
            numbers = range(row["first_row"], row["first_row"] + row["rows"])
            found[row["file"], row["sheet"] or ""] = {n + (n >= blank) for n in numbers}
        return found

    def listed_rows_of(self, name: str) -> list[set[int]]:
        return [rows for (file, _), rows in self.listed_rows().items() if file.startswith(f"{name}/")]

    def tables(self, name: str) -> list[SentTable]:
        """The readable files of a feed, those that are to be refused as a whole left out."""
        if name not in self._tables:
            broken = set(self.key.filter(pl.col("outcome").is_in(["refused", "skipped"]))["file"])
            paths = [path for path in sorted((self.out / name).rglob("*")) if path.is_file()]
            paths = [path for path in paths if str(path.relative_to(self.out)) not in broken]
            self._tables[name] = [t for path in paths for t in _tables(self.out, get_feed(name), path)]
        return self._tables[name]

    def table(self, name: str, file: str) -> SentTable:
        return next(table for table in self.tables(name) if table.file == file)

    def dirty_rows(self, file: str) -> set[int]:
        """Row numbers of a file that the key speaks of, and none else."""
        return set(self.key.filter(pl.col("file") == file)["row_number"].drop_nulls())
