"""The rounds on file: each step of a draw in files that never change once written.

Here: `State`, `RoundRecord` and `RoundStore`, the immutable folder `<root>/<plan_id>/<round>/`. Not here: the SQL of the
draw and the root of the frame (`inspection.draw`), what is hashed (`inspection.protocol`), the audit events (the caller
appends `RoundRecord.public_facts()` after each step).

CONFIDENTIAL: every file of a round holds grades, or ranks that bound them. The seed and the reveals are never stored.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import date
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from credit_pipeline.audit.log import canonical_json, sha256_hex, write_durably
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.inspection import protocol
from credit_pipeline.inspection.draw import DRAW_SQL, QUOTA_PROBLEM_SQL, draw_round, frame_root
from credit_pipeline.inspection.protocol import Round

_STRATUM_PROBLEM_SQL = """
select quotas.unit_id, 'a stratum_size is not the number of eligible enterprises'
from {quotas} as quotas
left join (
    select unit_id, platform_grade, count(*) as size from {frame} where excluded_reason = '' group by all
) as eligible
    on eligible.unit_id = quotas.unit_id and eligible.platform_grade = quotas.platform_grade
where quotas.stratum_size <> coalesce(eligible.size, 0)
order by 1
limit 1
"""

_ASSIGNMENT_PROBLEM_SQL = """
select unit_id, uscc
from (
    select unit_id, uscc, count(distinct inspector_id) as inspectors, count(*) as rows from given group by all
) full join (
    select unit_id, uscc, true as drawn from draws where is_drawn
) using (unit_id, uscc)
where
    drawn is null
    or (unit_id in (select unnest($units))) <> (rows is null)
    or rows < 2
    or rows <> inspectors
