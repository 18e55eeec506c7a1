"""Word lists, industries, regions and units as arrays.

Here: reading `vocabulary.yaml`, `industries.yaml` and the policy seeds of regions and units; which unit
is in charge. Not here: anything random.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl
import yaml

from credit_pipeline.sample.codes import make_usccs
from credit_pipeline.sample.streams import Floats, Ints
from credit_pipeline.settings import POLICY_DIR

_AUTHORITY_SERIAL = 60_000_000
"""Body codes of authorities start here, away from those of enterprises."""


@cache
def vocabulary() -> dict[str, Any]:
    """The word lists of `vocabulary.yaml`; the title of each says what it holds."""
    return _read("vocabulary.yaml")


def _read(name: str) -> Any:
    return yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))


def words(values: list[str] | pl.Series, index: Ints) -> pl.Series:
    """The words at those positions."""
    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.String)
    return series.gather(index)


def choose(
    values: list[str], rng: np.random.Generator, size: int, shares: list[float] | None = None
) -> pl.Series:
    """`size` words at random, with the given relative shares."""
    return words(values, choose_index(len(values), rng, size, shares))


def choose_index(
    count: int, rng: np.random.Generator, size: int, shares: list[float] | Floats | None = None
) -> Ints:
    """`size` positions below `count`, with the given relative shares."""
    if shares is None:
        return rng.integers(0, count, size)
    return index_at(rng.random(size), shares)


def index_at(luck: Floats, shares: list[float] | Floats) -> Ints:
    """For numbers from 0 to 1 the positions of the relative shares that they fall into."""
    edges = np.cumsum(np.asarray(shares, dtype=float))
    return np.minimum(np.searchsorted(edges, luck * edges[-1], side="right"), len(edges) - 1)


@dataclass(frozen=True)
class Industries:
    """The trades of `industries.yaml`, one position each."""

    code: list[str]
    section: list[str]
    weight: Floats
    risk: Floats
    size: Floats
    trades: list[list[str]]
    scope: list[str]
    licences: list[list[str]]

    @property
    def is_safety(self) -> np.ndarray:
        """Whether the trade needs a licence of a safety line."""
        kinds = vocabulary()["licence_kinds"]
        lines = {"emergency", "fire"}
        risky = {"food_business", "food_production", "drug", "special_equipment", "medical"}
        return np.array(
            [any(kinds[k]["line"] in lines or k in risky for k in held) for held in self.licences]
        )

    def in_sections(self, sections: str) -> np.ndarray:
        """Trades whose section is among those letters."""
        return np.array([section in sections for section in self.section])


@cache
def industries() -> Industries:
    rows = _read("industries.yaml")
    return Industries(
        code=[row["code"] for row in rows],
        section=[row["section"] for row in rows],
        weight=np.array([row["weight"] for row in rows], dtype=float),
        risk=np.array([row["risk"] for row in rows], dtype=float),
        size=np.array([row["size"] for row in rows], dtype=float),
        trades=[row["trades"] for row in rows],
        scope=[row["scope"] for row in rows],
        licences=[row["licences"] for row in rows],
    )


@dataclass(frozen=True)
class Regions:
    """The 13 counties and 2 zones, in the order of their codes."""

    code: list[str]
    name: list[str]
    short: list[str]
    weight: Floats
    townships: list[str]
    """Codes of the townships of the county that has them in units.csv (411330)."""
    township_names: list[str]
    township_region: int


@cache
def regions() -> Regions:
    table = pl.read_csv(POLICY_DIR / "regions.csv", infer_schema_length=0)
    table = table.filter(pl.col("region_level") != "city").sort("region")
    codes = table["region"].to_list()
    shares = vocabulary()["region_weights"]
    townships = _units_table().filter(pl.col("unit_level") == "township").sort("unit_id")
    county = townships["region"][0]
    county_name = table.filter(pl.col("region") == county)["region_name"][0]
    names = townships["unit_name"].str.strip_prefix(county_name)
    return Regions(
        code=codes,
        name=table["region_name"].to_list(),
        short=table["address_keyword"].to_list(),
        weight=np.array([float(shares.get(code, 2.0)) for code in codes]),
        townships=townships["township"].to_list(),
        township_names=names.str.replace("人民政府|管理委员会", "").to_list(),
        township_region=codes.index(county),
    )


def _units_table() -> pl.DataFrame:
    return pl.read_csv(POLICY_DIR / "units.csv", infer_schema_length=0)


@dataclass(frozen=True)
class Units:
    """The supervising units of units.csv."""

    unit_id: list[str]
    name: list[str]
    region: list[str]
    line: list[str]
    township: list[str | None]
    level: list[str]
    uscc: list[str]
    short: list[str]
    """What stands before the document numbers of the unit: 宛市监, 桐柏应急 …"""

    def in_charge(self, line: str) -> Ints:
        """For each county (position in `regions()`) the unit of that line: the county's own, else the
        city's."""
        city = {unit_line: i for i, unit_line in enumerate(self.line) if self.level[i] == "city"}
        own = {(self.region[i], self.line[i]): i for i in range(len(self.line)) if self.level[i] == "county"}
        fallback = city.get(line, city["market_supervision"])
        return np.array([own.get((code, line), fallback) for code in regions().code], dtype=np.int64)


@cache
def units() -> Units:
    table = _units_table().sort("unit_id")
    rows = len(table)
    region = table["region"].cast(pl.Int64).to_numpy()
    serial = np.arange(rows, dtype=np.int64) + _AUTHORITY_SERIAL
    usccs = make_usccs(np.full(rows, 11), region, serial, np.zeros(rows, dtype=bool))
    short = dict(zip(regions().code, regions().short, strict=True)) | {"411300": "宛"}
    lines = vocabulary()["line_abbreviations"]
    return Units(
        unit_id=table["unit_id"].to_list(),
        name=table["unit_name"].to_list(),
        region=table["region"].to_list(),
        line=table["line"].to_list(),
        township=table["township"].to_list(),
        level=table["unit_level"].to_list(),
        uscc=usccs.to_list(),
        short=[short[r] + lines[line] for r, line in zip(table["region"], table["line"], strict=True)],
    )
