"""The answer key says what stands in the files."""

from __future__ import annotations

import re
from decimal import Decimal

import polars as pl
import pytest
from sent_files import Sample, SentTable, decoded

from credit_pipeline.sample.dirt_values import _NULL_WORDS
from credit_pipeline.sample.landing import KINDS

QUARANTINE = {
    "required_missing", "uscc_length", "uscc_characters", "uscc_check_digit", "uscc_masked",
    "uscc_placeholder", "uscc_old_reg_no", "uscc_org_code", "personal_id_in_uscc", "digits_lost",
    "date_unreadable", "date_in_future", "number_unreadable", "number_out_of_range", "code_unknown",
    "region_unknown", "too_long", "pattern", "test_row", "foreign_row", "column_count", "undecodable",
    "period_reversed",
}  # fmt: skip
REPAIR = {
    "full_width", "spaces_or_hyphens", "lower_case", "confusable_character", "date_format",
    "date_sentinel", "null_word", "unit_mismatch", "number_format", "document_no_format", "name_brackets",
    "placeholder_code",
}  # fmt: skip
ACCEPTED = {
    "old_name", "dead_enterprise", "foreign_currency", "rare_character", "version",
    "withdrawal_before_original", "branch",
}  # fmt: skip


def rows_of(city: Sample, **wanted: str) -> list[tuple[dict[str, str], SentTable, int]]:
    """Key rows with those values, each with its table and row number."""
    found = city.key.filter(pl.col("row_number").is_not_null(), **wanted).to_dicts()
    return [(row, city.table(row["feed"], row["file"]), row["row_number"]) for row in found]


def test_every_kind_is_in_the_key(dirty_city: Sample) -> None:
    """Prevents a kind of dirt that no test ever meets."""
    rows = dirty_city.key.filter(pl.col("row_number").is_not_null())
    by_outcome = {
        outcome: set(part["kind"]) for (outcome,), part in rows.partition_by("outcome", as_dict=True).items()
    }
    assert by_outcome == {
        "quarantined": QUARANTINE, "repaired": REPAIR, "accepted": ACCEPTED, "duplicate": {"exact_duplicate"},
    }  # fmt: skip
    assert {kind.name for kind in KINDS} == set().union(*by_outcome.values())


def test_refusals_and_repairs_name_their_rule(dirty_city: Sample) -> None:
    """Prevents key rows that a test cannot compare with quarantine and repairs."""
    rows = dirty_city.key.filter(pl.col("outcome").is_in(["quarantined", "repaired"]))
    assert rows.filter(pl.col("rule") != pl.col("kind")).is_empty()
    assert rows.filter((pl.col("outcome") == "quarantined") & (pl.col("expected_value") != "")).is_empty()


def test_one_kind_to_a_row(three_days: Sample, dirty_city: Sample) -> None:
    """Prevents rows whose outcome depends on which of two defects is met first."""
    for city in (three_days, dirty_city):
        rows = city.key.filter(pl.col("row_number").is_not_null())
        assert rows.select("file", "row_number").is_unique().all()


def test_the_share_of_dirty_rows_is_as_asked(three_days: Sample, clean_city: Sample) -> None:
    """Prevents a sample dirtier or cleaner than its parameter."""
    listed = three_days.key.filter(pl.col("row_number").is_not_null())
    first = listed.filter(~pl.col("file").str.contains("/2026-") & (pl.col("feed") != "inspection_items"))
    tables = [table for name in first["feed"].unique() for table in three_days.tables(name)]
    total = sum(len(table.rows) for table in tables if table.file.count("/") == 1)
    assert 0.045 < len(first) / total < 0.055
    kinds = set(clean_city.key.filter(pl.col("row_number").is_not_null())["kind"])
    assert kinds == {"exact_duplicate", "withdrawal"}  # sent again on day 2, not dirt


@pytest.mark.parametrize(
    "kind",
    sorted(
        (QUARANTINE | REPAIR)
        - {
            "required_missing",
            "personal_id_in_uscc",
            "column_count",
            "undecodable",
            "period_reversed",
            "too_long",
        }
        - {"foreign_row", "digits_lost", "unit_mismatch", "date_sentinel", "placeholder_code"}
    ),
)
def test_the_cell_holds_the_spoilt_text(kind: str, dirty_city: Sample) -> None:
    """Prevents row numbers that are one off and columns that are another's."""
    for row, table, number in rows_of(dirty_city, kind=kind):
        assert table.cell(number, row["column"]) == row["note"], row
        assert row["note"] != row["expected_value"]


def test_missing_values_are_missing(dirty_city: Sample) -> None:
    """Prevents a refusal for a value that is there."""
    for row, table, number in rows_of(dirty_city, kind="required_missing"):
        assert table.feed.column(row["column"]).required
        assert table.cell(number, row["column"]) == ""


def test_identity_numbers_are_not_in_the_key(dirty_city: Sample) -> None:
    """Prevents personal numbers from spreading into reports made of the key."""
    for row, table, number in rows_of(dirty_city, kind="personal_id_in_uscc"):
        sent = table.cell(number, "uscc")
        assert re.fullmatch(r"4113\d{13}[\dX]", sent)
        assert sent not in "".join(str(value) for value in row.values())


