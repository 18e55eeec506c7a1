"""A small round with everything in it, made by the office's own code from fixed keys and a fixed clock.

3 units, 2 items, 60 enterprises, three parties, KL8, one top-up, one inspector replaced. `python
tests/unit/inspection/golden_round.py` writes its two bundles anew into `golden_bundles/` and the worked example of docs/draw-format.md from them: do so when the
format or the query of the draw changes on purpose (or when a new pyarrow writes other Parquet bytes, whose digests stand in the log), and say why in the commit.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.audit.log import AuditLog, canonical_json
from credit_pipeline.inspection.draws import parties, protocol
from credit_pipeline.inspection.draws.draw import DRAW_SQL
from credit_pipeline.inspection.draws.entropy import Announcement
from credit_pipeline.inspection.draws.parties import Party
from credit_pipeline.inspection.rounds.bundle import write_bundle
from credit_pipeline.inspection.rounds.office import RoundOffice
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import lake_id

FORMAT_PAGE = Path(__file__).parents[3] / "docs" / "draw-format.md"
GOLDEN_DIR = Path(__file__).parent / "golden_bundles"
PLAN, ROUND = "P2026GOLDEN", 1
FROZEN = date(2026, 10, 31)
UNITS = ("A01", "B02", "C03")
PARTIES = ("credit_office", "discipline_office", "justice_office")
NUMBERS = "02.05.09.11.17.20.23.28.31.34.40.44.47.52.55.60.63.69.74.80"
RATIOS = {"A": 300, "B": 500, "C": 2000, "D": 5000, "E": 10_000}
GRADES = "AAAABBBBBBBBCCCCDDEE"


def secret(name: str) -> bytes:
    """Test keys; never used for anything else."""
    return hashlib.sha256(f"golden round, key of {name}".encode()).digest()


def uscc(number: int) -> str:
    return f"9141130{number % 10}MA40{number:04}XX"[:18].ljust(18, "X")


class Clock:
    """A quarter of an hour from one event to the next; `next_day` for what must wait."""

    def __init__(self) -> None:
        self.now = datetime(2026, 10, 31, 1, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(minutes=15)
        return self.now

    def next_day(self) -> None:
        self.now += timedelta(days=1)


def frame_rows() -> list[dict[str, Any]]:
    rows = []
    for number in range(60):
        unit, grade = UNITS[number // 20], GRADES[number % 20]
        is_safety = number % 3 == 0
        region = ("411302", "411303", "411330", "")[number % 4]
        base = {
            "unit_id": unit, "uscc": uscc(number), "platform_grade": grade, "region": region,
            "is_safety_related": is_safety,
        }  # fmt: skip
        reason = "grade_a_exempt" if grade == "A" else ""
        reason = {7: "visit_cap_reached", 33: "not_active", 48: 'drawn:P2026SPRING/1, "late"'}.get(
            number, reason
        )
        rows.append(base | {"item_code": "GENERAL", "excluded_reason": reason})
        if is_safety:
            rows.append(base | {"item_code": "SAFETY", "excluded_reason": reason if grade != "A" else ""})
    return rows


def quota_rows(frame: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for unit in UNITS:
        for item in ("GENERAL", "SAFETY"):
            for grade, ratio in RATIOS.items():
                ratio = 0 if grade == "A" and item == "GENERAL" else ratio
                size = sum(
                    (row["unit_id"], row["item_code"], row["platform_grade"], row["excluded_reason"])
                    == (unit, item, grade, "")
                    for row in frame
                )
                before = 1 if (unit, item, grade) == ("B02", "GENERAL", "B") else 0
                target = protocol.quota_target(size, before, ratio, 1, 1, "ceil")
                rows.append({
                    "unit_id": unit, "item_code": item, "platform_grade": grade, "stratum_size": size,
                    "drawn_before": before, "ratio_bp": ratio, "rounds_due": 1, "rounds_per_year": 1,
                    "rounding": "ceil", "target": target, "quota": min(max(target - before, 0), size),
                    "basis": "golden",
                })  # fmt: skip
    return rows


def roster_rows() -> list[dict[str, Any]]:
    rows = []
    for unit in UNITS:
        for number in range(1, 8):
            rows.append({
                "unit_id": unit, "inspector_id": f"{unit}-I{number}", "is_leader": number <= 3,
                "region_prefix": "411302" if number == 4 else "",
                "skills": "" if number == 5 else "special_equipment" if number < 4 else "fire+special_equipment",
                "excluded_reason": "on_leave" if number == 7 else "",
            })  # fmt: skip
    return rows


def recusal_rows(frame: list[dict[str, Any]]) -> list[dict[str, Any]]:
    picked = [row for row in frame if row["item_code"] == "GENERAL" and row["excluded_reason"] == ""]
    return [
        {
            "inspector_id": f"{row['unit_id']}-I{1 + index % 3}",
            "uscc": row["uscc"],
            "reason": "former_employer",
        }
        for index, row in enumerate(picked)
        if index % 6 == 0
    ]


def rule(names: tuple[str, ...] = PARTIES, source: str = "KL8") -> dict[str, Any]:
    keys = {name: Party(name, secret(name)).public() for name in names}
    return {
        "format": "RULE1", "plan_id": PLAN, "round": ROUND, "rounds_per_year": 1, "plan_template": "GOLDEN",
        "title": "综合抽查（样例）", "direction": "undirected", "initiator": "*", "region_prefix": "", "safety_tag": "",
        "document_no": "样例〔2026〕1号", "approved_by": "office-head", "due_date": "2026-10-31",
        "window_start": "2026-11-01", "window_end": "2026-12-31", "cooperating_units": [], "industry_prefixes": [],
        "items": [
            {"item_code": "GENERAL", "item_name": "一般检查事项", "item_kind": "general", "is_safety_related": False,
             "safety_tag": "", "industry_sections": "", "required_skill": ""},
            {"item_code": "SAFETY", "item_name": "涉及安全的重点检查事项", "item_kind": "key", "is_safety_related": True,
             "safety_tag": "any", "industry_sections": "", "required_skill": "special_equipment"},
        ],
        "parties": [
            {"party": name, "label": name, "office": name, "signing_key": keys[name].signing_key,
             "age_recipient": keys[name].age_recipient}
            for name in names
        ],
        "entropy": {"source": source, "fallback": ["SSQ", "DLT"] if source != "NONE" else [],
                    "lag_days": 1 if source != "NONE" else 0, "fallback_after_days": 14},
        "topup_reasons": ["deregistered", "merged", "moved_out", "revoked", "untraceable"],
        "inspectors_per_visit": 2, "pair_rule": "ceil(visits*C(k,2)/C(inspectors,2))+1", "algorithm": "DRAW1",
        "draw_sql_sha256": hashlib.sha256(DRAW_SQL.encode()).hexdigest(),
        "verifier_sha256": hashlib.sha256(b"golden verifier").hexdigest(),
    }  # fmt: skip


class GoldenRound:
    """The round in a lake of its own under `root`, one step after another."""

    def __init__(self, root: Path, names: tuple[str, ...] = PARTIES, source: str = "KL8") -> None:
        self.settings = Settings(lake_dir=root / "lake", keys_dir=root / "keys", landing_dir=root / "landing")
        (self.settings.lake_dir / "audit").mkdir(parents=True, mode=0o700)
        for folder in (self.settings.keys_dir, self.settings.keys_dir / "parties"):
            folder.mkdir(mode=0o700, parents=True)
        for path, name in (("signing.key", "signing"), ("parties/credit_office.key", "credit_office")):
            key_file = self.settings.keys_dir / path
            key_file.touch(mode=0o600)
            key_file.write_text(secret(name).hex() + "\n", encoding="ascii")
        lake_id(self.settings)
        self.names, self.source, self.clock = names, source, Clock()
        self.rule_changes: dict[str, Any] = {}
        self.audit = AuditLog(self.settings.audit_log_path, self.clock)
        self.office = RoundOffice(self.settings, self.audit)
        self.checkpoints = CheckpointStore(self.settings.audit_dir / "checkpoints")
        self.others = [Party(name, secret(name)) for name in names if name != "credit_office"]
        self.audit.append("files_ingested", "feeds", None, files=12)

    def checkpoint(self) -> None:
        key = self.office._keys.signing_key()
        self.checkpoints.add(self.audit, key, frame_root=None, time=self.clock.now)

    def freeze(self) -> None:
        frame = frame_rows()
        tables = {
            "frame": pa.Table.from_pylist(frame),
            "quotas": pa.Table.from_pylist(quota_rows(frame)),
            "roster": pa.Table.from_pylist(roster_rows()),
            "recusals": pa.Table.from_pylist(recusal_rows(frame)),
        }
        salt = self.office.frame_salt(PLAN, ROUND)
        rule_ = rule(self.names, self.source) | self.rule_changes
        record = self.office.store.freeze(PLAN, ROUND, tables, FROZEN, rule_, frame_salt=salt)
        self.office._log(record)

    def commit(self) -> None:
        """Escrows are random bytes by nature; here they are not, so that the golden bytes stay the same."""
        store = self.office.store
        frozen = store.rule(PLAN, ROUND), store.statement(PLAN, ROUND, "freeze")

        def sealed(content: bytes, recipients: object) -> bytes:
            return b"sealed " + hashlib.sha256(content).digest()

        with mock.patch.object(parties, "pyrage", mock.Mock(wraps=parties.pyrage, encrypt=sealed)):
            for party in self.others:
                time = self.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
                self.office.receive(PLAN, ROUND, *party.commit(*frozen, time))
            self.office.commit(PLAN, ROUND)

    def entropy(self) -> None:
        self.clock.next_day()
        issue = Announcement("KL8", "2026292", date(2026, 11, 1), NUMBERS)
        found = self.office.set_entropy(PLAN, ROUND, [issue], date(2026, 11, 1))
        assert not isinstance(found, str)

    def draw(self) -> None:
        store = self.office.store
        frozen = store.rule(PLAN, ROUND), store.statement(PLAN, ROUND, "freeze")
        entropy = store.statement(PLAN, ROUND, "entropy")
        for party in self.others:
            commitment = store.statement(PLAN, ROUND, f"commitment-{party.name}")
            self.office.keep_reveal(PLAN, ROUND, party.reveal_file(*frozen, commitment, entropy))
        self.office.draw(PLAN, ROUND, date(2026, 11, 1))

    def first_drawn(self, number: int) -> tuple[str, str]:
        return self.office.store.drawn(PLAN, ROUND).visits()[number]

    def top_up(self) -> None:
        drawn = self.office.store.drawn(PLAN, ROUND).table.to_pylist()
        row = next(row for row in drawn if row["platform_grade"] == "B" and row["item_code"] == "GENERAL")
        self.office.top_up(
            PLAN, ROUND, unit_id=row["unit_id"], uscc=row["uscc"], reason="deregistered", event_id="registry-2026-8841",
            event_date="2026-11-01", approvers=["zhang-wei", "li-na"],
        )  # fmt: skip

    def assign(self) -> None:
        self.office.assign(PLAN, ROUND, None)

    def replace_inspector(self) -> None:
        table = self.office.store.assignments(PLAN, ROUND)
        assert table is not None
        row = next(row for row in table.to_pylist() if row["role"] == "leader")
        self.office.replace_inspector(
            PLAN, ROUND, unit_id=row["unit_id"], uscc=row["uscc"], inspector_id=row["inspector_id"], reason="relative",
            document_no="recusal-2026-17", declared_date="2026-11-01", approvers=["zhang-wei", "li-na"],
        )  # fmt: skip

    def steps(self) -> Iterator[str]:
        """Takes every step; gives its name after each."""
        for name in ("freeze", "commit", "entropy", "draw", "top_up", "assign", "replace_inspector"):
            if name == "entropy" and self.source == "NONE":
                self.clock.next_day()
                self.office.set_entropy(PLAN, ROUND, [], FROZEN)
            else:
                getattr(self, name)()
            if name in ("commit", "draw", "replace_inspector"):
                self.audit.append("extracts_published", "extracts", None, units=3)
                self.checkpoint()
            yield name


def make_bundles(root: Path) -> dict[str, Path]:
    """Form to folder of both bundles of the finished round."""
    golden = GoldenRound(root)
    for _ in golden.steps():
        pass
    return {
        form: write_bundle(golden.settings, PLAN, ROUND, root / form, public=form == "public").directory
        for form in ("authorised", "public")
    }


def worked_example(folder: Path) -> str:
    """Section 13 of docs/draw-format.md: the hashes of a bundle, step by step, by the formulas of that page."""

    def table(name: str) -> list[list[str]]:
        with (folder / name).open(encoding="utf-8") as file:
            return list(csv.reader(file))[1:]

    def content(name: str) -> Any:
        return json.loads((folder / name).read_bytes())

    def sha(text: str | bytes) -> str:
        return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()

    def leaf(row: list[str], line: str) -> str:
        return sha(b"\x00" + bytes.fromhex(row[-1]) + line.encode())

    frame, quota, person = table("frame.csv")[0], table("quotas.csv")[0], table("roster.csv")[0]
    frame_line, quota_line = "|".join(["FRAME1", *frame[:-1]]), "|".join(["QUOTA1", *quota[:-1]])
    person_line = "|".join(["ROSTER1", *person[1:-1]])
    freeze, reveals, seed = content("freeze.json"), content("reveals.json"), content("seed.json")["seed"]
    unsigned = {name: value for name, value in reveals[0].items() if name != "signature"}
    opened = f"COMMIT1|{PLAN}|{ROUND}|{reveals[0]['party']}|{reveals[0]['reveal']}"
    draw, visit = table("draw.csv")[0], table("assignments.csv")[0]
    return f"""## 13 Worked example

