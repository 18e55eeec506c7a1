"""The commands of a draw, as three offices use them on their own machines."""

from __future__ import annotations

import json
import sys
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from credit_pipeline.cli import app
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.warehouse import connect

sys.path.insert(0, str(Path(__file__).parents[1] / "inspection"))
from round_support import KL8, PLAN, City

OTHERS = ("audit_office", "justice_office")


class Offices:
    """Runs the command as one of the offices: each has its own folder of keys."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.patch = root, monkeypatch
        self.town = City(root / "office", parties=("credit_office", *OTHERS), source="KL8")
        for name in OTHERS:
            self.town.give_key(name, root / name)
        for name in ("landing_dir", "lake_dir", "policy_dir", "sources_file"):
            monkeypatch.setenv(f"CREDIT_{name.upper()}", str(getattr(self.town.settings, name)))

    def run(self, office: str, *arguments: str) -> Result:
        keys = self.town.settings.keys_dir if office == "credit_office" else self.root / office
        self.patch.setenv("CREDIT_KEYS_DIR", str(keys))
        result = CliRunner().invoke(app, ["draw", *arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    def listed(self) -> dict[str, object]:
        found = json.loads(self.run("credit_office", "list", "--json").stdout)
        assert isinstance(found, list) and len(found) == 1
        return dict(found[0])


@pytest.fixture
def offices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offices:
    return Offices(tmp_path, monkeypatch)


def test_three_offices_draw_a_round(offices: Offices) -> None:
    """From freeze to assignment, one party keeping its number back, with nothing but commands and handed-over files."""
    town, root = offices.town, offices.root
    public, handed = str(root / "public"), root / "handed"
    assert json.loads(offices.run("credit_office", "list", "--json").stdout) == []
    town.run()
    assert offices.listed()["waiting_for"] == "the commitment of audit_office, justice_office"
    offices.run("credit_office", "show", PLAN, "1", "--out", public)
    for name in OTHERS:
        keys = json.loads(offices.run(name, "party", "init", "--party", name, "--json").stdout)
        assert keys["signing_key"] == town.party(name).public().signing_key
        offices.run(name, "party", "commit", public, "--party", name, "--out", str(handed))
        offices.run("credit_office", "commit", PLAN, "1", str(handed / f"commitment-{name}.json"))
    with pytest.raises(BadInput, match="committed already"):
        offices.run(
            "audit_office", "party", "commit", public, "--party", "audit_office", "--out", str(handed)
        )
    assert town.run() == ["COMMITTED"]
    offices.run("credit_office", "show", PLAN, "1", "--out", public)
    with pytest.raises(BadInput, match=r"entropy.json: cannot be read"):
        offices.run(
            "audit_office", "party", "reveal", public, "--party", "audit_office", "--out", str(handed)
        )

    arguments = ("entropy", "KL8", "2026063", "--announced", "2026-03-03", "--numbers", KL8)
    written = Path(offices.run("credit_office", *arguments).stdout.splitlines()[0])
    assert written.read_text("utf-8").splitlines()[1] == f"KL8,2026063,2026-03-03,{KL8},"
    offices.run("credit_office", *arguments)
    with pytest.raises(BadInput, match="other numbers or another day"):
        offices.run("credit_office", *arguments[:-1], KL8.replace("01", "70"))
    town.announced = [("KL8", "2026063", date(2026, 3, 3), KL8)]
    assert town.run(date(2026, 3, 3)) == ["ENTROPY"]

    offices.run("credit_office", "show", PLAN, "1", "--out", public)
    offices.run("audit_office", "party", "reveal", public, "--party", "audit_office", "--out", str(handed))
    offices.run(
        "audit_office", "party", "open-escrow", public, "--party", "audit_office", "--of", "justice_office",
        "--out", str(handed),
    )  # fmt: skip
    result = offices.run("credit_office", "reveal", PLAN, "1", str(handed / "reveal-audit_office.json"))
    assert "justice_office" in result.stdout
    offices.run("credit_office", "reveal", PLAN, "1", str(handed / "reveal-justice_office.json"))
    outcome = json.loads(offices.run("credit_office", "advance", PLAN, "1", "--json").stdout)
    assert outcome["state"] == "ASSIGNED" and outcome["missing_assurances"] == [] and outcome["drawn"] > 0
    before = town.files()
    assert (
        json.loads(offices.run("credit_office", "advance", PLAN, "1", "--json").stdout)["state"] == "ASSIGNED"
    )
    assert town.files() == before
    line = offices.listed()
    assert {line["plan"], line["plan_id"]} == {PLAN} and line["round"] == 1 and line["state"] == "ASSIGNED"
    assert line["waiting_for"] == "" and line["problem"] == ""
    for private in (root / "public").iterdir():
        assert b"reveal" not in private.read_bytes() or private.suffix == ".age", private
    offices.run("credit_office", "close", PLAN, "1")
    assert offices.listed()["state"] == "CLOSED"


def test_a_round_with_open_visits_is_not_closed_by_mistake(offices: Offices, tmp_path: Path) -> None:
    """Prevents a round that is closed for good while its units are still inspecting."""
    town = City(tmp_path / "single")
    town.run()
    for name in ("landing_dir", "lake_dir", "policy_dir", "sources_file"):
        offices.patch.setenv(f"CREDIT_{name.upper()}", str(getattr(town.settings, name)))
    offices.town = town
    with connect(town.settings, town.settings.warehouse_path) as connection:
        connection.execute(
            f"create table inspection.inspection_progress as select 'random' as kind, '{PLAN}' as plan_id, 1 as round, "
            "unnest(['open', 'overdue', 'done']) as state"
        )
    with pytest.raises(CreditPipelineError, match=r"2 visit\(s\) have no result yet, 0 no inspectors"):
        offices.run("credit_office", "close", PLAN, "1")
    assert offices.listed()["state"] == "ASSIGNED"
    offices.run("credit_office", "close", PLAN, "1", "--even-if-open")
    assert offices.listed()["state"] == "CLOSED"


def test_list_names_a_round_that_was_edited(offices: Offices) -> None:
    offices.town.run()
    path = offices.town.office().store.directory(PLAN, 1) / "rule.json"
    path.write_bytes(path.read_bytes().replace(b"KL8", b"SSQ"))
    assert "rule.json: not the file that was recorded" in str(offices.listed()["problem"])
    with pytest.raises(CreditPipelineError, match=r"rule.json"):
        offices.run("credit_office", "show", PLAN, "1")


def test_lists_hold_no_grade_and_no_enterprise(offices: Offices) -> None:
    offices.town.run()
    shown = offices.run("credit_office", "show", PLAN, "1", "--json").stdout
    shown += offices.run("credit_office", "list").stdout
    assert not [row["uscc"] for row in offices.town.frame if row["uscc"] in shown]
    assert "platform_grade" not in shown and "ratio_bp" not in shown
