"""`credit-pipeline plan` and `policy exceptions` on a small warehouse: what people see, exit codes, no enterprise."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.cli import app
from credit_pipeline.errors import BadInput, CreditPipelineError
from credit_pipeline.inspection.plans.planning import (
    planned_rounds,
    read_workbench,
    write_what_if,
)
from credit_pipeline.inspection.plans.simulation import simulate
from credit_pipeline.inspection.plans.what_if import what_if_rows
from credit_pipeline.settings import POLICY_DIR, Settings
from credit_pipeline.transform.policy import exceptions_for_audit, exceptions_in_force
from credit_pipeline.transform.policy_pack import table_specs
from credit_pipeline.warehouse import connect, mark_current

DAY = date(2026, 10, 31)
WAREHOUSE = """
create schema inspection; create schema grading; create schema staging; create schema policy;
create table inspection.inspection_rounds as
    select 'P2026GENERAL' as plan_id, 1 as round, 'general' as plan_template, 1 as rounds_per_year, '*' as initiator,
        '' as cooperating_units;
create table inspection.plan_items as
    select 'P2026GENERAL' as plan_id, 1 as round, item_code, is_safety_related, 10000 as max_ratio_bp
    from (values ('GENERAL', false), ('SAFETY', true)) t(item_code, is_safety_related);
create table inspection.inspection_quotas as
    select 'P2026GENERAL' as plan_id, 1 as round, u.unit_id, i.item_code, g.platform_grade,
        case when g.platform_grade = 'A' and i.item_code = 'SAFETY' then 300 else g.ratio_bp end as ratio_bp, 'ceil' as rounding
    from (values ('411300EE'), ('411300MS')) u(unit_id), inspection.plan_items i,
        (values ('A', 0), ('B', 500), ('C', 2000), ('D', 5000), ('E', 10000)) g(platform_grade, ratio_bp);
create table grading.enterprise_grades as
    select 'X' || lpad(cast(n as varchar), 4, '0') as uscc, substr('ABCDE', 1 + n % 5, 1) as grade,
        [0.01, 0.05, 0.1, 0.3, 0.5][1 + n % 5] as probability, n
    from range(1000) t(n);
create table inspection.inspection_frame as
    select 'P2026GENERAL' as plan_id, 1 as round, u.unit_id, i.item_code, e.uscc, e.grade as platform_grade,
        case
            when e.n >= 990 then 'not_active'
            when e.grade = 'A' and (i.item_code = 'GENERAL' or e.n % 10 <> 0) then 'grade_a_exempt'
            when e.n % 50 = 2 then 'drawn:P2026FOOD/1'
            when e.n % 50 = 3 then 'city_visit_cap_reached'
            when e.n % 50 = 4 then 'campaign:ZX-1'
            else ''
        end as excluded_reason
    from grading.enterprise_grades e, inspection.plan_items i, (values ('411300EE', 0), ('411300MS', 500)) u(unit_id, least)
    where e.n >= u.least and (i.item_code = 'GENERAL' or e.n % 2 = 0);
create table staging.stg_inspectors as
    select 'I' || n as inspector_id, case when n < 12 then '411300EE' else '411300MS' end as unit_id, n % 3 = 0 as is_leader,
        date '2026-01-01' as known_from, cast(null as date) as known_to, cast(null as date) as void_from,
        case when n = 11 then date '2026-06-30' else date '2030-12-31' end as certificate_valid_to
    from range(13) t(n);
create table staging.stg_inspection_items as
    select 'EM01' as item_code, date '2026-01-01' as known_from, cast(null as date) as known_to, cast(null as date) as void_from,
        cast(null as date) as valid_from, cast(null as date) as valid_to;
create table policy.inspection_policy as
    select parameter, value, date '2015-01-01' as effective_from, date '9999-12-31' as effective_to
    from (values ('inspectors_per_visit', 2), ('visits_per_team_day', 2), ('inspector_days_per_year', 120),
        ('exploration_floor_bp', 100)) t(parameter, value);
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shutil.copytree(POLICY_DIR, tmp_path / "policy")
    found = Settings(lake_dir=tmp_path / "lake", policy_dir=tmp_path / "policy", keys_dir=tmp_path / "keys")
    for name in ("lake_dir", "policy_dir", "keys_dir"):
        monkeypatch.setenv(f"CREDIT_{name.upper()}", str(getattr(found, name)))
    mark_current(found, DAY)
    with connect(found, found.warehouse_path) as connection:
        connection.execute(WAREHOUSE)
    return found


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--lake", str(settings.lake_dir)])


