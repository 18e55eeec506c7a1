"""The inspection models as dbt compiles them, run over small tables in memory: day after day of a year.

The SQL is the project's own: only the day, the catalogue name and the files of frozen rounds are replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from credit_pipeline.inspection.draws.draw import DRAW_SQL
from credit_pipeline.settings import DBT_PROJECT_DIR, Settings
from credit_pipeline.transform import dbt
from credit_pipeline.transform.dbt import dbt_args, dbt_environment, dbt_executable, dbt_vars

SENTINEL = date(2001, 2, 3)
MODELS = (
    "inspection_rounds", "plan_items", "inspection_strata", "campaign_targets", "inspection_tasks",
    "inspection_visits", "inspection_frame", "inspection_quotas", "frame_reconciliation",
)  # fmt: skip
_FILES = {
    r"read_parquet\('[^']*/frame\.parquet', union_by_name = true\)": "frozen.frames",
    r"read_parquet\('[^']*/quotas\.parquet', union_by_name = true\)": "frozen.quotas",
    r"read_parquet\('[^']*/draw\.parquet', union_by_name = true\)": "frozen.draws",
    r"\(select plan_id, round from read_json\([^)]*\)\)": "frozen.aborted",
    r"\(\s*select\s+regexp_extract\(filename.*?filename = true\)\s*\)": "frozen.top_ups",
}
_TABLES = """
create schema policy; create schema staging; create schema enterprises; create schema grading;
create schema inspection; create schema frozen;
create table policy.units (unit_id varchar, effective_from date default '2015-01-01', effective_to date default '9999-12-31');
create table policy.data_poor_rules (path varchar, grade varchar, effective_from date default '2015-01-01', effective_to date default '9999-12-31');
insert into policy.data_poor_rules (path, grade) values ('insufficient_data', 'C');
create table policy.inspection_policy (parameter varchar, value bigint, effective_from date default '2015-01-01', effective_to date default '9999-12-31');
create table policy.inspection_plans (plan_template varchar, title varchar, direction varchar, initiator varchar,
    cooperating_units varchar, item_codes varchar, region_prefix varchar, industry_prefixes varchar, safety_tag varchar,
    rounds_per_year bigint, first_due_month bigint, first_due_day bigint, window_days bigint, parties varchar,
    entropy_source varchar, entropy_fallback varchar, entropy_lag_days bigint, document_no varchar, approved_by varchar,
    effective_from date default '2015-01-01', effective_to date default '9999-12-31');
create table policy.inspection_item_groups (item_code varchar, item_name varchar, item_kind varchar,
    is_safety_related boolean, safety_tag varchar, industry_sections varchar, required_skill varchar, max_ratio_bp bigint,
    effective_from date default '2015-01-01', effective_to date default '9999-12-31');
create table policy.inspection_ratios (unit_id varchar, item_code varchar, grade varchar, is_safety_related boolean,
    ratio_bp bigint, min_visits bigint, max_visits bigint, rounding varchar, exception_id varchar, basis varchar,
    effective_from date default '2015-01-01', effective_to date default '9999-12-31');
create table policy.inspection_exceptions (exception_id varchar, kind varchar, unit_id varchar, item_code varchar,
    grade varchar, uscc varchar, ratio_bp bigint, effective_from date, effective_to date);
create table policy.grade_rules (grade varchar, is_safety_related boolean, may_be_drawn boolean, campaign varchar,
    effective_from date default '2015-01-01', effective_to date default '9999-12-31');
insert into policy.grade_rules (grade, is_safety_related, may_be_drawn, campaign) values
    ('A', false, false, 'never'), ('A', true, true, 'by_rule'), ('B', false, true, 'never'), ('B', true, true, 'never'),
    ('C', false, true, 'by_rule'), ('C', true, true, 'by_rule'), ('D', false, true, 'priority'),
    ('D', true, true, 'priority'), ('E', false, true, 'always'), ('E', true, true, 'always');
create table policy.campaigns (campaign_id varchar, title varchar, unit_id varchar, item_code varchar,
    region_prefix varchar, industry_prefixes varchar, safety_tag varchar, grades varchar, starts_on date, ends_on date,
    effective_from date default '2015-01-01', effective_to date default '9999-12-31');
create table staging.stg_inspection_items (item_code varchar, item_name varchar, item_kind varchar,
    is_safety_related boolean, industry_sections varchar, valid_from date, valid_to date, known_from date, known_to date,
    void_from date);
create table staging.stg_inspection_results (unit_id varchar, uscc varchar, task_no varchar, plan_no varchar,
    origin varchar, check_date date, known_from date, known_to date, void_from date);
create table enterprises.enterprises (uscc varchar, is_active boolean, is_gradable_kind boolean, region varchar,
    township varchar, industry_section varchar, industry_code varchar, is_safety_related boolean, safety_tags varchar);
create table enterprises.enterprise_units (unit_id varchar, uscc varchar);
create table grading.enterprise_grades (uscc varchar, platform_grade varchar);
create table frozen.frames (plan_id varchar, round integer, frozen_date date, unit_id varchar, item_code varchar,
    uscc varchar, platform_grade varchar, region varchar, is_safety_related boolean, excluded_reason varchar,
    is_graded boolean, visits_planned integer);
