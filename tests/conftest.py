"""What all tiers share. Tiers by cost: unit (no Dagster run), fuzz (broken files), defs (the graph loads), integration (whole runs), browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")

TIERS = {"unit", "fuzz", "defs", "integration", "browser"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap tiers first, and no test that builds a whole city in a cheap tier."""
    order = {"unit": 0, "fuzz": 1, "defs": 2, "integration": 3, "browser": 4}

    def tier(item: pytest.Item) -> str:
        parts = Path(str(item.path)).relative_to(Path(__file__).parent).parts
        return parts[0]

    for item in items:
        if tier(item) not in TIERS:
            raise pytest.UsageError(f"{item.nodeid} stands in no tier; tiers are {', '.join(sorted(TIERS))}")
        if tier(item) == "unit" and {"city", "finished_run"} & set(getattr(item, "fixturenames", ())):
            raise pytest.UsageError(f"{item.nodeid} runs the whole pipeline in the unit tier")
    items.sort(key=lambda item: order[tier(item)])
