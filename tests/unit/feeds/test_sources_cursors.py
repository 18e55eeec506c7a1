"""Cursors step back and compare as their sources mean them; records and pages are found as servers write them."""

from __future__ import annotations

import json
from datetime import date

import pytest
from feeds_support import quick
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds.sources.config import HttpSource
from credit_pipeline.feeds.sources.cursors import (
    Lookback,
    is_future,
    kind_of,
    ordered,
    parse_lookback,
    stepped_back,
)
from credit_pipeline.feeds.sources.json_records import Missing, at_path, parse, raw_records
from credit_pipeline.feeds.sources.pages import first_position, next_position, request_of
from credit_pipeline.feeds.sources.problems import SourceProblem


@pytest.mark.parametrize(
    ("cursor", "lookback", "expected"),
    [
        ("100", "30", "70"),
        ("12345678901234567890", "1", "12345678901234567889"),
        ("2026-03-01", "1 day", "2026-02-28"),
        ("2026-03-01", "1 hour", "2026-02-28"),
        ("2026-10-31 00:30:00", "1 hour", "2026-10-30 23:30:00"),
        ("2026-10-31T00:30:00Z", "30 minutes", "2026-10-31T00:00:00Z"),
        ("2026-10-31T00:30:00.5+08:00", "1 second", "2026-10-31T00:29:59.500000+08:00"),
        ("2026-10-31 15:59:59.999000+00", "1 hour", "2026-10-31 14:59:59.999000+00"),
        ("0001-01-01", "2 days", "0001-01-01"),
        ("anything", "0", "anything"),
    ],
)
def test_a_cursor_steps_back_in_its_own_form(cursor: str, lookback: str, expected: str) -> None:
    """Prevents a server from being asked in a form that it does not write itself."""
    assert stepped_back(cursor, kind_of(cursor), parse_lookback(lookback)) == expected


@pytest.mark.parametrize(("cursor", "lookback"), [("100", "1 day"), ("2026-10-31", "5"), ("abc", "5")])
def test_a_lookback_that_does_not_fit_is_an_error(cursor: str, lookback: str) -> None:
    """Prevents a look-back that is silently none."""
    with pytest.raises(ValueError, match=r"look-back"):
        stepped_back(cursor, kind_of(cursor), parse_lookback(lookback))


def test_moments_compare_across_zones() -> None:
    """Prevents a cursor from moving backwards because one row is written in another zone."""
    east, west = "2026-10-31T08:00:00+08:00", "2026-10-31T01:00:00Z"
    assert ordered(east, "timestamptz") < ordered(west, "timestamptz")
    assert ordered("9", "integer") < ordered("10", "integer")
    assert parse_lookback(5) == Lookback(number=5)


def test_a_row_of_the_year_2099_does_not_move_the_cursor() -> None:
    """Prevents one typing error from ending a source for ever."""
    today = date(2026, 10, 31)
    assert is_future("2099-12-31 00:00:00", "timestamp", today) and not is_future("2026-11-01", "date", today)
    assert not is_future("20991231", "integer", today)


NUMBERS = st.sampled_from(["1.10", "12345678901234567890123", "0.1e-7", "-0", "1E5", "100000000000000000.01"])
STRINGS = st.text(max_size=8).map(json.dumps) | st.text(max_size=8).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
VALUES = st.recursive(
    NUMBERS | STRINGS.filter(lambda text: not any("\ud800" <= c <= "\udfff" for c in text)) | st.just("null"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[ " + " ,\n".join(items) + "]")
        | st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name} :{value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)


@quick
@given(records=st.lists(VALUES, max_size=4), before=VALUES)
def test_records_are_kept_to_the_letter(records: list[str], before: str) -> None:
    """Prevents a number from changing on its way: 1.10, more digits than a float holds."""
    text = f'{{"first": {before}, "data" : {{"n": 1, "items":\n[{" , ".join(records)}\n]}}}}'
    found = raw_records(text, "data.items")
    assert [parse(item) for item in found] == at_path(parse(text), "data.items")
    assert all("\n" not in item and len(item.splitlines()) <= 1 for item in found)
    plain = [record for record in records if len(record.splitlines()) <= 1]
    assert [item for item in found if item in plain] == plain or len(plain) != len(records)


def test_of_two_members_of_one_name_the_last_counts() -> None:
    """Prevents records from being taken from another array than the one that was checked."""
    assert raw_records('{"d": [1], "d": [2.50, {"a": 1e3}]}', "d") == ["2.50", '{"a": 1e3}']
    assert raw_records(" [ ] ", "") == []
    for text, path in (('{"d": 1}', "d"), ('{"d": []}', "e"), ("[]", "d")):
        with pytest.raises(Missing):
            raw_records(text, path)


def source(**changes: object) -> HttpSource:
    return HttpSource.model_validate(
        {"name": "a", "kind": "http", "url": "https://h/v1", "paging": {"kind": "page"}, **changes}
    )


def test_a_short_page_is_not_the_last() -> None:
    """Prevents losing the rest from a server that sends fewer than asked for."""
    page = source(paging={"kind": "page", "first": 0, "size_parameter": "size", "size": 500})
    assert request_of(page, first_position(page), None) == ("https://h/v1", {"page": "0", "size": "500"})
    assert next_position(page, {"page": 0}, {}, 100, None, False) == {"page": 1}
    assert next_position(page, {"page": 1}, {}, 0, None, False) is None
    assert next_position(page, {"page": 1}, {}, 100, None, True) is None
    offset = source(paging={"kind": "offset", "size": 500})
    assert next_position(offset, {"offset": 500}, {}, 100, None, False) == {"offset": 600}


def test_tokens_and_links_lead_on() -> None:
    """Prevents an end where there is a next page, and a next page where there is none."""
    token = source(
        paging={"kind": "cursor", "next": "page.next"}, increment={"field": "id", "parameter": "since"}
    )
    assert next_position(token, {}, {"page": {"next": "abc"}}, 0, None, False) == {"token": "abc"}
    for answer in ({}, {"page": {}}, {"page": {"next": None}}, {"page": {"next": ""}}):
        assert next_position(token, {}, answer, 3, None, False) is None
    assert request_of(token, {"token": "abc"}, "7")[1] == {"since": "7", "cursor": "abc"}
    link = source(paging={"kind": "link"}, auth={"kind": "query", "parameter": "key", "token": "${secret:A}"})
    following = next_position(link, {}, {}, 3, "/v1?b=2&key=abc&c=", False)
    assert following == {"url": "https://h/v1?b=2&c="}, "the token is not kept"


@pytest.mark.parametrize("address", ["https://other/v1", "http://h/v1", "https://h:8443/v1", "//evil/v1"])
def test_the_token_goes_to_no_other_server(address: str) -> None:
    """Prevents an answer from having us send the token elsewhere."""
    with pytest.raises(SourceProblem, match="another server"):
        next_position(source(paging={"kind": "link", "next": "next"}), {}, {"next": address}, 3, None, False)
