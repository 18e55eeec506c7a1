"""What others kept of the audit log: (size, head) in manifests of extracts, in receipts, in files and on paper.

Here: finding and reading them, from the lake and from files that were handed in. Not here: whether they are genuine and
whether the log agrees (`audit.verification`).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from credit_pipeline.audit.log_records import sha256_hex
from credit_pipeline.errors import BadInput
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect

RECEIPTS_FEED = "extract_receipts"
_CHECKPOINT_KEYS = {"size", "head", "prev_checkpoint", "signature"}
_PRINTED = re.compile(
    r"(?<![0-9A-Za-z])([0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,15})(?![0-9A-Za-z])[^0-9\n]{1,40}?"
    r"(?<![0-9A-Za-z])([0-9a-fA-F]{64})(?![0-9A-Za-z])"
)
"""A number of records and a head in one line of a text: `1,234 records, head 47c5…`, `共 1234 条，末条摘要：47c5…`."""
_HEAD = re.compile(r"[0-9a-f]{64}")
_READABLE = {".json", ".jsonl", ".csv", ".txt"}


@dataclass(frozen=True)
class Witness:
    """Somebody who saw that the log's first `size` lines ended in the hash `head`."""

    source: str
    """Who or which file, in words."""
    size: int
    head: str
    checkpoint: Mapping[str, Any] | None = field(default=None, hash=False)
    """The signed statement; None for what only says so: a receipt, a print."""
    is_outside: bool = False
    """Handed in from outside the lake: what an insider who rewrote the lake could not change."""


@dataclass(frozen=True)
class Receipt:
    """A unit's word that it holds a release, with the state of the log that its manifest carried."""

    unit_id: str
    release_seq: int
    manifest_sha256: str
    log_size: int
    log_head: str
    received_date: str
    source: str

    def witness(self, is_outside: bool = False) -> Witness:
        return Witness(self.source, self.log_size, self.log_head, is_outside=is_outside)


@dataclass(frozen=True)
class LakeManifest:
    """A manifest of an extract that is kept in the lake."""

    path: Path
    unit_id: str
    release_seq: int
    sha256: str
    checkpoint: Mapping[str, Any] | None = field(hash=False)


