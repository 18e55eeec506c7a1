"""Every way to alter the log or its checkpoints that we know: each is found, and called by its name.

Lines 1-9 are the first day (checkpoints at 4 and 8), 9-16 the second (checkpoints at 12 and 16).
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from audit_support import UNITS, Office, line_hash, make_office
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from credit_pipeline.audit.log import TORN_LINE_CUT, canonical_json


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Office:
    """Two honest days; copied for every test."""
    return make_office(tmp_path_factory.mktemp("office"))


@pytest.fixture
def office(honest: Office, tmp_path: Path) -> Office:
    root = tmp_path / "office"
    shutil.copytree(honest.settings.lake_dir.parent, root)
    paths = {name: root / name.removesuffix("_dir") for name in ("lake_dir", "keys_dir", "landing_dir")}
    return Office(honest.settings.model_copy(update=paths), root / "outside", honest.clock)


def _drop(number: int, last: int | None = None) -> Callable[[Office], None]:
    def change(office: Office) -> None:
        lines = office.lines()
        del lines[number - 1 : last or number]
        office.write(lines)

    return change


def _keep(count: int) -> Callable[[Office], None]:
    return lambda office: office.write(office.lines()[:count])


def _move(from_: int, to: int) -> Callable[[Office], None]:
    def change(office: Office) -> None:
        lines = office.lines()
        lines.insert(to - 1, lines.pop(from_ - 1))
        office.write(lines)

    return change


def _swap(office: Office) -> None:
    lines = office.lines()
    lines[4], lines[5] = lines[5], lines[4]
    office.write(lines)


def _double(number: int, at: int) -> Callable[[Office], None]:
    def change(office: Office) -> None:
        lines = office.lines()
        lines.insert(at - 1, lines[number - 1])
        office.write(lines)

    return change


def _insert_forged(office: Office) -> None:
    """A line that continues line 5 perfectly, before the true line 6."""
    lines = office.lines()
    forged = make_line_after(json.loads(lines[4]))
    lines.insert(5, canonical_json(forged) + b"\n")
    office.write(lines)


def make_line_after(before: dict[str, object]) -> dict[str, object]:

    content = {
        "seq": int(str(before["seq"])) + 1,
        "prev": before["hash"],
        "time": before["time"],
        "event": "feed_ingested",
        "stage": "feeds",
        "run_id": before["run_id"],
        "details": {"feed": "forged"},
    }
    return content | {"hash": line_hash(content)}


def _replace(number: int, old: bytes, new: bytes) -> Callable[[Office], None]:
    def change(office: Office) -> None:
        lines = office.lines()
        assert old in lines[number - 1], lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        office.write(lines)

    return change


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Office], None]:
    def changed(office: Office) -> None:
        office.path.write_bytes(change(office.path.read_bytes()))

    return changed


def _unicode_form(office: Office) -> None:
    """The same characters in the other normal form: no reader sees a difference."""
    office.edit(2, lambda line: line["details"].update(feed="é"), rehash=True)
    lines = office.lines()
    lines[1] = unicodedata.normalize("NFD", lines[1].decode()).encode()
    office.write(lines)


def _rewrite(office: Office) -> None:
    office.rechain(lambda lines: lines[5]["details"].update(release_seq=7))


def _checkpoint(size: int) -> Callable[[Office], Path]:
    return lambda office: office.store.directory / f"{size}.json"


def _edit_checkpoint(of: int, **fields: object) -> Callable[[Office], None]:
    def change(office: Office) -> None:
        path = _checkpoint(of)(office)
        path.write_bytes(canonical_json(json.loads(path.read_bytes()) | fields) + b"\n")

    return change


def _swap_checkpoints(office: Office) -> None:
    one, other = _checkpoint(4)(office), _checkpoint(12)(office)
    texts = one.read_bytes(), other.read_bytes()
    one.write_bytes(texts[1])
    other.write_bytes(texts[0])


def _foreign_rewrite(office: Office) -> None:
    """Somebody without the office's key writes a new past and signs it with his own."""
    _rewrite(office)
    office.sign_anew(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32))


