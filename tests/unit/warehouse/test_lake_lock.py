"""Two daily runs at once: one lake, one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import lake_lock

HOLDER = """
import sys, time
from pathlib import Path
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import lake_lock
with lake_lock(Settings(lake_dir=Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(300)
"""


def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """Two publishers of one unit would both take the next number; kill -9 of the first must not block the lake."""
    settings = Settings(lake_dir=tmp_path / "lake", lock_timeout_s=0)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings.lake_dir)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(CreditPipelineError, match="another run has held the lake"), lake_lock(settings):
        pass
    holder.kill()
    holder.wait()
    with lake_lock(settings):
        assert (settings.lake_dir / ".lock").exists()
