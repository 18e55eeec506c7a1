"""`audit verify`: the log, its checkpoints and everybody who saw them, against each other.

Here: `verify_audit`, which names each thing that does not agree, by kind, place, and what to do. Not here: where witnesses
come from (`audit.witnesses`), the chain (`audit.log_chain`), how a checkpoint is signed (`audit.checkpoints`).
Nothing is written, and no key is made. docs/audit.md says what each control catches.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credit_pipeline.audit.checkpoints import (
    GENESIS,
    CheckpointStore,
    ForeignKey,
    checkpoint_hash,
    verify_checkpoint_by_any,
)
from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.log_chain import Damage, Replay
from credit_pipeline.audit.log_records import canonical_json
from credit_pipeline.audit.witnesses import (
    LakeManifest,
    Receipt,
    Witness,
    checkpoint_witness,
    lake_manifests,
    lake_receipts,
    manifest_witnesses,
)
from credit_pipeline.errors import IntegrityError
from credit_pipeline.settings import Settings

_KEEP = "add nothing, keep a copy of the lake as it is, and find out who could write to it"
_RESTORE = f"{_KEEP}; then restore the log from the newest backup that agrees with the witnesses"
REMEDIES: dict[str, str] = {
    Damage.TORN: "nothing is lost that was on disk: the next event cuts the torn line and records the cut; verify again then",
    Damage.TRUNCATED: _RESTORE,
    Damage.REWRITTEN: _RESTORE,
    "missing_log": _RESTORE,
    "empty_log": _RESTORE,
    "symlink": f"{_KEEP}; the log is a plain file in the lake",
    "checkpoint_unreadable": "restore the file from a backup or take it from a manifest of the units",
    "checkpoint_edited": "restore the file from a backup or take it from a manifest of the units",
    "checkpoint_forged": f"{_KEEP}; then restore the file from a backup",
    "checkpoint_foreign_key": f"{_KEEP}; a key that the office never announced signed it",
    "checkpoint_removed": "restore the missing file from a backup or take it from a manifest of the units",
    "checkpoint_misplaced": "give the file the name of its size again, or restore the folder from a backup",
    "witness_forged": "ask its holder for the original; a signature that fails proves nothing about the log",
    "witness_foreign_key": "ask its holder which office signed it; verify with that key (--public-key) if it was announced",
    "manifest_unreadable": "publish the unit's extract again with the next run, and keep the damaged file",
    "manifest_replaced": "compare with the file that the unit holds: two manifests of one release were signed",
    "clock_back": "set the clock of the machine right; no event was lost",
    "checkpoint_lacking": "run the day again: it signs a checkpoint over the whole log",
}
WARNINGS = frozenset({"clock_back", "checkpoint_lacking"})
"""What an honest log can show; all else fails the verification."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not agree."""

    kind: str
    where: str
    what: str
    line: int | None = None
    """Line of the log, from 1."""

    @property
    def is_warning(self) -> bool:
        return self.kind in WARNINGS

    @property
    def remedy(self) -> str:
        return REMEDIES.get(self.kind, _RESTORE)

    def to_json(self) -> dict[str, Any]:
        level = "warning" if self.is_warning else "error"
        return {
            "kind": str(self.kind),
            "level": level,
            "where": self.where,
            "line": self.line,
            "what": self.what,
            "what_to_do": self.remedy,
        }


