"""The same day again, the next day, a past day, a crash, two at once, and the real register."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests_support import COMMAND, Place, make_city, make_place

REAL_REGISTER = Path(__file__).resolve().parents[3] / "shared" / "data" / "registrations_nanyang.csv"


def test_the_same_command_again_changes_nothing(tmp_path: Path) -> None:
    """Prevents a re-run that ingests twice, draws again or publishes new releases; next day and replay follow."""
    place = make_city(make_place(tmp_path), enterprises=400, days=2)
    first_day = "2026-10-31"
    first = place.run(first_day)
    tables = place.tables()
    again = place.run(first_day)
    assert place.tables() == tables
    assert sum(sum(counts.values()) for counts in again["feeds"].values()) == 0
    assert {key: again[key] for key in ("grades", "quotas", "draws")} == {
        key: first[key] for key in ("grades", "quotas", "draws")
    }
    assert {path.name for path in (place.lake / "extracts" / "411330MS").glob("*.duckdb")} == {
        "411330MS-000001.duckdb"
    }

    second = place.run()
    assert sum(counts["read"] for counts in second["feeds"].values()) > 0
    assert second["draws"] == first["draws"], "a drawn round stands"
    today = place.tables()

    place.run(first_day)
    replay = place.tables(place.lake / "replays" / f"{first_day}.duckdb")
    assert {name: replay[name] for name in tables} == tables, "a past day gives that day's tables"
    assert place.tables() == today, "and leaves what is current alone"


@pytest.mark.parametrize("moment", ["raw", "dbt", "inspection"])
def test_killed_run_ends_as_if_undisturbed(
    tmp_path: Path, city: Place, finished_run: dict[str, Any], moment: str
) -> None:
    """Prevents a half-ingested file, a second draw or a broken warehouse after kill -9."""
    place = make_place(tmp_path, keys=city.root / "keys")
    place.landing = city.landing
    signs = {"raw": "penalties", "dbt": "dbt:", "inspection": "draw P"}
    process = subprocess.Popen(
        [COMMAND, "run", "--landing", str(place.landing), "--lake", str(place.lake), "--as-of", city.as_of],
        env=place.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if signs[moment] in line:
            break
    else:
        pytest.fail(f"the run ended before it came to {moment}")
    if moment == "dbt":
        # Its dbt outlives it for a while and still writes the warehouse.
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    place.run(city.as_of)
    assert place.tables() == city.tables()


def test_two_runs_at_once_take_turns(tmp_path: Path) -> None:
    """Prevents two runs that write one lake at the same time."""
    place = make_city(make_place(tmp_path), enterprises=200)
    arguments = [
        COMMAND,
        "run",
        "--landing",
        str(place.landing),
        "--lake",
        str(place.lake),
        "--as-of",
        place.as_of,
        "--json",
    ]
    runs = [
        subprocess.Popen(
            arguments, env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ended = [run.communicate(timeout=900) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], ended
    assert any("another run holds the lake" in errors for _, errors in ended)
    [(graded, distinct)] = place.query("select count(*), count(distinct uscc) from grading.enterprise_grades")
    assert graded == distinct > 0


def test_bad_usage_and_bad_input_exit_2(tmp_path: Path) -> None:
    """Prevents an exit code that scripts cannot tell apart."""
    place = make_place(tmp_path)
    landing, lake = str(place.landing), str(place.lake)
    missing = place.command("run", "--landing", landing, "--lake", lake, "--as-of", "2026-10-31", check=False)
    assert missing.returncode == 2 and "landing" in missing.stderr
    place.landing.mkdir()
    assert (
        place.command(
            "run", "--landing", landing, "--lake", lake, "--as-of", "2026-10-31", check=False
        ).returncode
        == 2
    )
    (place.landing / "penalties").mkdir()
    for day in ("31.10.2026", "2999-01-01", "1999-01-01"):
        refused = place.command("run", "--landing", landing, "--lake", lake, "--as-of", day, check=False)
        assert refused.returncode == 2 and day in refused.stderr
    assert place.command("run", "--no-such-option", check=False).returncode == 2
    assert place.command("status", "--lake", lake).returncode == 0


def test_a_broken_file_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    """Prevents one bad file from stopping the day, or from being lost."""
    place = make_city(make_place(tmp_path), enterprises=200, dirt=0)
    (place.landing / "penalties" / "broken.xlsx").write_bytes(b"PK\x03\x04 this is no workbook")
    (place.landing / "honours" / "empty.csv").write_bytes(b"")
    result = place.run()
    assert result["feeds"]["penalties"]["quarantined"] == 1 and result["feeds"]["honours"]["quarantined"] == 1
    rows = duckdb.sql(
        f"select rule, remedy from read_parquet('{place.lake}/quarantine/*/*/*.parquet') where file like '%broken.xlsx' or file like '%empty.csv'"
    ).fetchall()
    assert {rule for rule, _ in rows} == {"unreadable_file", "empty_file"} and all(
        remedy for _, remedy in rows
    )


@pytest.mark.skipif(not REAL_REGISTER.exists(), reason="the real register is not beside this checkout")
def test_the_real_register_alone_is_graded(tmp_path: Path) -> None:
    """Prevents a pipeline that only works on its own sample: 16,067 real enterprises, all other feeds absent."""
    place = make_place(tmp_path)
    (place.landing / "registrations").mkdir(parents=True)
    (place.landing / "registrations" / REAL_REGISTER.name).write_bytes(REAL_REGISTER.read_bytes())
    result = place.run("2019-06-30")
    counts = result["feeds"]["registrations"]
    assert counts["read"] == 16_067 == counts["accepted"] + counts["quarantined"] + counts["duplicates"]
    accepted = duckdb.sql(
        f"select count(distinct uscc) from read_parquet('{place.lake}/raw/registrations/*/*.parquet')"
    ).fetchone()
    assert accepted == (result["enterprises"],) == (sum(result["grades"].values()),)
    assert result["extracts"] == 60
