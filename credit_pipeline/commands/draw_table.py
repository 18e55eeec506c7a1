"""One round as a table for people: `draw show`. Digests are cut where they only compare, never in what is written out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

_DIGITS = 16
"""Digits of a digest that are shown; the whole one stands in `--json`."""


def round_table(facts: Mapping[str, Any]) -> Table:
    """What `draw show` knows of a round, a line for each fact."""
    table = Table("what", "value", title=f"{facts['plan_id']} round {facts['round']}", title_justify="left")
    table.columns[1].overflow = "fold"
    for name, value in _lines(facts):
        table.add_row(name, value)
    return table


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    rule = facts["rule"]
    yield "state", f"{facts['state']} after step {facts['step']} ({facts['last_event']})"
    yield "waiting for", facts["waiting_for"] or "-"
    for unit, why in facts["without_inspectors"].items():
        yield f"no inspectors: {unit}", why
    for number, missing in enumerate(facts["missing_assurances"]):
        yield "" if number else "not proven", missing
    yield "frozen on", facts["frozen_date"]
    yield "frame", f"{facts['frame_size']:,} rows, {facts['eligible_count']:,} eligible"
    yield "rows by unit", ", ".join(f"{unit} {size:,}" for unit, size in sorted(facts["unit_sizes"].items()))
    drawn = facts["drawn_count"]
    yield "drawn", "not yet" if drawn is None else f"{drawn:,}"
    yield (
        "after the draw",
        (
            f"{facts['top_ups']} top-up(s), {facts['waves']} wave(s) of inspectors, {facts['replacements']} replaced"
        ),
    )
    items = (f"{one['item_code']} {one['item_name']}" for one in rule["items"])
    yield "items", ", ".join(items)
    yield "initiator", rule["initiator"] + "".join(f", with {one}" for one in rule["cooperating_units"])
    yield "inspectors a visit", str(rule["inspectors_per_visit"])
    yield "entropy", facts["entropy"] or _expected_entropy(rule["entropy"])
    committed = dict(facts["commitments"])
    for party in rule["parties"]:
        name = party["party"]
        said = f"committed {short(committed[name])}" if name in committed else "not committed"
        yield f"party {name}", f"{said}, key {short(party['signing_key'])}"
    for name in ("freeze_root", "frame_root", "seed_commitment", "draw_sql_sha256"):
        yield name, short(facts[name])
    for number, root in enumerate(facts["wave_roots"], start=1):
        yield f"roster of wave {number}", short(root)
    for name, digest in sorted(facts["files"].items()):
        yield f"file {name}", short(digest)


def _expected_entropy(entropy: Mapping[str, Any]) -> str:
    fallback = "".join(f", else {one}" for one in entropy["fallback"])
    return f"{entropy['source']}{fallback}, {entropy['lag_days']} day(s) after the commitments"


def short(digest: str | None) -> str:
    """The first digits of a digest."""
    if not digest:
        return "-"
    return digest if len(digest) <= _DIGITS else f"{digest[:_DIGITS]}…"
