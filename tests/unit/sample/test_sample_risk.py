"""The hidden risk drives what the feeds show, at the rates of a real city."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sent_files import Sample

from credit_pipeline.sample import listings, permits, ratings
from credit_pipeline.sample.city import City, build_city
from credit_pipeline.sample.enforcement import breach_probability, inspection_results, is_serious, penalties
from credit_pipeline.sample.streams import GO_LIVE, day_number, history, stream

END = day_number(GO_LIVE)


@pytest.fixture(scope="module")
def firms() -> City:
    return build_city(20_000, 7)


def per_firm(city: City, data: pl.DataFrame) -> np.ndarray:
    return np.bincount(data["_firm"].to_numpy(), minlength=len(city))


def test_the_latent_risk_is_about_standard_normal(firms: City) -> None:
    """Prevents rates that drift when trades or groups are edited."""
    assert abs(firms.risk.mean()) < 0.15
    assert 0.85 < firms.risk.std() < 1.15


def test_a_group_shares_its_risk(firms: City) -> None:
    """Prevents related parties that say nothing about each other."""
    member = np.flatnonzero((firms.group >= 0) & (firms.group_head != np.arange(len(firms))))
    assert np.corrcoef(firms.risk[member], firms.risk[firms.group_head[member]])[0, 1] > 0.2


def test_bad_events_follow_risk_and_honours_shun_it(firms: City) -> None:
    """Prevents feeds that no scorecard could learn from."""
    window = history()
    for function, sign in (
        (penalties, 1), (listings.abnormal_listings, 1), (listings.serious_violations, 1),
        (listings.judgment_defaulters, 1), (permits.honours, -1),
    ):  # fmt: skip
        count = per_firm(firms, function(firms, stream(7, function.__name__), window))
        low, high = firms.risk < np.quantile(firms.risk, 0.3), firms.risk > np.quantile(firms.risk, 0.7)
        assert sign * (count[high].mean() - count[low].mean()) > 0.5 * count.mean(), function.__name__


def test_evaluations_are_a_noisy_view_of_risk(firms: City) -> None:
    """Prevents an evaluation that is the answer, or nothing."""
    data = ratings.public_credit_evaluations(firms, stream(7, "evaluations"), history())
    link = np.corrcoef(data["evaluation_score"].to_numpy(), firms.risk[data["_firm"].to_numpy()])[0, 1]
    assert -0.9 < link < -0.5


def test_rates_are_those_of_a_real_city(firms: City) -> None:
    """Prevents a city in which labels are too rare or too common to train on."""
    window, since = history(), GO_LIVE.replace(year=2025)
    alive = firms.alive(slice(None), day_number(since)).sum()
    punished = penalties(firms, stream(7, "penalties"), window).filter(pl.col("decision_date") > since)
    assert 0.03 < punished["_firm"].n_unique() / alive < 0.055
    checks = inspection_results(firms, stream(7, "inspection_results"), window).filter(
        pl.col("check_date") > since
    )
    inspected = checks["_firm"].unique()
    assert 0.24 < len(inspected) / alive < 0.33
    serious = set(checks.filter(pl.Series(is_serious(checks)))["_firm"])
    serious |= set(punished.filter(pl.col("severity") == "serious")["_firm"]) & set(inspected)
    assert 0.055 < len(serious) / len(inspected) < 0.09
    promised = breach_probability(firms, day_number(since))[inspected.to_numpy()].mean()
    assert abs(promised - len(serious) / len(inspected)) < 0.015


def test_random_inspections_have_a_probability_others_have_none(firms: City) -> None:
    """Prevents weights for visits whose chance nobody knows."""
    data = inspection_results(firms, stream(7, "inspection_results"), history())
    random = data["origin"] == "random"
    assert data.filter(random)["inclusion_probability"].is_between(0.001, 1).all()
    assert data.filter(~random)["inclusion_probability"].null_count() == data.filter(~random).height


def test_nothing_happens_to_an_enterprise_that_does_not_exist(firms: City) -> None:
    """Prevents penalties before the founding and after the end, which the key lists as dirt."""
    data = penalties(firms, stream(7, "penalties"), history())
    day = data["decision_date"].cast(pl.Int32).to_numpy()
    firm = data["_firm"].to_numpy()
    assert (firms.established[firm] <= day).all()
    assert (day < firms.ended[firm]).all()
    assert day.max() <= END


def test_the_truth_covers_the_register(three_days: Sample) -> None:
    """Prevents enterprises without a true risk, and a truth that a run could take for a feed."""
    truth = pl.read_parquet(three_days.out / "_truth" / "risk.parquet")
    assert truth.columns == ["uscc", "latent_risk", "breach_probability_12m"]
    assert truth["uscc"].is_unique().all()
    assert truth["breach_probability_12m"].is_between(0, 1).all()
    assert len(truth) == three_days.summary.enterprises
    assert 400 < len(truth) < 410