def _cut_with_checkpoints(office: Office) -> None:
    """Back to the end of the first day, without the checkpoints of the second."""
    _keep(8)(office)
    for size in (12, 16):
        _checkpoint(size)(office).unlink()


def _cut_with_manifests(office: Office) -> None:
    """The lake as it was after the first day, as if the second had never been."""
    _cut_with_checkpoints(office)
    for unit in UNITS:
        folder = office.settings.extracts_dir / unit
        (folder / f"{unit}-000002.manifest.json").unlink()
        shutil.copy(folder / f"{unit}-000001.manifest.json", folder / "manifest.json")


def _insider(office: Office) -> None:
    """Whoever owns the signing key and the lake rewrites log, checkpoints and manifests: the lake alone is in order."""
    _rewrite(office)
    office.sign_anew(office.key)
    office.hand_out_anew()


def _cut_and_continued(office: Office) -> None:
    """The end is cut off and other events take its place, until the log is longer than before."""
    _keep(10)(office)
    for number in range(9):
        office.log.append("feed_ingested", "feeds", "run-x", feed=f"other_{number}", as_of_date="2026-11-03")


def _foreign_lake(office: Office, *, with_checkpoints: bool) -> None:
    """The log of another lake of the same office, signed by the same key."""
    other = office.settings.lake_dir.parent / "other"
    shutil.copytree(office.settings.keys_dir, other / "keys")
    twin = make_office(other, seed="-other")
    shutil.copy(twin.path, office.path)
    if with_checkpoints:
        shutil.rmtree(office.store.directory)
        shutil.copytree(twin.store.directory, office.store.directory)


def _link(office: Office) -> None:
    target = office.path.with_name("elsewhere.jsonl")
    office.path.rename(target)
    office.path.symlink_to(target)


def _clock_back(office: Office) -> None:
    from datetime import timedelta

    office.clock.now -= timedelta(days=400)
    office.log.append("run_started", "audit", "run-3", job="daily")
    office.clock.now += timedelta(days=401)


def _interleaved(office: Office) -> None:
    """What two writers without the lock would leave: both continue the same line."""
    lines = office.lines()
    one = make_line_after(json.loads(lines[-1]))
    two = make_line_after(json.loads(lines[-1]) | {"run_id": "other"})
    office.write([*lines, canonical_json(one) + b"\n", canonical_json(two) + b"\n"])


def _mixed_bytes(office: Office) -> None:
    """Two writers whose bytes went into each other."""
    first, second = office.lines()[6], office.lines()[7]
    office.write(
        [*office.lines()[:6], first[:80] + second[:80] + first[80:], second[80:], *office.lines()[8:]]
    )


def _remove_last_checkpoint_everywhere(office: Office) -> None:
    _checkpoint(16)(office).unlink()


@dataclass(frozen=True)
class Case:
    """A change, what it is called, in which line of the log, and which witnesses it takes."""

    change: Callable[[Office], object]
    kind: str
    line: int | None = None
    witnesses: tuple[str, ...] = ()
    is_warning: bool = False