def told(settings: Settings, *arguments: str) -> dict[str, object]:
    done = run(settings, *arguments, "--json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    found: dict[str, object] = json.loads(done.stdout)
    return found


def append(settings: Settings, table: str, **values: str) -> None:
    with (settings.policy_dir / f"{table}.csv").open("a", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(
            [values.get(name, "") for name in table_specs()[table].columns]
        )


EXCEPTION = {
    "exception_id": "TX-1", "kind": "ratio", "reason": "专项部署", "document_no": "宛信用办〔2026〕7号", "approver": "主任",
    "unit_id": "411300EE", "item_code": "*", "grade": "B", "ratio_bp": "800", "effective_from": "2026-10-01",
    "effective_to": "2026-11-30",
}  # fmt: skip


def test_the_year_is_counted_from_the_strata(settings: Settings) -> None:
    """Prevents the year's base from losing who was drawn or capped, or from counting who is closed, exempt or in a campaign."""
    with connect(settings, settings.warehouse_path, read_only=True) as connection:
        bench = read_workbench(connection, DAY)
        direct = dict(
            connection.execute(
                "select unit_id || item_code || platform_grade, count(*) from inspection.inspection_frame where excluded_reason "
                "not in ('not_active', 'grade_a_exempt', 'campaign:ZX-1') group by all"
            ).fetchall()
        )
    assert {"".join(place[1:]): size for place, size in bench.sizes.items()} == direct
    assert bench.means["411300EE"].inspectors == 11, "a certificate that has ended does not count"
    assert bench.means["411300EE"].leaders == 4
    # Per unit the year is the sum of the two items' quotas, less whom both draw: SAFETY is part of GENERAL.
    visits = simulate(bench, bench.today()).visits_by_grade
    assert visits["E"] == pytest.approx(sum(direct[f"{unit}GENERALE"] for unit in ("411300EE", "411300MS")))


def test_list_shows_rounds_due_and_to_come(settings: Settings) -> None:
    """Prevents a plan without state, window or approver."""
    append(settings, "inspection_plans", plan_template="joint", title="联合", initiator="411300MS", cooperating_units="411300EE",
           item_codes="SAFETY", rounds_per_year="2", first_due_month="5", first_due_day="10", window_days="60",
           document_no="宛〔2026〕1号", approved_by="市政府", effective_from="2026-01-01", effective_to="2026-12-31")  # fmt: skip
    found = json.loads(run(settings, "plan", "list", "--json").stdout)
    assert [
        (row["plan_id"], row["round"], row["due_date"], row["window_end"], row["state"]) for row in found
    ] == [
        ("P2026GENERAL", 1, "2026-01-01", "2026-12-31", "due"),
        ("P2026JOINT", 1, "2026-05-10", "2026-07-08", "due"),
        ("P2026JOINT", 2, "2026-11-10", "2027-01-08", "not due"),
    ]
    shown = run(settings, "plan", "list")
    assert shown.exit_code == 0 and "市政府" in shown.stdout
    assert {row.state for row in planned_rounds(settings, DAY, 2027)} == {"not due"}


def test_check_names_who_is_over_capacity(settings: Settings) -> None:
    """Prevents a plan that a unit cannot carry from passing, and a misspelt item from being found on the day of the draw."""
    found = told(settings, "plan", "check")
    units = {row["unit_id"]: row for row in found["units"]}  # type: ignore[attr-defined]
    assert (found["over_capacity"], units["411300EE"]["over_days"], units["411300EE"]["would_fit"]) == (
        1,
        0,
        "",
    )
    assert units["411300MS"]["capacity_days"] == 120 and units["411300MS"]["over_days"] > 0
    assert units["411300MS"]["would_fit"].startswith("× 0.")
    done = run(settings, "plan", "check")
    assert done.exit_code == 1 and "1 of 2 units are over capacity" in done.stdout
    with connect(settings, settings.warehouse_path) as connection:
        connection.execute(
            "insert into staging.stg_inspectors select 'N' || n, '411300MS', true, date '2026-01-01', null, null, date '2030-01-01' from range(9) t(n)"
        )
    assert run(settings, "plan", "check").exit_code == 0
    path = settings.policy_dir / "inspection_plans.csv"
    path.write_text(
        path.read_text(encoding="utf-8").replace("GENERAL|SAFETY", "GENERAL|EM01|EM02"), encoding="utf-8"
    )
    done = run(settings, "plan", "check")
    assert done.exit_code == 1 and "'EM02'" in done.stdout and "'EM01'" not in done.stdout


def test_simulate_compares_and_draws_the_picture(settings: Settings, tmp_path: Path) -> None:
    """Prevents a simulation without comparison, and an enterprise in its output."""
    picture = tmp_path / "plot.svg"
    done = run(settings, "plan", "simulate", "--ratio", "C=30%", "--ratio", "D=60%", "--out", str(picture))
    assert done.exit_code == 0, done.output
    assert "expected findings" in done.stdout and "today, blind" in done.stdout
    assert picture.read_text(encoding="utf-8").count("<circle") == 3
    assert picture.stat().st_mode & 0o777 == 0o600
    assert "X0" not in done.stdout + picture.read_text(encoding="utf-8")
    found = told(settings, "plan", "simulate", "--ratio", "C=30%", "--unit", "411300EE")
    before, after = (found["outcomes"][name] for name in ("today", "proposed"))  # type: ignore[index]
    assert after["visits_by_grade"]["C"] > before["visits_by_grade"]["C"]
    assert after["visits_by_grade"]["D"] == before["visits_by_grade"]["D"]
    assert before["expected_findings"] > found["outcomes"]["today_blind"]["expected_findings"]  # type: ignore[index]
    rounds = run(settings, "plan", "simulate", "--rounds", "4")
    assert rounds.exit_code == 0 and "visits in a round" in rounds.stdout


WRONG = {
    "nothing to do": ((), "nothing to simulate"),
    "no percentage": (("--ratio", "C=30"), "write a grade and a percentage"),
    "no grade": (("--ratio", "F=30%"), "write a grade and a percentage"),
    "above the whole": (("--ratio", "E=101%"), "at most 100 %"),
    "twice": (("--ratio", "C=30%", "--ratio", "C=31%"), "given twice"),
    "five rounds": (("--rounds", "5"), "do not divide"),
    "against the notice": (("--ratio", "B=6%"), "notice gives B"),
    "against monotony": (("--ratio", "D=10%"), "never falls"),
    "another plan": (("--ratio", "C=30%", "--plan", "joint"), "in force: general"),
    "no picture": (("--ratio", "C=30%", "--out", "plot.png"), r"must end in \.svg"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_simulations_are_refused(name: str, settings: Settings) -> None:
    """Prevents figures for something else than what was meant."""
    arguments, words = WRONG[name]
    done = run(settings, "plan", "simulate", *arguments)
    assert isinstance(done.exception, BadInput)
    with pytest.raises(BadInput, match=words):
        raise done.exception


def test_estimated_rates_are_used_where_they_are_known(settings: Settings) -> None:
    """Prevents rates of an older year, or of an industry, from being taken for those of a grade."""
    arguments = ("plan", "simulate", "--ratio", "C=30%")
    assert told(settings, *arguments)["outcomes"]["today"]["expected_findings_by_rates"] is None  # type: ignore[index]
    with connect(settings, settings.warehouse_path) as connection:
        connection.execute(
            """
            create table inspection.estimated_rates as
            select * from (values ('grade', 'A', 2026, 0.1), ('grade', 'B', 2026, 0.1), ('grade', 'C', 2026, 0.1),
                ('grade', 'D', 2026, 0.1), ('grade', 'E', 2026, null), ('grade', 'E', 2025, 0.1), ('grade', 'E', 2024, 0.9),
                ('industry', 'C', 2026, 0.9)) t(domain_kind, domain, plan_year, rate)
            """
        )
    today = told(settings, *arguments)["outcomes"]["today"]  # type: ignore[index]
    assert today["expected_findings_by_rates"] == pytest.approx(today["visits"] * 0.1, abs=0.01)


def test_the_daily_table_is_made_anew(settings: Settings) -> None:
    """Prevents rows of yesterday in today's table, and a column without its meaning."""
    with connect(settings, settings.warehouse_path) as connection:
        bench = read_workbench(connection, DAY, with_rates=False)
        for _ in range(2):
            write_what_if(connection, DAY, what_if_rows(bench))
        rows = connection.execute(
            "select count(*), count(distinct as_of_date), count(distinct unit_id) from inspection.plan_what_if"
        ).fetchone()
        bare = connection.execute(
            "select count(*) from duckdb_columns() where table_name = 'plan_what_if' and comment is null"
        ).fetchone()
    assert rows == (20, 1, 2) and bare == (0,)


def test_exceptions_in_force_are_listed_with_the_days_left(settings: Settings) -> None:
    """Prevents an expired special need from being counted, and one about to end from hiding below."""
    append(settings, "inspection_exceptions", **EXCEPTION)
    append(
        settings,
        "inspection_exceptions",
        **EXCEPTION | {"exception_id": "TX-2", "effective_to": "2026-10-31"},
    )
    append(
        settings,
        "inspection_exceptions",
        **EXCEPTION | {"exception_id": "TX-3", "effective_to": "2026-10-30"},
    )
    found = exceptions_in_force(settings, DAY)
    assert [(row["exception_id"], row["days_left"]) for row in found] == [("TX-2", 0), ("TX-1", 30)]
    assert told(settings, "policy", "exceptions")["exceptions"] == found
    shown = run(settings, "policy", "exceptions")
    told_to_audit = exceptions_for_audit(settings, DAY)
    assert told_to_audit["count"] == 2
    assert [row["document_no"] for row in told_to_audit["in_force"]] == ["宛信用办〔2026〕7号"] * 2
    audit = AuditLog(settings.audit_log_path)
    audit.append("warehouse_built", "transform", None, exceptions=told_to_audit)
    assert shown.exit_code == 0 and "2 special needs are in force" in shown.stdout and "8 %" in shown.stdout


def test_a_lake_without_a_run_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    """Prevents a stack trace before the first run, or on a warehouse older than the program."""
    done = CliRunner().invoke(app, ["plan", "list", "--lake", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, CreditPipelineError) and "credit-pipeline run" in str(done.exception)
    with connect(settings, settings.warehouse_path) as connection:
        connection.execute("drop table inspection.plan_items")
    done = run(settings, "plan", "check")
    assert isinstance(done.exception, CreditPipelineError) and "credit-pipeline run" in str(done.exception)
