"""An additive boosting model of scikit-learn, read out as one step function per feature: exact, not fitted.

Here: the reading of a fitted HistGradientBoostingClassifier, which needs four of its private attributes
(`_predictors`, `_preprocessor`, `_bin_mapper`, `_baseline_prediction`; scikit-learn 1.9.1 is pinned). The
guard is equality: fitting.py compares the table with `decision_function` after every fit, and refuses it
beyond 1e-9. Not here: fitting, and what becomes of the steps.

A tree of one feature is a step function; the steps of all trees of a feature are summed over the union of
their thresholds. What would make such a sum wrong, and is met here:
- the model moves categorical columns to the front: indices are mapped back;
- a threshold of +inf means "missing against the rest": it is no cut point, and every number goes left;
- a category that was not in the training part (but is known to the encoder), or to nobody, goes the way of
  missing; a negative or missing code too;
- a tree that is a single leaf belongs to the intercept, with the baseline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from credit_pipeline.errors import IntegrityError
from credit_pipeline.grading.bins import Floats


@dataclass(frozen=True, eq=False)
class Steps:
    """One feature's part of the log-odds: by thresholds (points[i] for x <= thresholds[i]) or by category."""

    points: Floats
    missing: float
    thresholds: Floats
    categories: tuple[Any, ...] | None

    def at(self, values: NDArray[Any]) -> Floats:
        """The points of each value; NaN and unknown categories get those of missing."""
        if self.categories is not None:
            known = dict(zip(self.categories, self.points, strict=True))
            return np.array([known.get(value, self.missing) for value in values.tolist()], dtype=np.float64)
        found = self.points[np.searchsorted(self.thresholds, values, side="left")]
        return np.where(np.isnan(values), self.missing, found)


@dataclass(frozen=True, eq=False)
class Collapsed:
    """decision_function(x) = intercept + sum of features[j].at(x[j]), j in the caller's order of columns."""

    intercept: float
    features: tuple[Steps, ...]
    trees: int


def collapse(model: Any) -> Collapsed:
    """Read a fitted binary HistGradientBoostingClassifier without interactions.

    Raises IntegrityError if a tree splits on more than one feature.
    """
    width = model.n_features_in_
    categorical = model.is_categorical_ if model.is_categorical_ is not None else np.zeros(width, dtype=bool)
    outer_index = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    intercept = float(model._baseline_prediction.ravel()[0])
    trees_of: dict[int, list[Any]] = {}
    for (tree,) in model._predictors:
        splits = tree.nodes["feature_idx"][tree.nodes["is_leaf"] == 0]
        if not len(splits):
            intercept += float(tree.nodes["value"][0])
        elif (splits != splits[0]).any():
            raise IntegrityError("the model has an interaction: a tree splits on more than one feature")
        else:
            trees_of.setdefault(int(splits[0]), []).append(tree)

    steps: list[Steps | None] = [None] * width
    for inner, outer in enumerate(outer_index):
        trees = trees_of.get(inner, [])
        if categorical[outer]:
            steps[outer] = _category_steps(trees, *_categories(model, inner))
        else:
            steps[outer] = _number_steps(trees)
    return Collapsed(intercept, tuple(s for s in steps if s is not None), len(model._predictors))


def _number_steps(trees: list[Any]) -> Steps:
    cuts = [t.nodes["num_threshold"][t.nodes["is_leaf"] == 0] for t in trees]
    thresholds = np.unique(np.concatenate(cuts)) if cuts else np.empty(0)
    thresholds = thresholds[np.isfinite(thresholds)]
    # One witness for each bin: its upper bound, +inf for the last; and NaN.
    witnesses = np.concatenate([thresholds, [np.inf, np.nan]])
    missing: NDArray[np.bool_] = np.isnan(witnesses)

    def goes_left(tree: Any, node: Any) -> NDArray[np.bool_]:
        left: NDArray[np.bool_] = witnesses <= node["num_threshold"]  # False for NaN
        return left | (missing & bool(node["missing_go_to_left"]))

    points = _sum(trees, goes_left, len(witnesses))
    return Steps(points[:-1], float(points[-1]), thresholds, None)


def _categories(model: Any, inner: int) -> tuple[tuple[Any, ...], NDArray[np.int64]]:
    """The categories of a column, in the order of their codes, and the codes met in the training part."""
    categories = model._preprocessor.named_transformers_["encoder"].categories_[inner].tolist()
    named = tuple(c for c in categories if not (isinstance(c, float) and np.isnan(c)))
    return named, model._bin_mapper.bin_thresholds_[inner].astype(np.int64)


def _category_steps(trees: list[Any], categories: tuple[Any, ...], trained: NDArray[np.int64]) -> Steps:
    codes = np.arange(len(categories) + 1)
    missing = ~np.isin(codes, trained)  # the last code stands for missing

    def goes_left(tree: Any, node: Any) -> NDArray[np.bool_]:
        words: NDArray[np.uint32] = tree.raw_left_cat_bitsets[node["bitset_idx"]]
        bits = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little").astype(bool)
        left: NDArray[np.bool_] = np.append(bits, False)[codes.clip(max=len(bits))]
        left[-1] = False
        # The bitset of the left side is asked first, as the model does; only then, whether it was trained.
        return left | (missing & bool(node["missing_go_to_left"]))

    points = _sum(trees, goes_left, len(codes))
    return Steps(points[:-1], float(points[-1]), np.empty(0), categories)


def _sum(trees: list[Any], goes_left: Callable[[Any, Any], NDArray[np.bool_]], size: int) -> Floats:
    """The summed leaf values of every witness. Added tree by tree, a sum of rising steps rises."""
    total = np.zeros(size)
    for tree in trees:
        value = np.empty(size)
        todo = [(0, np.ones(size, dtype=bool))]
        while todo:
            index, here = todo.pop()
            node = tree.nodes[index]
            if node["is_leaf"]:
                value[here] = node["value"]
            else:
                left = goes_left(tree, node)
                todo += [(node["left"], here & left), (node["right"], here & ~left)]
        total += value
    return total
