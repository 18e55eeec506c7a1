"""The sensor that starts the daily job when files arrive in landing."""

import hashlib
import json
from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import dagster as dg

from credit_pipeline.feeds.ingest import waiting_files
from credit_pipeline.feeds.jobs import daily
from credit_pipeline.settings import TIME_ZONE, Settings


@dg.sensor(job=daily, minimum_interval_seconds=60)
def file_drop(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """New files in landing start the daily job for today, once per set of files.

    A file still being written changes size or time between two looks, so a set starts a run only when two
    looks in a row saw the same.
    """
    today = datetime.now(ZoneInfo(TIME_ZONE)).date()
    waiting = waiting_files(Settings(), today)
    seen: dict[str, list[int]] = {}
    for file in (file for files in waiting.values() for file in files):
        with suppress(OSError):  # taken back by its sender since it was listed
            seen[str(file)] = [file.stat().st_size, file.stat().st_mtime_ns]
    # Only a digest is kept by Dagster: names of files may hold personal numbers.
    cursor = hashlib.sha256(json.dumps(seen, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()
    if not seen:
        return dg.SkipReason("no new files in landing")
    if cursor != context.cursor:
        return dg.SensorResult(cursor=cursor, skip_reason=f"{len(seen)} new files; waiting until they rest")
    feeds = sorted(waiting)
    return dg.SensorResult(
        cursor=cursor,
        run_requests=[
            dg.RunRequest(
                run_key=cursor, partition_key=today.isoformat(), tags={"feeds": ",".join(feeds)[:250]}
            )
        ],
    )
