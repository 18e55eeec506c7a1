"""kill -9 at random moments of an ingest: afterwards the lake is, byte for byte, that of an undisturbed one.

Small by default; `CREDIT_TEST_KILL_ROWS=1000000 CREDIT_TEST_KILLS=20` is the acceptance run.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from credit_pipeline.settings import PROJECT_ROOT

ROWS = int(os.environ.get("CREDIT_TEST_KILL_ROWS", "40000"))
KILLS = int(os.environ.get("CREDIT_TEST_KILLS", "4"))
FILES_PER_FEED = 4
DELIVERY = "import sys; from pathlib import Path; from benchmarks.delivery import write_delivery; write_delivery(Path(sys.argv[1]), int(sys.argv[2]), 0.02, int(sys.argv[3]))"
INGEST = """
import sys
from pathlib import Path
from benchmarks.delivery import AS_OF, FEEDS
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.settings import Settings

settings = Settings(landing_dir=Path(sys.argv[1]), lake_dir=Path(sys.argv[2]))
print("ready", flush=True)
for feed in FEEDS:
    ingest_feed(feed, settings, AS_OF)
"""


def ingest(landing: Path, lake: Path, kill_after: float | None = None) -> tuple[bool, float]:
    """Ingest in a process of its own; whether it was killed, and the seconds since it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", INGEST, str(landing), str(lake)], cwd=PROJECT_ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    started = time.monotonic()
    try:
        code = process.wait(kill_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    process.stdout.close()
    assert code in (0, -signal.SIGKILL)
    return code != 0, time.monotonic() - started


def contents(lake: Path) -> dict[str, str]:
    """Name and hash of every file of the lake, but DuckDB's spill."""
    found = {}
    for path in sorted(lake.rglob("*")):
        if path.is_file() and path.relative_to(lake).parts[0] != "tmp":
            with path.open("rb") as stream:
                found[path.relative_to(lake).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Prevents half a file, a file twice, a row lost or a leftover after a crash at any moment, also one in the
    run that puts things in order."""
    landing, lake = tmp_path / "landing", tmp_path / "lake"
    subprocess.run(
        [sys.executable, "-c", DELIVERY, str(landing), str(ROWS), str(max(ROWS // 5 // FILES_PER_FEED, 1))],
        cwd=PROJECT_ROOT,
        check=True,
    )
    _, seconds = ingest(landing, tmp_path / "undisturbed")
    wanted = contents(tmp_path / "undisturbed")
    assert sum(name.startswith("ledger/") for name in wanted) == 5 * FILES_PER_FEED + 1
    shutil.rmtree(tmp_path / "undisturbed")
    chance = random.Random(20261031)
    left = []
    for number in range(KILLS):
        moment = (number + chance.random()) / KILLS * seconds
        while not ingest(landing, lake, moment)[0]:
            # This time the machine was faster than when the undisturbed run was timed.
            shutil.rmtree(lake)
            moment *= 0.7
        entries = sum(name.startswith("ledger/") for name in contents(lake))
        if number % 3 == 2:
            ingest(landing, lake, chance.random() * seconds)
        ingest(landing, lake)
        assert contents(lake) == wanted, f"killed after {moment:.2f} s of {seconds:.2f} s"
        left.append(f"killed after {moment:.2f} s with {max(entries - 1, 0)} files in")
        shutil.rmtree(lake)
    sys.stdout.write(f"{ROWS:,} rows, {seconds:.1f} s undisturbed\n" + "\n".join(left) + "\n")
