"""The primitives of the draw: what is hashed, in which bytes. Standard library only, so that a verifier can
copy it.

Here: field rules, frame leaves and their Merkle root, commitments, seed, tickets, quota rounding, party
reveals. Not here: tables, SQL, files and states (`inspection.draw`), who inspects whom
(`inspection.assignment`).

Every message is ASCII or UTF-8 text of fields joined by '|', beginning with a label that no other message
has. No field may hold '|' or a control character, so two different lists of fields never give the same bytes.
Hashes are lower-case hexadecimal. Sources: RFC 6962 (tree), RFC 2104 (HMAC), RFC 3797 (public random
selection), draft-thomson-elegy-vrs-00.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from credit_pipeline.errors import BadInput, IntegrityError

UNIT_PATTERN = "[0-9A-Z]{1,12}"
USCC_PATTERN = "[0-9A-HJ-NPQRTUWXY]{18}"
GRADE_PATTERN = "[A-E]"
REASON_PATTERN = r"[^|\x00-\x1f\x7f]{0,200}"
PLAN_PATTERN = "[0-9A-Za-z][0-9A-Za-z_-]{0,63}"
ROUND_PATTERN = "[0-9A-Za-z][0-9A-Za-z_-]{0,31}"
PARTY_PATTERN = "[a-z][a-z0-9_]{0,31}"
INSPECTOR_PATTERN = r"[^|;:,\s\x00-\x1f\x7f]{1,64}"
ENTROPY_PATTERN = r"[0-9A-Za-z:._;/+=-]{1,512}"
HASH_PATTERN = "[0-9a-f]{64}"

NO_ENTROPY = "NONE"
MINIMUM_PARTIES = 3
SALT_BYTES = 16

Round = int | str
Rounding = Literal["ceil", "half_up", "floor"]


def checked(label: str, value: str, pattern: str) -> str:
    """`value` if the whole of it matches `pattern`; `BadInput` naming `label` otherwise."""
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise BadInput(f"{label} {value!r} is not of the form {pattern}")
    return value


def round_text(round_: Round) -> str:
    """The text of a round in messages and folder names: the decimal number, or the text itself."""
    if isinstance(round_, bool) or (isinstance(round_, int) and round_ < 1):
        raise BadInput(f"round {round_!r}: rounds are counted from 1")
    return checked("round", str(round_), ROUND_PATTERN)


def _plan_and_round(plan_id: str, round_: Round) -> str:
    return f"{checked('plan_id', plan_id, PLAN_PATTERN)}|{round_text(round_)}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


# --- frame --------------------------------------------------------------------------------------------------


def frame_leaf(unit_id: str, uscc: str, grade: str, excluded_reason: str) -> bytes:
    """One line of the frame. `excluded_reason` is '' for an eligible enterprise; excluded ones stay in the
    frame.
    """
    checked("unit_id", unit_id, UNIT_PATTERN)
    checked("uscc", uscc, USCC_PATTERN)
    checked("grade", grade, GRADE_PATTERN)
    checked("excluded_reason", excluded_reason, REASON_PATTERN)
    return frame_line(unit_id, uscc, grade, excluded_reason)


def frame_line(unit_id: str, uscc: str, grade: str, excluded_reason: str) -> bytes:
    """`frame_leaf` for fields that were checked already, for a million rows."""
    return f"FRAME1|{unit_id}|{uscc}|{grade}|{excluded_reason}".encode()


def leaf_salt(frame_salt: bytes, uscc: str) -> bytes:
    """16 bytes only the holder of the salt knows: without them a sibling hash tells which of five grades
    is in a leaf.
    """
    return _hmac(frame_salt, uscc)[:SALT_BYTES]


class MerkleTree:
    """RFC 6962 tree head over leaves added one at a time, holding one hash per level (20 for a million
    leaves).
    """

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        node, level = hashlib.sha256(b"\x00" + leaf).digest(), 0
        while self._peaks and self._peaks[-1][0] == level:
            node = hashlib.sha256(b"\x01" + self._peaks.pop()[1] + node).digest()
            level += 1
        self._peaks.append((level, node))
        self.size += 1

    def root(self) -> str:
        """The head over all leaves so far; SHA-256 of nothing for none. More leaves may follow."""
        if not self._peaks:
            return hashlib.sha256(b"").hexdigest()
        node = self._peaks[-1][1]
        for _, left in reversed(self._peaks[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node.hex()


def merkle_root(leaves: Iterable[bytes]) -> str:
    tree = MerkleTree()
    for leaf in leaves:
        tree.add(leaf)
    return tree.root()


# --- secrets, commitments, seed -----------------------------------------------------------------------------


def party_reveal(party_key: bytes, plan_id: str, round_: Round) -> str:
    """The secret number of a party for a round: always the same, so that a re-run after a crash draws the
    same.

    Nobody without the 32 key bytes can tell it before the party reveals it.
    """
    return _hmac(_long_key(party_key), f"REVEAL1|{_plan_and_round(plan_id, round_)}").hex()


def round_salt(party_key: bytes, plan_id: str, round_: Round) -> bytes:
    """The frame salt of a round, 32 bytes. It may be opened to an auditor without opening the party's key."""
    return _hmac(_long_key(party_key), f"SALT1|{_plan_and_round(plan_id, round_)}")


def _long_key(key: bytes) -> bytes:
    if len(key) < 32:
        raise BadInput(f"a party key has 32 random bytes, this one {len(key)}")
    return key


