"""What the ladder's macros repeat from the catalogue and from OpenCC, and the files that decisions are written as."""

from __future__ import annotations

import ast
import json
import re
from datetime import date
from pathlib import Path

import duckdb
import pytest

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.feeds.lake_schema import has_uscc_sent
from credit_pipeline.feeds.unidentified import PARTY_NAMES
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform.identity_review import REASONS, decide, undo
from credit_pipeline.warehouse import mark_current

MACROS = DBT_PROJECT_DIR / "macros"
DAY = date(2026, 10, 31)
PARTY = "A0" * 16
CODE = "91411300MA40TE5TXR"


def _macro(file: str, name: str) -> str:
    found = re.search(
        rf"macro {name}\(\).*?return\((.*?)\)\s*-}}}}", (MACROS / file).read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None
    return found.group(1).strip()


def _columns_of(feed: Feed) -> dict[str, str]:
    names = {column.name: column for column in feed.stored_columns}
    found = {name: name for name in ("reg_no", "org_code", "tax_no") if name in names}
    own_name = next((name for name in PARTY_NAMES if name in names), None)
    found |= {"name": own_name} if own_name else {}
    region = [column.name for column in names.values() if column.type == "region"]
    return found | ({"region": region[0]} if region else {})


def test_the_ladder_reads_the_columns_of_the_catalogue() -> None:
    """Prevents a new feed, or a new column of one, from being overlooked by the ladder."""
    columns = ast.literal_eval(_macro("identity.sql", "party_columns"))
    without_hints = {
        feed: {kind: name for kind, name in given.items() if kind != "hint"}
        for feed, given in columns.items()
    }
    assert without_hints == {
        name: _columns_of(feed) for name, feed in load_catalogue().items() if has_uscc_sent(feed)
    }


def test_traditional_characters_pair_up() -> None:
    """Prevents a shifted table, which would turn every name into another."""
    traditional, simplified = (
        "".join(re.findall(r'"([^"]*)"', _macro("traditional_characters.sql", f"{kind}_characters")))
        for kind in ("traditional", "simplified")
    )
    table = dict(zip(traditional, simplified, strict=True))
    assert len(table) == len(traditional) > 2_500
    assert "".join(table[c] for c in "陽貿電業東興廠") == "阳贸电业东兴厂"
    assert not set(table) & set(table.values()), "folding twice is folding once"
    assert "乾" not in table, "characters with several simplified forms are left as they are"


def test_every_reason_has_words() -> None:
    """Prevents a reason that the clerk sees as a code."""
    models = (DBT_PROJECT_DIR / "models" / "staging" / "identity.yml").read_text(encoding="utf-8")
    [values] = re.findall(r"values: \[(no_match[^\]]*)\]", models)
    assert values.split(", ") == list(REASONS)


@pytest.fixture
def office(tmp_path: Path) -> Settings:
    """A lake whose last run left one party waiting and one enterprise in the register."""
    settings = Settings(
        landing_dir=tmp_path / "landing", lake_dir=tmp_path / "lake", keys_dir=tmp_path / "keys"
    )
    settings.lake_dir.mkdir()
    mark_current(settings, DAY)
    with duckdb.connect(str(settings.warehouse_path)) as connection:
        connection.execute(
            f"""
            create schema staging;
            create table staging.party_identities as
                select unnest(['{PARTY}', 'AB{PARTY[2:]}']) as party_key, '某公司' as party_name;
            create table staging.enterprise_names as select '{CODE}' as uscc, '某公司' as enterprise_name, true as is_current;
            create table staging.stg_identity_decisions (decision_id varchar, party_key varchar, decision varchar,
                uscc varchar, decided_by varchar, decided_date date, reason varchar, known_to date, is_withdrawn boolean)
            """
        )
    return settings


def test_a_decision_can_be_read_as_it_is_written(office: Settings) -> None:
    """Prevents a file that stage 1 refuses, that others can read, or that a run sees half written."""
    decision, path = decide(office, PARTY[:4], uscc=CODE, decided_by="李四", reason="对照执照")
    assert path.parent == office.landing_dir / "identity_decisions" / DAY.isoformat()
    assert path.stat().st_mode & 0o777 == 0o600 and [item.name for item in path.parent.iterdir()] == [
        path.name
    ]
    undo(office, decision, decided_by="李四", reason="看错了")
    report = ingest_feed("identity_decisions", office, DAY)
    assert (report.accepted, report.quarantined) == (2, 0)
    [rows] = duckdb.sql(
        f"""select list((decision_id, party_key, decision, uscc, record_status) order by record_status nulls first)
        from read_parquet('{office.raw_dir}/identity_decisions/*/*.parquet')"""
    ).fetchall()
    assert [tuple(row) for row in rows[0]] == [
        (decision, PARTY, "same_as", CODE, None),
        (decision, PARTY, "same_as", CODE, "withdrawn"),
    ]
    with pytest.raises(BadInput, match="no decision"):
        undo(office, decision, decided_by="李四", reason="再撤")
    events = [json.loads(line) for line in office.audit_log_path.read_text(encoding="utf-8").splitlines()]
    assert [event["event"] for event in events] == ["identity_decided", "identity_decision_undone"]


def test_a_decision_names_one_party_and_an_enterprise_of_the_register(office: Settings) -> None:
    """Prevents a decision that hits another party, or nobody."""
    for key, code, words in (
        ("A", CODE, "several"),
        ("F", CODE, "no party"),
        (PARTY, "91411330MA40TE5TX9", "no unified"),
        (PARTY, "91411330MA40TE5TX8", "no enterprise"),
    ):
        with pytest.raises(BadInput, match=words):
            decide(office, key, uscc=code, decided_by="x", reason="y")
    assert not office.landing_dir.exists()
