"""The training data of a scorecard: checked, and in the form a fit works on.

Here: which column plays which part, how its values are told apart, labels, weights, groups, and fair splits.
Not here: fitting (fitting.py).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.bins import Bins, Floats, Ints, as_frame, cut_points, numbers, texts

MIN_POSITIVES = 50


class NotEnoughLabels(BadInput):
    """Too few enterprises of one class to learn from: use an expert scorecard until more are inspected."""


@dataclass(frozen=True, eq=False)
class Column:
    """One input of the fit: how its values are told apart, its direction, and whether it is scored at all."""

    name: str
    bins: Bins
    direction: int
    nuisance: bool


@dataclass(frozen=True, eq=False)
class Sample:
    """The training data in the form the fit works on; positions has one row per enterprise."""

    positions: Ints
    label: Floats
    weights: Floats
    groups: Ints

    def take(self, rows: NDArray[np.bool_]) -> Sample:
        """The chosen rows."""
        return Sample(self.positions[rows], self.label[rows], self.weights[rows], self.groups[rows])


def prepare(
    frame: Any,
    label: Any,
    directions: Mapping[str, int],
    weights: Any = None,
    nuisance: Collection[str] = (),
    categorical: Collection[str] = (),
    groups: Any = None,
    must_report: Collection[str] = (),
    max_bins: int = 255,
    min_bin_rows: int = 30,
) -> tuple[tuple[Column, ...], Sample]:
    """The columns of a fit, by name, and its rows; arguments as for `fit_scorecard`, checked here.

    min_bin_rows: the least rows between two cut points.
    """
    names = roles_of(directions, nuisance, categorical, must_report)
    data = as_frame(frame, names)
    label, weights, groups = (
        as_frame(frame, [values]).to_series() if isinstance(values, str) else values
        for values in (label, weights, groups)
    )
    y, w, g = training_values(len(data), label, weights, groups)
    columns = tuple(
        column_of(data[n], n in categorical, int(directions.get(n, 0)), n in nuisance, max_bins, min_bin_rows)
        for n in names
    )
    return columns, Sample(positions_of(data, columns), y, w, g)


def roles_of(
    directions: Mapping[str, int],
    nuisance: Collection[str],
    categorical: Collection[str],
    must_report: Collection[str],
) -> list[str]:
    """All columns of the fit by name, after checking that the arguments agree with each other."""
    for argument, value in (
        ("nuisance", nuisance),
        ("categorical", categorical),
        ("must_report", must_report),
    ):
        if isinstance(value, str):
            raise BadInput(f"{argument} must be a list of columns, not the text {value!r}")
    if not isinstance(directions, Mapping):
        raise BadInput("directions must map a column to +1, -1 or 0")
    strange = [name for name in {*directions, *nuisance, *categorical} if not isinstance(name, str)]
    if strange:
        raise BadInput(f"columns are named by text, not by {strange[0]!r}: rename them in the frame")
    wrong = {name: d for name, d in directions.items() if d not in (-1, 0, 1)}
    if wrong:
        raise BadInput(f"a direction is -1, 0 or +1; not so for {wrong}")
    both = sorted(n for n in categorical if directions.get(n))
    if both:
        raise BadInput(
            f"categorical {', '.join(both)} cannot have a direction: give an ordered category as a number"
        )
    scored = {*directions, *categorical} - set(nuisance)
    if not scored:
        raise BadInput("no column is left to score: name some in directions or categorical")
    unscored = sorted(set(must_report) - scored)
    if unscored:
        raise BadInput(f"must_report names {', '.join(unscored)}, which the card does not score")
    return sorted({*directions, *categorical, *nuisance})


def column_of(
    series: pl.Series, categorical: bool, direction: int, nuisance: bool, max_bins: int, min_bin_rows: int
) -> Column:
    """How the values of a column are told apart: cut points of a number, or the categories it has."""
    numeric = series.dtype.is_numeric() or series.dtype in (pl.Boolean, pl.Null)
    if not categorical and not (nuisance and not numeric and direction == 0):
        edges = cut_points(numbers(series), max_bins, min_bin_rows)
        return Column(series.name, Bins(edges=edges), direction, nuisance)
    counts = texts(series).drop_nulls().alias("name").value_counts(name="rows")
    counts = counts.sort("rows", "name", descending=[True, False])
    if len(counts) > max_bins and not nuisance:
        raise BadInput(
            f"category {series.name} has {len(counts)} values, more than {max_bins}: group the rare ones"
        )
    # A nuisance of more levels keeps the most frequent; the rest count as missing.
    return Column(series.name, Bins(categories=tuple(sorted(counts["name"][:max_bins]))), 0, nuisance)


def training_values(rows: int, label: Any, weights: Any, groups: Any) -> tuple[Floats, Floats, Ints]:
    """Labels, weights and group numbers of the rows; BadInput or NotEnoughLabels if they will not do."""
    y = _vector(label, "label", rows)
    bad = np.flatnonzero(~np.isin(y, (0, 1)))
    if len(bad):
        raise BadInput(
            f"label must be 0 or 1; {len(bad)} rows are not, the first is row {bad[0]} ({y[bad[0]]})"
        )
    w = np.ones(rows) if weights is None else _vector(weights, "weights", rows)
    bad = np.flatnonzero(~(np.isfinite(w) & (w > 0)))
    if len(bad):
        raise BadInput(
            f"weights must be positive; {len(bad)} rows are not, the first is row {bad[0]} ({w[bad[0]]})"
        )
    g = np.arange(rows)
    if groups is not None:
        keys = groups.to_numpy() if isinstance(groups, pl.Series) else np.asarray(groups)
        if keys.shape != (rows,):
            raise BadInput(f"groups has shape {keys.shape}, the frame {rows} rows")
        g = np.unique(keys.astype(str), return_inverse=True)[1].astype(np.int64)
    breached = np.bincount(g, y) > 0
    for found, count in (("with a breach", breached.sum()), ("without one", (~breached).sum())):
        if count < MIN_POSITIVES:
            raise NotEnoughLabels(
                f"{count} of {len(breached)} labelled enterprises {found}; at least {MIN_POSITIVES} are "
                "needed to learn a scorecard: use an expert scorecard until then"
            )
    return y, w, g


def _vector(values: Any, name: str, rows: int) -> Floats:
    vector = np.asarray(values)
    if vector.shape == (rows, 1):
        vector = vector[:, 0]
    if vector.shape != (rows,):
        raise BadInput(f"{name} has shape {vector.shape}, the frame {rows} rows")
    if vector.dtype.kind not in "biufO":
        raise BadInput(f"{name} must be numbers, not {vector.dtype}")
    if vector.dtype.kind == "O":  # what pandas and pyarrow make of gaps
        gaps = np.array([v is None or type(v).__name__ in ("NAType", "NaTType") for v in vector], dtype=bool)
        vector = np.where(gaps, np.nan, vector)
    try:
        return vector.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{name} must be numbers: {error}") from error


def positions_of(data: pl.DataFrame, columns: Sequence[Column]) -> Ints:
    """The position of every value in the bins of its column: rows by columns."""
    return np.column_stack([c.bins.positions(data[c.name]) for c in columns])


def split(sample: Sample, parts: int, seed: int) -> Ints:
    """A part from 0 to parts-1 for each row: groups stay whole, both classes are spread evenly."""
    groups, of = np.unique(sample.groups, return_inverse=True)
    breached = np.zeros(len(groups), dtype=bool)
    np.logical_or.at(breached, of, sample.label == 1)
    shuffle = np.random.RandomState(seed)  # its stream is frozen for all versions of numpy
    order = np.concatenate([shuffle.permutation(np.flatnonzero(breached == b)) for b in (True, False)])
    part = np.empty(len(groups), dtype=np.int64)
    part[order] = np.arange(len(groups)) % parts
    return part[of]
