"""The bundle and its verifier: fixed bytes, every Python, damaged folders, and the verifier's own primitives."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import golden_round
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from golden_round import (
    FROZEN,
    GOLDEN_DIR,
    PLAN,
    ROUND,
    GoldenRound,
    frame_rows,
    make_bundles,
    recusal_rows,
    roster_rows,
)

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection import verify_draw as v
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.rule import VERIFIER_PATH
from credit_pipeline.inspection.rounds.bundle import write_bundle
from credit_pipeline.inspection.teams.assignment import assign

VECTORS = json.loads((Path(__file__).parent / "vectors" / "sampling_vectors.json").read_text("utf-8"))
VERSIONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")


def _interpreters() -> list[str]:
    """Every Python of 3.8 to 3.13 on this machine, and the one that runs the tests."""
    found = {sys.executable}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for version in VERSIONS:
        found |= {str(path) for path in pyenv.glob(f"{version}.*/bin/python")}
        for folder in ("/usr/bin", "/usr/local/bin"):
            if (path := Path(folder) / f"python{version}").exists():
                found.add(str(path))
    return sorted(found)


def verify(folder: Path, *options: str, python: str = sys.executable) -> tuple[int, str]:
    done = subprocess.run(
        [python, "-I", "-S", str(VERIFIER_PATH), str(folder), *options],
        capture_output=True,
        check=False,
        timeout=120,
    )
    text = (done.stdout + done.stderr).decode()
    assert "Traceback" not in text, text
    return done.returncode, text


# --- bytes ------------------------------------------------------------------------------------------------


def test_golden_bundles_still_come_out(tmp_path: Path) -> None:
    """A changed byte would make past proofs unreadable. If only digests of Parquet files differ (a new pyarrow), or
    the format changed on purpose, write them anew with golden_round.py.
    """
    for form, directory in make_bundles(tmp_path).items():
        companions = {"verify_draw.py", "README.md"}
        names = {path.name for path in directory.iterdir()}
        assert names - companions == {path.name for path in (GOLDEN_DIR / form).iterdir()}
        for name in sorted(names - companions):
            assert (directory / name).read_bytes() == (GOLDEN_DIR / form / name).read_bytes(), name
        assert companions <= names


def test_the_worked_example_of_the_format_page_is_the_golden_round() -> None:
    """Whoever writes a verifier of his own compares with these digits; golden_round.py writes them."""
    page = golden_round.FORMAT_PAGE.read_text("utf-8")
    assert golden_round.worked_example(GOLDEN_DIR / "authorised") in page


@pytest.mark.parametrize("python", _interpreters())
@pytest.mark.parametrize("form", ["authorised", "public"])
def test_the_verifier_runs_alone_under_every_python(python: str, form: str) -> None:
    """An auditor has the Python he has, and nothing installed."""
    code, text = verify(GOLDEN_DIR / form, python=python)
    assert code == 0, text
    assert "HONEST as far as was checked" in text and "NOT CHECKED" in text


def test_every_step_of_a_round_gives_an_honest_bundle_with_the_same_bytes_again(tmp_path: Path) -> None:
    """A round may be audited before it is finished; a second bundle of one state must be the same."""
    golden = GoldenRound(tmp_path)
    for step in golden.steps():
        for public in (False, True):
            folders = [tmp_path / f"{step}-{public}-{number}" for number in (1, 2)]
            for folder in folders:
                write_bundle(golden.settings, PLAN, ROUND, folder, public)
            assert verify(folders[0])[0] == 0, verify(folders[0])[1]
            for path in folders[0].iterdir():
                assert path.read_bytes() == (folders[1] / path.name).read_bytes(), path.name


@pytest.mark.parametrize("before", ["freeze", "draw"])
def test_an_aborted_round_has_an_honest_bundle(tmp_path: Path, before: str) -> None:
    """Aborting is a way to re-roll, so it must be provable too."""
    golden = GoldenRound(tmp_path)
    for step in golden.steps():
        if step == before:
            break
    golden.office.abort(PLAN, ROUND, "the directory was wrong", ["zhang-wei", "li-na", "wang-fang"])
    assert verify(write_bundle(golden.settings, PLAN, ROUND, tmp_path / "out").directory)[0] == 0


def test_a_round_of_one_party_says_what_it_lacks(tmp_path: Path) -> None:
    """It works, but must not look safer than it is."""
    golden = GoldenRound(tmp_path, ("credit_office",), "NONE")
    for _ in golden.steps():
        pass
    code, text = verify(write_bundle(golden.settings, PLAN, ROUND, tmp_path / "out").directory)
    assert code == 0, text
    assert "ONE PARTY ONLY" in text and "NO PUBLIC ENTROPY" in text


def test_the_public_form_tells_no_enterprise_and_no_grade() -> None:
    """Whoever reads it may be anybody."""
    with (GOLDEN_DIR / "authorised" / "frame.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    seed = json.loads((GOLDEN_DIR / "authorised" / "seed.json").read_text("utf-8"))["seed"]
    secrets = {row["uscc"] for row in rows} | {row["salt"] for row in rows} | {seed}
    secrets |= {
        one["reveal"] for one in json.loads((GOLDEN_DIR / "authorised" / "reveals.json").read_text("utf-8"))
    }
    for path in (GOLDEN_DIR / "public").iterdir():
        text = path.read_text("utf-8")
        assert not [one for one in secrets if one in text], path.name
        assert "platform_grade" not in text and "ratio_bp" not in text and '"quota"' not in text


# --- where it may be written --------------------------------------------------------------------------------


def test_only_an_earlier_bundle_of_the_round_is_replaced(tmp_path: Path) -> None:
    """The command must never delete somebody's files."""
    golden = GoldenRound(tmp_path)
    golden.freeze()
    full, filled = tmp_path / "bundle", tmp_path / "filled"
    first = write_bundle(golden.settings, PLAN, ROUND, full)
    assert first.is_new and not write_bundle(golden.settings, PLAN, ROUND, full).is_new
    golden.commit()
    assert write_bundle(golden.settings, PLAN, ROUND, full).state == "COMMITTED"
    filled.mkdir()
    (filled / "thesis.txt").write_text("x")
    with pytest.raises(BadInput, match="holds no bundle"):
        write_bundle(golden.settings, PLAN, ROUND, filled)
    with pytest.raises(BadInput, match="authorised bundle"):
        write_bundle(golden.settings, PLAN, ROUND, full, public=True)
    (full / "thesis.txt").write_text("x")
    with pytest.raises(BadInput, match=r"thesis\.txt"):
        write_bundle(golden.settings, PLAN, ROUND, full)
    with pytest.raises(BadInput, match="not begun"):
        write_bundle(golden.settings, "P2099NONE", 1, tmp_path / "none")
    assert sum(record.event == "draw_bundle_written" for record in golden.audit.records()) == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".bundle")]


