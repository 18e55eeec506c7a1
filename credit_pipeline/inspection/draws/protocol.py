"""The primitives of the draw: what is hashed, in which bytes. Nothing but hashing, so that a verifier can copy
it; `docs/draw-format.md` tells a stranger the same in prose.

Here: field rules, the leaves of frame, quotas and roster and their Merkle roots, the freeze statement,
commitments, seed, tickets, quota arithmetic. Not here: tables, SQL (`inspection.draws.draw`), files and states
(`inspection.rounds.store`), keys and signatures of parties (`inspection.draws.parties`), who inspects whom
(`inspection.teams.assignment`).

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
from typing import Any, Literal

from credit_pipeline.audit.log import canonical_json
from credit_pipeline.errors import BadInput, IntegrityError

UNIT_PATTERN = "[0-9A-Z]{1,12}"
USCC_PATTERN = "[0-9A-HJ-NPQRTUWXY]{18}"
GRADE_PATTERN = "[A-E]"
REASON_PATTERN = r"[^|\x00-\x1f\x7f]{0,200}"
PLAN_PATTERN = "[0-9A-Za-z][0-9A-Za-z_-]{0,63}"
ROUND_PATTERN = "[0-9A-Za-z][0-9A-Za-z_-]{0,31}"
PARTY_PATTERN = "[a-z][a-z0-9_]{0,31}"
ITEM_PATTERN = "[0-9A-Z][0-9A-Z_-]{0,31}"
REGION_PATTERN = "[0-9]{0,12}"
SKILLS_PATTERN = r"[^|\x00-\x1f\x7f]{0,400}"
INSPECTOR_PATTERN = r"[^|;:,\s\x00-\x1f\x7f]{1,64}"
ENTROPY_PATTERN = r"[0-9A-Za-z:._;/+=-]{1,512}"
HASH_PATTERN = "[0-9a-f]{64}"

NO_ENTROPY = "NONE"
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


# --- frame, quotas, roster ----------------------------------------------------------------------------------


def frame_leaf(
    unit_id: str,
    item_code: str,
    uscc: str,
    grade: str,
    region: str,
    is_safety_related: bool,
    excluded_reason: str,
) -> bytes:
    """One line of the frame. `excluded_reason` is '' for an eligible enterprise; excluded ones stay in the
    frame. `region` is '' when it is not known.
    """
    checked("unit_id", unit_id, UNIT_PATTERN)
    checked("item_code", item_code, ITEM_PATTERN)
    checked("uscc", uscc, USCC_PATTERN)
    checked("grade", grade, GRADE_PATTERN)
    checked("region", region, REGION_PATTERN)
    checked("excluded_reason", excluded_reason, REASON_PATTERN)
    return frame_line(unit_id, item_code, uscc, grade, region, is_safety_related, excluded_reason)


def frame_line(
    unit_id: str,
    item_code: str,
    uscc: str,
    grade: str,
    region: str,
    is_safety_related: bool,
    excluded_reason: str,
) -> bytes:
    """`frame_leaf` for fields that were checked already, for a million rows."""
    safety = "1" if is_safety_related else "0"
    return f"FRAME1|{unit_id}|{item_code}|{uscc}|{grade}|{region}|{safety}|{excluded_reason}".encode()


def quota_leaf(
    unit_id: str,
    item_code: str,
    grade: str,
    stratum_size: int,
    drawn_before: int,
    ratio_bp: int,
    rounds_due: int,
    rounds_per_year: int,
    rounding: str,
    target: int,
    quota: int,
) -> bytes:
    """One line of the quotas: the whole arithmetic of a stratum."""
    checked("unit_id", unit_id, UNIT_PATTERN)
    checked("item_code", item_code, ITEM_PATTERN)
    checked("grade", grade, GRADE_PATTERN)
    numbers = f"{stratum_size}|{drawn_before}|{ratio_bp}|{rounds_due}|{rounds_per_year}"
    return f"QUOTA1|{unit_id}|{item_code}|{grade}|{numbers}|{rounding}|{target}|{quota}".encode()


def roster_leaf(
    unit_id: str, inspector_id: str, is_leader: bool, region_prefix: str, skills: str, excluded_reason: str
) -> bytes:
    """One inspector of a roster: `skills` sorted and joined by '+', `region_prefix` '' for the whole city."""
    checked("unit_id", unit_id, UNIT_PATTERN)
    checked("inspector_id", inspector_id, INSPECTOR_PATTERN)
    checked("region_prefix", region_prefix, REGION_PATTERN)
    checked("skills", skills, SKILLS_PATTERN)
    checked("excluded_reason", excluded_reason, REASON_PATTERN)
    leader = "1" if is_leader else "0"
    return f"ROSTER1|{unit_id}|{inspector_id}|{leader}|{region_prefix}|{skills}|{excluded_reason}".encode()


def recusal_leaf(inspector_id: str, uscc: str, reason: str) -> bytes:
    """One pair of inspector and enterprise that may not meet."""
    checked("inspector_id", inspector_id, INSPECTOR_PATTERN)
    checked("uscc", uscc, USCC_PATTERN)
    checked("reason", reason, REASON_PATTERN)
    return f"RECUSAL1|{inspector_id}|{uscc}|{reason}".encode()


def leaf_salt(frame_salt: bytes, *key: str) -> bytes:
    """16 bytes only the holder of the salt knows: without them a sibling hash tells which of five grades is
    in a leaf.

    `key`: (unit_id, item_code, uscc) of the frame, ("QUOTA", unit_id, item_code, grade), ("ROSTER", unit_id,
    inspector_id), ("RECUSAL", inspector_id, uscc).
    """
    return _hmac(frame_salt, "|".join(key))[:SALT_BYTES]


def roster_root(frame_salt: bytes, roster: Iterable[Sequence[Any]], recusals: Iterable[Sequence[str]]) -> str:
    """One root over the roster by (unit_id, inspector_id), then the recusals by (inspector_id, uscc).

    `roster`: the arguments of `roster_leaf`; `recusals`: those of `recusal_leaf`. Text is sorted bytewise.
    """
    tree = MerkleTree()
    for row in sorted(roster, key=lambda one: (one[0].encode(), one[1].encode())):
        tree.add(leaf_salt(frame_salt, "ROSTER", row[0], row[1]) + roster_leaf(*row))
    for pair in sorted(recusals, key=lambda one: (one[0].encode(), one[1].encode())):
        tree.add(leaf_salt(frame_salt, "RECUSAL", pair[0], pair[1]) + recusal_leaf(*pair))
    return tree.root()


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


# --- freeze -------------------------------------------------------------------------------------------------


def rule_sha256(rule: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a round's rule, which is published."""
    return hashlib.sha256(canonical_json(rule)).hexdigest()


