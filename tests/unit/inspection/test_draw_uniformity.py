"""10,000 simulated draws: every enterprise, pair and place in the file has the chance that the ratio says.

Seeds are fixed, so the p-values are too; 1e-6 is far below any that an honest draw has shown. The counts of a draw without
replacement are not independent: their variance is that of a finite population, and the plain Pearson form is wrong.
"""

from __future__ import annotations

import hashlib

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from credit_pipeline.inspection.draws.draw import draw_round

DRAWS, POPULATION, SAMPLE = 10_000, 200, 20
SHARE = SAMPLE / POPULATION
LEAST_P = 1e-6


def _uscc(number: int) -> str:
    return f"91411300MA{number:08}"


def _seed(number: int) -> str:
    return hashlib.sha256(f"uniformity {number}".encode()).hexdigest()


@pytest.fixture(scope="module")
def ranks() -> np.ndarray:
    """rank[draw, enterprise], with the ticket of the draw's own SQL."""
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        connection.register(
            "seeds", pa.table({"draw": list(range(DRAWS)), "seed": [_seed(n) for n in range(DRAWS)]})
        )
        numbers = list(range(POPULATION))
        connection.register("firms", pa.table({"firm": numbers, "uscc": [_uscc(n) for n in numbers]}))
        found = connection.execute(
            "select row_number() over (partition by draw order by sha256('DRAW1|' || seed || '|A01|' || uscc), uscc)"
            " as rank from seeds cross join firms order by draw, firm"
        ).fetchnumpy()["rank"]
    return np.asarray(found).reshape(DRAWS, POPULATION)


def test_the_simulation_is_the_draw(ranks: np.ndarray) -> None:
    """Otherwise the other tests would test something else."""
    with duckdb.connect(":memory:") as connection:
        rows = {"unit_id": "A01", "item_code": "GENERAL", "platform_grade": "B"}
        frame = pa.Table.from_pylist([
            rows | {"uscc": _uscc(n), "region": "", "is_safety_related": False, "excluded_reason": ""}
            for n in range(POPULATION)
        ])  # fmt: skip
        connection.register("frame", frame)
        connection.register("quotas", pa.Table.from_pylist([rows | {"quota": SAMPLE}]))
        for number in (0, 1, 4711, DRAWS - 1):
            drawn = draw_round(connection, frame_table="frame", quotas_table="quotas", seed=_seed(number))
            found = dict(zip(drawn["uscc"].to_pylist(), drawn["rank"].to_pylist(), strict=True))
            assert [found[_uscc(n)] for n in range(POPULATION)] == ranks[number].tolist()


def test_every_enterprise_is_drawn_equally_often(ranks: np.ndarray) -> None:
    observed = (ranks <= SAMPLE).sum(axis=0)
    variance = DRAWS * SHARE * (1 - SHARE) * POPULATION / (POPULATION - 1)
    statistic = ((observed - DRAWS * SHARE) ** 2).sum() / variance
    assert stats.chi2.sf(statistic, POPULATION - 1) > LEAST_P
    assert stats.chi2.cdf(statistic, POPULATION - 1) > LEAST_P, "too even to be a draw"


def test_every_enterprise_is_first_equally_often(ranks: np.ndarray) -> None:
    observed = (ranks == 1).sum(axis=0)
    assert stats.chisquare(observed).pvalue > LEAST_P


def test_every_pair_is_drawn_together_equally_often(ranks: np.ndarray) -> None:
    """The part of the pair counts that single counts do not explain: dimension N(N-3)/2, variance p2 - 2 p3 + p4."""
    drawn = (ranks <= SAMPLE).astype(np.float64)
    pairs = drawn.T @ drawn
    np.fill_diagonal(pairs, 0)
    inclusion = np.cumprod([(SAMPLE - k) / (POPULATION - k) for k in range(4)])
    off_diagonal = ~np.eye(POPULATION, dtype=bool)
    mean = pairs[off_diagonal].mean()
    assert mean == pytest.approx(DRAWS * inclusion[1])
    centred = np.where(off_diagonal, pairs - mean, 0)
    single = centred.sum(axis=1) / (POPULATION - 2)
    rest = np.where(off_diagonal, centred - single[:, None] - single[None, :], 0)
    statistic = (rest**2).sum() / 2 / (DRAWS * (inclusion[1] - 2 * inclusion[2] + inclusion[3]))
    freedom = POPULATION * (POPULATION - 3) // 2
    assert stats.chi2.sf(statistic, freedom) > LEAST_P
    assert stats.chi2.cdf(statistic, freedom) > LEAST_P


def test_successive_draws_overlap_as_chance_says(ranks: np.ndarray) -> None:
    """A seed that resembles the one before would draw the same enterprises again."""
    drawn = ranks <= SAMPLE
    overlap = (drawn[:-1] & drawn[1:]).sum(axis=1)
    largest = 7
    observed = np.bincount(np.minimum(overlap, largest), minlength=largest + 1)
    expected = stats.hypergeom.pmf(np.arange(largest), POPULATION, SAMPLE, SAMPLE)
    expected = np.append(expected, 1 - expected.sum()) * (DRAWS - 1)
    assert stats.chisquare(observed, expected).pvalue > LEAST_P


@pytest.mark.parametrize("blocks", [2, 10, 40])
def test_the_place_in_the_file_does_not_matter(ranks: np.ndarray, blocks: int) -> None:
    """The US diversity lottery of 2012 was annulled: nine in ten winners stood in the file of the first two days."""
    size = POPULATION // blocks
    observed = (ranks <= SAMPLE).sum(axis=0).reshape(blocks, size).sum(axis=1)
    variance = DRAWS * SHARE * (1 - SHARE) * POPULATION / (POPULATION - 1) * size
    statistic = ((observed - DRAWS * SHARE * size) ** 2).sum() / variance
    assert stats.chi2.sf(statistic, blocks - 1) > LEAST_P


def test_these_tests_would_notice(ranks: np.ndarray) -> None:
    """A test that cannot fail proves nothing: spare one enterprise in half of its draws."""
    drawn = ranks <= SAMPLE
    observed = drawn.sum(axis=0)
    observed[17] -= observed[17] // 2
    variance = DRAWS * SHARE * (1 - SHARE) * POPULATION / (POPULATION - 1)
    assert stats.chi2.sf(((observed - DRAWS * SHARE) ** 2).sum() / variance, POPULATION - 1) < LEAST_P
