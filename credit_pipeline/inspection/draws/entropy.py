"""The public number of a draw: which lottery issue it is, and how its numbers become text.

Here: the encoding and checks of each source, and the choice of the issue by the frozen rule. Not here: the feed
`public_entropy` and its staging model, who types the announcement (`commands.draw`).

The issue is not chosen by anybody: it is the first one of the rule's source announced at least `lag_days` after the day
on which the commitments stand in the audit log. Encoded in the manner of RFC 3797, "KL8:2026123:01.02.03...": numbers
sorted, two digits, so that everybody types the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws.protocol import NO_ENTROPY

POOLS: dict[str, tuple[tuple[int, int], ...]] = {
    "KL8": ((20, 80),),
    "SSQ": ((6, 33), (1, 16)),
    "DLT": ((5, 35), (2, 12)),
}
"""How many numbers of how many each part of an announcement has: 61.6, 24.1 and 24.4 bits."""
_ISSUE = "[0-9]{5,8}"


@dataclass(frozen=True)
class Announcement:
    """One lottery issue as it was published."""

    source: str
    issue: str
    announced_date: date
    numbers: str

    def text(self) -> str:
        """The encoding that goes into the seed."""
        return encode(self.source, self.issue, self.numbers)

    def to_json(self) -> dict[str, str]:
        return {
            "source": self.source,
            "issue": self.issue,
            "announced_date": self.announced_date.isoformat(),
            "numbers": self.text().split(":")[2],
        }


@dataclass(frozen=True)
class Entropy:
    """The chosen number: `text` goes into the seed; it comes from `announcements`, none for `NO_ENTROPY`."""

    text: str
    announcements: tuple[Announcement, ...] = ()


def encode(source: str, issue: str, numbers: str) -> str:
    """ "SOURCE:issue:numbers" of one announcement, the parts joined by '+'.

    Raises `BadInput` naming source and issue for anything that this lottery cannot have announced.
    """
    where = f"public_entropy, {source} issue {issue}"
    if source not in POOLS:
        raise BadInput(f"public_entropy: source {source!r} is not one of {', '.join(POOLS)}")
    if not re.fullmatch(_ISSUE, issue):
        raise BadInput(f"{where}: an issue is 5 to 8 digits, such as 2026123")
    pools = POOLS[source]
    parts = [re.findall(r"\d+", part) for part in re.split(r"[+|]", numbers)]
    if not re.fullmatch(r"[\d\s.,，、;；+|-]*", numbers):
        raise BadInput(f"{where}: the numbers hold something else than digits and separators")
    if len(parts) == 1 and len(pools) == 2:
        first = pools[0][0]
        parts = [parts[0][:first], parts[0][first:]]
    if len(parts) != len(pools):
        raise BadInput(f"{where}: expected {_expected(source)}")
    texts = []
    for part, (count, largest) in zip(parts, pools, strict=True):
        found = sorted({int(one) for one in part})
        if len(part) != count or len(found) != count or not 1 <= found[0] <= found[-1] <= largest:
            raise BadInput(
                f"{where}: {' '.join(part) or 'nothing'} is not {count} different number(s) from 1 to {largest}; "
                f"expected {_expected(source)}. Compare with the announcement and deliver the row again"
            )
        texts.append(".".join(f"{one:02}" for one in found))
    return f"{source}:{issue}:{'+'.join(texts)}"


def _expected(source: str) -> str:
    return " + ".join(f"{count} of 1-{largest}" for count, largest in POOLS[source])


def choose_entropy(
    rule: Mapping[str, Any], committed_day: date, announced: Iterable[Announcement], today: date
) -> Entropy | str:
    """The number that the rule names, or what is waited for.

    `rule`: the rule's `entropy`; `committed_day`: the day in China on which the commitments were logged. The fallback
    sources count together, and only when the first source has announced nothing for `fallback_after_days`. Raises
    `BadInput` for an announcement that cannot be, or two of one issue with different numbers.
    """
    source = rule["source"]
    if source == NO_ENTROPY:
        return Entropy(NO_ENTROPY)
    earliest = committed_day + timedelta(days=rule["lag_days"])
    known = _first_of_each(announced, earliest, today)
    if source in known:
        return Entropy(known[source].text(), (known[source],))
    waiting = f"the first {source} announced on or after {earliest}"
    fallback = rule["fallback"]
    if not fallback or today < earliest + timedelta(days=rule["fallback_after_days"]):
        return waiting
    chosen = tuple(known[one] for one in fallback if one in known)
    if len(chosen) < len(fallback):
        return f"{waiting}, or instead of it {' and '.join(fallback)}"
    return Entropy(";".join(one.text() for one in chosen), chosen)


def _first_of_each(announced: Iterable[Announcement], earliest: date, today: date) -> dict[str, Announcement]:
    texts: dict[tuple[str, str], str] = {}
    first: dict[str, Announcement] = {}
    for one in sorted(announced, key=lambda row: (row.announced_date, row.issue, row.numbers)):
        if not earliest <= one.announced_date <= today:
            continue
        if texts.setdefault((one.source, one.issue), one.text()) != one.text():
            raise BadInput(
                f"public_entropy, {one.source} issue {one.issue}: two different announcements; compare with the "
                "publication and deliver the wrong row again as withdrawn before the draw goes on"
            )
        first.setdefault(one.source, one)
    return first
