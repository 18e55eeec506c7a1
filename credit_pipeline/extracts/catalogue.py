"""The extracts that are current: publishing all, listing, opening one. `extracts.publish` does one unit's release."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyrage
from rich.console import Console
from rich.table import Table

from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.audit.log import AuditLog, write_durably
from credit_pipeline.errors import BadInput
from credit_pipeline.extracts import read_extract
from credit_pipeline.extracts.answers import print_answer
from credit_pipeline.extracts.builder import (
    CONTRACT_VERSION,
    extract_comments,
    prepare_extracts,
    unit_tables,
    unit_views,
)
from credit_pipeline.extracts.changes import keep_state
from credit_pipeline.extracts.documents import unit_documents
from credit_pipeline.extracts.key_changes import ensure_escrow
from credit_pipeline.extracts.manifest import MANIFEST_NAME, Terms, is_form_1, manifest_sha256, read_manifest
from credit_pipeline.extracts.opening import OpenedRelease, open_extract
from credit_pipeline.extracts.options import UnitOptions, read_options
from credit_pipeline.extracts.publish import Contents, publish_extract
from credit_pipeline.extracts.release_files import database_name
from credit_pipeline.keys import KeyStore
from credit_pipeline.keys.age import excel_password, read_identity
from credit_pipeline.keys.files import ensure_directories
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.keys.recipients import Register
from credit_pipeline.settings import PROJECT_ROOT, Settings
from credit_pipeline.warehouse import RunTarget, connect, lake_id

log = logging.getLogger(__name__)

PURPOSE = "信用风险分级分类监管：确定监督检查的对象、频次和方式。仅供参考，不得公开，不得单独作为处罚、许可限制的依据"
GUIDE_NAME = "使用说明.md"
GUIDE_PATH = PROJECT_ROOT / "docs" / "for-units.zh-CN.md"


@dataclass(frozen=True)
class Published:
    """What a run published, and for how many of the units the office holds the key."""

    units: int
    new: int
    rows: int
    office_held: int


def publish_all(settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None) -> Published:
    """Publish every unit's extract for the day; the same day and content again publishes nothing new.

    A replay of a past day publishes nothing: what units hold stays as it is.
    """
    if target.is_replay:
        log.info("extracts: a past day is computed again; nothing is published")
        return Published(len(list_extracts(settings)), 0, 0, office_held(settings))
    keys = KeyStore(settings.keys_dir)
    ensure_escrow(keys, audit, run_id)
    checkpoints = CheckpointStore(settings.audit_dir / "checkpoints")
    checkpoint = checkpoints.add(audit, keys.signing_key(), trusted=trusted_keys(keys))
    new = rows = held = 0
    with connect(settings, target.path) as connection:
        units = _units(connection, target.as_of_date)
        terms = Terms(CONTRACT_VERSION, PURPOSE, _valid_until(connection, target.as_of_date))
        prepare_extracts(
            connection,
            target.as_of_date,
            quarantine_dir=settings.quarantine_dir,
            state_dir=settings.extract_state_dir,
        )
        options = read_options(connection, target.as_of_date)
        for number, (unit_id, unit_name) in enumerate(units, start=1):
            publication = publish_extract(
                settings.extracts_dir / unit_id,
                unit_id,
                target.as_of_date,
                connection,
                unit_contents(unit_id, unit_name, target.as_of_date, keys, options.of(unit_id)),
                keys,
                terms=terms,
                checkpoint=checkpoint,
            )
            manifest = publication.manifest
            new += publication.is_new
            held += manifest["key_mode"] == "office"
            rows += manifest["tables"].get("enterprises", 0)
            if publication.is_new:
                audit.append(
                    "extract_published",
                    "extracts",
                    run_id,
                    unit_id=unit_id,
                    release_seq=manifest["release_seq"],
                    manifest_sha256=manifest_sha256(manifest),
                    key_ids=manifest["recipients"],
                )
            if number % 20 == 0 or number == len(units):
                log.info("extracts: %d of %d units", number, len(units))
        keep_state(connection, target.as_of_date, settings.extract_state_dir)
    write_durably(
        settings.extracts_dir / "signing_key.pub", keys.public_key().public_bytes_raw().hex().encode() + b"\n"
    )
    return Published(len(units), new, rows, held)


def unit_contents(
    unit_id: str, unit_name: str, as_of_date: date, keys: KeyStore, options: UnitOptions
) -> Contents:
    """What one unit's release is made of, of the rows that `prepare_extracts` made."""
    return Contents(
        tables=lambda release_seq: unit_tables(
            unit_id,
            unit_name,
            as_of_date,
            release_seq=release_seq,
            watermark=keys.watermark(unit_id, release_seq),
        ),
        views=unit_views(shows_grade_to_inspectors=options.inspector_grade),
        comments=extract_comments(),
        documents=unit_documents(options),
        companions={
            "read_extract.py": Path(read_extract.__file__).read_bytes(),
            GUIDE_NAME: GUIDE_PATH.read_bytes(),
        },
    )


