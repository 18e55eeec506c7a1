"""Attempts to rig a draw, each refused with a message that names it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from round_support import (
    DAY,
    ISSUE,
    KL8,
    NEXT,
    PARTIES,
    PLAN,
    ROUND,
    City,
    assigned,
    frame_rows,
    frozen,
    roster_rows,
    waiting_for_reveals,
)

from credit_pipeline.audit.log import canonical_json, sha256_hex
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws.entropy import Announcement
from credit_pipeline.inspection.rounds.record import RoundRecord
from credit_pipeline.warehouse import connect


def _edit(town: City, file: str, content: bytes) -> None:
    """The edit of somebody who knows the format: the file and its digest in round.json together."""
    directory = town.office().store.directory(PLAN, ROUND)
    (directory / file).write_bytes(content)
    path = directory / "round.json"
    record = json.loads(path.read_bytes())
    record["files"][file] = sha256_hex(content)
    path.write_bytes(canonical_json(record) + b"\n")


def test_a_frame_edited_together_with_its_record_is_refused(tmp_path: Path) -> None:
    """The friend who is dropped from the frozen list, by somebody who mends every digest in the folder."""
    town = waiting_for_reveals(tmp_path)
    path = town.office().store.directory(PLAN, ROUND) / "frame.parquet"
    other = tmp_path / "frame.parquet"
    pq.write_table(pq.read_table(path).slice(1), other)
    _edit(town, "frame.parquet", other.read_bytes())
    with pytest.raises(
        IntegrityError, match=r"round.json says something else than the audit log on file frame.parquet"
    ):
        town.run(NEXT)
    with pytest.raises(IntegrityError, match=r"file frame.parquet"):
        town.office().inspect(PLAN, ROUND)


@pytest.mark.parametrize(
    "name", ["rule.json", "quotas.parquet", "commitment-audit_office.json", "entropy.json"]
)
def test_every_frozen_file_is_bound_by_the_log(tmp_path: Path, name: str) -> None:
    town = waiting_for_reveals(tmp_path)
    _edit(town, name, b"{}")
    with pytest.raises(IntegrityError, match=f"file {name}"):
        town.office().existing(PLAN, ROUND)


def test_an_edited_record_is_refused(tmp_path: Path) -> None:
    town = waiting_for_reveals(tmp_path)
    path = town.office().store.directory(PLAN, ROUND) / "round.json"
    kept = json.loads(path.read_bytes())
    for field, value in (
        ("entropy", "KL8:2026064:01"),
        ("eligible_count", 3),
        ("commitments", [["a", "0" * 64]]),
    ):
        path.write_bytes(canonical_json(kept | {field: value}) + b"\n")
        with pytest.raises(IntegrityError, match=f"audit log on {field}"):
            town.run(NEXT)
    path.write_bytes(canonical_json(kept) + b"\n")
    town.office().existing(PLAN, ROUND)


def test_a_log_without_its_tail_is_refused(tmp_path: Path) -> None:
    """Cutting the log and the folder's own record would make a second draw look like the first."""
    town = assigned(tmp_path)
    path = town.settings.audit_log_path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))
    with pytest.raises(IntegrityError, match="The log lost its tail"):
        town.run(build=False)
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="the audit log knows nothing of it"):
        town.run(build=False)


def test_one_cut_line_is_found_by_a_checkpoint(tmp_path: Path) -> None:
    """One missing event looks like a crash; the newest checkpoint tells that it was there."""
    town = assigned(tmp_path)
    size, head = town.audit.head()
    folder = town.settings.audit_dir / "checkpoints"
    folder.mkdir()
    (folder / f"{size}.json").write_text(json.dumps({"size": size, "head": head}))
    path = town.settings.audit_log_path
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(IntegrityError, match="a witness saw"):
        town.run(build=False)
    (folder / f"{size}.json").unlink()
    town.run(build=False)
    assert town.events()[-1] == "round_assigned", (
        "without a witness the step that a crash left is logged again"
    )


def test_a_torn_line_does_not_stop_the_office(tmp_path: Path) -> None:
    """A crash in the middle of an append is mended by the next one, not taken for an attack."""
    town = frozen(tmp_path)
    with town.settings.audit_log_path.open("ab") as file:
        file.write(b'{"details":{"pl')
    town.commit_others()
    assert town.run() == ["COMMITTED"]
    assert town.audit.verify().ok


def test_a_second_draw_in_the_log_is_refused(tmp_path: Path) -> None:
    town = assigned(tmp_path)
    drawn = next(record for record in town.audit.records() if record.event == "round_drawn")
    town.audit.append("round_drawn", "inspection", None, **drawn.details)
    with pytest.raises(IntegrityError, match="round_drawn 2 times; a round is drawn once"):
        town.run(build=False)