# --- damaged folders ------------------------------------------------------------------------------------------

DAMAGE = {
    "no manifest": lambda folder: (folder / "bundle.json").unlink(),
    "manifest of junk": lambda folder: (folder / "bundle.json").write_bytes(bytes(range(256)) * 40),
    "manifest not JSON": lambda folder: (folder / "bundle.json").write_text("{"),
    "manifest a list": lambda folder: (folder / "bundle.json").write_text("[]\n"),
    "manifest empty": lambda folder: (folder / "bundle.json").write_text(""),
    "manifest of null": lambda folder: (folder / "bundle.json").write_text("null\n"),
    "deep JSON": lambda folder: (folder / "bundle.json").write_text("[" * 200_000),
    "deep objects": lambda folder: (folder / "bundle.json").write_text(
        '{"a":' * 100_000 + "1" + "}" * 100_000
    ),
    "huge number": lambda folder: (folder / "bundle.json").write_text("9" * 100_000),
    "float": lambda folder: (folder / "bundle.json").write_text('{"round":1.0}\n'),
    "NaN": lambda folder: (folder / "bundle.json").write_text('{"round":NaN}\n'),
    "doubled key": lambda folder: (folder / "bundle.json").write_text('{"round":1,"round":2}\n'),
    "half a character": lambda folder: (folder / "bundle.json").write_text('{"form":"\\ud800"}\n'),
    "spaces": lambda folder: (folder / "bundle.json").write_text('{"form": "public"}\n'),
    "a file missing": lambda folder: (folder / "draw.csv").unlink(),
    "a folder for a file": lambda folder: ((folder / "draw.csv").unlink(), (folder / "draw.csv").mkdir()),
    "a link for a file": lambda folder: (
        (folder / "draw.csv").rename(folder.parent / "elsewhere"),
        (folder / "draw.csv").symlink_to(folder.parent / "elsewhere"),
    ),
    "a pipe for a file": lambda folder: ((folder / "draw.csv").unlink(), os.mkfifo(folder / "draw.csv")),
    "junk in a table": lambda folder: (folder / "frame.csv").write_bytes(bytes(range(256)) * 40),
    "a table cut": lambda folder: (folder / "frame.csv").write_bytes(
        (folder / "frame.csv").read_bytes()[:-31]
    ),
    "a log cut": lambda folder: (folder / "log.jsonl").write_bytes((folder / "log.jsonl").read_bytes()[:-31]),
    "an open quote": lambda folder: (folder / "roster.csv").write_text('wave,unit_id\n"'),
    "a folder gone": shutil.rmtree,
}


