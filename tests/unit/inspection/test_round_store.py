"""The rounds on file: forward only, once only, and safe against a crash at any edge."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from round_support import DAY, KL8, PLAN, ROUND, City, assigned, frame_rows, roster_rows

from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.rule import read_rule
from credit_pipeline.inspection.draws.statements import entropy_statement
from credit_pipeline.inspection.rounds.office import RoundOffice
from credit_pipeline.inspection.rounds.record import RoundRecord, State
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.inspection.rounds.tables import live_tables


@pytest.fixture
def town(tmp_path: Path) -> City:
    return City(tmp_path)


def _given(town: City) -> tuple[dict[str, pa.Table], dict[str, Any]]:
    """The tables and the rule as a freeze takes them."""
    town.build()
    with duckdb.connect(str(town.settings.warehouse_path)) as connection:
        rule = read_rule(connection, PLAN, ROUND, DAY, town.office().party().public())
        return live_tables(connection, PLAN, ROUND), rule


def _freeze(store: RoundStore, city: City, given: Any, day: date = DAY) -> RoundRecord:
    salt = city.office().frame_salt(PLAN, ROUND)
    return store.freeze(PLAN, ROUND, given[0], day, given[1], frame_salt=salt)


def test_a_round_from_freeze_to_close(town: City) -> None:
    assert town.run() == ["ASSIGNED"]
    record = town.office().close(PLAN, ROUND)
    store = town.office().store
    expected = sum(row["quota"] for row in store.table(PLAN, ROUND, "quotas").to_pylist())
    assert (record.state, record.frame_size, record.drawn_count) == (
        State.CLOSED,
        len(frame_rows()),
        expected,
    )
    assert record.unit_sizes == {"A01": 16, "B02": 16} and record.step == 6
    files = town.files()
    assert set(record.files) == set(files) - {"round.json"}
    frame = store.table(PLAN, ROUND, "frame")
    assert frame.column_names[:3] == ["plan_id", "round", "frozen_date"]
    keys = list(zip(*(frame[name].to_pylist() for name in ("unit_id", "item_code", "uscc")), strict=True))
    assert keys == sorted(keys) and frame.schema.field("frozen_date").type == pa.date32()
    for path in store.directory(PLAN, ROUND).iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    assert town.audit.verify().ok


def test_the_frozen_roots_are_those_of_the_protocol(tmp_path: Path) -> None:
    town = assigned(tmp_path)
    store, salt = town.office().store, town.office().frame_salt(PLAN, ROUND)
    freeze = store.statement(PLAN, ROUND, "freeze")
    names = (
        "unit_id",
        "item_code",
        "uscc",
        "platform_grade",
        "region",
        "is_safety_related",
        "excluded_reason",
    )
    rows = sorted(tuple(row[name] for name in names) for row in frame_rows())
    leaves = [protocol.leaf_salt(salt, *row[:3]) + protocol.frame_leaf(*row) for row in rows]  # type: ignore[arg-type]
    assert freeze["frame_root"] == protocol.merkle_root(leaves)
    assert freeze["rule_sha256"] == protocol.rule_sha256(store.statement(PLAN, ROUND, "rule"))
    assert store.record(PLAN, ROUND).freeze_root == protocol.freeze_root(freeze)
    names = ("unit_id", "inspector_id", "is_leader", "region_prefix", "skills", "excluded_reason")
    roster = [tuple(row[name] for name in names) for row in roster_rows()]
    recusals = [tuple(row.values())[-3:] for row in store.table(PLAN, ROUND, "recusals").to_pylist()]
    assert freeze["roster_root"] == protocol.roster_root(salt, roster, recusals)


def test_every_step_made_again_is_a_no_op(tmp_path: Path) -> None:
    """Re-executing a run from the UI must change nothing, whatever the order of the rows it brings."""
    town = assigned(tmp_path)
    before, log = town.files(), town.audit.head()
    town.frame = town.frame[::-1]
    assert town.run() == ["ASSIGNED"]
    office = town.office()
    assert office.draw(PLAN, ROUND, date(2026, 4, 1)).state is State.ASSIGNED, "the day of the draw stays"
    assert office.commit(PLAN, ROUND) is not None
    store = office.store
    given = _given(town)
    assert _freeze(store, town, ({**given[0], "frame": given[0]["frame"].slice(0)}, given[1])).step == 5
    assert (town.files(), town.audit.head()) == (before, log)


def _changed(table: pa.Table, name: str, value: Any) -> pa.Table:
    rows = table.to_pylist()
    rows[-1][name] = value
    return pa.Table.from_pylist(rows, schema=table.schema)


def test_no_step_can_be_made_again_with_another_content(tmp_path: Path) -> None:
    """One draw per plan and round: nothing that went into it can be replaced once it stands."""
    town = assigned(tmp_path)
    before, office = town.files(), town.office()
    store, (tables, rule) = office.store, _given(town)
    waves = store.table(PLAN, ROUND, "assignments-001")
    other = _changed(waves, "inspector_id", "someone-else")
    others: dict[str, Callable[[], Any]] = {
        "frame": lambda: _freeze(store, town, (tables | {"frame": tables["frame"].slice(1)}, rule)),
        "grade": lambda: _freeze(
            store, town, (tables | {"frame": _changed(tables["frame"], "excluded_reason", "x")}, rule)
        ),
        "roster": lambda: _freeze(store, town, (tables | {"roster": tables["roster"].slice(1)}, rule)),
        "rule": lambda: _freeze(store, town, (tables, rule | {"title": "another"})),
        "day": lambda: _freeze(store, town, (tables, rule), date(2026, 3, 3)),
        "entropy": lambda: store.set_entropy(
            PLAN, ROUND, entropy_statement(PLAN, ROUND, [], "KL8:2026001:01")
        ),
        "reveal": lambda: store.draw(PLAN, ROUND, {"credit_office": "0" * 64}, DAY),
        "assignment": lambda: store.record_assignment(
            PLAN, ROUND, 1, other, frame_salt=office.frame_salt(PLAN, ROUND)
        ),
    }
    for name, step in others.items():
        with pytest.raises(CreditPipelineError):
            step()
        assert town.files() == before, name


def test_steps_cannot_be_skipped(tmp_path: Path) -> None:
    """Above all: no draw before the commitments and the entropy are on record."""
    city = City(tmp_path, parties=("credit_office", "audit_office"), source="KL8")
    office, store = city.office(), city.office().store
    with pytest.raises(BadInput, match="not begun"):
        office.existing(PLAN, ROUND)
    city.run()
    with pytest.raises(BadInput, match="no commitment yet of audit_office"):
        store.commit(PLAN, ROUND)
    with pytest.raises(BadInput, match="cannot become ENTROPY"):
        store.set_entropy(PLAN, ROUND, entropy_statement(PLAN, ROUND, [], "NONE"))
    with pytest.raises(BadInput, match="entropy is not set"):
        store.draw(PLAN, ROUND, {}, DAY)
    with pytest.raises(BadInput, match="cannot become CLOSED"):
        store.close(PLAN, ROUND)
    with pytest.raises(BadInput, match="there is no draw"):
        store.table(PLAN, ROUND, "draw")
    with pytest.raises(BadInput, match="between the draw and the close"):
        office.assign(PLAN, ROUND, None)


class _PowerCut(BaseException):
    """Not an Exception, so that no handler can make the crash look tidy."""


def _cut_at(monkeypatch: pytest.MonkeyPatch, edge: int, call: Callable[[], Any]) -> int:
    """Runs `call` with the power cut before the `edge`-th fsync or rename; the edges passed or cut."""
    seen = 0
    real_fsync, real_replace = os.fsync, Path.replace

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == edge:
            raise _PowerCut

    def fsync(descriptor: int) -> None:
        count()
        real_fsync(descriptor)

    def rename(path: Path, target: Path) -> Path:
        count()
        return real_replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(Path, "replace", rename)
        try:
            call()
        except _PowerCut:
            return seen
    return seen


def test_a_crash_at_any_edge_of_a_round_leaves_the_same_bytes_after_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before each fsync and each rename between freeze and assignment, log entries included: the next run ends
    with the very files and the very steps in the log that an undisturbed run gives. Every fifth edge; a file has three.
    """
    small = frame_rows(6)
    clean = City(tmp_path / "clean", frame=small)
    clean.build()
    template = City(tmp_path / "template", frame=small)
    template.build()
    total = _cut_at(monkeypatch, 10**6, lambda: clean.run(build=False))
    assert total > 40
    for edge in range(1, total + 1, 5):
        root = tmp_path / f"edge{edge}"
        shutil.copytree(tmp_path / "template", root)
        city = City(root, frame=small)
        assert _cut_at(monkeypatch, edge, lambda city=city: city.run(build=False)) == edge
        assert city.run(build=False) == ["ASSIGNED"]
        assert city.files() == clean.files(), edge
        assert city.events() == clean.events(), edge
        assert city.office().record(PLAN, ROUND) == clean.office().record(PLAN, ROUND)
        shutil.rmtree(root)


