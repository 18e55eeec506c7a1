"""Cursors: how far a source has been read, and from where the next fetch asks.

A cursor is kept as the text in which the source wrote it, with its kind. Here: reading look-backs, stepping a cursor
back, and telling a cursor that lies in the future. Comparing cursors of rows is the server's or the fetcher's business.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

CursorKind = Literal["integer", "decimal", "date", "timestamp", "timestamptz", "text"]

_LOOKBACK = re.compile(r"(\d{1,9})(?: ?(second|minute|hour|day)s?)?")
_INTEGER = re.compile(r"[+-]?\d{1,38}")
_DECIMAL = re.compile(r"[+-]?\d{1,28}\.\d{1,9}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})([T ])(\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}(?::?\d{2})?)?"
)


@dataclass(frozen=True)
class Lookback:
    """How far behind the last cursor a fetch starts: rows that were committed late, or in the same moment."""

    number: int = 0
    """For cursors that are numbers."""
    time: timedelta = timedelta()
    """For cursors that are days or moments."""

    @property
    def is_zero(self) -> bool:
        return not self.number and not self.time


def parse_lookback(text: str | int) -> Lookback:
    """`500` for numbers; `30 minutes`, `2 days` for days and moments.

    Raises:
        ValueError: neither form.
    """
    match = _LOOKBACK.fullmatch(str(text).strip())
    if match is None:
        raise ValueError("a look-back is a number, or a time such as '30 minutes' or '2 days'")
    amount = int(match[1])
    if match[2] is None:
        return Lookback(number=amount)
    return Lookback(time=timedelta(**{f"{match[2]}s": amount}))


def kind_of(text: str) -> CursorKind:
    """What a cursor written by a JSON server or a database without types is."""
    if _INTEGER.fullmatch(text):
        return "integer"
    if _DECIMAL.fullmatch(text):
        return "decimal"
    if _DATE.fullmatch(text):
        return "date"
    match = _MOMENT.fullmatch(text)
    if match is not None:
        return "timestamptz" if match[4] else "timestamp"
    return "text"


def ordered(text: str, kind: CursorKind) -> Any:
    """A value that compares like the cursor does, with others of its kind.

    Raises:
        ValueError: the text is not of that kind.
    """
    if kind in ("integer", "decimal"):
        if not (_INTEGER.fullmatch(text) or _DECIMAL.fullmatch(text)):
            raise ValueError("not a number")
        return Decimal(text)
    if kind == "text":
        return text
    moment = _moment(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _moment(text: str) -> datetime:
    """Python 3.11 reads all forms of `_MOMENT` but more than six digits of a second."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))


def stepped_back(text: str, kind: CursorKind, lookback: Lookback) -> str:
    """The cursor less the look-back, in the same form.

    Raises:
        ValueError: the look-back does not fit the kind of cursor.
    """
    if lookback.is_zero:
        return text
    if kind in ("integer", "decimal"):
        if lookback.time:
            raise ValueError("the cursor is a number, so its look-back is one too, such as 500")
        return str(Decimal(text) - lookback.number)
    if kind == "text":
        raise ValueError("a cursor that is text has no look-back: leave it out, or use a moment or number")
    if lookback.number:
        raise ValueError("the cursor is a day or moment, so its look-back is a time, such as '2 days'")
    try:
        if kind == "date":
            days = -(-lookback.time // timedelta(days=1))
            return (date.fromisoformat(text) - timedelta(days=days)).isoformat()
        match = _MOMENT.fullmatch(text)
        if match is None:
            raise ValueError("not a moment")
        earlier = _moment(text) - lookback.time
    except OverflowError:
        return text
    shown = earlier.replace(tzinfo=None).isoformat(match[2], "microseconds" if "." in match[3] else "seconds")
    return shown + (match[4] or "")


def is_future(text: str, kind: CursorKind, last_day: date) -> bool:
    """Whether a day or moment lies after `last_day`, one day of grace for time zones and clocks.

    A single row of the year 2099 would otherwise move the cursor there, and nothing would be fetched ever again.
    """
    if kind in ("integer", "decimal"):
        return False
    match = re.match(_DATE, text)
    return match is not None and match[0] > (last_day + timedelta(days=1)).isoformat()
