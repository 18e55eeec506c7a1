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
        pa.field("item_code", pa.string()),
        pa.field("uscc", pa.string()),
        pa.field("platform_grade", pa.string()),
        pa.field("region", pa.string()),
        pa.field("is_safety_related", pa.bool_()),
        pa.field("excluded_reason", pa.string()),
        pa.field("is_graded", pa.bool_()),
        pa.field("visits_planned", pa.int32()),
    ]
)
FROZEN_QUOTAS = pa.schema(
    [
        *_ROUND,
        pa.field("item_code", pa.string()),
        pa.field("platform_grade", pa.string()),
        pa.field("stratum_size", pa.int64()),
        pa.field("drawn_before", pa.int64()),
        pa.field("ratio_bp", pa.int32()),
        pa.field("rounds_due", pa.int32()),
        pa.field("rounds_per_year", pa.int32()),
        pa.field("rounding", pa.string()),
        pa.field("target", pa.int64()),
        pa.field("quota", pa.int64()),
        pa.field("basis", pa.string()),
        pa.field("exception_id", pa.string()),
        pa.field("min_visits", pa.int32()),
        pa.field("max_visits", pa.int32()),
        pa.field("register_objects", pa.int64()),
        pa.field("out_of_scope", pa.int64()),
    ]
)
FROZEN_DRAW = pa.schema(
    [
        *(field for field in _ROUND if field.name != "frozen_date"),
        pa.field("item_code", pa.string()),
        pa.field("uscc", pa.string()),
        pa.field("platform_grade", pa.string()),
        pa.field("rank", pa.int64()),
        pa.field("quota", pa.int64()),
        pa.field("is_drawn", pa.bool_()),
        pa.field("drawn_date", pa.date32()),
    ]
)
ASSIGNED = pa.schema(
    [
        pa.field("plan_id", pa.string()),
        pa.field("round", pa.int32()),
        pa.field("unit_id", pa.string()),
        pa.field("uscc", pa.string()),
        pa.field("inspector_id", pa.string()),
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
        (draws / "draw.parquet", FROZEN_DRAW),
        (draws / "assignments-000.parquet", ASSIGNED),
        (grades / "changes.parquet", GRADE_CHANGES),
        (grades / "day.parquet", GRADE_DAY),
    ):
        if not path.exists() or not pq.read_schema(path).equals(schema):
            draft = path.with_name(f"tmp-{path.name}")
            pq.write_table(schema.empty_table(), draft)
            draft.replace(path)
    for name in ("abort.json", "topup-000.json"):
        (draws / name).touch(mode=0o600)
