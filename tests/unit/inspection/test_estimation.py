"""Rates from a draw: by hand where a hand can reckon, by simulation where it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.outcomes import estimation
from credit_pipeline.inspection.outcomes.estimation import Rate, Results, Sample, rate, variance


def results(
    cell: list[int],
    breach: list[int],
    pi: list[float] | None = None,
    live: list[int] | None = None,
    top_up: list[int] | None = None,
) -> Results:
    size = len(cell)
    return Results(
        np.array(cell, dtype=np.int64),
        np.array(pi or [0.1] * size),
        np.array(live or [1] * size, dtype=bool),
        np.array(breach, dtype=bool),
        np.array(top_up or [0] * size, dtype=bool),
    )


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def weigh(found: Results, sizes: np.ndarray, parent: np.ndarray) -> Sample:
    """All of one grade."""
    return estimation.weigh(found, sizes, parent, np.zeros(len(sizes), dtype=np.int64))


def everything(sample: Sample) -> np.ndarray:
    return sample.is_live


def test_two_strata_by_hand() -> None:
    """Prevents an unweighted mean: 1 of 2 of 20 and 2 of 4 of 8, so R = (10 + 4) / 28.

    Variance by hand: 400 (1 - 2/20) 0.5 / 2 = 90 and 64 (1 - 4/8) (1/3) / 4 = 8/3; over 28 squared.
    """
    sample = weigh(results([0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 0]), ints(20, 8), ints(0, 1))
    found = rate(sample, fewest=1)
    assert found.rate == pytest.approx(14 / 28)
    total = float(sample.weight.sum())
    assert total == pytest.approx(28)
    assert variance(sample, everything(sample), 0.5, total) == pytest.approx((90 + 8 / 3) / 28**2)
    # Wilson at n = 0.25 / variance with Student's t for 1 + 3 degrees of freedom (2.7764451).
    share = 2.7764451**2 / (0.25 / ((90 + 8 / 3) / 28**2))
    half = (0.25 * share + share**2 / 4) ** 0.5 / (1 + share)
    assert (found.low, found.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)


def test_a_domain_across_strata_by_hand() -> None:
    """Prevents a domain whose size is taken as known: it is estimated with the same weights."""
    sample = weigh(results([0, 0, 1, 1], [1, 0, 1, 0]), ints(10, 40), ints(0, 1))
    member = np.array([True, False, True, True])
    assert rate(sample, member, fewest=1).rate == pytest.approx((5 + 20) / (5 + 40))


def test_a_complete_inspection_has_no_width() -> None:
    """Prevents doubt about a stratum of which everybody was inspected (E at 100 %)."""
    sample = weigh(results([0] * 12, [1, 0, 0] * 4, pi=[1.0] * 12), ints(12), ints(0))
    assert rate(sample) == Rate(12, 4, 4 / 12, 4 / 12, 4 / 12)


def test_no_breach_found_is_not_certainty() -> None:
    """Prevents the interval 0 to 0 where twenty of a thousand were clean."""
    found = rate(weigh(results([0] * 20, [0] * 20), ints(1000), ints(0)))
    assert found.rate == 0 and found.low == 0 and found.high is not None and 0.12 < found.high < 0.2
    mirrored = rate(weigh(results([0] * 20, [1] * 20), ints(1000), ints(0)))
    assert mirrored.rate == 1 and mirrored.high == 1 and mirrored.low == pytest.approx(1 - found.high)


def test_certainty_in_part_narrows_the_rest() -> None:
    """Prevents a census stratum from being treated as a guess: half of the objects are known to be clean."""
    parts = results([0] * 20 + [1] * 100, [0] * 120)
    half = rate(weigh(parts, ints(100, 100), ints(0, 1)))
    alone = rate(weigh(results([0] * 20, [0] * 20), ints(100), ints(0)))
    assert alone.high is not None and half.high == pytest.approx(alone.high / 2)


def test_lonely_strata_widen_and_never_vanish() -> None:
    """Prevents strata with one inspected object from adding no variance at all."""
    cells, breach = list(range(12)), [1, 0, 0] * 4
    lonely = weigh(results(cells, breach), np.full(12, 10), np.arange(12))
    pooled = weigh(results([0] * 12, breach), ints(120), ints(0))
    found = rate(lonely)
    assert found.rate == pytest.approx(1 / 3)
    mine = variance(lonely, everything(lonely), 1 / 3, 120)
    theirs = variance(pooled, everything(pooled), 1 / 3, 120)
    # By hand: sum of 100 (1 - 1/10) e^2 = 90 * 12 * (1/3)(2/3), over 120^2; pooling has 12/11 of it.
    assert mine == pytest.approx(90 * 12 * (2 / 9) / 120**2)
    assert theirs == pytest.approx(mine * 12 / 11)


def test_empty_cells_join_their_grade_and_keep_their_chances() -> None:
    """Prevents objects from being forgotten because none of their cell was drawn, and weights that forget pi."""
    sample = weigh(results([0, 1, 1], [1, 0, 0], pi=[0.5, 0.25, 0.25]), ints(4, 8, 6, 9), ints(0, 0, 0, 1))
    # Cells 0 to 2 are one stratum of 18; the fourth's unit and grade have no result at all.
    assert sample.covered == 18
    assert sample.weight.tolist() == pytest.approx([18 * 2 / 10, 18 * 4 / 10, 18 * 4 / 10])


def test_few_inspected_are_not_shown() -> None:
    """Prevents a rate of two of three, which is noise and tells whom."""
    sample = weigh(results([0] * 9, [1] * 9), ints(50), ints(0))
    assert rate(sample) == Rate(9, 9, None, None, None)


def test_what_cannot_be_inspected_is_out_of_domain() -> None:
    """Prevents deregistered enterprises from counting as clean ones: 2 of 4 living, not 2 of 8."""
    sample = weigh(
        results([0] * 8, [1, 1, 0, 0, 0, 0, 0, 0], live=[1, 1, 1, 1, 0, 0, 0, 0]), ints(80), ints(0)
    )
    assert rate(sample, fewest=1).rate == pytest.approx(0.5)
    assert float(sample.weight[sample.is_live].sum()) == pytest.approx(40)


def test_top_ups_weigh_by_the_inverse_rule() -> None:
    """Prevents N/m as the weight after a top-up: q = 4 living among m = 6 drawn of 60, N_live = 60 * 3 / 5 = 36."""
    sample = weigh(
        results([0] * 6, [1, 0, 0, 0, 0, 0], live=[1, 1, 0, 0, 1, 1], top_up=[0, 0, 0, 0, 1, 1]), ints(60), ints(0)
    )  # fmt: skip
    assert sample.weight.tolist() == pytest.approx([9.0] * 4)
    assert rate(sample, fewest=1).rate == pytest.approx(1 / 4)


def test_inverse_rule_is_unbiased() -> None:
    """Prevents a wrong formula: over many draws the mean of N_live is the number of living objects."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(6000):
        alive = np.zeros(60, dtype=bool)
        alive[random.permutation(60)[:45]] = True
        last = int(np.flatnonzero(np.cumsum(alive) == 12)[0])
        live = alive[: last + 1]
        top_up = np.arange(last + 1) >= 12
        sample = weigh(
            Results(
                np.zeros(last + 1, dtype=np.int64), np.full(last + 1, 0.2), live, np.zeros_like(live), top_up
            ),
            ints(60),
            ints(0),
        )
        found.append(float(sample.weight[sample.is_live].sum()))
    error = float(np.std(found)) / len(found) ** 0.5
    assert abs(np.mean(found) - 45) < 4 * error


