"""Empty sources: dbt reads folders of Parquet, and a folder without any file cannot be read.

A feed that has not arrived, and a lake in which nothing was drawn yet, are a zero-row file with the full schema.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.feeds.lake_schema import ensure_schema_files
from credit_pipeline.settings import Settings

_ROUND = [
    pa.field("plan_id", pa.string()),
    pa.field("round", pa.int32()),
    pa.field("frozen_date", pa.date32()),
    pa.field("unit_id", pa.string()),
]
FROZEN_FRAME = pa.schema(
    [
        *_ROUND,
        pa.field("uscc", pa.string()),
        pa.field("platform_grade", pa.string()),
        pa.field("is_safety_related", pa.bool_()),
        pa.field("excluded_reason", pa.string()),
    ]
)
FROZEN_QUOTAS = pa.schema(
    [
        *_ROUND,
        pa.field("platform_grade", pa.string()),
        pa.field("stratum_size", pa.int64()),
        pa.field("ratio_bp", pa.int32()),
        pa.field("rounding", pa.string()),
        pa.field("quota", pa.int64()),
        pa.field("basis", pa.string()),
    ]
)


def ensure_sources(settings: Settings) -> None:
    """Make every source of the dbt project readable."""
    ensure_schema_files(settings)
    folder = settings.draws_dir / "_schema" / "0"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, schema in (("frame", FROZEN_FRAME), ("quotas", FROZEN_QUOTAS)):
        path = folder / f"{name}.parquet"
        if not path.exists() or not pq.read_schema(path).equals(schema):
            draft = path.with_name(f"tmp-{name}.parquet")
            pq.write_table(schema.empty_table(), draft)
            draft.replace(path)
