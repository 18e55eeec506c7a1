"""The contract with 60 units: what an extract holds is pinned, and taking something away needs a new version."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from extract_contract import GOLDEN, attached, breaks, described, finished_extract, may_replace

from credit_pipeline.extracts.builder import EXTRACT_TABLES, extract_comments, unit_views
from credit_pipeline.extracts.contents import SHEETS
from credit_pipeline.extracts.views import VIEWS


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return described(attached(*finished_extract(tmp_path_factory.mktemp("contract"))))


def test_the_contract_stands(contract: dict) -> None:
    """Prevents a table, view, column, type or comment that units read from changing unnoticed; after adding something:
    python tests/unit/extracts/extract_contract.py"""
    assert contract == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_allow_list(contract: dict) -> None:
    """Prevents a column that nobody decided to hand out: an extract has exactly what is listed and explained."""
    listed = {name: list(comments.columns) for name, comments in extract_comments().items()}
    assert {name: list(item["columns"]) for name, item in contract["contents"].items()} == listed
    assert set(unit_views()) == {view.name for view in VIEWS}
    assert set(SHEETS) | {"notice"} == set(EXTRACT_TABLES) | {"notice", "data_dictionary"}


def test_everything_is_explained_in_chinese(contract: dict) -> None:
    """Prevents a table or column without a comment, in the file itself."""
    for name, item in contract["contents"].items():
        for comment in (item["comment"], *(column["comment"] for column in item["columns"].values())):
            assert any("\u4e00" <= sign <= "\u9fff" for sign in comment or ""), name


def test_breaking_needs_a_version(contract: dict) -> None:
    """Prevents a rule that passes everything: gone, renamed and retyped are breaks, added is none."""
    added = copy.deepcopy(contract)
    added["contents"]["enterprises"]["columns"]["new"] = {"type": "INTEGER", "comment": "新"}
    assert breaks(contract, added) == [] and may_replace(contract, added) == []
    gone = copy.deepcopy(contract)
    del gone["contents"]["enterprises"]["columns"]["uscc"]
    gone["contents"]["leads"]["columns"]["received_date"]["type"] = "VARCHAR"
    del gone["contents"]["本月等级变动"]
    assert len(may_replace(contract, gone)) == 3
    gone["contract_version"] += 1
    assert may_replace(contract, gone) == []


def test_opens_with_plain_duckdb(tmp_path: Path) -> None:
    """Prevents views bound to the name under which the file was written: any alias, and as the main database."""
    path, key = finished_extract(tmp_path)
    connection = attached(path, key)
    connection.execute(f"attach '{path}' as other (read_only, encryption_key '{key}')")
    for view in VIEWS:
        rows = connection.execute(f'select * from extract."{view.name}"').fetchall()
        assert connection.execute(f'select * from other."{view.name}"').fetchall() == rows
