"""Who may see which column, as the dbt project states it: nothing without a level, nothing lower than what it is made of."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.settings import Settings
from credit_pipeline.transform.classification import (
    ListedTable,
    Lists,
    classified_lists,
    column_class,
    column_classes,
    manifest_tables,
    problems,
    rank,
)
from credit_pipeline.transform.dbt import MANIFEST_PATH, manifest_is_stale, prepare_manifest

GRADE_NAMES = ("grade", "score", "points", "rank", "quota", "stratum", "ticket", "seed", "probability")
PUBLIC_OF_AN_ENTERPRISE = ("uscc", "enterprise_name", "status")
NAMES_OF_PERSONS = (
    "legal_representative", "inspector_name", "inspectors", "from_name", "decided_by", "inspector_id", "party_name",
)  # fmt: skip


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    if manifest_is_stale():
        prepare_manifest(Settings())
    found: dict[str, Any] = json.loads(MANIFEST_PATH.read_text(encoding="utf-8"))
    return found


def test_every_column_has_a_level_and_nothing_is_lower_than_its_source(manifest: dict[str, Any]) -> None:
    """Prevents a column without level, a personal one without mask, and a table below what it is made of."""
    assert problems(manifest) == []
    assert sum(len(columns) for columns in column_classes(manifest).values()) > 2_000


def _model(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(node for node in manifest["nodes"].values() if node["name"] == name)


def _forget_level(manifest: dict[str, Any]) -> None:
    del _model(manifest, "enterprise_grades")["columns"]["platform_grade"]["config"]["meta"]["classification"]


def _invent_level(manifest: dict[str, Any]) -> None:
    _model(manifest, "enterprises")["columns"]["status"]["config"]["meta"]["classification"] = "secret"


def _forget_mask(manifest: dict[str, Any]) -> None:
    del _model(manifest, "stg_registrations")["columns"]["legal_representative"]["config"]["meta"]["mask"]


def _invent_mask(manifest: dict[str, Any]) -> None:
    _model(manifest, "stg_registrations")["columns"]["legal_representative"]["config"]["meta"]["mask"] = (
        "rot13"
    )


def _forget_reason(manifest: dict[str, Any]) -> None:
    del _model(manifest, "stg_inspectors")["columns"]["inspector_name"]["config"]["meta"]["mask_reason"]


def _publish_grades(manifest: dict[str, Any]) -> None:
    node = _model(manifest, "grade_distribution")
    node["config"]["meta"]["classification"] = "public"
    for column in node["columns"].values():
        column["config"]["meta"]["classification"] = "public"


def _publish_persons(manifest: dict[str, Any]) -> None:
    _model(manifest, "stg_registrations")["config"]["meta"]["classification"] = "public"


def _forget_table(manifest: dict[str, Any]) -> None:
    del _model(manifest, "unit_grades")["config"]["meta"]["classification"]


def _forget_source(manifest: dict[str, Any]) -> None:
    source = next(node for node in manifest["sources"].values() if node["name"] == "operations")
    del source["config"]["meta"]["classification"]


def _describe_nothing(manifest: dict[str, Any]) -> None:
    _model(manifest, "unit_grades")["columns"] = {}


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (_forget_level, "grading.enterprise_grades.platform_grade: Input should be 'public'"),
        (_invent_level, "enterprises.enterprises.status: Input should be 'public'"),
        (_forget_mask, "staging.stg_registrations.legal_representative: Value error, a mask"),
        (_invent_mask, "staging.stg_registrations.legal_representative: Input should be 'name'"),
        (_forget_reason, "staging.stg_inspectors.inspector_name: Value error, mask none needs"),
        (_publish_grades, "grading.grade_distribution is public and made of grading.enterprise_grades, which is confidential"),
        (_publish_persons, "staging.stg_registrations.legal_representative: personal, above its table, which is public"),
        (_forget_table, "grading.unit_grades: no classification of the table"),
        (_forget_source, "raw.operations: no classification of the table"),
        (_describe_nothing, "grading.unit_grades: no column is described"),
    ],
)  # fmt: skip
def test_each_fault_is_named(
    manifest: dict[str, Any], break_it: Callable[[dict[str, Any]], None], expected: str
) -> None:
    """Prevents a rule that passes everything."""
    broken = copy.deepcopy(manifest)
    break_it(broken)
    assert [line for line in problems(broken) if line.startswith(expected)], problems(broken)


def test_declassifications_are_exactly_those_needed(manifest: dict[str, Any]) -> None:
    """Prevents a list that lets through more than was thought about, or stays when its reason has gone."""
    lists = classified_lists()
    for entry in lists.declassifications:
        without = Lists(
            python_tables=lists.python_tables,
            declassifications=tuple(other for other in lists.declassifications if other != entry),
        )
        assert any(line.startswith(f"{entry.table} is ") for line in problems(manifest, without)), entry
    entry = lists.declassifications[0]
    for changed, expected in (
        ({"made_of": (*entry.made_of, "grading.unit_grades")}, "from grading.unit_grades is not used"),
        ({"reason": " "}, "gives no reason"),
    ):
        more = Lists(
            python_tables=lists.python_tables,
            declassifications=(entry.model_copy(update=changed), *lists.declassifications[1:]),
        )
        assert [line for line in problems(manifest, more) if line.endswith(expected) or expected in line], (
            expected
        )


def test_a_feed_and_its_versions_agree(manifest: dict[str, Any]) -> None:
    """Prevents a column that is confidential where it is read and internal where it arrives."""
    classes = column_classes(manifest)
    tables = manifest_tables(manifest)
    compared = 0
    for name, feed in load_catalogue().items():
        staged = classes.get(f"staging.stg_{name}", {})
        for column in feed.stored_columns:
            if column.name in staged:
                assert staged[column.name].level == column.classification, f"{name}.{column.name}"
                compared += 1
        highest = max(rank(column.classification) for column in feed.stored_columns)
        assert rank(tables[f"raw.{name}"].level) >= highest, name
    assert compared > 200


def test_names_say_what_columns_hold(manifest: dict[str, Any]) -> None:
    """Prevents a grade, a place in a draw or a person's name that is filed under a lower level."""
    wrong = []
    for table, columns in column_classes(manifest).items():
        schema = table.split(".")[0]
        for name, found in columns.items():
            words = set(name.split("_"))
            if (
                schema in ("grading", "inspection")
                and words & set(GRADE_NAMES)
                and found.level != "confidential"
            ):
                wrong.append(f"{table}.{name}: {found.level}")
            if name in NAMES_OF_PERSONS and found.level != "personal":
                wrong.append(f"{table}.{name}: {found.level}")
            if name in PUBLIC_OF_AN_ENTERPRISE and schema == "enterprises" and found.level != "public":
                wrong.append(f"{table}.{name}: {found.level}")
    assert wrong == []


def test_lists_are_read_strictly() -> None:
    """Prevents a column listed twice, or a person without a mask."""
    with pytest.raises(ValidationError, match="two levels"):
        ListedTable.model_validate({"public": ["uscc"], "internal": ["uscc"]})
    with pytest.raises(ValidationError, match="mask none needs"):
        ListedTable.model_validate({"personal": {"name": "none"}})
    with pytest.raises(ValidationError, match="a mask belongs to personal"):
        column_class({"classification": "internal", "mask": "name"})
    listed = ListedTable.model_validate({"public": ["uscc"], "personal": {"name": "name"}}).columns
    assert listed["name"].tags == {"personal": "", "mask": "name"} and listed["uscc"].tags == {"public": ""}
