"""A unit without a lawful team: nobody is relaxed, and everybody who must act is told what stands in the way."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from round_support import DAY, PLAN, ROUND, City
from typer.testing import CliRunner

from credit_pipeline.audit.sensors import check_findings
from credit_pipeline.cli import app
from credit_pipeline.inspection.assets import inspector_assignments
from credit_pipeline.inspection.rounds.daily import assign_inspectors, conflicts_of_today, round_problems
from credit_pipeline.orchestration import Pipeline
from credit_pipeline.warehouse import RunTarget


@pytest.fixture
def town(tmp_path: Path) -> City:
    """B02 has one inspector who may go; A01 has enough."""
    town = City(tmp_path)
    town.roster = [
        row for row in town.roster if row["inspector_id"][:3] == "A01" or row["inspector_id"][-1] in "04"
    ]
    assert town.run() == ["ASSIGNED"]
    return town


def test_the_run_counts_the_visits_and_names_the_commands(town: City) -> None:
    """A stopped unit was one word in a table of the UI; whoever runs the job saw nothing of it."""
    target = RunTarget(DAY, town.settings.warehouse_path, False)
    (outcome,) = assign_inspectors(town.settings, target, town.audit, "run")
    visits = set(town.office().store.open_visits(PLAN, ROUND))
    assert {unit for unit, _, _ in visits} == {"B02"} and outcome.without_team == {"B02": len(visits)}
    (line,) = round_problems([outcome])
    assert f"unit B02 has no inspectors for {len(visits)} drawn visit(s)" in line
    assert f"draw show {PLAN} 1" in line and f"draw assign {PLAN} 1" in line
    assert not any(uscc in line for _, _, uscc in visits), "the summary of a run names no enterprise"
    assert "B02" in outcome.waiting_for and "1 valid inspector(s)" in outcome.unassigned["B02"]
    assert "on_leave: B02-4" in outcome.unassigned["B02"]


def test_a_later_run_says_when_the_directory_suffices(town: City) -> None:
    """The reason of the first wave stood there for ever, whatever the unit had mended."""
    town.roster = City(town.root / "other").roster
    town.build()
    office = town.office()
    why = conflicts_of_today(office, office.existing(PLAN, ROUND))
    assert why == {"B02": f"its directory suffices now; remedy: credit-pipeline draw assign {PLAN} 1"}
    target = RunTarget(DAY, town.settings.warehouse_path, False)
    (outcome,) = assign_inspectors(town.settings, target, town.audit, "run")
    assert outcome.unassigned == why
    (replay,) = assign_inspectors(town.settings, RunTarget(DAY, target.path, True), town.audit, "run")
    assert replay.unassigned == {} and replay.without_team == outcome.without_team


def test_show_is_readable_and_tells_who_stands_in_the_way(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests, rule and commitments came as raw JSON in one cell each."""
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("lake_dir", "keys_dir"):
        monkeypatch.setenv(f"CREDIT_{name.upper()}", str(getattr(town.settings, name)))
    result = CliRunner().invoke(app, ["draw", "show", PLAN, "1"])
    assert result.exit_code == 0, result.output
    lines = result.stdout
    assert "{" not in lines and "[" not in lines
    assert "no inspectors: B02" in lines and "1 valid inspector(s)" in lines
    record = town.office().existing(PLAN, ROUND)
    assert f"{record.freeze_root[:16]}…" in lines and record.freeze_root not in lines
    assert "ASSIGNED after step 5 (round_assigned)" in lines and "file draw.parquet" in lines


def test_the_check_gives_the_alert_units_with_counts(town: City, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert named a check instead of units: its metadata held sentences where units with counts are read."""
    for name in ("landing_dir", "lake_dir", "keys_dir"):
        monkeypatch.setenv(f"CREDIT_{name.upper()}", str(getattr(town.settings, name)))
    result = dg.materialize(
        [inspector_assignments], partition_key=DAY.isoformat(), resources={"pipeline": Pipeline()},
        instance=dg.DagsterInstance.ephemeral(),
    )  # fmt: skip
    count = len(town.office().store.open_visits(PLAN, ROUND))
    (finding,) = check_findings(result.get_asset_check_evaluations())
    assert finding.check == "every_drawn_enterprise_has_inspectors" and finding.units == (f"B02: {count}",)
    (event,) = result.get_asset_materialization_events()
    (line,) = event.materialization.metadata["problems"].value  # type: ignore[misc]
    assert "unit B02 has no inspectors" in line
