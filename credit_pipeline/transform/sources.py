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
GRADE_CHANGES = pa.schema(
    [
        pa.field("as_of_date", pa.date32()),
        pa.field("uscc", pa.string()),
        pa.field("previous_date", pa.date32()),
        pa.field("old_grade", pa.string()),
        pa.field("new_grade", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("policy_version", pa.string()),
        pa.field("model_digest", pa.string()),
    ]
)
GRADE_DAY = pa.schema(
    [
        pa.field("as_of_date", pa.date32()),
        pa.field("platform_grade", pa.string()),
        pa.field("enterprise_count", pa.int64()),
        pa.field("share_bp", pa.int64()),
        pa.field("policy_version", pa.string()),
        pa.field("model_digest", pa.string()),
        pa.field("state_sha256", pa.string()),
        pa.field("changes_sha256", pa.string()),
    ]
)


def ensure_sources(settings: Settings) -> None:
    """Make every source of the dbt project readable."""
    ensure_schema_files(settings)
    draws = settings.draws_dir / "_schema" / "0"
    grades = settings.grades_dir / "_schema"
    for folder in (draws, grades):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, schema in (
        (draws / "frame.parquet", FROZEN_FRAME),
        (draws / "quotas.parquet", FROZEN_QUOTAS),
        (grades / "changes.parquet", GRADE_CHANGES),
        (grades / "day.parquet", GRADE_DAY),
    ):
        if not path.exists() or not pq.read_schema(path).equals(schema):
            draft = path.with_name(f"tmp-{path.name}")
            pq.write_table(schema.empty_table(), draft)
            draft.replace(path)
