"""The code location loads, and its graph keeps the house's rules."""

from __future__ import annotations

import dagster as dg
import pytest

from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.settings import Settings
from credit_pipeline.transform.dbt import manifest_is_stale, prepare_manifest

GROUPS = {
    "raw", "lake", "staging", "quality", "enterprises", "indicators", "policy", "grading", "inspection", "public", "extracts", "audit",
}  # fmt: skip


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    if manifest_is_stale():
        prepare_manifest(Settings())
    from credit_pipeline.definitions import defs

    return defs


@pytest.fixture(scope="module")
def specs(defs: dg.Definitions) -> list[dg.AssetSpec]:
    return list(defs.resolve_all_asset_specs())


def test_graph_loads(defs: dg.Definitions) -> None:
    """Prevents a code location that the UI cannot load."""
    dg.Definitions.validate_loadable(defs)


def test_every_feed_has_its_raw_asset(specs: list[dg.AssetSpec]) -> None:
    """Prevents a feed of the catalogue that nobody reads."""
    assert {spec.key.path[1] for spec in specs if spec.key.path[0] == "raw"} == set(feed_names())


def test_key_is_schema_and_table_and_group_is_its_first_part(specs: list[dg.AssetSpec]) -> None:
    """Prevents names that differ between graph and warehouse."""
    for spec in specs:
        assert len(spec.key.path) == 2, spec.key
        assert spec.group_name == spec.key.path[0], spec.key
    assert {spec.group_name for spec in specs} == GROUPS


def test_every_asset_explains_itself(specs: list[dg.AssetSpec]) -> None:
    """Prevents an asset without description, Chinese label, owner or kind."""
    for spec in specs:
        name = spec.key.to_user_string()
        assert spec.description and "中文标签：" in spec.description, name
        assert spec.owners, name
        assert spec.kinds, name


def test_every_asset_is_a_daily_partition(specs: list[dg.AssetSpec]) -> None:
    """Prevents an asset that a backfill of a day would leave out."""
    for spec in specs:
        assert isinstance(spec.partitions_def, dg.DailyPartitionsDefinition), spec.key


def test_whatever_opens_the_warehouse_holds_its_pool(defs: dg.Definitions) -> None:
    """Prevents two steps that write the one DuckDB file at once."""
    repository = defs.get_repository_def()
    pools = {
        key.to_user_string(): node.op.pool
        for node in repository.assets_defs_by_key.values()
        for key in node.keys
        if hasattr(node, "op")
    }
    expected = {
        "grading/enterprise_grades",
        "grading/grade_history",
        "inspection/inspection_draws",
        "inspection/inspection_progress",
        "inspection/publication_clock",
        "inspection/estimated_rates",
        "inspection/hit_rates",
        "inspection/round_summary",
        "inspection/plan_what_if",
        "extracts/unit_extracts",
        "extracts/public_results",
        "grading/training_set",
        "quality/feed_quality_report",
    }
    assert {name: pools[name] for name in expected} == dict.fromkeys(expected, "warehouse")


def test_the_daily_job_covers_all_but_training(defs: dg.Definitions) -> None:
    """Prevents an asset that no job makes."""
    daily = defs.resolve_job_def("daily")
    selected = {key.to_user_string() for key in daily.asset_layer.selected_asset_keys}
    everything = {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}
    assert everything - selected == {"grading/training_set", "grading/credit_model"}
    training = {
        key.to_user_string() for key in defs.resolve_job_def("train_model").asset_layer.selected_asset_keys
    }
    assert training == {"grading/training_set", "grading/credit_model"}


def test_nothing_runs_by_surprise(defs: dg.Definitions) -> None:
    """Prevents a schedule or sensor that starts itself on a fresh machine."""
    repository = defs.get_repository_def()
    assert {s.name: s.default_status.value for s in repository.schedule_defs} == {
        "compact_monthly": "STOPPED",
        "daily_at_two": "STOPPED",
        "train_monthly": "STOPPED",
    }
    sensors = {s.name: s.default_status.value for s in repository.sensor_defs}
    assert sensors == dict.fromkeys(["feeds_need_attention", "file_drop", "run_failed"], "STOPPED")


def test_blocking_checks_stand_before_publication(defs: dg.Definitions) -> None:
    """Prevents a lake that does not reconcile from being graded."""
    graph = defs.resolve_asset_graph()
    blocking = {
        f"{key.asset_key.to_user_string()}:{key.name}"
        for key in graph.asset_check_keys
        if graph.get(key).blocking
    }
    assert {f"raw/{name}:rows_reconcile" for name in feed_names()} <= blocking
    assert "audit/checkpoint:log_is_intact" in blocking
