"""The files of a round: immutable, each whole and on disk before it has its name, each bound by its digest.

Here: folders, the lock, Parquet with fixed bytes, the columns of each table, reading back with the digest compared.
Not here: which step writes what (`inspection.rounds.store`).

CONFIDENTIAL: the tables hold grades, or ranks that bound them. The seed and the reveals are never stored.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.audit.log import canonical_json, fsync_directory, sha256_hex, write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.protocol import Round
from credit_pipeline.inspection.rounds.record import RoundRecord, State

_TEXT, _COUNT = pa.string(), pa.int64()
_ROSTER = {
    "unit_id": _TEXT, "inspector_id": _TEXT, "is_leader": pa.bool_(), "region_prefix": _TEXT, "skills": _TEXT,
    "excluded_reason": _TEXT,
}  # fmt: skip
_RECUSALS = {"inspector_id": _TEXT, "uscc": _TEXT, "reason": _TEXT}
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "frame": {
        "unit_id": _TEXT, "item_code": _TEXT, "uscc": _TEXT, "platform_grade": _TEXT, "region": _TEXT,
        "is_safety_related": pa.bool_(), "excluded_reason": _TEXT,
    },
    "quotas": {
        "unit_id": _TEXT, "item_code": _TEXT, "platform_grade": _TEXT, "stratum_size": _COUNT,
        "drawn_before": _COUNT, "ratio_bp": pa.int32(), "rounds_due": pa.int32(), "rounds_per_year": pa.int32(),
        "rounding": _TEXT, "target": _COUNT, "quota": _COUNT, "basis": _TEXT,
    },
    "roster": _ROSTER,
    "recusals": _RECUSALS,
    "draw": {
        "unit_id": _TEXT, "item_code": _TEXT, "uscc": _TEXT, "platform_grade": _TEXT, "ticket": _TEXT,
        "rank": _COUNT, "stratum_size": _COUNT, "quota": _COUNT, "is_drawn": pa.bool_(),
    },
    "assignments": {
        "unit_id": _TEXT, "draw_unit_id": _TEXT, "uscc": _TEXT, "inspector_id": _TEXT, "role": _TEXT,
        "position": pa.int32(), "eligible_count": pa.int32(), "rank_taken": pa.int32(), "skipped": _TEXT,
        "wave": pa.int32(),
    },
}  # fmt: skip
"""The columns each table needs, with their types. Other columns are kept behind them."""
_SORT_KEYS = {
    "frame": ("unit_id", "item_code", "uscc"),
    "quotas": ("unit_id", "item_code", "platform_grade"),
    "roster": ("unit_id", "inspector_id"),
    "recusals": ("inspector_id", "uscc"),
    "draw": ("unit_id", "item_code", "platform_grade", "rank"),
    "assignments": ("draw_unit_id", "unit_id", "uscc", "position"),
}


def kind_of(name: str) -> str:
    """The kind of a table: `assignments-002` is one of `assignments`."""
    return name.split("-")[0]


class RoundFiles:
    """The folders of rounds under `root`, `<plan_id>/<round>/`. Reading compares digests; writing is all or nothing."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def directory(self, plan_id: str, round_: Round) -> Path:
        plan = protocol.checked("plan_id", plan_id, protocol.PLAN_PATTERN)
        return self.root / plan / protocol.round_text(round_)

    def exists(self, plan_id: str, round_: Round) -> bool:
        return (self.directory(plan_id, round_) / "round.json").exists()

    def record(self, plan_id: str, round_: Round) -> RoundRecord:
        path = self.directory(plan_id, round_) / "round.json"
        if not path.exists():
            raise BadInput(
                f"plan {plan_id}, round {round_}: not begun; its frame is frozen by the first run on or after "
                "the day it is due"
            )
        record = RoundRecord.from_json(path.read_bytes(), path)
        if (record.plan_id, protocol.round_text(record.round)) != (plan_id, protocol.round_text(round_)):
            raise IntegrityError(f"{path}: it is the record of {record.named()}: it was moved; put it back")
        return record

    def state(self, plan_id: str, round_: Round) -> State | None:
        """The state after the last finished step, or None for a round not begun."""
        return self.record(plan_id, round_).state if self.exists(plan_id, round_) else None

    def records(self) -> list[RoundRecord]:
        """All rounds, by plan and round (numbers in their order)."""
        paths = self.root.glob("*/*/round.json")
        found = [self.record(path.parent.parent.name, path.parent.name) for path in paths]
        return sorted(found, key=lambda one: (one.plan_id, str(one.round).zfill(32)))

    def table(self, plan_id: str, round_: Round, name: str) -> pa.Table:
        """`frame`, `quotas`, `roster`, `recusals`, `draw`, `assignments-001`, ... after comparing the file with its
        recorded digest.
        """
        record = self.record(plan_id, round_)
        return _read_parquet(self.file(record, f"{name}.parquet"))

    def statement(self, plan_id: str, round_: Round, name: str) -> dict[str, Any]:
        """`rule`, `freeze`, `entropy`, `commitment-<party>`, `topup-001`, ... likewise."""
        content: dict[str, Any] = json.loads(self.file(self.record(plan_id, round_), f"{name}.json"))
        return content

    def rule(self, plan_id: str, round_: Round) -> dict[str, Any]:
        """The plan's rule as it was frozen; nothing of a round is read from the policy tables after that."""
        return self.statement(plan_id, round_, "rule")

    def file(self, record: RoundRecord, name: str) -> bytes:
        """The bytes of a file of the round. Raises `IntegrityError` naming it when it is not the recorded one."""
        if name not in record.files:
            raise BadInput(f"{record.named()}: there is no {name} yet, the round is {record.state}")
        path = self.directory(record.plan_id, record.round) / name
        content = path.read_bytes() if path.is_file() else b""
        if sha256_hex(content) != record.files[name]:
            raise IntegrityError(
                f"{path}: not the file that was recorded ({'its SHA-256 differs' if content else 'it is gone'}); "
                "restore it from a copy"
            )
        return content

    def verify_files(self, record: RoundRecord) -> None:
        """Compares every file of the round with its digest."""
        for name in record.files:
            self.file(record, name)

    @contextmanager
    def locked(self) -> Iterator[None]:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def write(self, record: RoundRecord, contents: Mapping[str, bytes]) -> RoundRecord:
        """Writes new files, then `round.json` that binds them. The folder of a new round appears as a whole: nobody
        can take a frame for frozen that is not.
        """
        directory = self.directory(record.plan_id, record.round)
        digests = {name: sha256_hex(content) for name, content in contents.items()}
        record = replace(record, files=record.files | digests)
        is_new = not directory.exists()
        place = self.root / f".new-{record.plan_id}-{record.round}" if is_new else directory
        if is_new:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(mode=0o700, parents=True)
        for left_over in place.glob("tmp-*"):
            left_over.unlink()
        for name, content in contents.items():
            write_durably(place / name, content)
        write_durably(place / "round.json", record.to_json())
        if is_new:
            directory.parent.mkdir(mode=0o700, exist_ok=True)
            fsync_directory(self.root)
            place.replace(directory)
            fsync_directory(directory.parent)
        return record

    def refuse_other(
        self, record: RoundRecord, new: RoundRecord, keys: Sequence[str], tables: Mapping[str, pa.Table]
    ) -> RoundRecord:
        """`record` if the step made again says the same; tables by content, as bytes change with the Parquet
        library.
        """
        different = [key for key in keys if getattr(record, key) != getattr(new, key)]
        for name, table in tables.items():
            stored = _read_parquet(self.file(record, f"{name}.parquet"))
            different += [] if stored.equals(table) else [name]
        if different:
            raise IntegrityError(
                f"{record.named()} is {record.state}: {', '.join(different)} cannot change any more. A round is drawn "
                "once; abort it with approval, or begin the next one"
            )
        return record


