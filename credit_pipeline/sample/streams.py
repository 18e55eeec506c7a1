"""Random streams and the calendar of the synthetic city.

Here: one independent stream per (seed, purpose, day), so that a new feed or a further day changes no
other file; the go-live day and the window of history. Not here: anything that is drawn.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GO_LIVE = date(2026, 10, 31)
HISTORY_START = date(2023, 7, 1)
"""40 months of history before the go-live load."""
EPOCH = date(1970, 1, 1)
NO_DAY = -(2**31)
"""Stands for «no date» in arrays of day numbers."""


def day_number(day: date) -> int:
    """Days since 1970-01-01, the form in which all dates are computed here."""
    return (day - EPOCH).days


def calendar_day(number: int) -> date:
    return EPOCH + timedelta(days=int(number))


def stream(seed: int, purpose: str, day: int = 1) -> np.random.Generator:
    """The PCG64 stream of one purpose on one delivery day; streams of different purposes are independent."""
    spawn_key = (zlib.crc32(purpose.encode()), day)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=spawn_key)))


@dataclass(frozen=True)
class Window:
    """The days from `start` to `end` that a delivery speaks about, as day numbers.

    `intensity` multiplies natural rates: the increments of a day hold about 0.5 % of the history's rows.
    """

    day: int
    start: int
    end: int
    intensity: float = 1.0

    @property
    def years(self) -> float:
        """Length of the window in years, times the intensity."""
        return (self.end - self.start + 1) / 365.25 * self.intensity

    @property
    def is_history(self) -> bool:
        return self.day == 1

    @property
    def as_of(self) -> int:
        return self.end

    def reported(self, rng: np.random.Generator, happened: Ints) -> Ints:
        """Day an event reached the platform: mostly 1–10 days later, one in 25 late, never after the
        as-of day.

        An increment holds what was reported that day.
        """
        if not self.is_history:
            return np.full(len(happened), self.end, dtype=np.int64)
        late = rng.random(len(happened)) < 0.04
        lag = np.minimum(rng.geometric(0.25, len(happened)), 10) + late * rng.integers(10, 60, len(happened))
        return np.minimum(happened + lag, self.end)


def history() -> Window:
    return Window(1, day_number(HISTORY_START), day_number(GO_LIVE))


def increment(day: int) -> Window:
    """Delivery number `day` (2, 3, …): the four days up to it, at 1.5 times the natural rate."""
    end = day_number(GO_LIVE) + day - 1
    return Window(day, end - 3, end, 1.5)


def dates(numbers: Ints) -> pl.Series:
    """Day numbers as dates, NO_DAY as null."""
    days = pl.Series(numbers.astype(np.int32))
    return days.set(days == NO_DAY, None).cast(pl.Date)


def years_of(numbers: Ints) -> Ints:
    return numbers.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970


def sigmoid(x: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-x))