def freeze_statement(
    plan_id: str,
    round_: Round,
    *,
    frozen_date: str,
    frame_root: str,
    frame_size: int,
    eligible_count: int,
    unit_sizes: Mapping[str, int],
    quotas_root: str,
    roster_root: str,
    rule_sha256: str,
) -> dict[str, Any]:
    """What stands from the freeze on: everything the draw is made from, by root or digest. Publishable."""
    _plan_and_round(plan_id, round_)
    for value in (frame_root, quotas_root, roster_root, rule_sha256):
        checked("root or digest", value, HASH_PATTERN)
    return {
        "format": "FREEZE1",
        "plan_id": plan_id,
        "round": round_,
        "frozen_date": checked("frozen_date", frozen_date, "[0-9]{4}-[0-9]{2}-[0-9]{2}"),
        "frame_root": frame_root,
        "frame_size": frame_size,
        "eligible_count": eligible_count,
        "unit_sizes": dict(unit_sizes),
        "quotas_root": quotas_root,
        "roster_root": roster_root,
        "rule_sha256": rule_sha256,
    }


def freeze_root(statement: Mapping[str, Any]) -> str:
    """SHA-256("FREEZE1|" + canonical JSON of the freeze statement): one number that binds the whole round."""
    return hashlib.sha256(b"FREEZE1|" + canonical_json(statement)).hexdigest()


