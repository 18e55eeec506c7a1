"""Two daily runs, a unit's receipts between them: what the log says of each stage, verified, and a draw followed to its files."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from credit_pipeline.audit.events import RUN_FACTS, unknown_parts
from credit_pipeline.audit.log import AuditLog
from tests_support import Place, make_city, make_place

FIRST_DAY = "2026-10-31"
HONEST, WRONG = "411300MS", "411330MS"


def _receipt(place: Place, unit: str, **wrong: object) -> dict[str, object]:
    path = place.lake / "extracts" / unit / "manifest.json"
    manifest = json.loads(path.read_bytes())
    checkpoint = manifest["checkpoint"]
    return {
        "unit_id": unit,
        "release_seq": manifest["release_seq"],
        "manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "log_size": checkpoint["size"],
        "log_head": checkpoint["head"],
        "received_date": "2026-10-31",
    } | wrong


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A city after two runs; an honest receipt and one that contradicts the log came in between."""
    place = make_city(make_place(tmp_path_factory.mktemp("trail")), enterprises=400, days=2)
    place.run(FIRST_DAY)
    shutil.copy(place.lake / "extracts" / HONEST / "manifest.json", place.root / "kept-by-the-unit.json")
    receipts = [_receipt(place, HONEST), _receipt(place, WRONG, log_head="ab" * 32)]
    folder = place.landing / "extract_receipts" / "2026-11-01"
    folder.mkdir(parents=True)
    text = "\n".join([",".join(receipts[0]), *(",".join(map(str, row.values())) for row in receipts)])
    (folder / "回执.csv").write_text(text + "\n", encoding="utf-8-sig")
    place.run()
    return place


def _records(place: Place) -> list[Any]:
    return list(AuditLog(place.lake / "audit" / "log.jsonl").records())


def _verify(place: Place, *options: str) -> tuple[int, dict[str, Any]]:
    done = place.command("audit", "verify", "--lake", str(place.lake), "--json", *options, check=False)
    return done.returncode, json.loads(done.stdout)


def test_every_record_is_in_the_catalogue(office: Place) -> None:
    """Prevents an event or a detail that nobody can look up."""
    assert [part for record in _records(office) for part in unknown_parts(record.event, record.details)] == []


def test_every_stage_tells_what_ran(office: Place) -> None:
    """Prevents a stage whose code, policy, model, inputs or outputs cannot be told afterwards."""
    records = _records(office)
    runs = list(dict.fromkeys(record.run_id for record in records))
    assert len(runs) == 2
    for run in runs:
        own = {record.event: record for record in records if record.run_id == run}
        started = own["run_started"]
        assert started.seq == min(record.seq for record in records if record.run_id == run)
        assert started.details["launched_by"] == {"started_by": "command"} and started.details["os_user"]
        staged = [
            own[event]
            for event in (
                "feeds_read", "warehouse_built", "grades_stored", "rounds_drawn", "inspectors_assigned", "extracts_finished",
                "day_finished",
            )
        ]  # fmt: skip
        assert {record.stage for record in staged} == {
            "feeds",
            "transform",
            "grading",
            "inspection",
            "extracts",
            "audit",
        }
        for record in staged:
            assert set(record.details) >= RUN_FACTS and all(record.details[name] for name in RUN_FACTS)
        assert len({record.details["code"] for record in staged}) == 1
        built = own["warehouse_built"].details
        assert built["inputs"]["ledger_sha256"] == own["feeds_read"].details["ledger_sha256"]
        assert built["rows"]["grading.enterprise_grades"] > 300
        assert len(built["outputs"]) == 5 and all(len(digest) == 64 for digest in built["outputs"].values())
        assert own["grades_stored"].details["model"] == built["model"]


def test_an_honest_lake_verifies_but_for_the_wrong_receipt(office: Place) -> None:
    """Prevents a receipt that contradicts the log from passing, and an honest log from failing without it."""
    code, found = _verify(office, "--witness", str(office.root / "kept-by-the-unit.json"))
    assert code == 1
    [finding] = found["findings"]
    assert finding["kind"] == "rewritten" and f"receipt of unit {WRONG}" in finding["what"]
    assert HONEST not in finding["what"]
    assert found["outside_witnesses"] == 3 and found["confirmed_from_outside"] == _size_seen(office)


def _size_seen(place: Place) -> int:
    return int(json.loads((place.root / "kept-by-the-unit.json").read_bytes())["checkpoint"]["size"])


