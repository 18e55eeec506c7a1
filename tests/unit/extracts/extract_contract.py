"""What units rely on: tables and views of an extract with their columns, types and comments, as one JSON document.

Run `python tests/unit/extracts/extract_contract.py` to write `contract.json` anew after adding something. It refuses when
something went or changed its type and CONTRACT_VERSION was not raised.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parent))
from extract_warehouse import DAY, extract_warehouse

from credit_pipeline.extracts.builder import (
    CONTRACT_VERSION,
    extract_comments,
    prepare_extracts,
    unit_tables,
    unit_views,
)
from credit_pipeline.extracts.encrypted_file import build_encrypted

GOLDEN = Path(__file__).with_name("contract.json")


def finished_extract(folder: Path, unit_id: str = "U", **options: Any) -> tuple[Path, str]:
    """An encrypted extract of the small warehouse, and its key."""
    connection = options.pop("connection", None) or extract_warehouse()
    connection.execute("set temp_file_encryption = true")
    prepare_extracts(connection, DAY, **options)
    key, path = secrets.token_hex(32), folder / f"{unit_id}-{secrets.token_hex(4)}.duckdb"
    tables = unit_tables(unit_id, "甲局", DAY, release_seq=1, watermark="0123456789abcdef0123")
    build_encrypted(connection, tables, path, key, comments=extract_comments(), views=unit_views())
    return path, key


def attached(path: Path, key: str) -> duckdb.DuckDBPyConnection:
    """The extract as a unit opens it: plain duckdb, read only."""
    connection = duckdb.connect()
    connection.execute(f"attach '{path}' as extract (read_only, encryption_key '{key}')")
    connection.execute("use extract")
    return connection


def described(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """The contract of an attached extract."""
    comments = connection.execute(
        """select table_name, '表', comment from duckdb_tables() where database_name = 'extract'
        union all
        select view_name, '视图', comment from duckdb_views() where database_name = 'extract' and not internal order by 1"""
    ).fetchall()
    found: dict[str, Any] = {
        name: {"kind": kind, "comment": comment, "columns": {}} for name, kind, comment in comments
    }
    for name, column, data_type, comment in connection.execute(
        """select table_name, column_name, data_type, comment from duckdb_columns()
        where database_name = 'extract' and not internal order by table_name, column_index"""
    ).fetchall():
        found[name]["columns"][column] = {"type": data_type, "comment": comment}
    return {"contract_version": CONTRACT_VERSION, "contents": found}


def breaks(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What readers of the old contract would miss."""
    found = []
    for name, old in before["contents"].items():
        new = now["contents"].get(name)
        if new is None:
            found.append(f"{name} is gone")
            continue
        if old["kind"] != new["kind"]:
            found.append(f"{name} is a {new['kind']} now")
        for column, told in old["columns"].items():
            if column not in new["columns"]:
                found.append(f"{name}.{column} is gone")
            elif new["columns"][column]["type"] != told["type"]:
                found.append(
                    f"{name}.{column} is {new['columns'][column]['type']} now, it was {told['type']}"
                )
    return found


def may_replace(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """Why the golden file must not be written: breaking changes under the old version."""
    if before is None or now["contract_version"] > before["contract_version"]:
        return []
    return breaks(before, now)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        now = described(attached(*finished_extract(Path(folder))))
    before = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else None
    if refused := may_replace(before, now):
        remedy = "units rely on these: raise CONTRACT_VERSION in credit_pipeline/extracts/builder.py"
        sys.stderr.write("\n".join([*refused, remedy]) + "\n")
        return 1
    GOLDEN.write_text(json.dumps(now, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
