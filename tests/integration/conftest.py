"""A small city and what one daily run makes of it, once per session, by the command that users type."""

from __future__ import annotations

from typing import Any

import pytest

from tests_support import Place, make_city, make_place


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A city that has been run once; tests must not change it."""
    return make_city(make_place(tmp_path_factory.mktemp("city")))


@pytest.fixture(scope="session")
def finished_run(city: Place) -> dict[str, Any]:
    """What `run --json` printed for it."""
    return city.run()
