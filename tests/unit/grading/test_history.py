"""What each day graded, kept in the lake: reasons of changes, the same bytes again, kills, replays, retention."""

from __future__ import annotations

import stat
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from credit_pipeline.grading import history
from credit_pipeline.settings import Settings
from credit_pipeline.transform.sources import GRADE_CHANGES, GRADE_DAY, ensure_sources
from credit_pipeline.warehouse import RunTarget, connect

FIRST = date(2026, 10, 31)
STATE: dict[str, Any] = {
    "platform_grade": "B", "path": "model", "decided_grade": "B", "veto_codes": "", "score_micro": 0, "probability": 0.03,
    "data_completeness": 5, "negative_record_count": 0, "policy_version": "p1", "model_digest": "m1", "penalty": 0, "change": 0,
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(lake_dir=tmp_path / "lake", keys_dir=tmp_path / "keys")
    ensure_sources(made)
    return made


def run(
    settings: Settings, day: date, states: dict[str, dict[str, Any]], *, is_replay: bool = False
) -> history.StoredDay:
    """A run of a day whose warehouse says this; states: uscc → what differs from STATE."""
    path = settings.replay_path(day) if is_replay else settings.warehouse_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with connect(settings, path) as connection:
        connection.execute("create schema if not exists grading")
        reasons = ", ".join(f"null::varchar as reason_{n}, null::bigint as over_{n}" for n in range(1, 6))
        rows = [{"uscc": uscc} | STATE | changed for uscc, changed in states.items()]
        values = ", ".join(
            "(" + ", ".join(repr(row[name]) for name in ("uscc", *STATE)) + ")" for row in reversed(rows)
        )
        connection.execute(
            f"""create or replace table grading.enterprise_grades as select date '{day}' as as_of_date, * exclude (penalty, change), {reasons}
            from (values {values}) as t(uscc, {", ".join(STATE)})"""
        )
        connection.execute(
            f"""create or replace table grading.enterprise_scores as select date '{day}' as as_of_date, uscc, score_micro, probability,
            penalty::bigint as p_penalty, change::bigint as p_change, model_digest from (values {values}) as t(uscc, {", ".join(STATE)})"""
        )
    return history.store_day(settings, RunTarget(day, path, is_replay))


def changes(settings: Settings, day: date) -> dict[str, tuple[str | None, str | None, str, str]]:
    table = pq.read_table(history.day_dir(settings, day) / "changes.parquet")
    return {
        row["uscc"]: (row["old_grade"], row["new_grade"], row["reason"], row["detail"])
        for row in table.to_pylist()
    }


def contents(settings: Settings, day: date) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(history.day_dir(settings, day).iterdir())}


def test_every_change_has_its_reason(settings: Settings) -> None:
    """Prevents a changed grade without a reason, and a reason that is not the one that moved it."""
    run(
        settings,
        FIRST,
        {
            "left": {}, "same": {}, "worse": {}, "began": {}, "poor": {}, "model": {}, "policy": {},
            "ended": {"platform_grade": "E", "path": "veto", "veto_codes": "licence_revoked|serious_violation_listed"},
            "frozen": {},
        },
    )  # fmt: skip
    assert {row[2] for row in changes(settings, FIRST).values()} == {"first_graded"}
    stored = run(
        settings,
        FIRST + timedelta(days=1),
        {
            "new": {}, "same": {"score_micro": 9},
            "worse": {"platform_grade": "D", "penalty": 700, "change": -900},
            "began": {"platform_grade": "C", "path": "floor", "veto_codes": "abnormal_listed"},
            "ended": {"veto_codes": "licence_revoked"},
            "poor": {"platform_grade": "C", "path": "insufficient_data"},
            "model": {"platform_grade": "A", "model_digest": "m2"},
            "policy": {"platform_grade": "A", "policy_version": "p2"},
            "frozen": {"platform_grade": "C", "path": "objection"},
        },
    )  # fmt: skip
    assert changes(settings, FIRST + timedelta(days=1)) == {
        "began": ("B", "C", "veto_began", "abnormal_listed"),
        "ended": ("E", "B", "veto_ended", "serious_violation_listed"),
        "frozen": ("B", "C", "objection", ""),
        "left": ("B", None, "left_register", ""),
        "model": ("B", "A", "model_changed", ""),
        "new": (None, "B", "first_graded", ""),
        "policy": ("B", "A", "policy_changed", ""),
        "poor": ("B", "C", "data_poor", ""),
        "worse": ("B", "D", "indicators", "penalty:+700"),
    }
    assert stored == history.StoredDay(9, 9, 18, True, None)


