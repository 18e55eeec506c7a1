"""The two directories: inspectors of the 60 units, items that may be inspected at random.

Here: small tables that do not depend on the number of enterprises.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from credit_pipeline.sample.events import frame, text
from credit_pipeline.sample.names import joined, person_names, phones, where
from credit_pipeline.sample.streams import NO_DAY, Window, dates
from credit_pipeline.sample.tables import choose, units, vocabulary, words

_PER_UNIT = 12
_SKILLS = [
    "食品",
    "药品",
    "特种设备",
    "产品质量",
    "广告",
    "价格",
    "安全生产",
    "环境保护",
    "建筑",
    "消防",
    "卫生",
    "综合",
]


def inspectors(rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """About twelve inspectors for each unit; one certificate in sixteen has expired, some are on leave."""
    count = rng.integers(_PER_UNIT - 2, _PER_UNIT + 3, len(units().unit_id))
    unit = np.repeat(np.arange(len(count)), count)
    rows = len(unit)
    number = np.arange(rows) - np.repeat(np.cumsum(count) - count, count) + 1
    unit_id = words(units().unit_id, unit)
    expired = rng.random(rows) < 1 / 16
    valid = window.end + np.where(expired, -rng.integers(1, 400, rows), rng.integers(60, 1_500, rows))
    on_leave = rng.random(rows) < 0.04
    leave = window.end + rng.integers(-20, 20, rows)
    other = where(rng.random(rows) < 0.5, joined("、", choose(_SKILLS, rng, rows)), "")
    data = frame(
        rows,
        {
            "inspector_id": joined(unit_id, "-", text(number, 2)),
            "inspector_name": person_names(rng, rows),
            "unit_id": unit_id,
            "unit_name": words(units().name, unit),
            "certificate_no": joined(
                "豫R", text(np.arange(rows) * 7_919 % 900_000 + 100_000), text(number, 2)
            ),
            "certificate_valid_to": dates(valid),
            "skills": joined(choose(_SKILLS, rng, rows), other),
            "region": words(units().region, unit),
            "is_leader": pl.Series((number <= 3) | (rng.random(rows) < 0.2)),
            "leave_from": dates(np.where(on_leave, leave, NO_DAY)),
            "leave_to": dates(np.where(on_leave, leave + 30, NO_DAY)),
            "phone": phones(rng, rows),
        },
    )
    return _steered(data)


def inspection_items() -> pl.DataFrame:
    """The list of items with legal basis, line, kind and whether safety is concerned."""
    table = vocabulary()["inspection_items"]
    rows = len(table)
    data = frame(
        rows,
        {
            "item_code": pl.Series([row[0] for row in table]),
            "item_name": pl.Series([row[1] for row in table]),
            "line": pl.Series([row[2] for row in table]),
            "item_kind": pl.Series(["key" if row[3] else "general" for row in table]),
            "is_safety_related": pl.Series([row[4] for row in table]),
            "legal_basis": pl.Series([row[5] for row in table]),
            "industry_sections": pl.Series([row[6] or None for row in table], dtype=pl.String),
            "valid_from": dates(np.full(rows, 19_723)),  # 2024-01-01
            "valid_to": dates(np.full(rows, NO_DAY)),
        },
    )
    return _steered(data)


def _steered(data: pl.DataFrame) -> pl.DataFrame:
    return data.with_columns(_firm=pl.lit(-1, dtype=pl.Int64), _part=pl.lit("all"))
