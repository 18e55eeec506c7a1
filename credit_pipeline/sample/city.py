"""The enterprises of the synthetic city and the hidden risk of each.

Here: who exists, since when, in which trade, place and group, and how risky; drawing events from that risk.
Not here: what the events say (modules of the feeds), how offices write them (offices, render, dirt).

The latent risk of an enterprise is standard normal over the city: trade, age, size and the group of
related parties explain about a quarter of it, the rest is its own. It swings slowly (period 80 months),
so that the past tells of the future, but not all. Every feed is drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from credit_pipeline.sample.codes import make_pseudonyms, make_reg_nos, make_usccs
from credit_pipeline.sample.names import (
    addresses,
    enterprise_names,
    fancy_words,
    joined,
    person_names,
    phones,
    where,
)
from credit_pipeline.sample.streams import (
    GO_LIVE,
    NO_DAY,
    Bools,
    Floats,
    Ints,
    Window,
    day_number,
    sigmoid,
    stream,
)
from credit_pipeline.sample.tables import choose_index, industries, regions, vocabulary, words

_PERIOD = 80 * 30.44
_SWING = 0.3
_NEVER = 10**7
_OLDEST = 5_479  # 1985-01-01
LETTERED_SINCE = 16_709  # 2015-10-01: first bodies with MA; the USCC replaces the registration number
_TWIN_SHARE, _FEWEST_TWINS = 0.004, 40

STATUSES = ["active", "revoked", "revoked_cancelled", "cancelled", "moved_out"]


@dataclass(frozen=True)
class City:
    """Enterprises by position; texts as columns, numbers as arrays, days as day numbers (NO_DAY: none)."""

    day: int
    uscc: pl.Series
    name: pl.Series
    old_name: pl.Series
    reg_no: pl.Series
    pripid: pl.Series
    address: pl.Series
    legal_rep: pl.Series
    legal_rep_id: pl.Series
    phone: pl.Series
    head: Ints
    type_code: pl.Series
    region: Ints
    township: Ints
    industry: Ints
    capital_fen: Ints
    established: Ints
    ended: Ints
    status: Ints
    renamed: Ints
    group: Ints
    group_head: Ints
    shares_address: Bools
    is_branch: Bools
    staff: Ints
    risk: Floats
    cosine: Floats
    sine: Floats
    filed: Bools
    """n × 3: annual report of 2023, 2024, 2025 filed by the end of June of the next year."""
    unique_name: Bools
    """Whether nobody else bears or bore the firm's name, and who reads the name may know the firm by it."""
    unique_old_name: Bools
    twin: Ints
    """Another firm of the same name and county, or -1."""
    parent: Ints
    """Head office of a branch, if it is in this city, else -1."""
    in_register: Bools
    """Whether the register's row of the firm was sent clean, so that a reader can look the firm up."""
    reg_no_in_register: Bools
    """Whether that row also carried the old registration number."""
    rename_in_register: Bools
    """Whether the change log named the former name in a clean row."""

    def __len__(self) -> int:
        return len(self.head)

    @cached_property
    def names(self) -> frozenset[str]:
        """All names that a firm bears or bore."""
        return frozenset(self.name) | frozenset(self.old_name.drop_nulls())

    @cached_property
    def parents(self) -> Bools:
        """Which firms have a branch in the city."""
        found = np.zeros(len(self), dtype=bool)
        found[self.parent[self.parent >= 0]] = True
        return found

    def risk_at(self, day: Ints | int, firm: Ints | slice = slice(None)) -> Floats:
        """Latent risk of the firms on the days."""
        angle = 2 * np.pi / _PERIOD * (np.asarray(day, dtype=float) - 20_000)
        return self.risk[firm] + self.cosine[firm] * np.cos(angle) + self.sine[firm] * np.sin(angle)

    def draw(
        self,
        rng: np.random.Generator,
        per_year: float,
        beta: float,
        window: Window,
        weight: Floats | None = None,
    ) -> tuple[Ints, Ints]:
        """Events of a Poisson process of rate per_year · weight · exp(beta · risk(t)): firm and day, by day.

        `per_year` is the rate averaged over the city. Exact by thinning; firms have events while they exist.
        """
        swing = np.hypot(self.cosine, self.sine)
        spread = beta**2 * (1 + _SWING**2) / 2
        ceiling = (
            per_year * window.years * np.exp(np.minimum(beta * self.risk + abs(beta) * swing, 4.5) - spread)
        )
        if weight is not None:
            ceiling = ceiling * weight
        firm = np.repeat(np.arange(len(self)), rng.poisson(ceiling))
        day = rng.integers(window.start, window.end + 1, len(firm))
        top = beta * self.risk[firm] + abs(beta) * swing[firm]
        kept = np.log(rng.random(len(firm)) + 1e-300) < beta * self.risk_at(day, firm) - top
        kept &= self.alive(firm, day)
        firm, day = firm[kept], day[kept]
        order = np.lexsort((firm, day))
        return firm[order], day[order]

    def alive(self, firm: Ints | slice, day: Ints | int) -> Bools:
        return np.asarray((self.established[firm] <= day) & (day < self.ended[firm]))

    @property
    def section(self) -> pl.Series:
        return words(industries().section, self.industry)

    def in_sections(self, sections: str) -> Floats:
        """1 for firms of those sections, else 0: a weight for `draw`."""
        return industries().in_sections(sections)[self.industry].astype(float)


