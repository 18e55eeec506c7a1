"""A second verifier, in JavaScript and written from docs/draw-format.md alone, must come to the same verdicts.

It shares no line with the pipeline: when it disagrees, the document, the pipeline or one of the verifiers is wrong.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from golden_round import GOLDEN_DIR
from tampering import Tampered

NODE = shutil.which("node")
VERIFIER = Path(__file__).parent / "second_verifier.mjs"

pytestmark = pytest.mark.skipif(NODE is None, reason="no node; remedy: apt-get install nodejs")


def judge(folder: Path) -> tuple[int, str]:
    assert NODE is not None
    done = subprocess.run([NODE, VERIFIER, folder], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("form", ["authorised", "public"])
def test_the_golden_bundles_are_honest_to_a_stranger(form: str) -> None:
    code, says = judge(GOLDEN_DIR / form)
    assert (code, says.split(":")[0]) == (0, "honest"), says


def _set(file: str, column: str, value: Callable[[str], str], **wanted: str) -> Callable[[Tampered], Any]:
    def change(b: Tampered) -> None:
        row = b.rows(file, **wanted)[0]
        b.set(file, row, column, value(b.get(file, row, column)))

    return change


def _relogged(change: Callable[[Tampered], Any]) -> Callable[[Tampered], Any]:
    """The insider who adapts the log, its chain and the checkpoints too."""

    def everything(b: Tampered) -> None:
        change(b)
        b.relog()
        b.rechain()

    return everything


def _at_every_step(name: str, value: str) -> Callable[[Tampered], Any]:
    def change(b: Tampered) -> None:
        for record in b.log:
            if record["details"].get(name):
                record["details"][name] = value
        b.rechain()

    return change


def _later(name: str, value: list[str]) -> Callable[[Tampered], Any]:
    """At the step after the assignment only."""

    def change(b: Tampered) -> None:
        b.event("round_inspector_replaced")["details"][name] = value
        b.rechain()

    return change


def _other_escrow(b: Tampered) -> None:
    for record in b.log:
        files = record["details"].get("files")
        if isinstance(files, dict) and "escrow-justice_office.age" in files:
            files["escrow-justice_office.age"] = "78" * 32
    b.rechain()


def _refrozen(change: Callable[[Tampered], Any]) -> Callable[[Tampered], Any]:
    def everything(b: Tampered) -> None:
        change(b)
        b.refreeze()
        b.redraw()
        b.relog()
        b.rechain()

    return everything


def _without_last_step(b: Tampered) -> None:
    del b.log[b.log.index(b.event("round_inspector_replaced"))]
    b.rechain()


# name -> (change, whether manifest and its signature are made anew, what the verifier says)
TAMPERINGS: dict[str, tuple[Callable[[Tampered], Any], bool, str]] = {
    "a grade, manifest as it was": (
        _set("frame", "platform_grade", lambda _: "C", platform_grade="E"), False, "frame.csv is not the file of the manifest",
    ),
    "an exclusion": (
        _set("frame", "excluded_reason", lambda _: "", excluded_reason="visit_cap_reached"), True, "frame_root",
    ),
    "a salt of a quota": (_set("quotas", "salt", lambda _: "0" * 32), True, "quotas_root"),
    "a recusal dropped": (lambda b: b.csv["recusals.csv"].pop(), True, "roster_root"),
    "the rule": (lambda b: b.json["plan.json"].update(inspectors_per_visit=3), True, "plan.json is not the rule"),
    "a frozen number": (
        _relogged(lambda b: b.json["freeze.json"].update(frozen_date="2026-10-30")), True, "credit_office signed another freeze",
    ),
    "the entropy": (
        _relogged(lambda b: b.json["entropy.json"]["announcements"][0].update(announced_date="2026-10-31")),
        True, "announced before the commitments",
    ),
    "the seed": (
        _relogged(lambda b: b.json["seed.json"].update(seed="0" * 64)), True, "the seed does not follow",
    ),
    "two ranks exchanged": (
        lambda b: b.csv["draw.csv"].__setitem__(slice(1, 3), b.csv["draw.csv"][2:0:-1]), True, "draw.csv row 2",
    ),
    "drawn though behind the quota": (
        _relogged(_set("draw", "is_drawn", lambda _: "1", is_drawn="0")), True, "is_drawn is not 0",
    ),
    "a top-up for no listed reason": (
        _relogged(lambda b: b.json["topups.json"][0].update(reason="convenience")), True, "reason is not in the rule",
    ),
    "another inspector": (
        _set("assignments", "inspector_id", lambda _: "A01-I1", inspector_id="A01-I4", role="member"), True, "inspector_id is not A01-I4",
    ),
    "a reason of a skip": (
        lambda b: b.set("assignments", next(row for row in b.rows("assignments") if row[9]), "skipped", ""), True, "skipped is not",
    ),
    "a replacement out of order": (
        _relogged(lambda b: b.json["replacements.json"][0].update(replaced_by="A01-I1")), True, "the next in order is A01-I",
    ),
    "another query than the frozen one": (_at_every_step("draw_sql_sha256", "78" * 32), True, "another draw_sql_sha256 than the rule"),
    "another escrow than the signed one": (_other_escrow, True, "justice_office: another escrow file stands in the log"),
    "a roster root of a later step": (_later("wave_roots", ["78" * 32]), True, "wave_roots changed"),
    "a unit without inspectors at a later step": (_later("unassigned_units", ["A01"]), True, "unassigned_units changed"),
    "the initiator": (_refrozen(lambda b: b.json["plan.json"].update(initiator="A01")), True, "unit B02 draws, though A01 is the initiator"),
    "a step cut out of the log": (_without_last_step, True, "log.jsonl is not cut where the format says"),
    "a checkpoint dropped": (lambda b: b.json["checkpoints.json"].pop(0), True, "checkpoints.json, number 1: the chain"),
    "a signature of a party": (
        _relogged(lambda b: b.json["commitments.json"][1].update(time="2026-10-31T01:46:00Z")), True, "discipline_office: false signature",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found_by_a_stranger(name: str, tmp_path: Path) -> None:
    change, is_sealed, expected = TAMPERINGS[name]
    tampered = Tampered(GOLDEN_DIR / "authorised")
    change(tampered)
    tampered.write(tmp_path / "bundle", sealed=is_sealed)
    code, says = judge(tmp_path / "bundle")
    assert code == 1 and expected in says, says


def test_tampering_with_the_public_form_is_found_by_a_stranger(tmp_path: Path) -> None:
    tampered = Tampered(GOLDEN_DIR / "public")
    tampered.event("round_drawn")["details"]["drawn_count"] += 1
    tampered.rechain()
    tampered.write(tmp_path / "bundle", sealed=True)
    code, says = judge(tmp_path / "bundle")
    assert code == 1 and "drawn_count changed" in says, says


def test_an_unreadable_bundle_is_no_verdict(tmp_path: Path) -> None:
    assert judge(tmp_path)[0] == 2
    (tmp_path / "bundle.json").write_text('{"form": "public"}\n')
    assert judge(tmp_path)[0] == 2
