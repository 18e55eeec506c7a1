"""The dbt unit tests of the models: they need the tables of a build, so they run on a copy of the small city's."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform.champions import champion_dir
from credit_pipeline.transform.dbt import dbt_args, dbt_environment, dbt_executable, dbt_vars
from tests_support import Place


def test_models_do_what_their_unit_tests_say(
    finished_run: dict[str, Any], city: Place, tmp_path: Path
) -> None:
    """Prevents wrong SQL for versions, repairs, leakage, bounds, vetoes, data-poor enterprises, quotas, exemptions."""
    warehouse = tmp_path / "warehouse.duckdb"
    shutil.copy(city.lake / "warehouse.duckdb", warehouse)
    settings = Settings(lake_dir=city.lake, keys_dir=tmp_path / "keys")
    day = date.fromisoformat(city.as_of)
    variables = dbt_vars(settings, day, champion_dir(settings, day))
    with dbt_environment(settings, warehouse):
        done = subprocess.run(
            [
                dbt_executable(), "--no-use-colors", *dbt_args("test", variables, "test_type:unit"),
                "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
                "--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path / "target"),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    results = json.loads((tmp_path / "target" / "run_results.json").read_text())["results"]
    statuses = {
        result["unique_id"]: result["status"]
        for result in results
        if result["unique_id"].startswith("unit_test.")
    }
    assert len(statuses) >= 16 and set(statuses.values()) == {"pass"}
