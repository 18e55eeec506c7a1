"""Evaluations by others: public credit evaluation and the ratings of the lines, noisy views of the hidden
risk.

Here: two feeds on scales of their own, none of which is the platform's grade.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from credit_pipeline.sample.city import City
from credit_pipeline.sample.events import frame, party, with_reported
from credit_pipeline.sample.names import where
from credit_pipeline.sample.streams import Bools, Floats, Ints, Window, dates, day_number
from credit_pipeline.sample.tables import industries, words

_QUARTERS = (
    ("2025Q4", date(2026, 1, 15)),
    ("2026Q1", date(2026, 4, 15)),
    ("2026Q2", date(2026, 7, 15)),
    ("2026Q3", date(2026, 10, 15)),
)
_LEVEL_CUTS = (900, 1_000, 1_060)
_LEVELS = ["poor", "medium", "good", "excellent"]


def public_credit_evaluations(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """The latest four quarters for about 60 % of enterprises; an increment re-evaluates a few for the
    last quarter."""
    covered = rng.random(len(city)) < 0.6
    quarters = _QUARTERS if window.is_history else _QUARTERS[-1:]
    parts = []
    for period, evaluated in quarters:
        day = day_number(evaluated) if window.is_history else window.end
        again = covered & city.alive(slice(None), day) & (city.established < day - 180)
        if not window.is_history:
            again &= rng.random(len(city)) < 0.008
        firm = np.flatnonzero(again)
        view = city.risk_at(day, firm) + rng.normal(0, 0.85, len(firm))
        score = np.round(np.clip(1_010 - 62 * view, 300, 1_200), 1)
        parts.append(
            (firm, np.full(len(firm), day), score, np.full(len(firm), quarters.index((period, evaluated))))
        )
    firm, at, score, quarter = (np.concatenate([part[i] for part in parts]) for i in range(4))
    rows = len(firm)
    period_name = words([period for period, _ in quarters], quarter)
    data = frame(
        rows,
        {
            **party(city, firm),
            "evaluation_level": words(_LEVELS, np.searchsorted(_LEVEL_CUTS, score)),
            "evaluation_score": pl.Series(score),
            "period": period_name,
            "evaluated_date": dates(at),
            "valid_to": dates(at + 365),
            "evaluator": "南阳市社会信用体系建设办公室",
        },
    )
    return with_reported(data, window, rng, firm, at, period_name)


def industry_ratings(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Ratings of tax, environment, labour, construction, work safety and water for 2024 and 2025, by
    scheme."""
    trades = industries()
    sewage = np.array(["sewage" in held for held in trades.licences])[city.industry]
    builders = trades.in_sections("E")[city.industry]
    makers = trades.in_sections("BCD")[city.industry]
    parts = []
    for year in (2024, 2025):
        day = day_number(date(year + 1, 4, 20)) if window.is_history else window.end
        active = city.alive(slice(None), day) & (city.established < day_number(date(year, 12, 31)))
        view = city.risk_at(day)
        age = day - city.established
        for scheme, members, share, noise, grades, cuts, by in (
            (
                "tax",
                ~city.is_branch,
                0.55,
                0.8,
                ["A", "B", "C", "D"],
                (-0.9, 1.1, 1.9),
                "国家税务总局南阳市税务局",
            ),
            ("environment", sewage, 0.7, 0.8, ["绿", "蓝", "黄", "红"], (-0.5, 0.9, 1.8), "南阳市生态环境局"),
            (
                "labour",
                city.staff >= 20,
                0.6,
                0.9,
                ["A", "B", "C"],
                (-0.4, 1.5),
                "南阳市人力资源和社会保障局",
            ),
            (
                "construction",
                builders,
                0.5,
                0.9,
                ["A", "B", "C", "D"],
                (-0.6, 0.8, 1.8),
                "南阳市住房和城乡建设局",
            ),
            ("work_safety", makers, 0.25, 0.9, ["一级", "二级", "三级"], (-0.8, 0.6), "南阳市应急管理局"),
            ("water", builders, 0.06, 0.9, ["AAA", "AA", "A", "B"], (-1.0, 0.0, 1.2), "南阳市水利局"),
        ):
            rated = members & active & (rng.random(len(city)) < share)
            if not window.is_history:
                rated &= (rng.random(len(city)) < 0.004) & (year == 2025)
            parts.append(_rated(city, rng, rated, view, noise, scheme, grades, cuts, by, year, day, age))
    data = pl.concat(parts).sort("scheme", "rated_date", "uscc", "rating_year")
    firm = data["_firm"].to_numpy()
    happened = data["rated_date"].cast(pl.Int32).to_numpy().astype(np.int64)
    return with_reported(data, window, rng, firm, happened, data["scheme"])


def _rated(
    city: City,
    rng: np.random.Generator,
    rated: Bools,
    view: Floats,
    noise: float,
    scheme: str,
    grades: list[str],
    cuts: tuple[float, ...],
    by: str,
    year: int,
    day: int,
    age: Ints,
) -> pl.DataFrame:
    firm = np.flatnonzero(rated)
    rows = len(firm)
    rating = words(grades, np.searchsorted(cuts, view[firm] + rng.normal(0, noise, rows)))
    if scheme == "tax":
        # New enterprises and those without income are rated M.
        rating = where((age[firm] < 730) & (rating != "D").to_numpy(), "M", rating)
    at = np.full(rows, day)
    values = frame(
        rows,
        {
            **party(city, firm),
            "scheme": scheme,
            "rating": rating,
            "rating_year": pl.Series(np.full(rows, year)),
            "rated_by": by,
            "rated_date": dates(at),
            "valid_from": dates(at),
            "valid_to": dates(at + 365),
        },
    )
    return values.with_columns(_firm=pl.Series(firm))
