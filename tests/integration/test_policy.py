"""Policy as officials change it: units' own systems, another pack for Python and dbt, check and diff before adoption."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from credit_pipeline.settings import POLICY_DIR, Settings
from credit_pipeline.transform.champions import champion_dir
from credit_pipeline.transform.dbt import dbt_args, dbt_vars, run_dbt
from credit_pipeline.transform.policy_diff import policy_version
from tests_support import Place, make_place

ENVIRONMENT, CONSTRUCTION, EMERGENCY, TRANSPORT = "411300EE", "411300HC", "411300EM", "411300TR"


def copy_pack(folder: Path) -> Path:
    """The shipped pack as an office keeps it: CSV only."""
    shutil.copytree(POLICY_DIR, folder, ignore=shutil.ignore_patterns("*.yml"))
    return folder


def append(pack: Path, table: str, *rows: str) -> None:
    with (pack / f"{table}.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{row}\n" for row in rows)


def change(pack: Path, table: str, match: dict[str, str], **values: str) -> None:
    path = pack / f"{table}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    hits = [row for row in rows if all(row[name] == value for name, value in match.items())]
    assert hits
    for row in hits:
        row.update(values)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def lake(city: Place, finished_run: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the city's lake: dbt leaves artefacts in it."""
    folder = tmp_path_factory.mktemp("policy") / "lake"
    shutil.copytree(city.lake, folder)
    return folder


Build = Callable[[Path, str, str], Path]


