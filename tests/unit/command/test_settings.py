"""Settings mean the same place in every process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from credit_pipeline.commands.shared import command_settings
from credit_pipeline.settings import Settings


def test_relative_paths_become_absolute_for_dagster_and_dbt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents dbt, which works in its project's folder, from reading another lake than the command wrote."""
    monkeypatch.chdir(tmp_path)
    for name in ("LANDING_DIR", "LAKE_DIR", "KEYS_DIR", "POLICY_DIR", "SOURCES_FILE", "SECRETS_FILE"):
        monkeypatch.setenv(f"CREDIT_{name}", "put back afterwards")
        monkeypatch.delenv(f"CREDIT_{name}")
    monkeypatch.setenv("CREDIT_LAKE_DIR", "lake")
    monkeypatch.setenv("CREDIT_SOURCES_FILE", "sources.yaml")
    settings = command_settings(landing=Path("landing"))
    assert settings.lake_dir == tmp_path / "lake" and settings.landing_dir == tmp_path / "landing"
    assert os.environ["CREDIT_LANDING_DIR"] == str(tmp_path / "landing")
    assert os.environ["CREDIT_SOURCES_FILE"] == str(tmp_path / "sources.yaml")
    assert command_settings(lake=Path("other")).lake_dir == tmp_path / "other", (
        "the option wins over the variable"
    )


def test_secrets_do_not_print(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents a webhook's token in a log."""
    monkeypatch.setenv("CREDIT_ALERT_WEBHOOK_URL", "https://example.org/TOKEN")
    assert "TOKEN" not in repr(Settings()) + str(Settings().model_dump())
