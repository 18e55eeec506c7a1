"""A draw whose process is killed at seeded moments: the next run ends where an undisturbed one does."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

SUPPORT = Path(__file__).parents[1] / "unit" / "inspection"
sys.path.insert(0, str(SUPPORT))
from round_support import City, frame_rows  # noqa: E402

KILLS = 12
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["round_support"])
"""Real processes of their own, forked where everything is imported: twelve starts of Python took most of the time."""


def _run(root: Path, told: Connection) -> None:
    town = City(root, frame=frame_rows(400))
    told.send("ready")
    told.send(town.run(build=False))


def _child(root: Path) -> tuple[BaseProcess, Connection]:
    heard, told = CONTEXT.Pipe(duplex=False)
    child = CONTEXT.Process(target=_run, args=(root, told), daemon=True)
    child.start()
    told.close()
    assert heard.poll(60) and heard.recv() == "ready"
    return child, heard


def test_a_draw_killed_at_any_moment_ends_the_same(tmp_path: Path) -> None:
    """kill -9 leaves no handler a chance: half-written files, a torn log line, an unlogged step."""
    clean = City(tmp_path / "clean", frame=frame_rows(400))
    clean.build()
    shutil.copytree(tmp_path / "clean", tmp_path / "template")
    child, heard = _child(tmp_path / "clean")
    ready = time.monotonic()
    assert heard.poll(120) and heard.recv() == ["ASSIGNED"]
    length = time.monotonic() - ready
    child.join(60)
    assert child.exitcode == 0
    moments, states = random.Random(5), set()
    for number in range(KILLS):
        root = tmp_path / f"kill{number}"
        shutil.copytree(tmp_path / "template", root)
        child, _ = _child(root)
        time.sleep(length * moments.random())
        child.kill()
        child.join(60)
        assert child.exitcode in (-signal.SIGKILL, 0), "killed, or done before"
        town = City(root, frame=frame_rows(400))
        states.add(len(town.events()))
        # A crash may have torn the last line of the log, which the next event cuts off and records.
        assert town.run(build=False) == ["ASSIGNED"], number
        assert town.files() == clean.files(), number
        assert town.events() == clean.events(), number
        assert town.audit.verify().ok
        shutil.rmtree(root)
    assert len(states) > 1, "the kills hit different steps"
