"""Keys: made once, private, and refused when others could have read them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from credit_pipeline.daily_run import prepare
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys import (
    KeyStore,
    UnsafeKeyFile,
    extract_key_id,
    public_key_from_hex,
    public_key_id,
)
from credit_pipeline.settings import Settings


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "secrets" / "keys")


def test_keys_are_made_once_and_differ(keys: KeyStore) -> None:
    """A second key under the same name would make every earlier signature and draw unprovable."""
    again = KeyStore(keys.directory)
    assert keys.party_key() == again.party_key() and len(keys.party_key()) == 32
    assert keys.signing_key().private_bytes_raw() == again.signing_key().private_bytes_raw()
    assert keys.unit_key("A01", 1) == again.unit_key("A01", 1)
    made = {keys.unit_key(unit, seq) for unit in ("A01", "B02") for seq in (1, 2)}
    assert len(made | {keys.party_key().hex(), keys.party_key("audit_office").hex()}) == 6
    assert all(len(bytes.fromhex(key)) == 32 for key in made)


def test_folders_and_files_are_private_whatever_the_umask(keys: KeyStore) -> None:
    before = os.umask(0)
    try:
        keys.unit_key("A01", 1)
        keys.signing_key()
    finally:
        os.umask(before)
    for path in (keys.directory, *keys.directory.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert (keys.directory / "units" / "A01" / "1.key").is_file()
    assert not list(keys.directory.rglob("tmp-*"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_others_could_read_is_refused(keys: KeyStore, mode: int) -> None:
    keys.party_key()
    path = keys.directory / "parties" / "credit_office.key"
    path.chmod(mode)
    with pytest.raises(UnsafeKeyFile, match=f"chmod 600 {path}"):
        keys.party_key()


@pytest.mark.parametrize("folder", ["", "units", "units/A01"])
def test_a_folder_others_could_change_is_refused(keys: KeyStore, folder: str) -> None:
    """Who may write the folder may replace the key in it."""
    keys.unit_key("A01", 1)
    (keys.directory / folder).chmod(0o750)
    with pytest.raises(UnsafeKeyFile, match="chmod 700"):
        keys.unit_key("A01", 1)


@pytest.mark.parametrize(
    ("path", "mode", "remedy"),
    [
        ("", 0o755, "chmod 700"),
        ("parties", 0o750, "chmod 700"),
        ("parties/credit_office.key", 0o644, "chmod 600"),
    ],
)
def test_open_keys_are_refused_before_a_run_begins(
    keys: KeyStore, path: str, mode: int, remedy: str, tmp_path: Path
) -> None:
    """A folder of mode 0755 stopped the run at the draw, after twenty minutes of work."""
    KeyStore(tmp_path / "none").check()
    assert not (tmp_path / "none").exists(), "looking makes nothing"
    keys.party_key()
    keys.check()
    (keys.directory / path).chmod(mode)
    settings = Settings(lake_dir=tmp_path / "lake", keys_dir=keys.directory, policy_dir=tmp_path / "no pack")
    with pytest.raises(UnsafeKeyFile, match=f"{remedy} {keys.directory / path}"):
        prepare(settings)


def test_a_link_is_no_key(keys: KeyStore, tmp_path: Path) -> None:
    keys.party_key()
    path = keys.directory / "parties" / "credit_office.key"
    path.rename(tmp_path / "elsewhere.key")
    path.symlink_to(tmp_path / "elsewhere.key")
    with pytest.raises(UnsafeKeyFile, match="no link"):
        keys.party_key()


@pytest.mark.parametrize("content", ["", "00" * 31 + "\n", "00" * 32, "zz" * 32 + "\n", "00" * 33 + "\n"])
def test_a_damaged_key_is_refused_and_never_replaced(keys: KeyStore, content: str) -> None:
    """Making a new one in its place would hide the loss until nothing can be opened."""
    keys.party_key()
    path = keys.directory / "parties" / "credit_office.key"
    path.write_text(content)
    with pytest.raises(IntegrityError, match="backup"):
        keys.party_key()
    assert path.read_text() == content


def test_two_processes_end_up_with_the_same_key(keys: KeyStore) -> None:
    """Both find no key and make one: the second must take the first's."""
    script = (
        "import sys; from credit_pipeline.keys import KeyStore\n"
        "store = KeyStore(sys.argv[1])\n"
        "print(' '.join(store.unit_key('A01', seq) for seq in range(1, 30)))"
    )
    KeyStore(keys.directory).party_key()
    runs = [
        subprocess.Popen([sys.executable, "-c", script, str(keys.directory)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = {run.communicate()[0] for run in runs}
    assert len(outputs) == 1 and all(run.returncode == 0 for run in runs)


def test_keys_of_old_releases_are_forgotten(keys: KeyStore) -> None:
    for seq in (1, 2, 3, 10):
        keys.unit_key("A01", seq)
    keys.unit_key("B02", 1)
    assert keys.forget_unit_keys("A01", 3) == [1, 2]
    assert sorted(path.name for path in keys.directory.rglob("*.key")) == ["1.key", "10.key", "3.key"]
    assert keys.forget_unit_keys("C03", 9) == []


def test_lakes_keep_their_release_keys_apart(keys: KeyStore) -> None:
    """A test lake beside the real one begins with release 1 again: it must not take or delete the real
    one's key.
    """
    one, two = KeyStore(keys.directory, lake="a1"), KeyStore(keys.directory, lake="b2")
    assert len({store.unit_key("A01", 1) for store in (keys, one, two)}) == 3
    assert one.party_key() == two.party_key() == keys.party_key()
    one.unit_key("A01", 2)
    assert one.forget_unit_keys("A01", 2) == [1] and two.forget_unit_keys("A01", 1) == []
    assert (keys.directory / "units" / "b2" / "A01" / "1.key").is_file()


@pytest.mark.parametrize(
    "call",
    [
        lambda keys: keys.unit_key("../A", 1),
        lambda keys: keys.unit_key("A01", 0),
        lambda keys: keys.party_key("../x"),
        lambda keys: keys.forget_unit_keys("a/b", 1),
        lambda keys: KeyStore(keys.directory, lake="../x"),
    ],
)
def test_names_cannot_leave_the_folder(keys: KeyStore, call: Callable[[KeyStore], object]) -> None:
    with pytest.raises(BadInput):
        call(keys)


def test_ids_tell_keys_apart_without_telling_them(keys: KeyStore) -> None:
    public_key = keys.public_key()
    assert public_key_id(public_key_from_hex(public_key.public_bytes_raw().hex() + "\n")) == public_key_id(
        public_key
    )
    key = keys.unit_key("A01", 1)
    assert extract_key_id(key) not in key and len(extract_key_id(key)) == 16
    assert key not in repr(keys)
    with pytest.raises(BadInput, match="64 hexadecimal"):
        public_key_from_hex("abc")
