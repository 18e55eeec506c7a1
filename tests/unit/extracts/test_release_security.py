"""What an attacker can do to a release, each refused with a clear message by the office's command and the unit's reader."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from release_support import UNIT, Office
from typer.testing import CliRunner

from credit_pipeline.audit.log import canonical_json
from credit_pipeline.cli import app
from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.extracts import read_extract
from credit_pipeline.extracts.key_changes import revoke_key, rotate_key, rotate_signing
from credit_pipeline.extracts.manifest import DOMAIN
from credit_pipeline.keys import public_key_id
from credit_pipeline.keys.age import wrap

DATABASE, WRAPPED = "A01-000003.duckdb", "A01-000003.key.age"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, source: duckdb.DuckDBPyConnection) -> Path:
    """Releases 1 to 3 of a unit with its own key; `at1`, `at2` are copies of the folder as it was then."""
    office = Office(tmp_path_factory.mktemp("template"), source)
    office.register_unit()
    for number in (1, 2, 3):
        office.publish(extra=number)
        shutil.copytree(office.folder, office.root / f"at{number}")
    return office.root


@pytest.fixture
def town(template: Path, tmp_path: Path, source: duckdb.DuckDBPyConnection) -> Office:
    """A copy of them, to be attacked."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Office(tmp_path, source)


def by_command(office: Office, monkeypatch: pytest.MonkeyPatch, identity: Path) -> str:
    """The refusal of `credit-pipeline extract open`, empty when it opened."""
    monkeypatch.setenv("CREDIT_LAKE_DIR", str(office.root))
    monkeypatch.setenv("CREDIT_KEYS_DIR", str(office.keys.directory))
    sql = "select n from extra"
    done = CliRunner().invoke(app, ["extract", "open", UNIT, "--identity", str(identity), "--sql", sql])
    if done.exit_code == 0:
        return ""
    assert isinstance(done.exception, CreditPipelineError), done.exception
    return str(done.exception)


def by_reader(office: Office, capsys: pytest.CaptureFixture[str], identity: Path) -> str:
    """The refusal of the unit's reader, empty when it opened."""
    arguments = [str(office.folder), "--identity", str(identity), "--sql", "select n from extra"]
    code = read_extract.main(arguments)
    shown = capsys.readouterr()
    if code == 0:
        return ""
    assert code == 1 and "REFUSED" in shown.err and shown.out == ""
    return shown.err


