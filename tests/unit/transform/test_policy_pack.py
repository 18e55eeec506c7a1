"""Another policy pack reaches dbt as well as Python, its changes are named, and a unit's system starts from a template."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import POLICY_DIR, Settings
from credit_pipeline.transform import dbt
from credit_pipeline.transform.policy_check import check_pack, require_sound_policy
from credit_pipeline.transform.policy_diff import PolicyDiff, RowChange, row_changes
from credit_pipeline.transform.policy_pack import pack_digest, seeds_dir, table_specs
from credit_pipeline.transform.policy_report import as_json, html_page, markdown
from credit_pipeline.transform.policy_template import start_system


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    folder = tmp_path / "pack"
    shutil.copytree(POLICY_DIR, folder, ignore=shutil.ignore_patterns("*.yml"))
    return folder


def replace(pack: Path, table: str, old: str, new: str) -> None:
    path = pack / f"{table}.csv"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_every_table_is_described_and_every_description_has_its_table() -> None:
    """Prevents a seed without types, which dbt would guess, and a description of nothing."""
    assert set(table_specs()) == {path.stem for path in POLICY_DIR.glob("*.csv")}


def test_the_digest_is_the_content(pack: Path) -> None:
    """Prevents a copy from counting as another policy, and a change from being overlooked."""
    assert pack_digest(pack) == pack_digest(POLICY_DIR)
    (pack / "notes.txt").write_text("a remark")
    assert pack_digest(pack) == pack_digest(POLICY_DIR)
    replace(pack, "vetoes", "E,serious_violations", "D,serious_violations")
    assert pack_digest(pack) != pack_digest(POLICY_DIR)


def test_dbt_gets_the_pack_with_the_projects_types(pack: Path, tmp_path: Path) -> None:
    """Prevents dbt from reading its own seeds, or a pack without types, when CREDIT_POLICY_DIR names another."""
    settings = Settings(lake_dir=tmp_path / "lake", policy_dir=pack)
    folder = seeds_dir(settings) / POLICY_DIR.name
    assert folder.is_relative_to(tmp_path / "lake")
    assert {path.name for path in folder.iterdir()} == {path.name for path in POLICY_DIR.iterdir()}
    assert (folder / "units.csv").read_bytes() == (pack / "units.csv").read_bytes()
    assert (tmp_path / "lake" / "policy").stat().st_mode & 0o777 == 0o700
    with dbt.dbt_environment(settings, tmp_path / "warehouse.duckdb"):
        import os

        seeds = dbt.DBT_PROJECT_DIR / os.environ["CREDIT_SEEDS_DIR"]
    assert seeds.resolve() == folder.parent.resolve()
    replace(pack, "currencies", "USD,美元,700", "USD,美元,710")
    assert seeds_dir(settings) != folder.parent


def test_the_shipped_pack_is_read_where_it_is(tmp_path: Path) -> None:
    """Prevents the shipped seeds from being parsed anew for every lake."""
    assert seeds_dir(Settings(lake_dir=tmp_path, policy_dir=POLICY_DIR)) == POLICY_DIR.parent
    assert list(tmp_path.iterdir()) == []


def test_a_pack_without_a_table_is_refused_before_dbt_starts(pack: Path, tmp_path: Path) -> None:
    """Prevents half a pack in the lake, and dbt's own words for a missing seed."""
    (pack / "vetoes.csv").unlink()
    with pytest.raises(BadInput, match="no table vetoes"):
        seeds_dir(Settings(lake_dir=tmp_path / "lake", policy_dir=pack))
    assert list((tmp_path / "lake" / "policy").iterdir()) == []


