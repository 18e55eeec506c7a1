"""What a party signs, hides and opens, and that nobody else's will do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from round_support import PLAN, ROUND, City

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.parties import Party, verify_commitment, verify_reveal
from credit_pipeline.inspection.draws.statements import entropy_statement

TIME = "2026-03-02T03:00:00Z"


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[City, dict[str, Any], dict[str, Any]]:
    root: Path = tmp_path_factory.mktemp("parties")
    town = City(root, parties=("credit_office", "audit_office", "justice_office"), source="KL8")
    town.run()
    store = town.office().store
    return town, store.statement(PLAN, ROUND, "rule"), store.statement(PLAN, ROUND, "freeze")


@given(st.binary(min_size=32, max_size=32))
def test_the_derived_age_key_is_one(key: bytes) -> None:
    """A wrong checksum or bit order would make an escrow that nobody can open."""
    party = Party("a", key)
    sealed = pyrage.encrypt(b"x", [pyrage.x25519.Recipient.from_str(party.public().age_recipient)])
    assert pyrage.decrypt(sealed, [party._identity()]) == b"x"


def test_a_commitment_is_bound_to_freeze_party_and_escrow(frozen: Any) -> None:
    town, rule, freeze = frozen
    root = protocol.freeze_root(freeze)
    statement, escrow = town.party("audit_office").commit(rule, freeze, TIME)
    verify_commitment(rule, root, statement, escrow, with_escrow=True)
    other, other_escrow = town.party("justice_office").commit(rule, freeze, TIME)
    for change in (
        {"commitment": other["commitment"]},
        {"party": "justice_office"},
        {"time": "2026-03-01T03:00:00Z"},
        {"escrow_sha256": other["escrow_sha256"]},
        {"signature": other["signature"]},
        {"signature": "no"},
    ):
        with pytest.raises(IntegrityError, match="not signed by the key"):
            verify_commitment(rule, root, statement | change)
    with pytest.raises(IntegrityError, match="another freeze"):
        verify_commitment(rule, "0" * 64, statement)
    with pytest.raises(BadInput, match="is for plan"):
        verify_commitment(rule, root, statement | {"round": 2})
    with pytest.raises(BadInput, match="no party of plan"):
        verify_commitment(rule, root, statement | {"party": "stranger"})
    for wrong in (other_escrow, None):
        with pytest.raises(IntegrityError, match="escrow of audit_office is missing or not"):
            verify_commitment(rule, root, statement, wrong, with_escrow=True)
    with pytest.raises(BadInput, match="fields"):
        verify_commitment(rule, root, {})


def test_who_is_not_the_party_cannot_commit_for_it(frozen: Any) -> None:
    _, rule, freeze = frozen
    with pytest.raises(IntegrityError, match="names other keys"):
        Party("audit_office", b"x" * 32).commit(rule, freeze, TIME)


def test_a_rule_that_was_not_frozen_gets_no_commitment(frozen: Any) -> None:
    """The party signs what it read, not what the office keeps."""
    town, rule, freeze = frozen
    with pytest.raises(IntegrityError, match=r"not the rule that freeze\.json names"):
        town.party("audit_office").commit(rule | {"title": "other"}, freeze, TIME)


def test_every_other_party_opens_an_escrow_and_nobody_else(frozen: Any) -> None:
    town, rule, freeze = frozen
    statement, escrow = town.party("audit_office").commit(rule, freeze, TIME)
    entropy = entropy_statement(PLAN, ROUND, [], "KL8:2026063:01")
    own = town.party("audit_office").reveal_file(rule, freeze, statement, entropy)
    assert own["signed_by"] == own["party"] == "audit_office"
    for opener in (town.party("justice_office"), town.office().party()):
        found = opener.open_escrow(rule, freeze, statement, escrow, entropy)
        verify_reveal(rule, statement, entropy["entropy"], found)
        assert found["signed_by"] == opener.name
        assert found["signature"] != own["signature"]
        assert {**found, "signed_by": "", "signature": ""} == {**own, "signed_by": "", "signature": ""}
    for stranger in (town.party("audit_office"), Party("stranger", b"x" * 32)):
        with pytest.raises(IntegrityError, match="was not made for"):
            stranger.open_escrow(rule, freeze, statement, escrow, entropy)
    for early in ({}, entropy | {"round": 2}, entropy | {"entropy": ""}):
        with pytest.raises(BadInput, match="there is no entropy"):
            town.party("justice_office").open_escrow(rule, freeze, statement, escrow, early)


def test_a_party_reveals_only_for_the_freeze_it_committed_to(frozen: Any) -> None:
    """Whoever changes the frame after the commitments gets no reveal for it."""
    town, rule, freeze = frozen
    party = town.party("audit_office")
    statement, _ = party.commit(rule, freeze, TIME)
    entropy = entropy_statement(PLAN, ROUND, [], "KL8:2026063:01")
    with pytest.raises(IntegrityError, match="another freeze"):
        party.reveal_file(rule, freeze | {"frame_size": 1}, statement, entropy)
    with pytest.raises(IntegrityError, match="same key file"):
        Party("audit_office", b"x" * 32).reveal_file(rule, freeze, statement, entropy)


def test_a_wrong_reveal_is_refused_without_being_told(frozen: Any) -> None:
    town, rule, freeze = frozen
    party = town.party("audit_office")
    statement, _ = party.commit(rule, freeze, TIME)
    reveal = party.reveal_file(rule, freeze, statement, entropy_statement(PLAN, ROUND, [], "NONE"))
    verify_reveal(rule, statement, "NONE", reveal)
    with pytest.raises(IntegrityError, match="open its escrow") as caught:
        verify_reveal(rule, statement, "NONE", party.signed_reveal(statement, "NONE", "ab" * 32))
    assert "abab" not in str(caught.value)
    for change in ({"reveal": "ab" * 32}, {"signed_by": "justice_office"}, {"signature": "00"}):
        with pytest.raises(IntegrityError, match="not signed by the key"):
            verify_reveal(rule, statement, "NONE", reveal | change)
    with pytest.raises(IntegrityError, match="another round"):
        verify_reveal(rule, statement, "NONE", reveal | {"round": 2})
    for strange in ({"reveal": "x"}, {key: value for key, value in reveal.items() if key != "signature"}):
        with pytest.raises(BadInput, match="fields"):
            verify_reveal(rule, statement, "NONE", strange)


def test_a_reveal_is_for_one_entropy(frozen: Any) -> None:
    """Who has all numbers could otherwise try lottery issues until the draw suits."""
    town, rule, freeze = frozen
    party = town.party("audit_office")
    statement, _ = party.commit(rule, freeze, TIME)
    reveal = party.reveal_file(rule, freeze, statement, entropy_statement(PLAN, ROUND, [], "KL8:2026063:01"))
    with pytest.raises(
        IntegrityError, match="is signed for KL8:2026063:01, the entropy of this round is KL8:2026064:02"
    ):
        verify_reveal(rule, statement, "KL8:2026064:02", reveal)
    with pytest.raises(IntegrityError, match="not signed by the key of audit_office"):
        verify_reveal(rule, statement, "KL8:2026064:02", reveal | {"entropy": "KL8:2026064:02"})
