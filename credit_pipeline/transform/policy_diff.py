"""What another policy pack would do, before it is adopted: the whole grading computed with it beside the present one.

Both warehouses stand in a folder of the lake (0700) that goes when the comparison is done; what leaves is counts, never
an enterprise. How the counts are shown is `policy_report`'s business.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import champion_dir
from credit_pipeline.transform.dbt import dbt_args, dbt_vars, run_dbt
from credit_pipeline.transform.policy_check import require_sound_policy
from credit_pipeline.transform.policy_pack import Row, read_pack, table_specs
from credit_pipeline.transform.sources import ensure_sources
from credit_pipeline.warehouse import connect, current_as_of_date, lake_lock

log = logging.getLogger(__name__)

GRADES = "ABCDE"
AT_TRAINING = {"expert_scorecard", "expert_calibration", "label_rules", "model_gates"}
"""Tables that a model is made of: a change shows when the next model is trained, not before."""
NOT_READ = {"draws", "policy_diff", "tmp", "dbt", "extracts"}
"""Folders of the lake that dbt does not read, or must not see here."""
LIVE_ROUNDS = "inspection_rounds+"
"""Frozen rounds keep their quotas whatever policy says; a comparison needs them as they would be drawn anew."""
BUILDABLE = ["--indirect-selection", "buildable"]


@dataclass(frozen=True)
class RowChange:
    """One row that one of the packs has, or that both have with other values."""

    table: str
    kind: str
    """added, removed or changed."""
    line: int
    """In the new pack; of a removed row in the present one."""
    key: str
    values: dict[str, tuple[str, str]]
    """Column -> value before, value after, of what changed."""
    effective_from: str


@dataclass
class PolicyDiff:
    """The comparison as counts."""

    as_of_date: str
    changes: list[RowChange]
    later: int = 0
    """Changed rows that come into force after the day."""
    enterprises: int = 0
    moved: dict[str, int] = field(default_factory=dict)
    """better, worse, by_two, appeared, gone."""
    platform: list[tuple[str, str, int]] = field(default_factory=list)
    """Grade before, grade after, enterprises; '–' for none."""
    groups: dict[str, list[tuple[str, int, int, int, int]]] = field(default_factory=dict)
    """By sector, county, size: group, enterprises, better, worse, by two grades or more."""
    paths: list[tuple[str, str, int]] = field(default_factory=list)
    """Path before, path after, enterprises that moved."""
    vetoes: list[tuple[str, int, int]] = field(default_factory=list)
    """Veto, enterprises before, after."""
    units: list[dict[str, Any]] = field(default_factory=list)
    """Per unit: unit_id, name, pairs, better, worse, by_two, review before/after, quota before/after, matrix."""
    unit_reasons: list[tuple[str, int]] = field(default_factory=list)
    """Why pairs of unit and enterprise moved."""
    quotas: list[tuple[str, int, int, int, int]] = field(default_factory=list)
    """Per grade: stratum and quota before, stratum and quota after."""

    @property
    def platform_moved(self) -> int:
        """Enterprises whose platform grade moves, appears or goes."""
        return sum(number for before, after, number in self.platform if before != after)

    @property
    def unit_moved(self) -> int:
        """Pairs of unit and enterprise whose grade moves, appears or goes."""
        return sum(number for _, number in self.unit_reasons)


def policy_version(folder: Path) -> str:
    """The digest that results of this pack carry (macro policy_version): MD5 over the SHA-256 of its tables."""
    sums = [
        f"{name}={hashlib.sha256((folder / f'{name}.csv').read_text(encoding='utf-8').strip().encode()).hexdigest()}"
        for name in table_specs()
    ]
    return hashlib.md5("|".join(sums).encode(), usedforsecurity=False).hexdigest()


def row_changes(present: Path, proposed: Path) -> list[RowChange]:
    """How the tables of two packs differ, row by row of the same key and first day."""
    before, after = read_pack(present), read_pack(proposed)
    found = []
    for name, spec in table_specs().items():
        key = [*(spec.key or spec.columns), *(["effective_from"] if spec.is_dated else [])]

        def keyed(rows: list[Row], key: list[str] = key) -> dict[tuple[str, ...], Row]:
            return {tuple(row[column] for column in key): row for row in rows}

        old, new = keyed(before[name].rows), keyed(after[name].rows)
        for mark in sorted({*old, *new}):
            left, right = old.get(mark), new.get(mark)
            row = new[mark] if mark in new else old[mark]
            values = {
                column: (left[column] if left else "", right[column] if right else "")
                for column in spec.columns
                if (left[column] if left else None) != (right[column] if right else None)
            }
            if values:
                kind = "changed" if left and right else ("added" if right else "removed")
                said = ", ".join(row[column] or "(all)" for column in spec.key) or mark[0]
                found.append(
                    RowChange(
                        name, kind, row.line, said, values if kind == "changed" else {}, row["effective_from"]
                    )
                )
    return found


def compare_policies(settings: Settings, proposed: Path, as_of_date: date | None = None) -> PolicyDiff:
    """Grade the present lake with both packs and count what differs.

    Args:
        proposed: folder of the other pack; the present one is `settings.policy_dir`.
        as_of_date: day to grade for, the current day of the lake when not given; a later one shows rules to come.

    Raises:
        BadInput: the pack is broken, or the lake holds no run yet.
        CreditPipelineError: a model or test failed, as it would in a run with this pack.
    """
    require_sound_policy(settings.policy_dir)
    require_sound_policy(proposed)
    current = current_as_of_date(settings)
    if current is None or not settings.warehouse_path.exists():
        raise BadInput("the lake holds no run to compare with; remedy: credit-pipeline run")
    day = as_of_date or current
    changes = row_changes(settings.policy_dir, proposed)
    diff = PolicyDiff(
        day.isoformat(), changes, sum(item.effective_from > day.isoformat() for item in changes)
    )
    changed = sorted({item.table for item in changes})
    if not changed:
        return diff
    with lake_lock(settings), _workshop(settings) as folder:
        # Views name their database, which DuckDB calls after the file: a copy under another name has broken views.
        before, after = (folder / name / settings.warehouse_path.name for name in ("present", "proposed"))
        for warehouse in (before, after):
            warehouse.parent.mkdir(mode=0o700)
        shadow = _lake_without_draws(settings, folder)
        if day == current and _is_graded_by(settings, policy_version(settings.policy_dir)):
            log.info("policy: the current warehouse is the present; quotas are computed as if drawn anew")
            shutil.copyfile(settings.warehouse_path, before)
            _build(settings, before, shadow, day, "present", LIVE_ROUNDS)
        else:
            log.info("policy: grading %s with the present pack", day)
            _build(settings, before, shadow, day, "present", None)
        log.info("policy: grading %s with the new pack (%s)", day, ", ".join(changed))
        shutil.copyfile(before, after)
        _build(
            settings.model_copy(update={"policy_dir": proposed}), after, shadow, day, "proposed",
            " ".join(f"{name}+" for name in changed),
        )  # fmt: skip
        log.info("policy: comparing")
        with connect(settings) as connection:
            connection.execute(f"attach '{before}' as present (read_only)")
            connection.execute(f"attach '{after}' as proposed (read_only)")
            _compare(connection, diff)
    return diff


@contextmanager
def _workshop(settings: Settings) -> Iterator[Path]:
    """A folder of the lake for two warehouses, gone afterwards; what a killed comparison left is removed first."""
    root = settings.lake_dir / "policy_diff"
    shutil.rmtree(root, ignore_errors=True)
    folder = root / str(os.getpid())
    folder.mkdir(parents=True, mode=0o700)
    root.chmod(0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(root)


def _lake_without_draws(settings: Settings, folder: Path) -> Path:
    """The lake as dbt reads it, but nothing drawn yet: links to what came in, and an empty folder of draws."""
    ensure_sources(settings)
    shadow = folder / "lake"
    (shadow / "draws").mkdir(parents=True, mode=0o700)
    for child in settings.lake_dir.iterdir():
        if child.is_dir() and child.name not in NOT_READ:
            (shadow / child.name).symlink_to(child)
    shutil.copytree(settings.draws_dir / "_schema", shadow / "draws" / "_schema")
    return shadow


def _is_graded_by(settings: Settings, version: str) -> bool:
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        try:
            row = connection.execute(
                "select min(policy_version), max(policy_version) from grading.enterprise_grades"
            )
            return row.fetchone() == (version, version)
        except duckdb.CatalogException:
            return False


def _build(
    settings: Settings, warehouse: Path, shadow: Path, day: date, name: str, select: str | None
) -> None:
    variables = dbt_vars(settings, day, champion_dir(settings, day)) | {"lake": str(shadow)}
    try:
        run_dbt(settings, warehouse, f"policy-{name}", [*dbt_args("build", variables, select), *BUILDABLE])
    except CreditPipelineError as error:
        raise CreditPipelineError(f"a run with the {name} pack would stop: {error}") from error


_RANK = "nullif(position({} in 'ABCDE'), 0)"


def _moves(before: str, after: str) -> str:
    """Columns better, worse and by_two: how many grades rose, fell, and went two steps or more."""
    step = f"({_RANK.format(after)} - {_RANK.format(before)})"
    return (
        f"count(*) filter (where {step} < 0) as better, count(*) filter (where {step} > 0) as worse, "
        f"count(*) filter (where abs({step}) >= 2) as by_two"
    )


def _compare(connection: duckdb.DuckDBPyConnection, diff: PolicyDiff) -> None:
    def rows(sql: str) -> list[Any]:
        return connection.execute(sql).fetchall()

    connection.execute(
        """
        create temp view pair as
        select coalesce(p.uscc, n.uscc) as uscc, p.platform_grade as before, n.platform_grade as after,
            p.path as path_before, n.path as path_after
        from present.grading.enterprise_grades p full join proposed.grading.enterprise_grades n on n.uscc = p.uscc
        """
    )
    found = rows(
        f"select count(*), {_moves('before', 'after')}, count(*) filter (where before is null), "
        "count(*) filter (where after is null) from pair"
    )[0]
    diff.enterprises = found[0]
    diff.moved = dict(zip(("better", "worse", "by_two", "appeared", "gone"), found[1:], strict=True))
    diff.platform = rows(
        "select coalesce(before, '–') as b, coalesce(after, '–') as a, count(*) from pair group by all order by all"
    )
    for title, column in (
        ("sector", "e.industry_section"), ("county", "e.region"), ("size", "e.size_class"),
    ):  # fmt: skip
        diff.groups[title] = rows(
            f"select coalesce({column}, '–') as name, count(*), {_moves('before', 'after')} from pair "
            "join proposed.enterprises.enterprises e using (uscc) group by name order by name"
        )
    diff.paths = rows(
        "select coalesce(path_before, '–') as b, coalesce(path_after, '–') as a, count(*) as n from pair "
        "where before is distinct from after group by b, a order by n desc, b, a"
    )
    diff.vetoes = rows(
        "select veto, count(p.uscc), count(n.uscc) from present.grading.grade_vetoes p "
        "full join proposed.grading.grade_vetoes n using (uscc, veto) group by veto order by veto"
    )
    connection.execute(
        """
        create temp view unit_pair as
        select coalesce(p.unit_id, n.unit_id) as unit_id, p.unit_grade as before, n.unit_grade as after,
            coalesce(p.needs_review, false) as review_before, coalesce(n.needs_review, false) as review_after,
            case
                when p.uscc is null then 'supervised anew' when n.uscc is null then 'no longer supervised'
                when p.platform_grade <> n.platform_grade then 'platform grade'
                when p.rated_grade <> n.rated_grade then 'rating of the line'
                else 'system of the unit: ' || p.system_rule || ' → ' || n.system_rule
            end as reason
        from present.grading.unit_grades p full join proposed.grading.unit_grades n
            on n.unit_id = p.unit_id and n.uscc = p.uscc
        """
    )
    diff.unit_reasons = rows(
        "select reason, count(*) as n from unit_pair where before is distinct from after group by reason "
        "order by n desc, reason"
    )
    matrices: dict[str, list[tuple[str, str, int]]] = {}
    for unit, *cell in rows(
        "select unit_id, coalesce(before, '–') as b, coalesce(after, '–') as a, count(*) from unit_pair "
        "group by all order by all"
    ):
        matrices.setdefault(unit, []).append((cell[0], cell[1], cell[2]))
    diff.units = [
        dict(
            zip(
                (
                    "unit_id",
                    "name",
                    "pairs",
                    "better",
                    "worse",
                    "by_two",
                    "review_before",
                    "review_after",
                    "quota_before",
                    "quota_after",
                ),
                row,
                strict=True,
            ),
        )
        | {"matrix": matrices.get(row[0], [])}
        for row in rows(
            f"""
            with moves as (
                select unit_id, count(*) as pairs, {_moves("before", "after")},
                    count(*) filter (where review_before) as r0, count(*) filter (where review_after) as r1
                from unit_pair group by unit_id
            ), quotas as (
                select unit_id, sum(b) as q0, sum(a) as q1 from (
                    select unit_id, quota as b, 0 as a from present.inspection.inspection_quotas
                    union all select unit_id, 0, quota from proposed.inspection.inspection_quotas
                ) group by unit_id
            )
            select coalesce(m.unit_id, q.unit_id) as unit_id, coalesce(max(u.unit_name), ''), coalesce(max(pairs), 0),
                coalesce(max(better), 0), coalesce(max(worse), 0), coalesce(max(by_two), 0), coalesce(max(r0), 0),
                coalesce(max(r1), 0), cast(coalesce(max(q0), 0) as bigint), cast(coalesce(max(q1), 0) as bigint)
            from moves m full join quotas q on q.unit_id = m.unit_id
            left join proposed.policy.units u on u.unit_id = coalesce(m.unit_id, q.unit_id)
            group by coalesce(m.unit_id, q.unit_id) order by 1
            """
        )
    ]
    diff.quotas = rows(
        """
        select platform_grade, cast(sum(s0) as bigint), cast(sum(q0) as bigint), cast(sum(s1) as bigint),
            cast(sum(q1) as bigint)
        from (
            select platform_grade, stratum_size as s0, quota as q0, 0 as s1, 0 as q1
            from present.inspection.inspection_quotas
            union all
            select platform_grade, 0, 0, stratum_size, quota from proposed.inspection.inspection_quotas
        ) group by platform_grade order by platform_grade
        """
    )
