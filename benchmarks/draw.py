"""A round of a million enterprises and 60 units: the draw against a bare SHA-256 scan of the same rows, the round in its
files, its bundle and the verifier, the inspectors of 2,000 visits.

Makes tables of its own and needs no lake. Each repeat measures the scan and the draw one right after the other, with the
same connection settings, so that what else the machine does weighs on both. Run: `make bench`, or
`python -m benchmarks.draw --enterprises 1000000 --repeats 7 --out benchmarks/results/draw.md`.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import AuditLog, sha256_hex
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.draw import (
    ALGORITHM,
    DRAW_SQL,
    check_frame,
    check_quotas,
    draw_round,
    frame_root,
)
from credit_pipeline.inspection.draws.parties import Party
from credit_pipeline.inspection.draws.rule import FALLBACK_AFTER_DAYS, OFFICE, PAIR_RULE, VERIFIER_PATH
from credit_pipeline.inspection.draws.statements import entropy_statement
from credit_pipeline.inspection.rounds.bundle import write_bundle
from credit_pipeline.inspection.rounds.guard import STAGE
from credit_pipeline.inspection.rounds.record import RoundRecord
from credit_pipeline.inspection.rounds.store import RoundStore
from credit_pipeline.inspection.teams.assignment import assign
from credit_pipeline.keys import KeyStore
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect

UNITS, LIMIT = 60, 3.0
PLAN, ROUND, DAY = "P2026BENCH", 1, date(2026, 10, 31)
SEED = "5e" * 32
VISITS, INSPECTORS = 2_000, 60

FRAME_SQL = """
create table frame as
with enterprises as (
    select
        'U' || lpad(cast(i % $units as varchar), 3, '0') as unit_id,
        -- A code of 18 characters; its check digit is of no interest here.
        '91411302' || lpad(cast(i as varchar), 9, '0') || 'X' as uscc,
        substr('AABBBBBBBBBBCCCCDDDE', 1 + cast(('0x' || substr(md5(cast(i as varchar)), 1, 6)) as integer) % 20, 1) as platform_grade,
        cast(411300 + i % 15 as varchar) as region,
        i % 5 = 0 as is_safety_related,
        case when i % 12 = 0 then 'not_active' else '' end as excluded_reason
    from range($enterprises) as numbers(i)
)
select unit_id, 'GENERAL' as item_code, uscc, platform_grade, region, is_safety_related,
    case when excluded_reason = '' and platform_grade = 'A' then 'grade_a_exempt' else excluded_reason end as excluded_reason
from enterprises
union all
select unit_id, 'SAFETY', uscc, platform_grade, region, is_safety_related, excluded_reason
from enterprises where is_safety_related
"""
QUOTAS_SQL = """
create table quotas as
with ratios as (
    from (values
        ('GENERAL', 'A', 0), ('SAFETY', 'A', 300), (null, 'B', 500), (null, 'C', 2000), (null, 'D', 5000), (null, 'E', 10000)
    ) as r(item_code, platform_grade, ratio_bp)
),
cells as (
    select unit_id, item_code, platform_grade, count(*) filter (excluded_reason = '') as stratum_size
    from frame group by all
)
select
    c.*, cast(0 as bigint) as drawn_before, r.ratio_bp, 1 as rounds_due, 1 as rounds_per_year, 'ceil' as rounding,
    (c.stratum_size * r.ratio_bp + 9999) // 10000 as target, (c.stratum_size * r.ratio_bp + 9999) // 10000 as quota,
    'policy' as basis
from cells as c
join ratios as r on r.platform_grade = c.platform_grade and coalesce(r.item_code, c.item_code) = c.item_code
"""
SCAN_SQL = """
select max(sha256('DRAW1|' || $seed || '|' || unit_id || '|' || uscc)) from frame where excluded_reason = ''
"""
"""The least that any draw of tickets must do: hash every eligible row."""


@dataclass
class Cost:
    """Wall and CPU seconds of the repeats of one step."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def measure(self, work: Callable[[], Any]) -> Any:
        before, started = _cpu_seconds(), time.perf_counter()
        result = work()
        self.wall.append(time.perf_counter() - started)
        self.cpu.append(_cpu_seconds() - before)
        return result

    def row(self, name: str) -> str:
        spread = " | ".join(
            f"{min(values):.2f} / {median(values):.2f} / {max(values):.2f}"
            for values in (self.wall, self.cpu)
        )
        return f"| {name} | {len(self.wall)} | {spread} |"


