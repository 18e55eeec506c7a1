"""A draw whose process is killed at seeded moments: the next run ends where an undisturbed one does."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "unit" / "inspection"
sys.path.insert(0, str(SUPPORT))
from round_support import City, frame_rows  # noqa: E402

KILLS = 12
CHILD = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(SUPPORT)!r})
from round_support import City, frame_rows
town = City(Path(sys.argv[1]), frame=frame_rows(400))
print("ready", flush=True)
print(town.run(build=False), flush=True)
"""


def _child(root: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(root)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def test_a_draw_killed_at_any_moment_ends_the_same(tmp_path: Path) -> None:
    """kill -9 leaves no handler a chance: half-written files, a torn log line, an unlogged step."""
    clean = City(tmp_path / "clean", frame=frame_rows(400))
    clean.build()
    shutil.copytree(tmp_path / "clean", tmp_path / "template")
    began = time.monotonic()
    child = _child(tmp_path / "clean")
    ready = time.monotonic()
    assert child.wait(timeout=120) == 0 and child.stdout is not None and "ASSIGNED" in child.stdout.read()
    length = time.monotonic() - ready
    assert began < ready
    moments, states = random.Random(5), set()
    for number in range(KILLS):
        root = tmp_path / f"kill{number}"
        shutil.copytree(tmp_path / "template", root)
        child = _child(root)
        time.sleep(length * moments.random())
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
        town = City(root, frame=frame_rows(400))
        states.add(len(town.events()))
        # A crash may have torn the last line of the log, which the next event cuts off and records.
        assert town.run(build=False) == ["ASSIGNED"], number
        assert town.files() == clean.files(), number
        assert town.events() == clean.events(), number
        assert town.audit.verify().ok
        shutil.rmtree(root)
    assert len(states) > 1, "the kills hit different steps"
