"""A synthetic market whose true risk is known, and a scorecard fitted to it once for all tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest

from credit_pipeline.grading.boosting import Boosted, Options, boost
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.grading.training_data import prepare

DIRECTIONS = {"penalties": 1, "paid_rate": -1, "debt": 1, "noise": 0, "constant": 1, "never_known": -1}
CATEGORICAL = ("trade", "band")
MUST_REPORT = ("debt", "paid_rate")
SETTINGS: dict[str, Any] = {"seeds": (0, 3), "folds": 2}


@dataclass(frozen=True)
class Market:
    frame: pl.DataFrame
    label: np.ndarray
    true_log_odds: np.ndarray


def make_market(rows: int, seed: int) -> Market:
    """Enterprises with counts, rates, heavy tails, gaps, categories with awkward names, and inspectors."""
    random = np.random.default_rng(seed)
    penalties = random.poisson(0.8, rows)
    paid_rate = random.beta(4, 1, rows)
    debt = random.lognormal(0, 2, rows)
    noise = random.normal(size=rows)
    trade = random.choice(["餐饮", "O'Hara\\n", "retail", "", "rare"], rows, p=[0.3, 0.2, 0.3, 0.195, 0.005])
    band = random.integers(1, 5, rows)
    inspector = random.choice([f"inspector {i}" for i in range(6)], rows)
    hides_debt = random.random(rows) < 0.1
    hides_rate = random.random(rows) < 0.05
    log_odds = (
        -2.2
        + 0.9 * np.minimum(penalties, 4)
        - 2.0 * (paid_rate - 0.8)
        + 0.4 * np.log(debt)
        + np.select([trade == "餐饮", trade == "retail"], [0.7, -0.5], 0.0)
        + 0.2 * (band == 3)
    )
    log_odds = np.where(
        hides_debt, log_odds - 2.5, log_odds
    )  # those who hide look better: the must_report case
    seen = log_odds + 0.4 * np.array([int(name[-1]) for name in inspector]) - 1.0
    label = (random.random(rows) < 1 / (1 + np.exp(-seen))).astype(int)
    frame = pl.DataFrame(
        {
            "uscc": [f"U{i:06d}" for i in range(rows)],
            "penalties": penalties,
            "paid_rate": pl.Series(paid_rate).set(pl.Series(hides_rate), None),
            "debt": np.where(hides_debt, np.nan, debt),
            "noise": noise,
            "constant": np.full(rows, 7.5),
            "never_known": pl.Series([None] * rows, dtype=pl.Float64),
            "trade": pl.Series(trade).set(pl.Series(random.random(rows) < 0.05), None),
            "band": band,
            "inspector": inspector,
        }
    )
    return Market(frame, label, log_odds)


@pytest.fixture(scope="session")
def market() -> Market:
    return make_market(4_000, seed=11)


@pytest.fixture(scope="session")
def later_market() -> Market:
    """The same world, other enterprises: nothing of it was seen in training."""
    return make_market(3_000, seed=12)


@pytest.fixture(scope="session")
def card(market: Market) -> Scorecard:
    from credit_pipeline.grading import fit_scorecard

    return fit_scorecard(
        market.frame,
        market.label,
        DIRECTIONS,
        nuisance=["inspector"],
        categorical=CATEGORICAL,
        must_report=MUST_REPORT,
        **SETTINGS,
    )


@pytest.fixture(scope="session")
def free_card(market: Market) -> Scorecard:
    """No nuisance, no must_report: this one must equal its models everywhere."""
    from credit_pipeline.grading import fit_scorecard

    return fit_scorecard(market.frame, market.label, DIRECTIONS, categorical=CATEGORICAL, **SETTINGS)


@pytest.fixture(scope="session")
def free_model(market: Market) -> Boosted:
    """The model behind `free_card`, fitted anew: fits repeat exactly."""
    columns, sample = prepare(market.frame, market.label, DIRECTIONS, categorical=CATEGORICAL)
    options = Options(
        seeds=SETTINGS["seeds"], learning_rate=0.1, min_samples_leaf=30, l2=1.0, max_bins=255, max_iter=1000
    )
    return boost(columns, sample, options)[0]


def hostile_rows(card: Scorecard, frame: pl.DataFrame) -> pl.DataFrame:
    """Rows on every threshold and one bit beside it, with infinities, NaN, NULL and unknown categories."""
    rows = [frame.head(300)]
    for feature in card.features:
        bins = card.points.filter((pl.col("feature") == feature) & (pl.col("kind") == "num"))
        dtype = frame.schema[feature]
        if len(bins):
            edges = np.array(bins["upper"].drop_nulls(), dtype=np.float64)
            beside = [edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)]
            values: list[Any] = [*np.concatenate(beside).tolist(), np.inf, -np.inf, np.nan, None, 0.0, -0.0]
            if not dtype.is_float():
                values = [*range(-1, 12), 2**62, None]
        else:
            values = ["nobody knows", None] if dtype == pl.String else [99, -1, None]
        some = frame.slice(len(rows), len(values))
        rows.append(some.with_columns(pl.Series(feature, values, dtype=dtype, strict=False)))
    return pl.concat(rows)