def test_a_deleted_round_cannot_be_drawn_anew(tmp_path: Path) -> None:
    """Throwing the folder away is the simplest way to a second throw of the dice."""
    town = assigned(tmp_path)
    directory = town.office().store.directory(PLAN, ROUND)
    directory.rename(tmp_path / "away")
    with pytest.raises(IntegrityError, match="is gone; restore it"):
        town.run()
    assert not directory.exists()


def test_a_record_set_back_is_refused(tmp_path: Path) -> None:
    """Last week's copy of round.json would let the draw be made again with another number."""
    town = waiting_for_reveals(tmp_path)
    path = town.office().store.directory(PLAN, ROUND) / "round.json"
    content = json.loads(path.read_bytes())
    content |= {"state": "COMMITTED", "step": 2, "last_event": "round_committed", "entropy": None}
    del content["files"]["entropy.json"]
    path.write_bytes(canonical_json(content) + b"\n")
    RoundRecord.from_json(path.read_bytes(), path)
    with pytest.raises(IntegrityError, match="The record was set back"):
        town.run(NEXT)


def test_a_policy_changed_between_freeze_and_draw_has_no_effect(tmp_path: Path) -> None:
    """Register, ratios, parties, reasons, source and roster of the day of the draw are not those of the freeze."""
    cities = []
    for name in ("honest", "rigged"):
        town = frozen(tmp_path / name)
        town.commit_others()
        town.announced = [ISSUE]
        town.run(NEXT)
        town.reveal_others(PARTIES[1:])
        if name == "rigged":
            town.parties, town.source, town.fallback = ("credit_office",), "NONE", ""
            town.frame, town.roster = frame_rows(5), roster_rows(each=3)
            town.announced = [("KL8", "2026063", NEXT, KL8.replace("01", "21"))]
        assert town.run(NEXT) == ["ASSIGNED"]
        cities.append(town)
    honest, rigged = (town.files() for town in cities)
    for name in ("draw.parquet", "assignments-001.parquet", "entropy.json", "rule.json"):
        assert honest[name] == rigged[name], name


def test_a_later_issue_cannot_be_waited_for(tmp_path: Path) -> None:
    """Whoever may choose among issues grinds the draw: the first one after the commitments counts, whatever order
    they are typed in.
    """
    town = City(tmp_path, parties=PARTIES, source="KL8")
    town.announced = [("KL8", "2026062", date(2026, 3, 2), KL8.replace("01", "30"))]
    town.run()
    town.commit_others()
    assert town.run() == ["COMMITTED"], (
        "an issue of the day of the commitments may have been known before them"
    )
    town.announced += [("KL8", "2026064", date(2026, 3, 4), KL8.replace("01", "31")), ISSUE]
    assert town.run(date(2026, 3, 4)) == ["ENTROPY"]
    assert town.office().existing(PLAN, ROUND).entropy == f"KL8:2026063:{KL8}"
    with pytest.raises(IntegrityError, match="entropy cannot change"):
        later = Announcement("KL8", "2026065", date(2026, 3, 5), KL8.replace("01", "32"))
        town.office().set_entropy(PLAN, ROUND, [later], date(2026, 3, 9))


def test_a_reveal_before_the_entropy_is_not_taken(tmp_path: Path) -> None:
    town = frozen(tmp_path)
    town.commit_others()
    town.run()
    office = town.office()
    rule, freeze = (office.store.statement(PLAN, ROUND, name) for name in ("rule", "freeze"))
    commitment = office.store.statement(PLAN, ROUND, "commitment-audit_office")
    with pytest.raises(BadInput, match="a reveal before it"):
        town.party("audit_office").reveal_file(rule, freeze, commitment, {})
    with pytest.raises(BadInput, match="no reveal is taken before the entropy"):
        office.keep_reveal(PLAN, ROUND, {"party": "audit_office"})


def test_a_withheld_reveal_is_opened_from_its_escrow(tmp_path: Path) -> None:
    """A party that dislikes what it expects cannot stop the draw, nor change it."""
    seeds = []
    for name, opens in (("given", False), ("withheld", True)):
        town = waiting_for_reveals(tmp_path / name)
        town.reveal_others(["audit_office"])
        office = town.office()
        assert "justice_office" in office.waiting_for(office.existing(PLAN, ROUND))
        if opens:
            rule, freeze, commitment, entropy = (
                office.store.statement(PLAN, ROUND, one)
                for one in ("rule", "freeze", "commitment-justice_office", "entropy")
            )
            escrow = office.store.file(office.existing(PLAN, ROUND), "escrow-justice_office.age")
            found = town.party("audit_office").open_escrow(rule, freeze, commitment, escrow, entropy)
            assert office.keep_reveal(PLAN, ROUND, found) == []
        else:
            town.reveal_others(["justice_office"])
        assert town.run(NEXT) == ["ASSIGNED"]
        seeds.append(office.existing(PLAN, ROUND).seed_commitment)
    assert seeds[0] == seeds[1] is not None