def lake_manifests(settings: Settings) -> tuple[list[LakeManifest], list[Path]]:
    """The manifests of all kept releases, and the files that should be one and cannot be read."""
    found: dict[tuple[str, int, str], LakeManifest] = {}
    broken = []
    folders = settings.extracts_dir
    for path in sorted({*folders.glob("*/manifest.json"), *folders.glob("*/*.manifest.json")}):
        try:
            text = path.read_bytes()
            content = json.loads(text)
            kept = LakeManifest(
                path,
                str(content["unit_id"]),
                int(content["release_seq"]),
                sha256_hex(text),
                content["checkpoint"],
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            broken.append(path)
        else:
            found[kept.unit_id, kept.release_seq, kept.sha256] = kept
    return [found[key] for key in sorted(found)], broken


def manifest_witnesses(manifests: Iterable[LakeManifest]) -> list[Witness]:
    """One witness for each checkpoint that manifests of the lake carry; units of one run carry the same."""
    carried: dict[str, tuple[Mapping[str, Any], list[LakeManifest]]] = {}
    for manifest in manifests:
        if manifest.checkpoint is not None:
            mark = json.dumps(manifest.checkpoint, sort_keys=True)
            carried.setdefault(mark, (manifest.checkpoint, []))[1].append(manifest)
    return [
        checkpoint_witness(checkpoint, _manifests_in_words(holders))
        for checkpoint, holders in carried.values()
    ]


def _manifests_in_words(holders: list[LakeManifest]) -> str:
    first = holders[0]
    others = f" and {len(holders) - 1} more" if len(holders) > 1 else ""
    return f"the manifest of unit {first.unit_id}, release {first.release_seq}{others}"


def checkpoint_witness(content: Any, source: str, *, is_outside: bool = False) -> Witness:
    """The witness in a checkpoint; its signature is not looked at. One that has no size or head gets a size of -1."""
    fields = content if isinstance(content, Mapping) else {}
    size, head = fields.get("size"), fields.get("head")
    is_whole = type(size) is int and size >= 0 and isinstance(head, str)
    return Witness(source, size if is_whole else -1, head if is_whole else "", fields, is_outside)  # type: ignore[arg-type]


def lake_receipts(settings: Settings) -> list[Receipt]:
    """The receipts in force that the feed brought: of each unit and release the latest that was not withdrawn."""
    pattern = settings.raw_dir / RECEIPTS_FEED
    if not any(pattern.glob("*/*.parquet")):
        return []
    with connect(settings) as connection:
        rows = connection.execute(
            f"""
            select unit_id, release_seq, lower(manifest_sha256), log_size, lower(log_head), received_date, source_file, source_row
            from read_parquet('{pattern}/*/*.parquet', hive_partitioning = false, union_by_name = true)
            qualify
                row_number() over (
                    partition by unit_id, release_seq
                    order by ingest_date desc, reported_date desc nulls last, source_file desc, source_row desc
                ) = 1
                and coalesce(record_status, 'valid') <> 'withdrawn'
            order by unit_id, release_seq
            """
        ).fetchall()
    return [
        Receipt(
            unit,
            release,
            manifest,
            size,
            head,
            str(day),
            f"the receipt of unit {unit} for release {release} ({file} row {row})",
        )
        for unit, release, manifest, size, head, day, file, row in rows
    ]


def given_witnesses(paths: Iterable[Path]) -> list[Witness]:
    """The witnesses in files and folders: manifests, checkpoints, receipts (JSON or CSV), texts with size and head.

    Raises:
        BadInput: a path does not exist, or holds no witness.
    """
    found: list[Witness] = []
    for path in paths:
        if not path.exists():
            raise BadInput(f"--witness {path}: there is no such file or folder")
        files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
        read = [
            witness for file in files if path.is_file() or file.suffix in _READABLE for witness in _read(file)
        ]
        if not read:
            raise BadInput(
                f"--witness {path}: no witness in it; remedy: give a manifest.json, a checkpoint, a receipt (JSON or CSV) or "
                "a text with the number of records and the head"
            )
        found += read
    return found


def _read(file: Path) -> Iterator[Witness]:
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = file.read_bytes().decode("gb18030", errors="replace")
    try:
        contents = [json.loads(text)]
    except (ValueError, RecursionError):
        contents = _json_lines(text)
    if contents:
        for content in contents:
            yield from _from_json(content, file)
        return
    rows = list(csv.DictReader(io.StringIO(text)))
    receipts = [row for row in rows if row.get("log_size") and row.get("log_head")]
    if receipts:
        for number, row in enumerate(receipts, start=2):
            yield from _from_receipt(row, f"{file} row {number}")
        return
    for size, head in _PRINTED.findall(text):
        yield Witness(str(file), int(size.replace(",", "")), head.lower(), is_outside=True)


def _json_lines(text: str) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return []


def _from_json(content: Any, file: Path) -> Iterator[Witness]:
    if isinstance(content, list):
        for item in content:
            yield from _from_json(item, file)
    elif isinstance(content, Mapping):
        if isinstance(content.get("checkpoint"), Mapping):
            source = (
                f"{file} (manifest of unit {content.get('unit_id')}, release {content.get('release_seq')})"
            )
            yield checkpoint_witness(content["checkpoint"], source, is_outside=True)
        elif set(content) >= _CHECKPOINT_KEYS:
            yield checkpoint_witness(content, str(file), is_outside=True)
        elif {"log_size", "log_head"} <= set(content):
            yield from _from_receipt(content, str(file))
        elif {"size", "head"} <= set(content):
            yield from _from_receipt({"log_size": content["size"], "log_head": content["head"]}, str(file))


def _from_receipt(row: Mapping[str, Any], source: str) -> Iterator[Witness]:
    size, head = str(row["log_size"]).strip(), str(row["log_head"]).strip().lower()
    if not size.isdecimal() or not _HEAD.fullmatch(head):
        raise BadInput(
            f"--witness {source}: log_size {size!r} and log_head {head!r} are not a number and 64 hexadecimal digits"
        )
    yield Witness(source, int(size), head, is_outside=True)
