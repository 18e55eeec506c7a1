"""One encrypted file: what it holds, what it hides, what is refused while writing it."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.extracts import encrypted_file
from credit_pipeline.extracts.encrypted_file import attached, build_encrypted

KEY = "ab" * 32


def test_content_digest_depends_on_rows_and_types_only(
    source: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """It must not depend on row order or encryption, and must tell NULL, '', 'n' and shifted fields apart."""
    sqls = [
        "select * from (values ('a', 'bc'), ('x', null)) t(p, q)",
        "select * from (values ('x', null), ('a', 'bc')) t(p, q)",
        "select * from (values ('ab', 'c'), ('x', null)) t(p, q)",
        "select * from (values ('a', 'bc'), ('x', '')) t(p, q)",
        "select * from (values ('a', 'bc'), ('x', 'n')) t(p, q)",
        "select * from (values ('a', 'bc'), ('x', null)) t(p, r)",
        "select 1 as p",
        "select '1' as p",
    ]
    digests = [
        build_encrypted(source, {"t": sql}, tmp_path / f"{number}.duckdb", KEY).content_digest
        for number, sql in enumerate(sqls)
    ]
    assert digests[0] == digests[1] and len(set(digests)) == len(sqls) - 1


def test_plain_spill_is_refused(tmp_path: Path) -> None:
    """DuckDB's default spills plain text: 1.2 million grades on disk in one measured run."""
    with duckdb.connect(":memory:") as connection:
        connection.execute("create table grades as select 1 as n")
        with pytest.raises(IntegrityError, match="temp_file_encryption"):
            build_encrypted(connection, {"t": "select * from grades"}, tmp_path / "x.duckdb", KEY)
    assert not list(tmp_path.iterdir())


def test_a_failing_table_leaves_nothing_and_tells_no_key(
    source: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    with pytest.raises(CreditPipelineError, match="nowhere") as caught:
        build_encrypted(source, {"a": "select 1", "b": "select * from nowhere"}, tmp_path / "x.duckdb", KEY)
    assert KEY not in str(caught.value) + repr(caught.value.__cause__)
    assert not list(tmp_path.iterdir())
    names = source.execute("select database_name from duckdb_databases() where not internal").fetchall()
    assert names == [("memory",)]


def test_rows_lost_on_the_way_are_noticed(
    source: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encrypted_file, "_copy", lambda *given: 2)
    with pytest.raises(IntegrityError, match="rows read back"):
        build_encrypted(source, {"t": "select 1"}, tmp_path / "x.duckdb", KEY)
    assert not list(tmp_path.iterdir())


def test_a_path_can_be_the_source(tmp_path: Path) -> None:
    path = tmp_path / "it's.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema grading; create table grading.grades as select 7 as n")
    built = build_encrypted(path, {"t": "select * from grading.grades"}, tmp_path / "x.duckdb", KEY)
    with attached(built.path, KEY) as reader:
        assert reader.execute("select * from t").fetchall() == [(7,)]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["it's.duckdb", "x.duckdb"]


@pytest.mark.parametrize(
    ("tables", "key"),
    [({}, KEY), ({"T": "select 1"}, KEY), ({'t"; drop': "select 1"}, KEY), ({"t": "select 1"}, "short")],
)
def test_bad_names_and_keys_are_refused(
    source: duckdb.DuckDBPyConnection, tmp_path: Path, tables: dict[str, str | pa.Table], key: str
) -> None:
    with pytest.raises(BadInput):
        build_encrypted(source, tables, tmp_path / "x.duckdb", key)


def test_a_file_that_exists_is_never_written_over(source: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_bytes(b"kept")
    with pytest.raises(BadInput, match="exists"):
        build_encrypted(source, {"t": "select 1"}, tmp_path / "x.duckdb", KEY)
    assert (tmp_path / "x.duckdb").read_bytes() == b"kept"


def test_the_umask_is_given_back(source: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        build_encrypted(source, {"t": "select 1"}, tmp_path / "x.duckdb", KEY)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_views_work_under_any_name_and_enter_the_digest(
    source: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Prevents views that only work under the name the file had while it was built, and a mended view that is not
    published. A table that names the release stays out of the digest.
    """
    digests = set()
    for number, (sql, notice) in enumerate(
        (("select n from t", 1), ("select n + 1 as n from t", 1), ("select n from t", 2))
    ):
        path = tmp_path / f"{number}.duckdb"
        tables = {"t": "select 7 as n", "notice": f"select {notice} as release"}
        built = build_encrypted(source, tables, path, KEY, views={"问": sql}, digest_excludes={"notice"})
        digests.add(built.content_digest)
        with duckdb.connect(":memory:") as reader:
            reader.execute(f"attach '{path}' as mine (read_only, encryption_key '{KEY}')")
            assert reader.execute('select n from mine."问"').fetchone() == (8 if number == 1 else 7,)
    assert len(digests) == 2
    assert source.execute("select current_database()").fetchone() == ("memory",)


def test_a_view_that_does_not_bind_is_refused(source: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(CreditPipelineError, match="nowhere"):
        build_encrypted(
            source, {"t": "select 1 as n"}, tmp_path / "x.duckdb", KEY, views={"v": "select * from nowhere"}
        )
    assert not list(tmp_path.iterdir())
    assert source.execute("select current_database()").fetchone() == ("memory",)