def test_a_crash_between_freeze_and_rename_freezes_nothing(
    town: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models take draws/*/*/frame.parquet for frozen: a half-made folder must not match."""
    town.build()
    edge = 0
    while not town.office().store.exists(PLAN, ROUND):
        assert not list(town.settings.draws_dir.glob("*/*/frame.parquet")), edge
        edge += 1
        _cut_at(monkeypatch, edge, lambda: town.run(build=False))
    assert edge > 10


def test_a_draw_from_altered_files_is_refused(tmp_path: Path) -> None:
    """The files, not the tables in memory, are what was committed to."""
    city = City(tmp_path, source="KL8")
    city.run()
    path = city.office().store.directory(PLAN, ROUND) / "frame.parquet"
    kept = path.read_bytes()
    city.announced = [("KL8", "2026063", date(2026, 3, 3), KL8)]
    for content in (kept[:-1] + b"x", None):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(IntegrityError, match=r"frame.parquet: not the file that was recorded"):
            city.run(date(2026, 3, 3))
    path.write_bytes(kept)
    assert city.run(date(2026, 3, 3)) == ["ASSIGNED"]


def test_neither_seed_nor_reveal_is_in_the_lake(tmp_path: Path) -> None:
    """Public lists and the seed together bound every enterprise's grade."""
    city = City(tmp_path, parties=("credit_office", "audit_office"), source="KL8")
    city.run()
    city.commit_others()
    city.announced = [("KL8", "2026063", date(2026, 3, 3), KL8)]
    city.run(date(2026, 3, 3))
    city.reveal_others(["audit_office"])
    assert city.run(date(2026, 3, 3)) == ["ASSIGNED"]
    office = city.office()
    record = office.existing(PLAN, ROUND)
    secrets = [office.seed(record), *office.reveals(record).values()]
    kept = [path for path in city.settings.lake_dir.rglob("*") if path.is_file()]
    assert len(kept) > 10
    for path in kept:
        content = path.read_bytes()
        assert not any(secret.encode() in content for secret in secrets), path


def test_the_log_names_no_enterprise(tmp_path: Path) -> None:
    """The log travels in every extract."""
    town = assigned(tmp_path)
    town.now += timedelta(days=1)
    office = town.office()
    row = office.store.drawn(PLAN, ROUND).table.to_pylist()[0]
    office.top_up(
        PLAN, ROUND, unit_id=row["unit_id"], uscc=row["uscc"], reason="revoked", event_id="E1",
        event_date="2026-03-03", approvers=["a", "b"],
    )  # fmt: skip
    text = town.settings.audit_log_path.read_text("utf-8")
    assert not [one["uscc"] for one in frame_rows() if one["uscc"] in text]
    assert town.events()[-1] == "round_topped_up"


def test_abort_needs_reason_and_approvers_and_ends_the_round(tmp_path: Path) -> None:
    """After the entropy the result could be known: one person alone must not be able to throw it away."""
    city = City(tmp_path, source="KL8")
    city.run()
    office = city.office()
    with pytest.raises(BadInput, match="1 different approver"):
        office.abort(PLAN, ROUND, "wrong frame", [" "])
    other = assigned(tmp_path / "other")
    for approvers in (["a"], ["a", "A ", "b"]):
        with pytest.raises(BadInput, match="3 different approver"):
            other.office().abort(PLAN, ROUND, "wrong frame", approvers)
    assert other.office().abort(PLAN, ROUND, "wrong frame", ["a", "b", "c"]).aborted_from is State.ASSIGNED
    assert office.abort(PLAN, ROUND, "wrong frame", ["a"]).state is State.ABORTED
    before = city.files()
    assert office.abort(PLAN, ROUND, "wrong frame", ["a"]).state is State.ABORTED
    with pytest.raises(IntegrityError, match="for another reason"):
        office.abort(PLAN, ROUND, "another", ["a"])
    city.announced = [("KL8", "2026063", date(2026, 3, 3), KL8)]
    assert city.run(date(2026, 3, 3)) == ["ABORTED"] and city.files() == before
    assert other.run() == ["ABORTED"]
    with duckdb.connect(str(other.settings.warehouse_path)) as connection:
        counts = connection.execute("select count(*) from inspection.inspection_draws").fetchall()
    assert counts == [(0,)], "an aborted round sends nobody anywhere"


def test_malformed_tables_are_not_frozen(town: City) -> None:
    tables, rule = _given(town)
    frame, quotas, store = tables["frame"], tables["quotas"], town.office().store
    wrong: list[tuple[str, pa.Table, str]] = [
        ("frame", frame.drop_columns(["region"]), "region"),
        ("frame", _changed(frame, "uscc", None), "empty value"),
        ("frame", pa.concat_tables([frame, frame.slice(0, 1)]), "more than once"),
        ("frame", _changed(frame, "item_code", "lower"), "item_code is malformed"),
        ("frame", frame.append_column("plan_id", pa.array(["other"] * frame.num_rows)), "plan_id"),
        ("quotas", _changed(quotas, "stratum_size", 99), "stratum_size"),
        ("quotas", _changed(quotas, "quota", 99), "greater"),
        ("quotas", _changed(quotas, "target", 99), "arithmetic"),
        ("quotas", _changed(quotas, "rounds_due", 2), "out of its range"),
        ("quotas", _changed(quotas, "rounding", "up"), "rounding"),
        ("quotas", quotas.slice(2), "has no quota"),
        ("quotas", pa.concat_tables([quotas, quotas.slice(0, 1)]), "more than one quota"),
        ("roster", _changed(tables["roster"], "inspector_id", "a b"), "inspector_id"),
    ]
    for name, table, message in wrong:
        with pytest.raises(BadInput, match=message):
            _freeze(store, town, (tables | {name: table}, rule))
        assert not store.exists(PLAN, ROUND)
    with pytest.raises(BadInput, match="floats"):
        _freeze(store, town, (tables, rule | {"ratio": 0.05}))


def test_a_moved_record_is_refused(tmp_path: Path) -> None:
    town = assigned(tmp_path)
    store = town.office().store
    shutil.copytree(store.directory(PLAN, 1), store.directory(PLAN, 2))
    with pytest.raises(IntegrityError, match="it was moved"):
        store.record(PLAN, 2)
    (store.directory(PLAN, 1) / "round.json").write_text("{}")
    with pytest.raises(IntegrityError, match="not the record of a round"):
        store.record(PLAN, 1)


def test_a_record_survives_its_json(tmp_path: Path) -> None:
    town = assigned(tmp_path)
    record = town.office().existing(PLAN, ROUND)
    aborted = replace(record, state=State.ABORTED, aborted_from=State.DRAWN, unassigned_units=("A01",))
    for one in (record, aborted):
        assert RoundRecord.from_json(one.to_json(), Path("x")) == one


def test_the_office_shows_no_key(town: City) -> None:
    office = RoundOffice(town.settings)
    assert office.party().reveal(PLAN, ROUND, "0" * 64) not in repr(office.party())
