"""DuckDB's extensions come from their wheels, of DuckDB's own version."""

from __future__ import annotations

import duckdb
import pytest

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.warehouse import extension_path, load_extension


@pytest.mark.parametrize("name", ["httpfs", "postgres_scanner", "mysql_scanner", "sqlite_scanner"])
def test_every_extension_loads_without_a_download(name: str) -> None:
    """Prevents an upgrade of DuckDB without its extensions from being found out at two in the morning."""
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        load_extension(connection, name)
    assert duckdb.__version__ in str(extension_path(name))


def test_a_missing_extension_names_the_remedy() -> None:
    """Prevents DuckDB from trying a download that an office's network forbids."""
    with pytest.raises(CreditPipelineError, match=r"no spatial extension .* requirements\.lock"):
        extension_path("spatial")