def test_the_manifest_is_stale_for_another_pack(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents Dagster from showing the versions of another policy."""
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{}")
    monkeypatch.setattr(dbt, "MANIFEST_PATH", manifest)
    monkeypatch.setattr(dbt, "POLICY_DIGEST_PATH", tmp_path / "policy.sha256")
    settings = Settings(lake_dir=tmp_path / "lake", policy_dir=pack)
    assert dbt.manifest_is_stale(settings), "nothing says which policy it was made with"
    (tmp_path / "policy.sha256").write_text(pack_digest(pack))
    assert not dbt.manifest_is_stale(settings)
    replace(pack, "currencies", "USD,美元,700", "USD,美元,710")
    assert dbt.manifest_is_stale(settings)


def test_a_pack_is_checked_again_when_it_changes(pack: Path) -> None:
    """Prevents a check that remembers a folder instead of what is in it."""
    require_sound_policy(pack)
    replace(pack, "vetoes", "force,E", "force,F")
    with pytest.raises(BadInput, match=r"vetoes\.csv line 2 column grade"):
        require_sound_policy(pack)


def test_changed_rows_are_named(pack: Path) -> None:
    """Prevents a diff that calls a changed row removed and added, or misses one."""
    assert row_changes(POLICY_DIR, pack) == []
    replace(pack, "grade_bounds", "B,B守信,2,0.05", "B,B守信,2,0.06")
    replace(pack, "vetoes", "abnormal_listed", "abnormal_listed_new")
    replace(pack, "holidays", "2015-01-01,false,元旦\n", "")
    found = [(item.table, item.kind, item.key, item.values) for item in row_changes(POLICY_DIR, pack)]
    assert found == [
        ("grade_bounds", "changed", "B", {"probability_upper": ("0.05", "0.06")}),
        ("holidays", "removed", "2015-01-01", {}),
        ("vetoes", "removed", "abnormal_listed", {}),
        ("vetoes", "added", "abnormal_listed_new", {}),
    ]


@pytest.mark.parametrize("owner", ["transport", "411300TR", "emergency", "411330EM"])
def test_a_system_starts_from_a_template(owner: str, tmp_path: Path) -> None:
    """Prevents a first pack that the check refuses, or that takes over another unit's place."""
    out = tmp_path / "new"
    said = start_system(POLICY_DIR, out, owner, date(2027, 1, 1), "template_general")
    assert [str(item) for item in check_pack(out)] == []
    assert len(said) == 3
    changes = row_changes(POLICY_DIR, out)
    assert {item.kind for item in changes} == {"added"}
    assert {item.effective_from for item in changes} == {"2027-01-01"}
    assert len([item for item in changes if item.table == "unit_system_bounds"]) == 5


def test_a_lines_system_is_named_after_the_office_that_answers_for_it(tmp_path: Path) -> None:
    """Prevents a system whose label and owner are an internal name, which people then read in explanations."""
    start_system(POLICY_DIR, tmp_path / "new", "environment", date(2027, 1, 1), "template_general")
    row = (tmp_path / "new" / "unit_systems.csv").read_text(encoding="utf-8").splitlines()[-1].split(",")
    assert row[3] == "南阳市生态环境局条线分类指标体系" and row[12] == "南阳市生态环境局"


@pytest.mark.parametrize(
    ("owner", "start", "template", "words"),
    [
        ("weather", date(2027, 1, 1), "template_general", "no unit and no line"),
        ("transport", date(2027, 1, 1), "nothing", "no system 'nothing'"),
        ("transport", date(2020, 1, 1), "template_general", "later --from"),
    ],
)
def test_a_system_of_nobody_or_nothing_is_refused(
    owner: str, start: date, template: str, words: str, tmp_path: Path
) -> None:
    """Prevents a half-written pack."""
    with pytest.raises(BadInput, match=words):
        start_system(POLICY_DIR, tmp_path / "new", owner, start, template)
    assert not (tmp_path / "new").exists()


def test_the_report_has_the_same_counts_in_every_form() -> None:
    """Prevents a report whose table breaks on a bar, or whose sums are not those of the matrix."""
    diff = PolicyDiff(
        "2026-10-31",
        [RowChange("unit_systems", "changed", 3, "a|b", {"label": ("<old>", "new")}, "2027-01-01")],
        later=1,
        enterprises=1_000,
        moved={"better": 0, "worse": 200, "by_two": 50, "appeared": 0, "gone": 0},
        platform=[("A", "A", 800), ("A", "B", 150), ("A", "C", 50)],
    )
    text, page = markdown(diff), html_page(diff)
    assert "a\\|b" in text and "| A | 800 | 150 | 50 | 0 | 0 | 1,000 |" in text
    assert "moved | 200 | 20.0 |" in text and "1 changed rows come into force later" in text
    assert "&lt;old&gt;" in page and "<old>" not in page
    assert '"enterprises": 1000' in as_json(diff) and diff.platform_moved == 200
    assert "say the same" in markdown(PolicyDiff("2026-10-31", []))
