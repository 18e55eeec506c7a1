"""docs/audit.md against the code: its events, its kinds of findings, and the ten lines that check a chain."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from credit_pipeline.audit.events import events_markdown
from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.log_chain import Damage
from credit_pipeline.audit.verification import REMEDIES, WARNINGS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_the_page_lists_every_event() -> None:
    """Prevents a page that knows other events than the code."""
    assert events_markdown() in PAGE


def test_the_page_explains_every_finding() -> None:
    """Prevents a finding of audit verify that its reader cannot look up."""
    for kind in {*map(str, Damage), *map(str, REMEDIES), *WARNINGS, "witness_forged", "witness_foreign_key"}:
        assert f"`{kind}`" in PAGE, kind


def test_the_ten_lines_check_a_chain(tmp_path: Path) -> None:
    """Prevents a format that a stranger cannot check by the page alone, with the standard library alone."""
    [script] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    log = AuditLog(tmp_path / "log.jsonl")
    for name in ("企业登记", "é", 'quote " and \\ and \u2028 and \t'):
        log.append("feed_ingested", "feeds", "run-1", feed=name, read=3, files=[])

    def check() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-c", script]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, env={"PATH": os.defpath}
        )

    size, head = log.head()
    assert check().stdout.split() == [str(size), head]
    log.path.write_bytes(log.path.read_bytes().replace(b'"read":3', b'"read":4', 1))
    assert check().returncode != 0
