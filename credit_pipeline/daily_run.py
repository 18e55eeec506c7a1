"""Runs the daily job from the command line, through Dagster: same assets, same checks, same run record as in the UI."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import PROJECT_ROOT, TIME_ZONE, Settings
from credit_pipeline.summary import RunSummary, summarize
from credit_pipeline.transform.dbt import manifest_is_stale, prepare_manifest
from credit_pipeline.transform.policy_check import require_sound_policy

if TYPE_CHECKING:
    import dagster as dg

log = logging.getLogger(__name__)


def dagster_home() -> Path:
    """Make DAGSTER_HOME (0700) with the project's instance settings and export it."""
    home = Path(os.environ.get("DAGSTER_HOME") or PROJECT_ROOT / ".dagster_home").absolute()
    os.environ["DAGSTER_HOME"] = str(home)
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    if not (home / "dagster.yaml").exists():
        # A link, so that an update of the project reaches the instance; a file put there by hand stays.
        # Renamed into place: two first runs at once both succeed, and a link to a moved checkout is replaced.
        link = home / f".dagster.yaml.{os.getpid()}"
        link.unlink(missing_ok=True)
        link.symlink_to(PROJECT_ROOT / "dagster.yaml")
        link.replace(home / "dagster.yaml")
    return home


@contextmanager
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this home. Its first use makes the SQLite files, which two processes cannot do at once."""
    import dagster as dg

    handle = os.open(dagster_home() / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with dg.DagsterInstance.get() as instance:
            instance.get_runs(limit=1)
            instance.event_log_storage.has_asset_key(dg.AssetKey("nothing"))
            instance.all_instigator_state()
            fcntl.flock(handle, fcntl.LOCK_UN)
            yield instance
    finally:
        os.close(handle)


def prepare(settings: Settings) -> None:
    """What must be so before Dagster loads: folders, keys only their owner can read, a sound policy, an up-to-date dbt
    manifest.
    """
    settings.lake_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    KeyStore(settings.keys_dir).check()
    require_sound_policy(settings.policy_dir)
    if manifest_is_stale(settings):
        log.info("dbt: reading the project's models")
        prepare_manifest(settings)


def forget_dead_runs(settings: Settings) -> None:
    """End the runs that a crash of the machine left open, unless a run is at work on the lake now."""
    from credit_pipeline.orchestration import end_dead_runs
    from credit_pipeline.warehouse import lake_lock

    try:
        with (
            lake_lock(settings.model_copy(update={"lock_timeout_s": 0})),
            dagster_instance() as instance,
        ):
            ended = end_dead_runs(instance, settings)
    except CreditPipelineError:
        log.info("a run is at work on the lake")
        return
    if ended:
        log.info("ended %d runs whose process was gone", len(ended))


def forget_old_runs(before: date, *, dry_run: bool = False) -> list[str]:
    """Delete the record of runs that began before the day from this home's Dagster; their ids."""
    from credit_pipeline.orchestration import delete_old_runs

    moment = datetime.combine(before, time.min, ZoneInfo(TIME_ZONE))
    with dagster_instance() as instance:
        return delete_old_runs(instance, moment, dry_run=dry_run)


def check_day(settings: Settings, as_of_date: date) -> None:
    """Refuse a run that cannot mean what its caller wants.

    Raises:
        BadInput: the day is outside the partitions, or there is nothing to read.
    """
    from credit_pipeline.orchestration import FIRST_DAY

    today = datetime.now(ZoneInfo(TIME_ZONE)).date()
    if as_of_date > today:
        raise BadInput(f"--as-of {as_of_date} lies in the future; today is {today} in {TIME_ZONE}")
    if as_of_date.isoformat() < FIRST_DAY:
        raise BadInput(f"--as-of {as_of_date} is before {FIRST_DAY}, the first day that can be graded")
    if settings.sources_file.exists():
        return  # feeds may come from databases and APIs alone
    if not settings.landing_dir.is_dir():
        raise BadInput(
            f"there is no landing folder {settings.landing_dir}; remedy: --landing DIR with DIR/<feed>/ files"
        )
    known = set(feed_names())
    folders = {
        path.name for path in settings.landing_dir.iterdir() if path.is_dir() and path.name[0] not in "._"
    }
    if not folders & known and not settings.ledger_dir.exists():
        raise BadInput(
            f"{settings.landing_dir} has no folder of a known feed; files of a feed belong in "
            f"{settings.landing_dir}/<feed>/, feeds are: {', '.join(sorted(known))}"
        )
    for name in sorted(folders - known):
        log.warning("landing folder %s is no feed of the catalogue and is left alone", name)


def run_daily(settings: Settings, as_of_date: date) -> RunSummary:
    """Run the daily job for one day and return its summary.

    Raises:
        CreditPipelineError: a step or a blocking check failed; the message names it.
    """
    prepare(settings)
    log.info("starting the daily job for %s", as_of_date)
    import dagster as dg

    # Dagster's notes to developers about its own parameters are no news for who runs the job.
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    from credit_pipeline.definitions import defs
    from credit_pipeline.orchestration import STARTED_BY_TAG

    with dagster_instance() as instance, _quiet_stdout():
        result = defs.resolve_job_def("daily").execute_in_process(
            instance=instance,
            partition_key=as_of_date.isoformat(),
            raise_on_error=False,
            tags={STARTED_BY_TAG: "command"},
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    if not result.success:
        raise CreditPipelineError(
            f"the daily job failed (run {result.run_id}):\n" + "\n".join(_failures(result)) + "\n"
            "remedy: mend what it names and run the same command again; what was finished is kept"
        )
    _tell_about_feeds(settings, as_of_date, result)
    feeds = {
        event.asset_key.path[1]: {
            name: int(event.materialization.metadata[name].value)  # type: ignore[arg-type]
            for name in ("read", "accepted", "quarantined", "duplicates")
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[0] == "raw"
    }
    problems = [
        str(problem)
        for event in result.get_asset_materialization_events()
        if "problems" in event.materialization.metadata
        for problem in event.materialization.metadata["problems"].value or ()  # type: ignore[union-attr]
    ]
    return summarize(
        settings, as_of_date, result.run_id, {name: feeds[name] for name in feed_names()}, problems
    )


def _tell_about_feeds(settings: Settings, as_of_date: date, result: dg.ExecuteInProcessResult) -> None:
    """The alert of a run started here: the sensor that does it in the UI may not be on."""
    from credit_pipeline.audit.alerts import ALERTS
    from credit_pipeline.audit.sensors import check_findings

    findings = check_findings(result.get_asset_check_evaluations())
    for alert in ALERTS:
        try:
            alert(settings, run_id=result.run_id, as_of_date=as_of_date.isoformat(), findings=findings)
        except CreditPipelineError as error:
            log.warning("%s", error)


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Keep what dbt prints off our stdout, which holds the summary; the run's compute log has it."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    lines = []
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed and evaluation.blocking:
            details = "; ".join(str(value.value) for value in evaluation.metadata.values())
            lines.append(
                f"- check {evaluation.check_name} on {evaluation.asset_key.to_user_string()}: {details}"
            )
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            cause = error
            while cause is not None and cause.cause is not None:
                cause = cause.cause
            lines.append(f"- step {event.step_key}: {cause.message.strip() if cause else 'no message'}")
    return lines or ["- no step reported why; see the run in the UI"]
