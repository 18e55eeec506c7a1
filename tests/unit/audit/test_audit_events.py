"""The catalogue of events against the code that writes them, and the house's own words about each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from credit_pipeline.audit.events import EVENTS, RUN_FACTS, unknown_parts
from credit_pipeline.audit.log_records import DENIED_KEYS
from credit_pipeline.inspection.rounds.record import ROUND_EVENTS, RoundRecord

PACKAGE = Path(__file__).resolve().parents[3] / "credit_pipeline"
FREE_EVENT_NAMES = {"WRITTEN_EVENT": ["draw_bundle_written"], "record.last_event": list(ROUND_EVENTS)}
"""Names of variables that hold an event, and what they can hold."""


def written_events() -> Iterator[tuple[str, list[str], set[str], bool]]:
    """(place, events, keys, whether run_facts are among them) of every append to the log in the code."""
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in ast.walk(tree):
            # A list's append takes one value; the log's an event and a stage at least.
            if (
                not isinstance(call, ast.Call)
                or len(call.args) < 2
                or not isinstance(call.func, ast.Attribute)
            ):
                continue
            if call.func.attr == "append" and ast.unparse(call.func.value) != "np":
                given = {keyword.arg for keyword in call.keywords if keyword.arg}
                spread = [ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg is None]
                place = f"{path.relative_to(PACKAGE)}:{call.lineno}"
                yield place, names_of(call.args[0]), given, any("run_facts" in text for text in spread)


def names_of(argument: ast.expr) -> list[str]:
    """The events that the first argument of an append can be."""
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.IfExp):
        return names_of(argument.body) + names_of(argument.orelse)
    return FREE_EVENT_NAMES.get(ast.unparse(argument), [])


APPENDS = list(written_events())


def test_the_code_is_searched() -> None:
    """Prevents a search that finds nothing and so passes everything."""
    found = {event for _, events, _, _ in APPENDS for event in events}
    assert (
        len(APPENDS) > 25
        and {"feed_ingested", "warehouse_built", "model_rolled_back", "round_drawn"} <= found
    )


@pytest.mark.parametrize("append", APPENDS, ids=lambda append: append[0])
def test_every_append_names_a_known_event_with_known_details(
    append: tuple[str, list[str], set[str], bool],
) -> None:
    """Prevents an event that nobody can look up, and a detail that the catalogue does not explain."""
    place, events, keys, has_run_facts = append
    if place.startswith("audit/alerts.py") and not events:
        events = ["feeds_need_attention", "inspections_need_attention", "extracts_need_attention"]
    assert events, f"{place}: the event is neither written out nor a known variable"
    for event in events:
        assert event in EVENTS, f"{place}: add {event} to audit/events.py"
        assert keys <= EVENTS[event].keys, (
            f"{place}: {event} has the details {sorted(keys - EVENTS[event].keys)}"
        )
        assert not has_run_facts or EVENTS[event].keys >= RUN_FACTS, f"{place}: {event} takes run_facts"


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_is_written_somewhere_and_explained(event: str) -> None:
    """Prevents a catalogue that promises what no code writes, and one that could hold a grade."""
    assert event == "TORN_LINE_CUT" or event in _all_written()
    assert EVENTS[event].description.endswith(".")
    assert any("\u4e00" <= character <= "\u9fff" for character in EVENTS[event].label)
    assert not EVENTS[event].keys & DENIED_KEYS


def _all_written() -> set[str]:
    """Events of the code; alerts hand theirs on by a parameter."""
    return {event for _, events, _, _ in APPENDS for event in events} | {
        "feeds_need_attention",
        "inspections_need_attention",
        "extracts_need_attention",
    }


def test_a_round_tells_its_whole_record() -> None:
    """Prevents a field of a round that its events do not explain."""
    for event in ROUND_EVENTS:
        assert EVENTS[event].keys == {item.name for item in fields(RoundRecord)}


def test_unknown_parts_are_named() -> None:
    assert unknown_parts("feed_ingested", {"feed": "x", "colour": 1}) == ["detail colour of feed_ingested"]
    assert unknown_parts("tea_made", {}) == ["event tea_made"]
    assert unknown_parts("day_finished", dict.fromkeys(RUN_FACTS)) == []
