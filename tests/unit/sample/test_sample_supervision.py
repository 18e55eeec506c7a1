"""Leads, recusals and lotteries of the synthetic city: they follow the hidden truth and the calendar."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest
from sent_files import Sample

from credit_pipeline.sample import business, enforcement, society, supervision
from credit_pipeline.sample.city import build_city
from credit_pipeline.sample.generator import inspectors_of
from credit_pipeline.sample.streams import history, increment, stream
from credit_pipeline.sample.tables import regions, units
from credit_pipeline.settings import POLICY_DIR

SEED = 11


def _rows(sample: Sample, feed: str) -> list[dict[str, str]]:
    return [table.record(number) for table in sample.tables(feed) for number in table.rows]


def test_violators_are_reported_more_often() -> None:
    """Prevents leads that say nothing about whom they name."""
    city, window = build_city(20_000, SEED), history()
    complaints = society.complaints(city, stream(SEED, "complaints"), window)
    leads = supervision.leads(city, stream(SEED, "leads"), window, complaints)
    probability = enforcement.breach_probability(city, window.end)
    for kind in supervision.LEAD_TYPES:
        firm = leads.filter(pl.col("lead_type") == kind)["_firm"].to_numpy()
        assert len(firm) > 100
        assert probability[firm].mean() > 1.5 * probability.mean(), kind


def test_a_complaint_lead_is_a_report_that_was_filed(clean_city: Sample) -> None:
    """Prevents leads from complaints that nobody made, or that were settled otherwise."""
    tickets = {row["ticket_no"]: row for row in _rows(clean_city, "complaints")}
    leads = [row for row in _rows(clean_city, "leads") if row["lead_type"] == "投诉举报"]
    assert leads
    for lead in leads:
        ticket = tickets[lead["source_ref"]]
        assert (ticket["kind"], ticket["outcome"]) == ("举报", "立案")
        assert ticket["uscc"] == lead["uscc"] and ticket["closed_date"] == lead["received_date"]


def test_recusals_name_inspectors_and_enterprises_of_their_place(clean_city: Sample) -> None:
    """Prevents recusals that no assignment could ever meet: of unknown people, or of a county that is not theirs."""
    home = {row["inspector_id"]: row["region"] for row in _rows(clean_city, "inspectors")}
    place = {row["uscc"]: row["region"] for row in _rows(clean_city, "registrations")}
    recusals = _rows(clean_city, "recusals")
    assert len(recusals) > 200
    declared = {(row["inspector_id"], row["uscc"], row["relation"]) for row in recusals}
    assert len({(inspector, uscc) for inspector, uscc, _ in declared}) == len(declared)
    own = [
        place[row["uscc"]] == home[row["inspector_id"]]
        for row in recusals
        if home[row["inspector_id"]] != "411300"
    ]
    assert len(own) > 50
    # A county without enterprises in so small a city borrows one.
    assert np.mean(own) > 0.95
    assert {row["relation"] for row in recusals if row["valid_to"]} == {"曾任职"}


def test_later_days_bring_late_recusals() -> None:
    """Prevents a city in which nobody ever has to be replaced after the assignment."""
    city, window = build_city(500, SEED), increment(2)
    late = supervision.recusals(city, stream(SEED, "recusals", 2), window, inspectors_of(SEED))
    assert len(late) > 0
    assert set(late["declared_date"]) == {date(2026, 11, 1)}


@pytest.mark.parametrize("source", sorted(supervision.LOTTERIES))
def test_lottery_issues_are_those_of_the_calendar(source: str) -> None:
    """Prevents numbers or days that the policy on sources of entropy refuses."""
    policy = pl.read_csv(POLICY_DIR / "entropy_sources.csv", infer_schema_length=0)
    [rule] = policy.filter(pl.col("source") == source).to_dicts()
    issues = supervision.public_entropy(SEED, history()).filter(pl.col("source") == source)
    assert issues["issue"].is_unique().all() and issues["issue"].is_sorted()
    assert issues["announced_date"].max() <= date(2026, 10, 31)
    assert set(issues["announced_date"].dt.weekday().cast(pl.String)) == set(rule["weekdays"].split("|"))
    assert issues["numbers"].str.contains(f"^{rule['numbers_pattern']}$").all()
    for numbers in issues["numbers"]:
        for part, (count, of) in zip(numbers.split("+"), supervision.LOTTERIES[source][0], strict=True):
            drawn = [int(number) for number in part.split(".")]
            assert drawn == sorted(set(drawn)) and len(drawn) == count and drawn[0] >= 1 and drawn[-1] <= of


def test_an_issue_is_the_same_on_whatever_day_it_is_told() -> None:
    """Prevents two samples of a seed that disagree about a public number, and issues that are skipped or repeated."""
    day_by_day = pl.concat(supervision.public_entropy(SEED, increment(day)) for day in range(2, 12))
    other = pl.concat(supervision.public_entropy(SEED, increment(day)) for day in (2, 3, 4))
    assert (
        day_by_day.filter(pl.col("announced_date") <= date(2026, 11, 3))
        .sort("source", "issue")
        .equals(other.sort("source", "issue"))
    )
    before = supervision.public_entropy(SEED, history())
    for source in supervision.LOTTERIES:
        last = int(before.filter(pl.col("source") == source)["issue"].max())  # type: ignore[arg-type]
        later = [int(issue) for issue in day_by_day.filter(pl.col("source") == source)["issue"]]
        assert later == list(range(last + 1, last + 1 + len(later)))


def test_investments_and_branches_are_told_from_the_right_end() -> None:
    """Prevents a branch that owns its head office, or an investment told of the enterprise that was bought."""
    city = build_city(5_000, SEED)
    edges = business.related_parties(city, stream(SEED, "related_parties"), history())
    branches = edges.filter(pl.col("relation") == "branch")
    parent = {city.uscc[i]: city.uscc[int(head)] for i, head in enumerate(city.parent) if head >= 0}
    assert dict(zip(branches["from_id"], branches["uscc"], strict=True)) == parent != {}
    investments = edges.filter(pl.col("relation") == "investment")
    head = {city.uscc[i]: city.uscc[int(first)] for i, first in enumerate(city.group_head)}
    assert len(investments) > 50
    assert [head[bought] for bought in investments["from_id"]] == investments["uscc"].to_list()
    assert investments["share_ratio"].null_count() == 0


def test_some_capitals_shrink() -> None:
    """Prevents an indicator of decreases that no enterprise of the city ever shows."""
    changes = business.registration_changes(
        build_city(3_000, SEED), stream(SEED, "registration_changes"), history()
    )
    of_capital = changes.filter(pl.col("changed_field") == "capital").select(
        pl.col("old_value", "new_value").str.extract(r"^(\d+)").cast(pl.Int64)
    )
    decreased = (of_capital["old_value"] > of_capital["new_value"]).mean()
    assert decreased is not None and 0.05 < decreased < 0.4


def test_inspectors_of_counties_serve_their_county() -> None:
    """Prevents directories in which a county's inspector belongs elsewhere; those of the city stand under its code."""
    people = inspectors_of(SEED)
    home = dict(zip(units().unit_id, units().region, strict=True))
    assert people["region"].to_list() == [home[unit] for unit in people["unit_id"]]
    assert set(people["region"]) <= {*regions().code, "411300"}
