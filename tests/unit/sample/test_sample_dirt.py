"""The answer key says what stands in the files."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from sent_files import Sample, SentTable, decoded

from credit_pipeline.sample.dirt_values import _NULL_WORDS
from credit_pipeline.sample.landing import KINDS

QUARANTINE = {
    "required_missing", "null_word_required", "no_identity", "natural_person", "uscc_length", "uscc_characters",
    "uscc_check_digit", "confusable_unconfirmed", "uscc_masked", "uscc_placeholder", "uscc_old_reg_no",
    "uscc_org_code", "personal_id_in_uscc", "digits_lost", "date_unreadable", "date_in_future",
    "number_unreadable", "number_out_of_range", "code_unknown", "codes_conflict", "region_unknown", "too_long", "pattern",
    "test_row", "foreign_row", "column_count", "undecodable", "period_reversed", "truncated_csv", "hidden_copy",
}  # fmt: skip
REPAIR = {
    "full_width", "full_width_number", "spaces_or_hyphens", "invisible_character", "lower_case",
    "confusable_character", "date_format", "date_open_ended", "date_unknown", "null_word", "unit_mismatch",
    "number_format", "document_no_format", "name_brackets", "placeholder_code",
}  # fmt: skip
ACCEPTED = {
    "old_name", "traditional_name", "dead_enterprise", "foreign_currency", "rare_character", "version",
    "several_parties", "correction_unseen", "withdrawal_before_original", "withdrawal_other_file", "branch",
    "number_cell", "personal_id_in_text",
}  # fmt: skip
IDENTIFIED = {
    "uscc_missing", "uscc_masked", "uscc_placeholder", "uscc_old_reg_no", "uscc_org_code", "reg_no_column",
    "org_code_column", "tax_no_column", "former_name_only", "branch_by_name", "head_office_by_name",
    "traditional_name",
}  # fmt: skip
REVIEW = {
    "head_office_elsewhere", "short_name", "ambiguous_name", "name_differs", "codes_disagree",
    "masked_code_of_another", "region_differs", "shared_reg_no",
}  # fmt: skip
OF_WHOLE_FILES = {"truncated_csv", "hidden_copy", "withdrawal_other_file"}
"""Kinds whose rows stand in files of their own."""
OTHER_RULE = {
    "null_word_required": "required_missing", "no_identity": "required_missing",
    "full_width_number": "full_width", "invisible_character": "spaces_or_hyphens",
    "date_open_ended": "date_sentinel", "date_unknown": "date_sentinel", "truncated_csv": "column_count",
    "hidden_copy": "hidden_sheet",
}  # fmt: skip
"""Kinds that are refused or repaired by a rule of another name."""


def rows_of(city: Sample, **wanted: str) -> list[tuple[dict[str, str], SentTable, int]]:
    """Key rows with those values, each with its table and row number."""
    found = city.key.filter(pl.col("row_number").is_not_null(), **wanted).to_dicts()
    return [(row, city.table(row["feed"], row["file"]), row["row_number"]) for row in found]


def plain_number(document: str) -> str:
    """A document number whatever its brackets."""
    return re.sub(r"[\[【(（](\d{4})[\]】)）]", r"〔\1〕", document)


def test_every_kind_is_in_the_key(dirty_city: Sample) -> None:
    """Prevents a kind of dirt that no test ever meets."""
    rows = dirty_city.key.filter(pl.col("row_number").is_not_null())
    by_outcome = {
        outcome: set(part["kind"]) for (outcome,), part in rows.partition_by("outcome", as_dict=True).items()
    }
    assert set(by_outcome) == {
        "quarantined", "repaired", "accepted", "identified", "review", "duplicate"
    }  # fmt: skip
    assert by_outcome["quarantined"] == QUARANTINE
    assert by_outcome["repaired"] == REPAIR
    assert by_outcome["accepted"] == ACCEPTED
    assert by_outcome["identified"] == IDENTIFIED
    assert REVIEW <= by_outcome["review"] <= REVIEW | {"uscc_masked"}
    assert by_outcome["duplicate"] == {"exact_duplicate", "truncated_csv", "hidden_copy"}
    assert {kind.name for kind in KINDS} == set().union(*by_outcome.values()) - OF_WHOLE_FILES


def test_a_town_as_dirty_as_practice_shows_every_kind(town: Sample) -> None:
    """Prevents a comparison of a town that leaves kinds of dirt untried."""
    assert {kind.name for kind in KINDS} | OF_WHOLE_FILES <= set(town.key["kind"])
    files = town.key.filter(pl.col("outcome").is_in(["refused", "skipped"]))
    assert set(files["kind"]) == {
        "foreign_file", "empty_file", "truncated_file", "columns_renamed", "same_content",
    }  # fmt: skip


def test_the_key_points_at_rows_that_are_there(town: Sample, three_days: Sample) -> None:
    """Prevents a key, or a list of rows, that speaks of rows no file holds."""
    for city in (town, three_days):
        listed = city.listed_rows()
        refused = set(city.key.filter(pl.col("outcome").is_in(["refused", "skipped"]))["file"])
        for name in city.key["feed"].unique():
            for table in city.tables(name):
                sheets = {sheet for file, sheet in listed if file == table.file and sheet != "代码表"}
                assert {number for sheet in sheets for number in listed[table.file, sheet]} == set(table.rows)
        for row in city.key.filter(pl.col("row_number").is_not_null()).iter_rows(named=True):
            assert row["row_number"] in listed[row["file"], row["sheet"] or ""], row
            assert row["file"] not in refused


def test_refusals_and_repairs_name_their_rule(dirty_city: Sample) -> None:
    """Prevents key rows that a test cannot compare with quarantine and repairs."""
    rows = dirty_city.key.filter(pl.col("outcome").is_in(["quarantined", "repaired"]))
    for kind, rule in rows.select("kind", "rule").unique().iter_rows():
        allowed = {OTHER_RULE.get(kind, kind)}
        if kind == "confusable_unconfirmed":
            allowed = {"uscc_characters", "uscc_check_digit"}
        assert rule in allowed, (kind, rule)
    assert rows.filter((pl.col("outcome") == "quarantined") & (pl.col("expected_value") != "")).is_empty()


def test_who_is_to_be_identified_is_in_the_register_under_what_is_sent(dirty_city: Sample) -> None:
    """Prevents a rung of the ladder that nobody could climb, and a name that two enterprises bear."""
    names: dict[str, set[str]] = {}
    reg_nos: dict[str, set[str]] = {}
    for table in dirty_city.tables("registrations"):
        dirty = dirty_city.dirty_rows(table.file)
        for number in table.rows.keys() - dirty:
            record = table.record(number)
            names.setdefault(record["enterprise_name"], set()).add(record["uscc"])
            if record.get("reg_no"):
                reg_nos.setdefault(record["reg_no"], set()).add(record["uscc"])
    for table in dirty_city.tables("registration_changes"):
        for number in table.rows.keys() - dirty_city.dirty_rows(table.file):
            record = table.record(number)
            if record["changed_field"] == "名称变更":
                names.setdefault(record["old_value"], set()).add(record["uscc"])
    found = 0
    for row, table, number in rows_of(dirty_city, outcome="identified"):
        record, wanted = table.record(number), {row["expected_value"]}
        if row["kind"] == "traditional_name":
            continue
        if row["rule"] == "name_region":
            name = record.get("party_name") or record["enterprise_name"]
            assert names[name] == wanted, row
        elif row["rule"] == "reg_no":
            assert reg_nos[record.get("reg_no") or record["uscc"]] == wanted, row
        elif row["rule"] == "org_code":
            sent = record.get("org_code") or record["uscc"]
            assert sent.replace("-", "") == row["expected_value"][8:17], row
        else:
            assert record["tax_no"][-9:] == row["expected_value"][8:17] or record["tax_no"] in wanted, row
        found += 1
    assert found > 100
    for row, table, number in rows_of(dirty_city, kind="ambiguous_name"):
        record = table.record(number)
        assert len(names[record.get("party_name") or record["enterprise_name"]]) == 2, row
    for row, table, number in rows_of(dirty_city, kind="shared_reg_no"):
        assert len(reg_nos[table.cell(number, "uscc")]) == 2, row
    for kind in ("short_name", "head_office_elsewhere"):
        for row, _, _ in rows_of(dirty_city, kind=kind):
            assert row["note"] not in names, row


def test_one_kind_to_a_row(three_days: Sample, dirty_city: Sample) -> None:
    """Prevents rows whose outcome depends on which of two defects is met first."""
    for city in (three_days, dirty_city):
        rows = city.key.filter(pl.col("row_number").is_not_null())
        assert rows.select("file", "sheet", "row_number").is_unique().all()


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
        - {"foreign_row", "digits_lost", "unit_mismatch", "placeholder_code", "natural_person", "no_identity"}
        - OF_WHOLE_FILES
    ),
)
def test_the_cell_holds_the_spoilt_text(kind: str, dirty_city: Sample) -> None:
    """Prevents row numbers that are one off and columns that are another's."""
    for row, table, number in rows_of(dirty_city, kind=kind):
        if row["outcome"] not in ("quarantined", "repaired"):
            continue
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
    for kind in ("date_open_ended", "date_unknown", "null_word", "placeholder_code"):
        for row, table, number in rows_of(dirty_city, kind=kind):
            assert row["expected_value"] == ""
            sent = table.cell(number, row["column"])
            assert sent and (kind != "null_word" or sent in [*_NULL_WORDS, "0"])


