"""`credit-pipeline keys` as an officer types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.cli import app
from credit_pipeline.errors import BadInput
from credit_pipeline.keys.age import new_identity


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CREDIT_LAKE_DIR", str(tmp_path / "lake"))
    monkeypatch.setenv("CREDIT_KEYS_DIR", str(tmp_path / "keys"))
    return tmp_path


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments])


def _fail(message: str, *arguments: str) -> None:
    done = keys(*arguments)
    assert isinstance(done.exception, BadInput) and message in str(done.exception), done.exception


def test_a_unit_from_registration_to_revocation(place: Path) -> None:
    """Every step says what comes next, and every change is in the log by key ids only."""
    made = keys("init")
    assert made.exit_code == 0 and "escrow.agekey" in made.stdout and "on paper" in made.stdout
    assert keys("init").stdout == made.stdout, "a second time changes nothing"
    (_, first), (_, second) = new_identity(), new_identity()
    (place / "unit.pub").write_text(f"# from the unit\n{first}\n")
    assert "next run" in keys("add", "A01", "--file", str(place / "unit.pub"), "--note", "by hand").stdout
    assert "replaced" in keys("rotate", "A01", "--recipient", second).stdout
    found = json.loads(keys("list", "--json").stdout)
    states = [(one["unit"], one["recipient"], bool(one["revoked"])) for one in found["recipients"]]
    assert states[1:] == [("A01", first, True), ("A01", second, False)] and found["office_held"] == []
    key_id = found["recipients"][2]["key_id"]
    revoked = keys("revoke", "A01", key_id)
    assert "stays readable" in revoked.stdout and "the office holds one" in revoked.stdout
    assert keys("rotate", "signing").exit_code == 0
    assert len(json.loads(keys("list", "--json").stdout)["signing"]["retired"]) == 1
    log = (place / "lake" / "audit" / "log.jsonl").read_text()
    events = [one.event for one in AuditLog(place / "lake" / "audit" / "log.jsonl").records()]
    assert events == ["key_added", "key_added", "key_rotated", "key_revoked", "key_rotated"]
    assert "age1" not in log and "SECRET" not in log and key_id in log


def test_what_cannot_be_is_said_before_anything_is_written(place: Path) -> None:
    _, recipient = new_identity()
    (place / "two").write_text("a\nb\n")
    _fail("--recipient age1… or --file", "add", "A01")
    _fail("not both", "add", "A01", "--recipient", recipient, "--file", str(place / "two"))
    _fail("found 2", "add", "A01", "--file", str(place / "two"))
    _fail("cannot be read", "add", "A01", "--file", str(place / "none"))
    _fail("unit id", "add", "a01", "--recipient", recipient)
    _fail("no --recipient", "rotate", "signing", "--recipient", recipient)
    _fail("its active keys: none", "revoke", "A01", "0" * 16)
    assert (
        not (place / "lake" / "audit" / "log.jsonl").exists()
        and not (place / "keys" / "recipients.json").exists()
    )
