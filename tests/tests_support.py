"""An office of the tests: its folders and the command that users type, run in them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

COMMAND = str(Path(sys.executable).with_name("credit-pipeline"))
ENTERPRISES = 1_200
TIMEOUT_S = 900


@dataclass
class Place:
    """One city office: its folders, and the command run in them."""

    root: Path
    landing: Path
    lake: Path
    as_of: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def run(self, as_of: str | None = None) -> dict[str, Any]:
        done = self.command(
            "run",
            "--landing",
            str(self.landing),
            "--lake",
            str(self.lake),
            "--as-of",
            as_of or self.as_of,
            "--json",
        )
        return json.loads(done.stdout)

    def query(self, sql: str, path: Path | None = None) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(path or self.lake / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def tables(self, path: Path | None = None) -> dict[str, str]:
        """A digest of every table's rows in the order in which they stand."""
        with duckdb.connect(str(path or self.lake / "warehouse.duckdb"), read_only=True) as connection:
            names = connection.execute(
                "select table_schema, table_name from information_schema.tables where table_type = 'BASE TABLE' order by 1, 2"
            ).fetchall()
            return {
                f"{schema}.{table}": hashlib.sha256(
                    repr(connection.execute(f'select * from "{schema}"."{table}"').fetchall()).encode()
                ).hexdigest()
                for schema, table in names
            }


def make_place(root: Path, *, keys: Path | None = None, extra: Mapping[str, str] | None = None) -> Place:
    """An office with folders, keys and Dagster history of its own."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("CREDIT_", "DAGSTER_"))
    }
    environment |= {
        "CREDIT_KEYS_DIR": str(keys or root / "keys"),
        "DAGSTER_HOME": str(root / "dagster_home"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        **(extra or {}),
    }
    return Place(root, root / "landing", root / "lake", environment=environment)


def make_city(
    place: Place, *, enterprises: int = ENTERPRISES, seed: int = 11, days: int = 1, dirt: float = 0.03
) -> Place:
    """The synthetic city in the office's landing folder."""
    place.command(
        "sample", "--out", str(place.landing), "--enterprises", str(enterprises), "--seed", str(seed),
        "--days", str(days), "--dirt", str(dirt),
    )  # fmt: skip
    place.as_of = (place.landing / "as_of").read_text().strip()
    return place
