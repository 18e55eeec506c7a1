"""Encrypted extracts: round trip, what is refused, and what a crash leaves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.extracts import publish
from credit_pipeline.extracts.manifest import FileMismatch, RollbackRefused, SignatureMismatch, read_manifest
from credit_pipeline.extracts.publish import (
    Comments,
    Publication,
    build_encrypted,
    open_extract,
    publish_extract,
)
from credit_pipeline.keys import KeyStore
from credit_pipeline.warehouse import load_httpfs

DAY = date(2026, 3, 1)
KEY = "ab" * 32
CANARY = "CANARY-严重失信-E"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    spill = tmp_path_factory.mktemp("spill")
    config: dict[str, Any] = {"temp_file_encryption": "true", "temp_directory": str(spill), "threads": "2"}
    with duckdb.connect(":memory:", config=config) as connection:
        load_httpfs(connection)
        connection.execute(
            """create table grades as
            select
                'U' || i as uscc, date '2026-03-01' as graded_on, i * 100 as paid_fen, null as note,
                ? as grade
            from range(500) as r(i)""",
            [CANARY],
        )
        yield connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "extracts" / "A01"


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


TABLES: dict[str, str | pa.Table] = {
    "enterprise_grades": "select * from grades order by uscc",
    "unit": pa.table({"unit_id": ["A01"], "label": ["市场监管局"]}),
}
COMMENTS = {
    "enterprise_grades": Comments(
        "企业信用等级（不得公开）", {"grade": "信用等级", "paid_fen": "罚没金额（分）, it's in fen"}
    )
}


def _publish(
    source: duckdb.DuckDBPyConnection,
    folder: Path,
    keys: KeyStore,
    *,
    day: date = DAY,
    extra: int = 0,
    **more: Any,
) -> Publication:
    tables = TABLES | {"extra": f"select {extra} as n"}
    return publish_extract(
        folder, "A01", day, source, tables, keys, checkpoint={"size": 5}, comments=COMMENTS, **more
    )


def _rows(folder: Path, keys: KeyStore, sql: str, **seen: Any) -> list[tuple[Any, ...]]:
    seq = read_manifest(folder / "manifest.json")["release_seq"]
    connection, _ = open_extract(folder, keys.public_key(), keys.unit_key("A01", seq), unit_id="A01", **seen)
    with connection:
        return connection.execute(sql).fetchall()


def test_round_trip_with_comments(source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore) -> None:
    published = _publish(source, folder, keys)
    manifest = published.manifest
    assert published.is_new and manifest["release_seq"] == 1 and manifest["checkpoint"] == {"size": 5}
    assert manifest["tables"] == {"enterprise_grades": 500, "extra": 1, "unit": 1}
    assert sorted(path.name for path in folder.iterdir()) == ["A01-000001.duckdb", "manifest.json"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in folder.iterdir())
    assert (
        _rows(folder, keys, "select * from enterprise_grades order by uscc")
        == source.execute("select * from grades order by uscc").fetchall()
    )
    assert _rows(folder, keys, "select * from unit") == [("A01", "市场监管局")]
    comments = _rows(
        folder,
        keys,
        "select column_name, comment from duckdb_columns() where comment is not null order by all",
    )
    assert comments == sorted(COMMENTS["enterprise_grades"].columns.items())
    (table,) = _rows(folder, keys, "select comment from duckdb_tables() where comment is not null")
    assert table == ("企业信用等级（不得公开）",)


def test_nothing_readable_without_the_key(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """Rows, names of tables and columns, comments: none may stand in the file as text."""
    _publish(source, folder, keys)
    content = (folder / "A01-000001.duckdb").read_bytes()
    for text in (CANARY, "enterprise_grades", "uscc", "市场监管局"):
        assert text.encode() not in content
    with pytest.raises(IntegrityError, match="not the key of release 1"):
        open_extract(folder, keys.public_key(), KEY)
    with pytest.raises(IntegrityError, match="Wrong encryption key") as caught:
        publish._attached(folder / "A01-000001.duckdb", KEY)
    assert KEY not in str(caught.value)
    with pytest.raises(duckdb.Error):
        duckdb.connect(str(folder / "A01-000001.duckdb"), read_only=True)


def test_readers_cannot_write(source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore) -> None:
    _publish(source, folder, keys)
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        _rows(folder, keys, "delete from enterprise_grades")


def test_releases_count_up_keep_one_before_and_forget_keys(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """A reader in the middle of copying still finds the release before, and can still prove it."""
    manifests = [_publish(source, folder, keys, extra=number).manifest for number in range(4)]
    assert [one["release_seq"] for one in manifests] == [1, 2, 3, 4]
    assert sorted(path.name for path in folder.iterdir()) == [
        "A01-000003.duckdb",
        "A01-000003.manifest.json",
        "A01-000004.duckdb",
        "manifest.json",
    ]
    assert sorted(path.name for path in (keys.directory / "units" / "A01").iterdir()) == ["3.key", "4.key"]
    connection, kept = open_extract(
        folder, keys.public_key(), keys.unit_key("A01", 3), manifest_name="A01-000003.manifest.json"
    )
    with connection:
        assert connection.execute("select n from extra").fetchall() == [(2,)]
    assert kept == manifests[2]


def test_the_same_day_and_content_again_is_no_release(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """Re-running a day must not push out the release before, although encryption never gives the same
    bytes.
    """
    first = _publish(source, folder, keys)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    again = _publish(source, folder, keys)
    assert not again.is_new and again.manifest == first.manifest
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert _publish(source, folder, keys, day=date(2026, 3, 2)).is_new


def test_an_older_day_changes_nothing(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """A back-filled day is not what a unit should work with."""
    first = _publish(source, folder, keys)
    again = _publish(source, folder, keys, day=date(2026, 2, 28), extra=9)
    assert not again.is_new and "2026-03-01" in again.reason and again.manifest == first.manifest


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


def test_rollback_of_the_whole_folder_is_refused(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore, tmp_path: Path
) -> None:
    _publish(source, folder, keys)
    shutil.copytree(folder, tmp_path / "old")
    _publish(source, folder, keys, extra=1)
    assert _rows(folder, keys, "select n from extra", last_seen_seq=2) == [(1,)]
    with pytest.raises(RollbackRefused, match="older than release 2"):
        _rows(tmp_path / "old", keys, "select 1", last_seen_seq=2)


def test_old_pages_in_a_newer_file_are_refused(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """DuckDB's own check accepts old headers (8 KiB at 4096) on a newer file: only the manifest tells."""
    _publish(source, folder, keys)
    old = (folder / "A01-000001.duckdb").read_bytes()
    _publish(source, folder, keys, extra=1)
    path = folder / "A01-000002.duckdb"
    new = path.read_bytes()
    path.write_bytes(new[:4096] + old[4096:12288] + new[12288:])
    with pytest.raises(FileMismatch, match="SHA-256"):
        _rows(folder, keys, "select 1")


