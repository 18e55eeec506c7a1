"""Counts of visits per inspector and pair, as the UI shows them."""

from __future__ import annotations

import pyarrow as pa

from credit_pipeline.inspection.teams.team_load import UnitLoad, load_table, team_load


def test_loads_count_visits_leaders_and_pairs_of_each_unit() -> None:
    """Prevents units or rounds from being mixed, and names of inspectors or enterprises from being shown."""
    rows = [
        ("P1", 1, "A01", "firm1", "I1", "leader"),
        ("P1", 1, "A01", "firm1", "I2", "member"),
        ("P1", 1, "A01", "firm2", "I2", "member"),
        ("P1", 1, "A01", "firm2", "I1", "leader"),
        ("P1", 1, "A01", "firm3", "I1", "leader"),
        ("P1", 1, "A01", "firm3", "I3", "member"),
        ("P1", 1, "B02", "firm1", "J1", "leader"),
        ("P1", 1, "B02", "firm1", "J2", "member"),
        ("P1", 2, "A01", "firm9", "I3", "leader"),
        ("P1", 2, "A01", "firm9", "I2", "member"),
    ]
    names = ("plan_id", "round", "unit_id", "uscc", "inspector_id", "role")
    loads = team_load(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))
    assert loads == [
        UnitLoad("P1", 1, "A01", 3, 3, 1, 1, 3, 2, 2),
        UnitLoad("P1", 1, "B02", 1, 2, 1, 1, 1, 1, 1),
        UnitLoad("P1", 2, "A01", 1, 2, 1, 1, 1, 1, 1),
    ]
    shown = load_table(loads)
    assert "| P1 | 1 | A01 | 3 | 3 | 1 | 1 to 3 | 2 | up to 2 |" in shown
    assert not any(name in shown for name in ("firm", "I1", "J1"))