def test_contradiction_is_an_alert_that_names_the_unit(office: Place) -> None:
    """Prevents a contradiction that stands in a table nobody reads; the day itself goes on."""
    alerts = [record for record in _records(office) if record.event == "extracts_need_attention"]
    assert [record.details["findings"] for record in alerts] == [{"contradicting_receipts": [f"{WRONG}: 1"]}]
    assert [record.details["as_of_date"] for record in alerts] == ["2026-11-01"]


def test_a_cut_lake_is_shown_by_the_manifest_the_unit_kept(office: Place, tmp_path: Path) -> None:
    """Prevents a lake set back to before a release: what a unit took away is enough."""
    lake = tmp_path / "lake"
    shutil.copytree(office.lake / "audit", lake / "audit")
    log, seen = lake / "audit" / "log.jsonl", _size_seen(office)
    log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[: seen - 3]))
    shutil.rmtree(lake / "audit" / "checkpoints")
    cut = Place(office.root, office.landing, lake, environment=office.environment)
    assert _verify(cut)[0] == 0
    code, found = _verify(cut, "--witness", str(office.root / "kept-by-the-unit.json"))
    kinds = {finding["kind"] for finding in found["findings"]}
    assert code == 1 and "truncated" in kinds


def test_show_filters_and_speaks_both_languages(office: Place) -> None:
    """Prevents a log that only its programmer can read."""

    def show(*options: str) -> str:
        return office.command("audit", "show", "--lake", str(office.lake), *options).stdout

    assert "轮次已抽取" in show("--stage", "inspection") and "round_drawn" in show(
        "--event", "round_drawn", "--lang", "en"
    )
    published = json.loads(show("--unit", HONEST, "--event", "extract_published", "--json"))
    assert [record["details"]["release_seq"] for record in published] == [1, 2]
    assert json.loads(show("--since", "2999-01-01", "--json")) == []
    assert (
        office.command("audit", "show", "--lake", str(office.lake), "--event", "tea", check=False).returncode
        == 2
    )


def test_a_past_draw_is_followed_down_to_its_files(office: Place) -> None:
    """Prevents a drawn enterprise of which nobody can say why: the draw of day 1 is followed from day 2."""
    [(plan, round_, uscc, unit)] = office.query(
        """
        select d.plan_id, d.round, d.uscc, min(d.unit_id) from inspection.inspection_draws as d
        join grading.grade_evidence as e using (uscc)
        where d.frozen_date = date '2026-10-31' and e.feed = 'penalties'
        group by all order by count(*) desc, d.uscc limit 1
        """
    )
    arguments = ("audit", "trace", plan, str(round_), uscc, "--unit", unit, "--lake", str(office.lake))
    answer = json.loads(office.command(*arguments, "--json").stdout)
    assert answer["reproduced"] is True
    rows = answer["rows"]
    files = {
        record.seq: record.details["files"] for record in _records(office) if record.event == "feed_ingested"
    }
    behind = [row for row in rows if row["source_file"]]
    assert len(behind) > 5 and {row["unit_id"] for row in rows} == {unit}
    for row in rows:
        assert row["drawn_as"] == "drawn" and row["rank"] <= row["quota"] <= row["stratum_size"]
        assert row["frozen_seq"] < row["drawn_seq"] and row["built_seq"] < row["frozen_seq"]
        assert row["unit_grade"] == row["frozen_grade"] or row["day_grade"] == row["frozen_grade"]
    for row in behind:
        path = office.landing / row["source_file"].split("!")[0]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert row["file_sha256"] == digest and row["ingest_date"] == FIRST_DAY
        assert digest in {file["sha256"] for file in files[row["ingest_seq"]]}
    told = office.command(*arguments).stdout
    assert "rank" in told and "they are the stored ones" in told
    assert "read_parquet" in office.command(*arguments, "--sql").stdout


def test_who_was_not_drawn_is_told_why(office: Place) -> None:
    """Prevents an empty answer: not in the frame, or in it and excluded."""
    lake = ("--lake", str(office.lake))
    [(plan, round_)] = office.query("select plan_id, round from inspection.inspection_draws limit 1")
    unknown = office.command("audit", "trace", plan, str(round_), "91410000000000000X", *lake, check=False)
    assert unknown.returncode == 2 and "no unit had it in its frame" in unknown.stderr
