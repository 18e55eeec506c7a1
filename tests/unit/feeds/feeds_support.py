"""Rows, codes and lakes for the tests of stage 1, made independently of the code under test."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from hypothesis import settings

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.headers import match_headers
from credit_pipeline.feeds.ingest import FeedReport, ingest_feed
from credit_pipeline.feeds.reading import BadRows, Rows, Table, arrange
from credit_pipeline.settings import Settings

DAY = date(2026, 10, 31)
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
quick = settings(derandomize=True, deadline=None, database=None, max_examples=80)
"""The same examples on every machine."""
PERSON = "411330198001010015"
"""Valid by GB 11643."""
MOBILE = "13800138000"


def make_uscc(number: int, region: str = "411330") -> str:
    """A valid code, digit by digit."""
    body = f"MA{number:06d}"
    total = sum(int(c, 36) * w for c, w in zip(body, [3, 7, 9, 10, 5, 8, 4, 2], strict=True))
    check = 11 - total % 11
    body += "X" if check == 10 else "0" if check == 11 else str(check)
    head = f"91{region}{body}"
    total = sum(ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(head))
    return head + ALPHABET[(31 - total % 31) % 31]


def penalty(number: int = 1, **changes: str | None) -> dict[str, str | None]:
    """A penalty under the headers of the double publicity standard."""
    row: dict[str, str | None] = {
        "CF_XDR_MC": f"桐柏县第{number}商贸有限公司",
        "CF_XDR_SHXYM": make_uscc(number),
        "CF_WSH": f"桐市监罚〔2026〕{number}号",
        "CF_WFXW": "销售过期食品",
        "CF_CFLB": "罚款",
        "CF_NR": "罚款2000元",
        "CF_NR_FK": "0.2",
        "CF_JDRQ": "2026-03-01",
        "CF_YXQ": "2027-03-01",
        "CF_CFJG": "桐柏县市场监督管理局",
        "CF_CFJGDM": "11411330MB0R12345X",
    }
    return row | changes


def registration(number: int = 1, **changes: str | None) -> dict[str, str | None]:
    row: dict[str, str | None] = {
        "uniscid": make_uscc(number),
        "entname": f"桐柏县第{number}商贸有限公司",
        "regcap": "100",
        "estdate": "2015-06-01",
        "domdistrict": "411330",
    }
    return row | changes


def csv_text(rows: list[dict[str, str | None]], separator: str = ",", newline: str = "\n") -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator=newline)
    writer.writerow(names)
    writer.writerows([["" if row.get(name) is None else row[name] for name in names] for row in rows])
    return buffer.getvalue()


def rows_of(feed: Feed, rows: list[dict[str, str | None]]) -> Rows:
    """Rows as a reader would hand them to the contract."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    headers = match_headers(feed, names)
    cells = {str(place): [row.get(name) for row in rows] for place, name in enumerate(names)}
    frame = pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))
    frame = frame.with_columns(pl.int_range(2, len(rows) + 2, dtype=pl.Int64).alias("source_row"))
    return Rows(arrange(frame, headers, {}), headers)


class Lake:
    """A landing folder and a lake of one test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = Settings(landing_dir=root / "landing", lake_dir=root / "lake")

    def put(self, path: str, content: bytes | str | list[dict[str, str | None]]) -> Path:
        """Write a file into landing; rows become CSV."""
        if isinstance(content, list):
            content = csv_text(content)
        file = self.settings.landing_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def ingest(self, feed: str, day: date = DAY) -> FeedReport:
        return ingest_feed(feed, self.settings, day)

    def rows(self, kind: str, feed: str) -> list[dict[str, Any]]:
        """All rows of a feed of one kind: `raw`, `quarantine`, `repairs` or `duplicates`."""
        return pq.read_table(self.settings.lake_dir / kind / feed, partitioning=None).to_pylist()

    def rules(self, feed: str) -> dict[tuple[str, int], set[str]]:
        """Broken rules by (file, row)."""
        found: dict[tuple[str, int], set[str]] = {}
        for row in self.rows("quarantine", feed):
            found.setdefault((row["file"], row["row_number"]), set()).add(row["rule"])
        return found

    def bytes(self) -> dict[str, bytes]:
        """Every file of the lake, but DuckDB's spill folder."""
        return {
            path.relative_to(self.settings.lake_dir).as_posix(): path.read_bytes()
            for path in sorted(self.settings.lake_dir.rglob("*"))
            if path.is_file()
        }


def taken(table: Table) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(rows, bad rows) of a table, in order of row number."""
    rows: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for part in table.parts:
        (bad if isinstance(part, BadRows) else rows).extend(part.frame.to_dicts())
    return sorted(rows, key=lambda row: row["source_row"]), sorted(bad, key=lambda row: row["row_number"])
