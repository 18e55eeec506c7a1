"""Which month-ends a training set may use, in which batches, and which may judge."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.grading import snapshots
from credit_pipeline.grading.snapshots import (
    batches,
    comparison_date,
    history_since,
    month_back,
    months_after,
    snapshot_dates,
    usable_snapshots,
)
from credit_pipeline.grading.validation import out_of_time
from credit_pipeline.settings import Settings


@given(st.dates(date(2015, 1, 1), date(2099, 12, 31)), st.integers(1, 24), st.integers(1, 36))
def test_horizon_of_every_snapshot_has_passed(day: date, horizon: int, count: int) -> None:
    """Prevents labels that look into days which the as-of day does not know (leakage)."""
    dates = snapshot_dates(day, horizon, count)
    assert dates == sorted(set(dates)) and len(dates) == count
    for snapshot in dates:
        months = (day.year - snapshot.year) * 12 + day.month - snapshot.month
        assert months > horizon and months_after(snapshot, horizon) <= day
        assert date.fromordinal(snapshot.toordinal() + 1).day == 1, "a month-end"


def test_month_back_over_a_leap_year() -> None:
    """Prevents a February that loses its last day."""
    assert month_back(date(2024, 3, 15), 1) == date(2024, 2, 29)
    assert month_back(date(2024, 1, 31), 1) == date(2023, 12, 31)


def test_population_is_compared_with_the_same_season() -> None:
    """Prevents January from being called a drift of December."""
    assert comparison_date(date(2026, 10, 31)) == date(2025, 10, 31)
    assert comparison_date(date(2026, 11, 5)) == date(2025, 10, 31)
    assert comparison_date(date(2025, 2, 28)) == date(2024, 2, 29)


@given(st.integers(1, 40), st.integers(1, 12_000_000))
def test_batches_hold_every_snapshot_once(count: int, enterprises: int) -> None:
    """Prevents a build that does not fit into memory, and months that fall between two builds."""
    days = snapshot_dates(date(2026, 10, 31), 12, count)
    planned = batches(days, enterprises)
    assert [day for batch in planned for day in batch] == days
    for batch in planned:
        assert len(batch) == 1 or (len(batch) + 1) * enterprises <= snapshots.ENTERPRISE_MONTHS_AT_ONCE


def _deliver(settings: Settings, feed: str, column: str, days: list[date]) -> None:
    folder = settings.raw_dir / feed / "ingest_date=2026-10-31"
    folder.mkdir(parents=True)
    pl.DataFrame({column: days}).write_parquet(folder / "a.parquet")


def test_snapshots_need_history(tmp_path: Path) -> None:
    """Prevents learning from months before which nobody reported anything: a clean record there means nothing."""
    settings = Settings(lake_dir=tmp_path)
    day = date(2026, 10, 31)
    assert history_since(settings, day) is None
    assert usable_snapshots(settings, day) == [date(2025, 9, 30)], "empty, so that the expert card grades"
    steady = [date(2024, 5, 1)] * 300
    _deliver(settings, "penalties", "decision_date", [date(1999, 1, 1), *[date(2023, 7, 1)] * 9, *steady])
    _deliver(settings, "inspection_results", "check_date", [date(2023, 9, 20)] * 9 + steady)
    assert history_since(settings, day) == date(2023, 9, 20)
    usable = usable_snapshots(settings, day)
    assert usable[0] == date(2024, 9, 30) and usable[-1] == date(2025, 9, 30)


def test_snapshots_with_full_windows_are_learned_from_if_they_suffice(tmp_path: Path) -> None:
    """Prevents promises learned from windows of 36 months that held 12, while fuller ones were there."""

    def learned(since: date) -> list[date]:
        settings = Settings(lake_dir=tmp_path / since.isoformat())
        for feed, column in (("penalties", "decision_date"), ("inspection_results", "check_date")):
            _deliver(settings, feed, column, [since] * 9)
        return usable_snapshots(settings, date(2026, 10, 31))

    assert len(learned(date(2022, 7, 15))) == 15, "of 27 with 12 months of history"
    assert learned(date(2021, 5, 15))[0] == date(2024, 5, 31), "17 have 36 months: none other"
    assert len(learned(date(2015, 7, 1))) == 36


def test_no_day_lies_in_both_training_and_test() -> None:
    """Prevents a test that the trial has partly seen: labels of adjacent months share eleven months."""
    days = snapshot_dates(date(2026, 10, 31), 12, 20)
    frame = pl.DataFrame(
        {
            "as_of_date": [day for day in days for _ in range(3)],
            "uscc": ["a", "b", "c"] * 20,
            "label": [0, 1, 1] * 20,
            "observed_by": ["random", "inspection", "penalty"] * 20,
        }
    )
    learned, test = out_of_time(frame, 12)
    assert test["as_of_date"].unique().to_list() == [days[-1]]
    assert test["observed_by"].unique().to_list() == ["random"], "only draws speak for all"
    last = learned["as_of_date"].max()
    assert isinstance(last, date) and months_after(last, 12) == days[-1]
    assert learned["as_of_date"].n_unique() == 8
