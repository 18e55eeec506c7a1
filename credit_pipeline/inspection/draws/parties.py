"""A party of a draw: its keys, its signed commitment, its escrow, its reveal. Pure: bytes in, bytes out.

Here: what one office does by itself with its own 32 secret bytes, and how every other one checks it against the rule.
Not here: where keys and files lie (`credit_pipeline.keys`, `inspection.rounds.files`, `commands.draw`), who the
parties of a plan are (policy table draw_parties).

From one secret follow the signing key (Ed25519), the key that opens escrows (X25519, age) and the reveal of every
round (HMAC), so that an office keeps and backs up one file. An escrow is the reveal, encrypted to the other parties:
none of them can stop or steer a draw by keeping its number back.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from credit_pipeline.audit.log import canonical_json, sha256_hex
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.statements import commitment_statement, signed_bytes
from credit_pipeline.keys import public_key_from_hex

_COMMITMENT_KEYS = {
    "format", "plan_id", "round", "party", "freeze_root", "commitment", "escrow_sha256", "time", "signature",
}  # fmt: skip
_REVEAL_KEYS = {
    "format", "plan_id", "round", "party", "freeze_root", "entropy", "reveal", "signed_by", "signature",
}  # fmt: skip


@dataclass(frozen=True)
class PublicParty:
    """What everybody may know of a party: a row of draw_parties."""

    signing_key: str
    age_recipient: str


class Party:
    """One office and its 32 secret bytes. Nothing of them is printed by `repr`."""

    def __init__(self, name: str, key: bytes) -> None:
        self.name = protocol.checked("party", name, protocol.PARTY_PATTERN)
        if len(key) != 32:
            raise BadInput(f"the key of party {name} has {len(key)} bytes, expected 32")
        self._key = key

    def __repr__(self) -> str:
        return f"Party({self.name!r})"

    def public(self) -> PublicParty:
        """The keys to enter in draw_parties."""
        signing = self._signing_key().public_key().public_bytes_raw().hex()
        return PublicParty(signing, str(self._identity().to_public()))

    def reveal(self, plan_id: str, round_: protocol.Round, freeze_root: str) -> str:
        """The secret number of this round, always the same."""
        return protocol.party_reveal(self._key, plan_id, round_, freeze_root)

    def commit(
        self, rule: Mapping[str, Any], freeze: Mapping[str, Any], time: str
    ) -> tuple[dict[str, Any], bytes | None]:
        """The signed commitment to what was frozen, and the escrow for the other parties (None when alone).

        Raises `IntegrityError` when the rule is not the frozen one or names another key for this party.
        """
        root = checked_freeze(rule, freeze)
        own = party_of(rule, self.name)
        if (own["signing_key"], own["age_recipient"] or None) != (
            self.public().signing_key,
            self.public().age_recipient if own["age_recipient"] else None,
        ):
            raise IntegrityError(
                f"the rule names other keys for {self.name} than the key here: it was made for another key file; "
                "use the key that stands in draw_parties"
            )
        plan_id, round_ = freeze["plan_id"], freeze["round"]
        number = self.reveal(plan_id, round_, root)
        recipients = [one["age_recipient"] for one in rule["parties"] if one["party"] != self.name]
        escrow = None
        if recipients:
            content = canonical_json({"format": "ESCROW1", "reveal": number})
            try:
                keys = [pyrage.x25519.Recipient.from_str(one) for one in recipients]
            except pyrage.RecipientError:
                raise BadInput(
                    "the rule holds a party without a valid age recipient: no escrow can be made; correct "
                    "age_recipient in draw_parties, abort this round and freeze the next"
                ) from None
            escrow = pyrage.encrypt(content, keys)
        statement = commitment_statement(
            plan_id,
            round_,
            self.name,
            freeze_root=root,
            commitment=protocol.commitment(plan_id, round_, self.name, number),
            escrow_sha256=sha256_hex(escrow) if escrow is not None else "",
            time=time,
        )
        signature = self._signing_key().sign(signed_bytes(statement)).hex()
        return statement | {"signature": signature}, escrow

    def reveal_file(
        self,
        rule: Mapping[str, Any],
        freeze: Mapping[str, Any],
        commitment: Mapping[str, Any],
        entropy: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The reveal signed for this entropy. Raises `IntegrityError` unless all of it is of the freeze that this
        party committed to: who changed the frame since gets no reveal.
        """
        root = checked_freeze(rule, freeze)
        verify_commitment(rule, root, commitment)
        self._refuse_early(freeze, entropy)
        number = self.reveal(freeze["plan_id"], freeze["round"], root)
        if (
            protocol.commitment(freeze["plan_id"], freeze["round"], self.name, number)
            != commitment["commitment"]
        ):
            raise IntegrityError(
                f"the commitment of {self.name} was not made with the key here; reveal with the same key file"
            )
        return self.signed_reveal(commitment, entropy["entropy"], number)

    def signed_reveal(self, commitment: Mapping[str, Any], entropy: str, number: str) -> dict[str, Any]:
        """REVEAL1: the number behind a commitment, signed by this party, which saw this entropy and no other.

        SECRET until the draw, CONFIDENTIAL after it.
        """
        statement = {
            "format": "REVEAL1",
            **{key: commitment[key] for key in ("plan_id", "round", "party", "freeze_root")},
            "entropy": entropy,
            "reveal": number,
            "signed_by": self.name,
        }
        return statement | {"signature": self._signing_key().sign(signed_bytes(statement)).hex()}

    def open_escrow(
        self,
        rule: Mapping[str, Any],
        freeze: Mapping[str, Any],
        commitment: Mapping[str, Any],
        escrow: bytes,
        entropy: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The reveal of another party that does not give it, opened from its escrow after the entropy and signed by
        this one.
        """
        root = checked_freeze(rule, freeze)
        verify_commitment(rule, root, commitment, escrow)
        self._refuse_early(freeze, entropy)
        try:
            content = pyrage.decrypt(escrow, [self._identity()])
        except pyrage.DecryptError:
            raise IntegrityError(
                f"the escrow of {commitment['party']} was not made for {self.name}'s key; another party may open it"
            ) from None
        try:
            number = json.loads(content)["reveal"]
        except (ValueError, KeyError, TypeError):
            raise IntegrityError(
                f"the escrow of {commitment['party']} opens, but holds no number: it cannot stand in for that party"
            ) from None
        reveal = self.signed_reveal(commitment, entropy["entropy"], number)
        verify_reveal(rule, commitment, entropy["entropy"], reveal)
        return reveal

    def _refuse_early(self, freeze: Mapping[str, Any], entropy: Mapping[str, Any]) -> None:
        if (
            entropy.get("format") != "ENTROPY1"
            or (entropy.get("plan_id"), entropy.get("round")) != (freeze["plan_id"], freeze["round"])
            or not entropy.get("entropy")
        ):
            raise BadInput(
                f"there is no entropy of plan {freeze['plan_id']}, round {freeze['round']} yet: a reveal before it "
                "would let the draw be known; ask for entropy.json first"
            )

    def _signing_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hmac.digest(self._key, b"SIGN1", "sha256"))

    def _identity(self) -> pyrage.x25519.Identity:
        text = _bech32("age-secret-key-", hmac.digest(self._key, b"ESCROW1", "sha256")).upper()
        return pyrage.x25519.Identity.from_str(text)


def checked_freeze(rule: Mapping[str, Any], freeze: Mapping[str, Any]) -> str:
    """The freeze root. Raises `IntegrityError` unless `rule` is the one that was frozen."""
    if freeze.get("format") != "FREEZE1" or freeze.get("rule_sha256") != protocol.rule_sha256(rule):
        raise IntegrityError(
            "rule.json is not the rule that freeze.json names: both must come from the same round, unchanged"
        )
    return protocol.freeze_root(freeze)


def party_of(rule: Mapping[str, Any], party: str) -> Mapping[str, Any]:
    """The party's entry in the rule."""
    for one in rule["parties"]:
        if one["party"] == party:
            found: Mapping[str, Any] = one
            return found
    names = ", ".join(one["party"] for one in rule["parties"])
    raise BadInput(
        f"{party} is no party of plan {rule['plan_id']}, round {rule['round']}; its parties: {names}"
    )


def verify_commitment(
    rule: Mapping[str, Any],
    freeze_root: str,
    statement: Mapping[str, Any],
    escrow: bytes | None = None,
    *,
    with_escrow: bool = False,
) -> None:
    """Raises unless the statement is a party's own, of this freeze, signed by its key in the rule, with its escrow.

    The escrow is compared when given or asked for `with_escrow`.
    """
    if set(statement) != _COMMITMENT_KEYS or statement["format"] != "COMMITMENT1":
        raise BadInput("not the commitment of a party: its fields are not those of COMMITMENT1")
    name = statement["party"]
    party_of(rule, name)
    where = f"the commitment of {name}"
    if (statement["plan_id"], statement["round"]) != (rule["plan_id"], rule["round"]):
        raise BadInput(
            f"{where} is for plan {statement['plan_id']}, round {statement['round']}, not {rule['plan_id']}, "
            f"round {rule['round']}"
        )
    if statement["freeze_root"] != freeze_root:
        raise IntegrityError(
            f"{where} is to another freeze: give it the rule.json and freeze.json of this round and let it commit anew"
        )
    _verify_signature(rule, name, statement, where)
    commitment_statement(
        statement["plan_id"],
        statement["round"],
        name,
        **{one: statement[one] for one in ("freeze_root", "commitment", "escrow_sha256", "time")},
    )
    has_others = len(rule["parties"]) > 1
    if has_others != bool(statement["escrow_sha256"]):
        raise BadInput(
            f"{where} has {'no' if has_others else 'an'} escrow; a round of several parties needs one each"
        )
    must_compare = escrow is not None or (with_escrow and has_others)
    if must_compare and (escrow is None or sha256_hex(escrow) != statement["escrow_sha256"]):
        raise IntegrityError(
            f"the escrow of {name} is missing or not the one it signed for; import both its files together"
        )


def _verify_signature(rule: Mapping[str, Any], name: str, statement: Mapping[str, Any], where: str) -> None:
    try:
        key = public_key_from_hex(party_of(rule, name)["signing_key"])
        key.verify(bytes.fromhex(statement["signature"]), signed_bytes(statement))
    except (InvalidSignature, ValueError, TypeError):
        raise IntegrityError(
            f"{where} is not signed by the key of {name} in the rule: it was changed or made with another key"
        ) from None


def missing_signers(rule: Mapping[str, Any], signers: set[str]) -> int:
    """How many more parties must sign for the entropy before a draw: with three or more, one alone may not say which
    lottery issue counted by opening everybody's escrow.
    """
    return max(0, (2 if len(rule["parties"]) > 2 else 1) - len(signers))


def verify_reveal(
    rule: Mapping[str, Any], commitment: Mapping[str, Any], entropy: str, reveal: Mapping[str, Any]
) -> None:
    """Raises unless the reveal opens the commitment and is signed for this entropy: by its party, or by the one that
    opened its escrow. The error does not tell the number.
    """
    same = ("plan_id", "round", "party", "freeze_root")
    if set(reveal) != _REVEAL_KEYS or reveal["format"] != "REVEAL1":
        raise BadInput("not the reveal of a party: its fields are not those of REVEAL1")
    if any(reveal[key] != commitment[key] for key in same):
        raise IntegrityError(f"the reveal of {commitment['party']} is of another round or freeze")
    if reveal["entropy"] != entropy:
        raise IntegrityError(
            f"the reveal of {commitment['party']} is signed for {reveal['entropy']}, the entropy of this round is "
            f"{entropy}: find out which of the two was announced before anything else is done"
        )
    _verify_signature(rule, reveal["signed_by"], reveal, f"the reveal of {commitment['party']}")
    found = protocol.commitment(reveal["plan_id"], reveal["round"], reveal["party"], reveal["reveal"])
    if found != commitment["commitment"]:
        raise IntegrityError(
            f"the reveal of {commitment['party']} does not open its commitment; open its escrow instead "
            "(credit-pipeline draw party open-escrow)"
        )


_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _bech32(prefix: str, data: bytes) -> str:
    """BIP 173, as age writes its keys."""
    number = int.from_bytes(data, "big") << (-len(data) * 8 % 5)
    count = -(-len(data) * 8 // 5)
    values = [number >> 5 * place & 31 for place in reversed(range(count))]
    expanded = [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix]
    checksum = _polymod([*expanded, *values, 0, 0, 0, 0, 0, 0]) ^ 1
    return (
        prefix
        + "1"
        + "".join(
            _BECH32[one] for one in [*values, *(checksum >> 5 * place & 31 for place in range(5, -1, -1))]
        )
    )


def _polymod(values: list[int]) -> int:
    total = 1
    for value in values:
        top = total >> 25
        total = (total & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            total ^= generator if top >> bit & 1 else 0
    return total
