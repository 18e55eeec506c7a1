"""Which model grades on which day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import Promotion, champion, champion_dir, promote
from credit_pipeline.transform.policy import policy_parameter, policy_table


def test_a_past_day_keeps_its_model(tmp_path: Path) -> None:
    """Prevents a model promoted later from changing the grades of an earlier day."""
    settings = Settings(lake_dir=tmp_path)
    with pytest.raises(CreditPipelineError, match="no model"):
        champion_dir(settings, date(2026, 1, 1))
    for day, digest in (
        ("2026-01-31", "a" * 64),
        ("2026-02-28", "c" * 64),
        ("2026-02-28", "d" * 64),
        ("2026-03-31", "b" * 64),
    ):
        promote(settings, Promotion(day, digest, "trained", "test"))
    with pytest.raises(BadInput, match="past days"):
        promote(settings, Promotion("2026-03-30", "e" * 64, "trained", "too late"))
    promote(settings, Promotion("2026-01-10", "f" * 64, "trained", "a day before the first model"))
    chosen = {
        day: champion(settings, date.fromisoformat(day))
        for day in ("2026-01-09", "2026-01-30", "2026-01-31", "2026-03-01", "2026-12-31")
    }
    assert {day: item.digest[0] if item else None for day, item in chosen.items()} == {
        "2026-01-09": None, "2026-01-30": "f", "2026-01-31": "a", "2026-03-01": "d", "2026-12-31": "b",
    }  # fmt: skip


def test_promotions_written_before_have_their_place(tmp_path: Path) -> None:
    """Prevents a lake of an older version from losing its history of models."""
    settings = Settings(lake_dir=tmp_path)
    settings.models_dir.mkdir(parents=True)
    line = '{"digest": "aa", "kind": "trained", "reason": "old", "valid_from": "2026-01-31"}\n'
    (settings.models_dir / "champions.jsonl").write_text(line)
    assert champion(settings, date(2026, 2, 1)) == Promotion("2026-01-31", "aa", "trained", "old")


def test_policy_in_force_on_the_day(tmp_path: Path) -> None:
    """Prevents a rule from applying before it was made."""
    settings = Settings(policy_dir=tmp_path)
    head = "parameter,value,effective_from,effective_to\n"
    (tmp_path / "model_policy.csv").write_text(
        head + "seeds,4,2020-01-01,2020-12-31\nseeds,8,2021-01-01,9999-12-31\nbad,x,2020-01-01,9999-12-31\n"
    )
    assert policy_parameter(settings, "seeds", date(2020, 12, 31)) == 4
    assert policy_parameter(settings, "seeds", date(2021, 1, 1)) == 8
    for name in ("seeds", "bad"):
        with pytest.raises(BadInput, match=name):
            policy_parameter(settings, name, date(2019, 1, 1) if name == "seeds" else date(2021, 1, 1))
    with pytest.raises(BadInput, match="no table"):
        policy_table(settings, "nothing")
