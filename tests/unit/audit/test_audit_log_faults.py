"""The log under fire: two writers, a kill at every step of an append, a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from credit_pipeline.audit.log import TORN_LINE_CUT, AuditLog

_PRELUDE = """
import os, signal, sys, resource
from credit_pipeline.audit.log import AuditLog
log = AuditLog(sys.argv[1])
"""


def _python(body: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    source = textwrap.dedent(_PRELUDE) + textwrap.dedent(body)
    command = [sys.executable, "-c", source, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=check)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    log = AuditLog(tmp_path / "audit" / "log.jsonl")
    for number in range(3):
        log.append("feed_ingested", "feeds", "run-1", feed=f"feed_{number}")
    return log


def test_several_processes_append_at_once(log: AuditLog) -> None:
    """Prevents lines that two runs write into each other, or two lines with one number."""
    body = """
    for number in range(60):
        log.append("feed_ingested", "feeds", sys.argv[2], feed=f"feed_{number}", read=number)
    """
    source = textwrap.dedent(_PRELUDE) + textwrap.dedent(body)
    writers = [
        subprocess.Popen([sys.executable, "-c", source, str(log.path), f"writer-{number}"])
        for number in range(4)
    ]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0, 0]
    assert log.verify().ok and log.head()[0] == 3 + 4 * 60
    for number in range(4):
        own = [record.details["read"] for record in log.records() if record.run_id == f"writer-{number}"]
        assert own == list(range(60)), "each writer's events stand in its order"


_KILLS = {
    "before a byte is written": ("pwrite", "os.kill(os.getpid(), signal.SIGKILL)"),
    "after half of the bytes": (
        "pwrite",
        "real(descriptor, data[: len(data) // 2], offset); os.kill(os.getpid(), signal.SIGKILL)",
    ),
    "after all bytes but the line end": (
        "pwrite",
        "real(descriptor, data[:-1], offset); os.kill(os.getpid(), signal.SIGKILL)",
    ),
    "after all bytes": ("pwrite", "real(descriptor, data, offset); os.kill(os.getpid(), signal.SIGKILL)"),
    "before the rest is cut": ("ftruncate", "os.kill(os.getpid(), signal.SIGKILL)"),
    "before it is on disk": ("fsync", "os.kill(os.getpid(), signal.SIGKILL)"),
}


@pytest.mark.parametrize("step", _KILLS)
@pytest.mark.parametrize("is_torn_before", [False, True], ids=["whole log", "torn log"])
def test_a_kill_at_every_step_loses_nothing(log: AuditLog, step: str, is_torn_before: bool) -> None:
    """Prevents a killed append that loses an earlier event, or leaves a log that cannot go on."""
    before = log.path.read_bytes()
    if is_torn_before:
        with log.path.open("ab") as file:
            file.write(b'{"details":{"feed":"left by an earlier crash","read":12345678901234567890')
    name, action = _KILLS[step]
    parameters = {
        "pwrite": "descriptor, data, offset",
        "ftruncate": "descriptor, length",
        "fsync": "descriptor",
    }[name]
    body = f"""
    real = os.{name}
    def killed({parameters}):
        {action}
    os.{name} = killed
    log.append("model_chosen", "grading", "run-2", kind="expert")
    """
    done = _python(body, log.path, check=False)
    assert done.returncode == -9, done.stderr
    assert log.path.read_bytes().startswith(before), "what was on disk stays"
    log.append("day_finished", "audit", "run-3", as_of_date="2026-11-01")
    assert log.verify().ok
    events = [record.event for record in log.records()]
    assert events[:3] == ["feed_ingested"] * 3 and events[-1] == "day_finished"
    assert set(events[3:-1]) <= {"model_chosen", TORN_LINE_CUT}
    for cut in log.records(TORN_LINE_CUT):
        assert cut.details["bytes"] > 0


@pytest.mark.parametrize("room", [0, 40, 250], ids=["no byte", "some bytes", "nearly all bytes"])
def test_a_full_disk_is_told_and_leaves_the_log_whole(log: AuditLog, room: int) -> None:
    """Prevents half a line that looks like tampering, and an error without the file's name."""
    before = log.path.read_bytes()
    body = """
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        log.append("feed_ingested", "feeds", "run-2", feed="licences", as_of_date="2026-11-01", files=["x" * 200])
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
    """
    done = _python(body, log.path, len(before) + room)
    assert done.stdout.startswith("CreditPipelineError") and str(log.path) in done.stdout
    assert "could not be written" in done.stdout
    assert log.path.read_bytes() == before and log.verify().ok
    log.append("day_finished", "audit", "run-3")
    assert log.verify().ok and log.head()[0] == 4


def test_a_full_disk_at_the_first_event_leaves_no_log_that_fails(tmp_path: Path) -> None:
    """Prevents an office that cannot begin again after a full disk."""
    path = tmp_path / "audit" / "log.jsonl"
    body = """
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        log.append("run_started", "audit", "run-1")
    except Exception as error:
        print(type(error).__name__)
    """
    assert _python(body, path).stdout.strip() == "CreditPipelineError"
    log = AuditLog(path)
    assert log.verify().ok and log.head()[0] == 0
    assert json.loads(log.append("run_started", "audit", "run-2").line())["seq"] == 1
