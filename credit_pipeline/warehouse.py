"""The only module that opens DuckDB warehouses, and the rules of who may write one when.

One process writes a DuckDB file at a time (a second one fails at once with a lock error, scale.md §4), so a run takes
the lake's lock for its whole length and the next run waits. Which file a run writes depends on its day: the current
day writes `warehouse.duckdb`; a past day that is run again writes a file of its own under `replays/`.
Encrypted extracts are `extracts.publish`'s business; SQL of the models is dbt's.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import duckdb

from credit_pipeline.audit.log import write_durably
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import Settings

log = logging.getLogger(__name__)


def session_settings(settings: Settings) -> dict[str, str]:
    """DuckDB settings of every session of ours, as text.

    Spill is encrypted: the default writes it in clear, 1.2 million grade strings in one measured query
    (draw_protocol.md §4). Nothing is downloaded or loaded by itself.
    """
    return {
        "memory_limit": settings.memory_limit,
        "threads": str(settings.threads),
        "temp_directory": str(settings.temp_dir),
        "temp_file_encryption": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }


@contextmanager
def connect(
    settings: Settings, path: Path | str = ":memory:", *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB database with our session settings and close it again.

    Raises:
        CreditPipelineError: the file does not exist (read only) or another process is writing it.
    """
    settings.temp_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if read_only and not Path(path).exists():
        raise CreditPipelineError(f"there is no warehouse at {path} yet; remedy: credit-pipeline run")
    try:
        connection = duckdb.connect(str(path), read_only=read_only, config=dict(session_settings(settings)))
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise CreditPipelineError(
                f"{path} is being written by a run; remedy: try again when it has ended"
            ) from error
        raise
    try:
        load_httpfs(connection)
        yield connection
    finally:
        connection.close()


def extension_path(name: str) -> Path:
    """A DuckDB extension from its PyPI wheel `duckdb-extension-<name>`, so that nothing is downloaded at run time.

    Raises:
        CreditPipelineError: the wheel is missing or of another version than DuckDB.
    """
    spec = find_spec(f"duckdb_extension_{name}")
    if spec is not None and spec.origin is not None:
        extensions = Path(spec.origin).parent / "extensions"
        path = extensions / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
        if path.exists():
            return path
    raise CreditPipelineError(
        f"no {name} extension for DuckDB {duckdb.__version__}; remedy: install the versions of requirements.lock"
    )


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load an extension into a connection."""
    connection.execute(f"load '{extension_path(name)}'")


def httpfs_path() -> Path:
    """The crypto module that encrypted spill and encrypted databases are written with, from its PyPI wheel.

    Without it a query that spills fails ("read-only crypto module"). Reading an encrypted file works without it, so a
    unit needs plain `duckdb` only.
    """
    return extension_path("httpfs")


def load_httpfs(connection: duckdb.DuckDBPyConnection) -> None:
    """Load that module into a connection."""
    load_extension(connection, "httpfs")


def wait_until_free(settings: Settings, path: Path) -> None:
    """Wait until no process has the file open for writing.

    A run that was killed leaves its dbt behind for some seconds; what it still writes is built again anyway.

    Raises:
        CreditPipelineError: it is still being written after `lock_timeout_s`.
    """
    deadline = time.monotonic() + settings.lock_timeout_s
    told = False
    while True:
        try:
            with connect(settings, path):
                return
        except CreditPipelineError:
            if time.monotonic() > deadline:
                raise
            if not told:
                log.info("%s is still being written by what a killed run left behind; waiting", path.name)
                told = True
            time.sleep(0.5)


@dataclass(frozen=True)
class RunTarget:
    """Which warehouse a run of one day writes."""

    as_of_date: date
    path: Path
    is_replay: bool
    """A day before the current one: nothing current changes, nothing is drawn or published."""


def current_as_of_date(settings: Settings) -> date | None:
    """The day the current warehouse speaks for; None before the first run."""
    path = settings.lake_dir / "current.json"
    if not path.exists():
        return None
    return date.fromisoformat(json.loads(path.read_text(encoding="utf-8"))["as_of_date"])


def run_target(settings: Settings, as_of_date: date) -> RunTarget:
    """The warehouse for a run of that day."""
    current = current_as_of_date(settings)
    if current is not None and as_of_date < current:
        path = settings.replay_path(as_of_date)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return RunTarget(as_of_date, path, True)
    return RunTarget(as_of_date, settings.warehouse_path, False)


def mark_current(settings: Settings, as_of_date: date) -> None:
    """Record that the current warehouse speaks for that day from now on; never moves backwards."""
    current = current_as_of_date(settings)
    if current is None or as_of_date > current:
        settings.lake_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(
            settings.lake_dir / "current.json",
            json.dumps({"as_of_date": as_of_date.isoformat()}).encode() + b"\n",
        )


@contextmanager
def lake_lock(settings: Settings) -> Iterator[None]:
    """Hold the lake for one run; a second run waits its turn. The kernel frees the lock of a killed process.

    Raises:
        CreditPipelineError: another run held the lake longer than `lock_timeout_s`.
    """
    settings.lake_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(settings.lake_dir / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + settings.lock_timeout_s
    told = False
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    log.info("another run holds the lake %s; waiting for it to end", settings.lake_dir)
                    told = True
                if time.monotonic() > deadline:
                    raise CreditPipelineError(
                        f"another run has held the lake {settings.lake_dir} for {settings.lock_timeout_s} s; "
                        "remedy: look at it in the UI, end it there, then run again"
                    ) from None
                time.sleep(0.5)
        yield
    finally:
        os.close(handle)


def lake_id(settings: Settings) -> str:
    """A random name of this lake, made once: keys of several lakes in one key folder stay apart."""
    path = settings.lake_dir / "lake_id"
    if not path.exists():
        settings.lake_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(path, secrets.token_hex(8).encode() + b"\n")
    return path.read_text(encoding="ascii").strip()
