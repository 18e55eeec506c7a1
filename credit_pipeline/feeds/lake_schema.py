"""Columns and types of the Parquet files that stage 1 writes: accepted rows, quarantine, repairs, duplicates.

Read by whoever queries the lake. How a cell becomes a value is `contracts`' business; when a file is written,
`lake_files`'.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Column, Feed, load_catalogue
from credit_pipeline.settings import Settings

SCHEMA_DAY = "1970-01-01"
"""Partition of the zero-row files that let an empty feed be read."""
PARQUET_OPTIONS = {
    "compression": "zstd",
    "compression_level": 1,
    "version": "2.6",
    "data_page_version": "1.0",
    "write_statistics": True,
    "store_schema": False,
}
"""Fixed, so that the same rows give the same bytes; without the Arrow schema a reader sees plain VARCHAR.
Level 3 of zstd costs a tenth more time for 2 % less room."""
_DICTIONARY_SAMPLE = 10_000


def parquet_options(table: pa.Table) -> dict[str, Any]:
    """Options for a file whose first rows these are: dictionaries only where values repeat.

    Trying a dictionary on codes and names that all differ took a third of the time of writing, and 15 % more
    room. Days always repeat in a large file.
    """
    sample = table.slice(0, _DICTIONARY_SAMPLE)
    repeated = [
        field.name
        for field in table.schema
        if pa.types.is_date(field.type)
        or pl.Series(pl.from_arrow(sample.column(field.name))).n_unique() * 2 <= sample.num_rows
    ]
    return {**PARQUET_OPTIONS, "use_dictionary": repeated or False}


_ARROW_TYPES: dict[str, pa.DataType] = {
    "date": pa.date32(),
    "integer": pa.int64(),
    "money": pa.int64(),
    "decimal": pa.float64(),
    "boolean": pa.bool_(),
}
PROVENANCE = [
    pa.field("source_file", pa.string()),
    pa.field("source_sheet", pa.string()),
    pa.field("source_row", pa.int64()),
    pa.field("row_hash", pa.int64()),
    pa.field("extra", pa.string()),
]
"""Where a row came from. `source_file` is relative to landing (`penalties/a.zip!b.csv`); `source_sheet` is
null but for workbooks; `source_row` is the row as a spreadsheet shows it; `row_hash` a positive 63-bit hash
of the stored values, `extra` and `uscc_sent`; `extra` JSON text of columns the catalogue does not know, or
null."""
USCC_SENT = "uscc_sent"
"""What the source sent in place of a unified code, cleaned; the row's `uscc` is null then."""
INGEST_DATE = pa.field("ingest_date", pa.date32())
"""Last column of every file of every kind, besides the folder: a month that was compacted is one file, and a
reader need not know about folders (`hive_partitioning=false`)."""
KINDS = ("raw", "quarantine", "repairs", "duplicates")
"""What becomes of rows; each kind is a folder of the lake with one folder per feed."""


def open_ended_flag(column: Column) -> str:
    """Name of the boolean that says that a date has no end (长期, 2099-12-31)."""
    return f"{column.name}_is_open_ended"


def value_fields(feed: Feed) -> list[pa.Field]:
    """Fields of the feed's own columns in the order of the catalogue, a flag after each open-ended date.

    date → DATE, integer and money → BIGINT (money in 1/100 of the currency's main unit), decimal → DOUBLE,
    boolean → BOOLEAN, everything else VARCHAR; `categories` are their codes, sorted, distinct, joined by `|`.
    An open-ended flag is never null: false means that an end is given or nothing is known.
    """
    fields: list[pa.Field] = []
    for column in feed.stored_columns:
        fields.append(pa.field(column.name, _ARROW_TYPES.get(column.type, pa.string())))
        if column.open_ended:
            fields.append(pa.field(open_ended_flag(column), pa.bool_()))
    return fields


def lake_schema(feed: Feed) -> pa.Schema:
    """Schema of `LAKE/raw/<feed>/*/*.parquet`: the feed's columns, then where each row came from."""
    sent = [pa.field(USCC_SENT, pa.string())] if has_uscc_sent(feed) else []
    return pa.schema([*value_fields(feed), *PROVENANCE, *sent, INGEST_DATE])


def has_uscc_sent(feed: Feed) -> bool:
    """Whether rows of the feed may name their enterprise by something else than its unified code.

    Not the register itself, and no feed that may leave the code out (decisions of the office)."""
    return feed.has_uscc and feed.column("uscc").required and feed.name != "registrations"


QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("sheet", pa.string()),
        pa.field("row_number", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("value", pa.string()),
        pa.field("remedy", pa.string()),
        pa.field("label", pa.string()),
        pa.field("row_text", pa.string()),
        pa.field("feed", pa.string()),
        pa.field("record_key", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("quarantine_id", pa.string()),
        INGEST_DATE,
    ]
)
"""One row per broken rule of a refused row; a file that could not be read at all has one with row_number 0.
`record_key` and `unit`: see `record_keys`; null where the row could not be split into cells. `quarantine_id`
is one per refused row: first 16 digits of the file's SHA-256, position of the table in the file from 1, row
number, joined by colons."""

REPAIRS_SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("sheet", pa.string()),
        pa.field("row_number", pa.int64()),
        pa.field("column", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("value", pa.string()),
        pa.field("repaired", pa.string()),
        pa.field("feed", pa.string()),
        pa.field("unit", pa.string()),
        INGEST_DATE,
    ]
)
"""One row per repaired cell and rule of an accepted row: what the source sent and what is stored."""

DUPLICATES_SCHEMA = pa.schema(
    [
        pa.field("feed", pa.string()),
        pa.field("file", pa.string()),
        pa.field("sheet", pa.string()),
        pa.field("row_number", pa.int64()),
        pa.field("record_key", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("row_hash", pa.int64()),
        INGEST_DATE,
    ]
)
"""One row per exact duplicate: `record_key` and `row_hash` lead to the accepted row it repeats."""


def kind_schema(kind: str, feed: Feed) -> pa.Schema:
    """Schema of the files of one of `KINDS`."""
    if kind == "raw":
        return lake_schema(feed)
    return {
        "quarantine": QUARANTINE_SCHEMA,
        "repairs": REPAIRS_SCHEMA,
        "duplicates": DUPLICATES_SCHEMA,
    }[kind]


def schema_file(folder: Path, feed_name: str) -> Path:
    """The zero-row file of a feed under the folder of a kind."""
    return folder / feed_name / f"ingest_date={SCHEMA_DAY}" / "schema.parquet"


@lru_cache(maxsize=1024)
def _stored_schema(path: Path, modified: int) -> pa.Schema:
    return pq.read_schema(path)


def ensure_schema_files(settings: Settings) -> None:
    """Write the zero-row files of every feed that lack or differ, so that SQL can read a feed that never
    came."""
    ledger = settings.ledger_dir / "_schema" / "empty.json"
    if not ledger.exists():
        # SQL reads `ledger/*/*.json`, and DuckDB refuses a pattern without any file.
        ledger.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger.touch(mode=0o600)
    for feed in load_catalogue().values():
        for kind in KINDS:
            schema = kind_schema(kind, feed)
            path = schema_file(settings.lake_dir / kind, feed.name)
            if path.exists() and _stored_schema(path, path.stat().st_mtime_ns).equals(schema):
                continue
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name("schema.parquet.tmp")
            pq.write_table(schema.empty_table(), temporary, **PARQUET_OPTIONS)
            temporary.chmod(0o600)
            temporary.replace(path)