def test_an_altered_manifest_is_refused_by_readers_and_by_the_publisher(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """Publishing on top of a forged manifest would sign it into the chain."""
    _publish(source, folder, keys)
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"release_seq":1', b'"release_seq":5'))
    with pytest.raises(SignatureMismatch):
        open_extract(folder, keys.public_key(), keys.unit_key("A01", 1))
    with pytest.raises(SignatureMismatch):
        _publish(source, folder, keys, extra=1)


class _PowerCut(BaseException):
    pass


def test_a_crash_at_any_edge_leaves_the_release_before(
    source: duckdb.DuckDBPyConnection, tmp_path: Path, keys: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before each fsync and rename: readers see release 1 or 2, whole, and the next run sweeps and
    goes on.
    """
    start = tmp_path / "start"
    _publish(source, start, keys)
    real_fsync, real_replace = os.fsync, Path.replace
    for edge in range(1, 40):
        folder = tmp_path / f"edge{edge}"
        shutil.copytree(start, folder)
        seen = 0

        def count(edge: int = edge) -> None:
            nonlocal seen
            seen += 1
            if seen == edge:
                raise _PowerCut

        def fsync(descriptor: int) -> None:
            count()
            real_fsync(descriptor)

        def replace(path: Path, target: Path) -> Path:
            count()
            return real_replace(path, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            patch.setattr(Path, "replace", replace)
            with suppress(_PowerCut):
                _publish(source, folder, keys, extra=1)
        if seen < edge:
            break
        expected = read_manifest(folder / "manifest.json")["release_seq"] - 1
        assert _rows(folder, keys, "select n from extra") == [(expected,)]
        after = _publish(source, folder, keys, extra=1)
        assert after.manifest["release_seq"] == 2 and after.is_new == (expected == 0)
        assert sorted(path.name for path in folder.iterdir()) == [
            "A01-000001.duckdb",
            "A01-000001.manifest.json",
            "A01-000002.duckdb",
            "manifest.json",
        ]
    assert edge > 8


def test_left_overs_of_a_crash_are_swept(
    source: duckdb.DuckDBPyConnection, folder: Path, keys: KeyStore
) -> None:
    """A killed build leaves its file and perhaps a folder of encrypted spill."""
    (folder / "tmp-spill-1").mkdir(parents=True)
    (folder / "tmp-spill-1" / "block").write_bytes(b"x")
    (folder / "tmp-A01-000001.duckdb-1").write_bytes(b"x")
    _publish(source, folder, keys)
    assert sorted(path.name for path in folder.iterdir()) == ["A01-000001.duckdb", "manifest.json"]


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
    monkeypatch.setattr(publish, "_copy", lambda *given: 2)
    with pytest.raises(IntegrityError, match="rows read back"):
        build_encrypted(source, {"t": "select 1"}, tmp_path / "x.duckdb", KEY)
    assert not list(tmp_path.iterdir())


def test_a_path_can_be_the_source(tmp_path: Path) -> None:
    path = tmp_path / "it's.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema grading; create table grading.grades as select 7 as n")
    built = build_encrypted(path, {"t": "select * from grading.grades"}, tmp_path / "x.duckdb", KEY)
    with publish._attached(built.path, KEY) as reader:
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
