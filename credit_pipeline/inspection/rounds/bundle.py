"""The proof of a round as a folder of plain CSV and JSON files, for whoever does not trust the office.

Here: which files a bundle has, their bytes, its signature, and how it is written whole or not at all. The format is
`docs/draw-format.md`; `inspection.verify_draw` checks it and shares no code with this module. Not here: the steps of a
round (`inspection.rounds.office`), the command (`commands.draw`).

The same state of a round gives the same bytes: nothing of the clock is in them, and the log is cut at the first
checkpoint that covers the round's last event (without one at that event), so that later events change nothing.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.audit.log import AuditLog, canonical_json, fsync_directory, sha256_hex
from credit_pipeline.code_version import by_hand
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.draw import QUOTA_COLUMNS, RECUSAL_COLUMNS, ROSTER_COLUMNS
from credit_pipeline.inspection.draws.protocol import Round
from credit_pipeline.inspection.draws.rule import VERIFIER_PATH
from credit_pipeline.inspection.rounds.guard import STAGE
from credit_pipeline.inspection.rounds.office import RoundOffice
from credit_pipeline.inspection.rounds.record import ROUND_EVENTS, RoundRecord
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import Settings

FORMAT = "credit-pipeline-draw/1"
DOMAIN = b"BUNDLE1|"
WRITTEN_EVENT = "draw_bundle_written"
FRAME_COLUMNS = (
    "unit_id", "item_code", "uscc", "platform_grade", "region", "is_safety_related", "excluded_reason",
)  # fmt: skip
DRAW_COLUMNS = (
    "unit_id", "item_code", "uscc", "platform_grade", "ticket", "rank", "stratum_size", "quota", "is_drawn",
)  # fmt: skip
ASSIGNMENT_COLUMNS = (
    "unit_id", "draw_unit_id", "uscc", "inspector_id", "role", "position", "eligible_count", "rank_taken", "skipped",
)  # fmt: skip
README = """# 双随机抽查结果证明 / Proof of an inspection draw

计划 plan {plan_id}，轮次 round {round}，形式 form: {form}

验证（仅需 Python 3.8 及以上，不联网）：
To verify (Python 3.8 or later, nothing else, no network):

    python3 -I -S verify_draw.py .

退出码 0：相符；1：不符；2：无法读取。程序最后列出它无法验证的事项，请逐条自行核对。
Exit code 0: as it must be; 1: not; 2: unreadable. At its end it lists what it could not check: check that yourself.

请使用另行取得的 verify_draw.py（其 SHA-256 见 plan.json 的 verifier_sha256），不要只用本文件夹里的副本。
Use a verify_draw.py that you have from elsewhere (its SHA-256 stands in plan.json, verifier_sha256), not only the copy here.

