"""A small office with an honest log: two days of events, checkpoints, manifests in the lake, and what units hold outside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from credit_pipeline.audit.checkpoints import CheckpointStore, sign_checkpoint, trusted_signing_keys
from credit_pipeline.audit.log import GENESIS, AuditLog, canonical_json, sha256_hex
from credit_pipeline.audit.log_records import DOMAIN
from credit_pipeline.audit.verification import AuditReport, verify_audit
from credit_pipeline.audit.witnesses import given_witnesses
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import Settings

START = datetime(2026, 11, 2, 1, tzinfo=UTC)
UNITS = ("411300MS", "411300EM", "411300HC")
Line = dict[str, Any]


class Clock:
    """A clock that goes on by one second at each look."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Office:
    """A lake with a log, and a folder of what units took away."""

    settings: Settings
    outside: Path
    clock: Clock

    @property
    def path(self) -> Path:
        return self.settings.audit_log_path

    @property
    def log(self) -> AuditLog:
        return AuditLog(self.path, self.clock)

    @property
    def store(self) -> CheckpointStore:
        return CheckpointStore(self.settings.audit_dir / "checkpoints")

    @property
    def key(self) -> Ed25519PrivateKey:
        return KeyStore(self.settings.keys_dir).signing_key()

    def day(self, number: int, seed: str = "") -> None:
        """One daily run: feeds, a checkpoint, the extracts that carry it, the checkpoint of the end."""
        run, day = f"run-{number}{seed}", f"2026-11-{number + 1:02}"
        self.log.append("run_started", "audit", run, job="daily", as_of_date=day)
        for feed in ("registrations", "penalties", "licences"):
            self.log.append("feed_ingested", "feeds", run, feed=feed, as_of_date=day, read=number * 10)
        checkpoint = self.store.add(self.log, self.key, time=self.clock())
        for unit in UNITS:
            folder = self.settings.extracts_dir / unit
            folder.mkdir(parents=True, exist_ok=True)
            manifest = (
                canonical_json({"unit_id": unit, "release_seq": number, "checkpoint": checkpoint}) + b"\n"
            )
            (folder / "manifest.json").write_bytes(manifest)
            (folder / f"{unit}-{number:06}.manifest.json").write_bytes(manifest)
            self.log.append(
                "extract_published",
                "extracts",
                run,
                unit_id=unit,
                release_seq=number,
                sha256=sha256_hex(manifest),
            )
        self.log.append("day_finished", "audit", run, as_of_date=day)
        self.store.add(self.log, self.key, time=self.clock())

    def take_away(self) -> None:
        """What the unit UNITS[0] keeps: its manifest and its receipt, and what the minutes print."""
        self.outside.mkdir(exist_ok=True)
        manifest = self.settings.extracts_dir / UNITS[0] / "manifest.json"
        shutil.copy(manifest, self.outside / "manifest.json")
        content = json.loads(manifest.read_bytes())
        checkpoint = content["checkpoint"]
        (self.outside / "receipt.csv").write_text(
            "unit_id,release_seq,manifest_sha256,log_size,log_head,received_date\n"
            f"{UNITS[0]},{content['release_seq']},{sha256_hex(manifest.read_bytes())},{checkpoint['size']},"
            f"{checkpoint['head']},2026-11-03\n",
            encoding="utf-8-sig",
        )
        size, head = self.log.head()
        (self.outside / "minutes.txt").write_text(
            f"审计日志共 {size} 条，末条摘要 {size}：{head}。\n", encoding="utf-8"
        )

    def verify(self, *witnesses: str) -> AuditReport:
        """What `audit verify` finds, with these files from outside."""
        given = given_witnesses([self.outside / name for name in witnesses])
        return verify_audit(self.settings, trusted_signing_keys(self.settings), given)

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def write(self, lines: list[bytes]) -> None:
        self.path.write_bytes(b"".join(lines))

    def edit(self, number: int, change: Callable[[Line], object], *, rehash: bool = False) -> None:
        """Changes line `number` (from 1), giving it its new hash when `rehash`."""
        lines = self.lines()
        content = json.loads(lines[number - 1])
        change(content)
        if rehash:
            content["hash"] = line_hash(content)
        lines[number - 1] = canonical_json(content) + b"\n"
        self.write(lines)

    def rechain(self, change: Callable[[list[Line]], object]) -> None:
        """Changes any lines, then numbers and hashes all of them anew: a good chain with another past."""
        contents = [json.loads(line) for line in self.lines()]
        change(contents)
        head, written = GENESIS, []
        for seq, content in enumerate(contents, start=1):
            content |= {"seq": seq, "prev": head}
            content["hash"] = head = line_hash(content)
            written.append(canonical_json(content) + b"\n")
        self.write(written)

    def sign_anew(self, key: Ed25519PrivateKey, sizes: tuple[int, ...] | None = None) -> None:
        """Replaces all checkpoints by ones over the log as it is now, at the same sizes, chained and signed by `key`."""
        sizes = sizes or tuple(int(path.stem) for path in self.store.paths())
        for path in self.store.paths():
            path.unlink()
        lines, previous = self.lines(), None
        for size in sizes:
            part = self.path.with_name("part.jsonl")
            part.write_bytes(b"".join(lines[:size]))
            trusted = {} if previous is None else {previous["key_id"]: key.public_key()}
            previous = sign_checkpoint(AuditLog(part), key, previous=previous, time=START, trusted=trusted)
            (self.store.directory / f"{size}.json").write_bytes(canonical_json(previous) + b"\n")
            part.unlink()

    def hand_out_anew(self) -> None:
        """Puts the checkpoints of the store into the manifests of the lake, as an insider would who rewrites everything."""
        stored = self.store.all()[::2]
        for path in self.settings.extracts_dir.glob("*/*manifest.json"):
            content = json.loads(path.read_bytes())
            content["checkpoint"] = stored[content["release_seq"] - 1]
            path.write_bytes(canonical_json(content) + b"\n")


def line_hash(content: Line) -> str:
    return sha256_hex(
        DOMAIN + canonical_json({key: value for key, value in content.items() if key != "hash"})
    )


def make_office(root: Path, seed: str = "") -> Office:
    """Two honest days of a lake, and what is outside after them."""
    settings = Settings(lake_dir=root / "lake", keys_dir=root / "keys", landing_dir=root / "landing")
    office = Office(settings, root / "outside", Clock())
    settings.lake_dir.mkdir(parents=True)
    (settings.lake_dir / "current.json").write_text('{"as_of_date": "2026-11-03"}')
    office.day(1, seed)
    office.day(2, seed)
    office.take_away()
    return office
