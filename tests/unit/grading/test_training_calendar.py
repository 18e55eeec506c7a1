"""Which month-ends a training set may use."""

from __future__ import annotations

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.grading.training import month_back, snapshot_dates


@given(st.dates(date(2015, 1, 1), date(2099, 12, 31)), st.integers(1, 24), st.integers(1, 36))
def test_horizon_of_every_snapshot_has_passed(day: date, horizon: int, count: int) -> None:
    """Prevents labels that look into days which the as-of day does not know (leakage)."""
    dates = snapshot_dates(day, horizon, count)
    assert dates == sorted(set(dates)) and len(dates) == count
    for snapshot in dates:
        months = (day.year - snapshot.year) * 12 + day.month - snapshot.month
        assert months > horizon
        assert date.fromordinal(snapshot.toordinal() + 1).day == 1, "a month-end"


def test_month_back_over_a_leap_year() -> None:
    """Prevents a February that loses its last day."""
    assert month_back(date(2024, 3, 15), 1) == date(2024, 2, 29)
    assert month_back(date(2024, 1, 31), 1) == date(2023, 12, 31)
