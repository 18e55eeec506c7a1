"""Backups: whole or not at all, readable only with the identity, and a way back that proves itself."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyrage
import pytest
from typer.testing import CliRunner

from credit_pipeline.audit import backup as backup_module
from credit_pipeline.audit.backup import choose, list_backups, make_backup, remove_backups
from credit_pipeline.audit.key_archive import archive_keys, backup_recipients, read_identities, restore_keys
from credit_pipeline.audit.log import AuditLog
from credit_pipeline.audit.restore import restore_backup, verify_backup
from credit_pipeline.audit.retention import purge_backups
from credit_pipeline.cli import app
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.keys import KeyStore, UnsafeKeyFile
from credit_pipeline.keys.handover import trusted_keys
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, lake_id, mark_current

sys.path.insert(0, str(Path(__file__).parents[1] / "feeds"))
from feeds_support import Lake, penalty

NOW = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
IDENTITY = pyrage.x25519.Identity.generate()
RECIPIENTS = [str(IDENTITY.to_public())]
SECRET = "绝密企业"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A lake with a feed, a warehouse, a log and what a backup leaves out."""
    lake = Lake(tmp_path)
    lake.put("penalties/2026-10-31/a.csv", [penalty(1, CF_XDR_MC=SECRET), penalty(2, CF_NR=None)])
    lake.ingest("penalties", date(2026, 10, 31))
    found = lake.settings.model_copy(update={"keys_dir": tmp_path / "keys"})
    with connect(found, found.warehouse_path) as connection:
        connection.execute(f"create table grades as select '{SECRET}' as name from range(5000)")
    mark_current(found, date(2026, 10, 31))
    lake_id(found)
    AuditLog(found.audit_log_path).append("day_finished", "audit", "run", as_of_date="2026-10-31")
    guide = found.lake_dir / "extracts" / "411300AG" / "使用说明.md"
    guide.parent.mkdir(parents=True)
    guide.write_text("说明")
    for name in ("tmp/spill", "dbt/run/target.json", "replays/2026-01-01.duckdb", "extracts/tmp-x", ".lock"):
        (found.lake_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (found.lake_dir / name).write_text("left out")
    return found


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def made(settings: Settings, out: Path, number: int = 0) -> backup_module.Made:
    return make_backup(settings, out, RECIPIENTS, now=NOW + timedelta(days=number))


def restored(settings: Settings, out: Path, target: Path) -> list[str]:
    elsewhere = settings.model_copy(update={"lake_dir": target})
    return restore_backup(
        elsewhere, out, choose(out, None), trusted_keys(KeyStore(settings.keys_dir)), [IDENTITY]
    )


def test_a_lake_comes_back_byte_for_byte(settings: Settings, tmp_path: Path) -> None:
    """Prevents a backup that lacks a file, changes one, keeps what is made anew, or is written in clear."""
    done = made(settings, tmp_path / "out")
    before = {
        name: data
        for name, data in content(settings.lake_dir).items()
        if name.split("/")[0] not in backup_module.LEFT_OUT and "tmp-" not in name
    }
    checked = restored(settings, tmp_path / "out", tmp_path / "again")
    assert content(tmp_path / "again") == before and done.files == len(before)
    assert any("continues the checkpoint" in line for line in checked)
    assert (tmp_path / "again").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "out").rglob("*"))
    assert not any(SECRET.encode() in data for data in content(tmp_path / "out").values())


def test_a_second_backup_writes_only_what_changed(settings: Settings, tmp_path: Path) -> None:
    """Prevents a daily backup from costing the whole lake each day, and the first from depending on the second."""
    first = made(settings, tmp_path / "out")
    AuditLog(settings.audit_log_path).append("backup_made", "audit", None)
    second = made(settings, tmp_path / "out", 1)
    assert first.new_objects > 10 and second.new_objects == 2
    shutil.rmtree(settings.lake_dir / "raw")
    shutil.copytree(tmp_path / "out", tmp_path / "moved")
    remove_backups(tmp_path / "moved", [list_backups(tmp_path / "moved")[0].path])
    key = trusted_keys(KeyStore(settings.keys_dir))
    assert verify_backup(tmp_path / "moved", choose(tmp_path / "moved", None), key, [IDENTITY]) > 10
    assert (
        verify_backup(tmp_path / "out", choose(tmp_path / "out", first.backup.path.name), key, [IDENTITY])
        > 10
    )


