"""The warehouse an explanation reads: the current one, or one of another day, computed anew in a private file.

A day other than the current one is built by dbt as a replay builds it, with that day's model and the policy of that day's
effective dates, into `LAKE/explain/` (0700). The file stays for the next question about that day, until policy, model or
code change or three newer days have been asked for. Nothing else of the lake is written.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.warehouse import connect, current_as_of_date

KEPT = 3
_SELECTED = "+enterprise_grades +unit_grades +grade_steps +grade_reasons +grade_vetoes +affected_grades +record_states +identity_review"


@contextmanager
def day_warehouse(
    settings: Settings, day: date, progress: Callable[[str], None]
) -> Iterator[tuple[Path, bool | None]]:
    """The warehouse of a day, and of another day than the current one whether it equals what was stored that day.

    Raises:
        BadInput: the day lies after the current one, or before any data.
        CreditPipelineError: dbt could not build it.
    """
    current = current_as_of_date(settings)
    if current is None or day > current:
        raise BadInput(
            f"--as-of {day} lies after the last run's day {current}; remedy: credit-pipeline run --as-of {day}"
        )
    if day == current:
        yield settings.warehouse_path, None
        return
    from credit_pipeline.transform.champions import champion, promotions

    if champion(settings, day) is None:
        first = min((item.valid_from for item in promotions(settings)), default=current.isoformat())
        raise BadInput(f"--as-of {day} lies before the first graded day; remedy: ask for {first} or later")
    folder = settings.lake_dir / "explain"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        path = folder / f"{day.isoformat()}-{_version(settings, day)}.duckdb"
        if not path.exists():
            _build(settings, day, path, progress)
        os.utime(path)
        for stale in sorted(folder.glob("*.duckdb"), key=lambda item: item.stat().st_mtime)[:-KEPT]:
            stale.unlink()
        yield path, _compare(settings, day, path)
    finally:
        os.close(handle)


def _version(settings: Settings, day: date) -> str:
    """What the answer depends on besides the immutable rows of the lake: model, dbt project with policy, rows that came."""
    from credit_pipeline.transform.champions import champion_dir

    digest = hashlib.sha256(champion_dir(settings, day).name.encode())
    skipped = {"target", "logs", "dbt_packages"}
    for path in sorted(DBT_PROJECT_DIR.rglob("*")):
        if path.is_file() and not skipped.intersection(path.relative_to(DBT_PROJECT_DIR).parts):
            digest.update(path.relative_to(DBT_PROJECT_DIR).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _build(settings: Settings, day: date, path: Path, progress: Callable[[str], None]) -> None:
    from credit_pipeline.grading.history import load_history
    from credit_pipeline.transform.champions import champion_dir
    from credit_pipeline.transform.dbt import dbt_args, dbt_vars, run_dbt

    progress(
        f"{day} is not the current day: its grades are computed anew, as a replay does; the current ones stay"
    )
    draft = path.with_name(f".{path.name}.building")
    for left in (draft, draft.with_name(draft.name + ".wal")):
        left.unlink(missing_ok=True)
    variables = dbt_vars(settings, day, champion_dir(settings, day))
    args = [*dbt_args("build", variables), "--exclude-resource-type", "test", "--select", *_SELECTED.split()]
    try:
        run_dbt(settings, draft, f"explain-{day.isoformat()}", args)
        with connect(settings, draft) as connection:
            load_history(settings, connection, day)
        draft.chmod(0o600)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    progress(f"{day} is computed")


def _compare(settings: Settings, day: date, path: Path) -> bool | None:
    """Whether the computed grades are those stored on the day; None when nothing was stored."""
    from credit_pipeline.grading.history import state_digest, write_state

    stored = state_digest(settings, day)
    if stored is None:
        return None
    draft = path.with_name(f".{path.stem}.parquet")
    try:
        with connect(settings, path, read_only=True) as connection:
            return write_state(connection, draft) == stored
    finally:
        draft.unlink(missing_ok=True)
