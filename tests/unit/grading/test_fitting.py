"""Learning: exact, monotone, repeatable, honest; and clear when it cannot be done."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from conftest import CATEGORICAL, DIRECTIONS, SETTINGS, Market, hostile_rows
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.grading import NotEnoughLabels, Scorecard, fit_scorecard
from credit_pipeline.grading.bins import cut_points
from credit_pipeline.grading.boosting import Boosted
from credit_pipeline.grading.training_data import prepare, split


def auc(label: np.ndarray, score: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(label, score))


def test_table_equals_model(free_card: Scorecard, free_model: Boosted, market: Market) -> None:
    """A table that forgets a step, or sums the steps of the wrong column, is not the model that was fitted."""
    rows = pl.concat([market.frame, hostile_rows(free_card, market.frame)])
    difference = np.abs(free_card.score(rows) - free_model.decision_function(rows))
    assert difference.max() <= 1e-9
    assert free_card.metadata["worst_difference_to_model"] <= 1e-9


def test_every_directed_feature_is_monotone(card: Scorecard) -> None:
    """More penalties must never give a better score, in any bin of the table."""
    directed = 0
    for feature, direction in DIRECTIONS.items():
        rows = card.points.filter((pl.col("feature") == feature) & (pl.col("kind") == "num")).sort("lower")
        assert (np.diff(rows["points"].to_numpy()) * direction >= 0).all()
        assert (np.diff(rows["micro_points"].to_numpy()) * direction >= 0).all()
        directed += len(rows) > 1 and direction != 0
    assert directed == 3
    assert card.monotone_violations() == []


def test_table_is_complete(card: Scorecard, market: Market) -> None:
    """Every feature has its bins and its missing row, even if constant or never known; counts add up."""
    assert card.features == tuple(sorted([*DIRECTIONS, *CATEGORICAL]))
    bins = card.points.filter((pl.col("kind") == "num") & (pl.col("feature") != "never_known"))
    assert (bins["n_train"] >= 30).all()
    counts = (
        card.points.filter(pl.col("kind") != "intercept").group_by("feature").agg(pl.col("n_train").sum())
    )
    assert counts["n_train"].to_list() == [len(market.frame)] * len(card.features)
    for feature in ("constant", "never_known"):
        rows = card.points.filter(pl.col("feature") == feature)
        assert rows["kind"].to_list() == ["num", "missing"]
        assert rows["points"].to_list() == [0.0, 0.0]
    assert (card.points["micro_points"] == (card.points["points"] * 1e6).round().cast(pl.Int64)).all()
    assert (card.points["standard_error"] >= 0).all()


def test_nuisance_is_in_the_fit_and_not_in_the_table(card: Scorecard, market: Market) -> None:
    """A grade must not depend on who inspected; left out of the fit, inspectors would hide in features."""
    assert "inspector" not in card.points["feature"].to_list()
    assert card.metadata["nuisance"]["inspector"]["levels"] == 6
    figures = card.metadata["out_of_fold"]
    assert figures["auc_with_nuisance"] > figures["auc"] + 0.02
    card.score(market.frame.drop("inspector"))


def test_nuisance_counts_at_its_mean(market: Market) -> None:
    """Dropped rows must not shift the level: the mean score is the mean of the full model."""
    columns = {"penalties": 1}
    card = fit_scorecard(market.frame, market.label, columns, nuisance=["inspector"], seeds=1, folds=2)
    odds = np.log(market.label.mean() / (1 - market.label.mean()))
    assert card.intercept + card.reference["penalties"] == pytest.approx(odds, abs=0.25)
    assert card.points["standard_error"].null_count() == len(card.points)


def test_hiding_data_does_not_pay(card: Scorecard, free_card: Scorecard) -> None:
    """In training, those without `debt` look best; the card must not reward them, and must say so."""

    def missing_and_best(some: Scorecard) -> tuple[float, float]:
        rows = some.points.filter(pl.col("feature") == "debt")
        observed = rows.filter((pl.col("kind") != "missing") & (pl.col("n_train") > 0))
        return rows.filter(pl.col("kind") == "missing")["points"][0], observed["points"].min()  # type: ignore

    learned, best = missing_and_best(free_card)
    assert learned < best
    missing, best = missing_and_best(card)
    assert missing == best
    (edit,) = card.metadata["edits"]
    assert edit["feature"] == "debt" and edit["points"] == missing and edit["learned_points"] < missing
    assert card.metadata["must_report"] == ["debt", "paid_rate"] and free_card.metadata["edits"] == []


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("rate_of_missing", [0.02, 0.9])
def test_missing_is_learned_whatever_the_direction(direction: int, rate_of_missing: float) -> None:
    """The direction of a feature must not decide whether its absence can be better or worse than all bins."""
    random = np.random.default_rng(21)
    x = random.normal(size=4_000)
    absent = random.random(4_000) < 0.2
    chance = np.where(absent, rate_of_missing, 0.3 + 0.3 * (np.sign(x) * direction > 0))
    label = (random.random(4_000) < chance).astype(int)
    frame = pl.DataFrame({"x": np.where(absent, np.nan, x)})
    card = fit_scorecard(frame, label, {"x": direction}, seeds=2, folds=2)
    rows = card.points.filter(pl.col("feature") == "x")
    bins = rows.filter(pl.col("kind") == "num")["points"].to_numpy()
    missing = rows.filter(pl.col("kind") == "missing")["points"][0]
    assert missing < bins.min() - 0.5 if rate_of_missing < 0.3 else missing > bins.max() + 0.5
    assert card.monotone_violations() == []


def test_missing_never_seen_counts_as_the_median(market: Market) -> None:
    """An indicator always there in training that fails one day must not make everybody good or bad."""
    card = fit_scorecard(market.frame, market.label, {"penalties": 1, "noise": 0}, seeds=2, folds=2)
    median = market.frame.select(pl.col("penalties").median().cast(pl.Int64), pl.col("noise").median())
    gone = pl.DataFrame({"penalties": [None], "noise": [None]})
    assert card.micro_score(gone).tolist() == card.micro_score(median).tolist()


def test_empty_and_lonely_categories(market: Market) -> None:
    """A category column that has not arrived yet, or has one value, must not stop the training."""
    rows = len(market.frame)
    frame = market.frame.with_columns(
        absent=pl.Series([None] * rows, dtype=pl.String),
        only=pl.lit("same"),
        lonely=pl.Series(["one", *[None] * (rows - 1)]),
    )
    names = ["absent", "only", "lonely"]
    card = fit_scorecard(
        frame, market.label, {"penalties": 1}, categorical=names, must_report=names, seeds=1, folds=2
    )
    rows_of = card.points.filter(pl.col("feature").is_in(names))
    assert rows_of["points"].to_list() == [0.0] * 5
    assert card.feature_sql("absent") == "0"


def test_it_learns(card: Scorecard, later_market: Market) -> None:
    """Exact and monotone is not enough: on enterprises it has not seen it comes close to the true risk."""
    reached = auc(later_market.label, card.score(later_market.frame))
    ceiling = auc(later_market.label, later_market.true_log_odds)
    assert reached > 0.7
    assert reached > ceiling - 0.04
    assert card.metadata["out_of_fold"]["auc"] == pytest.approx(reached, abs=0.04)


def test_probabilities_are_honest(card: Scorecard, later_market: Market) -> None:
    """Calibrated on scores of rows a card has seen, probabilities would be too bold on new enterprises."""
    probability = card.probability(later_market.frame)
    assert probability.mean() == pytest.approx(later_market.label.mean(), abs=0.03)
    for part in np.array_split(np.argsort(probability, kind="stable"), 5):
        assert probability[part].mean() == pytest.approx(later_market.label[part].mean(), abs=0.06)
    assert ((probability > 0) & (probability < 1)).all()


def test_same_input_same_digest(card: Scorecard, market: Market) -> None:
    """A card that cannot be made again cannot be audited; threads and argument order must not matter."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        again = fit_scorecard(
            market.frame.to_arrow(),
            pl.Series(market.label),
            dict(reversed(DIRECTIONS.items())),
            nuisance=("inspector",),
            categorical=tuple(reversed(CATEGORICAL)),
            must_report={"debt", "paid_rate"},
            **SETTINGS,
        )
    assert again.digest == card.digest


