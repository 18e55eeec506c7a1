"""Processes of the UI as the operator and the viewers run them: nobody else on the machine or the network gets at them."""

from __future__ import annotations

import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform.dbt import dbt_environment, dbt_executable
from tests_support import COMMAND, Place, make_place

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="no /proc here: processes cannot be looked at"
)


@dataclass
class Running:
    """A UI with all its processes."""

    place: Place
    process: subprocess.Popen[bytes]
    port: int

    def pids(self) -> list[int]:
        """The process and all below it."""
        found, fresh = [], [self.process.pid]
        while fresh:
            found += fresh
            parents = dict(_parents())
            fresh = [pid for pid, parent in parents.items() if parent in found and pid not in found]
        return found


def _parents() -> Iterator[tuple[int, int]]:
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            match = re.search(r"^PPid:\s+(\d+)", path.read_text(), re.MULTILINE)
        except OSError:  # ended meanwhile
            continue
        if match:
            yield int(path.parent.name), int(match[1])


def start(place: Place, *arguments: str) -> Running:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
    process = subprocess.Popen(
        [COMMAND, "ui", "--port", str(port), "--lake", str(place.lake), "--landing", str(place.landing), *arguments],
        env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, umask=0o022,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        assert process.poll() is None, "the UI ended while starting"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5):
                return Running(place, process, port)
        except OSError:
            time.sleep(0.3)
    raise AssertionError("the UI does not answer")


@pytest.fixture(scope="module", params=["operator", "viewer"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = make_place(tmp_path_factory.mktemp(request.param))
    place.environment = {
        name: value
        for name, value in place.environment.items()
        if name not in ("DAGSTER_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    }
    place.landing.mkdir()
    found = start(place, *(["--read-only"] if request.param == "viewer" else []))
    yield found
    found.process.terminate()
    found.process.wait(timeout=120)


def test_every_process_hides_its_files(running: Running) -> None:
    """Prevents a webserver, daemon or code server whose files others can read, though it was started under umask 022."""
    umasks = {
        pid: re.search(r"^Umask:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for pid in running.pids()
    }
    assert len(umasks) >= 2, "the code server is a process of its own"
    assert set(umasks.values()) == {"0077"}
    home = Path(running.place.environment["DAGSTER_HOME"])
    made = [home, *home.rglob("*")]
    assert [path for path in made if not path.is_symlink() and path.stat().st_mode & 0o077] == []


def test_nothing_listens_beyond_this_machine(running: Running) -> None:
    """Prevents a UI on the network, and a code server that answers to more than a socket file."""
    inodes = set()
    for pid in running.pids():
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                match = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink()))
            except OSError:  # closed meanwhile
                continue
            if match:
                inodes.add(match[1])
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, _, port = fields[1].partition(":")
                listening.add((address, int(port, 16)))
    assert listening == {("0100007F", running.port)}


def test_nothing_is_reported_home(running: Running) -> None:
    """Prevents usage statistics of Dagster or dbt, whoever starts the UI."""
    variables = Path(f"/proc/{running.process.pid}/environ").read_bytes().decode().split("\0")
    assert {"DAGSTER_DISABLE_TELEMETRY=1", "DO_NOT_TRACK=1"} <= set(variables)
    home = Path(running.place.environment["DAGSTER_HOME"])
    assert "telemetry:\n  enabled: false" in (home / "dagster.yaml").read_text(encoding="utf-8")
    project = (DBT_PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    assert "send_anonymous_usage_stats: false" in project


@pytest.mark.parametrize("is_encrypted", ["true", "false"])
def test_dbt_refuses_a_session_that_spills_in_clear(tmp_path: Path, is_encrypted: str) -> None:
    """Prevents a changed profile from building with spill in clear: every build asks its own session."""
    profile = (DBT_PROJECT_DIR / "profiles.yml").read_text(encoding="utf-8")
    assert profile.count('temp_file_encryption: "true"') == 1
    changed = profile.replace('temp_file_encryption: "true"', f'temp_file_encryption: "{is_encrypted}"')
    (tmp_path / "profiles.yml").write_text(changed, encoding="utf-8")
    settings = Settings(lake_dir=tmp_path / "lake")
    with dbt_environment(settings, tmp_path / "warehouse.duckdb"):
        command = [dbt_executable(), "--no-use-colors", "run-operation", "load_spill_encryption"]
        command += ["--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(tmp_path)]
        command += ["--target-path", str(tmp_path / "target"), "--log-path", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is (is_encrypted == "true"), done.stdout
    assert ("grades could be spilled in plain text" in done.stdout) is (is_encrypted == "false")
