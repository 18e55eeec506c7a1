"""How dbt is called, without calling it."""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path

from credit_pipeline.settings import Settings
from credit_pipeline.transform.dbt import dbt_args, dbt_environment, dbt_vars, target_path


def settings(tmp_path: Path) -> Settings:
    return Settings(lake_dir=tmp_path / "lake", keys_dir=tmp_path / "keys")


def test_vars_name_the_day_its_snapshots_and_the_model(tmp_path: Path) -> None:
    """Prevents a build that speaks for another day than its partition."""
    days = [date(2025, 9, 30), date(2025, 8, 31)]
    variables = dbt_vars(settings(tmp_path), date(2026, 10, 31), tmp_path / "m", days)
    assert variables["as_of_date"] == "2026-10-31"
    assert variables["as_of_dates"] == ["2025-08-31", "2025-09-30", "2026-10-31"]
    assert variables["scorecard_points"] == str(tmp_path / "m" / "points.parquet")


def test_args_carry_vars_as_json() -> None:
    """Prevents values that dbt would read as YAML of another type."""
    args = dbt_args("build", {"as_of_date": "2026-10-31"}, "+a +b")
    assert (
        args[0] == "build"
        and json.loads(args[2]) == {"as_of_date": "2026-10-31"}
        and args[-2:] == ["--select", "+a +b"]
    )
    assert "unit_test" in args and "unit_test" not in dbt_args("test", {})


def test_environment_is_put_back(tmp_path: Path) -> None:
    """Prevents one run's warehouse from leaking into the next."""
    os.environ.pop("CREDIT_WAREHOUSE_PATH", None)
    with dbt_environment(settings(tmp_path), tmp_path / "w.duckdb"):
        assert os.environ["CREDIT_WAREHOUSE_PATH"] == str(tmp_path / "w.duckdb")
    assert "CREDIT_WAREHOUSE_PATH" not in os.environ


def test_old_targets_are_swept(tmp_path: Path) -> None:
    """Prevents a year of daily runs from filling the disk with dbt's artefacts."""
    for number in range(9):
        path = target_path(settings(tmp_path), f"run-{number}")
        os.utime(path, (number, number))
    assert len(list((tmp_path / "lake" / "dbt").iterdir())) <= 6
