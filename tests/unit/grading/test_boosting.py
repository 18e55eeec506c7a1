"""The boosting itself: the model as it was made, step by step, against the table that grades."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Market
from credit_pipeline.grading.boosting import Boosted, Options, boost, coding_of
from credit_pipeline.grading.tabulation import Table
from credit_pipeline.grading.training_data import Column, Sample, prepare

FEW = Options(seeds=(0, 1), learning_rate=0.1, min_samples_leaf=30, l2=1.0, max_bins=255, max_iter=40)


def learned(
    frame: pl.DataFrame, label: np.ndarray, directions: dict[str, int], options: Options = FEW, **roles: Any
) -> tuple[Boosted, Table, tuple[Column, ...], Sample]:
    columns, sample = prepare(frame, label, directions, **roles)
    return *boost(columns, sample, options), columns, sample


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    direction=st.sampled_from([-1, 0, 1]),
    gaps=st.sampled_from([0.0, 0.005, 0.3, 1.0]),
    distinct=st.sampled_from([1, 2, 7, 10_000]),
    related=st.booleans(),
)
def test_the_table_is_the_model_and_keeps_its_directions(
    seed: int, direction: int, gaps: float, distinct: int, related: bool
) -> None:
    """Whatever the data, the sum of the steps is the table to 1e-9, and no bin goes against its direction."""
    random = np.random.default_rng(seed)
    rows = 400
    x = np.floor(random.normal(size=rows) * distinct) / distinct
    x[random.random(rows) < 0.02] = np.inf
    z = -x if related else random.lognormal(size=rows)
    odds = np.nan_to_num(x, posinf=2.0) * random.choice([-1, 0, 1]) + random.normal(size=rows)
    label = (np.argsort(np.argsort(odds)) > rows * 0.7).astype(int)
    frame = pl.DataFrame(
        {
            "x": np.where(random.random(rows) < gaps, np.nan, x),
            "z": z,
            "kind": random.choice(["a", "b", "rare"], rows, p=[0.6, 0.38, 0.02]),
        }
    )
    model, table, columns, sample = learned(
        frame, label, {"x": direction, "z": -direction}, categorical=["kind"]
    )
    every = [np.arange(c.bins.size + 1) for c in columns]
    tried = np.stack([g.ravel() for g in np.meshgrid(*(random.choice(e, 12) for e in every))], axis=1)
    tried = np.concatenate([tried, sample.positions])
    assert np.abs(model.at(tried) - table.mean_at(tried)).max() <= 1e-9
    assert np.abs(model.decision_function(frame) - table.mean_at(sample.positions)).max() <= 1e-9
    for column, points in zip(columns, table.points, strict=True):
        assert (np.diff(points[:, :-1], axis=1) * column.direction >= 0).all()


def test_related_columns_share_the_effect(market: Market) -> None:
    """Boosting that takes one column at a time gives all to one of two twins, by chance: the other loses its points."""
    random = np.random.default_rng(4)
    debt = np.log(market.frame["debt"].fill_nan(1.0).to_numpy())
    frame = pl.DataFrame({f"d{k}": debt + 0.2 * random.normal(size=len(debt)) for k in range(3)})
    _, table, _, sample = learned(frame, market.label, dict.fromkeys(frame.columns, 1))
    spread = [points[at].std() for points, at in zip(table.means(), sample.positions.T, strict=True)]
    assert min(spread) > 0.5 * max(spread)


def test_columns_of_noise_get_next_to_nothing(market: Market) -> None:
    """If every column moved in every round, forty columns of noise would drown one of substance."""
    random = np.random.default_rng(5)
    noise = {f"n{k}": random.normal(size=len(market.label)) for k in range(40)}
    frame = pl.DataFrame({"debt": market.frame["debt"], **noise})
    _, table, columns, sample = learned(frame, market.label, dict.fromkeys(frame.columns, 1))
    spread = {
        c.name: points[at].std()
        for c, points, at in zip(columns, table.means(), sample.positions.T, strict=True)
    }
    assert max(spread[name] for name in noise) < spread["debt"] / 4


def test_small_bins_are_not_learned_alone(market: Market) -> None:
    """A category or a gap of a few enterprises would single them out, and its points would be noise."""
    rows = len(market.label)
    rare = np.where(np.arange(rows) < 20, "rare1", np.where(np.arange(rows) < 40, "rare2", "usual"))
    few = pl.Series(market.frame["penalties"]).scatter(range(29), None)
    frame = pl.DataFrame({"kind": rare, "few": few, "one": ["x"] * (rows - 1) + ["y"]})
    columns, sample = prepare(frame, market.label, {"few": 1}, categorical=["kind", "one"])
    coding = coding_of(columns, sample, 30)
    few_slots, kind, one = (coding.slots[[c.name for c in columns].index(n)] for n in ("few", "kind", "one"))
    assert few_slots[-1] == np.median(sample.positions[:, 0])
    assert kind[0] == kind[1] == kind[-1] != kind[2]
    assert one[1] == one[-1] == coding.unseen and one[0] == 0


def test_rounds_stop_where_the_held_rows_say(market: Market) -> None:
    """Boosted on without end, a card learns its training rows by heart."""
    random = np.random.default_rng(6)
    frame = pl.DataFrame({f"n{k}": random.normal(size=1_000) for k in range(5)})
    label = random.integers(0, 2, 1_000)
    options = Options((0, 1, 2), 0.1, 30, 1.0, 255, 1000)
    model, table, _, sample = learned(frame, label, dict.fromkeys(frame.columns, 0), options)
    assert model.rounds < 30
    assert table.mean_at(sample.positions).std() < 0.3


def test_a_category_too_rare_to_learn_has_no_points_of_its_own(market: Market) -> None:
    """Points of a category that one enterprise has would tell its label."""
    rows = len(market.label)
    kind = np.where(np.arange(rows) == np.flatnonzero(market.label == 1)[0], "single", "usual")
    frame = pl.DataFrame({"debt": market.frame["debt"], "kind": kind})
    _, table, columns, _ = learned(frame, market.label, {"debt": 1}, categorical=["kind"])
    points = table.points[[c.name for c in columns].index("kind")]
    assert not points[:, 0].any() and not points[:, -1].any()


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_the_scale_of_weights_does_not_matter(market: Market, scale: float) -> None:
    """Design weights of 1 to 20 and inclusion probabilities inverted must shrink alike."""
    plain = learned(market.frame, market.label, {"penalties": 1, "debt": 1})[1]
    columns, sample = prepare(
        market.frame, market.label, {"penalties": 1, "debt": 1}, weights=np.full(len(market.label), scale)
    )
    scaled = boost(columns, sample, FEW)[1]
    for a, b in zip(plain.means(), scaled.means(), strict=True):
        assert a == pytest.approx(b, abs=1e-6)
