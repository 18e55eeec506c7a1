"""An office with one unit, for tests of releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from release_support import Office, connect_source


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect_source(tmp_path_factory.mktemp("spill")) as connection:
        yield connection


@pytest.fixture
def office(tmp_path: Path, source: duckdb.DuckDBPyConnection) -> Office:
    return Office(tmp_path, source)
