"""The files of the synthetic city: bytes, headers, clean rows, days."""

from __future__ import annotations

import hashlib
import re
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from sent_files import Sample, SentTable

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import feed_names, get_feed
from credit_pipeline.sample import generate


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every feed file and the truth."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_arguments_give_the_same_bytes(dirty_city: Sample, tmp_path: Path) -> None:
    """Prevents clocks, hash order or thread order from getting into a file."""
    generate(tmp_path, enterprises=600, dirt=0.5)
    assert digests(tmp_path) == digests(dirty_city.out)


def test_another_seed_gives_another_city(tmp_path: Path) -> None:
    """Prevents a seed that is not used."""
    first = generate(tmp_path / "a", enterprises=20, seed=1)
    second = generate(tmp_path / "b", enterprises=20, seed=2)
    assert first.answer_key.read_bytes() != second.answer_key.read_bytes()


def test_day_one_does_not_depend_on_the_number_of_days(three_days: Sample, tmp_path: Path) -> None:
    """Prevents a longer sample from changing the go-live load under existing results."""
    one = generate(tmp_path, enterprises=400, days=1, dirt=0.05)
    longer = digests(three_days.out)
    for name in one.files:
        assert longer[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest(), name
    assert three_days.summary.answer_key.read_bytes().startswith(one.answer_key.read_bytes())
    later = set(three_days.summary.files) - set(one.files)
    assert all(re.search(r"/2026-11-0[12]/", name) for name in later)


def test_as_of_is_the_last_day(three_days: Sample, clean_city: Sample) -> None:
    """Prevents a run for a day that the sample does not reach."""
    assert (three_days.out / "as_of").read_text(encoding="utf-8").strip() == "2026-11-02"
    assert three_days.summary.as_of == date(2026, 11, 2)
    assert clean_city.summary.as_of == date(2026, 11, 1)


def test_every_feed_arrives_and_the_summary_counts_its_rows(dirty_city: Sample) -> None:
    """Prevents a feed of the catalogue that no test ever sees."""
    for name in feed_names():
        if get_feed(name).information_kind == "decision":
            continue  # made by the office, not sent to it
        listed = {
            file: rows for (file, _), rows in dirty_city.listed_rows().items() if file.startswith(f"{name}/")
        }
        assert {table.file for table in dirty_city.tables(name)} <= set(listed)
        assert sum(map(len, dirty_city.listed_rows_of(name))) == dirty_city.summary.rows[name] > 0


def test_every_header_is_known(dirty_city: Sample) -> None:
    """Prevents columns that a reader can only put aside, and a file without a required one."""
    for name in feed_names():
        required = {column.name for column in get_feed(name).columns if column.required}
        for table in dirty_city.tables(name):
            assert len(table.columns()) == len(table.headers), table.file
            assert required <= set(table.columns()), table.file


def test_offices_differ(dirty_city: Sample) -> None:
    """Prevents a sample of one format, encoding or layout only."""
    kinds = set(dirty_city.key.filter(pl.col("outcome") == "file")["kind"])
    assert kinds >= {
        "encoding_gb18030", "encoding_utf8_bom", "mixed_encoding_in_zip", "title_row", "two_row_header",
        "unit_line", "footer", "blank_row", "date_cells", "hidden_sheet", "notes_sheet", "explanation_row",
        "unit_alias", "wrong_header", "personal_data",
    }  # fmt: skip
    suffixes = {Path(name).suffix for name in dirty_city.summary.files}
    assert suffixes == {".csv", ".xlsx", ".jsonl", ".parquet", ".zip"}


def _check_clean(table: SentTable, as_of: date) -> None:
    columns = table.columns()
    sent = [column for column in table.feed.columns if column.name in columns]
    words = {c.name: {word for options in c.codes.values() for word in options} for c in sent}
    for number, row in table.rows.items():
        for column in sent:
            name, value = column.name, row[columns[column.name]]
            where = f"{table.file}:{number} {name}={value!r}"
            assert value or not column.required, where
            if not value:
                continue
            assert len(value) <= column.max_length, where
            if column.type in ("category", "categories"):
                parts = re.split(r"[;,]", value) if column.type == "categories" else [value]
                assert set(parts) <= words[name], where
            if column.type == "date":
                day = date.fromisoformat(value)
                assert column.may_be_future or day <= as_of, where
            if column.type == "money" and column.currency_column is None:
                assert column.minimum is None or Decimal(value) >= 0, where
            if column.pattern:
                assert re.fullmatch(column.pattern, value), where
        for later, earlier in table.feed.date_order:
            if later in columns and earlier in columns and row[columns[later]] and row[columns[earlier]]:
                assert row[columns[later]] >= row[columns[earlier]], f"{table.file}:{number} {later}"


@pytest.mark.parametrize("name", feed_names())
def test_clean_rows_are_acceptable(name: str, clean_city: Sample) -> None:
    """Prevents rows that the contract refuses although the key does not list them."""
    for table in clean_city.tables(name):
        _check_clean(table, clean_city.summary.as_of)


@pytest.mark.parametrize("name", feed_names())
def test_rows_beside_the_dirt_stay_clean(name: str, three_days: Sample) -> None:
    """Prevents dirt that spills over into rows that the key does not list."""
    for table in three_days.tables(name):
        dirty = three_days.dirty_rows(table.file)
        rows = {number: row for number, row in table.rows.items() if number not in dirty}
        _check_clean(SentTable(table.feed, table.file, table.headers, rows), three_days.summary.as_of)


def test_no_event_is_reported_before_it_happened(clean_city: Sample) -> None:
    """Prevents training snapshots from knowing the future, which the day of reporting decides."""
    for name in feed_names():
        feed = get_feed(name)
        for table in clean_city.tables(name):
            columns = table.columns()
            if feed.event_date not in columns or "reported_date" not in columns:
                continue
            for row in table.rows.values():
                assert row[columns["reported_date"]] >= row[columns[feed.event_date]], table.file


def test_a_later_day_brings_little_and_only_recent_events(clean_city: Sample) -> None:
    """Prevents an increment that is a second load."""
    day = clean_city.summary.as_of
    for name in ("licences", "penalties", "inspection_results", "complaints", "registration_changes"):
        feed = get_feed(name)
        assert feed.event_date is not None
        fresh = [t for t in clean_city.tables(name) if f"/{day}/" in t.file and "_resent" not in t.file]
        for table in (t for t in fresh if "_withdrawn" not in t.file):
            for number in table.rows:
                assert (day - date.fromisoformat(table.cell(number, feed.event_date))).days <= 3
                assert table.cell(number, "reported_date") == day.isoformat()


def test_a_snapshot_lacks_what_the_key_says(three_days: Sample) -> None:
    """Prevents a silent deletion that nobody could notice, and a snapshot with other gaps."""
    gone = three_days.key.filter(pl.col("kind") == "silent_deletion")
    assert len(gone) > 0
    for file in gone["file"].unique():
        sent = three_days.table("registrations", file)
        codes = {sent.cell(number, "uscc") for number in sent.rows}
        assert not codes & set(gone.filter(pl.col("file") == file)["expected_value"])
    first = {
        table.cell(number, "uscc")
        for table in three_days.tables("registrations")
        if table.file.count("/") == 1
        for number in table.rows
    }
    assert set(gone["expected_value"]) <= first


def test_a_sample_replaces_a_sample_but_nothing_else(tmp_path: Path) -> None:
    """Prevents files of an earlier, longer sample from staying, and the loss of real files."""
    generate(tmp_path, enterprises=30, days=3)
    generate(tmp_path, enterprises=30, days=1)
    assert not list(tmp_path.rglob("2026-11-*"))
    real = tmp_path / "penalties" / "real.csv"
    real.write_text("CF_WSH\n", encoding="utf-8")
    with pytest.raises(BadInput, match=r"real\.csv"):
        generate(tmp_path, enterprises=30)
    assert real.exists()
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("wrong", [{"enterprises": 0}, {"days": 0}, {"dirt": 0.6}, {"dirt": -0.1}])
def test_impossible_arguments_are_refused(wrong: dict[str, float], tmp_path: Path) -> None:
    """Prevents an empty landing folder that looks like a sample."""
    with pytest.raises(BadInput):
        generate(tmp_path, **wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("enterprises", [1, 2, 5])
def test_the_smallest_cities_work(enterprises: int, tmp_path: Path) -> None:
    """Prevents failures on empty feeds."""
    summary = generate(tmp_path, enterprises=enterprises, days=2, dirt=0.3)
    assert summary.rows["registrations"] >= enterprises


def test_column_sums_are_those_of_the_clean_rows(three_days: Sample) -> None:
    """Prevents sums that the files do not hold, by which a comparison would accuse a faithful reader."""
    sums = pl.read_csv(three_days.out / "_truth" / "column_sums.csv")
    checked = 0
    for name in ("registrations", "penalties", "complaints"):
        for table in three_days.tables(name):
            dirty, columns = three_days.dirty_rows(table.file), table.columns()
            for row in sums.filter(pl.col("file") == table.file).iter_rows(named=True):
                kind = table.feed.column(row["column"]).type
                if kind not in ("uscc", "name", "date") or "_resent" in table.file:
                    continue
                place = columns[row["column"]]
                values = [cells[place] for n, cells in table.rows.items() if n not in dirty and cells[place]]
                measures = [
                    (date.fromisoformat(value) - date(1970, 1, 1)).days
                    if kind == "date"
                    else len(value.encode())
                    for value in values
                ]
                if row["rows"] == len(table.rows) - len(dirty):
                    assert (row["filled"], row["measure"]) == (len(values), sum(measures)), row
                    checked += 1
    assert checked > 100