{secrecy}
"""
_SECRECY = {
    "authorised": "机密：含信用等级与种子，凭此可推算每家企业的等级，不得公开。\n"
    "CONFIDENTIAL: it holds grades and the seed. Never publish it.",
    "public": "可公开：不含企业、等级、数量、名次。\nMay be published: no enterprise, grade, quota or rank is in it.",
}


@dataclass(frozen=True)
class WrittenBundle:
    """A bundle on disk. `sha256` is that of its bundle.json, which binds every other file."""

    directory: Path
    form: str
    state: str
    sha256: str
    is_new: bool
    """False if the folder held the very same bundle already: nothing was written or logged."""


def write_bundle(
    settings: Settings, plan_id: str, round_: Round, out: Path | str, public: bool = False
) -> WrittenBundle:
    """Writes the bundle of a round into the folder `out` and logs that it did.

    `out` must not exist, be empty, or hold an earlier bundle of the same round and form, which is replaced as a whole.
    Raises `BadInput` for another folder or a round not begun, `IntegrityError` when the round and the log disagree.
    """
    office = RoundOffice(settings)
    record = office.existing(plan_id, round_)
    form = "public" if public else "authorised"
    directory = Path(out).absolute()
    _refuse_foreign_folder(directory, record, form)
    files = _public_files(settings, office, record) | ({} if public else _authorised_files(office, record))
    files["log.jsonl"], checkpoints = _log_extract(settings, record, public)
    files["checkpoints.json"] = _json(checkpoints)
    key = KeyStore(settings.keys_dir).signing_key()
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "form": form,
        "plan_id": record.plan_id,
        "round": record.round,
        "state": str(record.state),
        "files": {name: sha256_hex(content) for name, content in sorted(files.items())},
        "public_key": key.public_key().public_bytes_raw().hex(),
    }
    manifest["signature"] = key.sign(DOMAIN + canonical_json(manifest)).hex()
    files["bundle.json"] = _json(manifest)
    files["verify_draw.py"] = VERIFIER_PATH.read_bytes()
    readme = README.format(plan_id=record.plan_id, round=record.round, form=form, secrecy=_SECRECY[form])
    files["README.md"] = readme.encode()
    digest = sha256_hex(files["bundle.json"])
    is_new = _write_folder(directory, files)
    if is_new:
        facts = {"plan_id": record.plan_id, "round": record.round, "form": form, "bundle_sha256": digest}
        AuditLog(settings.audit_log_path).append(WRITTEN_EVENT, STAGE, by_hand(), **facts)
    return WrittenBundle(directory, form, str(record.state), digest, is_new)


def _public_files(settings: Settings, office: RoundOffice, record: RoundRecord) -> dict[str, bytes]:
    """What everybody may see. A step not taken leaves an empty object or list, so that every bundle has every file."""

    def stored(name: str) -> Any:
        known = f"{name}.json" in record.files
        return office.store.statement(record.plan_id, record.round, name) if known else {}

    seed = {} if record.seed_commitment is None else {"seed_commitment": record.seed_commitment}
    return {
        "plan.json": _json(stored("rule")),
        "freeze.json": _json(stored("freeze")),
        "commitments.json": _json([stored(f"commitment-{party}") for party, _ in record.commitments]),
        "entropy.json": _json(stored("entropy")),
        "seed.json": _json(seed),
        "abort.json": _json(stored("abort")),
    }


def _authorised_files(office: RoundOffice, record: RoundRecord) -> dict[str, bytes]:
    """What only auditors and courts see: it tells every grade."""
    store, plan_id, round_ = office.store, record.plan_id, record.round
    salt = office.frame_salt(plan_id, round_)

    def rows(name: str, columns: Sequence[str]) -> Iterator[list[Any]]:
        return _rows(store.table(plan_id, round_, name), columns)

    def statements(prefix: str, count: int) -> bytes:
        return _json([store.statement(plan_id, round_, f"{prefix}-{n:03}") for n in range(1, count + 1)])

    def salted(found: Iterable[list[Any]], label: str, key: slice) -> Iterator[list[Any]]:
        prefix = (label,) if label else ()
        return ([*row, protocol.leaf_salt(salt, *prefix, *row[key]).hex()] for row in found)

    rosters = [(0, "roster", "recusals")]
    frozen_root = store.statement(plan_id, round_, "freeze")["roster_root"]
    rosters += [
        (wave, f"roster-{wave:03}", f"recusals-{wave:03}")
        for wave, root in enumerate(record.wave_roots, start=1)
        if root != frozen_root
    ]
    roster, recusals = [], []
    for wave, roster_name, recusals_name in rosters:
        people = salted(rows(roster_name, ROSTER_COLUMNS), "ROSTER", slice(0, 2))
        roster += [[wave, *row] for row in people]
        pairs = salted(rows(recusals_name, RECUSAL_COLUMNS), "RECUSAL", slice(0, 2))
        recusals += [[wave, *row] for row in pairs]
    is_drawn = "draw.parquet" in record.files
    reveals = [*office.reveal_statements(record).values()] if is_drawn else []
    seed = {"seed": office.seed(record), "seed_commitment": record.seed_commitment} if is_drawn else {}
    assignments = (
        [wave, *row]
        for wave in range(1, record.waves + 1)
        for row in rows(f"assignments-{wave:03}", ASSIGNMENT_COLUMNS)
    )
    return {
        "frame.csv": _csv((*FRAME_COLUMNS, "salt"), salted(rows("frame", FRAME_COLUMNS), "", slice(0, 3))),
        "quotas.csv": _csv(
            (*QUOTA_COLUMNS, "salt"), salted(rows("quotas", QUOTA_COLUMNS), "QUOTA", slice(0, 3))
        ),
        "roster.csv": _csv(("wave", *ROSTER_COLUMNS, "salt"), roster),
        "recusals.csv": _csv(("wave", *RECUSAL_COLUMNS, "salt"), recusals),
        "reveals.json": _json(reveals),
        "seed.json": _json(seed),
        "draw.csv": _csv(DRAW_COLUMNS, rows("draw", DRAW_COLUMNS) if is_drawn else ()),
        "topups.json": statements("topup", record.top_ups),
        "assignments.csv": _csv(("wave", *ASSIGNMENT_COLUMNS), assignments),
        "replacements.json": statements("replaced", record.replacements),
    }


def _rows(table: pa.Table, columns: Sequence[str]) -> Iterator[list[Any]]:
    for batch in table.select(list(columns)).to_batches(max_chunksize=50_000):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield [int(value) if isinstance(value, bool) else value for value in row]


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """RFC 4180 with LF line ends; a field is quoted only if it must be."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _json(value: Any) -> bytes:
    return canonical_json(value) + b"\n"


