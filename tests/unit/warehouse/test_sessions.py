"""Sessions of DuckDB: what must hold in each of them."""

from __future__ import annotations

from pathlib import Path

from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect


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
