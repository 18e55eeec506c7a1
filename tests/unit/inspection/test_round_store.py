"""The frozen folder of a round: forward only, once only, and safe against a crash at any edge."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection import protocol, round_store
from credit_pipeline.inspection.round_store import RoundRecord, RoundStore, State

PLAN, ROUND = "2026-NY-01", 1
KEY = bytes(range(32))
DAY = date(2026, 3, 1)
RULE = {"rounding": "ceil", "ratio_bp": {"A": 300, "B": 500}, "title": "双随机抽查"}
USCCS = [f"914113000000000{number:02d}X" for number in range(12)]


def _frame(**changes: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "unit_id": ["B02"] * 4 + ["A01"] * 8,
        "uscc": USCCS[::-1],
        "platform_grade": ["B"] * 10 + ["C", "A"],
        "is_safety_related": [False] * 12,
        "excluded_reason": [""] * 11 + ["no_proactive_inspection"],
    }
    return pa.table(columns | changes)


def _quotas(**changes: Any) -> pa.Table:
    columns: dict[str, Any] = {
        "unit_id": ["A01", "A01", "B02"],
        "platform_grade": ["B", "C", "B"],
        "stratum_size": [6, 1, 4],
        "ratio_bp": [5_000, 10_000, 2_500],
        "rounding": ["ceil"] * 3,
        "quota": [3, 1, 1],
        "basis": ["policy"] * 3,
    }
    return pa.table(columns | changes)


def _reveals() -> dict[str, str]:
    return {"credit_office": protocol.party_reveal(KEY, PLAN, ROUND)}


def _freeze(
    store: RoundStore, frame: pa.Table | None = None, quotas: pa.Table | None = None, **changes: Any
) -> RoundRecord:
    given: dict[str, Any] = {"frozen_date": DAY, "rule": RULE} | changes
    return store.freeze(
        PLAN,
        ROUND,
        _frame() if frame is None else frame,
        _quotas() if quotas is None else quotas,
        given["frozen_date"],
        given["rule"],
        frame_salt=protocol.round_salt(KEY, PLAN, ROUND),
    )


def _commit(store: RoundStore) -> RoundRecord:
    return store.commit(
        PLAN, ROUND, [(party, protocol.commitment(PLAN, ROUND, party, r)) for party, r in _reveals().items()]
    )


def _entropy(store: RoundStore) -> RoundRecord:
    return store.set_entropy(PLAN, ROUND, protocol.NO_ENTROPY)


def _draw(store: RoundStore) -> RoundRecord:
    return store.draw(PLAN, ROUND, _reveals())


def _assign(store: RoundStore) -> RoundRecord:
    tickets = store.table(PLAN, ROUND, "draw")
    drawn = [row for row in tickets.to_pylist() if row["is_drawn"] and row["unit_id"] == "A01"]
    rows = [
        {
            "unit_id": row["unit_id"],
            "uscc": row["uscc"],
            "inspector_id": name,
            "role": role,
            "position": position,
        }
        for row in drawn
        for position, (name, role) in enumerate((("I1", "leader"), ("I2", "member")), start=1)
    ]
    return store.record_assignment(PLAN, ROUND, pa.Table.from_pylist(rows), ["B02"])


def _close(store: RoundStore) -> RoundRecord:
    return store.close(PLAN, ROUND)


STEPS: list[tuple[State, Callable[[RoundStore], RoundRecord]]] = [
    (State.FRAME_FROZEN, _freeze),
    (State.COMMITTED, _commit),
    (State.ENTROPY, _entropy),
    (State.DRAWN, _draw),
    (State.ASSIGNED, _assign),
    (State.CLOSED, _close),
]


def _run(store: RoundStore, until: State = State.CLOSED) -> RoundStore:
    for state, step in STEPS:
        assert step(store).state is state
        if state is until:
            break
    return store


def _bytes(store: RoundStore) -> dict[str, bytes]:
    directory = store.directory(PLAN, ROUND)
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}


@pytest.fixture
def store(tmp_path: Path) -> RoundStore:
    return RoundStore(tmp_path / "draws")


def test_a_round_from_freeze_to_close(store: RoundStore) -> None:
    assert store.state(PLAN, ROUND) is None
    record = _run(store).record(PLAN, ROUND)
    assert (record.state, record.frame_size, record.eligible_count, record.drawn_count) == (
        State.CLOSED,
        12,
        11,
        5,
    )
    assert record.unit_sizes == {"A01": 8, "B02": 4} and record.unassigned_units == ("B02",)
    assert set(_bytes(store)) == {
        "frame.parquet",
        "quotas.parquet",
        "draw.parquet",
        "assignments.parquet",
        "round.json",
    }
    assert set(record.files) == set(_bytes(store)) - {"round.json"}
    frame = store.table(PLAN, ROUND, "frame")
    assert frame.column_names[:3] == ["plan_id", "round", "frozen_date"]
    assert frame.schema.field("frozen_date").type == pa.date32()
    assert frame["uscc"].to_pylist() == sorted(USCCS[:8]) + sorted(USCCS[8:])
    assert store.records() == [record]
    for path in store.directory(PLAN, ROUND).iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_frozen_root_is_that_of_the_protocol(store: RoundStore) -> None:
    salt = protocol.round_salt(KEY, PLAN, ROUND)
    record = _freeze(store)
    names = ("unit_id", "uscc", "platform_grade", "excluded_reason")
    rows = sorted(zip(*(_frame()[name].to_pylist() for name in names), strict=True))
    leaves = (protocol.leaf_salt(salt, row[1]) + protocol.frame_leaf(*row) for row in rows)
    assert record.frame_root == protocol.merkle_root(leaves)
    changed = [
        _frame().slice(0, 11),
        _frame(excluded_reason=["x"] + [""] * 10 + ["no_proactive_inspection"]),
        _frame(platform_grade=["C"] + ["B"] * 9 + ["C", "A"]),
    ]
    for frame in changed:
        assert frame.schema == _frame().schema
        with pytest.raises((BadInput, IntegrityError)):
            _freeze(store, frame)


def test_every_step_made_again_is_a_no_op(store: RoundStore) -> None:
    """Re-executing a run from the UI must change nothing, whatever the order of the rows it brings."""
    _run(store)
    before = _bytes(store)
    for state, step in STEPS:
        assert step(store).state is State.CLOSED, state
    shuffled = _frame().take([5, 3, 11, 0, 1, 2, 4, 6, 7, 8, 9, 10])
    _freeze(store, shuffled, _quotas().take([2, 0, 1]))
    assert _bytes(store) == before


def test_no_step_can_be_made_again_with_another_content(store: RoundStore) -> None:
    """One draw per plan and round: nothing that went into it can be replaced once it stands."""
    _run(store)
    before = _bytes(store)
    reveals = {"credit_office": protocol.party_reveal(b"x" * 32, PLAN, ROUND)}
    others: list[Callable[[], Any]] = [
        lambda: _freeze(store, _frame(excluded_reason=[""] * 11 + ["closed"])),
        lambda: _freeze(store, quotas=_quotas(quota=[2, 1, 1])),
        lambda: _freeze(store, frozen_date=date(2026, 3, 2)),
        lambda: _freeze(store, rule=RULE | {"rounding": "floor"}),
        lambda: store.commit(PLAN, ROUND, [("credit_office", "0" * 64)]),
        lambda: store.set_entropy(PLAN, ROUND, "KL8:2026001:01.02"),
        lambda: store.draw(PLAN, ROUND, reveals),
        lambda: store.record_assignment(PLAN, ROUND, _swapped(store), ["B02"]),
    ]
    for other in others:
        with pytest.raises(IntegrityError):
            other()
    assert _bytes(store) == before


def _swapped(store: RoundStore) -> pa.Table:
    table = store.table(PLAN, ROUND, "assignments")
    names = [{"I1": "I3"}.get(name, name) for name in table["inspector_id"].to_pylist()]
    return table.set_column(table.column_names.index("inspector_id"), "inspector_id", pa.array(names))


def test_steps_cannot_be_skipped(store: RoundStore) -> None:
    """Above all: no draw before the commitments and the entropy are on record."""
    with pytest.raises(BadInput, match="not begun"):
        _commit(store)
    _freeze(store)
    with pytest.raises(BadInput, match="entropy is not set"):
        _draw(store)
    with pytest.raises(BadInput, match="cannot become ENTROPY"):
        _entropy(store)
    _commit(store)
    with pytest.raises(BadInput, match="cannot become CLOSED"):
        _close(store)
    with pytest.raises(BadInput, match="no draw yet"):
        store.table(PLAN, ROUND, "draw")


class _PowerCut(BaseException):
    """Not an Exception, so that no handler can make the crash look tidy."""


@pytest.mark.parametrize(("state", "step"), STEPS, ids=[state.value for state, _ in STEPS])
def test_a_crash_at_any_edge_leaves_the_earlier_state_and_the_same_bytes_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: State, step: Callable[[RoundStore], RoundRecord]
) -> None:
    """Cut before each fsync and each rename of the step: the round must never look further than it is."""
    earlier = None if state is State.FRAME_FROZEN else STEPS[[one for one, _ in STEPS].index(state) - 1][0]
    clean = RoundStore(tmp_path / "clean")
    _run(clean, state)
    edges = 0
    for edge in range(1, 40):
        store = RoundStore(tmp_path / f"edge{edge}")
        if earlier is not None:
            _run(store, earlier)
        edges = _cut_at(monkeypatch, edge, partial(step, store))
        if edges < edge:
            break
        assert store.state(PLAN, ROUND) in (earlier, state)
        if store.state(PLAN, ROUND) is not state:
            left = {name: content for name, content in _bytes(store).items() if name == "round.json"}
            assert left == ({} if earlier is None else {"round.json": left["round.json"]})
        assert step(store).state is state
        assert _bytes(store) == _bytes(clean)
    assert edges >= 3, "at least: fsync, rename and fsync of the folder for round.json"


def _cut_at(monkeypatch: pytest.MonkeyPatch, edge: int, call: Callable[[], Any]) -> int:
    """Runs `call` with the power cut before the `edge`-th fsync or rename; the number of edges passed or
    cut.
    """
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

    def replace(path: Path, target: Path) -> Path:
        count()
        return real_replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        patch.setattr(Path, "replace", replace)
        try:
            call()
        except _PowerCut:
            return seen
    return seen


def test_a_draw_from_altered_files_is_refused(store: RoundStore) -> None:
    """The files, not the tables in memory, are what was committed to."""
    _run(store, State.ENTROPY)
    path = store.directory(PLAN, ROUND) / "frame.parquet"
    kept = path.read_bytes()
    pq.write_table(pq.read_table(path).slice(0, 11), path)
    with pytest.raises(IntegrityError, match="not the file that was frozen"):
        _draw(store)
    path.unlink()
    with pytest.raises(IntegrityError, match="not the file that was frozen"):
        _draw(store)
    path.write_bytes(kept)
    assert _draw(store).state is State.DRAWN


def test_a_callers_connection_draws_the_same_and_keeps_nothing(store: RoundStore, tmp_path: Path) -> None:
    """Large frames are drawn on the warehouse's connection, which may spill encrypted; no table may be
    left in it.
    """
    _run(store, State.ENTROPY)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute("create table frozen_frame as select 1 as of_someone_else")
        store.draw(PLAN, ROUND, _reveals(), connection)
        assert connection.execute("select * from frozen_frame").fetchall() == [(1,)]
        names = connection.execute("select view_name from duckdb_views() where not internal").fetchall()
        assert names == []
    other = _run(RoundStore(tmp_path / "other"), State.DRAWN)
    assert _bytes(other) == _bytes(store)


def test_a_wrong_reveal_draws_nothing(store: RoundStore) -> None:
    _run(store, State.ENTROPY)
    with pytest.raises(IntegrityError, match="does not open"):
        store.draw(PLAN, ROUND, {"credit_office": "0" * 64})
    assert store.state(PLAN, ROUND) is State.ENTROPY


def test_tickets_drawn_elsewhere_must_be_the_same(store: RoundStore, tmp_path: Path) -> None:
    """Whoever hands in a draw cannot hand in a better one."""
    tickets = _run(RoundStore(tmp_path / "other"), State.DRAWN).table(PLAN, ROUND, "draw")
    _run(store, State.ENTROPY)
    flipped = pa.array([not one for one in tickets["is_drawn"].to_pylist()])
    for wrong in (
        tickets.slice(1),
        tickets.set_column(tickets.column_names.index("is_drawn"), "is_drawn", flipped),
    ):
        with pytest.raises(IntegrityError, match="not those of the frozen frame"):
            store.record_draw(PLAN, ROUND, wrong, reveals=_reveals())
    assert store.record_draw(PLAN, ROUND, tickets, reveals=_reveals()).state is State.DRAWN


def test_neither_seed_nor_reveal_is_stored(store: RoundStore) -> None:
    """Public lists and the seed together bound every enterprise's grade."""
    _run(store)
    for secret in (store.seed(PLAN, ROUND, _reveals()), *_reveals().values(), KEY.hex()):
        assert all(secret.encode() not in content for content in _bytes(store).values())


