"""Publishing: what a release is made of, when there is a new one, and what a crash leaves."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from datetime import date
from pathlib import Path

import duckdb
import pytest
from release_support import CANARY, COMMENTS, DAY, UNIT, VIEWS, Office

from credit_pipeline.audit.log import GENESIS, canonical_json
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.extracts.encrypted_file import attached
from credit_pipeline.extracts.key_changes import rotate_signing
from credit_pipeline.extracts.manifest import SignatureMismatch, manifest_sha256, read_manifest
from credit_pipeline.keys import public_key_id
from credit_pipeline.keys.age import excel_password, release_key_id, unwrap

NAMES = ["A01-000001.duckdb", "A01-000001.key.age", "A01-000001.xlsx"]
ALWAYS = ["manifest.json", "read_extract.py", "signing_keys.json"]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _of(number: int) -> list[str]:
    return [name.replace("000001", f"{number:06d}") for name in NAMES]


def test_round_trip_with_comments_views_and_documents(office: Office) -> None:
    published = office.publish()
    manifest = published.manifest
    assert published.is_new and manifest["release_seq"] == 1 and manifest["checkpoint"]["size"] == 5
    assert manifest["tables"] == {"enterprise_grades": 500, "extra": 1, "notice": 1, "unit": 1}
    assert _names(office.folder) == sorted([*NAMES, *ALWAYS])
    assert sorted(manifest["files"]) == NAMES and [one["name"] for one in manifest["companions"]] == [
        "read_extract.py"
    ]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in office.folder.iterdir())
    assert (
        office.rows("select * from enterprise_grades order by uscc")
        == office.source.execute("select * from grades order by uscc").fetchall()
    )
    assert office.rows('select * from "按等级"') == [(CANARY, 500)]
    comments = office.rows(
        "select column_name, comment from duckdb_columns() where comment is not null order by all"
    )
    expected = {column: text for one in COMMENTS.values() for column, text in one.columns.items()}
    assert comments == sorted(expected.items())
    opened = office.open()
    opened.connection.close()
    assert (office.folder / "A01-000001.xlsx").read_text() == f"500 {excel_password(opened.key)}"
    assert opened.key not in repr(opened)


def test_nothing_readable_without_the_key(office: Office) -> None:
    """Rows, names of tables and columns, comments, the release key: none may stand on disk as text."""
    office.publish()
    opened = office.open()
    opened.connection.close()
    texts = (CANARY, "enterprise_grades", "uscc", "市场监管局", next(iter(VIEWS)), str(opened.key))
    for path in (*office.folder.glob("A01*"), *office.keys.directory.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        for text in texts:
            assert text.encode() not in content, path
        assert bytes.fromhex(opened.key) not in content, path
    with pytest.raises(IntegrityError, match="Wrong encryption key") as caught:
        attached(office.folder / "A01-000001.duckdb", "ab" * 32)
    assert "ab" * 32 not in str(caught.value)
    with pytest.raises(duckdb.Error):
        duckdb.connect(str(office.folder / "A01-000001.duckdb"), read_only=True)


def test_readers_cannot_write(office: Office) -> None:
    office.publish()
    with pytest.raises(duckdb.InvalidInputException, match="read-only"):
        office.rows("delete from enterprise_grades")


def test_releases_count_up_and_keep_one_before(office: Office) -> None:
    """A reader in the middle of copying still finds the release before, and can still prove it."""
    manifests = [office.publish(extra=number).manifest for number in range(4)]
    assert [one["release_seq"] for one in manifests] == [1, 2, 3, 4]
    assert _names(office.folder) == sorted([*_of(3), "A01-000003.manifest.json", *_of(4), *ALWAYS])
    assert [one["prev_manifest_sha256"] for one in manifests] == [
        GENESIS,
        *map(manifest_sha256, manifests[:3]),
    ]
    assert len({one["key_id"] for one in manifests}) == len({one["watermark"] for one in manifests}) == 4
    kept = office.open(manifest_name="A01-000003.manifest.json")
    with kept.connection as connection:
        assert connection.execute("select n from extra").fetchall() == [(2,)]
    assert kept.manifest == manifests[2]


def test_an_open_reader_is_not_disturbed(office: Office) -> None:
    """Even when its file is removed: two further releases come while it reads."""
    office.publish(extra=1)
    opened = office.open()
    with opened.connection as connection:
        office.publish(extra=2)
        office.publish(extra=3)
        assert not opened.path.exists()
        assert connection.execute(
            "select (select n from extra), count(*) from enterprise_grades"
        ).fetchall() == [(1, 500)]
    assert office.rows("select n from extra") == [(3,)]


def test_the_same_day_and_content_again_is_no_release(office: Office) -> None:
    """Re-running a day must not push out the release before, although keys and encryption never give the same
    bytes, and although the notice names its release.
    """
    first = office.publish()
    before = {path.name: path.read_bytes() for path in office.folder.iterdir()}
    again = office.publish()
    assert not again.is_new and again.manifest == first.manifest
    assert {path.name: path.read_bytes() for path in office.folder.iterdir()} == before
    assert office.publish(day=date(2026, 3, 2)).is_new


def test_an_older_day_changes_nothing(office: Office) -> None:
    """A back-filled day, or a clock set back, is not what a unit should work with: numbers only go up."""
    first = office.publish()
    again = office.publish(day=date(2026, 2, 28), extra=9)
    assert not again.is_new and "2026-03-01" in again.reason and again.manifest == first.manifest
    assert office.publish(day=date(2026, 3, 2)).manifest["release_seq"] == 2


def test_other_readers_make_a_new_release_of_the_same_content(office: Office) -> None:
    """A revoked key must not stay good until the data happen to change."""
    assert office.publish().manifest["key_mode"] == "office"
    identity = office.register_unit()
    second = office.publish()
    assert second.is_new and second.manifest["key_mode"] == "unit"
    assert len(second.manifest["recipients"]) == 2 and not office.publish().is_new
    office.register.revoke(UNIT, office.register.active(UNIT)[0].key_id, "2026-03-01T00:00:00Z")
    office.register_unit("next.agekey")
    third = office.publish()
    assert third.is_new and not set(third.manifest["recipients"]) >= set(second.manifest["recipients"])
    assert identity.exists()


def test_a_new_signing_key_signs_a_new_release(office: Office) -> None:
    first = office.publish().manifest
    rotate_signing(office.keys, office.audit)
    assert office.rows("select n from extra") == [(0,)], "the office still reads what the old key signed"
    second = office.publish().manifest
    assert second["signed_by"] == public_key_id(office.keys.public_key()) != first["signed_by"]
    assert office.rows("select n from extra") == [(0,)] and not office.publish().is_new


def test_changed_companions_make_a_new_release(office: Office) -> None:
    office.publish()
    office.companions = {"使用说明.md": "说明".encode()}
    second = office.publish()
    assert second.is_new and (office.folder / "使用说明.md").read_text() == "说明"
    assert office.rows("select n from extra") == [(0,)]


def test_a_damaged_current_release_is_replaced_by_a_whole_one(office: Office) -> None:
    """Publishing the same content again is the remedy for a damaged disk; the number goes up."""
    office.publish()
    (office.folder / "A01-000001.xlsx").write_bytes(b"torn")
    again = office.publish()
    assert again.is_new and again.manifest["release_seq"] == 2
    assert office.rows("select n from extra") == [(0,)]


def test_a_forged_manifest_is_never_published_upon(office: Office) -> None:
    """Publishing on top of it would sign it into the chain."""
    office.publish()
    path = office.folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"release_seq":1', b'"release_seq":5'))
    with pytest.raises(SignatureMismatch):
        office.publish(extra=1)


def test_a_release_of_the_first_form_is_followed(office: Office) -> None:
    """Prevents a lake of an earlier version from ending every run: the numbers go on where they stood."""
    office.folder.mkdir(parents=True)
    signing = office.keys.signing_key()
    content = {
        "unit_id": UNIT,
        "as_of_date": "2026-02-01",
        "release_seq": 7,
        "signed_by": public_key_id(signing.public_key()),
    }
    signature = signing.sign(b"MANIFEST1|" + canonical_json(content)).hex()
    (office.folder / "A01-000007.duckdb").write_bytes(b"old")
    (office.folder / "manifest.json").write_bytes(canonical_json(content | {"signature": signature}) + b"\n")
    assert office.publish().manifest["release_seq"] == 8
    office.publish(extra=1)
    assert not (office.folder / "A01-000007.duckdb").exists()
    (office.folder / "manifest.json").write_bytes(canonical_json(content | {"signature": "0" * 128}) + b"\n")
    with pytest.raises(SignatureMismatch):
        office.publish(extra=2)


def test_escrow_and_office_can_open_and_nobody_else(office: Office) -> None:
    manifest = office.publish().manifest
    wrapped = (office.folder / "A01-000001.key.age").read_bytes()
    here = office.register.identities_here(UNIT)
    assert len(here) == 2
    keys = {unwrap(wrapped, [one]) for one in here}
    assert len(keys) == 1 and release_key_id(keys.pop()) == manifest["key_id"]
    with pytest.raises(IntegrityError, match="none of the identities"):
        unwrap(wrapped, [office.register.office_identity("B02")])


def test_without_an_escrow_nothing_is_published(office: Office) -> None:
    (office.keys.directory / "recipients.json").unlink()
    with pytest.raises(BadInput, match="keys init"):
        office.publish()
    assert not office.folder.exists()


class _PowerCut(BaseException):
    pass


def test_a_crash_at_any_edge_leaves_the_release_before(
    office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before each fsync and rename: readers see release 1 or 2, whole, and the next run sweeps and
    goes on. The companions change too, so that they are caught between the releases.
    """
    office.companions = {"read_extract.py": b"old reader"}
    office.publish()
    office.companions = {"read_extract.py": b"new reader"}
    identity = office.register.office_path(UNIT)
    real_fsync, real_replace = os.fsync, Path.replace
    for edge in range(1, 60):
        folder = tmp_path / f"edge{edge}"
        shutil.copytree(office.folder, folder)
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
                office.publish(extra=1, folder=folder)
        if seen < edge:
            break
        expected = read_manifest(folder / "manifest.json")["release_seq"] - 1
        assert office.rows("select n from extra", folder) == [(expected,)], edge
        identity.with_name(f"{identity.name}.seen.json").unlink(missing_ok=True)
        assert office.read("select n from extra", identity, folder) == [(expected,)], edge
        after = office.publish(extra=1, folder=folder)
        assert after.manifest["release_seq"] == 2 and after.is_new == (expected == 0)
        assert _names(folder) == sorted([*NAMES, "A01-000001.manifest.json", *_of(2), *ALWAYS])
        assert (folder / "read_extract.py").read_bytes() == b"new reader"
    assert edge > 15


