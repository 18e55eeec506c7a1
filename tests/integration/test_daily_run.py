"""The whole daily job on a small city: what a run promises, seen from outside."""

from __future__ import annotations

import json
import stat
from collections import defaultdict
from typing import Any

import duckdb
import pytest

from credit_pipeline.feeds.catalogue import feed_names, get_feed
from credit_pipeline.inspection.draws.protocol import quota
from tests_support import Place


def test_summary_keeps_its_promise(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a change of the keys that others rely on."""
    assert set(finished_run) == {
        "as_of", "run_id", "feeds", "enterprises", "grades", "quotas", "draws", "extracts", "problems",
    }  # fmt: skip
    assert finished_run["as_of"] == city.as_of
    assert list(finished_run["grades"]) == ["A", "B", "C", "D", "E"]
    assert sum(finished_run["grades"].values()) == finished_run["enterprises"] > 0
    assert finished_run["quotas"] == finished_run["draws"] > 0
    assert finished_run["extracts"] == 60


def test_no_row_vanishes(finished_run: dict[str, Any]) -> None:
    """Prevents a feed whose rows do not add up, or that is not read at all."""
    assert set(finished_run["feeds"]) == set(feed_names())
    for feed, counts in finished_run["feeds"].items():
        assert counts["read"] == counts["accepted"] + counts["quarantined"] + counts["duplicates"], feed
        # Nobody has decided anything yet.
        assert counts["accepted"] > 0 or get_feed(feed).information_kind == "decision", feed


def test_every_expected_asset_was_materialized(
    finished_run: dict[str, Any], city: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents dbt skipping downstream while the run stays green."""
    monkeypatch.setenv("DAGSTER_HOME", city.environment["DAGSTER_HOME"])
    import dagster as dg

    from credit_pipeline.definitions import defs

    expected = {spec.key for spec in defs.resolve_all_asset_specs()} - {
        dg.AssetKey(["grading", "training_set"]),
        dg.AssetKey(["grading", "credit_model"]),
    }
    with dg.DagsterInstance.get() as instance:
        records = instance.get_records_for_run(
            finished_run["run_id"], of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=5000
        )
        materialized = {record.event_log_entry.dagster_event.asset_key for record in records.records}  # type: ignore[union-attr]
        run = instance.get_run_by_id(finished_run["run_id"])
    assert materialized == expected
    assert run is not None and run.tags["dagster/partition"] == city.as_of and run.job_name == "daily"


def test_every_active_enterprise_has_exactly_one_grade(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents an enterprise that is graded twice or not at all."""
    [(gradable, graded, distinct)] = city.query(
        """select (select count(*) from enterprises.enterprises where is_gradable),
        (select count(*) from grading.enterprise_grades), (select count(distinct uscc) from grading.enterprise_grades)"""
    )
    assert gradable == graded == distinct == finished_run["enterprises"]


def test_the_model_really_learned(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a model that is a constant or reads noise: its score must order the hidden truth."""
    truth = city.landing / "_truth" / "risk.parquet"
    [(kind, auc)] = city.query(
        f"""
        with s as (
            select score_micro, breach_probability_12m > quantile_cont(breach_probability_12m, 0.9) over () as bad
            from grading.enterprise_scores join read_parquet('{truth}') using (uscc)
        ), r as (select bad, rank() over (order by score_micro) + (count(*) over (partition by score_micro) - 1) / 2.0 as rk from s)
        select 'auc', (sum(rk) filter (bad) - count(*) filter (bad) * (count(*) filter (bad) + 1) / 2.0)
            / (count(*) filter (bad) * count(*) filter (not bad)) from r
        """
    )
    assert kind == "auc" and auc > 0.7
    rates = city.query(
        f"""select platform_grade, avg(breach_probability_12m) from grading.enterprise_grades
        join read_parquet('{truth}') using (uscc) group by 1 order by 1"""
    )
    assert dict(rates)["A"] < dict(rates)["C"]


def test_quotas_follow_the_policy(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a ratio, a rounding or a stratum that is not the one shown; A without safety is never drawn."""
    rows = city.query(
        """select unit_id, item_code, platform_grade, stratum_size, drawn_before, ratio_bp, rounding, quota
        from inspection.inspection_quotas"""
    )
    ratios = defaultdict(set)
    for unit, item, grade, size, drawn_before, ratio_bp, rounding, given in rows:
        assert drawn_before == 0 and given == quota(size, ratio_bp, rounding), (unit, item, grade)
        ratios[item, grade].add(ratio_bp)
    assert ratios["GENERAL", "B"] == ratios["SAFETY", "B"] == {500}
    assert ratios["GENERAL", "A"] == {0}
    eligible = city.query(
        """select unit_id, item_code, platform_grade, count(*) from inspection.inspection_frame
        where excluded_reason = '' group by all order by all"""
    )
    assert [(unit, item, grade, size) for unit, item, grade, size, *_ in sorted(rows) if size] == eligible
    assert city.query(
        """select count(*) from inspection.inspection_frame where platform_grade = 'A' and excluded_reason = ''
        and not (is_safety_related and item_code = 'SAFETY')"""
    ) == [(0,)]
    assert city.query(
        """select count(*) from inspection.inspection_draws d
        join inspection.inspection_frame f using (plan_id, round, unit_id, item_code, uscc)
        where f.excluded_reason <> ''"""
    ) == [(0,)]
    assert city.query("select count(*) from inspection.frame_reconciliation where unaccounted <> 0") == [(0,)]


def test_the_draw_is_the_first_of_the_tickets(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a draw that differs from ticket order within its stratum."""
    [(wrong,)] = city.query(
        """select count(*) from (
            select *, row_number() over (partition by plan_id, round, unit_id, item_code, platform_grade order by ticket, uscc) as again
            from inspection.inspection_draws
        ) where again <> rank or rank > quota"""
    )
    assert wrong == 0


def test_two_inspectors_of_the_unit_for_each_enterprise(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a visit by one inspector, a stranger, or somebody whose certificate has run out."""
    [(drawn,)] = city.query("select count(distinct (unit_id, uscc)) from inspection.inspection_draws")
    pairs = city.query(
        "select unit_id, uscc, count(distinct inspector_id) from inspection.inspector_assignments group by all"
    )
    assert len(pairs) == drawn and {count for *_, count in pairs} == {2}
    assert city.query(
        f"""select count(*) from inspection.inspector_assignments a join staging.stg_inspectors i using (inspector_id)
        where i.known_to is null and (i.unit_id <> a.unit_id or i.certificate_valid_to < date '{city.as_of}')"""
    ) == [(0,)]


def test_quarantine_says_what_where_and_why(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a quarantine that an office cannot act on."""
    for feed, counts in finished_run["feeds"].items():
        [(rows, complete)] = duckdb.sql(
            f"""select count(distinct (file, sheet, row_number)), bool_and(rule <> '' and remedy <> '' and file <> '')
            from read_parquet('{city.lake}/quarantine/{feed}/*/*.parquet')"""
        ).fetchall()
        assert rows == counts["quarantined"], feed
        assert complete in (True, None), feed


def test_extract_holds_its_own_enterprises_only(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents one unit seeing another's enterprises, and shops kept by a person in a list of all; a unit needs plain
    duckdb, the file and its key.
    """
    unit = "411330MS"
    shown = city.command("extract", "open", unit, "--lake", str(city.lake), "--show-key").stdout.split()
    file, key = shown[shown.index("file") + 1], shown[shown.index("key") + 1]
    with pytest.raises(duckdb.Error):
        duckdb.connect(":memory:").execute(f"attach '{file}' as plain (read_only)")
    connection = duckdb.connect(":memory:")
    connection.execute(f"attach '{file}' as extract (read_only, encryption_key '{key}')")
    own = {row[0] for row in connection.execute("select uscc from extract.enterprises").fetchall()}
    assert own == {
        row[0]
        for row in city.query(
            "select uscc from enterprises.enterprise_units join enterprises.enterprises using (uscc) "
            f"where unit_id = '{unit}' and subject_kind <> 'individual_business'"
        )
    }
    assert own
    tasks = {row[0] for row in connection.execute("select uscc from extract.inspection_tasks").fetchall()}
    assert tasks == {
        row[0] for row in city.query(f"select uscc from inspection.inspection_draws where unit_id = '{unit}'")
    }
    assert "不得向社会公开" in connection.execute("select notice from extract.notice").fetchone()[0]  # type: ignore[index]
    comments = connection.execute(
        "select count(*) from duckdb_columns() where database_name = 'extract' and comment is null and table_name = 'enterprises'"
    ).fetchone()
    assert comments == (0,)


def test_status_explain_and_list_answer(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents the everyday questions from failing."""
    status = json.loads(city.command("status", "--lake", str(city.lake), "--json").stdout)
    assert status["as_of"] == city.as_of and status["enterprises"] == finished_run["enterprises"]
    [(uscc, grade)] = city.query(
        "select uscc, platform_grade from grading.enterprise_grades join staging.stg_penalties using (uscc) order by uscc limit 1"
    )
    explained = json.loads(city.command("explain", uscc, "--lake", str(city.lake), "--json").stdout)
    assert explained["platform_grade"] == grade
    assert (
        sum(item["micro_points"] for item in explained["points"]) + explained["intercept_micro"]
        == explained["score_micro"]
    )
    sources = [
        (record["source_file"], record["source_row"])
        for records in explained["records"].values()
        for record in records
    ]
    assert sources and all(name and row for name, row in sources)
    assert (
        city.command("explain", "91411300MA40TE5TXR0", "--lake", str(city.lake), check=False).returncode == 2
    )
    assert len(json.loads(city.command("extract", "list", "--lake", str(city.lake), "--json").stdout)) == 60
    assert (
        city.command("extract", "open", "NOSUCHUNIT", "--lake", str(city.lake), check=False).returncode == 2
    )


def test_files_are_for_their_owner_only(finished_run: dict[str, Any], city: Place) -> None:
    """Prevents a grade that another account of the machine could read."""
    for path in (city.lake, city.root / "dagster_home", city.root / "keys"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    readable = [
        path for path in city.lake.rglob("*") if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert readable == []