def test_the_audit_log_takes_the_public_facts(store: RoundStore, tmp_path: Path) -> None:
    """They hold no key the log refuses, so no stage needs its own list."""
    log = AuditLog(tmp_path / "log.jsonl")
    for state, step in STEPS:
        assert log.append(state.value, "inspection", None, **step(store).public_facts()).event == state
    assert log.verify().ok


@pytest.mark.parametrize(
    ("frame", "quotas", "message"),
    [
        (_frame().drop_columns(["is_safety_related"]), None, "is_safety_related"),
        (_frame(uscc=[None, *USCCS[1:]]), None, "empty value"),
        (_frame(uscc=[USCCS[0]] * 12), None, "more than once"),
        (_frame(plan_id=["other"] * 12), None, "plan_id"),
        (_frame(frozen_date=["2026-03-02"] * 12), None, "frozen_date"),
        (None, _quotas(stratum_size=[6, 1, 5]), "stratum_size"),
        (None, _quotas(quota=[7, 1, 1]), "greater"),
        (None, _quotas(quota=["x", "1", "1"]), "cannot be read as int64"),
        (None, _quotas().slice(1), "has no quota"),
        (None, _quotas().drop_columns(["basis"]), "basis"),
    ],
)
def test_malformed_tables_are_not_frozen(
    store: RoundStore, frame: pa.Table | None, quotas: pa.Table | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        _freeze(store, frame, quotas)
    assert store.state(PLAN, ROUND) is None


def test_floats_in_the_rule_are_refused(store: RoundStore) -> None:
    with pytest.raises(BadInput, match="floats"):
        _freeze(store, rule={"ratio": 0.05})


def test_other_columns_are_kept(store: RoundStore) -> None:
    _freeze(store, _frame(industry_code=["I65"] * 12))
    assert store.table(PLAN, ROUND, "frame")["industry_code"].to_pylist() == ["I65"] * 12


def test_nobody_is_left_without_two_inspectors_in_silence(store: RoundStore) -> None:
    """A unit is either wholly assigned, two and different, or named as unassigned."""
    _run(store, State.DRAWN)
    full = _assigned_rows(store)
    first = full[0]
    wrongs = [
        (full, []),
        (full[1:], ["B02"]),
        ([first | {"position": 2}, *full[:1], *full[2:]], ["B02"]),
        (full, ["A01", "B02"]),
        ([*full, first | {"uscc": "91411300ZZZZZZZZZ0".replace("Z", "Y")}], ["B02"]),
        (full, ["B02", "C03"][1:]),
    ]
    for rows, units in wrongs:
        with pytest.raises(BadInput, match="fewer than two"):
            store.record_assignment(PLAN, ROUND, pa.Table.from_pylist(rows), units)
    assert store.record_assignment(PLAN, ROUND, pa.Table.from_pylist(full), ["B02"]).state is State.ASSIGNED


def _assigned_rows(store: RoundStore) -> list[dict[str, Any]]:
    drawn = [
        row
        for row in store.table(PLAN, ROUND, "draw").to_pylist()
        if row["is_drawn"] and row["unit_id"] == "A01"
    ]
    return [
        {
            "unit_id": "A01",
            "uscc": row["uscc"],
            "inspector_id": f"I{position}",
            "role": "member",
            "position": position,
        }
        for row in drawn
        for position in (1, 2)
    ]


def test_an_aborted_round_stays_aborted(store: RoundStore) -> None:
    """Its number is not used again, and after the entropy three people must sign: the result could be
    known.
    """
    _run(store, State.COMMITTED)
    with pytest.raises(BadInput, match="needs a reason"):
        store.abort(PLAN, ROUND, " ", ["u1"])
    _entropy(store)
    with pytest.raises(BadInput, match="3 different approvers"):
        store.abort(PLAN, ROUND, "wrong frame", ["u1", "u2", "u2"])
    record = store.abort(PLAN, ROUND, "wrong frame", ["u3", "u1", "u2"])
    assert (record.state, record.aborted_from) == (State.ABORTED, State.ENTROPY)
    assert store.abort(PLAN, ROUND, "wrong frame", ["u1", "u2", "u3"]) == record
    for again in (_freeze, _draw, _close):
        with pytest.raises(IntegrityError, match="aborted"):
            again(store)


def test_a_closed_round_cannot_be_aborted(store: RoundStore) -> None:
    _run(store)
    with pytest.raises(BadInput, match="closed"):
        store.abort(PLAN, ROUND, "late", ["u1", "u2", "u3"])


def test_a_moved_or_damaged_record_is_refused(store: RoundStore) -> None:
    """A folder copied to another round's place would be a second draw."""
    _run(store, State.DRAWN)
    directory = store.directory(PLAN, ROUND)
    directory.rename(store.directory(PLAN, 2))
    with pytest.raises(IntegrityError, match="moved"):
        store.state(PLAN, 2)
    (store.directory(PLAN, 2) / "round.json").write_text("{}")
    with pytest.raises(IntegrityError, match="not the record of a round"):
        store.record(PLAN, 2)


def test_text_rounds_work_like_numbers(store: RoundStore) -> None:
    record = store.freeze(PLAN, "2026Q1", _frame(), _quotas(), DAY, RULE, frame_salt=b"s" * 32)
    assert store.record(PLAN, "2026Q1") == record
    assert set(store.table(PLAN, "2026Q1", "frame")["round"].to_pylist()) == {"2026Q1"}


def test_empty_rounds_are_possible(store: RoundStore) -> None:
    """A unit without eligible enterprises must not stop the day."""
    empty_frame, empty_quotas = _frame().slice(0, 0), _quotas().slice(0, 0)
    _freeze(store, empty_frame, empty_quotas)
    _commit(store)
    _entropy(store)
    assert _draw(store).drawn_count == 0
    schema = pa.schema(
        {
            "unit_id": pa.string(),
            "uscc": pa.string(),
            "inspector_id": pa.string(),
            "role": pa.string(),
            "position": pa.int8(),
        }
    )
    assert store.record_assignment(PLAN, ROUND, schema.empty_table()).state is State.ASSIGNED


def test_the_draw_leaves_no_temporary_files_and_no_working_folder(
    store: RoundStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB's default would be a plain `.tmp` folder beside the process."""
    monkeypatch.chdir(tmp_path)
    _run(store)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["draws"]
    assert round_store._private_connection().execute(
        "select current_setting('temp_directory')"
    ).fetchone() == ("",)
