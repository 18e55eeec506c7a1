"""The monthly training job on the small city: a challenger is fitted, judged, and the champion of past days stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests_support import Place


def test_challenger_is_judged_and_past_days_keep_their_model(
    finished_run: dict[str, Any], city: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a training job that fails unseen, or that changes which model graded before."""
    lake = tmp_path / "lake"
    shutil.copytree(city.lake, lake)
    for name, value in {"CREDIT_LAKE_DIR": str(lake), "CREDIT_KEYS_DIR": str(city.root / "keys")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster_home"))
    from credit_pipeline.daily_run import dagster_home

    dagster_home()
    import dagster as dg

    from credit_pipeline.definitions import defs

    before = [json.loads(line) for line in (lake / "models" / "champions.jsonl").read_text().splitlines()]
    with dg.DagsterInstance.get() as instance:
        result = defs.resolve_job_def("train_model").execute_in_process(
            instance=instance, partition_key=city.as_of, raise_on_error=False
        )
    assert result.success
    facts = {
        event.asset_key.path[-1]: {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }
    assert set(facts) == {"training_set", "credit_model"}
    after = [json.loads(line) for line in (lake / "models" / "champions.jsonl").read_text().splitlines()]
    assert after[: len(before)] == before and len(after) - len(before) == int(
        facts["credit_model"]["promoted"]
    )
    frame = pl.read_parquet(lake / "training" / f"as_of={city.as_of}" / "training_set.parquet")
    assert (
        set(frame["label"].unique()) == {0, 1} and frame.height == facts["training_set"]["dagster/row_count"]
    )
    assert max(frame["as_of_date"].to_list()).isoformat() < city.as_of
    assert not list((lake / "training").rglob("*.duckdb")), "the snapshots' grades do not stay on disk"
