"""Manifests: nothing unsigned, older or other than said is opened."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from credit_pipeline.audit.log import sha256_hex
from credit_pipeline.errors import BadInput
from credit_pipeline.extracts.manifest import (
    FileMismatch,
    RollbackRefused,
    SignatureMismatch,
    Terms,
    build_manifest,
    manifest_bytes,
    manifest_sha256,
    read_manifest,
    verify_manifest,
)
from credit_pipeline.extracts.release_files import verify_companions, verify_files
from credit_pipeline.keys import public_key_id

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CONTENT = b"an encrypted file"
NAMES = ("A01-000007.duckdb", "A01-000007.key.age")


def measure(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": sha256_hex(content)}


def _manifest(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "unit_id": "A01",
        "as_of_date": date(2026, 3, 1),
        "release_seq": 7,
        "files": {name: measure(CONTENT) for name in NAMES},
        "companions": [{"name": "使用说明.md", **measure(CONTENT)}],
        "content_digest": "c" * 64,
        "prev_manifest_sha256": "d" * 64,
        "checkpoint": {"size": 5, "head": "e" * 64},
        "key_id": "f" * 16,
        "recipients": ["1" * 16, "2" * 16],
        "key_mode": "unit",
        "terms": Terms(4, "监管", date(2026, 4, 1)),
        "watermark": "a" * 20,
        "tables": {"enterprise_grades": 3},
        "private_key": KEY,
    }
    return build_manifest(**(given | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*NAMES, "使用说明.md"):
        (tmp_path / name).write_bytes(CONTENT)
    return tmp_path


def _verify(manifest: dict[str, Any], folder: Path | None, **seen: Any) -> None:
    verify_manifest(manifest, {public_key_id(KEY.public_key()): KEY.public_key()}, **seen)
    if folder is not None:
        verify_files(manifest, folder)
        verify_companions(manifest, folder)


def test_a_genuine_manifest_passes_and_is_canonical(folder: Path) -> None:
    manifest = _manifest()
    _verify(manifest, folder, unit_id="A01", last_seen_seq=7, last_seen_sha256=manifest_sha256(manifest))
    (folder / "manifest.json").write_bytes(manifest_bytes(manifest))
    assert read_manifest(folder / "manifest.json") == manifest
    assert (
        manifest_bytes(manifest)
        == json.dumps(manifest, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
    )


@pytest.mark.parametrize("field", sorted(set(_manifest()) - {"format", "signature", "signed_by"}))
def test_every_field_is_signed(folder: Path, field: str) -> None:
    """An unsigned field would be the one an attacker uses: file, size and number above all."""
    with pytest.raises(SignatureMismatch, match="changed after"):
        _verify(_manifest() | {field: 8}, folder)


def test_another_signer_shape_or_signature_is_refused(folder: Path) -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(SignatureMismatch, match="signed by key"):
        _verify(_manifest(private_key=other), folder)
    with pytest.raises(SignatureMismatch, match="changed after"):
        _verify(_manifest() | {"signature": "zz"}, folder)
    with pytest.raises(SignatureMismatch, match="fields"):
        _verify(_manifest() | {"more": 1}, folder)
    for text in ("[]", "{", '{"a": 1}\n', '{"a":1}', '{"a":1.5}\n'):
        (folder / "manifest.json").write_text(text)
        with pytest.raises(SignatureMismatch, match="not a manifest"):
            read_manifest(folder / "manifest.json")
    with pytest.raises(BadInput, match="no manifest"):
        read_manifest(folder / "nothing.json")


def test_an_older_release_is_refused(folder: Path) -> None:
    """A genuine old manifest with its genuine old file is the easiest way to bring back an old grade."""
    with pytest.raises(RollbackRefused, match="older than release 8"):
        _verify(_manifest(), folder, last_seen_seq=8)


def test_two_manifests_of_one_release_are_refused(folder: Path) -> None:
    """Equivocation: one unit shown two truths, each signed."""
    seen = manifest_sha256(_manifest(content_digest="0" * 64))
    with pytest.raises(RollbackRefused, match="another manifest"):
        _verify(_manifest(), folder, last_seen_seq=7, last_seen_sha256=seen)
    with pytest.raises(RollbackRefused, match="does not follow"):
        _verify(_manifest(), folder, last_seen_seq=6, last_seen_sha256=seen)
    _verify(_manifest(), folder, last_seen_seq=6, last_seen_sha256="d" * 64)
    _verify(_manifest(), folder, last_seen_seq=5, last_seen_sha256=seen)


def test_another_units_extract_is_refused(folder: Path) -> None:
    with pytest.raises(FileMismatch, match="not for unit B02"):
        _verify(_manifest(), folder, unit_id="B02")


@pytest.mark.parametrize(
    ("content", "message"),
    [(CONTENT + b"x", "bytes"), (CONTENT[:-1] + b"x", "SHA-256"), (None, "missing")],
)
def test_another_file_is_refused(folder: Path, content: bytes | None, message: str) -> None:
    path = folder / "A01-000007.duckdb"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileMismatch, match=message):
        _verify(_manifest(), folder)


@pytest.mark.parametrize("name", ["../A01-000007.duckdb", "/etc/passwd", ".hidden", "a\x00b", ""])
def test_a_file_outside_the_folder_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(FileMismatch, match="plain file name"):
        _verify(_manifest(files={one: measure(CONTENT) for one in (*NAMES, name)}), folder)


def test_the_checks_come_in_order(folder: Path) -> None:
    """Nothing of an unsigned manifest is believed, and no file is read for an old one."""
    (folder / NAMES[0]).unlink()
    with pytest.raises(SignatureMismatch):
        _verify(_manifest() | {"release_seq": 1}, folder, last_seen_seq=9)
    with pytest.raises(RollbackRefused):
        _verify(_manifest(), folder, last_seen_seq=9)


@pytest.mark.parametrize("name", NAMES)
def test_a_release_without_its_database_or_key_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(FileMismatch, match="names no"):
        _verify(_manifest(files={one: measure(CONTENT) for one in NAMES if one != name}), folder)


def test_a_companion_is_of_this_release_or_of_the_one_before(folder: Path) -> None:
    """Between the manifest and the new guide, and after a crash there, the guide is still the one before's."""
    before = _manifest(release_seq=6)
    after = _manifest(
        prev_manifest_sha256=manifest_sha256(before), companions=[{"name": "使用说明.md", **measure(b"new")}]
    )
    with pytest.raises(FileMismatch, match="not the one of this release"):
        _verify(after, folder)
    (folder / "A01-000006.manifest.json").write_bytes(manifest_bytes(before))
    _verify(after, folder)
    (folder / "使用说明.md").write_bytes(b"new")
    _verify(after, folder)
    (folder / "使用说明.md").write_bytes(b"other")
    with pytest.raises(FileMismatch, match="not the one of this release"):
        _verify(after, folder)
    (folder / "使用说明.md").unlink()
    _verify(after, folder)
