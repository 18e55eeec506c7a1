"""Keys: made once, private, and refused when others could have read them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.daily_run import prepare
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.extracts.key_changes import (
    add_key,
    ensure_escrow,
    revoke_key,
    rotate_key,
    rotate_signing,
)
from credit_pipeline.keys import KeyStore, UnsafeKeyFile, public_key_from_hex, public_key_id
from credit_pipeline.keys import handover as handover_module
from credit_pipeline.keys.age import (
    KeyNotForUs,
    excel_password,
    new_identity,
    new_release_key,
    read_identity,
    release_key_id,
    unwrap,
    wrap,
)
from credit_pipeline.keys.handover import handovers, trusted_keys
from credit_pipeline.keys.recipients import ESCROW, Register
from credit_pipeline.settings import Settings

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "secrets" / "keys")


def test_keys_are_made_once_and_differ(keys: KeyStore) -> None:
    """A second key under the same name would make every earlier signature and draw unprovable."""
    again = KeyStore(keys.directory)
    assert keys.party_key() == again.party_key() and len(keys.party_key()) == 32
    assert keys.signing_key().private_bytes_raw() == again.signing_key().private_bytes_raw()
    assert keys.watermark("A01", 1) == again.watermark("A01", 1)
    marks = {keys.watermark(unit, seq) for unit in ("A01", "B02") for seq in (1, 2)}
    assert len(marks) == 4 and keys.party_key() != keys.party_key("audit_office")


def test_folders_and_files_are_private_whatever_the_umask(keys: KeyStore) -> None:
    before = os.umask(0)
    try:
        keys.party_key()
        keys.signing_key()
        Register(keys).office_identity("A01")
    finally:
        os.umask(before)
    for path in (keys.directory, *keys.directory.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    assert (keys.directory / "office_held" / "A01.agekey").is_file()
    assert not list(keys.directory.rglob("tmp-*"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_others_could_read_is_refused(keys: KeyStore, mode: int) -> None:
    keys.party_key()
    path = keys.directory / "parties" / "credit_office.key"
    path.chmod(mode)
    with pytest.raises(UnsafeKeyFile, match=f"chmod 600 {path}"):
        keys.party_key()


@pytest.mark.parametrize("folder", ["", "parties"])
def test_a_folder_others_could_change_is_refused(keys: KeyStore, folder: str) -> None:
    """Who may write the folder may replace the key in it."""
    keys.party_key()
    (keys.directory / folder).chmod(0o750)
    with pytest.raises(UnsafeKeyFile, match="chmod 700"):
        keys.party_key()


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
        "print(' '.join(store.party_key(f'p{n}').hex() for n in range(1, 30)))"
    )
    KeyStore(keys.directory).party_key()
    runs = [
        subprocess.Popen([sys.executable, "-c", script, str(keys.directory)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    outputs = {run.communicate()[0] for run in runs}
    assert len(outputs) == 1 and all(run.returncode == 0 for run in runs)


@pytest.mark.parametrize(
    "call",
    [
        lambda keys: keys.party_key("../x"),
        lambda keys: keys.reveals("../x", "P", 1),
        lambda keys: Register(keys).office_identity("../A"),
        lambda keys: Register(keys).add("a/b", RECIPIENT, "t"),
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
    key = new_release_key()
    assert release_key_id(key) not in key and len(release_key_id(key)) == 16
    with pytest.raises(BadInput, match="64 hexadecimal"):
        public_key_from_hex("abc")


def test_a_release_key_is_wrapped_for_its_recipients_only(tmp_path: Path) -> None:
    (mine, public), (other, _) = new_identity(), new_identity()
    for name, content in (("mine", mine), ("other", other)):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    key = new_release_key()
    wrapped = wrap(key, [public])
    assert unwrap(wrapped, [read_identity(tmp_path / "other"), read_identity(tmp_path / "mine")]) == key
    for identities in ([read_identity(tmp_path / "other")], []):
        with pytest.raises(KeyNotForUs):
            unwrap(wrapped, identities)
    with pytest.raises(IntegrityError, match="damaged"):
        unwrap(wrapped[:-1], [read_identity(tmp_path / "mine")])
    with pytest.raises(IntegrityError, match="not a key"):
        unwrap(wrap("short", [public]), [read_identity(tmp_path / "mine")])
    with pytest.raises(BadInput, match="never be opened"):
        wrap(key, [])
    assert len(excel_password(key)) == 24 and excel_password(key) != excel_password(new_release_key())


def test_the_register_remembers_and_never_takes_a_key_twice(keys: KeyStore, tmp_path: Path) -> None:
    """A key of two units would open both; a revoked one must not come back."""
    register, audit = Register(keys), AuditLog(tmp_path / "log.jsonl")
    ensure_escrow(keys, audit)
    ensure_escrow(keys, audit)
    assert [one.unit for one in register.entries()] == [ESCROW]
    assert register.recipients_for("A01").key_mode == "office"
    entry = add_key(keys, audit, "A01", f" {RECIPIENT}\n")
    assert (
        register.recipients_for("A01").key_mode == "unit" and len(register.recipients_for("A01").public) == 2
    )
    with pytest.raises(BadInput, match="registered for A01"):
        add_key(keys, audit, "B02", RECIPIENT)
    revoke_key(keys, audit, "A01", entry.key_id)
    assert register.recipients_for("A01").key_mode == "office"
    with pytest.raises(BadInput, match="was revoked"):
        add_key(keys, audit, "A01", RECIPIENT)
    with pytest.raises(BadInput, match="already"):
        revoke_key(keys, audit, "A01", entry.key_id)
    with pytest.raises(BadInput, match="has no key"):
        revoke_key(keys, audit, "B02", entry.key_id)
    events = [(one.event, one.details["unit_id"]) for one in audit.records()]
    assert events == [("key_added", ESCROW), ("key_added", "A01"), ("key_revoked", "A01")]
    assert "SECRET" not in (keys.directory / "recipients.json").read_text()


def test_rotation_replaces_keys_of_units_escrow_and_office(keys: KeyStore, tmp_path: Path) -> None:
    register, audit = Register(keys), AuditLog(tmp_path / "log.jsonl")
    ensure_escrow(keys, audit)
    with pytest.raises(BadInput, match="no key for A01 yet"):
        rotate_key(keys, audit, "A01", None)
    before = register.recipients_for("A01")
    assert rotate_key(keys, audit, "A01", None) and register.recipients_for("A01") != before
    [escrow] = register.active(ESCROW)
    with pytest.raises(BadInput, match="only key"):
        revoke_key(keys, audit, ESCROW, escrow.key_id)
    with pytest.raises(BadInput, match="--recipient"):
        rotate_key(keys, audit, ESCROW, None)
    assert rotate_key(keys, audit, ESCROW, RECIPIENT) == [escrow.key_id]
    assert [one.recipient for one in register.active(ESCROW)] == [RECIPIENT]


@pytest.mark.parametrize("text", ["", "age1short", RECIPIENT[:-1] + "q", "AGE-SECRET-KEY-1QQQQ"])
def test_what_is_no_public_key_is_refused(keys: KeyStore, tmp_path: Path, text: str) -> None:
    """Above all a secret key: it must be neither stored nor repeated."""
    with pytest.raises(BadInput) as caught:
        add_key(keys, AuditLog(tmp_path / "log.jsonl"), "A01", text)
    assert "SECRET-KEY-1Q" not in str(caught.value) and not (keys.directory / "recipients.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"format":"x","recipients":[]}'])
def test_a_damaged_register_is_refused(keys: KeyStore, tmp_path: Path, content: str) -> None:
    add_key(keys, AuditLog(tmp_path / "log.jsonl"), "A01", RECIPIENT)
    path = keys.directory / "recipients.json"
    swapped = path.read_text().replace(RECIPIENT, new_identity()[1])
    for text in (content, swapped):
        path.write_text(text)
        with pytest.raises(IntegrityError, match="backup"):
            Register(keys).entries()


def test_signing_keys_hand_over_to_each_other(keys: KeyStore, tmp_path: Path) -> None:
    """What any of them signed can be verified; a chain with a gap or a forged link cannot."""
    audit = AuditLog(tmp_path / "log.jsonl")
    ids = [public_key_id(keys.public_key())]
    for _ in range(2):
        rotate_signing(keys, audit)
        ids.append(public_key_id(keys.public_key()))
    assert list(trusted_keys(keys)) == ids and len(set(ids)) == 3
    folder = keys.directory / "handovers"
    first = (folder / "0001.json").read_bytes()
    (folder / "0001.json").write_bytes(first.replace(b'"number":1', b'"number":7'))
    with pytest.raises(IntegrityError, match="not signed"):
        handovers(keys)
    (folder / "0001.json").unlink()
    with pytest.raises(IntegrityError, match="missing or out of order"):
        handovers(keys)


def test_a_rotation_that_crashes_leaves_one_working_key(
    keys: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = public_key_id(keys.public_key())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        for write in (handover_module.write_durably, lambda path, data: path.write_bytes(data)):
            patch.setattr(handover_module, "write_durably", write)
            with pytest.raises(KeyboardInterrupt):
                handover_module.rotate_signing_key(keys, "2026-03-01T00:00:00Z")
            assert list(trusted_keys(keys)) == [old]
    rotate_signing(keys, AuditLog(tmp_path / "log.jsonl"))
    assert list(trusted_keys(keys)) == [old, public_key_id(keys.public_key())]
