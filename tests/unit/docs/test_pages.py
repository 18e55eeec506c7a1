"""Pages that are written from code or must not fall behind it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from credit_pipeline.feeds.documentation import feeds_markdown

ROOT = Path(__file__).resolve().parents[3]


def test_feeds_page_is_the_catalogue() -> None:
    """Prevents a page about columns that no longer exist."""
    assert (ROOT / "docs" / "feeds.md").read_text(encoding="utf-8") == feeds_markdown()


def test_every_dependency_has_a_reason() -> None:
    """Prevents a dependency that nobody can explain."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name = re.split(r"[\[<>=!~ ]", line)[0]
        assert re.search(rf"\b{re.escape(name)}\b", page), f"docs/dependencies.md gives no reason for {name}"


def test_both_readmes_tell_the_same_commands() -> None:
    """Prevents one language from falling behind the other."""
    english, chinese = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md")
    )
    variables = re.compile(r"CREDIT_[A-Z_]+|DAGSTER_HOME|make [a-z]+|credit-pipeline [a-z]+")
    assert set(variables.findall(english)) == set(variables.findall(chinese))


def test_every_setting_is_in_the_readme() -> None:
    """Prevents a setting that only its author knows."""
    from credit_pipeline.settings import Settings

    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"CREDIT_{name.upper()}" in page, name
