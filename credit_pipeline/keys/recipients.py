"""Whom the releases of a unit are encrypted to: the register of public keys, and the office's stand-ins.

Here: `recipients.json` (public keys only), the escrow identity, the identities the office holds for units that have
registered none. Not here: wrapping (`keys.age`), the audit events of each change (the commands).

A unit without a key of its own gets one that the office holds (`key_mode` "office"), so that everything works from the
first run. That is a default for development and the first days: the office could then open what only the unit should.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyrage

from credit_pipeline.audit.log import canonical_json, write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.keys.age import checked_recipient, new_identity, read_identity, recipient_key_id
from credit_pipeline.keys.files import ensure_directories, make_once, read_private
from credit_pipeline.keys.store import KeyStore

ESCROW = "escrow"
"""Stands for a unit in the register: whose key opens every release when a unit has lost its own. Units' ids are in
capitals, so it can be no unit.
"""
FORMAT = "credit-pipeline-recipients/1"


def checked_unit(unit: str) -> str:
    """A unit's id, or `escrow`: it becomes the name of a file."""
    if unit != ESCROW and not re.fullmatch("[0-9A-Z]{1,12}", unit):
        raise BadInput(f"unit {unit!r}: a unit id is 1 to 12 digits and capital letters, or `{ESCROW}`")
    return unit


@dataclass(frozen=True)
class Entry:
    """One public key: whose, since when (UTC), until when."""

    unit: str
    recipient: str
    key_id: str
    added: str
    revoked: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Recipients:
    """Whom one release is wrapped for. `key_mode` is "unit", or "office" when the office holds the unit's key."""

    key_mode: str
    public: tuple[str, ...]

    @property
    def key_ids(self) -> list[str]:
        return sorted(recipient_key_id(one) for one in self.public)


class Register:
    """The register in a key folder. Every change is read, made and written under one lock."""

    def __init__(self, keys: KeyStore) -> None:
        self.directory = keys.directory
        self._path = keys.directory / "recipients.json"
        self.escrow_path = keys.directory / "escrow.agekey"

    def entries(self, unit: str | None = None) -> list[Entry]:
        """All keys ever registered, of one unit if asked, in the order of registration."""
        if not self._path.exists():
            return []
        try:
            content = json.loads(read_private(self._path, 64 * 1024 * 1024))
            if content["format"] != FORMAT:
                raise ValueError
            found = [Entry(**one) for one in content["recipients"]]
        except (ValueError, TypeError, KeyError):
            raise IntegrityError(
                f"{self._path}: not a register of keys; restore it from the backup"
            ) from None
        if any(recipient_key_id(one.recipient) != one.key_id for one in found):
            raise IntegrityError(f"{self._path}: a key does not match its id; restore it from the backup")
        return [one for one in found if unit in (None, one.unit)]

    def active(self, unit: str) -> list[Entry]:
        return [one for one in self.entries(unit) if one.revoked is None]

    def check_addition(self, unit: str, recipient: str) -> str:
        """The recipient as it would be registered; `BadInput` when it must not be."""
        checked_unit(unit)
        recipient = checked_recipient(recipient)
        for one in self.entries():
            if one.recipient == recipient:
                state = "was revoked" if one.revoked else "is registered"
                raise BadInput(
                    f"key {one.key_id} {state} for {one.unit} already; a key belongs to one unit and never comes "
                    "back: let the unit make a new one (age-keygen)"
                )
        return recipient

    def add(self, unit: str, recipient: str, time: str, note: str = "") -> Entry:
        with self._locked():
            recipient = self.check_addition(unit, recipient)
            entry = Entry(unit, recipient, recipient_key_id(recipient), time, None, note)
            self._write([*self.entries(), entry])
        return entry

    def revoke(self, unit: str, key_id: str, time: str) -> Entry:
        """No release is wrapped for this key any more. What was wrapped for it before stays readable with it."""
        with self._locked():
            self.check_revocation(unit, key_id)
            all_entries = [
                replace(one, revoked=time) if (one.unit, one.key_id) == (unit, key_id) else one
                for one in self.entries()
            ]
            self._write(all_entries)
        return next(one for one in all_entries if one.key_id == key_id)

    def check_revocation(self, unit: str, key_id: str) -> None:
        found = next((one for one in self.entries(unit) if one.key_id == key_id), None)
        if found is None:
            known = ", ".join(one.key_id for one in self.active(unit)) or "none"
            raise BadInput(f"{unit} has no key {key_id}; its active keys: {known}")
        if found.revoked:
            raise BadInput(f"key {key_id} of {unit} was revoked on {found.revoked} already")

    def refuse_revoked(self, recipient: str) -> None:
        """`IntegrityError` for the public key of an identity that was revoked."""
        for one in self.entries():
            if one.recipient == recipient and one.revoked:
                raise IntegrityError(
                    f"key {one.key_id} of {one.unit} was revoked on {one.revoked}: it opens nothing here any more; "
                    "use the identity that was registered in its place"
                )

    def recipients_for(self, unit: str) -> Recipients:
        """The unit's own keys, or the one the office holds for it, and the escrow's."""
        own = [one.recipient for one in self.active(unit)]
        mode = "unit" if own else "office"
        public = own or [str(self.office_identity(unit).to_public())]
        escrow = [one.recipient for one in self.active(ESCROW)]
        if not escrow:
            raise BadInput("there is no escrow key yet; remedy: credit-pipeline keys init")
        return Recipients(mode, tuple(sorted({*public, *escrow})))

    def office_path(self, unit: str) -> Path:
        checked_unit(unit)
        return self.directory / "office_held" / f"{unit}.agekey"

    def office_identity(self, unit: str) -> pyrage.x25519.Identity:
        """The stand-in the office holds for a unit without a key of its own, made on first use."""
        path = self.office_path(unit)
        if not os.path.lexists(path):
            ensure_directories(self.directory, path.parent)
            make_once(path, new_identity()[0])
        return read_identity(path)

    def forget_office_identity(self, unit: str) -> None:
        """The next release of the unit is wrapped for another stand-in; the one before opens no more."""
        self.office_path(unit).unlink(missing_ok=True)

    def make_escrow_identity(self) -> str:
        """Makes the escrow's identity on this machine, and gives its recipient, to be registered."""
        ensure_directories(self.directory, self.directory)
        make_once(self.escrow_path, new_identity()[0])
        return str(read_identity(self.escrow_path).to_public())

    def identities_here(self, unit: str) -> list[pyrage.x25519.Identity]:
        """What this machine could open the unit's releases with: the stand-in, and the escrow if not moved away."""
        return [read_identity(path) for path in (self.office_path(unit), self.escrow_path) if path.exists()]

    def _write(self, entries: list[Entry]) -> None:
        content = {"format": FORMAT, "recipients": [asdict(one) for one in entries]}
        write_durably(self._path, canonical_json(content) + b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        ensure_directories(self.directory, self.directory)
        descriptor = os.open(self.directory / ".recipients.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
