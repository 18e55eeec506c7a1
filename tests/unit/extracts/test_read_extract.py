"""The unit's reader: its cryptography against the standards and against pyrage, its command, its syntax."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_support import UNIT, Office

from credit_pipeline.extracts import read_extract
from credit_pipeline.keys.age import excel_password, new_release_key, recipient_key_id

unhex = bytes.fromhex


def test_rfc_7748_x25519() -> None:
    scalar = unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert (
        read_extract.x25519(scalar, point).hex()
        == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    )
    scalar = unhex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d")
    point = unhex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493")
    assert (
        read_extract.x25519(scalar, point).hex()
        == "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"
    )


def test_rfc_8032_ed25519() -> None:
    """Tests 1 and 2 of section 7.1; one bit changed anywhere is noticed."""
    cases = [
        ("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
        ("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
    ]  # fmt: skip
    for key, message, signature in cases:
        assert read_extract.signature_is_good(key, unhex(message), signature)
        assert not read_extract.signature_is_good(key, unhex(message) + b"x", signature)
        assert not read_extract.signature_is_good(key, unhex(message), signature[:-1] + "1")


def test_rfc_8439_chacha20_and_poly1305() -> None:
    """Sections 2.3.2 and 2.5.2."""
    block = read_extract.chacha20_block(bytes(range(32)), 1, unhex("000000090000004a00000000"))
    assert block.hex().startswith("10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e")
    key = unhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = read_extract.poly1305(key, b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"


def _secret(identity: pyrage.x25519.Identity) -> bytes:
    return read_extract.bech32_decode("age-secret-key-", str(identity))


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=0, max_size=300), st.integers(0, 2))
def test_what_pyrage_wraps_the_reader_opens(text: bytes, others: int) -> None:
    """Also among other recipients, and with the stanzas of unknown kinds that pyrage adds."""
    identity = pyrage.x25519.Identity.generate()
    strangers = [pyrage.x25519.Identity.generate() for _ in range(others)]
    wrapped = pyrage.encrypt(text, [one.to_public() for one in (*strangers, identity)])
    assert read_extract.age_decrypt(wrapped, _secret(identity)) == text
    assert read_extract.age_decrypt(wrapped, _secret(pyrage.x25519.Identity.generate())) is None


def test_a_text_of_several_chunks_opens() -> None:
    identity = pyrage.x25519.Identity.generate()
    text = bytes(range(256)) * 520
    assert read_extract.age_decrypt(pyrage.encrypt(text, [identity.to_public()]), _secret(identity)) == text


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_a_changed_age_file_is_refused(place: int, bit: int) -> None:
    """Wherever a bit is changed: nothing but the text or a refusal may come out."""
    identity = pyrage.x25519.Identity.generate()
    wrapped = bytearray(pyrage.encrypt(b"a" * 64, [identity.to_public()]))
    wrapped[place % len(wrapped)] ^= 1 << bit
    try:
        assert read_extract.age_decrypt(bytes(wrapped), _secret(identity)) is None
    except read_extract.Refused as error:
        assert "damaged" in str(error)


@settings(max_examples=25, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_identities_are_written_as_age_reads_them(secret: bytes) -> None:
    """The other direction: pyrage takes an identity the reader wrote, with the same public key."""
    text = read_extract.bech32_encode("age-secret-key-", secret).upper()
    identity = pyrage.x25519.Identity.from_str(text)
    assert str(identity.to_public()) == read_extract.recipient_of(secret)
    assert recipient_key_id(str(identity.to_public())) == read_extract.recipient_key_id(secret)
    assert read_extract.bech32_decode("age-secret-key-", text) == secret
    for broken in (text[:-1], text[:-1] + ("Q" if text[-1] != "Q" else "P"), text.lower()[:20] + text[20:]):
        assert read_extract.bech32_decode("age-secret-key-", broken) is None


def test_a_new_identity_is_private_and_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unit.agekey"
    assert read_extract.main(["--new-identity", str(path)]) == 0
    assert capsys.readouterr().out.startswith("age1") and path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    assert read_extract.main(["--new-identity", str(path)]) == 1 and path.read_bytes() == before


def test_the_reader_runs_alone_on_old_pythons() -> None:
    """One file, Python 3.9 grammar, nothing but the standard library and duckdb."""
    text = Path(read_extract.__file__).read_text("utf-8")
    for minor in range(9, 14):
        ast.parse(text, feature_version=(3, minor))
    tree = ast.parse(text, feature_version=(3, 9))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - {"duckdb"} <= sys.stdlib_module_names


def test_the_command_as_a_unit_types_it(office: Office, tmp_path: Path) -> None:
    """Alone (`-I`, from another folder): tables, query, CSV in both encodings, password, receipt."""
    office.publish()
    identity = office.register_unit()
    manifest = office.publish().manifest

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-I",
            str(office.folder / "read_extract.py"),
            "--identity",
            str(identity),
            *arguments,
        ]
        return subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", check=False, cwd=tmp_path
        )

    shown = run()
    assert shown.returncode == 0 and "enterprise_grades\t500\t企业信用等级（不得公开）" in shown.stdout, (
        shown.stderr
    )
    assert "按等级\t视图" in shown.stdout and "首次使用" in shown.stderr
    assert "首次使用" not in run().stderr
    assert run("--sql", "select n from extra").stdout == "n\n0\n"
    assert run("--sql", "selekt").returncode == 2
    assert run("--csv", str(tmp_path / "out"), "--encoding", "gb18030").returncode == 0
    with (tmp_path / "out" / "unit.csv").open(encoding="gb18030", newline="") as file:
        assert list(csv.reader(file)) == [["unit_id", "label"], ["A01", "市场监管局"]]
    assert (tmp_path / "out" / "按等级.csv").exists()
    opened = office.open(identities=[pyrage.x25519.Identity.from_str(identity.read_text().split()[-1])])
    opened.connection.close()
    assert run("--excel-password").stdout.strip() == excel_password(opened.key)
    assert run("--receipt", str(tmp_path / "receipt.csv")).stdout == ""
    with (tmp_path / "receipt.csv").open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)
    assert row["unit_id"] == UNIT and row["release_seq"] == str(manifest["release_seq"]) == "2"
    assert (row["log_size"], row["log_head"]) == ("5", "e" * 64) and len(row["manifest_sha256"]) == 64
    assert run("--unit", "B02").returncode == 1
    assert (
        subprocess.run(
            [sys.executable, "-I", str(office.folder / "read_extract.py")], capture_output=True, check=False
        ).returncode
        == 2
    )


def test_the_module_gives_a_connection(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    office.publish()
    with read_extract.open_extract(office.folder, office.register.office_path(UNIT), unit=UNIT) as connection:
        assert connection.execute("select count(*) from enterprise_grades").fetchone() == (500,)
    assert "代为保管" in capsys.readouterr().err


def test_cells_are_no_formulas() -> None:
    """A name that begins with = must not run in the officer's spreadsheet."""
    assert [read_extract.csv_cell(one) for one in ("=1+1", "@x", "-5", "甲", None, -5)] == [
        "'=1+1",
        "'@x",
        "'-5",
        "甲",
        "",
        -5,
    ]


def test_a_release_key_as_text_is_what_the_reader_expects() -> None:
    key = new_release_key()
    opened = read_extract.Opened(None, {}, "", key, [])
    assert opened.excel_password() == excel_password(key) and key not in repr(opened)
