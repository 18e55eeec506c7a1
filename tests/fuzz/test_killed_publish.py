"""The fault drill of publishing: kill -9 before every fsync and rename, a full disk, two publishers at once."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parents[1] / "unit" / "extracts"
sys.path.insert(0, str(SUPPORT))
from release_support import UNIT, Office, connect_source  # noqa: E402

from credit_pipeline.extracts.manifest import read_manifest  # noqa: E402

CHILD = f"""
import os, resource, signal, sys
from pathlib import Path
sys.path.insert(0, {str(SUPPORT)!r})
from release_support import Office, connect_source
root, kill_at, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
office = Office(root, connect_source(root / "spill"))
seen, real_fsync, real_replace = 0, os.fsync, Path.replace
def count():
    global seen
    seen += 1
    if seen == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
def fsync(descriptor):
    count()
    real_fsync(descriptor)
def replace(path, target):
    count()
    return real_replace(path, target)
os.fsync, Path.replace = fsync, replace
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    office.publish(extra=1)
except Exception as error:
    print(type(error).__name__, error)
    sys.exit(3)
"""


def _child(root: Path, kill_at: int = 0, limit: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHILD, str(root), str(kill_at), str(limit)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    office = Office(tmp_path / "office", connect_source(tmp_path / "spill"))
    office.publish()
    return office


def _copy(office: Office, root: Path) -> Office:
    shutil.copytree(office.root, root)
    return Office(root, office.source)


def _both(office: Office) -> set[int]:
    """What the office and the unit's reader see; each must open a whole release."""
    sql = "select n from extra union all select n from extra where (select count(*) from enterprise_grades) <> 500"
    [(by_office,)] = office.rows(sql)
    [(by_unit,)] = office.read(sql, office.register.office_path(UNIT))
    return {by_office, by_unit}


def test_kill_9_at_every_step_leaves_the_old_or_the_new_release(office: Office, tmp_path: Path) -> None:
    """SIGKILL leaves no handler a chance. Afterwards a reader opens one whole release, and the next run mends all."""
    met = set()
    for step in range(1, 80):
        town = _copy(office, tmp_path / f"kill{step}")
        done = _child(town.root, kill_at=step)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        found = _both(town)
        assert found in ({0}, {1}), step
        met |= found
        town.publish(extra=1)
        assert _both(town) == {1} and read_manifest(town.folder / "manifest.json")["release_seq"] == 2
        assert not list(town.folder.glob("tmp-*"))
        shutil.rmtree(town.root)
    assert met == {0, 1} and step > 15


@pytest.mark.parametrize("limit", [1, 4096, 100_000, 300_000])
def test_a_disk_that_fills_up_leaves_the_old_release(office: Office, tmp_path: Path, limit: int) -> None:
    """No room for the database, or only for a part of it: said so, nothing partial left, the old release current."""
    before = {path.name: path.read_bytes() for path in office.folder.iterdir()}
    done = _child(office.root, limit=limit)
    assert done.returncode == 3 and "CreditPipelineError" in done.stdout, done.stdout + done.stderr
    assert (
        "is full" in done.stdout and "release 1 stays current" in done.stdout and "make room" in done.stdout
    )
    assert {path.name: path.read_bytes() for path in office.folder.iterdir()} == before
    assert _both(office) == {0}
    assert office.publish(extra=1).is_new and _both(office) == {1}