@pytest.mark.parametrize("change", ["flip", "cut", "missing", "swap", "manifest"])
def test_a_changed_backup_is_refused_and_nothing_is_left(
    settings: Settings, tmp_path: Path, change: str
) -> None:
    """Prevents a damaged or forged backup from becoming a lake."""
    out = tmp_path / "out"
    done = made(settings, out)
    objects = sorted((out / "objects").rglob("*.age"), key=lambda path: path.stat().st_size)
    data = objects[-1].read_bytes()
    if change == "flip":
        objects[-1].write_bytes(data[:900] + bytes([data[900] ^ 1]) + data[901:])
    elif change == "cut":
        objects[-1].write_bytes(data[:-70])
    elif change == "missing":
        objects[-1].unlink()
    elif change == "swap":
        objects[-1].write_bytes(pyrage.encrypt(b"another warehouse", [IDENTITY.to_public()]))
    else:
        text = done.backup.path.read_text()
        done.backup.path.write_text(text.replace('"as_of_date":"2026-10-31"', '"as_of_date":"2026-10-30"'))
    with pytest.raises(IntegrityError):
        verify_backup(out, choose(out, None), trusted_keys(KeyStore(settings.keys_dir)))
    with pytest.raises(IntegrityError):
        restored(settings, out, tmp_path / "again")
    assert not (tmp_path / "again").exists() and list(tmp_path.glob("tmp-restore-*")) == []


def test_nobody_else_can_read_it_and_nothing_is_overwritten(settings: Settings, tmp_path: Path) -> None:
    """Prevents a stolen backup from opening with another identity, and a restore over a lake in use."""
    made(settings, tmp_path / "out")
    key, chosen = trusted_keys(KeyStore(settings.keys_dir)), choose(tmp_path / "out", None)
    elsewhere = settings.model_copy(update={"lake_dir": tmp_path / "again"})
    with pytest.raises(IntegrityError, match="cannot be decrypted"):
        restore_backup(elsewhere, tmp_path / "out", chosen, key, [pyrage.x25519.Identity.generate()])
    assert not (tmp_path / "again").exists()
    before = content(settings.lake_dir)
    with pytest.raises(BadInput, match="not empty"):
        restore_backup(settings, tmp_path / "out", chosen, key, [IDENTITY])
    assert content(settings.lake_dir) == before


@pytest.mark.parametrize("room", [1_000, 40_000, 200_000])
def test_a_full_disk_leaves_the_backups_before(settings: Settings, tmp_path: Path, room: int) -> None:
    """Prevents half a backup. The kernel itself refuses to let a file grow beyond the room there is."""
    made(settings, tmp_path / "out")
    before = content(tmp_path / "out")
    with connect(settings, settings.warehouse_path) as connection:
        connection.execute(
            "create table noise as select sha256(i::varchar) as text from range(20000) as r(i)"
        )
    script = (
        "import sys, resource; from datetime import datetime, UTC; from pathlib import Path\n"
        "from credit_pipeline.audit import backup; from credit_pipeline.settings import Settings\n"
        "real = backup.pyrage.encrypt_io\n"
        "def limited(*given):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n"
        "    try: real(*given)\n"
        "    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "backup.pyrage.encrypt_io = limited\n"
        "settings = Settings(lake_dir=Path(sys.argv[1]), keys_dir=Path(sys.argv[2]))\n"
        "backup.make_backup(settings, Path(sys.argv[3]), [sys.argv[5]], now=datetime(2026, 11, 2, tzinfo=UTC))\n"
    )
    given = [str(settings.lake_dir), str(settings.keys_dir), str(tmp_path / "out"), str(room), RECIPIENTS[0]]
    done = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "could not be written" in done.stderr, done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    assert content(tmp_path / "out") == before
    assert made(settings, tmp_path / "out", 2).new_objects == 1


def test_what_a_kill_left_is_swept_and_never_trusted(settings: Settings, tmp_path: Path) -> None:
    """Prevents an object of a killed backup, which may be half written, from being taken for the content."""
    out = tmp_path / "out"
    done = made(settings, out)
    [entry] = [entry for entry in done.backup.files if entry["path"] == "warehouse.duckdb"]
    done.backup.path.unlink()
    [path] = (out / "objects").glob(f"*/{entry['sha256']}.age")
    path.write_bytes(b"half")
    (path.parent / "tmp-x.age").write_bytes(b"half")
    again = made(settings, out, 1)
    assert again.new_objects == done.new_objects and not (path.parent / "tmp-x.age").exists()
    verify_backup(out, again.backup, trusted_keys(KeyStore(settings.keys_dir)), [IDENTITY])


