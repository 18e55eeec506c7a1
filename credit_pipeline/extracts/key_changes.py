"""Changes of keys that the audit log must know: adding, rotating, revoking, and what a first run makes by itself.

Here: one function per change, the event first and the change after it: a crash between leaves a word too many in the
log, never a key that nobody wrote down. Not here: where keys lie (`credit_pipeline.keys`), the commands.
"""

from __future__ import annotations

from typing import Any

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.errors import BadInput
from credit_pipeline.keys import KeyStore, public_key_id
from credit_pipeline.keys.age import recipient_key_id
from credit_pipeline.keys.handover import rotate_signing_key
from credit_pipeline.keys.recipients import ESCROW, Entry, Register


def ensure_escrow(keys: KeyStore, audit: AuditLog, run_id: str | None = None) -> None:
    """Makes and registers the escrow's key on this machine if none is active, so that the first run works at once."""
    register = Register(keys)
    if not register.active(ESCROW):
        recipient = register.make_escrow_identity()
        add_key(keys, audit, ESCROW, recipient, "made on this machine", run_id)


def add_key(
    keys: KeyStore, audit: AuditLog, unit: str, recipient: str, note: str = "", run_id: str | None = None
) -> Entry:
    """Registers one more public key of a unit; the next release is wrapped for it too."""
    register = Register(keys)
    recipient = register.check_addition(unit, recipient)
    audit.append("key_added", "extracts", run_id, unit_id=unit, key_id=recipient_key_id(recipient))
    return register.add(unit, recipient, _now(audit), note)


def rotate_key(
    keys: KeyStore, audit: AuditLog, unit: str, recipient: str | None, note: str = ""
) -> list[str]:
    """Replaces all active keys of a unit by `recipient`; without one, the stand-in that the office holds for it.

    Gives the ids of the keys that count no more. Raises `BadInput` when a unit with keys of its own gives no new one.
    """
    register = Register(keys)
    before = [one.key_id for one in register.active(unit)]
    if recipient is None:
        if before or unit == ESCROW:
            raise BadInput(
                f"{unit} has keys of its own ({', '.join(before) or 'none yet'}); give the new public key with --recipient or --file"
            )
        path = register.office_path(unit)
        if not path.exists():
            raise BadInput(f"the office holds no key for {unit} yet: the next run makes one")
        gone = recipient_key_id(str(register.office_identity(unit).to_public()))
        audit.append("key_rotated", "extracts", unit_id=unit, key_ids_before=[gone], key_mode="office")
        register.forget_office_identity(unit)
        return [gone]
    recipient = register.check_addition(unit, recipient)
    audit.append(
        "key_rotated",
        "extracts",
        unit_id=unit,
        key_id=recipient_key_id(recipient),
        key_ids_before=before,
        key_mode="unit",
    )
    register.add(unit, recipient, _now(audit), note)
    for key_id in before:
        register.revoke(unit, key_id, _now(audit))
    return before


def revoke_key(keys: KeyStore, audit: AuditLog, unit: str, key_id: str) -> Entry:
    """Ends a public key: no later release is wrapped for it. The escrow's last one cannot be ended, only rotated."""
    register = Register(keys)
    register.check_revocation(unit, key_id)
    if unit == ESCROW and len(register.active(ESCROW)) == 1:
        raise BadInput(
            "this is the escrow's only key; remedy: credit-pipeline keys rotate escrow --recipient age1…"
        )
    audit.append("key_revoked", "extracts", unit_id=unit, key_id=key_id)
    return register.revoke(unit, key_id, _now(audit))


def rotate_signing(keys: KeyStore, audit: AuditLog) -> dict[str, Any]:
    """Replaces the office's signing key; the statement, signed by the old key, lets readers follow.

    The new key's id stands in the statement alone: it is not known before it is made.
    """
    old = public_key_id(keys.public_key())
    audit.append("key_rotated", "extracts", unit_id="signing", key_ids_before=[old], key_mode="office")
    return rotate_signing_key(keys, _now(audit))


def _now(audit: AuditLog) -> str:
    return audit.now().strftime("%Y-%m-%dT%H:%M:%SZ")