def test_left_overs_of_a_crash_are_swept(office: Office) -> None:
    """A killed build leaves its file and perhaps a folder of encrypted spill; a killed rename a numbered file."""
    (office.folder / "tmp-spill-1").mkdir(parents=True)
    (office.folder / "tmp-spill-1" / "block").write_bytes(b"x")
    (office.folder / "tmp-1-A01-000001.duckdb").write_bytes(b"x")
    (office.folder / "A01-000001.csv.zip").write_bytes(b"x")
    office.publish()
    assert _names(office.folder) == sorted([*NAMES, *ALWAYS])


def test_a_document_that_fails_leaves_nothing(office: Office) -> None:
    """A half-written workbook must not become part of a release, and the release before stays."""
    office.publish()

    def fail(path: Path, connection: duckdb.DuckDBPyConnection, key: str) -> None:
        path.write_bytes(b"half")
        raise RuntimeError("broken")

    office.documents = {"xlsx": fail}
    with pytest.raises(RuntimeError, match="broken"):
        office.publish(extra=1)
    assert _names(office.folder) == sorted([*NAMES, *ALWAYS])
    assert office.rows("select n from extra") == [(0,)]


def test_files_are_private_under_any_umask(office: Office) -> None:
    before = os.umask(0o000)
    try:
        office.publish(day=DAY)
    finally:
        os.umask(before)
    assert office.folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in office.folder.iterdir())
