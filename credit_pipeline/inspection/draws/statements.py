"""The statements of a round as JSON: who says what when. Published or handed over, never holding a reveal or a grade.

Here: their exact fields, their signed bytes, and what a draw of given parties and entropy does not prove. Not here:
the freeze statement and its root (`inspection.draws.protocol`), keys and signatures (`inspection.draws.parties`), the choice of
the lottery issue (`inspection.draws.entropy`), files (`inspection.rounds.store`).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from credit_pipeline.audit.log import canonical_json
from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.protocol import NO_ENTROPY, Round

MINIMUM_PARTIES = 3
APPROVERS_OF_TOP_UP = 2
APPROVERS_OF_REPLACEMENT = 2
LATE_REASONS = ("relative", "former_employer", "shareholding", "other")
"""Why an inspector may leave a visit after the assignment: the relations of the feed recusals."""
HIDDEN = ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp")
"""Categories of Unicode that print nothing."""
_TEXT = r"[^\x00-\x1f\x7f]{1,200}"
_TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"


def commitment_statement(
    plan_id: str,
    round_: Round,
    party: str,
    *,
    freeze_root: str,
    commitment: str,
    escrow_sha256: str,
    time: str,
) -> dict[str, Any]:
    """COMMITMENT1: "I have seen this freeze and chosen my number". `escrow_sha256` is '' without other parties."""
    protocol.checked("commitment", commitment, protocol.HASH_PATTERN)
    protocol.checked("escrow_sha256", escrow_sha256, f"({protocol.HASH_PATTERN})?")
    return {
        "format": "COMMITMENT1",
        "plan_id": plan_id,
        "round": round_,
        "party": protocol.checked("party", party, protocol.PARTY_PATTERN),
        "freeze_root": protocol.checked("freeze_root", freeze_root, protocol.HASH_PATTERN),
        "commitment": commitment,
        "escrow_sha256": escrow_sha256,
        "time": protocol.checked("time", time, _TIME),
    }


def signed_bytes(statement: Mapping[str, Any]) -> bytes:
    """What a signature covers: the format, '|', the canonical JSON of the statement without its signature."""
    content = {key: value for key, value in statement.items() if key != "signature"}
    return f"{content['format']}|".encode() + canonical_json(content)


def entropy_statement(
    plan_id: str, round_: Round, announcements: Sequence[Mapping[str, str]], entropy: str
) -> dict[str, Any]:
    """ENTROPY1: the public number and where it was announced ({source, issue, announced_date, numbers}, in order)."""
    return {
        "format": "ENTROPY1",
        "plan_id": plan_id,
        "round": round_,
        "announcements": [dict(one) for one in announcements],
        "entropy": protocol.checked("entropy", entropy, protocol.ENTROPY_PATTERN),
    }


def top_up_statement(
    number: int,
    *,
    unit_id: str,
    uscc: str,
    reason: str,
    event_id: str,
    event_date: str,
    approvers: Sequence[str],
) -> dict[str, Any]:
    """TOPUP1: this drawn enterprise cannot be inspected; in each cell in which it was drawn the next rank takes its
    place. `event_id` names the entry of the register that says so.
    """
    names = different(approvers)
    if len(names) != APPROVERS_OF_TOP_UP:
        raise BadInput(f"a top-up needs {APPROVERS_OF_TOP_UP} different approvers, not {len(names)}")
    return {
        "format": "TOPUP1",
        "number": number,
        "unit_id": protocol.checked("unit_id", unit_id, protocol.UNIT_PATTERN),
        "uscc": protocol.checked("uscc", uscc, protocol.USCC_PATTERN),
        "reason": protocol.checked("reason", reason, "[a-z][a-z0-9_]{0,31}"),
        "event_id": _visible("event id", event_id),
        "event_date": checked_date("event date", event_date).isoformat(),
        "approvers": names,
    }


def replacement_statement(
    number: int,
    *,
    unit_id: str,
    uscc: str,
    inspector_id: str,
    reason: str,
    declared_date: str,
    approvers: Sequence[str],
    replaced_by: str,
) -> dict[str, Any]:
    """REPLACED1: a recusal declared after the assignment; the next lawful inspector in that enterprise's order goes."""
    names = different(approvers)
    if len(names) != APPROVERS_OF_REPLACEMENT:
        raise BadInput(
            f"replacing an inspector needs {APPROVERS_OF_REPLACEMENT} different approvers, not {len(names)}"
        )
    return {
        "format": "REPLACED1",
        "number": number,
        "unit_id": protocol.checked("unit_id", unit_id, protocol.UNIT_PATTERN),
        "uscc": protocol.checked("uscc", uscc, protocol.USCC_PATTERN),
        "inspector_id": protocol.checked("inspector_id", inspector_id, protocol.INSPECTOR_PATTERN),
        "reason": protocol.checked("reason", reason, r"[^|\x00-\x1f\x7f]{1,200}"),
        "declared_date": checked_date("declared date", declared_date).isoformat(),
        "approvers": names,
        "replaced_by": protocol.checked("replaced_by", replaced_by, protocol.INSPECTOR_PATTERN),
    }


def late_reason(reason: str, document_no: str) -> str:
    """The reason of a REPLACED1, with the document that declares it: "relative (桐文〔2026〕3号)"."""
    if reason not in LATE_REASONS:
        raise BadInput(f"reason {reason!r}: one of {', '.join(LATE_REASONS)}")
    return f"{reason} ({_visible('document', document_no.strip())})"


def different(approvers: Sequence[str]) -> list[str]:
    """The approvers, each once whatever the blanks and capitals, sorted."""
    found = {
        name.strip().casefold(): name.strip() for name in sorted(approvers, reverse=True) if name.strip()
    }
    return sorted(_visible("approver", name) for name in found.values())


def _visible(label: str, text: str) -> str:
    """A text in which everything can be seen: otherwise one person signs under two names that look the same."""
    protocol.checked(label, text, _TEXT)
    hidden = [one for one in text if unicodedata.category(one) in HIDDEN]
    if hidden or not text.strip():
        raise BadInput(
            f"{label} {text!a}: nothing but blanks, or an invisible character in it; write it by hand instead of "
            "copying it"
        )
    return text


def checked_date(label: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except (ValueError, TypeError):
        raise BadInput(f"{label} {text!r}: write a day as YYYY-MM-DD") from None


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