order by all
limit 1
"""


class State(StrEnum):
    """The steps of a round, forward only. ABORTED ends one before it is closed; its round number is not
    used again.
    """

    FRAME_FROZEN = "FRAME_FROZEN"
    COMMITTED = "COMMITTED"
    ENTROPY = "ENTROPY"
    DRAWN = "DRAWN"
    ASSIGNED = "ASSIGNED"
    CLOSED = "CLOSED"
    ABORTED = "ABORTED"


_ORDER = list(State)


@dataclass(frozen=True)
class RoundRecord:
    """`round.json`. `files` maps each file of the round to its SHA-256; `rule` is the plan's, as given at
    the freeze.
    """

    plan_id: str
    round: Round
    state: State
    frozen_date: date
    rule: dict[str, Any] = field(hash=False)
    frame_root: str
    frame_size: int
    eligible_count: int
    unit_sizes: dict[str, int] = field(hash=False)
    files: dict[str, str] = field(hash=False)
    commitments: tuple[tuple[str, str], ...] = ()
    """(party, commitment) in the order in which their reveals are combined."""
    entropy: str | None = None
    seed_commitment: str | None = None
    draw_sql_sha256: str | None = None
    drawn_count: int | None = None
    unassigned_units: tuple[str, ...] | None = None
    aborted_from: State | None = None
    abort_reason: str | None = None
    approvers: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        return canonical_json(vars(self) | {"frozen_date": self.frozen_date.isoformat()}) + b"\n"

    @classmethod
    def from_json(cls, text: bytes, path: Path) -> RoundRecord:
        try:
            content = json.loads(text)
            if set(content) != {item.name for item in fields(cls)}:
                raise ValueError("its fields are not those of a round")
            content["state"] = State(content["state"])
            content["frozen_date"] = date.fromisoformat(content["frozen_date"])
            content["commitments"] = tuple((party, committed) for party, committed in content["commitments"])
            content["approvers"] = tuple(content["approvers"])
            if content["unassigned_units"] is not None:
                content["unassigned_units"] = tuple(content["unassigned_units"])
            if content["aborted_from"] is not None:
                content["aborted_from"] = State(content["aborted_from"])
            return cls(**content)
        except (ValueError, TypeError) as error:
            raise IntegrityError(
                f"{path}: not the record of a round ({error}); restore the folder from a copy"
            ) from None

    def public_facts(self) -> dict[str, Any]:
        """What an audit event may say of the round: ids, counts, roots and digests, nothing by grade."""
        return {
            "plan_id": self.plan_id,
            "round": self.round,
            "state": str(self.state),
            "frame_root": self.frame_root,
            "frame_size": self.frame_size,
            "unit_sizes": self.unit_sizes,
            "files": self.files,
            "commitments": [list(item) for item in self.commitments],
            "entropy": self.entropy,
            "seed_commitment": self.seed_commitment,
            "drawn_count": self.drawn_count,
            "unassigned_units": None if self.unassigned_units is None else list(self.unassigned_units),
        }


_TEXT, _COUNT = pa.string(), pa.int64()
_FRAME = {
    "unit_id": _TEXT,
    "uscc": _TEXT,
    "platform_grade": _TEXT,
    "is_safety_related": pa.bool_(),
    "excluded_reason": _TEXT,
}
_QUOTAS = {
    "unit_id": _TEXT,
    "platform_grade": _TEXT,
    "stratum_size": _COUNT,
    "ratio_bp": pa.int32(),
    "rounding": _TEXT,
    "quota": _COUNT,
    "basis": _TEXT,
}
_DRAW = {
    "unit_id": _TEXT,
    "uscc": _TEXT,
    "platform_grade": _TEXT,
    "ticket": _TEXT,
    "rank": _COUNT,
    "stratum_size": _COUNT,
    "quota": _COUNT,
    "is_drawn": pa.bool_(),
}
_ASSIGNMENTS = {
    "unit_id": _TEXT,
    "uscc": _TEXT,
    "inspector_id": _TEXT,
    "role": _TEXT,
    "position": pa.int32(),
}
_SORT_KEYS = {
    "frame.parquet": ("unit_id", "uscc"),
    "quotas.parquet": ("unit_id", "platform_grade"),
    "draw.parquet": ("unit_id", "platform_grade", "rank"),
    "assignments.parquet": ("unit_id", "uscc", "position"),
}


class RoundStore:
    """The rounds under `root`, a folder each. Each step is made once: the same again is a no-op, another is
    refused.

    A step writes its tables, then `round.json`, each whole and on disk before it has its name. So a crash at
    any edge leaves the round in its earlier state, and the step made again gives the same bytes.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def directory(self, plan_id: str, round_: Round) -> Path:
        return (
            self.root
            / protocol.checked("plan_id", plan_id, protocol.PLAN_PATTERN)
            / protocol.round_text(round_)
        )

    def state(self, plan_id: str, round_: Round) -> State | None:
        """The last finished step, or None for a round not begun."""
        return self.record(plan_id, round_).state if self._path(plan_id, round_).exists() else None

    def record(self, plan_id: str, round_: Round) -> RoundRecord:
        path = self._path(plan_id, round_)
        if not path.exists():
            raise BadInput(f"plan {plan_id}, round {round_}: not begun; freeze its frame first")
        record = RoundRecord.from_json(path.read_bytes(), path)
        if (record.plan_id, protocol.round_text(record.round)) != (plan_id, protocol.round_text(round_)):
            raise IntegrityError(
                f"{path}: it is the record of plan {record.plan_id}, round {record.round}: it was moved"
            )
        return record

    def records(self) -> list[RoundRecord]:
        """All rounds, by plan and round."""
        paths = sorted(self.root.glob("*/*/round.json"))
        return [self.record(path.parent.parent.name, path.parent.name) for path in paths]

    def table(self, plan_id: str, round_: Round, name: str) -> pa.Table:
        """`frame`, `quotas`, `draw` or `assignments` of the round, after comparing the file with its
        recorded digest.
        """
        record, file = self.record(plan_id, round_), f"{name}.parquet"
        if file not in record.files:
            raise BadInput(
                f"plan {plan_id}, round {round_}: there is no {name} yet, the round is {record.state}"
            )
        return self._stored(record, file)

    def freeze(
        self,
        plan_id: str,
        round_: Round,
        frame: pa.Table,
        quotas: pa.Table,
        frozen_date: date,
        rule: Mapping[str, Any],
        *,
        frame_salt: bytes,
    ) -> RoundRecord:
        """FRAME_FROZEN: `frame` (every enterprise, excluded ones with their reason) and `quotas` stand from
        now on.

        Columns needed: see `_FRAME` and `_QUOTAS`; others are kept; plan_id, round and frozen_date are added.
        `rule` is the plan's rule as JSON without floats; `frame_salt` is `protocol.round_salt` of the
        office's key.
        """
        constants = _constants(plan_id, round_) | {"frozen_date": pa.scalar(frozen_date, pa.date32())}
        tables = {
            "frame.parquet": _normal(frame, _FRAME, constants, "frame.parquet"),
            "quotas.parquet": _normal(quotas, _QUOTAS, constants, "quotas.parquet"),
        }
        with closing(_private_connection()) as connection:
            connection.register("frozen_frame", tables["frame.parquet"])
            connection.register("frozen_quotas", tables["quotas.parquet"])
            root = frame_root(connection, frame_table="frozen_frame", frame_salt=frame_salt)
            names = {"frame": "frozen_frame", "quotas": "frozen_quotas"}
            problem = connection.execute(QUOTA_PROBLEM_SQL.format(**names)).fetchone()
            problem = problem or connection.execute(_STRATUM_PROBLEM_SQL.format(**names)).fetchone()
            if problem:
                raise BadInput(f"quotas of unit {problem[0]}: {problem[1]}")
            eligible = connection.execute(
                "select count(*) from frozen_frame where excluded_reason = ''"
            ).fetchone()
        new = RoundRecord(
            plan_id, round_, State.FRAME_FROZEN, frozen_date, json.loads(canonical_json(rule)),
            root.root, root.size, eligible[0] if eligible else 0, root.unit_sizes, {},
        )  # fmt: skip
        with self._locked():
            if self.state(plan_id, round_) is None:
                return self._write(new, tables)
            _refuse_aborted(self.record(plan_id, round_))
            same = ("frozen_date", "rule", "frame_root", "frame_size", "eligible_count", "unit_sizes")
            return self._refuse_other(self.record(plan_id, round_), new, same, tables)

    def commit(self, plan_id: str, round_: Round, commitments: Sequence[tuple[str, str]]) -> RoundRecord:
        """COMMITTED: (party, commitment) of every party, in the plan's order, before the entropy can be
        known.
        """
        for party, committed in commitments:
            protocol.checked("party", party, protocol.PARTY_PATTERN)
            protocol.checked(f"commitment of {party}", committed, protocol.HASH_PATTERN)
        if not commitments or len({party for party, _ in commitments}) != len(commitments):
            raise BadInput("a round needs at least one party, and each party once")
        return self._advance(
            plan_id, round_, State.COMMITTED, commitments=tuple((p, c) for p, c in commitments)
        )

    def set_entropy(self, plan_id: str, round_: Round, entropy: str) -> RoundRecord:
        """ENTROPY: the public number, such as "KL8:2026123:01.02...", or `protocol.NO_ENTROPY`."""
        return self._advance(
            plan_id,
            round_,
            State.ENTROPY,
            entropy=protocol.checked("entropy", entropy, protocol.ENTROPY_PATTERN),
        )

    def seed(self, plan_id: str, round_: Round, reveals: Mapping[str, str]) -> str:
        """The seed of a round that has its entropy. Raises `IntegrityError` if a reveal does not open its
        commitment.
        """
        record = self.record(plan_id, round_)
        if record.entropy is None:
            raise BadInput(f"plan {plan_id}, round {round_} is {record.state}: its entropy is not set")
        return protocol.draw_seed(
            plan_id,
            record.round,
            frame_root=record.frame_root,
            commitments=record.commitments,
            reveals=reveals,
            entropy=record.entropy,
        )

    def draw(
        self,
        plan_id: str,
        round_: Round,
        reveals: Mapping[str, str],
        connection: duckdb.DuckDBPyConnection | None = None,
    ) -> RoundRecord:
        """DRAWN: draws from the frozen files, checked by digest, and records the result. Again: the same
        or refused.
        """
        tickets = self._tickets(plan_id, round_, reveals, connection)
        return self._record_draw(plan_id, round_, tickets, self.seed(plan_id, round_, reveals))

    def record_draw(
        self, plan_id: str, round_: Round, tickets: pa.Table, *, reveals: Mapping[str, str]
    ) -> RoundRecord:
        """DRAWN with `tickets` drawn elsewhere (Spark). Raises `IntegrityError` unless a draw here gives
        the same.
        """
        given = _normal(
            tickets, _DRAW, _constants(plan_id, self.record(plan_id, round_).round), "draw.parquet"
        )
        own = self._tickets(plan_id, round_, reveals, None)
        if not given.select(own.column_names).equals(own):
            raise IntegrityError(
                f"plan {plan_id}, round {round_}: the tickets are not those of the frozen frame and seed"
            )
        return self._record_draw(plan_id, round_, own, self.seed(plan_id, round_, reveals))

    def record_assignment(
        self, plan_id: str, round_: Round, assignments: pa.Table, unassigned_units: Sequence[str] = ()
    ) -> RoundRecord:
        """ASSIGNED: who visits each drawn enterprise. Units without a possible assignment are named, not
        left out.
        """
        constants = _constants(plan_id, self.record(plan_id, round_).round)
        table = _normal(assignments, _ASSIGNMENTS, constants, "assignments.parquet")
        units = tuple(sorted(set(unassigned_units)))
        with closing(_private_connection()) as connection:
            connection.register("given", table)
            connection.register("draws", self.table(plan_id, round_, "draw"))
            problem = connection.execute(
                _ASSIGNMENT_PROBLEM_SQL,
                {"units": list(units)},
            ).fetchone()
        if problem:
            raise BadInput(
                f"assignments, unit {problem[0]}, enterprise {problem[1]}: it is not drawn, or it has fewer "
                "than two "
                "different inspectors and its unit is not listed as unassigned, or is both listed and "
                "assigned"
            )
        return self._advance(
            plan_id, round_, State.ASSIGNED, {"assignments.parquet": table}, unassigned_units=units
        )

    def close(self, plan_id: str, round_: Round) -> RoundRecord:
        """CLOSED: the inspections are done; nothing of the round changes any more."""
        return self._advance(plan_id, round_, State.CLOSED)

    def abort(self, plan_id: str, round_: Round, reason: str, approvers: Sequence[str]) -> RoundRecord:
        """ABORTED, with the approvers' ids: one before the entropy is known, three after, when the result
        could be.
        """
        with self._locked():
            record = self.record(plan_id, round_)
            if record.state is State.CLOSED:
                raise BadInput(f"plan {plan_id}, round {round_} is closed and cannot be aborted")
            before = record.aborted_from or record.state
            needed = 3 if _ORDER.index(before) >= _ORDER.index(State.ENTROPY) else 1
            if not reason.strip() or len(set(approvers)) < needed:
                raise BadInput(
                    f"aborting a round that is {before} needs a reason and {needed} different approvers"
                )
            new = replace(
                record,
                state=State.ABORTED,
                aborted_from=before,
                abort_reason=reason,
                approvers=tuple(sorted(set(approvers))),
            )
            if record.state is State.ABORTED:
                return self._refuse_other(record, new, ("abort_reason", "approvers"), {})
            return self._write(new, {})

    def _tickets(
        self,
        plan_id: str,
        round_: Round,
        reveals: Mapping[str, str],
        connection: duckdb.DuckDBPyConnection | None,
    ) -> pa.Table:
        record, seed = self.record(plan_id, round_), self.seed(plan_id, round_, reveals)
        own = _private_connection() if connection is None else connection.cursor()
        with closing(own):
            own.register("frozen_frame", self._stored(record, "frame.parquet"))
            own.register("frozen_quotas", self._stored(record, "quotas.parquet"))
            tickets = draw_round(own, frame_table="frozen_frame", quotas_table="frozen_quotas", seed=seed)
            own.unregister("frozen_frame")
            own.unregister("frozen_quotas")
        return _normal(tickets, _DRAW, _constants(plan_id, record.round), "draw.parquet")

    def _record_draw(self, plan_id: str, round_: Round, tickets: pa.Table, seed: str) -> RoundRecord:
        return self._advance(
            plan_id,
            round_,
            State.DRAWN,
            {"draw.parquet": tickets},
            seed_commitment=protocol.seed_commitment(seed),
            drawn_count=sum(tickets["is_drawn"].to_pylist()),
            draw_sql_sha256=sha256_hex(DRAW_SQL.encode()),
        )

    def _advance(
        self,
        plan_id: str,
        round_: Round,
        to: State,
        tables: Mapping[str, pa.Table] | None = None,
        **changes: Any,
    ) -> RoundRecord:
        with self._locked():
            record = self.record(plan_id, round_)
            new = replace(record, state=to, **changes)
            _refuse_aborted(record)
            if _ORDER.index(record.state) >= _ORDER.index(to):
                # The text of the SQL may change with the software; what counts is that it gives the same
                # tickets.
                return self._refuse_other(
                    record, new, [key for key in changes if key != "draw_sql_sha256"], tables or {}
                )
            if _ORDER.index(record.state) + 1 != _ORDER.index(to):
                raise BadInput(f"plan {plan_id}, round {round_} is {record.state}: it cannot become {to} yet")
            return self._write(new, tables or {})

    def _refuse_other(
        self, record: RoundRecord, new: RoundRecord, keys: Sequence[str], tables: Mapping[str, pa.Table]
    ) -> RoundRecord:
        """`record` if the step made again says the same; tables by content, as bytes change with the
        Parquet library.
        """
        different = [key for key in keys if getattr(record, key) != getattr(new, key)]
        different += [file for file, table in tables.items() if not self._stored(record, file).equals(table)]
        if different:
            raise IntegrityError(
                f"plan {record.plan_id}, round {record.round} is {record.state}: {', '.join(different)} "
                "cannot change any "
                f"more. A round is drawn once; abort it with approval, or begin the next one"
            )
        return record

    def _write(self, record: RoundRecord, tables: Mapping[str, pa.Table]) -> RoundRecord:
        directory = self.directory(record.plan_id, record.round)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left_over in directory.glob("tmp-*"):
            left_over.unlink()
        files = dict(record.files)
        for file, table in tables.items():
            content = _parquet(table)
            write_durably(directory / file, content)
            files[file] = sha256_hex(content)
        record = replace(record, files=files)
        write_durably(directory / "round.json", record.to_json())
        return record

    def _stored(self, record: RoundRecord, file: str) -> pa.Table:
        path = self.directory(record.plan_id, record.round) / file
        content = path.read_bytes() if path.exists() else b""
        if sha256_hex(content) != record.files[file]:
            raise IntegrityError(
                f"{path}: not the file that was frozen (its SHA-256 differs); restore it from a copy"
            )
        return pq.read_table(BytesIO(content))

    def _path(self, plan_id: str, round_: Round) -> Path:
        return self.directory(plan_id, round_) / "round.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _refuse_aborted(record: RoundRecord) -> None:
    if record.state is State.ABORTED:
        raise IntegrityError(
            f"plan {record.plan_id}, round {record.round} was aborted ({record.abort_reason}): begin a new "
            "round"
        )