def _cpu_seconds() -> float:
    """Of this process and those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@dataclass
class Measured:
    """All steps of one run of this benchmark."""

    enterprises: int
    rows: int = 0
    eligible: int = 0
    drawn: int = 0
    load: tuple[float, ...] = ()
    costs: dict[str, Cost] = field(default_factory=dict)

    def cost(self, name: str) -> Cost:
        return self.costs.setdefault(name, Cost())

    def ratios(self, way: str) -> list[float]:
        """The draw against the scan of the same repeat."""
        scan, draw = (getattr(self.costs[name], way) for name in (SCAN, DRAW))
        return [ours / bare for ours, bare in zip(draw, scan, strict=True)]


SCAN, DRAW = "bare SHA-256 scan of the eligible rows", "draw with all ranks"
CHECKS, ROOT = "checks of frame and quotas", "root of the frame, 1.2 rows an enterprise"
FREEZE, STORED = (
    "whole freeze: checks, roots, files",
    "whole step of the draw: files compared, draw, file of all ranks",
)
BUNDLE, VERIFY = "bundle for the auditor", "verify_draw.py over that bundle (plain Python, one process)"
ASSIGN = f"inspectors of {VISITS:,} visits from {INSPECTORS} inspectors"


def run(enterprises: int, repeats: int) -> Measured:
    """Measure everything once per repeat (the round in its files at most three times)."""
    measured = Measured(enterprises, load=os.getloadavg())
    with tempfile.TemporaryDirectory(prefix="draw-") as name:
        settings = Settings(lake_dir=Path(name) / "lake", keys_dir=Path(name) / "keys")
        with connect(settings) as connection:
            connection.execute(FRAME_SQL, {"units": UNITS, "enterprises": enterprises})
            connection.execute(QUOTAS_SQL)
            [(measured.rows, measured.eligible)] = connection.execute(
                "select count(*), count(*) filter (excluded_reason = '') from frame"
            ).fetchall()
            tables = {"frame_table": "frame", "quotas_table": "quotas"}
            for _ in range(repeats):
                measured.cost(SCAN).measure(lambda: connection.execute(SCAN_SQL, {"seed": SEED}).fetchall())
                drawn = measured.cost(DRAW).measure(
                    lambda: draw_round(connection, **tables, seed=SEED, is_checked=True)
                )
                measured.cost(CHECKS).measure(
                    lambda: (check_frame(connection, "frame"), check_quotas(connection, **tables))
                )
                measured.drawn = sum(drawn["is_drawn"].to_pylist())
                del drawn
                measured.cost(ASSIGN).measure(_assign)
            for number in range(min(repeats, 3)):
                measured.cost(ROOT).measure(
                    lambda: frame_root(connection, frame_table="frame", frame_salt=bytes(32))
                )
                folder = Path(name) / str(number)
                own = Settings(lake_dir=folder / "lake", keys_dir=folder / "keys")
                _round(connection, own, measured)
    return measured


def _round(connection: duckdb.DuckDBPyConnection, settings: Settings, measured: Measured) -> None:
    """One round in its files, from the freeze to the draw, of one party and without public entropy; its bundle."""
    audit, store = AuditLog(settings.audit_log_path), RoundStore(settings.draws_dir)
    office = Party(OFFICE, KeyStore(settings.keys_dir).party_key(OFFICE))
    salt = protocol.round_salt(KeyStore(settings.keys_dir).party_key(OFFICE), PLAN, ROUND)
    tables = {
        name: connection.execute(sql).to_arrow_table()
        for name, sql in {"frame": "from frame", "quotas": "from quotas"}.items()
    }
    tables |= {"roster": _roster(), "recusals": _recusals()}

    def logged(record: RoundRecord) -> RoundRecord:
        audit.append(record.last_event, STAGE, None, **record.public_facts())
        return record

    rule = _rule(office)
    record = logged(
        measured.cost(FREEZE).measure(lambda: store.freeze(PLAN, ROUND, tables, DAY, rule, frame_salt=salt))
    )
    statement, escrow = office.commit(
        rule, store.statement(PLAN, ROUND, "freeze"), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    )
    store.receive(PLAN, ROUND, statement, escrow)
    logged(store.commit(PLAN, ROUND))
    logged(store.set_entropy(PLAN, ROUND, entropy_statement(PLAN, ROUND, [], protocol.NO_ENTROPY)))
    reveals = {office.name: office.reveal(PLAN, ROUND, record.freeze_root)}
    logged(measured.cost(STORED).measure(lambda: store.draw(PLAN, ROUND, reveals, DAY, connection)))
    bundle = settings.lake_dir.with_name("bundle")
    measured.cost(BUNDLE).measure(lambda: write_bundle(settings, PLAN, ROUND, bundle))
    verdict = measured.cost(VERIFY).measure(
        lambda: subprocess.run(
            [sys.executable, "-I", "-S", str(bundle / "verify_draw.py"), str(bundle)],
            capture_output=True, text=True, check=False,
        )
    )  # fmt: skip
    if verdict.returncode:
        raise SystemExit(f"the bundle does not verify, its figures mean nothing: {verdict.stdout[-2000:]}")
    shutil.rmtree(bundle)


def _rule(office: Party) -> dict[str, Any]:
    public = office.public()
    items = [
        {
            "item_code": code, "item_name": code, "item_kind": "general", "is_safety_related": code == "SAFETY",
            "safety_tag": "", "industry_sections": "", "required_skill": "",
        }
        for code in ("GENERAL", "SAFETY")
    ]  # fmt: skip
    return {
        "format": "RULE1", "plan_id": PLAN, "round": ROUND, "rounds_per_year": 1, "plan_template": "bench",
        "title": "benchmark", "direction": "undirected", "initiator": "*", "region_prefix": "", "safety_tag": "",
        "document_no": "", "approved_by": "", "due_date": "2026-01-01", "window_start": "2026-01-01",
        "window_end": "2026-12-31", "cooperating_units": [], "industry_prefixes": [], "items": items,
        "parties": [
            {"party": office.name, "label": "", "office": "", "signing_key": public.signing_key,
             "age_recipient": public.age_recipient}
        ],
        "entropy": {"source": protocol.NO_ENTROPY, "fallback": [], "lag_days": 0, "fallback_after_days": FALLBACK_AFTER_DAYS},
        "topup_reasons": ["deregistered"], "inspectors_per_visit": 2, "pair_rule": PAIR_RULE, "algorithm": ALGORITHM,
        "draw_sql_sha256": sha256_hex(DRAW_SQL.encode()), "verifier_sha256": sha256_hex(VERIFIER_PATH.read_bytes()),
    }  # fmt: skip


def _roster() -> pa.Table:
    return pa.table(
        {
            "unit_id": ["U000"] * INSPECTORS,
            "inspector_id": [f"U000-{number:02d}" for number in range(INSPECTORS)],
            "is_leader": [number % 3 == 0 for number in range(INSPECTORS)],
            "region_prefix": [""] * INSPECTORS,
            "skills": [""] * INSPECTORS,
            "excluded_reason": [""] * INSPECTORS,
        }
    )


def _recusals() -> pa.Table:
    """Every inspector may visit four of five enterprises."""
    pairs = [(n, m) for m in range(VISITS) for n in range(INSPECTORS) if (m * 7 + n) % 5 == 0]
    return pa.table(
        {
            "inspector_id": [f"U000-{n:02d}" for n, _ in pairs],
            "uscc": [f"91411302{m:09d}X" for _, m in pairs],
            "reason": ["relative"] * len(pairs),
        }
    )


def _assign() -> None:
    visits = pa.table(
        {
            "unit_id": ["U000"] * VISITS,
            "draw_unit_id": ["U000"] * VISITS,
            "uscc": [f"91411302{number:09d}X" for number in range(VISITS)],
            "region": [str(411300 + number % 15) for number in range(VISITS)],
            "required_skills": [""] * VISITS,
        }
    )
    found = assign(visits, _roster(), _recusals(), SEED)
    if found.infeasible or found.assignments.num_rows != 2 * VISITS:
        raise SystemExit("the assignment of the benchmark is not complete: its figures mean nothing")


def report(measured: Measured, note: str) -> str:
    """The figures as Markdown."""
    names = (SCAN, DRAW, CHECKS, ROOT, FREEZE, STORED, BUNDLE, VERIFY, ASSIGN)
    lines = [
        "# Speed of a round",
        "",
        f"{measured.enterprises:,} enterprises, {UNITS} units, items GENERAL and SAFETY: {measured.rows:,} rows of the frame, "
        f"{measured.eligible:,} eligible, {measured.drawn:,} drawn. Two threads; DuckDB {duckdb.__version__}.",
        f"Load average at the start: {', '.join(f'{value:.2f}' for value in measured.load)}. {note}".rstrip(),
        "",
        "| step | runs | wall s: min / median / max | CPU s: min / median / max |",
        "|---|--:|--:|--:|",
        *(measured.costs[name].row(name) for name in names if name in measured.costs),
        "",
    ]
    for way, said in (("wall", "Wall"), ("cpu", "CPU")):
        ratios = measured.ratios(way)
        lines.append(
            f"{said} time of the draw over that of the scan, repeat by repeat: {min(ratios):.2f} / {median(ratios):.2f} / "
            f"{max(ratios):.2f} (at most {LIMIT:.0f} asked)."
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--enterprises", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--note", default="", help="What else the machine did, for the report.")
    parser.add_argument("--out", type=Path, help="File for the report beside the terminal.")
    options = parser.parse_args()
    text = report(run(options.enterprises, options.repeats), options.note)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
