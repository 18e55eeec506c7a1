"""The extracts that are current: listing, publishing all, opening one. `extracts.publish` does one file."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
from rich.console import Console
from rich.table import Table

from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.audit.log import AuditLog, write_durably
from credit_pipeline.errors import BadInput
from credit_pipeline.extracts.answers import print_answer
from credit_pipeline.extracts.builder import extract_comments, prepare_extracts, unit_tables
from credit_pipeline.extracts.manifest import MANIFEST_NAME, read_manifest
from credit_pipeline.extracts.publish import open_extract, publish_extract
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import RunTarget, connect, lake_id

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """What a run published."""

    units: int
    new: int
    rows: int


def key_store(settings: Settings) -> KeyStore:
    """The keys, with the units' release keys in a folder of this lake's own."""
    return KeyStore(settings.keys_dir, lake=lake_id(settings))


def publish_all(settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None) -> Published:
    """Publish every unit's extract for the day; the same day and content again publishes nothing new.

    A replay of a past day publishes nothing: what units hold stays as it is.
    """
    if target.is_replay:
        log.info("extracts: a past day is computed again; nothing is published")
        return Published(len(list_extracts(settings)), 0, 0)
    keys = key_store(settings)
    checkpoint = CheckpointStore(settings.audit_dir / "checkpoints").add(audit, keys.signing_key())
    new = rows = 0
    with connect(settings, target.path) as connection:
        units = _units(connection, target.as_of_date)
        prepare_extracts(connection, target.as_of_date)
        for number, (unit_id, unit_name) in enumerate(units, start=1):
            publication = publish_extract(
                settings.extracts_dir / unit_id,
                unit_id,
                target.as_of_date,
                connection,
                unit_tables(unit_id, unit_name, target.as_of_date),
                keys,
                checkpoint=checkpoint,
                comments=extract_comments(),
            )
            new += publication.is_new
            rows += publication.manifest["tables"].get("enterprises", 0)
            if publication.is_new:
                audit.append(
                    "extract_published",
                    "extracts",
                    run_id,
                    unit_id=unit_id,
                    release_seq=publication.manifest["release_seq"],
                    sha256=publication.manifest["sha256"],
                )
            if number % 20 == 0 or number == len(units):
                log.info("extracts: %d of %d units", number, len(units))
    write_durably(
        settings.extracts_dir / "signing_key.pub", keys.public_key().public_bytes_raw().hex().encode() + b"\n"
    )
    return Published(len(units), new, rows)


def _units(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> list[tuple[str, str]]:
    return connection.execute(
        "select unit_id, unit_name from policy.units where effective_from <= $day and effective_to >= $day order by unit_id",
        {"day": as_of_date},
    ).fetchall()


def list_extracts(settings: Settings) -> list[dict[str, Any]]:
    """The current extract of every unit, from the manifests: no key is needed."""
    found = []
    for path in sorted(settings.extracts_dir.glob(f"*/{MANIFEST_NAME}")):
        manifest = read_manifest(path)
        found.append(
            {
                "unit_id": manifest["unit_id"],
                "as_of_date": manifest["as_of_date"],
                "release_seq": manifest["release_seq"],
                "file": str(path.parent / manifest["file"]),
                "size": manifest["size"],
                "sha256": manifest["sha256"],
                "enterprises": manifest["tables"]["enterprises"],
                "inspection_tasks": manifest["tables"]["inspection_tasks"],
            }
        )
    return found


def render_extracts(found: list[dict[str, Any]], console: Console) -> None:
    """Print the list for people."""
    if not found:
        console.print("no extract has been published yet; next: credit-pipeline run")
        return
    table = Table(title=f"{len(found)} extracts", title_justify="left")
    for name in ("unit", "as of", "release", "enterprises", "to inspect", "file"):
        table.add_column(name, overflow="fold")
    for item in found:
        numbers = (str(item["release_seq"]), f"{item['enterprises']:,}", f"{item['inspection_tasks']:,}")
        table.add_row(item["unit_id"], item["as_of_date"], *numbers, item["file"])
    console.print(table)


def open_unit_extract(
    settings: Settings, unit_id: str, *, sql: str | None, show_key: bool, console: Console
) -> None:
    """Verify signature, rollback and hash of a unit's extract, then show its tables or the answer to a query.

    Raises:
        BadInput: the unit has no extract, or the query is wrong.
        IntegrityError: the extract is not what was published.
    """
    directory = settings.extracts_dir / unit_id
    if not (directory / MANIFEST_NAME).exists():
        known = ", ".join(item["unit_id"] for item in list_extracts(settings)) or "none yet"
        raise BadInput(f"unit {unit_id} has no extract in {settings.extracts_dir}; units with one: {known}")
    keys = key_store(settings)
    release = read_manifest(directory / MANIFEST_NAME)["release_seq"]
    key = keys.unit_key(unit_id, release)
    seen_path = settings.keys_dir / "seen" / lake_id(settings) / f"{unit_id}.json"
    last_seen = json.loads(seen_path.read_text())["release_seq"] if seen_path.exists() else 0
    connection, manifest = open_extract(
        directory, keys.public_key(), key, unit_id=unit_id, last_seen_seq=last_seen
    )
    try:
        seen_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_durably(seen_path, json.dumps({"release_seq": manifest["release_seq"]}).encode())
        console.print(
            f"{manifest['file']}: signature, release {manifest['release_seq']} and SHA-256 are right; as of {manifest['as_of_date']}",
            highlight=False,
        )
        if show_key:
            console.print(
                f"file  {directory / manifest['file']}\nkey   {key}", highlight=False, soft_wrap=True
            )
            console.print(
                "python: duckdb.sql(\"attach 'FILE' as extract (read_only, encryption_key 'KEY')\")",
                highlight=False,
            )
            return
        _print_answer(connection, sql, console)
    finally:
        connection.close()


def _print_answer(connection: duckdb.DuckDBPyConnection, sql: str | None, console: Console) -> None:
    if sql is None:
        sql = (
            'select table_name as "表", estimated_size as "行数", comment as "说明" '
            "from duckdb_tables() where database_name = 'extract' order by 1"
        )
    try:
        answer = connection.execute(sql)
    except duckdb.Error as error:
        raise BadInput(f"the query is wrong: {error}") from None
    print_answer(
        [str(column[0]) for column in answer.description or []], iter(answer.fetchone, None), console
    )
