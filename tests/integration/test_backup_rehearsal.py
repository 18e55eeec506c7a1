"""The rehearsal: a city is backed up, lake and keys are lost, both come back, and the days go on."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from credit_pipeline.audit.backup import LEFT_OUT
from tests_support import Place, make_place


def content(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] not in LEFT_OUT
    }


def test_a_lost_city_comes_back_and_goes_on(
    finished_run: dict[str, Any], city: Place, tmp_path: Path
) -> None:
    """Prevents a backup that can be made but not lived on."""
    place = make_place(tmp_path)
    for name in ("landing", "lake", "keys"):
        shutil.copytree(city.root / name, tmp_path / name)
    made = place.command(
        "backup",
        "make",
        "--lake",
        str(place.lake),
        "--out",
        str(tmp_path / "b"),
        "--keys-out",
        str(tmp_path / "k"),
        "--json",
    )
    archive = json.loads(made.stdout)["keys"]
    identity = shutil.move(tmp_path / "keys" / "backup.agekey", tmp_path / "paper.agekey")
    before, tables, keys = content(place.lake), place.tables(), content(tmp_path / "keys")

    shutil.rmtree(place.lake)
    shutil.rmtree(tmp_path / "keys")
    restored = place.command(
        "backup", "restore", "--keys-from", archive, "--from", str(tmp_path / "b"), "--lake", str(place.lake),
        "--identity", str(identity),
    )  # fmt: skip
    assert "60 extracts with right signature" in restored.stdout
    after = content(place.lake)
    log = "audit/log.jsonl"
    assert {name: data for name, data in after.items() if name != log} == {
        name: data for name, data in before.items() if name != log
    }
    events = [json.loads(line)["event"] for line in after[log].splitlines()]
    assert events[-1] == "backup_restored" and after[log].startswith(
        b"\n".join(before[log].splitlines()[:-1])
    )
    assert content(tmp_path / "keys") == keys
    assert place.tables() == tables

    place.as_of = city.as_of
    place.run()
    assert place.tables() == tables
    place.run((date.fromisoformat(city.as_of) + timedelta(days=1)).isoformat())
    assert "hold what the ledger says" in place.command("lake", "check", "--lake", str(place.lake)).stdout