@pytest.mark.parametrize("resealed", [False, True])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_folder_gives_a_sentence(name: str, resealed: bool, tmp_path: Path) -> None:
    """An auditor must never see a traceback, nor exit code 0, whatever the folder holds; also behind a good signature."""
    from tampering import seal

    folder = tmp_path / "bundle"
    shutil.copytree(GOLDEN_DIR / "authorised", folder)
    manifest = json.loads((folder / "bundle.json").read_text("utf-8"))
    DAMAGE[name](folder)
    if resealed and folder.exists() and (folder / "bundle.json").exists():
        data = {
            path.name: path.read_bytes()
            for path in folder.iterdir()
            if path.is_file() and not path.is_symlink()
        }
        if data["bundle.json"] == (GOLDEN_DIR / "authorised" / "bundle.json").read_bytes():
            (folder / "bundle.json").write_bytes(seal(manifest, data))
    code, text = verify(folder)
    assert code in (1, 2) and len(text.strip()) > 20, text


# --- the verifier's own primitives ----------------------------------------------------------------------------


def test_ed25519_of_the_verifier_is_that_of_rfc_8032() -> None:
    """It is written by hand: against the RFC's vector and against the library, forgeries included."""
    vector = VECTORS["ed25519_rfc8032_test1"]
    message = bytes.fromhex(vector["message"])
    assert v.signature_is_good(vector["public"], message, vector["signature"])
    assert not v.signature_is_good(vector["public"], message + b"x", vector["signature"])
    for number in range(8):
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(bytes([number])).digest())
        public, text = key.public_key().public_bytes_raw().hex(), os.fsencode(f"message {number}")
        signature = key.sign(text).hex()
        assert v.signature_is_good(public, text, signature)
        for place in (0, 63, 64, 127):
            forged = signature[:place] + ("0" if signature[place] != "0" else "1") + signature[place + 1 :]
            assert not v.signature_is_good(public, text, forged)
        s = int.from_bytes(bytes.fromhex(signature[64:]), "little") + v.L
        assert not v.signature_is_good(public, text, signature[:64] + s.to_bytes(32, "little").hex())
    identity = "01" + "00" * 31
    assert not v.signature_is_good(identity, b"any", identity + "00" * 32), "a key that signs everything"


def test_merkle_tree_of_the_verifier_is_that_of_rfc_6962() -> None:
    """Against the published heads, and against ours for many sizes."""
    tree = v.MerkleTree()
    for leaf, root in zip(*(VECTORS["rfc6962_roots"][name] for name in ("leaves", "roots")), strict=True):
        tree.add(leaf, "")
        assert tree.root() == root
    for size in (*range(9), 100, 1023):
        lines = [str(number) for number in range(size)]
        tree = v.MerkleTree()
        for line in lines:
            tree.add("ab" * 16, line)
        assert tree.root() == protocol.merkle_root(bytes.fromhex("ab" * 16) + line.encode() for line in lines)


