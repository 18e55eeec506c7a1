"""What the published list of a city tells about grades and plans, measured against the grades and plans themselves."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable
from math import log2
from typing import Any

import pytest

from tests_support import Place

_KINDS = """
select r.uscc, coalesce(u.unit_name, r.authority_name) as authority, r.check_date, min(coalesce(r.origin, 'random')) as kind
from staging.stg_inspection_results r left join policy.units u on u.unit_id = r.unit_id
group by all
"""


def entropy(counts: Iterable[int]) -> float:
    found = list(counts)
    return -sum(count / sum(found) * log2(count / sum(found)) for count in found if count)


def information(pairs: list[tuple[Any, Any]]) -> float:
    """Mutual information of two columns in bits, as counted: never below zero, a little above for want of rows."""
    both, left, right = Counter(pairs), Counter(pair[0] for pair in pairs), Counter(pair[1] for pair in pairs)
    return entropy(left.values()) + entropy(right.values()) - entropy(both.values())


@pytest.fixture(scope="module")
def graded(finished_run: dict[str, Any], city: Place) -> list[tuple[str, bool, bool]]:
    """Grade, whether published, whether drawn this year, of every graded enterprise."""
    return city.query(
        "select g.platform_grade, g.uscc in (select uscc from public.inspection_results), "
        "g.uscc in (select uscc from inspection.inspection_draws) from grading.enterprise_grades g"
    )


def test_the_list_tells_little_of_a_grade(graded: list[tuple[str, bool, bool]]) -> None:
    """Prevents a list from which a reader tells bad grades: measured, and against the drawn list that is never published."""
    grades = entropy(Counter(grade for grade, _, _ in graded).values())
    published = information([(grade, is_listed) for grade, is_listed, _ in graded])
    drawn = information([(grade, is_drawn) for grade, _, is_drawn in graded])
    assert drawn / grades > 0.08, "the draw is by grade, or the comparison proves nothing"
    assert published / grades < 0.04 and published < drawn / 3
    posterior = {
        side: sum(grade in "DE" for grade, is_listed, _ in graded if is_listed == side)
        / sum(is_listed == side for _, is_listed, _ in graded)
        for side in (True, False)
    }
    prior = sum(grade in "DE" for grade, _, _ in graded) / len(graded)
    assert prior / 2 < posterior[False] and posterior[True] < max(0.4, 3 * prior)


def test_every_grade_stands_on_both_sides(graded: list[tuple[str, bool, bool]]) -> None:
    """Prevents absence from proving that an enterprise is not E, and presence that it is not A."""
    for grade in "ABCDE":
        assert {is_listed for found, is_listed, _ in graded if found == grade} == {True, False}, grade


def test_nothing_in_the_list_separates_the_kinds(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a month of batches, a place in the file or a day of the week from telling random inspections from complaints."""
    rows = city.query(
        f"""
        with kinds as ({_KINDS})
        select k.kind, c.public_from, isodow(c.check_date), row_number() over (order by p.uscc, p.check_date, p.authority)
        from public.inspection_results p
        join inspection.completed_inspections c using (uscc, authority, check_date)
        join kinds k using (uscc, authority, check_date)
        """
    )
    assert len({kind for kind, *_ in rows}) >= 3 and len(rows) > 100
    kinds = entropy(Counter(kind for kind, *_ in rows).values())
    assert information([(kind, weekday) for kind, _, weekday, _ in rows]) < 0.1 * kinds
    assert information([(kind, place * 10 // len(rows)) for kind, _, _, place in rows]) < 0.15 * kinds
    by_month: dict[str, Counter[str]] = {}
    for kind, batch, *_ in rows:
        by_month.setdefault(f"{batch:%Y-%m}", Counter())[kind] += 1
    large = [counts for counts in by_month.values() if sum(counts.values()) >= 15]
    assert len(large) >= 6 and all(len(counts) >= 2 for counts in large)


def test_the_files_hold_no_grade_and_no_person(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a column of grades, a task or plan number, an inspector or an individual business from being published."""
    folder = city.lake / "public"
    manifest = json.loads((folder / "manifest.json").read_bytes())
    texts = {name: (folder / name).read_text(encoding="utf-8-sig") for name in manifest["files"]}
    assert len(texts) == 3
    for name, text in texts.items():
        if name.endswith(".csv"):
            for header, *values in zip(*csv.reader(io.StringIO(text)), strict=True):
                assert not set(values) & {"A", "B", "C", "D", "E"}, (name, header)
    whole = "\n".join(texts.values())
    tasks = city.query(
        "select distinct task_no from staging.stg_inspection_results union select distinct plan_no from staging.stg_inspection_results"
    )
    inspectors = city.query(
        "select distinct inspector_id from staging.stg_inspectors union select distinct inspector_name from staging.stg_inspectors"
    )
    for (value,) in [*tasks, *inspectors]:
        assert value is None or len(value) < 4 or value not in whole, value
    persons = city.query(
        "select uscc from enterprises.enterprises where subject_kind = 'individual_business'"
    )
    assert persons and not [uscc for (uscc,) in persons if uscc in whole]


def test_the_list_is_made_without_draws_and_grades(finished_run: dict[str, Any]) -> None:
    """Prevents the published tables from being built on anything above the results themselves."""
    from credit_pipeline.transform.dbt import MANIFEST_PATH

    nodes = json.loads(MANIFEST_PATH.read_bytes())["nodes"]
    todo, seen = ["model.credit_pipeline.inspection_results"], set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [
                parent
                for parent in nodes.get(name, {}).get("depends_on", {}).get("nodes", [])
                if parent in nodes
            ]
    schemas = {nodes[name]["schema"] for name in seen}
    assert schemas <= {"public", "inspection", "staging", "enterprises", "quality", "policy"}
    assert {nodes[name]["name"] for name in seen if nodes[name]["schema"] == "inspection"} == {
        "completed_inspections"
    }