def test_money_repairs_are_worth_what_the_key_says(dirty_city: Sample) -> None:
    """Prevents a key that is wrong by a factor of 10,000."""
    units = set()
    for row, table, number in rows_of(dirty_city, kind="unit_mismatch"):
        yuan = Decimal(int(row["expected_value"]) // 100)
        sent = Decimal(table.cell(number, "fine_fen"))
        assert sent in (yuan, yuan / 10_000)
        in_yuan = "punishmoney" in table.headers
        assert sent == (yuan / 10_000 if in_yuan else yuan)
        units.add(in_yuan)
        text = table.cell(number, "penalty_content")
        assert f"罚款{yuan}元" in text or f"罚款{yuan / 10_000:f}".rstrip("0").rstrip(".") in text
    assert False in units
    for row, _, _ in rows_of(dirty_city, kind="number_format"):
        fen = int(row["expected_value"])
        note = unicodedata.normalize("NFKC", row["note"]).lstrip("¥")
        if note.endswith("元"):
            assert Decimal(note.removesuffix("元").replace(",", "")) * 100 == fen
            continue
        plain = note.replace(",", "") if "." in note else note.replace(",", ".")
        assert fen in (int(Decimal(plain) * 100), int(Decimal(plain) * 1_000_000))


def test_reversed_periods_are_reversed(dirty_city: Sample) -> None:
    """Prevents a period that is in order."""
    for row, table, number in rows_of(dirty_city, kind="period_reversed"):
        earlier = dict(table.feed.date_order)[row["column"]]
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
            place = table.columns()["document_no"]
            document = plain_number(table.cell(number, "document_no"))
            originals = [
                n for n, cells in table.rows.items() if n != number and plain_number(cells[place]) == document
            ]
            assert originals, row
            assert (min(originals) < number) == (kind == "version")
            assert all(
                table.cell(n, "reported_date") < table.cell(number, "reported_date") for n in originals
            )


def test_foreign_rows_belong_to_another_feed(dirty_city: Sample) -> None:
    """Prevents a row that could be a penalty among penalties, or a licence among licences."""
    rows = rows_of(dirty_city, kind="foreign_row")
    assert {table.feed.name for _, table, _ in rows} == {"penalties", "licences"}
    for _, table, number in rows:
        if table.feed.name == "penalties":
            assert "许可" in table.cell(number, "document_no")
            assert table.cell(number, "penalty_kinds") in ("普通", "核准")
        else:
            assert "处罚" in table.cell(number, "document_no")
            assert table.cell(number, "licence_kind") in ("罚款", "警告")


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


def test_the_page_names_every_kind(town: Sample, three_days: Sample) -> None:
    """Prevents a page that falls behind the dirt."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "sample.md").read_text(encoding="utf-8")
    made = set(town.key["kind"]) | set(three_days.key["kind"])
    assert {kind for kind in made if f"`{kind}`" not in page} == set()
    named = set(re.findall(r"`([a-z_0-9]+)`", page.partition("## Kinds")[2]))
    assert named - made == set()