def build_city(enterprises: int, seed: int, day: int = 1) -> City:
    """The enterprises of the go-live load (day 1), or those newly registered before delivery `day`."""
    rng = stream(seed, "city", day)
    rows = enterprises
    serial = np.arange(rows, dtype=np.int64) + (0 if day == 1 else 40_000_000 + day * 100_000)
    end = day_number(GO_LIVE) + day - 1
    trades = industries()
    industry = choose_index(len(trades.code), rng, rows, trades.weight)
    region = choose_index(len(regions().code), rng, rows, regions().weight)
    township = np.where(
        region == regions().township_region, choose_index(len(regions().townships), rng, rows), -1
    )
    if day == 1:
        established = np.maximum(end - rng.exponential(7.5 * 365.25, rows).astype(np.int64), _OLDEST)
    else:
        established = end - rng.integers(0, 4, rows)
    head = np.where(rng.random(rows) < 0.01, 92, 91)
    farmers = np.array([section == "A" for section in trades.section])[industry]
    head = np.where(farmers & (rng.random(rows) < 0.55), 93, head)
    type_code, form = _forms(rng, head)
    log_capital = rng.normal(4.4, 1.2, rows) + trades.size[industry] - 1.5 * (head == 92)
    capital_fen = _nice(np.exp(log_capital)) * 1_000_000
    group, group_head = _groups(rng, rows)
    risk = _latent(rng, established, end, trades.risk[industry], log_capital, group)
    swing = rng.normal(0, _SWING, (2, rows))
    status, ended = _endings(rng, risk, established, end, day)
    issuing = words(
        [*regions().code, "411300"], np.where(rng.random(rows) < 0.25, len(regions().code), region)
    )
    code = np.array([int(c) for c in regions().code], dtype=np.int64)[region]
    uscc = make_usccs(head, issuing.cast(pl.Int64).to_numpy(), serial, established >= LETTERED_SINCE)
    name = enterprise_names(rng, head, region, industry, form)
    is_branch = (head == 91) & (rng.random(rows) < 0.012)
    branch_place = words(regions().short, rng.integers(0, len(regions().code), rows))
    parent = _parents(rng, head, is_branch)
    name = name.gather(np.where(parent >= 0, parent, np.arange(rows)))
    name = where(is_branch, joined(name, branch_place, "分公司"), name)
    type_code = where(is_branch, "2130", type_code)
    twin = _twins(rng, region, is_branch, parent, day)
    name = name.gather(np.where((twin >= 0) & (twin < np.arange(rows)), twin, np.arange(rows)))
    renamed, old_name = _former_names(rng, name, head, established, ended, end, is_branch | (twin >= 0))
    unique_name, unique_old_name = _unique(name, old_name)
    person = np.where((group >= 0) & (rng.random(rows) < 0.5), group_head, np.arange(rows))
    shares_address = (group >= 0) & (group % 10 < 3)
    address = addresses(rng, region, township).gather(np.where(shares_address, group_head, np.arange(rows)))
    reg_no = where(
        rng.random(rows) < np.where(established < LETTERED_SINCE, 0.97, 0.4), make_reg_nos(code, serial), None
    )
    return City(
        day=day,
        uscc=uscc,
        name=name,
        old_name=old_name,
        # Every other pair of twins is one firm registered anew: it kept its old number.
        reg_no=reg_no.gather(
            np.where((twin >= 0) & (twin % 2 == 0), np.minimum(twin, np.arange(rows)), np.arange(rows))
        ),
        pripid=make_pseudonyms("4113", serial),
        address=address,
        legal_rep=person_names(rng, rows).gather(person),
        legal_rep_id=make_pseudonyms("P", serial).gather(person),
        phone=phones(rng, rows),
        head=head,
        type_code=type_code,
        region=region,
        township=township,
        industry=industry,
        capital_fen=capital_fen,
        established=established,
        ended=ended,
        status=status,
        renamed=renamed,
        group=group,
        group_head=group_head,
        shares_address=shares_address,
        is_branch=is_branch,
        staff=np.maximum(np.exp(0.55 * (log_capital - 4.4) + rng.normal(1.8, 0.8, rows)), 1).astype(np.int64),
        risk=risk,
        cosine=swing[0],
        sine=swing[1],
        filed=rng.random((rows, 3)) > sigmoid(-3.4 + 1.0 * risk)[:, None],
        unique_name=unique_name,
        unique_old_name=unique_old_name,
        twin=twin,
        parent=parent,
        in_register=np.ones(rows, dtype=bool),
        reg_no_in_register=np.zeros(rows, dtype=bool),
        rename_in_register=np.zeros(rows, dtype=bool),
    )