CASES = {
    # edits
    "a detail edited": Case(lambda o: o.edit(2, lambda x: x["details"].update(read=99)), "edited", 2),
    "a time edited": Case(lambda o: o.edit(3, lambda x: x.update(time="2026-11-01T00:00:00Z")), "edited", 3),
    "an event renamed": Case(lambda o: o.edit(3, lambda x: x.update(event="feed_checked")), "edited", 3),
    "a stage edited": Case(lambda o: o.edit(3, lambda x: x.update(stage="grading")), "edited", 3),
    "a run edited": Case(lambda o: o.edit(3, lambda x: x.update(run_id="run-9")), "edited", 3),
    "a number edited": Case(lambda o: o.edit(3, lambda x: x.update(seq=30)), "edited", 3),
    "a link edited": Case(lambda o: o.edit(3, lambda x: x.update(prev="f" * 64)), "edited", 3),
    "a hash edited": Case(lambda o: o.edit(3, lambda x: x.update(hash="f" * 64)), "edited", 3),
    "a detail edited and hashed anew": Case(
        lambda o: o.edit(3, lambda x: x["details"].update(read=99), rehash=True), "edited", 4
    ),
    "a link edited and hashed anew": Case(
        lambda o: o.edit(3, lambda x: x.update(prev="f" * 64), rehash=True), "edited", 3
    ),
    "the last line edited and hashed anew": Case(
        lambda o: o.edit(16, lambda x: x["details"].update(as_of_date="2026-11-09"), rehash=True), "rewritten", 16
    ),
    "a field added": Case(lambda o: o.edit(3, lambda x: x.update(note="x")), "not_a_record", 3),
    "a field removed": Case(lambda o: o.edit(3, lambda x: x.pop("run_id")), "not_a_record", 3),
    "a line made unreadable": Case(_replace(5, b'"details":', b'"details"'), "not_a_record", 5),
    "a float instead of a number": Case(_replace(2, b'"read":10', b'"read":10.0'), "not_a_record", 2),
    "a line of deep brackets": Case(
        lambda o: o.write([*o.lines()[:4], b"[" * 200_000 + b"\n", *o.lines()[5:]]), "not_a_record", 5
    ),
    # the same content in other bytes
    "spaces put in": Case(_replace(2, b'"read":10', b'"read": 10'), "not_canonical", 2),
    "keys in another order": Case(
        lambda o: o.write(
            [json.dumps(dict(reversed(json.loads(line).items())), separators=(",", ":")).encode() + b"\n" for line in o.lines()]
        ),
        "not_canonical",
        1,
    ),
    "a character escaped": Case(_replace(2, b"registrations", b"registr\\u0061tions"), "not_canonical", 2),
    "another Unicode form": Case(_unicode_form, "not_canonical", 2),
    "a key twice, the right value last": Case(_replace(2, b'"read":10', b'"read":9,"read":10'), "not_canonical", 2),
    "a key twice, the wrong value last": Case(_replace(2, b'"read":10', b'"read":10,"read":9'), "edited", 2),
    "line ends of Windows": Case(_bytes(lambda text: text.replace(b"\n", b"\r\n")), "line_end", 1),
    "one line end of Windows": Case(_replace(7, b"\n", b"\r\n"), "line_end", 7),
    "a byte order mark": Case(_bytes(lambda text: b"\xef\xbb\xbf" + text), "byte_order_mark", 1),
    "another encoding": Case(_bytes(lambda text: text.decode().encode("utf-16")), "not_a_record", 1),
    "a blank line at the end": Case(_bytes(lambda text: text + b"\n"), "blank_line", 17),
    "a blank line within": Case(lambda o: o.write([*o.lines()[:5], b"  \n", *o.lines()[5:]]), "blank_line", 6),
    "a whole line behind the end": Case(
        lambda o: o.write([*o.lines(), b'{"note":"mine"}\n', b'{"note":"mine"}\n', b'{"note":"mine"}\n']), "not_a_record", 17
    ),
    # deletion
    "the first line deleted": Case(_drop(1), "removed", 1),
    "a middle line deleted": Case(_drop(6), "removed", 6),
    "several lines deleted": Case(_drop(5, 9), "removed", 5),
    "the last line deleted": Case(_drop(16), "truncated", 16),
    "a line deleted and the rest chained anew": Case(lambda o: o.rechain(lambda x: x.pop(5)), "rewritten", 8),
    # order and number
    "two lines swapped": Case(_swap, "reordered", 5),
    "a line moved to the front": Case(_move(9, 2), "reordered", 2),
    "a line moved to the end": Case(_move(3, 16), "reordered", 3),
    "all lines turned round": Case(lambda o: o.write(o.lines()[::-1]), "reordered", 1),
    "a line doubled": Case(_double(5, 6), "duplicated", 6),
    "a line repeated at the end": Case(_double(5, 17), "duplicated", 17),
    "a forged line put in": Case(_insert_forged, "inserted", 7),
    "two writers on one line": Case(_interleaved, "inserted", 18),
    "bytes of two writers mixed": Case(_mixed_bytes, "not_a_record", 7),
    "two swapped and chained anew": Case(
        lambda o: o.rechain(lambda x: x.__setitem__(slice(1, 3), x[1:3][::-1])), "rewritten", 4
    ),
    # the end
    "a torn last line": Case(_bytes(lambda text: text[:-30]), "torn", 16),
    "zeros behind the end": Case(_bytes(lambda text: text + b"\0" * 300 + b"\n"), "torn", 17),
    "cut behind the newest checkpoint's line": Case(_keep(15), "truncated", 16),
    "cut at the newest checkpoint of the lake": Case(_keep(12), "truncated", 13),
    "cut and continued with other events": Case(_cut_and_continued, "rewritten", 12),
    "cut with its checkpoints": Case(_cut_with_checkpoints, "truncated", 9),
    "cut with its checkpoints: named too": Case(_cut_with_checkpoints, "checkpoint_removed"),
    "cut with checkpoints and manifests, a manifest outside": Case(_cut_with_manifests, "truncated", 9, ("manifest.json",)),
    "cut with checkpoints and manifests, a receipt outside": Case(_cut_with_manifests, "truncated", 9, ("receipt.csv",)),
    "cut with checkpoints and manifests, minutes outside": Case(_cut_with_manifests, "truncated", 9, ("minutes.txt",)),
    "emptied": Case(lambda o: o.path.write_bytes(b""), "empty_log"),
    "emptied: the witnesses": Case(lambda o: o.path.write_bytes(b""), "truncated", 1),
    "deleted": Case(lambda o: o.path.unlink(), "missing_log"),
    "the whole audit folder deleted": Case(lambda o: shutil.rmtree(o.settings.audit_dir), "missing_log"),
    "the whole audit folder deleted: the manifests": Case(lambda o: shutil.rmtree(o.settings.audit_dir), "truncated", 1),
    "a link in its place": Case(_link, "symlink"),
    # rewriting
    "rewritten, checkpoints left": Case(_rewrite, "rewritten", 8),
    "rewritten and signed by a foreign key": Case(_foreign_rewrite, "checkpoint_foreign_key"),
    "rewritten and signed by a foreign key: the manifests": Case(_foreign_rewrite, "rewritten", 12),
    "rewritten by an insider, a manifest outside": Case(_insider, "rewritten", 12, ("manifest.json",)),
    "rewritten by an insider, a receipt outside": Case(_insider, "rewritten", 12, ("receipt.csv",)),
    "rewritten by an insider, minutes outside": Case(_insider, "rewritten", 16, ("minutes.txt",)),
    "the log of another lake": Case(lambda o: _foreign_lake(o, with_checkpoints=False), "rewritten", 4),
    "the log of another lake with its checkpoints": Case(
        lambda o: _foreign_lake(o, with_checkpoints=True), "rewritten", 4
    ),
    # checkpoints
    "the first checkpoint removed": Case(lambda o: _checkpoint(4)(o).unlink(), "checkpoint_removed"),
    "a middle checkpoint removed": Case(lambda o: _checkpoint(8)(o).unlink(), "checkpoint_removed"),
    "the last checkpoint removed": Case(_remove_last_checkpoint_everywhere, "checkpoint_lacking", 16, is_warning=True),
    "a checkpoint of the manifests removed": Case(lambda o: _checkpoint(12)(o).unlink(), "checkpoint_removed"),
    "all checkpoints removed": Case(lambda o: shutil.rmtree(o.store.directory), "checkpoint_removed"),
    "the size of a checkpoint edited": Case(_edit_checkpoint(8, size=7), "checkpoint_forged"),
    "the head of a checkpoint edited": Case(_edit_checkpoint(8, head="f" * 64), "checkpoint_forged"),
    "the time of a checkpoint edited": Case(_edit_checkpoint(8, time="2026-11-01T00:00:00Z"), "checkpoint_forged"),
    "the root of a checkpoint edited": Case(_edit_checkpoint(8, frame_root="f" * 64), "checkpoint_forged"),
    "the link of a checkpoint edited": Case(_edit_checkpoint(8, prev_checkpoint="f" * 64), "checkpoint_forged"),
    "the key of a checkpoint edited": Case(_edit_checkpoint(8, key_id="f" * 16), "checkpoint_foreign_key"),
    "a field put into a checkpoint": Case(_edit_checkpoint(8, note="x"), "checkpoint_forged"),
    "two checkpoints swapped": Case(_swap_checkpoints, "checkpoint_misplaced"),
    "a checkpoint copied to a later size": Case(
        lambda o: shutil.copy(_checkpoint(8)(o), _checkpoint(14)(o)), "checkpoint_misplaced"
    ),
    "a checkpoint in other bytes": Case(
        lambda o: _checkpoint(8)(o).write_text(json.dumps(json.loads(_checkpoint(8)(o).read_bytes()))), "checkpoint_edited"
    ),
    "a checkpoint made unreadable": Case(lambda o: _checkpoint(8)(o).write_bytes(b"{"), "checkpoint_unreadable"),
    "a checkpoint of a log to come": Case(_edit_checkpoint(16, size=99), "checkpoint_forged"),
    # what others hold
    "a manifest made unreadable": Case(
        lambda o: (o.settings.extracts_dir / UNITS[0] / "manifest.json").write_bytes(b"{"), "manifest_unreadable"
    ),
    "the checkpoint in a manifest edited": Case(
        lambda o: _edit_manifest(o), "witness_forged"
    ),
    "a second manifest of a release": Case(lambda o: _edit_manifest(o), "manifest_replaced"),
    # time
    "the clock set back": Case(_clock_back, "clock_back", 17, is_warning=True),
}  # fmt: skip


