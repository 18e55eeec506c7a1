"""The published results of inspections: files that anybody may have, with a signed manifest.

Here: the list of results, the statistics, what was taken off since, and publishing them as a whole. Not here: which results are
public and when (the dbt models `inspection.completed_inspections`, `public.inspection_results`), which counts are safe
(`extracts.public_statistics`), and anything of a draw or a grade: this module reads neither (docs/publicity.md).

A day's files get their names before the manifest is replaced, and the manifest is what counts: a reader who takes the
files it names never has half of two days. The same day and content gives the same bytes, signature included.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from credit_pipeline.audit.log import GENESIS, AuditLog, canonical_json, sha256_hex, write_durably
from credit_pipeline.errors import CreditPipelineError, IntegrityError
from credit_pipeline.extracts.public_statistics import TOTAL, PublishedCell, published_cells
from credit_pipeline.keys import KeyStore, public_key_id
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import RunTarget, connect

FORMAT = "credit-pipeline-public/1"
DOMAIN = b"PUBLICRESULTS1|"
MANIFEST = "manifest.json"
_DAY_MANIFEST = ".manifest.json"
COLUMNS = {
    "result_no": "公示编号",
    "uscc": "统一社会信用代码",
    "enterprise_name": "企业名称",
    "region_name": "县（市、区）",
    "authority": "检查机关",
    "check_date": "检查日期",
    "result_codes": "检查结果代码",
    "results": "检查结果",
}
"""All that is published of an inspection. No item: which items were checked together tells the plan."""
OUTCOMES = {
    "clean": "未发现问题",
    "problem": "发现问题",
    "neutral": "未开展涉及的经营活动",
    "not_inspectable": "无法检查",
    TOTAL: "合计",
}
NOTICE = "本名单合并公示已完成的各类检查结果，分批发布；未列入名单不表示未被检查，也不表示任何信用状况。"
_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


@dataclass(frozen=True)
class PublicRelease:
    """What is published now. `is_new` is False when nothing was, for the `reason` given."""

    manifest: dict[str, Any] | None
    is_new: bool
    reason: str


def publish_public_results(
    settings: Settings, target: RunTarget, audit: AuditLog, run_id: str | None
) -> PublicRelease:
    """Publishes the day's list and statistics in `LAKE/public`; a replay or a day before the published one changes nothing.

    Raises:
        IntegrityError: what is published was not signed by us, or changed since.
        CreditPipelineError: public_policy.csv lacks a parameter.
    """
    directory, day = settings.public_dir, target.as_of_date
    keys = KeyStore(settings.keys_dir)
    trusted = trusted_keys(keys)
    current = read_public_manifest(directory, trusted) if (directory / MANIFEST).exists() else None
    if target.is_replay or (current is not None and current["as_of_date"] > day.isoformat()):
        return PublicRelease(current, False, "a later day is published")
    with connect(settings, target.path, read_only=True) as connection:
        rows = _rows(connection)
        statistics = _statistics(connection, day)
    previous = _previous(directory, day, trusted)
    removed = _removed(directory, previous, {row["result_no"] for row in rows}, day)
    revision = 1
    if current is not None and current["as_of_date"] == day.isoformat():
        revision = current["revision"]
        if _release(day, revision, rows, removed, statistics, previous, keys)[0] == current:
            return PublicRelease(current, False, "the same content is published for this day")
        revision += 1
    manifest, files = _release(day, revision, rows, removed, statistics, previous, keys)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, content in files.items():
        write_durably(directory / name, content)
    content = canonical_json(manifest) + b"\n"
    write_durably(directory / f"inspection-results-{day}{_DAY_MANIFEST}", content)
    write_durably(directory / MANIFEST, content)
    write_durably(directory / "signing_key.pub", keys.public_key().public_bytes_raw().hex().encode() + b"\n")
    for path in directory.glob(f"inspection-*-{day}*"):
        if path.name not in files and not path.name.endswith(_DAY_MANIFEST):
            path.unlink()
    audit.append(
        "public_results_published",
        "extracts",
        run_id,
        as_of_date=day.isoformat(),
        revision=revision,
        results=len(rows),
        removed=len(removed),
        manifest_sha256=sha256_hex(content),
    )
    return PublicRelease(manifest, True, "published")


def read_public_manifest(
    directory: Path, trusted: Mapping[str, Ed25519PublicKey], name: str = MANIFEST
) -> dict[str, Any]:
    """A manifest of the folder, its signature by one of the trusted keys (by key id) and the files it names checked.

    Raises:
        IntegrityError: signature or file differ.
    """
    path = directory / name
    try:
        manifest = json.loads(path.read_bytes())
        content = {key: value for key, value in manifest.items() if key != "signature"}
        trusted[manifest["signed_by"]].verify(
            bytes.fromhex(manifest["signature"]), DOMAIN + canonical_json(content)
        )
        files: Mapping[str, Mapping[str, Any]] = manifest["files"]
    except (InvalidSignature, ValueError, TypeError, KeyError, AttributeError):
        raise IntegrityError(
            f"{path}: not a manifest that key {' or '.join(sorted(trusted))} signed; remedy: restore the folder from the backup"
        ) from None
    for file, facts in files.items():
        found = directory / file
        if (
            Path(file).name != file
            or not found.is_file()
            or sha256_hex(found.read_bytes()) != facts["sha256"]
        ):
            raise IntegrityError(
                f"{found}: missing or not the file that was published; remedy: restore it from the backup, or delete "
                f"{path} and run the day again"
            )
    return dict(manifest)


def result_number(uscc: str, authority: str, check_date: str) -> str:
    """The number under which a result is corrected or taken off: of published columns only, so that it tells nothing."""
    return sha256_hex(b"PUBLICRESULT1|" + canonical_json([uscc, authority, check_date]))[:16]


def _rows(connection: duckdb.DuckDBPyConnection) -> list[dict[str, str]]:
    found = connection.execute(
        f"select {', '.join(name for name in COLUMNS if name != 'result_no')} from public.inspection_results "
        "order by uscc, check_date, authority"
    ).fetchall()
    rows = []
    for uscc, name, region, authority, check_date, codes, results in found:
        day = check_date.isoformat()
        values = (
            result_number(uscc, authority, day),
            uscc,
            name,
            region or "",
            authority,
            day,
            codes,
            results,
        )
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def _statistics(connection: duckdb.DuckDBPyConnection, day: date) -> list[PublishedCell]:
    """Twelve whole months up to the last but one: by then its results are known and the working days for them over, so that
    counts change little from day to day and the difference of two days tells nobody's result."""
    small_cell, rounding = (_parameter(connection, name, day) for name in ("small_cell", "rounding"))
    counts = connection.execute(
        """
        select coalesce(region_name, ''), strftime(check_date, '%Y-%m'), outcome, count(*)
        from inspection.completed_inspections
        where check_date >= date_trunc('month', $day::date) - interval 13 month
            and check_date < date_trunc('month', $day::date) - interval 1 month
            and public_from <= date_trunc('month', $day::date)
        group by all
        """,
        {"day": day},
    ).fetchall()
    return published_cells({tuple(row[:3]): row[3] for row in counts}, small_cell, rounding)