def commitment(plan_id: str, round_: Round, party: str, reveal: str) -> str:
    """What a party publishes before the entropy is known: SHA-256("COMMIT1|plan|round|party|reveal")."""
    checked("party", party, PARTY_PATTERN)
    if not isinstance(reveal, str) or not re.fullmatch(HASH_PATTERN, reveal):
        raise BadInput(f"the reveal of {party} is not 64 lower-case hexadecimal digits")
    return _sha256(f"COMMIT1|{_plan_and_round(plan_id, round_)}|{party}|{reveal}")


def draw_seed(
    plan_id: str,
    round_: Round,
    *,
    frame_root: str,
    commitments: Sequence[tuple[str, str]],
    reveals: Mapping[str, str],
    entropy: str,
) -> str:
    """The seed of a draw, 64 hexadecimal digits. CONFIDENTIAL: with it anyone can bound an enterprise's
    grade.

    HMAC-SHA256 with key SHA-256("r_1|..|r_n") over "SEED1|plan|round|frame_root|c_1,..,c_n|entropy", the
    parties in the order of `commitments` (party, commitment). Raises `IntegrityError` if a reveal does not
    open its commitment.
    """
    parties = [party for party, _ in commitments]
    if not parties or len(set(parties)) != len(parties):
        raise BadInput("a draw needs at least one party, and each party once")
    if set(parties) != set(reveals):
        missing, extra = sorted(set(parties) - set(reveals)), sorted(set(reveals) - set(parties))
        raise BadInput(
            f"reveals do not match the committed parties: missing {missing}, not committed {extra}"
        )
    for party, committed in commitments:
        if not hmac.compare_digest(commitment(plan_id, round_, party, reveals[party]), committed):
            raise IntegrityError(f"the reveal of {party} does not open its commitment: no draw from it")
    checked("frame_root", frame_root, HASH_PATTERN)
    checked("entropy", entropy, ENTROPY_PATTERN)
    key = hashlib.sha256("|".join(reveals[party] for party in parties).encode()).digest()
    listed = ",".join(committed for _, committed in commitments)
    return _hmac(key, f"SEED1|{_plan_and_round(plan_id, round_)}|{frame_root}|{listed}|{entropy}").hex()


def checked_seed(seed: str) -> str:
    """`seed`, or `BadInput` that does not repeat it."""
    if not isinstance(seed, str) or not re.fullmatch(HASH_PATTERN, seed):
        raise BadInput("a seed is 64 lower-case hexadecimal digits")
    return seed


def seed_commitment(seed: str) -> str:
    """What may be published of the seed, so that all holders know they have the same:
    SHA-256("SEEDC1|seed").
    """
    return _sha256(f"SEEDC1|{checked_seed(seed)}")


# --- order --------------------------------------------------------------------------------------------------


def ticket(seed: str, unit_id: str, uscc: str) -> str:
    """The enterprise's place in its unit's draw, ascending; ties by uscc. The grade is not in it: luck has
    no grade.
    """
    return _sha256(f"DRAW1|{seed}|{unit_id}|{uscc}")


def enterprise_order(seed: str, unit_id: str, uscc: str) -> str:
    """The order in which a unit's drawn enterprises get their inspectors."""
    return _sha256(f"FIRM1|{seed}|{unit_id}|{uscc}")


def candidate_order(seed: str, uscc: str, inspector_id: str) -> str:
    """The order in which inspectors are tried for an enterprise."""
    return _sha256(f"ASSIGN1|{seed}|{uscc}|{inspector_id}")


def quota(stratum_size: int, ratio_bp: int, rounding: Rounding) -> int:
    """How many of `stratum_size` to draw at `ratio_bp` basis points (500 = 5 %), in integers.

    `ceil` never gives 0 to a cell with a ratio, `half_up` rounds one half up, `floor` down.
    """
    if stratum_size < 0 or not 0 <= ratio_bp <= 10_000:
        raise BadInput(
            f"quota of {stratum_size} at {ratio_bp} bp: sizes are from 0, ratios from 0 to 10000 bp"
        )
    product = stratum_size * ratio_bp
    if rounding == "ceil":
        return -(-product // 10_000)
    if rounding == "half_up":
        return (product + 5_000) // 10_000
    if rounding == "floor":
        return product // 10_000
    raise BadInput(f"rounding {rounding!r}: expected ceil, half_up or floor")


# --- what a draw cannot prove -------------------------------------------------------------------------------


def missing_assurances(parties: Sequence[str], entropy: str) -> list[str]:
    """Plain sentences on what this draw does not prove, for its record and its printed minutes. Empty if
    all is there.
    """
    found: list[str] = []
    if len(parties) == 1:
        found.append(
            f"One party only ({parties[0]}): whoever reads its key can know this draw before it is made, "
            "and could "
            "choose among frames or plans until the result suits."
        )
    elif len(parties) < MINIMUM_PARTIES:
        found.append(
            f"{len(parties)} parties only: if they agree among themselves they can know this draw before it "
            "is made; "
            f"{MINIMUM_PARTIES} from different offices are recommended."
        )
    if entropy == NO_ENTROPY:
        found.append(
            "No public entropy: nothing that nobody could know beforehand, such as a later lottery issue, "
            "went into "
            "the seed, so the result was fixed by the parties' secrets and the frozen frame."
        )
    return found