def _log_extract(settings: Settings, record: RoundRecord, public: bool) -> tuple[bytes, list[dict[str, Any]]]:
    """The log up to the cut, and the checkpoints in it."""
    records = list(AuditLog(settings.audit_log_path).records())

    def is_own(one: Any) -> bool:
        place = (one.details.get("plan_id"), one.details.get("round"))
        return one.event in ROUND_EVENTS and place == (record.plan_id, record.round)

    last = max((one.seq for one in records if is_own(one)), default=0)
    if last == 0:
        raise IntegrityError(
            f"{record.named()}: the audit log holds nothing of it; restore the log from a copy"
        )
    checkpoints = CheckpointStore(settings.audit_dir / "checkpoints").all()
    cut = min((one["size"] for one in checkpoints if one["size"] >= last), default=last)
    lines = [
        one.line() if is_own(one) or not public else canonical_json({"seq": one.seq, "hash": one.hash})
        for one in records[:cut]
    ]
    return b"".join(line + b"\n" for line in lines), [one for one in checkpoints if one["size"] <= cut]


def _refuse_foreign_folder(directory: Path, record: RoundRecord, form: str) -> None:
    if not directory.exists() and not directory.is_symlink():
        return
    remedy = "choose a new or empty folder"
    if directory.is_symlink() or not directory.is_dir():
        raise BadInput(f"{directory} is not a folder; {remedy}")
    if not any(directory.iterdir()):
        return
    try:
        earlier = json.loads((directory / "bundle.json").read_bytes())
        found = (earlier["format"], earlier["plan_id"], earlier["round"], earlier["form"])
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInput(f"{directory} is not empty and holds no bundle; {remedy}") from None
    if found != (FORMAT, record.plan_id, record.round, form):
        raise BadInput(
            f"{directory} holds the {found[3]} bundle of plan {found[1]}, round {found[2]}; {remedy}"
        )
    known = {*earlier.get("files", ()), "bundle.json", "verify_draw.py", "README.md"}
    foreign = sorted(path.name for path in directory.iterdir() if path.name not in known)
    if foreign:
        raise BadInput(f"{directory} holds {', '.join(foreign)} beside an earlier bundle; {remedy}")


def _write_folder(directory: Path, files: dict[str, bytes]) -> bool:
    """All files or none: a new folder takes the place of the old one. False if it holds the same already."""
    is_there = directory.is_dir() and {path.name for path in directory.iterdir()} == set(files)
    if is_there and all((directory / name).read_bytes() == content for name, content in files.items()):
        return False
    directory.parent.mkdir(parents=True, exist_ok=True)
    new, old = (directory.with_name(f".{directory.name}.{kind}-{os.getpid()}") for kind in ("new", "old"))
    for path in (new, old):
        shutil.rmtree(path, ignore_errors=True)
    new.mkdir(mode=0o700)
    try:
        for name, content in sorted(files.items()):
            descriptor = os.open(new / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        fsync_directory(new)
        if directory.exists():
            directory.replace(old)
        new.replace(directory)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not directory.exists():
            old.replace(directory)
        shutil.rmtree(old, ignore_errors=True)
    fsync_directory(directory.parent)
    return True
