"""Columns and types of the Parquet files that stage 1 writes: accepted rows, quarantine, repairs.

Read by whoever queries the lake. How a cell becomes a value is `contracts`' business; when a file is written,
`lake_files`'.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.catalogue import Column, Feed, load_catalogue
from credit_pipeline.settings import Settings

SCHEMA_DAY = "1970-01-01"
"""Partition of the zero-row files that let an empty feed be read."""
PARQUET_OPTIONS = {
    "compression": "zstd",
    "compression_level": 3,
    "version": "2.6",
    "data_page_version": "1.0",
    "use_dictionary": True,
    "write_statistics": True,
    "store_schema": False,
}
"""Fixed, so that the same rows give the same bytes; without the Arrow schema a reader sees plain VARCHAR."""

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
of the stored values and `extra`; `extra` JSON text of columns the catalogue does not know, or null.
`ingest_date` is no column of the files: it is the partition, which DuckDB, Arrow and Spark add as a DATE; a
copy inside would clash with it."""


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
    """Schema of `LAKE/raw/<feed>/ingest_date=D/*.parquet`: the feed's columns, then where each row came
    from."""
    return pa.schema([*value_fields(feed), *PROVENANCE])


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
    ]
)
"""One row per broken rule of a refused row; a file that could not be read at all has one with row_number
0."""

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
    ]
)
"""One row per repaired cell and rule of an accepted row: what the source sent and what is stored."""


def schema_file(folder: Path, feed_name: str) -> Path:
    """The zero-row file of a feed under `raw`, `quarantine` or `repairs`."""
    return folder / feed_name / f"ingest_date={SCHEMA_DAY}" / "schema.parquet"


@lru_cache(maxsize=1024)
def _stored_schema(path: Path, modified: int) -> pa.Schema:
    return pq.read_schema(path)


def ensure_schema_files(settings: Settings) -> None:
    """Write the zero-row files of every feed that lack or differ, so that SQL can read a feed that never
    came."""
    for feed in load_catalogue().values():
        for folder, schema in (
            (settings.raw_dir, lake_schema(feed)),
            (settings.quarantine_dir, QUARANTINE_SCHEMA),
            (settings.repairs_dir, REPAIRS_SCHEMA),
        ):
            path = schema_file(folder, feed.name)
            if path.exists() and _stored_schema(path, path.stat().st_mtime_ns).equals(schema):
                continue
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            temporary = path.with_name("schema.parquet.tmp")
            pq.write_table(schema.empty_table(), temporary, **PARQUET_OPTIONS)
            temporary.chmod(0o600)
            temporary.replace(path)
