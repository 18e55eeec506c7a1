"""Small samples, generated once."""

from __future__ import annotations

import pytest
from sent_files import Sample


@pytest.fixture(scope="session")
def dirty_city(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """So much dirt that every kind occurs."""
    return Sample(tmp_path_factory.mktemp("dirty"), enterprises=600, dirt=0.5)


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """As dirty as practice is."""
    return Sample(tmp_path_factory.mktemp("town"), enterprises=5_000, dirt=0.03)


@pytest.fixture(scope="session")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("days"), enterprises=400, days=3, dirt=0.05)


@pytest.fixture(scope="session")
def clean_city(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return Sample(tmp_path_factory.mktemp("clean"), enterprises=400, days=2, dirt=0.0)