def _edit_manifest(office: Office) -> None:
    path = office.settings.extracts_dir / UNITS[1] / "manifest.json"
    content = json.loads(path.read_bytes())
    content["checkpoint"]["head"] = "f" * 64
    path.write_bytes(canonical_json(content) + b"\n")


def test_honest_days_are_intact(office: Office) -> None:
    """Prevents a verification that cries wolf; with every witness from outside."""
    report = office.verify("manifest.json", "receipt.csv", "minutes.txt")
    assert report.findings == () and report.is_intact
    assert (report.records, report.checkpoints, report.outside_witnesses) == (16, 4, 3)
    assert (report.confirmed, report.confirmed_outside) == (16, 16)
    assert office.verify(".").findings == ()


@pytest.mark.parametrize("name", CASES)
def test_every_change_is_found_and_called_by_its_name(office: Office, name: str) -> None:
    """Prevents a way to alter the record of what was done that nobody would notice."""
    case = CASES[name]
    assert office.verify().is_intact
    case.change(office)
    report = office.verify(*case.witnesses)
    found = [finding for finding in report.findings if finding.kind == case.kind]
    assert found, [(finding.kind, finding.line, finding.what) for finding in report.findings]
    assert case.line in {finding.line for finding in found}
    assert report.is_intact == case.is_warning
    for finding in found:
        told = finding.to_json()
        assert told["kind"] == case.kind and told["what"] and told["what_to_do"] and told["where"]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.witnesses])
