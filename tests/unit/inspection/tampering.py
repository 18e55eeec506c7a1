"""A bundle taken apart, changed, and put together again: by a clumsy hand or by an insider.

The insider holds the office's signing key and its party key, and knows all reveals (after the draw the office does). He
recomputes every root, the freeze, the office's own commitment, seed, tickets and ranks, every digest in the log, the
chain, the checkpoints and the manifest. He does not hold the other parties' keys, nor what witnesses kept.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from golden_round import secret

from credit_pipeline.inspection import verify_draw as v


def _party_signer(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hmac.digest(secret(name), b"SIGN1", "sha256"))


SIGNER = Ed25519PrivateKey.from_private_bytes(secret("signing"))
PARTY_SIGNER = _party_signer("credit_office")


class Tampered:
    """`json`, `csv` (rows, the header first) and `log` of a bundle, to be changed in place."""

    def __init__(self, source: Path) -> None:
        self.raw = {path.name: path.read_bytes() for path in sorted(source.iterdir())}
        self.json: dict[str, Any] = {
            name: json.loads(data) for name, data in self.raw.items() if name.endswith(".json")
        }
        self.csv = {
            name: list(csv.reader(io.StringIO(data.decode())))
            for name, data in self.raw.items()
            if name.endswith(".csv")
        }
        self.log: list[dict[str, Any]] = [json.loads(line) for line in self.raw["log.jsonl"].splitlines()]

    def rows(self, name: str, **wanted: str) -> list[list[str]]:
        """The rows (not the header) with these values; the lists themselves."""
        header = self.csv[f"{name}.csv"][0]
        return [
            row
            for row in self.csv[f"{name}.csv"][1:]
            if all(row[header.index(column)] == value for column, value in wanted.items())
        ]

    def set(self, name: str, row: list[str], column: str, value: str) -> None:
        row[self.csv[f"{name}.csv"][0].index(column)] = value

    def get(self, name: str, row: list[str], column: str) -> str:
        return row[self.csv[f"{name}.csv"][0].index(column)]

    def event(self, name: str) -> dict[str, Any]:
        return next(one for one in self.log if one.get("event") == name)

    # --- what an insider recomputes -------------------------------------------------------------------------

    def refreeze(self) -> None:
        freeze, frame = self.json["freeze.json"], self.csv["frame.csv"][1:]
        sizes: dict[str, int] = {}
        for row in frame:
            sizes[row[0]] = sizes.get(row[0], 0) + 1
        roster = [row[1:] for row in self.csv["roster.csv"][1:] if row[0] == "0"]
        recusals = [row[1:] for row in self.csv["recusals.csv"][1:] if row[0] == "0"]
        freeze |= {
            "frame_root": _root("FRAME1", frame),
            "frame_size": len(frame),
            "eligible_count": sum(row[6] == "" for row in frame),
            "unit_sizes": sizes,
            "quotas_root": _root("QUOTA1", self.csv["quotas.csv"][1:]),
            "roster_root": _root("ROSTER1", roster, _leaves("RECUSAL1", recusals)),
            "rule_sha256": hashlib.sha256(v.canonical(self.json["plan.json"])).hexdigest(),
        }
        for statement in self.json["commitments.json"]:
            if statement["party"] == "credit_office":
                statement["freeze_root"] = self.freeze_root()
                self.sign_statement(statement)
        for statement in self.json["reveals.json"]:
            if statement.get("signed_by") == "credit_office":
                statement |= {
                    "freeze_root": self.freeze_root(),
                    "entropy": self.json["entropy.json"]["entropy"],
                }
                self.sign_statement(statement, label=b"REVEAL1|")

    def freeze_root(self) -> str:
        return hashlib.sha256(b"FREEZE1|" + v.canonical(self.json["freeze.json"])).hexdigest()

    def sign_statement(
        self,
        statement: dict[str, Any],
        signer: Ed25519PrivateKey = PARTY_SIGNER,
        label: bytes = b"COMMITMENT1|",
    ) -> None:
        content = {name: value for name, value in statement.items() if name != "signature"}
        statement["signature"] = signer.sign(label + v.canonical(content)).hex()

    def redraw(self) -> None:
        """Seed, tickets, ranks and what is drawn, from the frame and quotas as they are now."""
        manifest = self.json["bundle.json"]
        reveals = {one["party"]: one["reveal"] for one in self.json["reveals.json"]}
        committed = [(one["party"], one["commitment"]) for one in self.json["commitments.json"]]
        key = hashlib.sha256("|".join(reveals.get(party, "") for party, _ in committed).encode()).digest()
        message = (
            f"SEED1|{manifest['plan_id']}|{manifest['round']}|{self.freeze_root()}|"
            f"{','.join(one for _, one in committed)}|{self.json['entropy.json']['entropy']}"
        )
        seed = hmac.digest(key, message.encode(), "sha256").hex()
        self.json["seed.json"] = {"seed": seed, "seed_commitment": v.sha256("SEEDC1|" + seed)}
        cells: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        for unit, item, uscc, grade, _, _, reason, _ in self.csv["frame.csv"][1:]:
            if reason == "":
                cells.setdefault((unit, item, grade), []).append(
                    (v.sha256(f"DRAW1|{seed}|{unit}|{uscc}"), uscc)
                )
        quotas = {(row[0], row[1], row[2]): int(row[10]) for row in self.csv["quotas.csv"][1:]}
        rows = []
        for (unit, item, grade), cell in sorted(cells.items()):
            quota = quotas.get((unit, item, grade), 0)
            for rank, (ticket, uscc) in enumerate(sorted(cell), 1):
                rows.append([unit, item, uscc, grade, ticket, str(rank), str(len(cell)), str(quota),
                             "1" if rank <= quota else "0"])  # fmt: skip
        self.csv["draw.csv"][1:] = rows

    def relog(self) -> None:
        """The events of the round say what the files say."""
        freeze = self.json["freeze.json"]
        statements = {
            "rule.json": self.json["plan.json"],
            "freeze.json": freeze,
            "entropy.json": self.json["entropy.json"],
        }
        statements |= {f"commitment-{one['party']}.json": one for one in self.json["commitments.json"]}
        statements |= {f"topup-{n:03}.json": one for n, one in enumerate(self.json.get("topups.json", []), 1)}
        statements |= {
            f"replaced-{n:03}.json": one for n, one in enumerate(self.json.get("replacements.json", []), 1)
        }
        facts = {name: freeze[name] for name in
                 ("frozen_date", "frame_root", "frame_size", "eligible_count", "unit_sizes")}  # fmt: skip
        facts["freeze_root"] = self.freeze_root()
        if self.json["commitments.json"]:
            facts["commitments"] = [
                [one["party"], one["commitment"]] for one in self.json["commitments.json"]
            ]
        facts["entropy"] = self.json["entropy.json"].get("entropy")
        facts["seed_commitment"] = self.json["seed.json"].get("seed_commitment")
        if "draw.csv" in self.csv:
            facts["drawn_count"] = sum(row[-1] == "1" for row in self.csv["draw.csv"][1:])
        for record in self.log:
            if str(record.get("event", "")).startswith("round_"):
                details = record["details"]
                details |= {name: value for name, value in facts.items() if details.get(name)}
                if details.get("wave_roots"):
                    details["wave_roots"][0] = freeze["roster_root"]
                details["files"] |= {
                    name: v.stored_sha256(content)
                    for name, content in statements.items()
                    if name in details["files"]
                }

    def rechain(self) -> None:
        head, heads = v.GENESIS, {0: v.GENESIS}
        for number, record in enumerate(self.log, 1):
            if "event" in record:
                record |= {"seq": number, "prev": head}
                content = {name: value for name, value in record.items() if name != "hash"}
                record["hash"] = hashlib.sha256(b"AUDITLOG1|" + v.canonical(content)).hexdigest()
            else:
                record["seq"] = number
            head = heads[number] = record["hash"]
        previous, kept = v.GENESIS, []
        for checkpoint in self.json["checkpoints.json"]:
            if checkpoint["size"] in heads:
                checkpoint |= {"head": heads[checkpoint["size"]], "prev_checkpoint": previous}
                self.sign_checkpoint(checkpoint)
                previous = hashlib.sha256(v.canonical(checkpoint)).hexdigest()
                kept.append(checkpoint)
        self.json["checkpoints.json"] = kept

    def sign_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        content = {name: value for name, value in checkpoint.items() if name not in ("key_id", "signature")}
        checkpoint["signature"] = SIGNER.sign(b"CHECKPOINT1|" + v.canonical(content)).hex()

    # --- writing --------------------------------------------------------------------------------------------

    def contents(self) -> dict[str, bytes]:
        found = dict(self.raw)
        found |= {name: v.canonical(value) + b"\n" for name, value in self.json.items()}
        found["log.jsonl"] = b"".join(v.canonical(record) + b"\n" for record in self.log)
        for name, rows in self.csv.items():
            buffer = io.StringIO()
            csv.writer(buffer, lineterminator="\n").writerows(rows)
            found[name] = buffer.getvalue().encode()
        return found

    def write(self, target: Path, *, sealed: bool) -> None:
        target.mkdir(parents=True)
        contents = self.contents()
        if sealed:
            contents["bundle.json"] = seal(self.json["bundle.json"], contents)
        for name, data in contents.items():
            (target / name).write_bytes(data)


def seal(manifest: dict[str, Any], contents: dict[str, bytes]) -> bytes:
    """bundle.json over these contents, signed with the office's key."""
    manifest = dict(manifest)
    manifest["files"] = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in sorted(contents.items())
        if name not in ("bundle.json", "README.md", "verify_draw.py")
    }
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    manifest["signature"] = SIGNER.sign(b"BUNDLE1|" + v.canonical(unsigned)).hex()
    return v.canonical(manifest) + b"\n"


def _leaves(label: str, rows: list[list[str]]) -> list[tuple[str, str]]:
    return [(row[-1], "|".join([label, *row[:-1]])) for row in rows]


def _root(label: str, rows: list[list[str]], more: list[tuple[str, str]] | None = None) -> str:
    tree = v.MerkleTree()
    for salt, line in _leaves(label, rows) + (more or []):
        tree.add(salt, line)
    return str(tree.root())
