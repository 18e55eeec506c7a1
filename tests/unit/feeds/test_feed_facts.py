"""What SQL knows of the catalogue, and the catalogue's own rules about senders and dates."""

from __future__ import annotations

import ast
from datetime import date

import polars as pl
import pytest
from pydantic import ValidationError

from credit_pipeline.feeds.catalogue import Feed, get_feed, load_catalogue
from credit_pipeline.feeds.contract_schema import POLARS_TYPES, build_schema, schema_failures
from credit_pipeline.feeds.feed_facts import feed_facts
from credit_pipeline.settings import DBT_PROJECT_DIR


def test_the_macro_says_what_the_catalogue_says() -> None:
    """Prevents models that miss a feed, or compare the wrong key."""
    text = (DBT_PROJECT_DIR / "macros" / "feed_facts.sql").read_text(encoding="utf-8")
    literal = text[text.index("return(") + len("return") : text.rindex("}}")]
    assert ast.literal_eval(literal.strip()) == feed_facts()


def test_columns_of_the_sender_exist_and_name_nobody() -> None:
    """Prevents a quality report by person, or by a column that is not there."""
    feed = get_feed("complaints").model_dump()
    for column in ("no_such_column", "complainant_name"):
        with pytest.raises(ValidationError):
            Feed.model_validate(feed | {"unit_columns": [column]})


def test_codes_of_penalties_mean_nothing_elsewhere() -> None:
    """Prevents CF_ZT from being read in a feed whose standard gives it no meaning."""
    for name, feed in load_catalogue().items():
        headers = {header for column in feed.columns for header in column.source_names}
        assert ("CF_ZT" in headers) == (name == "penalties"), name
        assert feed.columns[-1].name == "quarantine_id"


def test_a_date_may_have_to_follow_several() -> None:
    """Prevents a second bound that is not checked, and a missing date that counts as reversed."""
    licences = get_feed("licences")
    given = licences.model_dump() | {"not_before": {"valid_to": ["valid_from", "decision_date"]}}
    feed = Feed.model_validate(given)
    assert feed.date_order == [("valid_to", "valid_from"), ("valid_to", "decision_date")]
    days = {
        "valid_to": ["2026-05-01", "2026-05-01", "2026-05-01", "2026-05-01"],
        "valid_from": ["2026-04-01", "2026-06-01", None, "2026-04-01"],
        "decision_date": ["2026-04-01", "2026-04-01", "2026-06-01", None],
    }
    frame = pl.DataFrame(
        {
            column.name: pl.Series(days[column.name]).str.to_date()
            if column.name in days
            else pl.Series([None] * 4, dtype=POLARS_TYPES.get(column.type, pl.String))
            for column in feed.stored_columns
        }
    )
    found = schema_failures(build_schema(feed, date(2026, 12, 31)), frame)
    assert [rows.to_list() for _, rule, rows in found if rule == "period_reversed"] == [[1, 2]]
