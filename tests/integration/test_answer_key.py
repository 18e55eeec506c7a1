"""The lake of a dirty city against its answer key, and whether the comparison notices every kind of deviation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from credit_pipeline.sample.comparison import Comparison, compare
from credit_pipeline.settings import Settings
from tests_support import Place


@pytest.fixture(scope="session")
def answered(finished_run: dict[str, Any], city: Place) -> dict[str, Any]:
    """What `sample check --json` prints for the city that was run once."""
    done = city.command(
        "sample", "check", "--landing", str(city.landing), "--lake", str(city.lake), "--json", check=False
    )
    assert done.stdout, done.stderr
    return {"exit": done.returncode, **json.loads(done.stdout)}


def test_dirty_rows_end_as_the_domain_says(answered: dict[str, Any]) -> None:
    """Prevents a dirty row that slips through, and a clean one that is refused or changed."""
    assert answered["deviations"] == []
    assert answered["remarks"] == []
    assert answered["exit"] == 0 and answered["is_right"]
    assert [answered[f"clean_{what}"] for what in ("refused", "changed")] == [0, 0]
    assert answered["unaccounted"] == answered["columns_altered"] == 0
    assert answered["columns_compared"] > 500
    assert sum(counts["rows"] for counts in answered["kinds"].values()) > 400
    assert all(counts["as_expected"] == counts["rows"] for counts in answered["kinds"].values())


@pytest.fixture
def copy(finished_run: dict[str, Any], city: Place, tmp_path: Path) -> Settings:
    """A lake that may be damaged."""
    for name in ("raw", "quarantine", "repairs", "duplicates", "ledger"):
        shutil.copytree(city.lake / name, tmp_path / name)
    shutil.copy(city.lake / "warehouse.duckdb", tmp_path / "warehouse.duckdb")
    return Settings(landing_dir=city.landing, lake_dir=tmp_path)


def key_row(settings: Settings, **wanted: str) -> dict[str, Any]:
    """The first row of the answer key with those values."""
    key = pl.read_csv(
        settings.landing_dir / "_truth" / "answer_key.csv",
        schema_overrides={"row_number": pl.Int64},
        infer_schema_length=0,
    )
    return key.filter(pl.col("row_number").is_not_null(), **wanted).row(0, named=True)


def add(settings: Settings, kind: str, feed: str, **values: Any) -> None:
    """One more row in the first file of a kind and feed: its first one with other values."""
    for path in sorted((settings.lake_dir / kind / feed).glob("*/*.parquet")):
        frame = pl.read_parquet(path, hive_partitioning=False)
        if len(frame):
            changes = [pl.lit(value, dtype=frame.schema[name]).alias(name) for name, value in values.items()]
            pl.concat([frame, frame[:1].with_columns(changes)]).write_parquet(path)
            return
    raise AssertionError(f"{kind}/{feed} is empty")


def rewrite(settings: Settings, kind: str, feed: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> int:
    """Change all files of a kind and feed; how many rows are different afterwards."""
    touched = 0
    for path in sorted((settings.lake_dir / kind / feed).glob("*/*.parquet")):
        before = pl.read_parquet(path, hive_partitioning=False)
        after = change(before)
        if not after.equals(before):
            touched += abs(len(after) - len(before)) or 1
            after.write_parquet(path)
    return touched


def at(row: dict[str, Any], file: str = "file", sheet: str = "sheet", number: str = "row_number") -> pl.Expr:
    """The rows of a Parquet of the lake that come from the place of a key row."""
    return (
        (pl.col(file) == row["file"])
        & (pl.col(sheet).fill_null("") == (row["sheet"] or ""))
        & (pl.col(number) == row["row_number"])
    )


def raw_at(row: dict[str, Any]) -> pl.Expr:
    return at(row, "source_file", "source_sheet", "source_row")


def verdict(found: Comparison, row: dict[str, Any]) -> str:
    """What the comparison says of a key row."""
    places = [
        one.verdict
        for one in found.deviations
        if (one.file, one.row_number, one.kind) == (row["file"], row["row_number"], row["kind"])
    ]
    assert not found.is_right
    return places[0] if places else "as_expected"


def test_an_undamaged_copy_is_right(copy: Settings) -> None:
    """Prevents tests of damage that pass without it."""
    assert compare(copy).is_right


def test_a_lost_row_is_noticed(copy: Settings) -> None:
    """Prevents dirt, or a clean row, that just goes away."""
    row = key_row(copy, outcome="quarantined", feed="complaints")
    assert rewrite(copy, "quarantine", "complaints", lambda frame: frame.filter(~at(row)))
    found = compare(copy)
    assert verdict(found, row) == "lost" and found.unaccounted == 1
    assert rewrite(copy, "raw", "honours", lambda frame: frame[1:]) > 0
    assert compare(copy).unaccounted > 1


def test_another_rule_is_noticed(copy: Settings) -> None:
    """Prevents a right refusal for a wrong reason, which tells the office the wrong remedy."""
    row = key_row(copy, outcome="quarantined", feed="complaints")
    changed = pl.when(at(row)).then(pl.lit("too_long")).otherwise("rule").alias("rule")
    assert rewrite(copy, "quarantine", "complaints", lambda frame: frame.with_columns(changed))
    assert verdict(compare(copy), row) == "other_rule"


def test_dirt_that_is_accepted_is_noticed(copy: Settings) -> None:
    """Prevents dirt that is stored as if it were clean, and a duplicate that is stored twice."""
    refused = key_row(copy, outcome="quarantined", feed="complaints")
    twice = key_row(copy, outcome="duplicate", feed="complaints")
    assert rewrite(copy, "quarantine", "complaints", lambda frame: frame.filter(~at(refused)))
    assert rewrite(copy, "duplicates", "complaints", lambda frame: frame.filter(~at(twice)))

    for one in (refused, twice):
        place = {"source_file": one["file"], "source_sheet": None, "source_row": one["row_number"]}
        add(copy, "raw", "complaints", **place)
    found = compare(copy)
    assert verdict(found, refused) == verdict(found, twice) == "accepted"


def test_a_refused_good_row_is_noticed(copy: Settings) -> None:
    """Prevents a quarantine that takes clean rows, or dirt that only needed a repair."""
    row = key_row(copy, outcome="repaired", feed="operations")
    assert rewrite(copy, "raw", "operations", lambda frame: frame.filter(~raw_at(row)))

    place = {"file": row["file"], "sheet": row["sheet"], "row_number": row["row_number"]}
    add(copy, "quarantine", "operations", **place)
    found = compare(copy)
    assert verdict(found, row) == "refused" and found.unaccounted == 0


def test_a_clean_row_in_quarantine_is_noticed(copy: Settings) -> None:
    """Prevents false refusals that nobody counts."""

    add(copy, "quarantine", "operations", row_number=1_000_000)
    found = compare(copy)
    assert found.clean_refused == 1 and found.unaccounted == 1 and not found.is_right


def test_a_missing_or_wrong_repair_is_noticed(copy: Settings) -> None:
    """Prevents a value that is mended without a trace, or mended wrongly."""
    row = key_row(copy, kind="date_format", feed="operations")
    column = row["column"]
    moved = pl.when(raw_at(row)).then(pl.col(column).dt.offset_by("1d")).otherwise(column).alias(column)
    assert rewrite(copy, "raw", "operations", lambda frame: frame.with_columns(moved))
    assert verdict(compare(copy), row) == "wrong_value"
    back = pl.when(raw_at(row)).then(pl.col(column).dt.offset_by("-1d")).otherwise(column).alias(column)
    rewrite(copy, "raw", "operations", lambda frame: frame.with_columns(back))
    assert rewrite(copy, "repairs", "operations", lambda frame: frame.filter(~at(row)))
    assert verdict(compare(copy), row) == "unrepaired"


def test_a_repair_of_a_clean_row_is_noticed(copy: Settings) -> None:
    """Prevents a repair that changes what was right."""

    add(copy, "repairs", "operations", row_number=1_000_000)
    found = compare(copy)
    assert found.clean_changed == 1 and not found.is_right


def test_a_clean_value_that_changes_is_noticed(copy: Settings) -> None:
    """Prevents clean values that are cut, moved or lost without anything on record."""
    dearer = pl.col("revenue_fen") + pl.when(pl.col("source_row") == pl.col("source_row").max()).then(
        1
    ).otherwise(0)
    assert rewrite(copy, "raw", "operations", lambda frame: frame.with_columns(dearer.alias("revenue_fen")))
    found = compare(copy)
    assert found.columns_altered > 0 and not found.is_right
    assert {one.expected.partition(":")[0] for one in found.deviations} == {"revenue_fen"}


def test_a_wrong_identity_is_noticed(copy: Settings) -> None:
    """Prevents a record that becomes another enterprise's, or one that a machine decides though it must not."""
    with duckdb.connect(str(copy.warehouse_path)) as connection:
        connection.execute(
            "update staging.party_identities set uscc = '91411330MA40TE5TX8', rung = 'name_region',"
            " review_reason = null where review_reason = 'ambiguous_name'"
        )
    row = key_row(copy, outcome="review", rule="ambiguous_name")
    found = compare(copy)
    assert verdict(found, row) == "wrong_identity"
    assert {one.kind for one in found.deviations} == {"ambiguous_name"}


