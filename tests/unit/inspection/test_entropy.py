"""The public number: typed by a clerk, chosen by nobody."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.entropy import POOLS, Announcement, Entropy, choose_entropy, encode

KL8 = " ".join(f"{n:02}" for n in range(1, 21))
DAY = date(2026, 3, 2)
RULE: dict[str, Any] = {"source": "KL8", "fallback": ["SSQ", "DLT"], "lag_days": 1, "fallback_after_days": 14}


@given(st.data())
def test_the_order_and_separators_of_typing_do_not_matter(data: st.DataObject) -> None:
    """Two offices that read the same announcement must get the same seed."""
    source = data.draw(st.sampled_from(sorted(POOLS)))
    parts = [
        data.draw(st.lists(st.integers(1, largest), min_size=count, max_size=count, unique=True))
        for count, largest in POOLS[source]
    ]
    separator = data.draw(st.sampled_from([".", " ", ",", "，", ", "]))
    typed = data.draw(st.sampled_from(["+", "|"])).join(separator.join(map(str, part)) for part in parts)
    expected = "+".join(".".join(f"{n:02}" for n in sorted(part)) for part in parts)
    assert encode(source, "2026123", typed) == f"{source}:2026123:{expected}"
    protocol.checked("entropy", encode(source, "2026123", typed), protocol.ENTROPY_PATTERN)


@pytest.mark.parametrize(
    ("source", "issue", "numbers"),
    [
        ("3D", "2026123", "1 2 3"),
        ("KL8", "123", KL8),
        ("KL8", "2026123", KL8[:-3]),
        ("KL8", "2026123", KL8 + " 21"),
        ("KL8", "2026123", KL8.replace("20", "81")),
        ("KL8", "2026123", KL8.replace("20", "00")),
        ("KL8", "2026123", KL8.replace("20", "19")),
        ("KL8", "2026123", KL8 + "x"),
        ("SSQ", "2026123", "01.02.03.04.05.06+17"),
        ("SSQ", "2026123", "01.02.03.04.05.34+01"),
        ("DLT", "26123", "01.02.03.04.05+02"),
        ("DLT", "26123", "01.02.03+04.05+06.07"),
        ("SSQ", "2026123", ""),
    ],
)
def test_what_no_lottery_can_announce_is_refused(source: str, issue: str, numbers: str) -> None:
    with pytest.raises(BadInput, match="public_entropy"):
        encode(source, issue, numbers)


def _kl8(day: int, issue: str, numbers: str = KL8) -> Announcement:
    return Announcement("KL8", issue, DAY + timedelta(days=day), numbers)


def test_the_first_issue_after_the_lag_counts() -> None:
    known = [_kl8(3, "2026064"), _kl8(0, "2026061"), _kl8(1, "2026062"), _kl8(2, "2026063")]
    chosen = choose_entropy(RULE, DAY, known, DAY + timedelta(days=9))
    assert isinstance(chosen, Entropy) and chosen.announcements == (known[2],)
    assert choose_entropy(RULE | {"source": "NONE"}, DAY, [], DAY) == Entropy("NONE")
    waiting = choose_entropy(RULE, DAY, known[:2], DAY + timedelta(days=2))
    assert waiting == "the first KL8 announced on or after 2026-03-03"


def test_the_fallback_counts_only_after_long_silence_and_only_whole() -> None:
    """Otherwise the office could pick whichever source suits it."""
    ssq = Announcement("SSQ", "2026030", DAY + timedelta(days=2), "1 2 3 4 5 6 + 7")
    dlt = Announcement("DLT", "26030", DAY + timedelta(days=3), "1 2 3 4 5 + 6 7")
    for day, known in ((14, [ssq, dlt]), (15, [ssq])):
        assert isinstance(choose_entropy(RULE, DAY, known, DAY + timedelta(days=day)), str)
    chosen = choose_entropy(RULE, DAY, [dlt, ssq], DAY + timedelta(days=15))
    assert isinstance(chosen, Entropy)
    assert chosen.text == "SSQ:2026030:01.02.03.04.05.06+07;DLT:26030:01.02.03.04.05+06.07"
    protocol.checked("entropy", chosen.text, protocol.ENTROPY_PATTERN)


def test_one_issue_with_two_numbers_is_refused() -> None:
    known = [_kl8(1, "2026062"), _kl8(1, "2026062", KL8.replace("01", "77"))]
    with pytest.raises(BadInput, match="two different announcements"):
        choose_entropy(RULE, DAY, known, DAY + timedelta(days=1))