def _parents(rng: np.random.Generator, head: Ints, is_branch: Bools) -> Ints:
    """Half of the branches belong to a company of the city (-1: to one elsewhere); no company has two."""
    parent = np.full(len(head), -1, dtype=np.int64)
    branches = np.flatnonzero(is_branch & (rng.random(len(head)) < 0.5))
    companies = rng.permutation(np.flatnonzero((head == 91) & ~is_branch))
    pairs = min(len(branches), len(companies))
    parent[branches[:pairs]] = companies[:pairs]
    return parent


def _twins(rng: np.random.Generator, region: Ints, is_branch: Bools, parent: Ints, day: int) -> Ints:
    """One firm in 250 shares its name with another of its county, so that a name alone says nothing."""
    rows = len(region)
    twin = np.full(rows, -1, dtype=np.int64)
    free = ~is_branch
    free[parent[parent >= 0]] = False
    wanted = min(max(_FEWEST_TWINS, round(rows * _TWIN_SHARE)), rows // 20) // 2 if day == 1 else 0
    order = rng.permutation(np.flatnonzero(free))
    order = order[np.argsort(region[order], kind="stable")]
    first = np.flatnonzero(region[order[:-1]] == region[order[1:]])[::2] if len(order) > 1 else order
    chosen = np.sort(rng.permutation(first)[:wanted])
    # Neighbours in that order; a firm that would be in two pairs stays out of the second.
    chosen = chosen[np.diff(chosen, prepend=-2) > 1]
    one, other = order[chosen], order[chosen + 1] if len(chosen) else order[:0]
    twin[one], twin[other] = other, one
    return twin


def _unique(name: pl.Series, old_name: pl.Series) -> tuple[Bools, Bools]:
    """Whether nobody else bears or bore the name, and the former name."""
    every = pl.concat([name, old_name.drop_nulls()]).alias("n")
    repeated = every.filter(every.is_duplicated()).unique()
    unique = ~name.is_in(repeated.implode())
    unique_old = ~old_name.is_in(repeated.implode()) & old_name.is_not_null()
    return unique.to_numpy(), unique_old.fill_null(value=False).to_numpy()


def _forms(rng: np.random.Generator, head: Ints) -> tuple[pl.Series, pl.Series]:
    """Type code (CA16) and the last word of the name."""
    rows = len(head)
    companies = vocabulary()["company_forms"]
    pick = choose_index(len(companies), rng, rows, [row[2] for row in companies])
    small, joint = vocabulary()["small_forms"], vocabulary()["cooperative_forms"]
    form = words([row[0] for row in companies], pick)
    form = where(head == 92, words(small, choose_index(len(small), rng, rows)), form)
    form = where(head == 93, words(joint, choose_index(2, rng, rows, [0.97, 0.03])), form)
    code = words([row[1] for row in companies], pick)
    return where(head == 92, "9500", where(head == 93, "9100", code)), form


def _nice(wan_yuan: Floats) -> Ints:
    """Amounts as founders write them: 1, 2, 3, 5, 6, 8 times a power of ten, in 万元, at least 1."""
    scale = 10.0 ** np.floor(np.log10(np.maximum(wan_yuan, 1.0)))
    steps = np.array([1.0, 2.0, 3.0, 5.0, 6.0, 8.0, 10.0])
    index = np.searchsorted(np.sqrt(steps[1:] * steps[:-1]), np.maximum(wan_yuan, 1.0) / scale)
    return (steps[index] * scale).astype(np.int64)


def _groups(rng: np.random.Generator, rows: int) -> tuple[Ints, Ints]:
    """Groups of two to six related enterprises, about a quarter of all: number of the group (-1: none),
    its first."""
    order = rng.permutation(rows)
    members = order[: int(rows * 0.26)]
    sizes = rng.integers(2, 7, len(members) // 2 + 1)
    number = np.repeat(np.arange(len(sizes)), sizes)[: len(members)]
    group = np.full(rows, -1, dtype=np.int64)
    group[members] = number
    first = np.full(len(sizes), rows, dtype=np.int64)
    np.minimum.at(first, number, members)
    return group, np.where(group >= 0, first[np.maximum(group, 0)], np.arange(rows))


def _latent(
    rng: np.random.Generator, established: Ints, end: int, trade: Floats, log_capital: Floats, group: Ints
) -> Floats:
    """Latent risk, scaled with fixed numbers so that it does not depend on how many enterprises there are."""
    age = (end - established) / 365.25
    shared = rng.normal(0, 1, int(group.max(initial=-1)) + 2)[group]
    raw = (
        0.9 * (trade - 0.13)
        + 0.45 * (np.exp(-age / 3) - 0.29)
        - 0.16 * (log_capital - 4.5)
        + np.where(group >= 0, 0.65 * shared, 0.0)
        + rng.normal(0, 0.75, len(trade))
    )
    return raw / 0.93


def _endings(
    rng: np.random.Generator, risk: Floats, established: Ints, end: int, day: int
) -> tuple[Ints, Ints]:
    """Status (position in STATUSES) and the day an enterprise ceased, far in the future for active ones."""
    rows = len(risk)
    if day > 1:
        return np.zeros(rows, dtype=np.int64), np.full(rows, _NEVER)
    age = end - established
    gone = (rng.random(rows) < 0.075 + 0.02 * np.clip(risk, -2, 3)) & (age > 400)
    back = np.where(rng.random(rows) < 0.75, np.minimum(age - 200, 1_217), age - 200)
    ended = np.where(gone, end - (rng.random(rows) * np.maximum(back, 1)).astype(np.int64), _NEVER)
    kind = rng.random(rows) + 0.12 * np.clip(risk, -2, 2)
    status = np.select([kind < 0.62, kind < 0.67, kind < 0.95], [3, 4, 1], 2)
    return np.where(gone, status, 0), ended


def _former_names(
    rng: np.random.Generator, name: pl.Series, head: Ints, born: Ints, ended: Ints, end: int, branch: Bools
) -> tuple[Ints, pl.Series]:
    """Day of renaming in the last 40 months (NO_DAY: never) and the former name."""
    rows = len(born)
    start = np.maximum(born + 120, end - 1_200)
    stop = np.minimum(ended, end) - 30
    can = (start < stop) & (head == 91) & ~branch & (rng.random(rows) < 0.05)
    renamed = start + (rng.random(rows) * np.maximum(stop - start, 1)).astype(np.int64)
    characters = pl.DataFrame({"n": name, "f": fancy_words(rng, rows, 0.0)})
    # The distinguishing word follows the place: 南阳市…, 桐柏县…; in other names it stands in front.
    former = characters.select(
        pl.when(pl.col("n").str.contains("^..[市县区]"))
        .then(pl.concat_str(pl.col("n").str.slice(0, 3), pl.col("f"), pl.col("n").str.slice(5)))
        .otherwise(pl.concat_str(pl.col("f"), pl.col("n").str.slice(2)))
    ).to_series()
    can = can & (former != name).to_numpy()
    return np.where(can, renamed, NO_DAY), where(can, former, None)