@dataclass(frozen=True)
class AuditReport:
    """The outcome of a verification."""

    log: Path
    records: int
    """Lines of the unbroken chain."""
    head: str
    checkpoints: int
    witnesses: int
    outside_witnesses: int
    confirmed: int
    """The largest size on which log and a signed checkpoint agree."""
    confirmed_outside: int
    """Likewise with somebody outside the lake: up to here nobody rewrote it, not even the owner of the signing key."""
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        return all(finding.is_warning for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return {
            "log": str(self.log),
            "intact": self.is_intact,
            "records": self.records,
            "head": self.head,
            "checkpoints": self.checkpoints,
            "witnesses": self.witnesses,
            "outside_witnesses": self.outside_witnesses,
            "confirmed_by_checkpoints": self.confirmed,
            "confirmed_from_outside": self.confirmed_outside,
            "findings": [finding.to_json() for finding in self.findings],
        }


def verify_audit(
    settings: Settings,
    keys: Mapping[str, Ed25519PublicKey],
    given: Iterable[Witness] = (),
    *,
    with_receipts: bool = True,
) -> AuditReport:
    """Verify the log of a lake with its checkpoints, the manifests and receipts in the lake, and witnesses from outside.

    Args:
        keys: the signing keys that are trusted, by their ids (`audit.checkpoints.trusted_signing_keys`).
        with_receipts: hear the units' receipts too. The daily run does not: a slip in one must not stop the day, it is
            an alert.
    """
    path = settings.audit_log_path
    findings = _file_findings(settings)
    log = AuditLog(path)
    found = log.replay()
    if found.bad is not None:
        findings.append(Finding(found.bad.damage, str(path), found.bad.what, found.bad.line))
    findings += _clock_steps(found, path)
    store = CheckpointStore(settings.audit_dir / "checkpoints")
    stored, of_checkpoints = _stored_checkpoints(store, keys)
    findings += of_checkpoints
    manifests, broken = lake_manifests(settings)
    receipts = lake_receipts(settings) if with_receipts else []
    findings += [Finding("manifest_unreadable", str(item), "not a manifest of an extract") for item in broken]
    findings += _replaced_manifests(manifests, receipts)
    witnesses = [
        *manifest_witnesses(manifests),
        *(receipt.witness(is_outside=True) for receipt in receipts),
        *given,
    ]
    genuine, of_witnesses = _genuine(witnesses, keys)
    findings += of_witnesses
    findings += _removed_checkpoints(store, stored, genuine)
    findings += _unsigned_days(log, found, stored, path)
    everybody = [*(checkpoint_witness(item, _named(item)) for item in stored), *genuine]
    contradictions, agreeing = _against_the_log(found, everybody, path)
    findings += contradictions
    return AuditReport(
        path,
        found.size,
        found.head(),
        len(stored),
        len(witnesses),
        sum(witness.is_outside for witness in witnesses),
        max((one.size for one in agreeing if one.checkpoint is not None), default=0),
        max((one.size for one in agreeing if one.is_outside), default=0),
        tuple(findings),
    )


def _clock_steps(found: Replay, path: Path) -> list[Finding]:
    """The first line older than the one before it, with the number of the others."""
    if not found.clock_steps:
        return []
    line, before, after = found.clock_steps[0]
    others = f"; {len(found.clock_steps) - 1} later lines likewise" if len(found.clock_steps) > 1 else ""
    what = f"its time {after} is before that of the line before, {before}{others}"
    return [Finding("clock_back", str(path), what, line)]


def _file_findings(settings: Settings) -> list[Finding]:
    """What is wrong with the file before a line is read."""
    path = settings.audit_log_path
    found = [
        Finding("symlink", str(place), f"a link to {place.resolve()}, not the log's own place")
        for place in (path, settings.audit_dir, settings.audit_dir / "checkpoints")
        if place.is_symlink()
    ]
    is_used = (settings.lake_dir / "current.json").exists() or any(settings.ledger_dir.glob("*/*.json"))
    is_used = is_used or any((settings.audit_dir / "checkpoints").glob("*.json"))
    if not path.exists() and is_used:
        found.append(Finding("missing_log", str(path), "there is no log, but the lake was run"))
    elif path.exists() and path.stat().st_size == 0 and is_used:
        found.append(Finding("empty_log", str(path), "the log is empty, but the lake was run"))
    return found


def _stored_checkpoints(
    store: CheckpointStore, keys: Mapping[str, Ed25519PublicKey]
) -> tuple[list[dict[str, Any]], list[Finding]]:
    """The genuine checkpoints of the lake, smallest first, and what is wrong with the others and with their chain."""
    good: list[dict[str, Any]] = []
    findings = []
    before, last_time, is_broken = GENESIS, "", False
    for path in store.paths():
        where = str(path)
        text = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            findings.append(Finding("checkpoint_unreadable", where, "not a checkpoint"))
            is_broken = True
            continue
        problem = _signature_problem(content, keys)
        if problem is not None:
            findings.append(Finding(f"checkpoint_{problem[0]}", where, problem[1]))
            is_broken = True
            continue
        if canonical_json(content) + b"\n" != text:
            findings.append(
                Finding("checkpoint_edited", where, "it says the same in other bytes: it was written anew")
            )
        if path.stem != str(content["size"]):
            what = f"it speaks of {content['size']} records: it was renamed, swapped or copied"
            findings.append(Finding("checkpoint_misplaced", where, what))
            is_broken = True
            continue
        if content["prev_checkpoint"] != before and not is_broken:
            what = "it does not follow the one stored before it: a checkpoint was removed or replaced"
            findings.append(Finding("checkpoint_removed", where, what))
        if content["time"] < last_time:
            what = f"its time {content['time']} is before that of the checkpoint before, {last_time}"
            findings.append(Finding("clock_back", where, what))
        before, last_time, is_broken = checkpoint_hash(content), content["time"], False
        good.append(content)
    return good, findings


def _signature_problem(
    content: Mapping[str, Any], keys: Mapping[str, Ed25519PublicKey]
) -> tuple[str, str] | None:
    """(kind, what) of a checkpoint that no trusted key signed."""
    try:
        verify_checkpoint_by_any(content, keys)
    except ForeignKey as error:
        return "foreign_key", str(error)
    except IntegrityError as error:
        return "forged", str(error)
    return None


def _genuine(
    witnesses: Iterable[Witness], keys: Mapping[str, Ed25519PublicKey]
) -> tuple[list[Witness], list[Finding]]:
    good, findings = [], []
    for witness in witnesses:
        problem = None if witness.checkpoint is None else _signature_problem(witness.checkpoint, keys)
        if problem is None:
            good.append(witness)
        else:
            findings.append(Finding(f"witness_{problem[0]}", witness.source, problem[1]))
    return good, findings


def _replaced_manifests(manifests: Iterable[LakeManifest], receipts: Iterable[Receipt]) -> list[Finding]:
    """Releases of which the lake holds two manifests, or another than the unit confirmed."""
    kept: dict[tuple[str, int], list[LakeManifest]] = {}
    for manifest in manifests:
        kept.setdefault((manifest.unit_id, manifest.release_seq), []).append(manifest)
    findings = [
        Finding(
            "manifest_replaced", str(of_one[1].path), f"another manifest of this release is {of_one[0].path}"
        )
        for of_one in kept.values()
        if len(of_one) > 1
    ]
    for receipt in receipts:
        of_one = kept.get((receipt.unit_id, receipt.release_seq), [])
        if of_one and receipt.manifest_sha256 not in {manifest.sha256 for manifest in of_one}:
            what = f"{receipt.source} names the SHA-256 {receipt.manifest_sha256[:16]}… of another manifest"
            findings.append(Finding("manifest_replaced", str(of_one[0].path), what))
    return findings


def _removed_checkpoints(
    store: CheckpointStore, stored: Iterable[Mapping[str, Any]], genuine: Iterable[Witness]
) -> list[Finding]:
    """Checkpoints that manifests carry and the store lacks: each was stored before it was handed out."""
    known = {checkpoint_hash(item) for item in stored}
    return [
        Finding(
            "checkpoint_removed",
            str(store.directory / f"{witness.size}.json"),
            f"{witness.source} holds a checkpoint at size {witness.size} that is not stored here",
        )
        for witness in genuine
        if witness.checkpoint is not None and checkpoint_hash(witness.checkpoint) not in known
    ]


def _unsigned_days(
    log: AuditLog, found: Replay, stored: Iterable[Mapping[str, Any]], path: Path
) -> list[Finding]:
    """A finished day behind the last checkpoint: the run was killed before it signed, or a checkpoint was deleted."""
    signed = max((item["size"] for item in stored), default=0)
    if found.bad is not None or found.size <= signed:
        return []
    days = [record.seq for record in log.records("day_finished") if record.seq > signed]
    return [
        Finding("checkpoint_lacking", str(path), "a day was finished here, and no checkpoint covers it", seq)
        for seq in days[-1:]
    ]


def _against_the_log(
    found: Replay, witnesses: Iterable[Witness], path: Path
) -> tuple[list[Finding], list[Witness]]:
    """What the log lost or changed since somebody saw it, and those who agree."""
    agreeing: list[Witness] = []
    changed: list[Witness] = []
    beyond: list[Witness] = []
    for witness in witnesses:
        if witness.size <= found.size:
            (agreeing if found.head(witness.size) == witness.head else changed).append(witness)
        elif witness.size > found.lines:
            beyond.append(witness)
    last = max((one.size for one in agreeing), default=0)
    findings = []
    if changed:
        first = min(changed, key=lambda one: one.size)
        since = (
            f"after line {last}, on which a witness still agrees"
            if 0 < last < first.size
            else "from its beginning"
        )
        what = (
            f"the log was rewritten, cut and continued, or replaced by another, {since}: "
            f"{_sources(changed)} saw another hash at line {first.size}"
        )
        findings.append(Finding(Damage.REWRITTEN, str(path), what, first.size))
    if beyond:
        most = max(one.size for one in beyond)
        what = (
            f"the log ends at line {found.lines}, {_sources(beyond)} saw {most} lines: "
            f"the last {most - found.lines} or more were cut off"
        )
        findings.append(Finding(Damage.TRUNCATED, str(path), what, found.lines + 1))
    return findings, agreeing


def _sources(witnesses: list[Witness]) -> str:
    names = list(dict.fromkeys(one.source for one in witnesses))
    return "; ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _named(checkpoint: Mapping[str, Any]) -> str:
    return f"the checkpoint stored at size {checkpoint['size']}"
