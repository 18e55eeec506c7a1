"""What code was at work, and who started it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from credit_pipeline.code_version import code_sha256, digest_of_folders, library_versions
from credit_pipeline.orchestration import STARTED_BY_TAG, launcher


def test_the_digest_is_computed_as_documented(tmp_path: Path) -> None:
    """Prevents a digest that nobody else can compute, or that caches and data change."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.py").write_text("1\n")
    (tmp_path / "b.sql").write_text("select 1\n")
    lines = sorted(
        f"p/{name} {hashlib.sha256(text).hexdigest()}\n"
        for name, text in (("a/x.py", b"1\n"), ("b.sql", b"select 1\n"))
    )
    first = digest_of_folders({"p": tmp_path})
    assert first == hashlib.sha256("".join(lines).encode()).hexdigest()
    for other in ("target/t.sql", "__pycache__/x.py", "data.csv"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("2")
    assert digest_of_folders({"p": tmp_path}) == first
    (tmp_path / "a" / "x.py").write_text("2\n")
    assert digest_of_folders({"p": tmp_path}) != first


def test_this_code_has_a_digest_and_versions() -> None:
    assert len(code_sha256()) == 64 and library_versions()["duckdb"]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"dagster/schedule_name": "daily_at_two"}, {"schedule": "daily_at_two"}),
        ({"dagster/sensor_name": "file_drop"}, {"sensor": "file_drop"}),
        ({"dagster/backfill": "abc"}, {"backfill": "abc"}),
        ({STARTED_BY_TAG: "command"}, {"started_by": "command"}),
        ({"dagster/parent_run_id": "r1"}, {"re-execution": "r1"}),
        ({"dagster/partition": "2026-10-31"}, {"started_by": "ui"}),
    ],
)
def test_the_launcher_is_named(tags: dict[str, str], expected: dict[str, str]) -> None:
    """Prevents a run of which nobody can say what started it."""
    assert launcher(tags) == expected