def refuse_aborted(record: RoundRecord) -> None:
    if record.state is State.ABORTED:
        raise IntegrityError(f"{record.named()} was aborted (see its abort.json): begin a new round")


def statement_bytes(statement: Mapping[str, Any]) -> bytes:
    """A statement as it is stored: canonical JSON and a line end."""
    return canonical_json(statement) + b"\n"


def constants(plan_id: str, round_: Round) -> dict[str, pa.Scalar]:
    return {
        "plan_id": pa.scalar(plan_id, _TEXT),
        "round": pa.scalar(round_, pa.int32() if isinstance(round_, int) else _TEXT),
    }


def normal(
    table: pa.Table, name: str, fixed: Mapping[str, pa.Scalar], *, is_sorted: bool = False
) -> pa.Table:
    """`table` as it is stored: the fixed columns, then the needed ones in their types, then the others; sorted
    by its key (`is_sorted`: it is already, as the draw's SQL gives it). Raises `BadInput` for a missing, empty or
    unreadable column.
    """
    kind = kind_of(name)
    missing = [column for column in COLUMNS[kind] if column not in table.column_names]
    if missing:
        raise BadInput(f"{name}: the column(s) {', '.join(missing)} are missing")
    columns: dict[str, Any] = {}
    for column, value in fixed.items():
        columns[column] = pa.repeat(value, table.num_rows)
        if column in table.column_names:
            given = _cast(table, column, value.type, name)
            if not given.combine_chunks().equals(columns[column]):
                raise BadInput(f"{name}: column {column} holds something else than {value.as_py()!r}")
    for column, type_ in COLUMNS[kind].items():
        columns[column] = _cast(table, column, type_, name)
        if columns[column].null_count:
            raise BadInput(f"{name}: column {column} has {columns[column].null_count} empty value(s)")
    columns |= {column: table[column] for column in table.column_names if column not in columns}
    result = pa.table(columns)
    if not is_sorted:
        result = result.sort_by([(column, "ascending") for column in _SORT_KEYS[kind]])
    return result.combine_chunks()


def _cast(table: pa.Table, column: str, type_: pa.DataType, name: str) -> pa.ChunkedArray:
    try:
        return table[column].cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadInput(
            f"{name}: column {column} is {table[column].type} and cannot be read as {type_}"
        ) from None


def _read_parquet(content: bytes) -> pa.Table:
    """A table from the bytes that were compared with their digest.

    On this thread alone: a reader thread of pyarrow that lets go of a Python object while the interpreter is ending
    aborts the process (signal 6 in 10 of 60 `draw list`).
    """
    return pq.read_table(pa.BufferReader(content), use_threads=False, pre_buffer=False)


def parquet(table: pa.Table) -> bytes:
    """The same bytes for the same table, with the same version of pyarrow."""
    sink = BytesIO()
    pq.write_table(
        table,
        sink,
        compression="zstd",
        compression_level=3,
        version="2.6",
        data_page_version="1.0",
        row_group_size=122_880,
    )
    return sink.getvalue()