def test_the_lake_alone_cannot_show_it(office: Office, name: str) -> None:
    """Keeps the proof that these need somebody outside: without a witness the lake is in order."""
    CASES[name].change(office)
    report = office.verify()
    assert report.is_intact and report.confirmed_outside == 0


def test_there_are_more_than_thirty_kinds() -> None:
    """Acceptance 5 of the extracts: 30 kinds of edit, deletion, reorder, truncation and rewrite."""
    assert len({(case.change, case.witnesses) for case in CASES.values()}) > 60
    assert len({case.kind for case in CASES.values()}) >= 24


def test_a_cut_after_a_crash_passes(office: Office) -> None:
    """Prevents an honest crash from looking like tampering for ever: the next event cuts and records the torn line."""
    with office.path.open("ab") as file:
        file.write(b'{"details":{"as_of')
    assert [finding.kind for finding in office.verify().findings] == ["torn"]
    office.log.append("run_started", "audit", "run-3", job="daily")
    report = office.verify("receipt.csv", "minutes.txt")
    assert report.is_intact and report.findings == () and report.records == 18
    assert [record.seq for record in office.log.records(TORN_LINE_CUT)] == [17]


def test_a_message_says_since_when(office: Office) -> None:
    """A rewrite after an agreed line is bounded on both sides: the search begins there."""
    office.rechain(lambda lines: lines[13]["details"].update(release_seq=7))
    [finding] = [found for found in office.verify().findings if found.kind == "rewritten"]
    assert "after line 12, on which a witness still agrees" in finding.what and finding.line == 16