@pytest.mark.parametrize("case", range(60))
def test_the_verifier_assigns_as_the_pipeline_does(case: int) -> None:
    """Two programs by two ways of searching: the verifier must not refuse an honest assignment, nor accept another."""
    rng = random.Random(case)
    seed = hashlib.sha256(str(case).encode()).hexdigest()
    k, count, staff = rng.choice((2, 2, 3)), rng.randint(1, 40), rng.randint(2, 14)
    usccs = [f"9141130{n % 10}MA4X{n:04}XXX"[:18].ljust(18, "X") for n in range(count)]
    skills = ("", "fire", "fire+food")
    visits = [
        {"unit_id": "A01", "draw_unit_id": "A01", "uscc": uscc, "region": rng.choice(("", "411302", "411330")),
         "required_skills": rng.choice(("", "", "", "fire"))}
        for uscc in usccs
    ]  # fmt: skip
    roster = [
        {"unit_id": "A01", "inspector_id": f"I{n:02}", "is_leader": rng.random() < 0.4,
         "region_prefix": rng.choice(("", "", "", "411302")), "skills": rng.choice(skills[1:]), "excluded_reason": ""}
        for n in range(staff)
    ]  # fmt: skip
    recusals = sorted({(f"I{rng.randrange(staff):02}", rng.choice(usccs)) for _ in range(count // 2)})
    recusal_table = pa.table({"inspector_id": [r[0] for r in recusals], "uscc": [r[1] for r in recusals],
                              "reason": ["x"] * len(recusals)})  # fmt: skip
    if not recusals:
        recusal_table = pa.schema(
            [("inspector_id", pa.string()), ("uscc", pa.string()), ("reason", pa.string())]
        ).empty_table()
    roster_table, half = pa.Table.from_pylist(roster), max(1, count // 2)
    people = {
        row["inspector_id"]: (row["is_leader"], row["region_prefix"], frozenset(row["skills"].split("+")))
        for row in roster
    }
    earlier: list[list[str]] = []
    already = None
    for wave, part in enumerate((visits[:half], visits[half:]), 1):
        if not part:
            continue
        given = assign(
            pa.Table.from_pylist(part),
            roster_table,
            recusal_table,
            seed,
            inspectors_per_visit=k,
            wave=wave,
            already=already,
        )
        wanted = {
            row["uscc"]: (row["region"], frozenset(filter(None, row["required_skills"].split("+"))))
            for row in part
        }
        found = v.choose_teams(seed, "A01", wanted, people, set(recusals), k, earlier)
        if given.infeasible:
            assert found is None
            return
        assert found is not None
        theirs = [
            (
                row["uscc"],
                row["inspector_id"],
                row["role"] == "leader",
                row["eligible_count"],
                row["rank_taken"],
                row["skipped"],
            )
            for row in given.assignments.to_pylist()
        ]
        assert sorted(theirs) == sorted(map(tuple, found))
        already = given.assignments
        teams: dict[str, list[str]] = {}
        for uscc, one, *_ in found:
            teams.setdefault(uscc, []).append(one)
        earlier += teams.values()


def test_the_golden_round_has_what_it_is_for() -> None:
    """A golden file without a top-up would not notice when top-ups change."""
    folder = GOLDEN_DIR / "authorised"
    assert FROZEN.isoformat() in (folder / "freeze.json").read_text("utf-8")
    assert len(json.loads((folder / "topups.json").read_text("utf-8"))) == 1
    assert len(json.loads((folder / "replacements.json").read_text("utf-8"))) == 1
    assert len(json.loads((folder / "commitments.json").read_text("utf-8"))) == 3
    with (folder / "assignments.csv").open(encoding="utf-8") as file:
        assert any(row["skipped"] for row in csv.DictReader(file))


def test_later_waves_and_top_ups_are_replayed_and_named(tmp_path: Path) -> None:
    """An enterprise topped up after the assignment gets a team of a later roster: honest, but less protected."""
    golden = GoldenRound(tmp_path)
    for _ in golden.steps():
        pass
    visits = golden.office.store.drawn(PLAN, ROUND).visits()
    unit, uscc = visits[-1]
    golden.office.top_up(
        PLAN, ROUND, unit_id=unit, uscc=uscc, reason="merged", event_id="registry-2026-9001", event_date="2026-11-01",
        approvers=["zhang-wei", "li-na"],
    )  # fmt: skip
    roster = roster_rows()[:-1]
    recusals = recusal_rows(frame_rows())
    golden.office.assign(PLAN, ROUND, (pa.Table.from_pylist(roster), pa.Table.from_pylist(recusals)))
    code, text = verify(write_bundle(golden.settings, PLAN, ROUND, tmp_path / "out").directory)
    assert code == 0, text
    added = set(golden.office.store.drawn(PLAN, ROUND).visits()) - set(visits)
    assert ("Wave 2 was made from a roster of a later day" in text) == bool(added)
    assert "2 top-up(s)" in text


def test_a_joint_plan_sends_a_team_of_each_unit(tmp_path: Path) -> None:
    """One draw, several units: each brings its own team, and the verifier replays every one."""
    golden = GoldenRound(tmp_path)
    golden.rule_changes = {"initiator": "A01", "cooperating_units": ["B02"]}
    frame = [row for row in golden_round.frame_rows() if row["unit_id"] == "A01"]
    quotas = [row for row in golden_round.quota_rows(frame) if row["unit_id"] == "A01"]
    with (
        mock.patch.object(golden_round, "frame_rows", lambda: frame),
        mock.patch.object(golden_round, "quota_rows", lambda _: quotas),
    ):
        for _ in golden.steps():
            pass
    folder = write_bundle(golden.settings, PLAN, ROUND, tmp_path / "out").directory
    code, text = verify(folder)
    assert code == 0, text
    with (folder / "assignments.csv").open(encoding="utf-8") as file:
        assert {(row["unit_id"], row["draw_unit_id"]) for row in csv.DictReader(file)} >= {
            ("A01", "A01"),
            ("B02", "A01"),
        }


def test_a_joint_plan_with_the_enterprises_of_another_unit_is_found(tmp_path: Path) -> None:
    """The initiator alone draws; what stood under another unit would be drawn with that unit's own tickets."""
    golden = GoldenRound(tmp_path)
    golden.rule_changes = {"initiator": "A01", "cooperating_units": ["B02", "C03"]}
    for _ in golden.steps():
        pass
    for public in (False, True):
        folder = write_bundle(golden.settings, PLAN, ROUND, tmp_path / str(public), public).directory
        code, text = verify(folder)
        assert code == 1 and "unit B02 stands there, but by the rule A01 alone draws" in text, text


def test_a_round_is_drawn_by_the_query_that_its_rule_names(tmp_path: Path) -> None:
    """A release with another query may not draw a round frozen before it: no verifier would accept the bundle."""
    golden = GoldenRound(tmp_path)
    golden.rule_changes = {"draw_sql_sha256": "78" * 32}
    with pytest.raises(BadInput, match="frozen with another query"):
        for _ in golden.steps():
            pass
    assert golden.office.store.record(PLAN, ROUND).state == "ENTROPY"


def _everybody_drawn_for_general(frame: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Then the reserve of SAFETY is drawn for GENERAL already: a top-up gives such an enterprise one more item."""
    quotas = QUOTA_ROWS(frame)
    for row in quotas:
        if row["item_code"] == "GENERAL" and row["platform_grade"] != "A":
            size, before = row["stratum_size"], row["drawn_before"]
            row |= {"ratio_bp": 10_000, "target": size + before, "quota": size}
    return quotas


QUOTA_ROWS = golden_round.quota_rows


def test_an_inspector_is_replaced_by_what_was_known_then(tmp_path: Path) -> None:
    """A top-up after the replacement asks for one more skill; who had replaced without it was lawful all the same."""
    # The title changes the seed: of these rounds the first in which the one without a skill did not go from the start.
    for title in range(20):
        golden = GoldenRound(tmp_path / str(title))
        golden.rule_changes["title"] = str(title)
        with mock.patch.object(golden_round, "quota_rows", _everybody_drawn_for_general):
            for step in ("freeze", "commit", "entropy", "draw", "assign"):
                getattr(golden, step)()
        ranks = golden.office.store.table(PLAN, ROUND, "draw").to_pylist()
        teams = golden.office.store.assignments(PLAN, ROUND).to_pylist()
        first, second = (
            next(row for row in ranks if (row["unit_id"], row["item_code"], row["platform_grade"], row["rank"]) == ("A01", "SAFETY", "B", rank))["uscc"]
            for rank in (1, 2)
        )  # fmt: skip
        going = [row["inspector_id"] for row in teams if row["uscc"] == second and row["role"] == "member"]
        if going[-1] != "A01-I5":
            break
    while going[-1] != "A01-I5":  # the one without a skill
        _, chosen = golden.office.replace_inspector(
            PLAN, ROUND, unit_id="A01", uscc=second, inspector_id=going[-1], reason="relative", declared_date="2026-11-01",
            document_no="回避〔2026〕1号", approvers=["zhang-wei", "li-na"],
        )  # fmt: skip
        going.append(chosen)
    assert len(going) > 1, "I5 must have come by a replacement"
    golden.office.top_up(
        PLAN, ROUND, unit_id="A01", uscc=first, reason="merged", event_id="registry-2026-9002", event_date="2026-11-01",
        approvers=["zhang-wei", "li-na"],
    )  # fmt: skip
    added = golden.office.store.drawn(PLAN, ROUND).table.to_pylist()
    assert ("SAFETY", second) in {(row["item_code"], row["uscc"]) for row in added}
    folder = write_bundle(golden.settings, PLAN, ROUND, tmp_path / "out").directory
    code, text = verify(folder)
    assert code == 0, text


def test_two_thousand_visits_are_replayed(tmp_path: Path) -> None:
    """The network is plain, not fast; it must still do for the largest unit."""
    people = {f"I{n:02}": (n % 3 == 0, "", frozenset[str]()) for n in range(60)}
    visits = {f"91411300MA{n:08}": ("411302", frozenset[str]()) for n in range(2000)}
    barred = {(f"I{n % 60:02}", f"91411300MA{n * 7 % 2000:08}") for n in range(900)}
    found = v.choose_teams("ab" * 32, "A01", visits, people, barred, 2, [])
    assert found is not None and len(found) == 4000
    assert max(sum(row[1] == one for row in found) for one in people) <= 2000 // 20 + 2


@pytest.mark.parametrize("is_ordered", [True, False])
def test_grade_a_is_drawn_without_safety_by_a_superiors_task_alone(tmp_path: Path, is_ordered: bool) -> None:
    """An honest draw of a superior's task must verify, and the same draw without the task in the rule must not."""
    frame = golden_round.frame_rows()
    for row in frame:
        if (row["unit_id"], row["item_code"], row["excluded_reason"]) == ("A01", "GENERAL", "grade_a_exempt"):
            row["excluded_reason"] = ""
    quotas = golden_round.quota_rows(frame)
    for row in quotas:
        if (row["unit_id"], row["item_code"], row["platform_grade"]) == ("A01", "GENERAL", "A"):
            row |= {"ratio_bp": 300, "target": 1, "quota": 1}
    golden = GoldenRound(tmp_path)
    if is_ordered:
        task = {"exception_id": "TX-1", "document_no": "1", "unit_id": "A01", "item_code": "*"}
        golden.rule_changes = {"superior_tasks": [task]}
    with (
        mock.patch.object(golden_round, "frame_rows", lambda: frame),
        mock.patch.object(golden_round, "quota_rows", lambda _: quotas),
    ):
        for _ in golden.steps():
            pass
    folder = write_bundle(golden.settings, PLAN, ROUND, tmp_path / "bundle").directory
    code, text = verify(folder)
    assert code == (0 if is_ordered else 1), text
    expected = "a superior ordered 'TX-1'" if is_ordered else "grade A may be drawn for safety only"
    assert expected in text