def test_the_same_day_again_gives_the_same_bytes(settings: Settings) -> None:
    """Prevents a history that changes when a day is run again, or whose schema is not the one the models read."""
    run(settings, FIRST, {"a": {}, "b": {"platform_grade": "D"}})
    second = FIRST + timedelta(days=1)
    run(settings, second, {"a": {"platform_grade": "C", "penalty": 5}, "b": {"platform_grade": "D"}})
    before = contents(settings, second)
    run(settings, second, {"a": {"platform_grade": "C", "penalty": 5}, "b": {"platform_grade": "D"}})
    assert contents(settings, second) == before and set(before) == {
        "changes.parquet", "day.parquet", "grades.parquet",
    }  # fmt: skip
    assert pq.read_schema(history.day_dir(settings, second) / "changes.parquet").names == GRADE_CHANGES.names
    assert pq.read_schema(history.day_dir(settings, second) / "day.parquet").names == GRADE_DAY.names
    run(settings, second, {"a": {}, "b": {"platform_grade": "D"}})
    assert changes(settings, second) == {}, "a day that is run again with other rows says the new thing"


def test_a_replay_stores_nothing_and_says_whether_it_agrees(settings: Settings) -> None:
    """Prevents a past day from being rewritten by a policy of today, and a difference from passing unnoticed."""
    run(settings, FIRST, {"a": {}})
    run(settings, FIRST + timedelta(days=1), {"a": {"platform_grade": "C"}})
    before = contents(settings, FIRST)
    assert run(settings, FIRST, {"a": {}}, is_replay=True).agrees is True
    again = run(settings, FIRST, {"a": {"platform_grade": "E"}}, is_replay=True)
    assert again.agrees is False and not again.is_stored and again.history_rows == 1
    assert contents(settings, FIRST) == before
    assert run(settings, FIRST - timedelta(days=1), {"a": {}}, is_replay=True).agrees is None
    assert history.stored_days(settings) == [FIRST, FIRST + timedelta(days=1)]


def test_a_killed_day_does_not_count(settings: Settings) -> None:
    """Prevents half a day from being compared with, and what it left from staying."""
    run(settings, FIRST, {"a": {}})
    second = FIRST + timedelta(days=1)
    run(settings, second, {"a": {"platform_grade": "C"}})
    (history.day_dir(settings, second) / "day.parquet").unlink()
    stored = run(settings, second + timedelta(days=1), {"a": {"platform_grade": "C", "penalty": 3}})
    assert history.stored_days(settings) == [FIRST, second + timedelta(days=1)]
    assert stored.changed == 1 and stored.history_rows == 2
    assert not list(settings.grades_dir.glob(".stage-*"))


def test_old_states_go_and_changes_stay(settings: Settings) -> None:
    """Prevents a lake that grows by a full state a day, and a change whose day before is no longer kept."""
    for number in range(14):
        run(settings, FIRST + timedelta(days=number), {"a": {"platform_grade": "BC"[number % 2]}})
    days = history.stored_days(settings)
    assert len(days) == 14
    kept = [day for day in days if history.state_path(settings, day)]
    assert kept == [FIRST, *days[-10:]], "month-ends and the newest days"
    assert all(changes(settings, day) for day in days)
    assert history.state_digest(settings, days[2]) is not None
    (history.day_dir(settings, days[-1]) / "grades.parquet").unlink()
    stored = run(settings, days[-1] + timedelta(days=1), {"a": {"platform_grade": "E"}})
    assert stored.changed == 1 and changes(settings, days[-1] + timedelta(days=1))["a"][:2] == ("C", "E")


def test_stored_grades_are_for_their_owner_only(settings: Settings) -> None:
    """Prevents a grade that another account could read, also before it has its final name."""
    run(settings, FIRST, {"a": {}})
    for path in history.day_dir(settings, FIRST).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(history.day_dir(settings, FIRST).stat().st_mode) == 0o700
