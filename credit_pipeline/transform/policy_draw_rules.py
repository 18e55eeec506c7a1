"""The rules of draws: who takes part with which keys, where entropy comes from, and why somebody may be replaced."""

from __future__ import annotations

import re

from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.transform.policy_check import PackCheck, whole
from credit_pipeline.transform.policy_pack import Row

PARTY = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
SOURCE = re.compile(r"[0-9A-Z]{2,8}", re.ASCII)
KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
OWN_PARTY = "credit_office"
NO_SOURCE = "NONE"
TOPUP_REASONS = {"deregistered", "revoked", "untraceable", "merged", "moved_out"}
"""The closed list: why a drawn enterprise cannot be inspected. Whatever else happens, the draw stands."""


def _parts(text: str) -> list[str]:
    return text.split("|") if text else []


def distinct(pack: PackCheck, table: str, row: Row, column: str) -> list[str]:
    """The values of a cell that lists them, each named once."""
    found = _parts(row[column])
    for value in sorted({value for value in found if found.count(value) > 1}):
        pack.add(table, row, column, "named_twice", f"{value!r} is named twice", "name each once")
    return found


def draw_tables(pack: PackCheck) -> None:
    """Top-up reasons, parties and sources of entropy."""
    _topup_reasons(pack)
    _parties(pack)
    _sources(pack)


def _topup_reasons(pack: PackCheck) -> None:
    table = "topup_reasons"
    pack.one_of(table, "reason", TOPUP_REASONS)
    feeds = set(feed_names())
    for row in pack.rows(table):
        for feed in distinct(pack, table, row, "evidence"):
            if feed not in feeds:
                pack.add(table, row, "evidence", "reference", f"there is no feed {feed!r}",
                         "name feeds of the catalogue, joined by '|'")  # fmt: skip


def _parties(pack: PackCheck) -> None:
    table = "draw_parties"
    held: dict[tuple[str, str], Row] = {}
    for row in pack.rows(table):
        if not PARTY.fullmatch(row["party"]):
            pack.add(table, row, "party", "not_a_code", "no name of a party",
                     "write up to 32 small letters, digits and _, a letter first")  # fmt: skip
        for column in ("signing_key", "age_recipient"):
            value = row[column]
            if not value:
                if row["party"] != OWN_PARTY:
                    pack.add(table, row, column, "key_missing", "only the credit office's own key is the system's",
                             "ask the party for its public key")  # fmt: skip
                continue
            wrong = _wrong_key(column, value)
            if wrong:
                pack.add(table, row, column, "not_a_key", wrong,
                         "copy the party's public key anew: 64 hex digits in small letters"
                         if column == "signing_key" else "copy the party's age recipient anew: age1…")  # fmt: skip
            other = held.setdefault((column, value), row)
            if other["party"] != row["party"]:
                pack.add(table, row, column, "key_twice", f"{other['party']} (line {other.line}) has the same key",
                         "every party holds a key of its own")  # fmt: skip
    if pack.has(table) and OWN_PARTY not in pack.values(table, "party"):
        pack.add(table, None, "party", "row_missing", f"{OWN_PARTY} is missing", "restore its row")


def _wrong_key(column: str, value: str) -> str:
    if column == "signing_key":
        return "" if KEY.fullmatch(value) and len(set(value)) > 1 else "no Ed25519 public key"
    import pyrage  # type: ignore[import-untyped]

    try:
        pyrage.x25519.Recipient.from_str(value)
    except pyrage.RecipientError:
        return "no age recipient"
    return ""


def _sources(pack: PackCheck) -> None:
    table = "entropy_sources"
    for row in pack.rows(table):
        is_none = row["source"] == NO_SOURCE
        if not SOURCE.fullmatch(row["source"]):
            pack.add(
                table,
                row,
                "source",
                "not_a_code",
                "no name of a source",
                "write 2 to 8 capital letters and digits",
            )
        bits = whole(row["bits_x10"])
        if bits is not None and not (bits == 0 if is_none else 1 <= bits <= 2560):
            pack.add(
                table,
                row,
                "bits_x10",
                "out_of_range",
                "tenths of a bit, 1 to 2560; 0 only for NONE",
                "correct it",
            )
        if is_none:
            continue
        try:
            re.compile(row["numbers_pattern"])
            broken = not row["numbers_pattern"]
        except re.error:
            broken = True
        if broken:
            pack.add(table, row, "numbers_pattern", "not_a_pattern", "no regular expression of its numbers",
                     r"write one, for example \d{2}(\.\d{2}){19}")  # fmt: skip
        days = distinct(pack, table, row, "weekdays")
        if not days or any(day not in set("1234567") for day in days):
            pack.add(table, row, "weekdays", "not_allowed", "no days of the week",
                     "write 1 (Monday) to 7 (Sunday) joined by '|'")  # fmt: skip