@pytest.mark.parametrize(
    ("cells", "pi", "sizes"), [([0, 0], [0.1, 0.1], [1]), ([0], [0.0], [5]), ([0], [1.5], [5])]
)
def test_a_sample_that_cannot_be_is_refused(cells: list[int], pi: list[float], sizes: list[int]) -> None:
    """Prevents rates from a frame that does not belong to the draw."""
    with pytest.raises(BadInput):
        weigh(results(cells, [0] * len(cells), pi=pi), ints(*sizes), ints(0))


# Simulation: 20 units x 4 grades; quotas as policy makes them (ceil of 5, 20, 50 and 100 %), two coordinated items.
_RATIOS, _TRUE = (0.05, 0.2, 0.5, 1.0), (0.02, 0.06, 0.15, 0.35)
_SHARES = (500, 150, 60, 25)


def city(random: np.random.Generator, scale: float) -> dict[str, np.ndarray]:
    units = 20
    sizes = np.array(
        [max(1, int(scale * share * (0.3 + unit / 14))) for unit in range(units) for share in _SHARES]
    )
    stratum = np.repeat(np.arange(len(sizes)), sizes)
    grade = stratum % 4
    breach = random.random(len(stratum)) < np.array(_TRUE)[grade] * (0.5 + (stratum // 4) / 20)
    dead = random.random(len(stratum)) < 0.04
    safety = random.random(len(stratum)) < 0.25
    sector = random.integers(0, 5, len(stratum))
    return {
        "stratum": stratum, "grade": grade, "breach": breach & ~dead, "dead": dead, "safety": safety, "sector": sector,
    }  # fmt: skip


def draw(world: dict[str, np.ndarray], random: np.random.Generator) -> tuple[Sample, np.ndarray]:
    """One round with two items on the same tickets: all objects, and those of safety; cells by both."""
    ticket = random.random(len(world["stratum"]))
    drawn = np.zeros(len(ticket), dtype=bool)
    pi = np.zeros(len(ticket))
    for eligible in (np.ones(len(ticket), dtype=bool), world["safety"]):
        index = np.flatnonzero(eligible)
        index = index[np.lexsort((ticket[index], world["stratum"][index]))]
        strata = world["stratum"][index]
        start = np.searchsorted(strata, strata, side="left")
        size = np.bincount(strata, minlength=int(world["stratum"].max()) + 1)
        quota = np.ceil(size * np.array(_RATIOS)[np.arange(len(size)) % 4])
        drawn[index[np.arange(len(index)) - start < quota[strata]]] = True
        pi[index] = np.maximum(pi[index], (quota / np.maximum(size, 1))[strata])
    cells = world["stratum"] * 2 + world["safety"]
    sizes = np.bincount(cells, minlength=2 * (int(world["stratum"].max()) + 1))
    taken = np.flatnonzero(drawn)
    return estimation.weigh(
        Results(cells[taken], pi[taken], ~world["dead"][taken], world["breach"][taken], np.zeros(len(taken), dtype=bool)),
        sizes, np.arange(len(sizes)) // 2, np.arange(len(sizes)) // 2 % 4,
    ), taken  # fmt: skip


@pytest.mark.parametrize(("scale", "draws"), [(1.0, 500), (0.08, 800)], ids=["city", "small strata"])
def test_intervals_hold_the_truth_in_95_of_100_draws(scale: float, draws: int) -> None:
    """Prevents intervals that promise more than they hold: lonely and empty cells, rare breaches, domains, the dead."""
    random = np.random.default_rng(2026)
    world = city(random, scale)
    live = ~world["dead"]
    domains = {
        "all": np.ones(len(live), dtype=bool),
        **{f"grade {g}": world["grade"] == g for g in range(4)},
        **{f"sector {s}": world["sector"] == s for s in range(5)},
        "small units": world["stratum"] // 4 < 7,
    }
    truth = {name: world["breach"][inside & live].mean() for name, inside in domains.items()}
    held = dict.fromkeys(domains, 0)
    shown = dict.fromkeys(domains, 0)
    total = dict.fromkeys(domains, 0.0)
    for _ in range(draws):
        sample, taken = draw(world, random)
        for name, inside in domains.items():
            found = rate(sample, inside[taken][sample.kept])
            if found.rate is None:
                continue
            shown[name] += 1
            total[name] += found.rate
            held[name] += found.low - 1e-12 <= truth[name] <= found.high + 1e-12
    for name in domains:
        if not shown[name]:
            continue
        coverage, bias = held[name] / shown[name], total[name] / shown[name] - truth[name]
        assert 0.92 <= coverage <= 1.0, (name, coverage)
        assert abs(bias) < 0.12 * truth[name], (name, bias)
    everywhere = sum(held.values()) / sum(shown.values())
    assert 0.94 <= everywhere <= 0.99, everywhere


def test_two_rounds_of_a_year_are_one_minus_the_product() -> None:
    """Prevents a share of drawn objects that is not 1 - (1 - pi_1)(1 - pi_2) when the second round leaves out the first."""
    random = np.random.default_rng(7)
    drawn = []
    for _ in range(4000):
        first = set(random.permutation(40)[:8].tolist())
        left = [k for k in range(40) if k not in first]
        second = random.permutation(left)[:7].tolist()
        drawn.append(len(first | set(second)) / 40)
    assert np.mean(drawn) == pytest.approx(1 - (1 - 8 / 40) * (1 - 7 / 32))
