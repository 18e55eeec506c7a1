"""The UI as an engineer sees it: a real webserver and daemon, a real Chromium."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests_support import COMMAND, Place, make_city, make_place

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here; remedy: apt-get install chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
GROUPS = [
    "raw",
    "staging",
    "enterprises",
    "indicators",
    "grading",
    "inspection",
    "extracts",
    "audit",
    "policy",
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def graphql(url: str, query: str, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables or {}}).encode()
    request = urllib.request.Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_city(make_place(tmp_path_factory.mktemp("ui")), enterprises=200)


def start(office: Place, port: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [COMMAND, "ui", "--port", str(port), "--lake", str(office.lake), "--landing", str(office.landing)],
        env=office.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2) as response:
                response.read()
            found = graphql(
                f"http://127.0.0.1:{port}",
                "{repositoriesOrError{__typename ... on RepositoryConnection{nodes{name}}}}",
            )
            if found["repositoriesOrError"].get("nodes"):
                return process
        except OSError:
            pass
        assert process.poll() is None, "the UI ended while starting"
        time.sleep(1)
    pytest.fail("the UI did not come up")


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(timeout=60)


@pytest.fixture(scope="module")
def url(office: Place) -> Iterator[str]:
    port = free_port()
    process = start(office, port)
    yield f"http://127.0.0.1:{port}"
    stop(process)


@pytest.fixture(scope="module")
def page(url: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser.new_page(viewport={"width": 1800, "height": 1100})
        browser.close()


LAUNCH = """
mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""
RUN = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status startTime endTime } } }"


def launch(url: str, day: str) -> str:
    selector = {
        "repositoryLocationName": "credit_pipeline",
        "repositoryName": "__repository__",
        "jobName": "daily",
    }
    tags = [{"key": "dagster/partition", "value": day}]
    answer = graphql(
        url,
        LAUNCH,
        {"params": {"selector": selector, "mode": "default", "executionMetadata": {"tags": tags}}},
    )
    launched = answer["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return str(launched["run"]["runId"])


def wait_for(url: str, run_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        run = graphql(url, RUN, {"id": run_id})["runOrError"]
        if run["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            return run
        time.sleep(2)
    pytest.fail(f"run {run_id} did not end")


def test_graph_shows_the_stages_as_groups(page: Any, url: str) -> None:
    """Prevents a graph in which nobody finds the stages."""
    page.goto(f"{url}/asset-groups")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for(timeout=60_000)


def test_materialize_all_twice_at_once(page: Any, url: str, office: Place) -> None:
    """Prevents two runs started together from corrupting the lake: the second waits for the first."""
    runs = [launch(url, office.as_of), launch(url, office.as_of)]
    ended = [wait_for(url, run_id) for run_id in runs]
    assert [run["status"] for run in ended] == ["SUCCESS", "SUCCESS"]
    first, second = sorted(ended, key=lambda run: run["startTime"])
    assert second["startTime"] >= first["endTime"]
    [(graded, distinct)] = office.query(
        "select count(*), count(distinct uscc) from grading.enterprise_grades"
    )
    assert graded == distinct > 0
    page.goto(f"{url}/assets/grading/enterprise_grades")
    page.get_by_text("中文标签", exact=False).first.wait_for(timeout=60_000)


def test_history_survives_a_restart(office: Place, url: str) -> None:
    """Prevents a UI that forgets its runs: a second server over the same home shows them."""
    port = free_port()
    process = start(office, port)
    try:
        runs = graphql(f"http://127.0.0.1:{port}", "{runsOrError{... on Runs{results{runId status}}}}")[
            "runsOrError"
        ]["results"]
        assert len(runs) >= 2 and {run["status"] for run in runs} == {"SUCCESS"}
    finally:
        stop(process)


def test_no_grade_in_history(office: Place, url: str) -> None:
    """Prevents an enterprise and its grade from standing together in what Dagster keeps."""
    [(uscc,)] = office.query("select min(uscc) from grading.enterprise_grades")
    needle = str(uscc).encode()
    holders = [
        path
        for path in Path(office.environment["DAGSTER_HOME"]).rglob("*")
        if path.is_file() and needle in path.read_bytes()
    ]
    assert holders == []