def test_a_withdrawal_that_does_not_stand_is_noticed(copy: Settings) -> None:
    """Prevents a withdrawn record that still weighs because its withdrawal came first."""
    row = key_row(copy, kind="withdrawal_before_original")
    with duckdb.connect(str(copy.warehouse_path)) as connection:
        connection.execute(f"update staging.stg_{row['feed']} set is_withdrawn = false")
    assert verdict(compare(copy), row) == "wrong_value"


def test_a_file_that_slips_through_is_noticed(copy: Settings) -> None:
    """Prevents a foreign, truncated or repeated file that is taken as if it were in order."""
    for path in (copy.lake_dir / "ledger" / "penalties").glob("*.json"):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if entry["problems"]:
            path.write_text(json.dumps(entry | {"problems": [], "problem": None}), encoding="utf-8")
    found = compare(copy)
    assert {one.kind for one in found.deviations} == {"foreign_file", "columns_renamed"}
    assert not found.is_right


def test_without_a_warehouse_it_says_what_was_not_compared(copy: Settings) -> None:
    """Prevents a comparison that calls right what it never looked at."""
    copy.warehouse_path.unlink()
    found = compare(copy)
    assert found.is_right and found.remarks
    assert sum(counts.get("not_compared", 0) for counts in found.kinds.values()) > 100