def test_weights_count_as_rows(market: Market) -> None:
    """Design weights undo the sampling: a sample of a third of the good ones must give the city's rate."""
    keep = (market.label == 1) | (np.arange(len(market.label)) % 3 == 0)
    weights = np.where(market.label == 1, 1.0, 3.0)[keep]
    frame, label = market.frame.filter(keep), market.label[keep]
    card = fit_scorecard(frame, label, {"penalties": 1, "debt": 1}, weights=weights, seeds=1, folds=2)
    assert card.probability(market.frame).mean() == pytest.approx(market.label.mean(), abs=0.03)
    assert card.metadata["training"]["weighted"] is True


def test_groups_stay_together(market: Market) -> None:
    """Snapshots of one enterprise on both sides of a split make the figures too good."""
    groups = np.arange(len(market.label)) // 4
    _, sample = prepare(market.frame, market.label, {"penalties": 1}, groups=groups)
    part = split(sample, 5, seed=1)
    assert (part.reshape(-1, 4) == part[::4, None]).all()
    rates = [market.label[part == k].mean() for k in range(5)]
    assert max(rates) - min(rates) < 0.06
    assert split(sample, 5, seed=2).tolist() != part.tolist()


def test_snapshots_do_not_multiply_labels(market: Market) -> None:
    """Forty breached enterprises seen in three snapshots are forty, not a hundred and twenty."""
    few = np.concatenate([np.flatnonzero(market.label == 1)[:40], np.flatnonzero(market.label == 0)[:400]])
    rows = np.repeat(few, 3)
    with pytest.raises(NotEnoughLabels, match="40 of 440"):
        fit_scorecard(market.frame[rows], market.label[rows], {"penalties": 1}, groups=rows)