def test_a_restored_lake_must_agree_with_itself(settings: Settings, tmp_path: Path) -> None:
    """Prevents a lake that was damaged before its backup from coming back unnoticed."""
    [path] = (settings.lake_dir / "raw" / "penalties").glob("ingest_date=2026-*/*.parquet")
    path.unlink()
    made(settings, tmp_path / "out")
    with pytest.raises(IntegrityError, match="does not hold what its ledger says"):
        restored(settings, tmp_path / "out", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_lake_and_keys_are_never_in_one_place(settings: Settings, tmp_path: Path) -> None:
    """Prevents the thief of one folder from having lake and keys, and the archive from holding what opens it."""
    recipients, is_here = backup_recipients(settings)
    assert is_here
    KeyStore(settings.keys_dir).signing_key()
    call = ["backup", "make", "--lake", str(settings.lake_dir), "--out", str(tmp_path / "out")]
    for place in (tmp_path / "out", tmp_path / "out" / "keys", tmp_path):
        with pytest.raises(BadInput, match="must not lie in one another"):
            CliRunner().invoke(app, [*call, "--keys-out", str(place)], catch_exceptions=False)
    with pytest.raises(BadInput, match="must not lie in one another"):
        archive_keys(settings, settings.keys_dir / "archive", recipients, now=NOW)
    with pytest.raises(BadInput, match="must not lie in one another"):
        make_backup(settings, settings.lake_dir / "backups", recipients, now=NOW)
    archive = archive_keys(settings, tmp_path / "safe", recipients, now=NOW)
    identities = read_identities(settings, None)
    packed = pyrage.decrypt(archive.read_bytes(), identities)
    with tarfile.open(fileobj=io.BytesIO(packed)) as opened:
        names = opened.getnames()
    assert "signing.key" in names and "backup.agekey" not in names
    assert restore_keys(archive, tmp_path / "keys2", identities) == len(names)
    assert (
        KeyStore(tmp_path / "keys2").public_key().public_bytes_raw()
        == KeyStore(settings.keys_dir).public_key().public_bytes_raw()
    )
    with pytest.raises(BadInput, match="not empty"):
        restore_keys(archive, settings.keys_dir, identities)
    archive.write_bytes(archive.read_bytes()[:-3])
    with pytest.raises(IntegrityError, match="cannot be decrypted"):
        restore_keys(archive, tmp_path / "keys3", identities)
    assert not (tmp_path / "keys3").exists()
    identity = tmp_path / "open.agekey"
    identity.write_text(str(IDENTITY))
    identity.chmod(0o644)
    with pytest.raises(UnsafeKeyFile):
        read_identities(settings, identity)


def test_old_backups_go_and_the_newest_stays(settings: Settings, tmp_path: Path) -> None:
    """Prevents a purge that removes the last backup, or objects that another backup needs."""
    out = tmp_path / "out"
    for number in (0, 10, 20):
        AuditLog(settings.audit_log_path).append("day_finished", "audit", "run")
        made(settings, out, number)
    told = purge_backups(out, date(2026, 11, 30), 15, dry_run=True)
    done = purge_backups(out, date(2026, 11, 30), 15)
    assert told == done and done.files == 2
    left = list_backups(out)
    assert len(left) == 1 and purge_backups(out, date(2040, 1, 1), 15).files == 0
    objects = {path.stem for path in (out / "objects").rglob("*.age")}
    assert objects == {entry["sha256"] for entry in left[0].files}


def test_a_lake_of_another_city_is_not_mixed_in(settings: Settings, tmp_path: Path) -> None:
    """Prevents two lakes from sharing a folder, where a restore of the newest would bring the wrong city."""
    made(settings, tmp_path / "out")
    (settings.lake_dir / "lake_id").write_text("0123456789abcdef\n")
    with pytest.raises(BadInput, match="another lake"):
        made(settings, tmp_path / "out", 1)


def test_without_keys_nothing_is_believed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a restore from making a new signing key and checking the backup against that."""
    made(settings, tmp_path / "out")
    monkeypatch.setenv("CREDIT_KEYS_DIR", str(tmp_path / "lost"))
    identity = tmp_path / "open.agekey"
    identity.write_text(str(IDENTITY))
    identity.chmod(0o600)
    call = ["backup", "verify", "--from", str(tmp_path / "out"), "--identity", str(identity)]
    with pytest.raises(CreditPipelineError, match="no signing key"):
        CliRunner().invoke(app, call, catch_exceptions=False)
    assert not (tmp_path / "lost").exists()
    key = KeyStore(settings.keys_dir).public_key().public_bytes_raw().hex()
    done = CliRunner().invoke(app, [*call, "--public-key", key], catch_exceptions=False)
    assert "decrypted" in done.stdout
    assert (
        json.loads(
            CliRunner().invoke(app, ["backup", "list", "--from", str(tmp_path / "out"), "--json"]).stdout
        )[0]["files"]
        > 10
    )


def test_a_full_disk_leaves_no_half_restored_lake(settings: Settings, tmp_path: Path) -> None:
    """Prevents a lake that lacks files from standing where the next run would take it for whole."""
    made(settings, tmp_path / "out")
    identity = tmp_path / "open.agekey"
    identity.write_text(str(IDENTITY))
    identity.chmod(0o600)
    call = [
        sys.executable, "-m", "credit_pipeline.cli", "backup", "restore", "--from", str(tmp_path / "out"),
        "--lake", str(tmp_path / "again"), "--identity", str(identity),
    ]  # fmt: skip
    done = subprocess.run(
        call,
        env=os.environ | {"CREDIT_KEYS_DIR": str(settings.keys_dir)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "nothing is left of the attempt" in done.stderr, done.stderr
    assert not (tmp_path / "again").exists() and list(tmp_path.glob("tmp-restore-*")) == []
