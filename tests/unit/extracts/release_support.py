"""A small office for tests of releases: keys, a source of rows, publishing, and both ways of opening."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.extracts import read_extract
from credit_pipeline.extracts.encrypted_file import Comments
from credit_pipeline.extracts.key_changes import ensure_escrow
from credit_pipeline.extracts.manifest import Terms
from credit_pipeline.extracts.opening import OpenedRelease, open_extract
from credit_pipeline.extracts.publish import Contents, DocumentWriter, Publication, publish_extract
from credit_pipeline.keys import KeyStore
from credit_pipeline.keys.age import excel_password, new_identity
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.keys.recipients import Register
from credit_pipeline.warehouse import load_httpfs

DAY = date(2026, 3, 1)
UNIT = "A01"
CANARY = "CANARY-严重失信-E"
TABLES: dict[str, str | pa.Table] = {
    "enterprise_grades": "select * from grades order by uscc",
    "unit": pa.table({"unit_id": [UNIT], "label": ["市场监管局"]}),
}
COMMENTS = {
    "enterprise_grades": Comments(
        "企业信用等级（不得公开）", {"grade": "信用等级", "paid_fen": "罚没金额（分）, it's in fen"}
    ),
    "按等级": Comments("各等级企业数", {"企业数": "企业数"}),
}
VIEWS = {"按等级": 'select grade, count(*) as "企业数" from enterprise_grades group by all'}


def connect_source(spill: Path) -> duckdb.DuckDBPyConnection:
    """A source with 500 graded enterprises, spilling encrypted."""
    config: dict[str, Any] = {"temp_file_encryption": "true", "temp_directory": str(spill), "threads": "2"}
    connection = duckdb.connect(":memory:", config=config)
    load_httpfs(connection)
    connection.execute(
        """create table grades as
        select 'U' || i as uscc, date '2026-03-01' as graded_on, i * 100 as paid_fen, null as note, ? as grade
        from range(500) as r(i)""",
        [CANARY],
    )
    return connection


def write_document(path: Path, connection: duckdb.DuckDBPyConnection, key: str) -> None:
    """Stands for the workbook: a file made from the finished extract and its password."""
    [(count,)] = connection.execute("select count(*) from enterprise_grades").fetchall()
    path.write_text(f"{count} {excel_password(key)}", "utf-8")


@dataclass
class Office:
    """One unit's releases under `root`, the office's keys, and the unit's own identity file."""

    root: Path
    source: duckdb.DuckDBPyConnection
    documents: Mapping[str, DocumentWriter] = field(default_factory=lambda: {"xlsx": write_document})
    companions: Mapping[str, bytes] = field(
        default_factory=lambda: {"read_extract.py": Path(read_extract.__file__).read_bytes()}
    )

    def __post_init__(self) -> None:
        self.keys = KeyStore(self.root / "keys")
        self.register = Register(self.keys)
        self.audit = AuditLog(self.root / "audit" / "log.jsonl")
        self.folder = self.root / "extracts" / UNIT
        ensure_escrow(self.keys, self.audit)

    def publish(
        self, *, extra: int = 0, day: date = DAY, unit: str = UNIT, folder: Path | None = None
    ) -> Publication:
        contents = Contents(
            tables=lambda seq: (
                TABLES | {"extra": f"select {extra} as n", "notice": pa.table({"release_seq": [seq]})}
            ),
            views=VIEWS,
            comments=COMMENTS,
            documents=self.documents,
            companions=self.companions,
        )
        return publish_extract(
            folder or self.folder,
            unit,
            day,
            self.source,
            contents,
            self.keys,
            terms=Terms(4, "监管", date(2027, 3, 1)),
            checkpoint={"size": 5, "head": "e" * 64},
        )

    def open(self, folder: Path | None = None, **more: Any) -> OpenedRelease:
        identities = more.pop("identities", None) or self.register.identities_here(UNIT)
        given = {"unit_id": UNIT} | more
        return open_extract(folder or self.folder, trusted_keys(self.keys), identities, **given)

    def rows(self, sql: str, folder: Path | None = None, **more: Any) -> list[tuple[Any, ...]]:
        opened = self.open(folder, **more)
        with opened.connection as connection:
            return connection.execute(sql).fetchall()

    def read(
        self, sql: str, identity: Path, folder: Path | None = None, **more: Any
    ) -> list[tuple[Any, ...]]:
        """The same, by the unit's own reader."""
        opened = read_extract.prove_and_open(str(folder or self.folder), str(identity), **more)
        with opened.connection as connection:
            return connection.execute(sql).fetchall()

    def unit_identity(self, name: str = "unit.agekey") -> tuple[Path, str]:
        """A new identity file of the unit, and its public key."""
        content, recipient = new_identity()
        path = self.root / name
        path.write_bytes(content)
        path.chmod(0o600)
        return path, recipient

    def register_unit(self, name: str = "unit.agekey", unit: str = UNIT) -> Path:
        path, recipient = self.unit_identity(name)
        self.register.add(unit, recipient, "2026-03-01T00:00:00Z")
        return path