def _edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path, Path], None]:
    def apply(folder: Path, root: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return apply


def _resign(key: Ed25519PrivateKey, **changes: Any) -> Callable[[Path, Path], None]:
    def apply(folder: Path, root: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_bytes()) | changes
        content = {name: value for name, value in manifest.items() if name != "signature"}
        content["signed_by"] = public_key_id(key.public_key())
        signature = key.sign(DOMAIN + canonical_json(content)).hex()
        (folder / "manifest.json").write_bytes(canonical_json(content | {"signature": signature}) + b"\n")

    return apply


def _whole_folder(number: int) -> Callable[[Path, Path], None]:
    def apply(folder: Path, root: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(root / f"at{number}", folder)

    return apply


def _old_headers(folder: Path, root: Path) -> None:
    """The attack that DuckDB's own check accepts: the two headers at 4096 of an older release onto the newer file."""
    old, new = (folder / "A01-000002.duckdb").read_bytes(), (folder / DATABASE).read_bytes()
    (folder / DATABASE).write_bytes(new[:4096] + old[4096:12288] + new[12288:])


def _old_first_pages(folder: Path, root: Path) -> None:
    old, new = (folder / "A01-000002.duckdb").read_bytes(), (folder / DATABASE).read_bytes()
    (folder / DATABASE).write_bytes(old[:8192] + new[8192:])


def _old_file(folder: Path, root: Path) -> None:
    shutil.copy(folder / "A01-000002.duckdb", folder / DATABASE)


def _old_manifest(folder: Path, root: Path) -> None:
    shutil.copy(folder / "A01-000002.manifest.json", folder / "manifest.json")


def _old_key(folder: Path, root: Path) -> None:
    shutil.copy(folder / "A01-000002.key.age", folder / WRAPPED)


def _link(name: str) -> Callable[[Path, Path], None]:
    def apply(folder: Path, root: Path) -> None:
        (folder / name).rename(root / "elsewhere")
        (folder / name).symlink_to(root / "elsewhere")

    return apply


def _pipe(folder: Path, root: Path) -> None:
    (folder / DATABASE).unlink()
    os.mkfifo(folder / DATABASE)


def _add(name: str, content: bytes = b"x") -> Callable[[Path, Path], None]:
    return lambda folder, root: (folder / name).write_bytes(content) and None


def _remove(name: str) -> Callable[[Path, Path], None]:
    return lambda folder, root: (folder / name).unlink()


FOREIGN = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
ATTACKS: list[tuple[str, Callable[[Path, Path], None], str]] = [
    ("old headers on the newer file", _old_headers, "SHA-256"),
    ("old first pages on the newer file", _old_first_pages, "SHA-256"),
    ("an older file under the new name", _old_file, "SHA-256|bytes, the manifest says"),
    ("an older manifest", _old_manifest, "older than release 3"),
    ("the folder of release 2", _whole_folder(2), "older than release 3"),
    ("the stolen folder of release 1", _whole_folder(1), "older than release 3"),
    ("the wrapped key of an older release", _old_key, "SHA-256|bytes, the manifest says"),
    ("a key wrapped by a stranger", _edit(WRAPPED, lambda _: b"age-encryption.org/v1\n--- x\n"), "bytes, the manifest says"),
    ("signed anew by a foreign key", _resign(FOREIGN), "signed by key"),
    ("a foreign key with a higher number", _resign(FOREIGN, release_seq=9), "signed by key"),
    ("another unit's name", _edit("manifest.json", lambda data: data.replace(b'"unit_id":"A01"', b'"unit_id":"B02"')), "changed"),
    ("a number raised", _edit("manifest.json", lambda data: data.replace(b'"release_seq":3', b'"release_seq":4')), "changed"),
    ("a manifest cut", _edit("manifest.json", lambda data: data[:-9]), "not a manifest|changed or cut"),
    ("a manifest that is a list", _edit("manifest.json", lambda _: b"[]\n"), "not a manifest|changed or cut"),
    ("a field more", _edit("manifest.json", lambda data: data.replace(b'{"as_of', b'{"aa":1,"as_of')), "form"),
    ("no manifest", _remove("manifest.json"), "no extract|missing"),
    ("no database", _remove(DATABASE), "missing"),
    ("no wrapped key", _remove(WRAPPED), "missing"),
    ("no workbook", _remove("A01-000003.xlsx"), "missing"),
    ("a further file of the release", _add("A01-000003.csv"), "somebody put it there"),
    ("a planted write-ahead log", _add(DATABASE + ".wal"), "somebody put it there"),
    ("a linked database", _link(DATABASE), "link"),
    ("a linked wrapped key", _link(WRAPPED), "link"),
    ("a linked manifest", _link("manifest.json"), "link"),
    ("a pipe instead of the database", _pipe, "plain"),
    ("another reader", _edit("read_extract.py", lambda data: data + b"#"), "not the one of this release"),
]  # fmt: skip


@pytest.mark.parametrize(("attack", "message"), [(a[1], a[2]) for a in ATTACKS], ids=[a[0] for a in ATTACKS])
def test_an_attack_is_refused_by_both(
    town: Office,
    attack: Callable[[Path, Path], None],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    identity = town.root / "unit.agekey"
    assert by_command(town, monkeypatch, identity) == by_reader(town, capsys, identity) == ""
    attack(town.folder, town.root)
    for refusal in (by_command(town, monkeypatch, identity), by_reader(town, capsys, identity)):
        assert any(one in refusal for one in message.split("|")), refusal


def test_every_file_is_protected_at_every_offset(
    town: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One bit at many seeded places, and cuts at many lengths, of every file a reader relies on."""
    identity = town.root / "unit.agekey"
    places = random.Random(7)
    for name in (DATABASE, WRAPPED, "A01-000003.xlsx", "manifest.json"):
        path = town.folder / name
        whole = path.read_bytes()
        ends = [0, 1, len(whole) // 2, len(whole) - 1]
        for offset in [*ends[:3], len(whole) - 1, *(places.randrange(len(whole)) for _ in range(25))]:
            broken = bytearray(whole)
            broken[offset] ^= 1 << places.randrange(8)
            path.write_bytes(bytes(broken))
            assert by_reader(town, capsys, identity), (name, offset)
            with pytest.raises(CreditPipelineError):
                town.open()
        for length in ends:
            path.write_bytes(whole[:length])
            assert by_reader(town, capsys, identity), (name, length)
            with pytest.raises(CreditPipelineError):
                town.open()
        path.write_bytes(whole)
    assert by_command(town, monkeypatch, identity) == by_reader(town, capsys, identity) == ""


def test_another_units_release_is_refused(
    town: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A genuine release, whole and signed, of another unit: handed over by mistake or put there to mislead."""
    identity = town.root / "unit.agekey"
    assert by_reader(town, capsys, identity) == ""
    town.register_unit("b.agekey", "B02")
    shutil.rmtree(town.folder)
    town.publish(unit="B02", folder=town.folder)
    assert "not for unit A01" in by_command(town, monkeypatch, identity)
    assert "for unit B02, not for A01" in by_reader(town, capsys, identity)


def test_a_wrong_key_is_refused(
    town: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The identity of a stranger, of another unit, and a release key of another release."""
    stranger, _ = town.unit_identity("stranger.agekey")
    assert "none of them is here" in by_command(town, monkeypatch, stranger)
    assert "is no recipient" in by_reader(town, capsys, stranger)
    empty = town.root / "empty.agekey"
    empty.write_text("nothing")
    empty.chmod(0o600)
    assert "no whole age secret key" in by_command(town, monkeypatch, empty)
    assert "no whole age secret key" in by_reader(town, capsys, empty)


def test_a_revoked_key_is_refused(
    town: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the office at once, by the unit's reader from the next release on; the new key opens it."""
    old = town.root / "unit.agekey"
    key_id = town.register.active(UNIT)[0].key_id
    revoke_key(town.keys, town.audit, UNIT, key_id)
    assert "was revoked" in by_command(town, monkeypatch, old)
    new = town.register_unit("next.agekey")
    town.publish(extra=3)
    assert "was revoked" in by_command(town, monkeypatch, old)
    assert "replaced or revoked" in by_reader(town, capsys, old)
    assert by_command(town, monkeypatch, new) == by_reader(town, capsys, new) == ""


def test_a_rotated_key_opens_no_later_release(town: Office, capsys: pytest.CaptureFixture[str]) -> None:
    old = town.root / "unit.agekey"
    new, recipient = town.unit_identity("next.agekey")
    rotate_key(town.keys, town.audit, UNIT, recipient)
    town.publish(extra=3)
    assert "replaced or revoked" in by_reader(town, capsys, old)
    assert by_reader(town, capsys, new) == ""


def test_a_wrapped_key_of_another_release_is_refused_even_when_signed(town: Office) -> None:
    """The office's own mistake, or an insider who signs: the key must be the one the manifest names."""
    (town.folder / WRAPPED).write_bytes(wrap("ab" * 32, town.register.recipients_for(UNIT).public))
    manifest = json.loads((town.folder / "manifest.json").read_bytes())
    content = (town.folder / WRAPPED).read_bytes()
    files = manifest["files"] | {
        WRAPPED: {"size": len(content), "sha256": read_extract.hashlib.sha256(content).hexdigest()}
    }
    _resign(town.keys.signing_key(), files=files)(town.folder, town.root)
    with pytest.raises(CreditPipelineError, match="not the key of release 3"):
        town.open()
    with pytest.raises(read_extract.Refused, match="not the key of release 3"):
        town.read("select 1", town.root / "unit.agekey")


@pytest.mark.parametrize(
    "name", ["../A01-000003.duckdb", "/etc/passwd", "A01-000003.a/b", "A01-000002.duckdb"]
)
def test_names_outside_the_release_are_refused_even_when_signed(town: Office, name: str) -> None:
    files = json.loads((town.folder / "manifest.json").read_bytes())["files"]
    _resign(town.keys.signing_key(), files=files | {name: {"size": 1, "sha256": "0" * 64}})(
        town.folder, town.root
    )
    with pytest.raises(CreditPipelineError, match="plain file name"):
        town.open()
    with pytest.raises(read_extract.Refused, match="not of this release"):
        town.read("select 1", town.root / "unit.agekey")


def test_two_manifests_of_one_number_are_found(
    town: Office, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two truths, each signed by the office: whoever saw the first must notice the second, and a broken sequence."""
    identity = town.root / "unit.agekey"
    assert by_command(town, monkeypatch, identity) == by_reader(town, capsys, identity) == ""
    _resign(town.keys.signing_key(), purpose="另一份")(town.folder, town.root)
    for refusal in (by_command(town, monkeypatch, identity), by_reader(town, capsys, identity)):
        assert "two were signed" in refusal
    town.publish(extra=4)
    for refusal in (by_command(town, monkeypatch, identity), by_reader(town, capsys, identity)):
        assert "does not follow" in refusal


def test_readers_follow_a_new_signing_key_and_no_other(
    town: Office, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The hand-over is signed by the old key. What the old one signs afterwards is refused, and so is a forged one."""
    identity = town.root / "unit.agekey"
    assert by_reader(town, capsys, identity) == ""
    old = town.keys.signing_key()
    rotate_signing(town.keys, town.audit)
    rotate_signing(town.keys, town.audit)
    town.publish(extra=4)
    document = json.loads((town.folder / "signing_keys.json").read_bytes())
    (town.folder / "signing_keys.json").rename(tmp_path / "hidden")
    assert "signed by key" in by_reader(town, capsys, identity), (
        "without the hand-over there is no way to the new key"
    )
    document["handovers"][1]["signature"] = "0" * 128
    (town.folder / "signing_keys.json").write_bytes(canonical_json(document) + b"\n")
    assert "signed by key" in by_reader(town, capsys, identity)
    (tmp_path / "hidden").rename(town.folder / "signing_keys.json")
    assert by_reader(town, capsys, identity) == ""
    _resign(old, release_seq=5)(town.folder, town.root)
    assert "signed by key" in by_reader(town, capsys, identity)


def test_the_key_on_paper_wins(town: Office, capsys: pytest.CaptureFixture[str]) -> None:
    """A first release from a forger is trusted at first use only if nobody compares; `--key` compares."""
    identity = town.root / "unit.agekey"
    paper = town.keys.public_key().public_bytes_raw().hex()
    wrong = FOREIGN.public_key().public_bytes_raw().hex()
    arguments = [str(town.folder), "--identity", str(identity), "--excel-password"]
    assert read_extract.main([*arguments, "--key", wrong]) == 1
    assert "signed by key" in capsys.readouterr().err
    assert read_extract.main([*arguments, "--key", paper]) == 0
    assert "首次使用" not in capsys.readouterr().err


def test_what_was_seen_cannot_be_forgotten_quietly(town: Office, capsys: pytest.CaptureFixture[str]) -> None:
    identity = town.root / "unit.agekey"
    assert by_reader(town, capsys, identity) == ""
    state = Path(read_extract.state_path(str(identity)))
    for content in (
        "",
        "{}",
        '{"public_key": null, "units": {}}',
        '{"public_key": "00", "units": {"A01": {}}}',
    ):
        state.write_text(content)
        assert "damaged" in by_reader(town, capsys, identity), content


def test_files_that_nothing_vouches_for_are_pointed_out(
    town: Office, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that somebody put beside the release must not pass for the office's."""
    (town.folder / "名单.xlsx").write_bytes(b"x")
    opened = town.open()
    opened.connection.close()
    assert opened.strangers == ["名单.xlsx"]
    code = read_extract.main([str(town.folder), "--identity", str(town.root / "unit.agekey")])
    assert code == 0 and "名单.xlsx" in capsys.readouterr().err


def test_a_file_exchanged_after_the_proof_is_noticed(town: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment between proving and attaching: whoever can write the folder would choose that one."""
    identity, other = town.root / "unit.agekey", town.root / "other"
    shutil.copy(town.folder / DATABASE, other)

    def exchange(*given: Any) -> Any:
        shutil.copy(other, town.folder / "tmp-new")
        (town.folder / "tmp-new").replace(town.folder / DATABASE)
        return real(*given)

    real = read_extract.unwrapped_key
    monkeypatch.setattr(read_extract, "unwrapped_key", exchange)
    with pytest.raises(read_extract.Refused, match="exchanged"):
        town.read("select 1", identity)
    from credit_pipeline.extracts import opening

    real = opening.unwrap
    monkeypatch.setattr(opening, "unwrap", exchange)
    with pytest.raises(CreditPipelineError, match="exchanged"):
        town.open()
