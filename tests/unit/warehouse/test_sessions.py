"""Sessions of DuckDB: what must hold in each of them."""

from __future__ import annotations

import ast
from pathlib import Path

import duckdb
import pytest
import yaml

import credit_pipeline
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.warehouse import connect, session_settings

PACKAGE = Path(credit_pipeline.__file__).parent


def test_a_query_larger_than_memory_spills(tmp_path: Path) -> None:
    """Prevents a session that refuses to spill, as encrypted spill does without the crypto module of httpfs."""
    settings = Settings(lake_dir=tmp_path, memory_limit="60MB", threads=1)
    with connect(settings) as connection:
        found = connection.execute(
            "select count(*) from (select md5(i::varchar) as h, repeat('x', 60) as x from range(1500000) t(i) order by h)"
            " where length(h || x) > 0"
        ).fetchone()
        sizes = connection.execute(
            "create temp table big as select md5(i::varchar) as h, md5((i + 1)::varchar) as g from range(1500000) t(i);"
            "select count(distinct h) from big"
        ).fetchone()
    assert found == (1_500_000,) and sizes == (1_500_000,)


SPILLED = "PLANTED-GRADE-IN-SPILL"


def spilled_bytes(folder: Path, connection: duckdb.DuckDBPyConnection) -> bytes:
    """What lies in the folder for spill while a sort is too large for memory, read while it is held half way."""
    cursor = connection.execute(
        f"select i, '{SPILLED}' || (i % 7) as word, repeat('x', 60) as more from range(1500000) t(i) order by hash(i)"
    )
    cursor.fetchmany(1)
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("is_encrypted", [True, False])
def test_spill_is_written_encrypted(tmp_path: Path, is_encrypted: bool) -> None:
    """Prevents grades in clear in temporary files; the same query without our settings shows that they would be there."""
    settings = Settings(lake_dir=tmp_path, memory_limit="60MB", threads=1)
    config = session_settings(settings) | {"temp_file_encryption": str(is_encrypted).lower()}
    settings.temp_dir.mkdir(parents=True)
    if is_encrypted:
        with connect(settings) as ours:
            found = spilled_bytes(settings.temp_dir, ours)
    else:
        with duckdb.connect(config=dict(config)) as plain:
            found = spilled_bytes(settings.temp_dir, plain)
    assert len(found) > 10_000_000
    assert (SPILLED.encode() in found) is not is_encrypted


def test_every_session_encrypts_its_spill_or_has_none() -> None:
    """Prevents a connection of the package that could spill in clear."""
    judged = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "duckdb.connect":
                config = next((ast.unparse(item.value) for item in call.keywords if item.arg == "config"), "")
                judged.append(path.name)
                assert (
                    "session_settings(" in config
                    or "'temp_file_encryption': 'true'" in config
                    or "'temp_directory': ''" in config
                ), f"{path.name}:{call.lineno}"
    assert len(judged) >= 4
    for settings in (Settings(), Settings(memory_limit="1GB")):
        assert session_settings(settings)["temp_file_encryption"] == "true"
    profile = yaml.safe_load((DBT_PROJECT_DIR / "profiles.yml").read_text(encoding="utf-8"))
    outputs = profile["credit_pipeline"]["outputs"]
    assert [output["config_options"]["temp_file_encryption"] for output in outputs.values()] == ["true"]
