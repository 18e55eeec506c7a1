"""How dbt is called: its variables, its environment, its manifest. The SQL itself lives in `dbt_project/`."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform.policy_check import require_sound_policy
from credit_pipeline.transform.policy_pack import pack_digest, seeds_dir
from credit_pipeline.transform.sources import ensure_sources
from credit_pipeline.warehouse import httpfs_path

log = logging.getLogger(__name__)

MANIFEST_PATH = DBT_PROJECT_DIR / "target" / "manifest.json"
POLICY_DIGEST_PATH = MANIFEST_PATH.with_name("policy.sha256")
"""Digest of the policy pack that the manifest was made with."""
KEPT_TARGETS = 5
"""dbt's artefacts of the last runs that stay for a look; each is about 3 MB."""


def dbt_executable() -> str:
    """The dbt of this environment; a global one on PATH may be another version."""
    return str(Path(sys.executable).with_name("dbt"))


def dbt_vars(
    settings: Settings,
    as_of_date: date,
    model_dir: Path,
    snapshot_dates: Sequence[date] = (),
) -> dict[str, Any]:
    """The variables of one build.

    Args:
        model_dir: folder of the model that grades (points.parquet, calibration.parquet).
        snapshot_dates: days for which indicators are computed besides the as-of day (training only).
    """
    days = sorted({as_of_date, *snapshot_dates})
    return {
        "lake": str(settings.lake_dir),
        "as_of_date": as_of_date.isoformat(),
        "as_of_dates": [day.isoformat() for day in days],
        "scorecard_points": str(model_dir / "points.parquet"),
        "calibration": str(model_dir / "calibration.parquet"),
    }


def dbt_args(command: str, variables: dict[str, Any], select: str | None = None) -> list[str]:
    """Arguments of a dbt command with these variables.

    Unit tests of models prove the SQL, not the data: they run in `make test`, not every day (13 of them took 6 s of 24).
    """
    without_unit_tests = ["--exclude-resource-type", "unit_test"] if command == "build" else []
    chosen = ["--select", select] if select else []
    return [command, "--vars", json.dumps(variables, sort_keys=True), *without_unit_tests, *chosen]


@contextmanager
def dbt_environment(settings: Settings, warehouse_path: Path) -> Iterator[None]:
    """Point dbt's profile at a warehouse for the length of a call; dagster-dbt passes on the process's environment."""
    settings.temp_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    wanted = {
        "CREDIT_WAREHOUSE_PATH": str(warehouse_path),
        "CREDIT_TEMP_DIR": str(settings.temp_dir),
        "CREDIT_MEMORY_LIMIT": settings.memory_limit,
        "CREDIT_THREADS": str(settings.threads),
        "CREDIT_SEEDS_DIR": os.path.relpath(seeds_dir(settings), DBT_PROJECT_DIR),
        "CREDIT_HTTPFS_EXTENSION": str(httpfs_path()),
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def target_path(settings: Settings, run_id: str) -> Path:
    """Folder of dbt's artefacts for one run, inside the lake, older ones removed.

    The project's parse cache is copied in, which saves about 3 s of parsing.
    """
    root = settings.lake_dir / "dbt"
    path = root / run_id
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    for stale in sorted(root.iterdir(), key=lambda item: item.stat().st_mtime)[:-KEPT_TARGETS]:
        if stale != path:
            shutil.rmtree(stale)
    cache = MANIFEST_PATH.with_name("partial_parse.msgpack")
    if cache.exists() and not (path / cache.name).exists():
        shutil.copyfile(cache, path / cache.name)
    return path


def run_dbt(settings: Settings, warehouse_path: Path, run_id: str, args: Sequence[str]) -> None:
    """Run dbt outside the asset graph (training snapshots, which write a warehouse of their own).

    Raises:
        CreditPipelineError: the policy pack is broken, or a model or test failed; the message names it.
    """
    require_sound_policy(settings.policy_dir)
    ensure_sources(settings)
    target = target_path(settings, run_id)
    with dbt_environment(settings, warehouse_path):
        command = [dbt_executable(), "--no-use-colors", *args]
        command += ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR)]
        command += ["--target-path", str(target), "--log-path", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CreditPipelineError(
            f"dbt {args[0]} failed: {_failures(target) or done.stdout[-2000:] + done.stderr[-2000:]}"
        )


def _failures(target: Path) -> str:
    results = target / "run_results.json"
    if not results.exists():
        return ""
    bad = [
        f"{result['unique_id']}: {result['message']}"
        for result in json.loads(results.read_text(encoding="utf-8"))["results"]
        if result["status"] in ("error", "fail")
    ]
    return "; ".join(bad)


def manifest_is_stale(settings: Settings | None = None) -> bool:
    """Whether a file of the dbt project is newer than its manifest, or the policy pack is another one."""
    if not MANIFEST_PATH.exists() or not POLICY_DIGEST_PATH.exists():
        return True
    if POLICY_DIGEST_PATH.read_text(encoding="ascii") != pack_digest((settings or Settings()).policy_dir):
        return True
    made = MANIFEST_PATH.stat().st_mtime
    skipped = {"target", "logs", "dbt_packages"}
    return any(
        path.stat().st_mtime > made
        for path in DBT_PROJECT_DIR.rglob("*")
        if path.is_file() and not skipped.intersection(path.relative_to(DBT_PROJECT_DIR).parts)
    )


def prepare_manifest(settings: Settings) -> Path:
    """Parse the dbt project so that Dagster can load it without running dbt.

    Raises:
        CreditPipelineError: the project does not parse; dbt's words follow.
    """
    digest = pack_digest(settings.policy_dir)
    command = [dbt_executable(), "--no-use-colors", "parse", "--project-dir", str(DBT_PROJECT_DIR)]
    command += ["--profiles-dir", str(DBT_PROJECT_DIR), "--target-path", str(MANIFEST_PATH.parent)]
    command += ["--log-path", str(MANIFEST_PATH.parent)]
    with dbt_environment(settings, settings.warehouse_path):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CreditPipelineError(
            f"the dbt project does not parse: {done.stdout[-3000:]}{done.stderr[-1000:]}"
        )
    POLICY_DIGEST_PATH.write_text(digest, encoding="ascii")
    return MANIFEST_PATH