create table frozen.quotas (plan_id varchar, round integer, frozen_date date, unit_id varchar, item_code varchar,
    platform_grade varchar, stratum_size bigint, drawn_before bigint, ratio_bp integer, rounds_due integer,
    rounds_per_year integer, rounding varchar, target bigint, quota bigint, basis varchar, exception_id varchar,
    min_visits integer, max_visits integer, register_objects bigint, out_of_scope bigint);
create table frozen.draws (plan_id varchar, round integer, unit_id varchar, item_code varchar, uscc varchar,
    platform_grade varchar, rank bigint, quota bigint, is_drawn boolean, drawn_date date);
create table frozen.aborted (plan_id varchar, round integer);
create table frozen.top_ups (plan_id varchar, round integer, unit_id varchar, uscc varchar);
"""


def kept_models(kept: Path, folder: Path) -> dict[str, str]:
    """`compiled_models`, kept in `kept` as long as neither the dbt project nor dbt nor what compiles it has changed."""
    sources = [*DBT_PROJECT_DIR.glob("*.yml"), Path(__file__), Path(dbt.__file__)]
    for name in ("models", "macros", "seeds"):
        sources += (path for path in (DBT_PROJECT_DIR / name).rglob("*") if path.is_file())
    digest = hashlib.sha256(version("dbt-core").encode())
    for path in sorted(sources):
        digest.update(f"|{path}|".encode() + hashlib.sha256(path.read_bytes()).digest())
    file = kept / f"{digest.hexdigest()}.json"
    if not file.exists():
        models = compiled_models(folder)
        for old in kept.glob("*.json"):
            old.unlink(missing_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(models), encoding="utf-8")
        part.replace(file)
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def compiled_models(folder: Path) -> dict[str, str]:
    """The SQL of the models for the day `SENTINEL`, by name; one call of dbt, about 6 s."""
    settings = Settings(lake_dir=folder / "lake", keys_dir=folder / "keys")
    settings.lake_dir.mkdir(parents=True)
    variables = dbt_vars(settings, SENTINEL, folder / "model")
    target = folder / "target"
    with dbt_environment(settings, folder / "warehouse.duckdb"):
        done = subprocess.run(
            [
                dbt_executable(), "--no-use-colors", *dbt_args("compile", variables, " ".join(MODELS)),
                "--project-dir", str(DBT_PROJECT_DIR), "--profiles-dir", str(DBT_PROJECT_DIR),
                "--target-path", str(target), "--log-path", str(target),
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    found = {path.stem: path.read_text(encoding="utf-8") for path in target.rglob("compiled/**/*.sql")}
    return {name: _portable(found[name]) for name in MODELS}


def _portable(sql: str) -> str:
    for pattern, table in _FILES.items():
        sql = re.sub(pattern, table, sql, flags=re.DOTALL)
    sql = sql.replace('"warehouse".', "")
    assert "read_" not in sql, "a file that the harness does not replace"
    return sql


class Office:
    """A warehouse in memory in which rounds come due, are frozen, drawn and inspected."""

    def __init__(self, models: Mapping[str, str]) -> None:
        self.models = models
        self.db = duckdb.connect(":memory:", config={"threads": 1})
        self.db.execute(_TABLES)

    def add(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        for row in rows:
            names = ", ".join(row)
            marks = ", ".join(f"${name}" for name in row)
            self.db.execute(f"insert into {table} ({names}) values ({marks})", dict(row))

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        result = self.db.execute(sql, parameters)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def build(self, day: date) -> None:
        """All models as of the day."""
        for name in MODELS:
            sql = self.models[name].replace(SENTINEL.isoformat(), day.isoformat())
            self.db.execute(f"create or replace table inspection.{name} as {sql}")

    def live_rounds(self) -> list[tuple[str, int]]:
        sql = """select distinct plan_id, round from inspection.inspection_rounds
            anti join frozen.quotas using (plan_id, round) order by all"""
        return [(row["plan_id"], row["round"]) for row in self.rows(sql)]

    def freeze(self, plan_id: str, round_: int) -> None:
        """Stores the rows of the round as the draw's files do."""
        for model, table in (("inspection_frame", "frozen.frames"), ("inspection_quotas", "frozen.quotas")):
            columns = [row["name"] for row in self.rows(f"select name from pragma_table_info('{table}')")]
            self.db.execute(
                f"insert into {table} select {', '.join(columns)} from inspection.{model} "
                "where plan_id = $1 and round = $2",
                [plan_id, round_],
            )

    def draw(self, plan_id: str, round_: int, seed: str, day: date) -> list[dict[str, Any]]:
        """Draws a frozen round by the project's own SQL; the rows that are drawn."""
        for table in ("frames", "quotas"):
            self.db.execute(
                f"create or replace temp table of_{table} as select * from frozen.{table} where plan_id = $1 and round = $2",
                [plan_id, round_],
            )
        self.db.execute(
            "create or replace temp table drawn_now as "
            + DRAW_SQL.format(frame="of_frames", quotas="of_quotas").replace("$seed", f"'{seed}'")
        )
        self.db.execute(
            """insert into frozen.draws select $1, $2, unit_id, item_code, uscc, platform_grade, rank, quota, is_drawn, $3
            from drawn_now""",
            [plan_id, round_, day],
        )
        return self.rows(
            """select d.*, f.visits_planned, q.max_visits, q.min_visits, f.is_safety_related
            from drawn_now d join of_frames f using (unit_id, item_code, uscc)
            join of_quotas q on q.unit_id = d.unit_id and q.item_code = d.item_code and q.platform_grade = d.platform_grade
            where is_drawn order by all"""
        )
