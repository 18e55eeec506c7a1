"""Where a value of an indicator falls: its bin, its category, or missing.

Here: reading a column of a frame as numbers or as text, the cut points a fit may use, and the one rule by
which a value finds its bin. Not here: points (scorecard.py) and how they are learned (fitting.py).

The rule, the same in Python and in SQL (sql.py): a number x is in the bin with lower < x <= upper, an open
end reaches to infinity inclusive; NULL and NaN are missing; a category is compared as text, and one that the
table does not list is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from credit_pipeline.errors import BadInput

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_WHOLE = re.compile(r"-?[0-9]{1,15}")


def as_frame(frame: Any, columns: Iterable[str]) -> pl.DataFrame:
    """The named columns of a polars, pandas or pyarrow frame, as polars; BadInput names those it lacks.

    Only these are read: what else the frame holds may be of any type.
    """
    wanted = list(columns)
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    is_pandas = type(frame).__module__.split(".")[0] == "pandas" and hasattr(frame, "columns")
    if isinstance(frame, pl.DataFrame) or is_pandas:
        names = list(frame.columns)
    elif hasattr(frame, "__arrow_c_stream__") or hasattr(frame, "__arrow_c_array__"):
        frame = pl.DataFrame(frame)
        names = frame.columns
    else:
        raise BadInput(f"a {type(frame).__name__} is no frame: give a polars, pandas or pyarrow table")
    lacking = sorted(set(wanted) - set(names))
    if lacking:
        raise BadInput(
            f"the frame has no column {', '.join(map(str, lacking))}; it has {', '.join(map(str, names))}"
        )
    twice = sorted({name for name in wanted if names.count(name) > 1})
    if twice:
        raise BadInput(f"the frame has more than one column {', '.join(twice)}")
    if is_pandas:
        return pl.DataFrame([_of_pandas(frame[name], name) for name in wanted])
    table: pl.DataFrame = frame.select(wanted)
    return table


def _of_pandas(column: Any, name: str) -> pl.Series:
    """A pandas column by its values: nullable, categorical and object columns as what they hold."""
    if type(column.dtype).__name__ == "CategoricalDtype":
        column = column.astype(column.cat.categories.dtype if not column.isna().any() else object)
    try:
        values: pl.Series = pl.Series(name, pl.from_pandas(column))
        return values
    except Exception as error:
        raise BadInput(f"column {name} holds values of different types: {error}") from error


def numbers(series: pl.Series) -> Floats:
    """A numeric or boolean column as float64, missing as NaN."""
    if series.null_count() == len(series):  # of no type that means anything
        return np.full(len(series), np.nan)
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise BadInput(
            f"column {series.name} is {series.dtype}, not a number: convert it, or list it in `categorical`"
        )
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def texts(series: pl.Series, *, strict: bool = True) -> pl.Series:
    """A column of categories as text, missing as NULL.

    Whole numbers held as floats (an integer column with gaps, in pandas) are read as integers. Other floats are
    no category: an error if `strict`, as in a fit; else, as in scoring, one that no table lists.
    """
    if series.dtype.is_float():
        series = series.cast(pl.Float64).fill_nan(None)
        whole = (series % 1 == 0) & (series.abs() < 2**53)
        if strict and not whole.fill_null(True).all():
            raise BadInput(f"column {series.name} holds fractions: it cannot be a category")
        series = series.set(~whole.fill_null(False), None).cast(pl.Int64)
    if not (
        series.dtype.is_integer() or series.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null)
    ):
        raise BadInput(f"column {series.name} is {series.dtype}: a category must be text or an integer")
    return series.cast(pl.String)


def spellings(categories: Sequence[str]) -> dict[str, int]:
    """Every text that stands for one of the categories, with its position.

    SQL casts a whole number held as a DOUBLE to '3.0': that is category '3' too, unless '3.0' is one itself.
    """
    found = {category: position for position, category in enumerate(categories)}
    for category, position in list(found.items()):
        if _WHOLE.fullmatch(category):
            found.setdefault(f"{category}.0", position)
            if category == "0":
                found.setdefault("-0.0", position)
    return found


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of one indicator: by ascending cut points (`edges`) or by `categories`; missing comes last."""

    edges: Floats | None = None
    categories: tuple[str, ...] | None = None

    @property
    def size(self) -> int:
        """How many bins there are, missing not counted; also the position of missing."""
        if self.edges is not None:
            return len(self.edges) + 1
        return len(self.categories or ())

    def positions(self, series: pl.Series) -> Ints:
        """The position of every value: 0 to size-1, and size for missing."""
        if self.edges is not None:
            values = numbers(series)
            found = np.searchsorted(self.edges, values, side="left").astype(np.int64)
            found[np.isnan(values)] = self.size
            return found
        names = texts(series, strict=False)
        if not self.categories:
            return np.zeros(len(names), dtype=np.int64)
        known = spellings(self.categories)
        return names.replace_strict(
            list(known), list(known.values()), default=self.size, return_dtype=pl.Int64
        ).to_numpy()


def cut_points(values: Floats, max_bins: int, min_rows: int) -> Floats:
    """At most max_bins - 1 cut points, with at least min_rows of the finite values in every bin.

    Values that many rows share get a bin of their own; a continuous column is cut into equal parts. Every cut
    lies in the middle half of the gap between two neighbouring observed values and has as few digits as fit
    there: it reads well, and a value that another engine computes one bit differently stays in its bin.
    """
    distinct, counts = np.unique(values[np.isfinite(values)], return_counts=True)
    up_to = np.cumsum(counts)
    rows = int(counts.sum())
    need = min_rows if len(distinct) <= max_bins else max(min_rows, -(-rows // max_bins))
    cuts: list[float] = []
    done = 0
    while True:
        last = int(np.searchsorted(up_to, done + need))  # the last value of the bin that begins after `done`
        if last >= len(distinct) or rows - (done := int(up_to[last])) < min_rows:
            return np.array(cuts, dtype=np.float64)
        cuts.append(_between(float(distinct[last]), float(distinct[last + 1])))


def _between(low: float, high: float) -> float:
    middle, quarter = low / 2 + high / 2, high / 4 - low / 4
    for digits in range(1, 18):
        cut = float(f"{middle:.{digits}g}")
        if low + quarter <= cut <= high - quarter:
            return cut
    return low  # neighbouring doubles: nothing lies between them, and lower < x <= low parts them