def test_cut_points_are_short_and_safe() -> None:
    """Cuts lie well between observed values: a value that another engine computes one bit off stays put."""
    assert cut_points(np.array([0.0, 1.0, 1.0, 2.0, 10.0]), 255, 1).tolist() == [0.5, 1.5, 6.0]
    assert cut_points(np.array([3.0, 3.0, np.nan, np.inf]), 255, 1).tolist() == []
    assert cut_points(np.array([1.0, np.nextafter(1.0, 2.0)]), 255, 1).tolist() == [1.0]
    assert cut_points(np.array([-1e308, 1e308]), 255, 1).tolist() == [0.0]
    assert cut_points(np.array([np.nan]), 255, 1).tolist() == []
    values = np.random.default_rng(0).lognormal(size=10_000)
    cuts = cut_points(values, 32, 30)
    assert len(cuts) == 31 and (np.diff(cuts) > 0).all()
    assert np.bincount(np.searchsorted(cuts, values)).min() > 10_000 // 32 - 32
    counts = np.repeat([0.0, 1.0, 2.0, 3.0, 9.0], [500, 100, 20, 9, 5])
    assert cut_points(counts, 255, 30).tolist() == [0.5, 1.5]
    skewed = np.concatenate([np.zeros(9_000), values[:1_000]])
    assert (
        1 <= len(cut_points(skewed, 32, 30)) <= 31 and not np.isin(cut_points(skewed, 32, 30), values).any()
    )


def test_max_bins_bounds_the_table(market: Market) -> None:
    """All seeds share the cuts; with cuts of their own, eight seeds would make eight times the bins."""
    card = fit_scorecard(market.frame, market.label, {"debt": 1, "noise": 0}, max_bins=8, seeds=3, folds=2)
    rows = card.points.filter(pl.col("kind") == "num").group_by("feature").len()
    assert rows["len"].max() <= 8  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"label": [2] + [0] * 199}, BadInput, "1 rows are not, the first is row 0"),
        ({"label": [None] + [0] * 199}, BadInput, "label must be 0 or 1"),
        ({"label": ["1"] * 200}, BadInput, "label must be numbers"),
        ({"label": [0, 1] * 99}, BadInput, r"label has shape \(198,\), the frame 200 rows"),
        ({"label": [0] * 200}, NotEnoughLabels, "0 of 200 labelled enterprises with a breach"),
        ({"label": [1] * 200}, NotEnoughLabels, "0 of 200 labelled enterprises without one"),
        ({"label": [1] * 49 + [0] * 151}, NotEnoughLabels, "49 of 200"),
        ({"directions": {"nosuch": 1, "debt": 1}}, BadInput, "no column nosuch"),
        ({"directions": {"debt": 2}}, BadInput, "direction is -1, 0 or"),
        ({"directions": {"trade": 1}}, BadInput, "trade is String, not a number"),
        ({"directions": {}}, BadInput, "no column is left to score"),
        ({"categorical": "trade"}, BadInput, "must be a list of columns"),
        ({"categorical": ["debt"]}, BadInput, "cannot have a direction"),
        ({"categorical": ["noise"]}, BadInput, "holds fractions"),
        ({"categorical": ["uscc"], "max_bins": 100}, BadInput, "200 values, more than 100"),
        ({"must_report": ["noise"]}, BadInput, "must_report names noise"),
        ({"weights": [1.0] * 199}, BadInput, "weights has shape"),
        ({"weights": [0.0] + [1.0] * 199}, BadInput, "weights must be positive"),
        ({"groups": [1, 2]}, BadInput, "groups has shape"),
        ({"min_samples_leaf": 5}, BadInput, "single out"),
        ({"seeds": 0}, BadInput, "seeds"),
        ({"seeds": [1, 1]}, BadInput, "seeds"),
        ({"max_bins": 256}, BadInput, "max_bins"),
        ({"folds": 1}, BadInput, "folds"),
    ],
)
def test_errors_say_what_is_wrong(
    market: Market, change: dict[str, Any], error: type[CreditPipelineError], message: str
) -> None:
    """Whoever runs the training job must see the cause in the message, not in a traceback of numpy."""
    arguments: dict[str, Any] = {"label": [0, 1] * 100, "directions": {"debt": 1}} | change
    with pytest.raises(error, match=message):
        fit_scorecard(market.frame.head(200), **arguments)


def test_nuisance_with_many_levels(market: Market) -> None:
    """A city has more inspectors than a table has bins; the rarest count as missing."""
    frame = market.frame.with_columns(who=pl.int_range(len(market.frame)) % 300)
    card = fit_scorecard(
        frame, market.label, {"penalties": 1}, nuisance=["who"], categorical=["who"], seeds=1, folds=2
    )
    assert card.features == ("penalties",) and card.metadata["nuisance"]["who"]["levels"] == 255