def test_lost_digits_are_lost(dirty_city: Sample) -> None:
    """Prevents a cell that Excel would still show in full."""
    for row, table, number in rows_of(dirty_city, kind="digits_lost"):
        assert table.cell(number, "uscc") == row["note"]
        assert re.fullmatch(r"\d\.\d{5}E\+1[47]", row["note"])


def test_sentinels_and_fillers_stand_for_nothing(dirty_city: Sample) -> None:
    """Prevents a sentinel that is to be stored."""
    for kind in ("date_sentinel", "null_word", "placeholder_code"):
        for row, table, number in rows_of(dirty_city, kind=kind):
            assert row["expected_value"] == ""
            sent = table.cell(number, row["column"])
            assert sent and (kind != "null_word" or sent in _NULL_WORDS)


def test_money_repairs_are_worth_what_the_key_says(dirty_city: Sample) -> None:
    """Prevents a key that is wrong by a factor of 10,000."""
    rows = rows_of(dirty_city, kind="unit_mismatch")
    for row, table, number in rows:
        yuan = int(row["expected_value"]) // 100
        assert table.cell(number, "fine_fen") == str(yuan)
        text = table.cell(number, "penalty_content")
        assert f"罚款{yuan}元" in text or f"罚款{Decimal(yuan) / 10_000:f}".rstrip("0").rstrip(".") in text
    for row, _, _ in rows_of(dirty_city, kind="number_format"):
        fen = int(row["expected_value"])
        plain = row["note"].replace(",", "") if "." in row["note"] else row["note"].replace(",", ".")
        assert fen in (int(Decimal(plain) * 100), int(Decimal(plain) * 1_000_000))


def test_reversed_periods_are_reversed(dirty_city: Sample) -> None:
    """Prevents a period that is in order."""
    for row, table, number in rows_of(dirty_city, kind="period_reversed"):
        earlier = table.feed.not_before[row["column"]]
        assert table.cell(number, row["column"]) < table.cell(number, earlier)


def test_broken_lines_are_broken(dirty_city: Sample) -> None:
    """Prevents a line with the right number of fields or in the right encoding."""
    for row, table, number in rows_of(dirty_city, kind="column_count"):
        assert len(table.rows[number]) == len(table.headers) + (1 if row["note"] == "extra" else -2)
    for row, table, number in rows_of(dirty_city, kind="undecodable"):
        cell = table.cell(number, row["column"])
        assert any("\udc80" <= character <= "\udcff" for character in cell), row
    for table in dirty_city.tables("penalties"):
        if table.file.endswith(".csv"):
            broken = {number for number, cells in table.rows.items() if len(cells) != len(table.headers)}
            listed = {n for row, t, n in rows_of(dirty_city, kind="column_count") if t.file == table.file}
            assert broken == listed


def test_duplicates_repeat_another_row(dirty_city: Sample, three_days: Sample) -> None:
    """Prevents a duplicate that a reader rightly keeps."""
    for city in (dirty_city, three_days):
        for row, table, number in rows_of(city, kind="exact_duplicate"):
            mine = table.record(number)
            everywhere = ((t, n) for t in city.tables(row["feed"]) for n in t.rows)
            others = (t.record(n) for t, n in everywhere if (t.file, n) != (table.file, number))
            assert mine in others, row


def test_versions_and_withdrawals_refer_to_an_original(dirty_city: Sample) -> None:
    """Prevents versions of nothing; a later version stands behind its original, this withdrawal before it."""
    for kind in ("version", "withdrawal_before_original"):
        for row, table, number in rows_of(dirty_city, kind=kind):
            document = table.cell(number, "document_no")
            originals = [
                n
                for n in table.rows
                if n != number and table.rows[n][table.columns()["document_no"]] == document
            ]
            assert originals, row
            assert (min(originals) < number) == (kind == "version")
            assert all(
                table.cell(n, "reported_date") < table.cell(number, "reported_date") for n in originals
            )


def test_foreign_rows_are_licences(dirty_city: Sample) -> None:
    """Prevents a row that could be a penalty."""
    rows = rows_of(dirty_city, kind="foreign_row")
    assert rows
    for _, table, number in rows:
        assert "许可" in table.cell(number, "document_no")
        assert table.cell(number, "penalty_kinds") in ("普通", "核准")


def test_dead_and_renamed_enterprises_are_in_the_register(dirty_city: Sample) -> None:
    """Prevents «dead» enterprises that live and former names that no change log explains."""
    status = {
        table.cell(number, "uscc"): table.cell(number, "status")
        for table in dirty_city.tables("registrations")
        for number, cells in table.rows.items()
        if len(cells) == len(table.headers)
    }
    dead = rows_of(dirty_city, kind="dead_enterprise")
    assert dead
    for row, _, _ in dead:
        assert status.get(row["expected_value"], "注销") not in ("存续", "1")
    for row, table, number in rows_of(dirty_city, kind="old_name"):
        name = table.cell(number, row["column"])
        assert name == row["expected_value"]
        assert name not in row["note"]


def test_complainants_and_identity_numbers_are_sent(dirty_city: Sample) -> None:
    """Prevents a test of «never stored» that has nothing to store."""
    complaints = dirty_city.tables("complaints")[0]
    assert {"complainant_name", "complainant_phone"} <= set(complaints.columns())
    assert any("legal_representative_id" in table.columns() for table in dirty_city.tables("registrations"))
    assert "cerno" in decoded((dirty_city.out / "registrations" / "registrations_411322.csv").read_bytes())