def _units(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> list[tuple[str, str]]:
    return connection.execute(
        "select unit_id, unit_name from policy.units where effective_from <= $day and effective_to >= $day order by unit_id",
        {"day": as_of_date},
    ).fetchall()


def _valid_until(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> date:
    """As long as the grades in it may be used (policy parameter grade_validity_months)."""
    row = connection.execute(
        """select ($day::date + to_months(coalesce(max(value), 1)::integer))::date from policy.model_policy
        where parameter = 'grade_validity_months' and effective_from <= $day and effective_to >= $day""",
        {"day": as_of_date},
    ).fetchone()
    found: date = row[0] if row else as_of_date
    return found


def list_extracts(settings: Settings) -> list[dict[str, Any]]:
    """The current extract of every unit, from the manifests: no key is needed."""
    found = []
    for path in sorted(settings.extracts_dir.glob(f"*/{MANIFEST_NAME}")):
        manifest = read_manifest(path)
        if is_form_1(manifest):
            continue  # the next run publishes it anew
        name = database_name(manifest["unit_id"], manifest["release_seq"])
        found.append(
            {
                "unit_id": manifest["unit_id"],
                "as_of_date": manifest["as_of_date"],
                "valid_until": manifest["valid_until"],
                "release_seq": manifest["release_seq"],
                "key_mode": manifest["key_mode"],
                "file": str(path.parent / name),
                **manifest["files"][name],
                "enterprises": manifest["tables"]["enterprises"],
                "inspection_tasks": manifest["tables"]["inspection_tasks"],
            }
        )
    return found


def office_held(settings: Settings) -> int:
    """For how many units the office holds the key of the current release: a default for development."""
    return sum(item["key_mode"] == "office" for item in list_extracts(settings))


def office_held_line(count: int) -> str:
    """The same in words, with the command that ends it; empty when every unit holds its own key."""
    if not count:
        return ""
    return (
        f"Keys: the office holds the key of {count} unit(s), which is a default for development: it could read what "
        "only they should. Register each unit's own: credit-pipeline keys add UNIT --recipient age1…"
    )


def render_extracts(found: list[dict[str, Any]], console: Console) -> None:
    """Print the list for people."""
    if not found:
        console.print("no extract has been published yet; next: credit-pipeline run")
        return
    table = Table(title=f"{len(found)} extracts", title_justify="left")
    for name in ("unit", "as of", "release", "enterprises", "to inspect", "key held by", "file"):
        table.add_column(name, overflow="fold")
    for item in found:
        numbers = (str(item["release_seq"]), f"{item['enterprises']:,}", f"{item['inspection_tasks']:,}")
        table.add_row(item["unit_id"], item["as_of_date"], *numbers, item["key_mode"], item["file"])
    console.print(table)
    if line := office_held_line(sum(item["key_mode"] == "office" for item in found)):
        console.print(line, style="yellow", highlight=False)


def open_unit_extract(
    settings: Settings,
    audit: AuditLog,
    unit_id: str,
    *,
    sql: str | None,
    show_key: bool,
    show_password: bool,
    identity: Path | None,
    console: Console,
) -> None:
    """Verify signature, rollback and every file of a unit's release, then show its tables or the answer to a query.

    Raises:
        BadInput: the unit has no extract, or the query is wrong.
        IntegrityError: the extract is not what was published, or the identity may not open it.
    """
    opened = _opened(settings, unit_id, identity)
    manifest = opened.manifest
    # An answer may go into a file: what is said about the release must not stand in it.
    proof = console if sql is None else Console(stderr=True)
    try:
        audit.append(
            "extract_opened",
            "extracts",
            unit_id=unit_id,
            release_seq=manifest["release_seq"],
            is_secret_shown=show_key or show_password,
        )
        proof.print(
            f"{opened.path.name}: signature, release {manifest['release_seq']} and all {len(manifest['files'])} files are "
            f"right; as of {manifest['as_of_date']}, to be used until {manifest['valid_until']}",
            highlight=False,
        )
        for name in opened.strangers:
            proof.print(f"{name} is not of this release: nothing vouches for it", style="yellow")
        if show_password:
            console.print(f"password of the workbook   {excel_password(opened.key)}", highlight=False)
        if show_key:
            console.print(f"file  {opened.path}\nkey   {opened.key!s}", highlight=False, soft_wrap=True)
            console.print(
                "python: duckdb.sql(\"attach 'FILE' as extract (read_only, encryption_key 'KEY')\")",
                highlight=False,
            )
        if not (show_key or show_password):
            _print_answer(opened.connection, sql, console)
    finally:
        opened.connection.close()


def _opened(settings: Settings, unit_id: str, identity: Path | None) -> OpenedRelease:
    """The unit's current release, newer than or the same as what was opened here last."""
    directory = settings.extracts_dir / unit_id
    if not (directory / MANIFEST_NAME).exists():
        known = ", ".join(item["unit_id"] for item in list_extracts(settings)) or "none yet"
        raise BadInput(f"unit {unit_id} has no extract in {settings.extracts_dir}; units with one: {known}")
    keys = KeyStore(settings.keys_dir)
    seen_path = settings.keys_dir / "seen" / lake_id(settings) / f"{unit_id}.json"
    seen = json.loads(seen_path.read_text()) if seen_path.exists() else {"release_seq": 0}
    opened = open_extract(
        directory,
        trusted_keys(keys),
        _identities(Register(keys), unit_id, identity),
        unit_id=unit_id,
        last_seen_seq=seen["release_seq"],
        last_seen_sha256=seen.get("manifest_sha256"),
    )
    now_seen = {
        "release_seq": opened.manifest["release_seq"],
        "manifest_sha256": manifest_sha256(opened.manifest),
    }
    ensure_directories(keys.directory, seen_path.parent)
    write_durably(seen_path, json.dumps(now_seen).encode())
    return opened


def _identities(register: Register, unit_id: str, path: Path | None) -> list[pyrage.x25519.Identity]:
    if path is None:
        return register.identities_here(unit_id)
    found = read_identity(path)
    register.refuse_revoked(str(found.to_public()))
    return [found]


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
