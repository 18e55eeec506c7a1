"""Whose extract a leaked mark comes from. The mark itself is made by the key store: an HMAC of unit and release."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from credit_pipeline.errors import BadInput

SHORTEST = 8
"""Digits of a mark that are read off a photograph at least: 32 bits tell 60 units and all their releases apart."""


@dataclass(frozen=True)
class Traced:
    """A release that a mark, or the part of it that could be read, belongs to."""

    unit_id: str
    release_seq: int
    watermark: str


def trace(mark: str, newest: Mapping[str, int], mark_of: Callable[[str, int], str]) -> list[Traced]:
    """The releases whose mark has this text in it, the newest release of a unit first.

    Args:
        mark: what was found, at least `SHORTEST` of its digits in a row.
        newest: unit -> its newest release.
        mark_of: the mark of a unit's release (`KeyStore.watermark`).

    Raises:
        BadInput: that is no part of a mark.
    """
    wanted = mark.strip().lower()
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST},20}}", wanted):
        raise BadInput(f"{mark!r} is no mark: give at least {SHORTEST} of its 20 hexadecimal digits in a row")
    found = []
    for unit_id, last in sorted(newest.items()):
        for release_seq in range(last, 0, -1):
            one = mark_of(unit_id, release_seq)
            if wanted in one:
                found.append(Traced(unit_id, release_seq, one))
    return found