def _parameter(connection: duckdb.DuckDBPyConnection, name: str, day: date) -> int:
    found = connection.execute(
        "select max(value) from policy.public_policy where parameter = ? and ? between effective_from and effective_to",
        [name, day],
    ).fetchone()
    if found is None or found[0] is None:
        raise CreditPipelineError(
            f"public_policy.csv has no {name} in force on {day}; remedy: restore its row"
        )
    return int(found[0])


def _previous(directory: Path, day: date, trusted: Mapping[str, Ed25519PublicKey]) -> dict[str, Any] | None:
    """The manifest of the newest day before this one."""
    names = sorted(
        path.name
        for path in directory.glob(f"inspection-results-*{_DAY_MANIFEST}")
        if path.name < f"inspection-results-{day}"
    )
    return read_public_manifest(directory, trusted, names[-1]) if names else None


def _removed(
    directory: Path, previous: Mapping[str, Any] | None, listed: set[str], day: date
) -> list[dict[str, str]]:
    """What stood on an earlier list and does not now, whatever the reason, so that those who copied it take it off too."""
    if previous is None:
        return []
    path = directory / next(name for name in previous["files"] if name.endswith(".json"))
    before = json.loads(path.read_bytes())
    gone = {item["result_no"]: item["removed_on"] for item in before["removed"]}
    gone |= {row["result_no"]: day.isoformat() for row in before["results"]}
    since = (date(day.year - 1, day.month, 1)).isoformat()
    return [
        {"result_no": number, "removed_on": on}
        for number, on in sorted(gone.items())
        if number not in listed and on >= since
    ]


def _release(
    day: date,
    revision: int,
    rows: Sequence[Mapping[str, str]],
    removed: Sequence[Mapping[str, str]],
    statistics: Sequence[PublishedCell],
    previous: Mapping[str, Any] | None,
    keys: KeyStore,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The signed manifest and the bytes of the files it names."""
    suffix = f"{day}" if revision == 1 else f"{day}-{revision}"
    shown = [
        dict(zip(("county", "month", "outcome"), cell.cell, strict=True)) | {"inspections": cell.inspections}
        for cell in statistics
    ]
    document = {
        "format": FORMAT, "as_of_date": day.isoformat(), "notice": NOTICE, "results": list(rows), "removed": list(removed),
        "statistics": shown,
    }  # fmt: skip
    counted = [
        (
            *("合计" if value == TOTAL else value for value in cell.cell[:2]),
            OUTCOMES.get(cell.cell[2], cell.cell[2]),
            "" if cell.inspections is None else str(cell.inspections),
            "不公布" if cell.inspections is None else "",
        )
        for cell in statistics
    ]
    files = {
        f"inspection-results-{suffix}.csv": _csv(COLUMNS.values(), (list(row.values()) for row in rows)),
        f"inspection-results-{suffix}.json": json.dumps(document, ensure_ascii=False, indent=1).encode()
        + b"\n",
        f"inspection-statistics-{suffix}.csv": _csv(
            ["县（市、区）", "月份", "结果类别", "检查次数", "备注"], counted
        ),
    }
    content: dict[str, Any] = {
        "format": FORMAT,
        "as_of_date": day.isoformat(),
        "revision": revision,
        "results": len(rows),
        "removed": len(removed),
        "files": {name: {"size": len(data), "sha256": sha256_hex(data)} for name, data in files.items()},
        "prev_manifest_sha256": GENESIS if previous is None else sha256_hex(canonical_json(previous) + b"\n"),
        "signed_by": public_key_id(keys.public_key()),
    }
    signature = keys.signing_key().sign(DOMAIN + canonical_json(content)).hex()
    return content | {"signature": signature}, files


def _csv(header: Iterable[str], rows: Iterable[Sequence[str]]) -> bytes:
    """UTF-8 with BOM, as Excel expects; a text that Excel would compute is led by an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row] for row in rows)
    return text.getvalue().encode("utf-8-sig")
