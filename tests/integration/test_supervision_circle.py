"""Once round: run, draw, proof, inspections, results, rates, and the same day again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests_support import Place, make_place

VERIFIER = Path(__file__).parents[2] / "credit_pipeline" / "inspection" / "verify_draw.py"
TRAINING = {("grading", "training_set"), ("grading", "credit_model")}


def _verify(bundle: Path) -> subprocess.CompletedProcess[str]:
    """The verifier as an outsider runs it: no project, no site packages, no environment."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(bundle)],
        env={}, cwd=bundle.parent, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def _materialized(place: Place, run_id: str, monkeypatch: pytest.MonkeyPatch) -> tuple[set[Any], set[Any]]:
    """Keys that the run materialized, and those that a daily run owes."""
    monkeypatch.setenv("DAGSTER_HOME", place.environment["DAGSTER_HOME"])
    import dagster as dg

    from credit_pipeline.definitions import defs

    owed = {tuple(spec.key.path) for spec in defs.resolve_all_asset_specs()} - TRAINING
    with dg.DagsterInstance.get() as instance:
        found = instance.get_records_for_run(
            run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=5000
        )
    keys = {tuple(one.event_log_entry.dagster_event.asset_key.path) for one in found.records}  # type: ignore[union-attr]
    return keys, owed


def _bundles(place: Place, name: str, rounds: list[dict[str, Any]]) -> dict[str, Path]:
    """The proof of every round in both forms."""
    found = {}
    for line in rounds:
        for form in ("authorised", "public"):
            out = place.root / name / form / line["plan_id"]
            option = ["--public"] if form == "public" else []
            arguments = [line["plan_id"], str(line["round"]), "--out", str(out), *option]
            place.command("draw", "bundle", *arguments, "--lake", str(place.lake))
            found[f"{form}/{line['plan_id']}"] = out
    return found


def _one_fewer_drawn(bundle: Path) -> None:
    """The simplest forgery: a drawn enterprise leaves the list."""
    path = bundle / "draw.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))


def test_from_the_draw_to_the_rates_and_back(
    tmp_path: Path, city: Place, finished_run: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents links that work alone and do not meet: a bundle nobody can verify, results that reach no visit, a
    second run of the day that changes what the first one made.
    """
    place = make_place(tmp_path)
    for folder in ("landing", "lake", "keys"):
        shutil.copytree(city.root / folder, tmp_path / folder, symlinks=True)
    where = ["--landing", str(place.landing), "--lake", str(place.lake)]
    rounds = json.loads(place.command("draw", "list", "--lake", str(place.lake), "--json").stdout)
    assert rounds and {line["state"] for line in rounds} == {"ASSIGNED"}
    assert sum(line["drawn"] for line in rounds) == finished_run["draws"]
    assert all(line["problem"] == "" for line in rounds)

    bundles = _bundles(place, "before", rounds)
    for name, bundle in bundles.items():
        done = _verify(bundle)
        assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr)
    forged = tmp_path / "forged"
    shutil.copytree(next(path for name, path in bundles.items() if name.startswith("authorised")), forged)
    _one_fewer_drawn(forged)
    assert _verify(forged).returncode == 1
    (forged / "bundle.json").unlink()
    assert _verify(forged).returncode == 2

    drawn = place.query("select * from inspection.inspection_draws order by all")
    place.command("sample", "inspect", *where)
    day = (place.landing / "as_of").read_text().strip()
    assert day > city.as_of
    after = place.run(day)
    materialized, owed = _materialized(place, after["run_id"], monkeypatch)
    assert materialized == owed
    delivered = after["feeds"]["inspection_results"]
    assert delivered["accepted"] > 0 and delivered["quarantined"] == 0
    assert after["draws"] == finished_run["draws"]
    assert place.query("select * from inspection.inspection_draws order by all") == drawn

    states = dict(place.query("select state, count(*) from inspection.inspection_progress group by 1"))
    assert states.get("done", 0) > 0 and states.get("open", 0) > 0, states
    assert place.query("select count(*) > 0 from inspection.publication_clock") == [(True,)]
    assert place.query("select count(*) > 0 from inspection.estimated_rates") == [(True,)]
    [(inspected, hits)] = place.query(
        "select max(inspected), max(hits) from inspection.hit_rates where grade = 'all'"
    )
    assert 0 < hits <= inspected

    tables = place.tables()
    again = place.run(day)
    assert sum(counts["read"] for counts in again["feeds"].values()) == 0
    changed = [name for name, digest in place.tables().items() if tables.get(name) != digest]
    assert changed == [] and place.tables().keys() == tables.keys()
    for name, bundle in _bundles(place, "after", rounds).items():
        done = _verify(bundle)
        assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr)
        if name.startswith("authorised"):
            for file in ("draw.csv", "frame.csv", "assignments.csv", "seed.json"):
                assert (bundle / file).read_bytes() == (bundles[name] / file).read_bytes(), file