def test_the_office_alone_cannot_say_which_issue_counted(tmp_path: Path) -> None:
    """It can open all escrows; if that were enough it could draw from any lottery issue. A party's own reveal then
    takes the place of the opened one.
    """
    town = waiting_for_reveals(tmp_path)
    office = town.office()
    rule, freeze, entropy = (
        office.store.statement(PLAN, ROUND, name) for name in ("rule", "freeze", "entropy")
    )
    for name in PARTIES[1:]:
        commitment = office.store.statement(PLAN, ROUND, f"commitment-{name}")
        escrow = office.store.file(office.existing(PLAN, ROUND), f"escrow-{name}.age")
        waits = office.keep_reveal(
            PLAN, ROUND, office.party().open_escrow(rule, freeze, commitment, escrow, entropy)
        )
    assert waits == ["a party other than credit_office (its own, or an escrow opened by it)"]
    assert town.run(NEXT) == ["ENTROPY"]
    with pytest.raises(BadInput, match="a party other than credit_office"):
        office.draw(PLAN, ROUND, NEXT)
    town.reveal_others([PARTIES[1]])
    assert town.run(NEXT) == ["ASSIGNED"]


def test_a_reveal_for_another_issue_is_not_taken(tmp_path: Path) -> None:
    town = waiting_for_reveals(tmp_path)
    office = town.office()
    commitment = office.store.statement(PLAN, ROUND, "commitment-audit_office")
    party = town.party("audit_office")
    number = party.reveal(PLAN, ROUND, commitment["freeze_root"])
    with pytest.raises(
        IntegrityError, match="is signed for KL8:2026064:01, the entropy of this round is KL8:2026063"
    ):
        office.keep_reveal(PLAN, ROUND, party.signed_reveal(commitment, "KL8:2026064:01", number))
    assert "audit_office" in office.waiting_for(office.existing(PLAN, ROUND))


def test_a_replay_draws_nothing(tmp_path: Path) -> None:
    town = City(tmp_path)
    town.build()
    assert town.run(is_replay=True, build=False) == [] and town.files() == {} and town.events() == []


@pytest.mark.parametrize(
    "change", [{"approvers": ["li-na", "li\u200b-na"]}, {"event_id": "\u200b"}, {"event_id": "  "}]
)
def test_nobody_approves_under_two_names_that_look_the_same(tmp_path: Path, change: dict[str, Any]) -> None:
    town = assigned(tmp_path)
    office = town.office()
    unit, uscc = office.store.drawn(PLAN, ROUND).visits()[0]
    facts = {"event_id": "registry-1", "approvers": ["li-na", "zhang-wei"]} | change
    with pytest.raises(BadInput, match="invisible character"):
        office.top_up(
            PLAN, ROUND, unit_id=unit, uscc=uscc, reason="deregistered", event_date="2026-03-03", **facts
        )


def test_a_clock_set_back_stops_the_office(tmp_path: Path) -> None:
    """The step would be made, and no verifier would ever accept the round."""
    town = waiting_for_reveals(tmp_path)
    town.reveal_others(PARTIES[1:])
    before = town.files()
    town.now = datetime(2026, 2, 1, tzinfo=UTC)
    with pytest.raises(IntegrityError, match="set the clock right first"):
        town.run(NEXT)
    assert town.files() == before


def test_a_draw_is_known_from_its_day(tmp_path: Path) -> None:
    """A replay of the days between freeze and draw must not find whom the later draw hit."""
    town = waiting_for_reveals(tmp_path)
    town.reveal_others(PARTIES[1:])
    assert town.run(NEXT) == ["ASSIGNED"]
    assert set(town.office().store.table(PLAN, ROUND, "draw")["drawn_date"].to_pylist()) == {NEXT}
    for day, is_there in ((DAY, False), (NEXT, True)):
        town.build(day)
        town.run(day, is_replay=True, build=False)
        with connect(town.settings, town.settings.warehouse_path, read_only=True) as connection:
            for table in ("inspection_draws", "inspector_assignments"):
                rows = connection.execute(f"select count(*) from inspection.{table}").fetchone()
                assert rows is not None and bool(rows[0]) is is_there, (day, table)


def test_several_plans_go_each_their_own_way(tmp_path: Path) -> None:
    plans = ("P2026FOOD", "P2026GENERAL")
    town = City(tmp_path, plans=plans)
    assert town.run() == ["ASSIGNED", "ASSIGNED"]
    office = town.office()
    seeds = {office.seed(office.existing(plan, ROUND)) for plan in plans}
    assert len(seeds) == 2 and town.events("P2026FOOD") == town.events("P2026GENERAL")
