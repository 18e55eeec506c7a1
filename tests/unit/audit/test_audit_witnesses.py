"""Witnesses as people bring them, receipts as the feed brings them, and keys that are trusted."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import pytest
from audit_support import UNITS, Office, make_office
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from credit_pipeline.audit.checkpoints import sign_checkpoint, trusted_signing_keys
from credit_pipeline.audit.receipts import unit_receipts
from credit_pipeline.audit.verification import verify_audit
from credit_pipeline.audit.witnesses import given_witnesses, lake_receipts
from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.keys import public_key_id


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return make_office(tmp_path)


def _witness(office: Office, name: str, text: str, encoding: str = "utf-8") -> tuple[int, str]:
    path = office.outside / name
    path.write_bytes(text.encode(encoding))
    [found] = given_witnesses([path])
    assert found.is_outside
    return found.size, found.head


def test_a_witness_is_read_in_every_form(office: Office) -> None:
    """Prevents a proof that is refused for the way it was written down."""
    size, head = office.log.head()
    seen = (size, head)
    assert _witness(office, "a.json", json.dumps({"log_size": size, "log_head": head.upper()})) == seen
    assert _witness(office, "b.jsonl", f'{{"log_size": {size}, "log_head": "{head}"}}\n') == seen
    assert _witness(office, "c.json", json.dumps({"size": size, "head": head})) == seen
    assert _witness(office, "d.csv", f"unit_id,log_size,log_head\nX,{size},{head}\n", "gb18030") == seen
    assert _witness(office, "e.txt", f"会议纪要：日志 {size} 条：{head}\n", "gb18030") == seen
    assert _witness(office, "f.md", f"{size} {head}") == seen
    assert _witness(office, "h.txt", f"log.jsonl: 1,0{size} records, head {head}") == (1000 + size, head)
    assert _witness(office, "g.json", json.dumps([{"checkpoint": office.store.latest()}])) == seen


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.txt", ""),
        ("prose.txt", "the log was fine"),
        ("other.json", '{"unit_id": "X"}'),
        ("half.csv", "log_size,log_head\n12,abc\n"),
        ("short.json", '{"log_size": "many", "log_head": "ab"}'),
    ],
)
def test_what_is_no_witness_is_refused_with_a_remedy(office: Office, name: str, text: str) -> None:
    """Prevents a verification that passes because the proof could not be read."""
    (office.outside / name).write_text(text)
    with pytest.raises(BadInput, match=name):
        given_witnesses([office.outside / name])
    with pytest.raises(BadInput, match="no such file"):
        given_witnesses([office.outside / "gone.json"])


def test_an_auditor_needs_no_key_folder(office: Office, tmp_path: Path) -> None:
    """Prevents a verification that makes a key of its own and then trusts nothing, or everything."""
    elsewhere = office.settings.model_copy(update={"keys_dir": tmp_path / "no-keys"})
    with pytest.raises(BadInput, match="--public-key"):
        trusted_signing_keys(elsewhere)
    assert not (tmp_path / "no-keys").exists()
    key = office.key.public_key()
    assert verify_audit(elsewhere, {public_key_id(key): key}).is_intact


def test_a_chain_of_signing_keys_is_followed(office: Office) -> None:
    """Prevents a rotation of the signing key from looking like forgery: any trusted key may have signed."""
    new = Ed25519PrivateKey.from_private_bytes(b"\x09" * 32)
    old = trusted_signing_keys(office.settings)
    office.log.append("run_started", "audit", "run-3", job="daily")
    checkpoint = office.store.add(office.log, new, trusted=old)
    both = old | {public_key_id(new.public_key()): new.public_key()}
    assert verify_audit(office.settings, both).is_intact
    kinds = {finding.kind for finding in verify_audit(office.settings, old).findings}
    assert kinds == {"checkpoint_foreign_key"}
    assert sign_checkpoint(office.log, new, previous=checkpoint)["prev_checkpoint"]


def _deliver(office: Office, day: date, *receipts: dict[str, object]) -> None:
    path = office.settings.landing_dir / "extract_receipts" / day.isoformat() / "receipts.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        names = list(dict.fromkeys(name for receipt in receipts for name in receipt))
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(receipts)
    report = ingest_feed("extract_receipts", office.settings, day)
    assert (report.accepted, report.quarantined) == (len(receipts), 0)


def _receipt(office: Office, unit: str, release: int, **wrong: object) -> dict[str, object]:
    [manifest] = office.settings.extracts_dir.glob(f"{unit}/*-{release:06}.manifest.json")
    checkpoint = json.loads(manifest.read_bytes())["checkpoint"]
    from credit_pipeline.audit.log import sha256_hex

    return {
        "unit_id": unit,
        "release_seq": release,
        "manifest_sha256": sha256_hex(manifest.read_bytes()),
        "log_size": checkpoint["size"],
        "log_head": checkpoint["head"],
        "received_date": "2026-11-03",
    } | wrong


def test_ingested_receipts_are_witnesses(office: Office) -> None:
    """Prevents receipts that nobody hears: they show what the lake alone cannot."""
    _deliver(office, date(2026, 11, 4), *(_receipt(office, unit, 2) for unit in UNITS))
    report = office.verify()
    assert report.is_intact and report.outside_witnesses == 3 and report.confirmed_outside == 12
    office.rechain(lambda lines: lines[5]["details"].update(release_seq=7))
    office.sign_anew(office.key)
    office.hand_out_anew()
    kinds = {finding.kind for finding in office.verify().findings}
    assert kinds == {"rewritten", "manifest_replaced"}


def test_a_corrected_or_withdrawn_slip_is_no_witness(office: Office) -> None:
    """Prevents a slip of a unit from standing against the log for ever."""
    slip = _receipt(office, UNITS[0], 2, log_head="ab" * 32)
    other = _receipt(office, UNITS[1], 2, log_size=99)
    _deliver(office, date(2026, 11, 4), slip, other)
    assert {finding.kind for finding in office.verify().findings} == {"rewritten", "truncated"}
    withdrawn = other | {"record_status": "withdrawn", "reported_date": "2026-11-05"}
    corrected = _receipt(office, UNITS[0], 2) | {"record_status": "", "reported_date": ""}
    _deliver(office, date(2026, 11, 5), corrected, withdrawn)
    assert office.verify().findings == ()
    assert [receipt.unit_id for receipt in lake_receipts(office.settings)] == [UNITS[0]]


def test_who_confirmed_what_and_who_is_late(office: Office) -> None:
    """Prevents a release that never reached its unit from going unnoticed."""
    _deliver(
        office,
        date(2026, 11, 4),
        _receipt(office, UNITS[0], 2),
        _receipt(office, UNITS[1], 1),
        _receipt(office, UNITS[1], 2, release_seq=9),
    )
    late = {unit.unit_id: unit for unit in unit_receipts(office.settings, date(2026, 12, 20))}
    done, half, never = (late[unit] for unit in UNITS)
    assert (done.confirmed, done.waiting_since, done.is_overdue) == (2, None, False)
    assert (half.confirmed, half.waiting_since, half.is_overdue) == (1, date(2026, 11, 3), True)
    assert (never.confirmed, never.waiting_since, never.is_overdue) == (0, date(2026, 11, 2), True)
    assert [len(unit.contradictions) for unit in (done, half, never)] == [0, 1, 0]
    assert "does not know" in half.contradictions[0]
    soon = unit_receipts(office.settings, date(2026, 11, 20))
    assert not any(unit.is_overdue for unit in soon)
    assert [unit.published for unit in unit_receipts(office.settings, date(2026, 11, 2))] == [1, 1, 1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"log_size": 99}, "its end was cut off"),
        ({"log_head": "ab" * 32}, "saw another hash at line 12"),
        ({"manifest_sha256": "ab" * 32}, "another manifest"),
    ],
)
def test_a_contradiction_is_said_in_words(office: Office, wrong: dict[str, object], words: str) -> None:
    _deliver(office, date(2026, 11, 4), _receipt(office, UNITS[2], 2, **wrong))
    [unit] = [one for one in unit_receipts(office.settings, date(2026, 11, 4)) if one.contradictions]
    assert unit.unit_id == UNITS[2] and words in unit.contradictions[0]
