"""A small city of synthetic tables, for tests of rounds: a warehouse without dbt, parties, and how far a round goes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.inspection.draws.parties import Party
from credit_pipeline.inspection.draws.protocol import quota
from credit_pipeline.inspection.rounds.daily import assign_inspectors, draw_due_rounds
from credit_pipeline.inspection.rounds.office import RoundOffice
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import RunTarget, mark_current

PLAN, ROUND, DAY = "P2026GENERAL", 1, date(2026, 3, 2)
KL8 = "01.02.03.04.05.06.07.08.09.10.11.12.13.14.15.16.17.18.19.20"
UNITS, ITEMS = ("A01", "B02"), ("GENERAL", "SAFETY")
RATIOS = {"A": 0, "B": 2_500, "C": 5_000, "D": 5_000, "E": 10_000}


def uscc(number: int) -> str:
    return "91411300" + hashlib.sha256(str(number).encode()).hexdigest()[:10].upper()


def frame_rows(
    size: int = 12, units: Sequence[str] = UNITS, items: Sequence[str] = ITEMS
) -> list[dict[str, Any]]:
    """`size` enterprises per unit; every fifth has grade A and is left alone, every third stands for safety."""
    return [
        {
            "unit_id": unit,
            "item_code": item,
            "uscc": uscc(index * 1_000 + number),
            "platform_grade": "ABCDE"[number % 5],
            "region": "411302" if number % 2 else "",
            "is_safety_related": number % 3 == 0,
            "excluded_reason": "grade_a_exempt" if number % 5 == 0 else "",
        }
        for index, unit in enumerate(units)
        for item in items
        for number in range(size)
        if item != "SAFETY" or number % 3 == 0
    ]


def quota_rows(frame: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for unit, item in sorted({(row["unit_id"], row["item_code"]) for row in frame}):
        for grade, ratio in RATIOS.items():
            size = sum(
                (row["unit_id"], row["item_code"], row["platform_grade"], row["excluded_reason"])
                == (unit, item, grade, "")
                for row in frame
            )
            count = quota(size, ratio, "ceil")
            found.append(
                {
                    "unit_id": unit, "item_code": item, "platform_grade": grade, "stratum_size": size,
                    "drawn_before": 0, "ratio_bp": ratio, "rounds_due": 1, "rounds_per_year": 1, "rounding": "ceil",
                    "target": count, "quota": count, "basis": "policy",
                }
            )  # fmt: skip
    return found


def roster_rows(units: Sequence[str] = UNITS, each: int = 5) -> list[dict[str, Any]]:
    return [
        {
            "unit_id": unit, "inspector_id": f"{unit}-{number}", "is_leader": number < 2, "region_prefix": "",
            "skills": "fire", "excluded_reason": "on_leave" if number == each - 1 else "",
        }
        for unit in units
        for number in range(each)
    ]  # fmt: skip


@dataclass
class City:
    """A lake with a warehouse of synthetic tables, its office, and other offices' keys elsewhere."""

    root: Path
    parties: tuple[str, ...] = ("credit_office",)
    source: str = "NONE"
    fallback: str = ""
    plans: tuple[str, ...] = (PLAN,)
    frame: list[dict[str, Any]] = field(default_factory=frame_rows)
    roster: list[dict[str, Any]] = field(default_factory=roster_rows)
    announced: list[tuple[str, str, date, str]] = field(default_factory=list)
    now: datetime = datetime(2026, 3, 2, 2, 0, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.settings = Settings(
            landing_dir=self.root / "landing",
            lake_dir=self.root / "lake",
            keys_dir=self.root / "keys",
            threads=1,
        )
        self.audit = AuditLog(self.settings.audit_log_path, clock=self.clock)
        self.settings.keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.give_key("credit_office", self.settings.keys_dir)

    def give_key(self, name: str, keys_dir: Path) -> None:
        """A fixed key instead of a random one, so that two cities draw the same."""
        path = keys_dir / "parties" / f"{name}.key"
        for directory in (keys_dir, path.parent):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(hashlib.sha256(name.encode()).hexdigest() + "\n")

    def clock(self) -> datetime:
        return self.now

    def party(self, name: str) -> Party:
        return Party(name, hashlib.sha256(name.encode()).digest())

    def office(self) -> RoundOffice:
        return RoundOffice(self.settings, self.audit, "test")

    def build(self, day: date = DAY) -> RunTarget:
        """Writes the warehouse anew."""
        self.settings.lake_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.settings.warehouse_path
        path.unlink(missing_ok=True)
        with duckdb.connect(str(path)) as connection:
            for schema in ("inspection", "policy", "staging"):
                connection.execute(f"create schema {schema}")
            for name, rows in self._tables().items():
                connection.register("rows", rows)
                connection.execute(f"create table {name} as select * from rows")
                connection.unregister("rows")
        mark_current(self.settings, day)
        return RunTarget(day, path, False)

    def _tables(self) -> dict[str, pa.Table]:
        always = {"effective_from": date(2015, 1, 1), "effective_to": date(9999, 12, 31)}
        rounds, items, frame, quotas, roster, recusals = [], [], [], [], [], []
        for plan in self.plans:
            key = {"plan_id": plan, "round": ROUND}
            rounds.append(
                key
                | {
                    "plan_template": "general", "title": "抽查", "direction": "undirected", "initiator": "*",
                    "cooperating_units": "", "item_codes": "|".join(ITEMS), "region_prefix": "",
                    "industry_prefixes": "", "safety_tag": "", "rounds_per_year": 1, "due_date": date(2026, 1, 1),
                    "window_start": date(2026, 1, 1), "window_end": date(2026, 12, 31),
                    "parties": "|".join(self.parties), "entropy_source": self.source,
                    "entropy_fallback": self.fallback, "entropy_lag_days": 1, "document_no": "", "approved_by": "",
                }
            )  # fmt: skip
            items += [
                key
                | {
                    "item_code": item, "item_name": item, "item_kind": "general",
                    "is_safety_related": item == "SAFETY", "safety_tag": "", "industry_sections": "",
                    "required_skill": "fire" if item == "SAFETY" else "", "max_ratio_bp": 10_000,
                }
                for item in ITEMS
            ]  # fmt: skip
            frame += [key | row for row in self.frame]
            quotas += [key | row for row in quota_rows(self.frame)]
            roster += [key | row for row in self.roster]
            recusals += [key | {"inspector_id": "A01-0", "uscc": uscc(1), "reason": "relative"}]
        parties = [
            {"party": name, "label": name, "office": name}
            | (
                {"signing_key": "", "age_recipient": ""}
                if name == "credit_office"
                else vars(self.party(name).public())
            )
            | always
            for name in self.parties
        ]
        announced = [
            {"source": source, "issue": issue, "announced_date": day, "numbers": numbers, "known_from": day}
            for source, issue, day, numbers in self.announced
        ]
        text, day_type = pa.string(), pa.date32()
        entropy = pa.Table.from_pylist(
            [row | {"known_to": None, "void_from": None} for row in announced],
            schema=pa.schema(
                {"source": text, "issue": text, "announced_date": day_type, "numbers": text, "known_from": day_type,
                 "known_to": day_type, "void_from": day_type}
            ),
        )  # fmt: skip
        dated = {"as_of_date": DAY, "frozen_date": DAY}
        rows = {
            "inspection.inspection_rounds": rounds,
            "inspection.plan_items": items,
            "inspection.inspection_frame": [row | dated for row in frame],
            "inspection.inspection_quotas": [row | dated for row in quotas],
            "inspection.inspection_roster": roster,
            "inspection.inspection_recusals": recusals,
            "policy.draw_parties": parties,
            "policy.topup_reasons": [{"reason": one} | always for one in ("deregistered", "revoked")],
            "policy.inspection_exceptions": [
                {
                    "exception_id": "TX-1",
                    "kind": "ratio",
                    "document_no": "1",
                    "unit_id": "A01",
                    "item_code": "GENERAL",
                    "grade": "C",
                }
                | always
            ],
            "policy.inspection_policy": [{"parameter": "inspectors_per_visit", "value": 2} | always],
        }
        return {name: pa.Table.from_pylist(one) for name, one in rows.items()} | {
            "staging.stg_public_entropy": entropy
        }

    def run(self, day: date = DAY, *, is_replay: bool = False, build: bool = True) -> list[str]:
        """The daily step, on a fresh warehouse unless told otherwise; the states of the rounds."""
        target = self.build(day) if build else RunTarget(day, self.settings.warehouse_path, is_replay)
        drawn = draw_due_rounds(self.settings, target, self.audit, "run")
        outcomes = assign_inspectors(self.settings, target, self.audit, "run")
        states = {one.plan_id: one.state for one in [*drawn, *outcomes]}
        return [states[plan] for plan in sorted(states)]

    def commit_others(self, plan: str = PLAN) -> None:
        """The other parties commit, each with its own key, and the office imports it."""
        office = self.office()
        rule, freeze = (office.store.statement(plan, ROUND, name) for name in ("rule", "freeze"))
        for name in self.parties:
            if name != "credit_office":
                statement, escrow = self.party(name).commit(rule, freeze, "2026-03-02T03:00:00Z")
                office.receive(plan, ROUND, statement, escrow)

    def reveal_others(self, names: Sequence[str], plan: str = PLAN) -> None:
        office = self.office()
        rule, freeze, entropy = (
            office.store.statement(plan, ROUND, n) for n in ("rule", "freeze", "entropy")
        )
        for name in names:
            commitment = office.store.statement(plan, ROUND, f"commitment-{name}")
            office.keep_reveal(plan, ROUND, self.party(name).reveal_file(rule, freeze, commitment, entropy))

    def files(self, plan: str = PLAN) -> dict[str, bytes]:
        directory = self.office().store.directory(plan, ROUND)
        return (
            {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
            if directory.exists()
            else {}
        )

    def events(self, plan: str = PLAN) -> list[str]:
        return [
            record.event
            for record in self.audit.records(stage="inspection")
            if record.details["plan_id"] == plan
        ]


PARTIES = ("credit_office", "audit_office", "justice_office")
NEXT = date(2026, 3, 3)
ISSUE = ("KL8", "2026063", NEXT, KL8)


def assigned(root: Path) -> City:
    """A city of one party whose round is drawn and assigned."""
    return _copy(_assigned(), root)


def frozen(root: Path) -> City:
    """A city of three parties whose round waits for the others' commitments."""
    return _copy(_frozen(), root)


def waiting_for_reveals(root: Path) -> City:
    """A city of three parties whose round has its lottery issue."""
    return _copy(_waiting_for_reveals(), root)


@cache
def _assigned() -> City:
    town = City(Path(_templates.name) / "assigned")
    assert town.run() == ["ASSIGNED"]
    return town


@cache
def _frozen() -> City:
    town = City(Path(_templates.name) / "frozen", parties=PARTIES, source="KL8")
    assert town.run() == ["FRAME_FROZEN"]
    return town


@cache
def _waiting_for_reveals() -> City:
    town = _copy(_frozen(), Path(_templates.name) / "waiting")
    town.commit_others()
    town.announced = [ISSUE]
    assert town.run(NEXT) == ["ENTROPY"]
    return town


_templates = TemporaryDirectory(prefix="rounds-")
"""What many tests begin with, made once in a process; each works on a copy."""


def _copy(template: City, root: Path) -> City:
    shutil.copytree(template.root, root, dirs_exist_ok=True)
    made = {name: deepcopy(getattr(template, name)) for name in ("frame", "roster", "announced")}
    return replace(template, root=root, **made)
