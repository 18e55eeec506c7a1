"""What every Dagster object of the project shares: the daily partition, the pool, the run's resource.

Stages import this from their `assets.py`, `checks.py`, `jobs.py` and `sensors.py` only; no logic lives here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

import dagster as dg

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.code_version import code_sha256, library_versions, os_user
from credit_pipeline.settings import TIME_ZONE, Settings
from credit_pipeline.warehouse import RunTarget, lake_id, lake_lock, run_target

FIRST_DAY = "2015-01-01"
"""Unified social credit codes exist since October 2015; nothing earlier can be graded by this system."""

daily_partitions = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, timezone=TIME_ZONE, end_offset=1)
"""One partition per as-of day, today included."""

one_day_per_run = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""A backfill runs each day by itself, the oldest first: a day's result may depend on the draw of the day before."""

WAREHOUSE_POOL = "warehouse"
"""Limit 1 in dagster.yaml: held by everything that opens the warehouse file."""

OFFICE = "team:credit-office"


LAKE_TAG = "credit_pipeline/lake"
"""On every run from the moment it holds its lake."""


STARTED_BY_TAG = "credit_pipeline/started_by"
"""`command` on runs that `credit-pipeline run` started; a proxy or launcher may name a person here."""

_LAUNCHERS = {
    "dagster/schedule_name": "schedule",
    "dagster/sensor_name": "sensor",
    "dagster/backfill": "backfill",
    "dagster/parent_run_id": "re-execution",
    STARTED_BY_TAG: "started_by",
}


def launcher(tags: Mapping[str, str]) -> dict[str, str]:
    """What started a run, by its tags: the kind and its name. A run without a tag was started by hand in the UI."""
    found = [(kind, tags[tag]) for tag, kind in _LAUNCHERS.items() if tag in tags]
    return dict(found) if found else {"started_by": "ui"}


def end_dead_runs(instance: dg.DagsterInstance, settings: Settings, *, but: str | None = None) -> list[str]:
    """End the runs that were killed on this lake, and free the pool slots they still hold. The caller holds its lock.

    A run tagged with the lake held the lock; whoever holds it now knows that the run is gone. Without this a run
    after a kill -9 would wait for ever for the slot of the dead one (measured: at 100 % CPU).
    """
    unfinished = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    wanted = dg.RunsFilter(tags={LAKE_TAG: lake_id(settings)}, statuses=unfinished)
    dead = [run for run in instance.get_runs(wanted) if run.run_id != but]
    for run in dead:
        instance.report_run_failed(
            run, "Its process was killed; the next run on the lake found it gone and goes on."
        )
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in dead]


def delete_old_runs(instance: dg.DagsterInstance, before: datetime, *, dry_run: bool = False) -> list[str]:
    """Delete Dagster's record of the runs that ended before the moment, with their events and compute logs."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    old = [run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=ended, created_before=before))]
    if not dry_run:
        for run_id in old:
            instance.compute_log_manager.delete_logs(prefix=[run_id])
            instance.delete_run(run_id)
    return sorted(old)


class Pipeline(dg.ConfigurableResource):
    """The settings of this process and, for the length of a run, the lake.

    Holding the lake's lock here makes a second run on the same lake wait whichever way it was started: the
    UI's queue only knows runs of its own instance.
    """

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Pipeline]:
        os.umask(0o077)
        with lake_lock(self.settings):
            if context.instance is not None and context.run is not None:
                end_dead_runs(context.instance, self.settings, but=context.run.run_id)
                context.instance.add_run_tags(context.run.run_id, {LAKE_TAG: lake_id(self.settings)})
                self._log_start(context.run)
            yield self

    def _log_start(self, run: dg.DagsterRun) -> None:
        """What runs, by whom and with which code, before the first step."""
        day = run.tags.get("dagster/partition")
        self.audit().append(
            "run_started",
            "audit",
            run.run_id,
            job=run.job_name,
            as_of_date=day,
            launched_by=launcher(run.tags),
            os_user=os_user(),
            lake=lake_id(self.settings),
            code=code_sha256(),
            libraries=library_versions(),
        )

    def run_facts(self, as_of_date: date) -> dict[str, str | None]:
        """What every stage's event says of its run: the day, the policy, the model, the code."""
        from credit_pipeline.transform.champions import champion
        from credit_pipeline.transform.policy_diff import policy_version

        model = champion(self.settings, as_of_date)
        return {
            "as_of_date": as_of_date.isoformat(),
            "policy_version": policy_version(self.settings.policy_dir),
            "model": None if model is None else model.digest,
            "code": code_sha256(),
        }

    @property
    def settings(self) -> Settings:
        return Settings()

    def target(self, as_of_date: date) -> RunTarget:
        """The warehouse that a run of this day writes."""
        return run_target(self.settings, as_of_date)

    def audit(self) -> AuditLog:
        """The log that every stage appends to."""
        return AuditLog(self.settings.audit_log_path)


def as_of_date(context: dg.AssetExecutionContext) -> date:
    """The day of the run's partition."""
    return date.fromisoformat(context.partition_key)


def daily_asset(
    group: str,
    name: str,
    english: str,
    chinese_label: str,
    *,
    owner: str = OFFICE,
    opens_warehouse: bool = False,
    **options: Any,
) -> Callable[[Callable[..., dg.MaterializeResult]], dg.AssetsDefinition]:
    """`@dg.asset` with what all assets of the house share: key and group, partition, owner, description, pool."""
    return dg.asset(
        key=[group, name],
        group_name=group,
        description=described(english, chinese_label),
        owners=[owner],
        partitions_def=daily_partitions,
        backfill_policy=one_day_per_run,
        pool=WAREHOUSE_POOL if opens_warehouse else None,
        **options,
    )


def described(english: str, chinese_label: str) -> str:
    """An asset's description: what it is, and what the office calls it."""
    return f"{english}\n\n中文标签：{chinese_label}"