# --- secrets, commitments, seed -----------------------------------------------------------------------------


def party_reveal(party_key: bytes, plan_id: str, round_: Round, freeze_root: str) -> str:
    """The secret number of a party for a round: always the same, so that a re-run after a crash draws the
    same.

    Nobody without the 32 key bytes can tell it before the party reveals it. What was frozen goes into it, so
    that a rehearsal on another frame tells nothing about the real draw.
    """
    checked("freeze_root", freeze_root, HASH_PATTERN)
    return _hmac(_long_key(party_key), f"REVEAL1|{_plan_and_round(plan_id, round_)}|{freeze_root}").hex()


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
    if not isinstance(reveal, str) or not re.fullmatch(HASH_PATTERN, reveal):  # never repeated in the error
        raise BadInput(f"the reveal of {party} is not 64 lower-case hexadecimal digits")
    return _sha256(f"COMMIT1|{_plan_and_round(plan_id, round_)}|{party}|{reveal}")


def draw_seed(
    plan_id: str,
    round_: Round,
    *,
    freeze_root: str,
    commitments: Sequence[tuple[str, str]],
    reveals: Mapping[str, str],
    entropy: str,
) -> str:
    """The seed of a draw, 64 hexadecimal digits. CONFIDENTIAL: with it anyone can bound an enterprise's
    grade.

    HMAC-SHA256 with key SHA-256("r_1|..|r_n") over "SEED1|plan|round|freeze_root|c_1,..,c_n|entropy", the
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
    checked("freeze_root", freeze_root, HASH_PATTERN)
    checked("entropy", entropy, ENTROPY_PATTERN)
    key = hashlib.sha256("|".join(reveals[party] for party in parties).encode()).digest()
    listed = ",".join(committed for _, committed in commitments)
    return _hmac(key, f"SEED1|{_plan_and_round(plan_id, round_)}|{freeze_root}|{listed}|{entropy}").hex()


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


def quota_target(
    stratum_size: int,
    drawn_before: int,
    ratio_bp: int,
    rounds_due: int,
    rounds_per_year: int,
    rounding: Rounding,
) -> int:
    """How many of a stratum are to be drawn in the year up to this round, in whole numbers.

    round((stratum_size + drawn_before) x ratio_bp x rounds_due / (10000 x rounds_per_year)). `ceil` never
    gives 0 to a cell with a ratio, `half_up` rounds one half up, `floor` down.
    """
    if min(stratum_size, drawn_before) < 0 or not 0 <= ratio_bp <= 10_000:
        raise BadInput(
            f"quota of {stratum_size} at {ratio_bp} bp: sizes are from 0, ratios from 0 to 10000 bp"
        )
    if not 1 <= rounds_due <= rounds_per_year:
        raise BadInput(
            f"round {rounds_due} of {rounds_per_year} in the year: expected 1 to {rounds_per_year}"
        )
    product, divisor = (stratum_size + drawn_before) * ratio_bp * rounds_due, 10_000 * rounds_per_year
    if rounding == "ceil":
        return -(-product // divisor)
    if rounding == "half_up":
        return (2 * product + divisor) // (2 * divisor)
    if rounding == "floor":
        return product // divisor
    raise BadInput(f"rounding {rounding!r}: expected ceil, half_up or floor")


def quota(
    stratum_size: int,
    ratio_bp: int,
    rounding: Rounding,
    *,
    drawn_before: int = 0,
    rounds_due: int = 1,
    rounds_per_year: int = 1,
) -> int:
    """How many of `stratum_size` to draw in this round: the target of the year so far less what was drawn
    before, never below 0 or above the stratum.
    """
    target = quota_target(stratum_size, drawn_before, ratio_bp, rounds_due, rounds_per_year, rounding)
    return min(max(target - drawn_before, 0), stratum_size)
