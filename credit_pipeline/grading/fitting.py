"""Learning a scorecard from labelled enterprises.

Here: checking the training data, fitting, the proof that the table is the model, honest figures out of fold.
Not here: the boosting itself (boosting.py), which snapshots and labels to train on, and whether a new card
replaces the old one (training.py).

The method: additive boosting in which every directed feature may only rise or only fall (boosting.py); several
seeds, whose mean is again a table. No class weights: they spoil the probabilities (Brier .05 -> .14); `weights`
are for the design of the sample only, min(1 / inclusion probability, 20).

All seeds share one set of cut points, so that the mean table does not have the cuts of eight different quantile
sets. No bin that is learned holds fewer than min_samples_leaf training rows: the table singles out no handful
of enterprises.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.grading.bins import Floats, Ints
from credit_pipeline.grading.boosting import Boosted, Options, boost
from credit_pipeline.grading.calibration import MICRO, learn_calibration, read_calibration
from credit_pipeline.grading.points_table import as_points_table, to_micro
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.grading.tabulation import Table, drop_nuisance, edit_missing, points_rows, references
from credit_pipeline.grading.training_data import Column, Sample, prepare, split

MIN_SAMPLES_LEAF = 30
MAX_DIFFERENCE = 1e-9
PROOF_ROWS = 5_000


def fit_scorecard(
    frame: Any,
    label: Any,
    directions: Mapping[str, int],
    weights: Any = None,
    nuisance: Collection[str] = (),
    categorical: Collection[str] = (),
    *,
    groups: Any = None,
    must_report: Collection[str] = (),
    seeds: int | Sequence[int] = 8,
    learning_rate: float = 0.1,
    min_samples_leaf: int = MIN_SAMPLES_LEAF,
    l2: float = 1.0,
    max_bins: int = 255,
    max_iter: int = 1000,
    folds: int = 5,
    notes: Mapping[str, Any] | None = None,
) -> Scorecard:
    """Fit a scorecard to n rows of a polars, pandas or pyarrow frame.

    label: n values, 1 = breach found, 0 = inspected without one (never inspected is unknown: leave it out).
    directions: +1 if a higher value means more risk, -1 if less, 0 if unknown; these columns are numbers.
    categorical: columns of text or integers, without direction. Columns named nowhere are ignored.
    nuisance: columns (say, the inspector) that explain the label but must not score: they enter the fit, and
    count at their weighted mean. They may also stand in directions or categorical; else text is a category.
    weights: n positive design weights. groups: n keys (say, the enterprise) whose rows never part between
    training and validation; needed when one enterprise is in several snapshots.
    must_report: columns whose absence must not pay: missing scores no better than the best observed bin.
    seeds: how many, or which. folds: parts for the out-of-fold scores that calibrate and judge the card.
    notes: anything JSON to keep with the card (label definition, cohort, hashes).

    Same input, same digest, whatever the number of threads; another version of a library named in the
    metadata, or another processor, may differ in the last bits. Raises BadInput, NotEnoughLabels below 50
    rows (or groups) of either class, IntegrityError if table and model differ by more than 1e-9.
    """
    options = Options(
        tuple(range(seeds)) if isinstance(seeds, int) else tuple(int(s) for s in seeds),
        learning_rate,
        min_samples_leaf,
        l2,
        max_bins,
        max_iter,
    )
    _check_options(options, folds)
    columns, sample = prepare(
        frame,
        label,
        directions,
        weights,
        nuisance,
        categorical,
        groups,
        must_report,
        max_bins,
        min_samples_leaf,
    )
    y, w = sample.label, sample.weights
    scored = [c for c in columns if not c.nuisance]
    model, table = boost(columns, sample, options)
    worst = prove(model, table, sample)
    learned_means = references(table, sample)
    final, edits = edit_missing(drop_nuisance(table, sample, columns), sample, columns, must_report)

    out_of_fold, with_nuisance = _out_of_fold(sample, columns, options, must_report, folds)
    calibration, method = learn_calibration(out_of_fold, y, w, sample.groups)
    metadata = {
        "origin": "fitted",
        "directions": {c.name: c.direction for c in scored if c.bins.edges is not None},
        "categorical": [c.name for c in scored if c.bins.edges is None],
        "nuisance": {
            c.name: {"levels": c.bins.size, "weighted_mean_points": float(r)}
            for c, r in zip(columns, learned_means, strict=True)
            if c.nuisance
        },
        "must_report": sorted(must_report),
        "edits": edits,
        "training": {
            "rows": len(y),
            "positives": int(y.sum()),
            "groups": len(np.unique(sample.groups)),
            "positive_groups": len(np.unique(sample.groups[y == 1])),
            "weighted_rate": float(np.average(y, weights=w)),
            "weighted": weights is not None,
        },
        "seeds": list(options.seeds),
        "rounds": model.rounds,
        "boosting_steps": len(model.steps),
        "parameters": {
            "learning_rate": learning_rate,
            "min_samples_leaf": min_samples_leaf,
            "l2": l2,
            "max_bins": max_bins,
            "max_iter": max_iter,
        },
        "out_of_fold": _figures(sample, out_of_fold, with_nuisance, any(c.nuisance for c in columns), folds),
        "calibration": {"method": method, "steps": len(calibration)},
        "worst_difference_to_model": worst,
        "versions": _versions(),
        "notes": dict(notes or {}),
    }
    reference = {
        c.name: float(r) for c, r in zip(columns, references(final, sample), strict=True) if not c.nuisance
    }
    points = as_points_table(points_rows(final, sample, columns))
    return Scorecard(points, calibration, reference, metadata)


def _check_options(options: Options, folds: int) -> None:
    if not options.seeds or len(set(options.seeds)) != len(options.seeds) or min(options.seeds) < 0:
        raise BadInput(f"seeds must be one or more different whole numbers from 0, not {options.seeds}")
    if options.min_samples_leaf < MIN_SAMPLES_LEAF:
        raise BadInput(
            f"min_samples_leaf must be at least {MIN_SAMPLES_LEAF}: smaller bins single out enterprises"
        )
    if not 2 <= options.max_bins <= 255:
        raise BadInput(f"max_bins must be 2 to 255, not {options.max_bins}")
    if folds < 2:
        raise BadInput(f"folds must be at least 2, not {folds}: a card is not calibrated on rows it has seen")


def prove(model: Boosted, table: Table, sample: Sample) -> float:
    """The worst difference between table and model, on training rows and every single bin; at most 1e-9."""
    step = max(1, len(sample.positions) // PROOF_ROWS)
    rows = [sample.positions[::step]]
    for j, c in enumerate(model.coding.columns):
        each = np.repeat(sample.positions[:1], c.bins.size + 1, axis=0)
        each[:, j] = np.arange(c.bins.size + 1)
        rows.append(each)
    tried = np.concatenate(rows)
    worst = float(np.abs(model.at(tried) - table.mean_at(tried)).max())
    if not worst <= MAX_DIFFERENCE:
        raise IntegrityError(
            f"the points table differs from its model by {worst:g}, more than {MAX_DIFFERENCE:g}: nothing is "
            "graded with it; report the data it was fitted to"
        )
    return worst


# --- honest figures -------------------------------------------------------------------------------------


def _out_of_fold(
    sample: Sample, columns: Sequence[Column], options: Options, must_report: Collection[str], folds: int
) -> tuple[Ints, Floats]:
    """Micro scores by cards that did not see the row, and the log-odds with the nuisance columns counted."""
    fold = split(sample, folds, seed=0)
    micro = np.empty(len(fold), dtype=np.int64)
    full = np.empty(len(fold))
    for k in range(folds):
        learned, held = sample.take(fold != k), sample.positions[fold == k]
        _, table = boost(columns, learned, options)
        card, _ = edit_missing(drop_nuisance(table, learned, columns), learned, columns, must_report)
        total = np.full(len(held), to_micro(np.array([card.intercept]))[0])
        for j, points in enumerate(card.means()):
            total += to_micro(points)[held[:, j]]
        micro[fold == k] = total
        full[fold == k] = table.mean_at(held)
    return micro, full


def _figures(sample: Sample, micro: Ints, full: Floats, has_nuisance: bool, folds: int) -> dict[str, Any]:
    """AUC and calibration out of fold; the probabilities judged are calibrated without their own fold."""
    from sklearn.metrics import roc_auc_score

    y, w = sample.label, sample.weights
    fold = split(sample, folds, seed=0)
    probability = np.empty(len(y))
    for k in range(folds):
        others = fold != k
        steps, _ = learn_calibration(micro[others], y[others], w[others], sample.groups[others])
        probability[~others] = read_calibration(steps, micro[~others])
    figures = {
        "folds": folds,
        "auc": float(roc_auc_score(y, micro / MICRO, sample_weight=w)),
        "brier": float(np.average((y - probability) ** 2, weights=w)),
        "mean_probability": float(np.average(probability, weights=w)),
        "observed_rate": float(np.average(y, weights=w)),
    }
    if has_nuisance:
        figures["auc_with_nuisance"] = float(roc_auc_score(y, full, sample_weight=w))
    return figures


def _versions() -> dict[str, str]:
    import scipy
    import sklearn

    return {
        "python": platform.python_version(),
        "scikit-learn": sklearn.__version__,
        "scipy": scipy.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