def _private_connection() -> duckdb.DuckDBPyConnection:
    """In memory and without a folder to spill to: a plain temporary file with grades can never come to be."""
    return duckdb.connect(":memory:", config={"temp_directory": "", "autoload_known_extensions": "false"})


def _constants(plan_id: str, round_: Round) -> dict[str, pa.Scalar]:
    return {
        "plan_id": pa.scalar(plan_id, _TEXT),
        "round": pa.scalar(round_, pa.int32() if isinstance(round_, int) else _TEXT),
    }


def _normal(
    table: pa.Table, types: Mapping[str, pa.DataType], constants: Mapping[str, pa.Scalar], file: str
) -> pa.Table:
    """`table` as it is stored: constants, then the needed columns in their types, then the others; sorted
    by its key.
    """
    missing = [name for name in types if name not in table.column_names]
    if missing:
        raise BadInput(f"{file}: the column(s) {', '.join(missing)} are missing")
    columns: dict[str, Any] = {}
    for name, value in constants.items():
        columns[name] = pa.repeat(value, table.num_rows)
        if name in table.column_names:
            given = _cast(table, name, value.type, file)
            if not given.combine_chunks().equals(columns[name]):
                raise BadInput(f"{file}: column {name} holds something else than {value.as_py()!r}")
    for name, kind in types.items():
        columns[name] = _cast(table, name, kind, file)
        if columns[name].null_count:
            raise BadInput(f"{file}: column {name} has {columns[name].null_count} empty value(s)")
    columns |= {name: table[name] for name in table.column_names if name not in columns}
    result = pa.table(columns).sort_by([(name, "ascending") for name in _SORT_KEYS[file]])
    return result.combine_chunks()


def _cast(table: pa.Table, name: str, kind: pa.DataType, file: str) -> pa.ChunkedArray:
    try:
        return table[name].cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise BadInput(f"{file}: column {name} is {table[name].type} and cannot be read as {kind}") from None


def _parquet(table: pa.Table) -> bytes:
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