Plan {PLAN}, round {ROUND}. First rows of the tables:

```
leaf hash of frame.csv row 2 = SHA-256(0x00 + {frame[-1]} + "{frame_line}")
   = {leaf(frame, frame_line)}
quotas.csv row 2: "{quota_line}", salt {quota[-1]}
   = {leaf(quota, quota_line)}
roster.csv row 2: "{person_line}", salt {person[-1]}
   = {leaf(person, person_line)}
frame_root  {freeze["frame_root"]} ({freeze["frame_size"]} leaves)
freeze_root {sha(b"FREEZE1|" + canonical_json(freeze))}
SHA-256("{opened}")
   = {sha(opened)}
SHA-256("REVEAL1|" + canonical(reveals.json, number 1, without signature))
   = {sha(b"REVEAL1|" + canonical_json(unsigned))}
key of the seed ({", ".join(one["party"] for one in reveals)})
   = {sha("|".join(one["reveal"] for one in reveals))}
seed = {seed}
SHA-256("SEEDC1|" + seed) = {sha("SEEDC1|" + seed)}
SHA-256("DRAW1|" + seed + "|{draw[0]}|{draw[2]}") = {sha(f"DRAW1|{seed}|{draw[0]}|{draw[2]}")} (rank {draw[5]} of {draw[6]})
SHA-256("FIRM1|" + seed + "|{visit[1]}|{visit[3]}") = {sha(f"FIRM1|{seed}|{visit[1]}|{visit[3]}")}
SHA-256("ASSIGN1|" + seed + "|{visit[3]}|{visit[4]}") = {sha(f"ASSIGN1|{seed}|{visit[3]}|{visit[4]}")}
```

"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for form, directory in make_bundles(Path(folder)).items():
            target = GOLDEN_DIR / form
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for path in sorted(directory.iterdir()):
                if path.name not in ("verify_draw.py", "README.md"):
                    shutil.copyfile(path, target / path.name)
            sys.stdout.write(f"{target}\n")
    before, _, after = FORMAT_PAGE.read_text("utf-8").partition("## 13 ")
    after = after[after.index("## 14 ") :]
    FORMAT_PAGE.write_text(before + worked_example(GOLDEN_DIR / "authorised") + after, "utf-8")


if __name__ == "__main__":
    main()