@pytest.fixture(scope="module")
def build(lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build part of the city's warehouse again with a pack, for a day; returns the warehouse."""

    def run(pack: Path, day: str, select: str) -> Path:
        settings = Settings(lake_dir=lake, policy_dir=pack, keys_dir=lake.parent / "keys")
        warehouse = tmp_path_factory.mktemp("built") / "warehouse.duckdb"
        shutil.copy(lake / "warehouse.duckdb", warehouse)
        variables = dbt_vars(
            settings, date.fromisoformat(day), champion_dir(settings, date.fromisoformat(day))
        )
        run_dbt(
            settings, warehouse, "policy-test",
            [*dbt_args("build", variables, select), "--indirect-selection", "buildable"],
        )  # fmt: skip
        return warehouse

    return run


PAIRS = """
    select a.uscc, a.unit_grade, b.unit_grade, a.trace, b.trace, a.system_id, b.system_id
    from grading.unit_grades a join grading.unit_grades b using (uscc)
    where a.unit_id = '{}' and b.unit_id = '{}' and a.platform_grade = b.platform_grade
    order by uscc
"""


def assert_different_and_explained(city: Place, warehouse: Path | None, first: str, second: str) -> None:
    pairs = city.query(PAIRS.format(first, second), warehouse)
    different = [pair for pair in pairs if pair[1] != pair[2]]
    assert len(different) > 10, f"{len(different)} of {len(pairs)}"
    for pair in different:
        assert f"system {pair[5]} score" in pair[3] and f"system {pair[6]} score" in pair[4]
    unexplained = city.query(
        """
        select g.unit_id, g.uscc from grading.unit_grades g
        left join grading.unit_score_points p on p.unit_id = g.unit_id and p.uscc = g.uscc
        where g.system_id is not null group by g.unit_id, g.uscc, g.system_score_bp
        having sum(p.points_bp) is distinct from g.system_score_bp
        """,
        warehouse,
    )
    assert unexplained == []


def test_two_units_grade_the_same_enterprises_differently_and_say_why(
    city: Place, finished_run: dict[str, Any]
) -> None:
    """Acceptance: environment and emergency, which supervise the same industries, differ by their own systems."""
    assert_different_and_explained(city, None, ENVIRONMENT, EMERGENCY)


def test_environment_and_construction_differ_on_the_same_data(
    city: Place, build: Build, tmp_path: Path
) -> None:
    """Acceptance: with construction over manufacturing too, both grade the same enterprises, each by its own system."""
    pack = copy_pack(tmp_path / "pack")
    append(pack, "unit_scopes", f"{CONSTRUCTION},4113,C,,2015-01-01,9999-12-31")
    change(pack, "unit_systems", {"system_id": "construction"}, applies_to_sections="C|E|K")
    warehouse = build(pack, city.as_of, "unit_scopes+ unit_systems+")
    assert_different_and_explained(city, warehouse, ENVIRONMENT, CONSTRUCTION)


def test_a_unit_without_a_system_has_the_platform_grade(city: Place, finished_run: dict[str, Any]) -> None:
    """Acceptance: prevents a template, or another line's system, from reaching a unit that has none."""
    found = city.query(
        "select count(*), count(system_id), count(*) filter (where unit_grade <> platform_grade), "
        f"count(*) filter (where system_rule <> 'no_system') from grading.unit_grades where unit_id = '{TRANSPORT}'"
    )[0]
    assert found[0] > 0 and found[1:] == (0, 0, 0)


def test_weights_follow_the_industry(city: Place, finished_run: dict[str, Any]) -> None:
    """R17: prevents one weight for all industries where the unit wrote one for a section."""
    found = dict(
        city.query(
            "select e.industry_section, min(p.weight) from grading.unit_score_points p "
            "join enterprises.enterprises e using (uscc) where p.system_id = 'environment' "
            "and p.indicator = 'expired_licence_count' group by 1 having min(p.weight) = max(p.weight)"
        )
    )
    assert {section: found[section] for section in "BCD"} == {"B": 20, "C": 10, "D": 15}


def test_no_system_lifts_past_a_veto_or_for_want_of_data(city: Place, finished_run: dict[str, Any]) -> None:
    """Prevents a unit's system from being the way round a veto, a floor, fresh negatives or missing data."""
    assert (
        city.query(
            "select u.unit_id from grading.unit_grades u join grading.enterprise_grades g using (uscc) "
            "where u.unit_grade < u.platform_grade and (g.veto_codes <> '' or g.path <> 'model' "
            "or g.negative_record_count_12m > 0 or ascii(u.platform_grade) - ascii(u.unit_grade) > 1)"
        )
        == []
    )


def test_a_system_to_come_changes_nothing_before_its_day(city: Place, build: Build, tmp_path: Path) -> None:
    """Prevents a system from grading before it is adopted, and a past day from changing when it is."""
    start = (date.fromisoformat(city.as_of) + timedelta(days=31)).isoformat()
    pack = tmp_path / "pack"
    city.command("policy", "template", "transport", "--out", str(pack), "--from", start)
    assert city.command("policy", "check", "--dir", str(pack)).returncode == 0
    selected = "unit_systems+ unit_system_indicators+ unit_system_bounds+"
    before = build(pack, city.as_of, selected)
    tables, original = city.tables(before), city.tables()
    assert {name for name in original if tables[name] != original[name]} <= {
        "policy.unit_systems", "policy.unit_system_indicators", "policy.unit_system_bounds",
    }  # fmt: skip
    after = build(pack, start, "+unit_grades")
    systems = city.query(
        f"select system_id, count(*) from grading.unit_grades where unit_id = '{TRANSPORT}' group by 1", after
    )
    assert [name for name, _ in systems] == [f"transport_{start.replace('-', '')}"]


def test_another_pack_moves_python_and_dbt_alike(
    city: Place, finished_run: dict[str, Any], tmp_path: Path
) -> None:
    """Prevents CREDIT_POLICY_DIR from moving only half of the policy: a copy gives the same bytes, a change changes."""
    pack = copy_pack(tmp_path / "pack")
    place = make_place(tmp_path, keys=city.root / "keys", extra={"CREDIT_POLICY_DIR": str(pack)})
    shutil.copytree(city.landing, place.landing)
    place.as_of = city.as_of
    place.run()
    assert place.tables() == city.tables()
    change(pack, "grade_bounds", {"grade": "B"}, probability_upper="0.08")
    place.run()
    changed = place.tables()
    assert changed["grading.enterprise_scores"] == city.tables()["grading.enterprise_scores"]
    assert changed["grading.enterprise_grades"] != city.tables()["grading.enterprise_grades"]
    version = "select distinct policy_version from grading.enterprise_grades"
    assert place.query(version) == [(policy_version(pack),)]
    assert city.query(version) == [(policy_version(POLICY_DIR),)]


def test_a_broken_pack_grades_nobody(city: Place, tmp_path: Path) -> None:
    """Prevents a run with a broken pack, and a message that does not say where it is broken."""
    pack = copy_pack(tmp_path / "pack")
    change(pack, "grade_bounds", {"grade": "B"}, probability_upper="0.01")
    place = make_place(tmp_path, extra={"CREDIT_POLICY_DIR": str(pack)})
    shutil.copytree(city.landing, place.landing)
    done = place.command(
        "run", "--landing", str(place.landing), "--lake", str(place.lake), "--as-of", city.as_of, check=False
    )
    assert done.returncode == 2 and "grade_bounds.csv line 3 column probability_upper" in done.stderr
    assert not (place.lake / "warehouse.duckdb").exists()


def test_a_diff_counts_what_moves_and_leaves_nothing_behind(
    city: Place, finished_run: dict[str, Any], lake: Path, tmp_path: Path
) -> None:
    """Prevents a comparison that changes the lake, keeps grades lying about, or names an enterprise."""
    pack = copy_pack(tmp_path / "pack")
    change(pack, "grade_bounds", {"grade": "A"}, probability_upper="0.01")
    change(pack, "inspection_ratios", {"grade": "C"}, ratio_bp="3000")
    report = tmp_path / "report.html"
    warehouse = (lake / "warehouse.duckdb").read_bytes()
    done = city.command(
        "policy", "diff", "--to", str(pack), "--lake", str(lake), "--json", "--out", str(report)
    )
    found = json.loads(done.stdout)
    graded = city.query("select platform_grade, count(*) from grading.enterprise_grades group by 1")
    before: dict[str, int] = {}
    for grade, _, number in found["platform"]:
        before[grade] = before.get(grade, 0) + number
    assert before == dict(graded) and found["enterprises"] == sum(before.values())
    assert found["moved"]["better"] == 0 < found["moved"]["worse"]
    assert {(item["table"], item["kind"]) for item in found["changes"]} == {
        ("grade_bounds", "changed"), ("inspection_ratios", "changed"),
    }  # fmt: skip
    quotas = {row[0]: row for row in found["quotas"]}
    assert quotas["C"][4] > quotas["C"][2] and quotas["E"][4] == quotas["E"][2]
    assert all(sum(cell[2] for cell in unit["matrix"]) == unit["pairs"] for unit in found["units"]), (
        "every pair of unit and enterprise stands in one cell"
    )
    text = done.stdout + done.stderr + report.read_text(encoding="utf-8")
    assert not re.search(r"\b9[123]41[0-9A-Z]{14}\b", text)
    assert (lake / "warehouse.duckdb").read_bytes() == warehouse
    assert not (lake / "policy_diff").exists()
