"""The units at work: what they send back, and that only the hidden truth and luck decide it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sent_files import Sample, SentTable, _tables

from credit_pipeline.errors import BadInput
from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.sample import enforcement
from credit_pipeline.sample.visits import VisitSummary, inspect
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect, mark_current

AS_OF, DAY = date(2026, 11, 1), date(2026, 12, 16)
PLAN, UNIT = "P2026GENERAL", "411302MS"
WINDOW_END = date(2026, 11, 30)
RANDOM, CASE = "双随机", "个案"


def _lake(folder: Path, city: Sample, grade: str = "C") -> Settings:
    """A lake of the sample with 300 drawn enterprises, some for two items, three of them special, and two open leads."""
    shutil.copytree(city.out, folder / "landing")
    settings = Settings(landing_dir=folder / "landing", lake_dir=folder / "lake", keys_dir=folder / "keys")
    settings.lake_dir.mkdir()
    mark_current(settings, AS_OF)
    usccs = pl.read_parquet(city.out / "_truth" / "risk.parquet")["uscc"].head(300)
    with connect(settings, settings.warehouse_path) as connection:
        for schema in ("inspection", "staging", "enterprises", "quality"):
            connection.execute(f"create schema {schema}")
        connection.register("firms", pl.DataFrame({"uscc": usccs}).with_row_index("n").to_arrow())
        connection.execute(
            f"""
            create table inspection.inspection_draws as
            select '{PLAN}' as plan_id, 1 as round, date '{AS_OF}' as frozen_date, '{UNIT}' as unit_id, item_code, uscc,
                '{grade}' as platform_grade, n + 1 as rank, 997 as stratum_size, 299 as quota, '' as ticket,
                n = 299 as is_top_up, case when n = 299 then '{usccs[0]}' end as replaces
            from firms, (values ('GENERAL'), ('SAFETY')) as items(item_code)
            where item_code = 'GENERAL' or n % 3 = 0;
            create table inspection.inspector_assignments as
            select '{PLAN}' as plan_id, 1 as round, '{UNIT}' as unit_id, '{UNIT}' as draw_unit_id, uscc,
                '{UNIT}-0' || cast(position as varchar) as inspector_id, position
            from firms, (values (1), (2)) as places(position) where n <> 1;
            create table inspection.inspection_rounds as
            select '{PLAN}' as plan_id, 1 as round, 'undirected' as direction, date '{WINDOW_END}' as window_end;
            create table inspection.lead_checks as
            select * from (values
                ('XS1', '{UNIT}', '{usccs[5]}', 'MS01', 'open'), ('XS2', '{UNIT}', '{usccs[6]}', null, 'open'),
                ('XS3', '{UNIT}', '{usccs[7]}', 'MS01', 'closed')) as l(lead_id, unit_id, uscc, item_code, state);
            create table staging.stg_leads as
            select 'XS1' as lead_id, 'complaint' as lead_type, '{usccs[5]}' as uscc, '{UNIT}' as unit_id,
                date '2026-10-01' as received_date, '核查' as scope, 'MS01' as item_code, 'NY1' as source_ref,
                cast(null as date) as closed_date, cast(null as date) as known_to, false as is_withdrawn;
            create table staging.stg_inspection_results as
            select '{PLAN}-1-{UNIT}' as task_no, '{usccs[2]}' as uscc;
            create table enterprises.enterprises as
            select uscc, case when n = 3 then 'revoked' else 'active' end as status from firms;
            create table quality.working_days as
            select cast(day as date) as day, isodow(day) < 6 as is_working_day
            from range(date '2026-01-01', date '2027-12-31', interval 1 day) as days(day)
            """
        )
    return settings


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, clean_city: Sample) -> Settings:
    return _lake(tmp_path_factory.mktemp("lake"), clean_city)


@pytest.fixture(scope="module")
def done(lake: Settings) -> VisitSummary:
    return inspect(lake, share=1.0, day=DAY)


def _sent(settings: Settings, feed: str) -> list[SentTable]:
    folder = settings.landing_dir / feed / DAY.isoformat()
    return [
        table
        for path in sorted(folder.iterdir())
        for table in _tables(settings.landing_dir, get_feed(feed), path)
    ]


def _results(settings: Settings) -> pl.DataFrame:
    return pl.DataFrame(
        [table.record(row) for table in _sent(settings, "inspection_results") for row in table.rows]
    )


def _uscc(settings: Settings, place: int) -> str:
    return str(pl.read_parquet(settings.landing_dir / "_truth" / "risk.parquet")["uscc"][place])


def test_every_visit_is_sent_under_its_task(lake: Settings, done: VisitSummary) -> None:
    """Prevents results that no drawn visit can claim, and visits of enterprises that were replaced, that have no
    inspectors, or whose result is there already."""
    assert (done.visits, done.cases, done.left) == (297, 2, 0)
    results = _results(lake)
    assert len(results) == done.rows
    random = results.filter(pl.col("origin") == RANDOM)
    assert set(random["task_no"]) == {f"{PLAN}-1-{UNIT}"} and set(random["plan_no"]) == {PLAN}
    without = {_uscc(lake, place) for place in (0, 1, 2)}
    assert not without & set(random["uscc"]) and random["uscc"].n_unique() == 297
    assert _uscc(lake, 299) in set(random["uscc"])
    assert not random.select("uscc", "item_code").is_duplicated().any()
    assert set(random["inspectors"]) == {f"{UNIT}-01;{UNIT}-02"}
    assert set(results.filter(pl.col("origin") == CASE)["task_no"]) == {"XS1", "XS2"}


def test_the_rows_are_acceptable(lake: Settings, done: VisitSummary) -> None:
    """Prevents dates out of order or in the future, days off, and codes that contradict each other."""
    for row in _results(lake).iter_rows(named=True):
        day = date.fromisoformat(row["check_date"])
        assert AS_OF < day <= DAY and day.isoweekday() < 6
        assert row["origin"] == CASE or day <= WINDOW_END
        for later in ("rectified_date", "published_date"):
            assert not row[later] or row["check_date"] <= row[later] <= DAY.isoformat()
        assert row["origin"] == CASE or row["inclusion_probability"] == "0.2999", "17 digits would be mended"
        codes = row["result_codes"].split(",")
        assert "1" not in codes or codes == ["1"]
        assert bool(row["rectify_due_date"]) == (not {"1", "F", "7", "10"} & set(codes))


def test_a_finding_stands_on_one_item_of_the_visit(lake: Settings, done: VisitSummary) -> None:
    """Prevents one breach that counts twice because the visit had two items."""
    results = _results(lake).filter(pl.col("origin") == RANDOM)
    whole = {"6", "7", "F", "10"}
    for _, rows in results.group_by("uscc"):
        found = [set(codes.split(",")) for codes in rows["result_codes"]]
        serious = [codes for codes in found if codes != {"1"}]
        assert len(serious) <= 1 or all(codes <= whole for codes in serious)


def test_units_are_sometimes_late_and_sometimes_cannot_inspect(lake: Settings, done: VisitSummary) -> None:
    """Prevents a city in which no alert of publication, rectification or top-up ever sounds."""
    results = _results(lake).with_columns(
        pl.col("check_date", "published_date").replace("", None).str.to_date()
    )
    lag = (results["published_date"] - results["check_date"]).dt.total_days()
    assert (lag > 30).sum() > 0 and (lag <= 28).mean() > 0.7
    assert results["published_date"].null_count() > 0
    assert set(results.filter(pl.col("uscc") == _uscc(lake, 3))["result_codes"]) == {"10"}
    problems = results.filter(pl.col("rectify_due_date") != "")
    assert 0 < (problems["rectified_date"] == "").sum() < len(problems)


def test_the_hidden_truth_decides(lake: Settings, done: VisitSummary) -> None:
    """Prevents results by chance alone: who was found in breach is riskier than who was not."""
    risk = pl.read_parquet(lake.landing_dir / "_truth" / "risk.parquet")
    found = _results(lake).join(risk, on="uscc").filter(pl.col("uscc") != _uscc(lake, 3))
    broke = found["rectify_due_date"] != ""
    assert broke.sum() > 5
    assert found.filter(broke)["latent_risk"].mean() > found.filter(~broke)["latent_risk"].mean() + 0.3  # type: ignore[operator]


def test_the_grade_decides_nothing(
    lake: Settings, done: VisitSummary, clean_city: Sample, tmp_path: Path
) -> None:
    """Prevents results that flatter the model: another grade of everybody gives the same bytes."""
    other = _lake(tmp_path, clean_city, grade="E")
    inspect(other, share=1.0, day=DAY)
    for name in done.files:
        assert (other.landing_dir / name).read_bytes() == (lake.landing_dir / name).read_bytes(), name


def test_a_part_finds_what_the_whole_finds(
    lake: Settings, done: VisitSummary, clean_city: Sample, tmp_path: Path
) -> None:
    """Prevents luck that depends on which other visits were made."""
    part = _lake(tmp_path, clean_city)
    summary = inspect(part, share=0.5, day=DAY)
    assert 100 < summary.visits < 200 and summary.left == 299 - summary.visits - summary.cases
    every = {tuple(row.values()) for row in _results(lake).iter_rows(named=True)}
    assert {tuple(row.values()) for row in _results(part).iter_rows(named=True)} < every


def test_checked_leads_are_closed(lake: Settings, done: VisitSummary) -> None:
    """Prevents leads that stay open for ever; one that came as a complaint is no row of the feed of leads."""
    [table] = _sent(lake, "leads")
    [row] = [table.record(number) for number in table.rows]
    checked = _results(lake).filter(pl.col("task_no") == "XS1")["check_date"]
    assert row["lead_id"] == "XS1" and [row["closed_date"]] == checked.to_list()


def test_the_answer_key_knows_the_files(lake: Settings, done: VisitSummary, clean_city: Sample) -> None:
    """Prevents `sample check` from calling the results rows that stand in no file, and a leftover that a new sample
    would take for somebody's data."""
    before = (clean_city.out / "_truth" / "file_rows.csv").read_bytes()
    after = (lake.landing_dir / "_truth" / "file_rows.csv").read_bytes()
    assert after.startswith(before)
    listed = pl.read_csv(lake.landing_dir / "_truth" / "file_rows.csv")
    assert (
        listed.filter(pl.col("file").is_in(done.files) & (pl.col("feed") == "inspection_results"))[
            "rows"
        ].sum()
        == done.rows
    )
    assert set(done.files) <= set((lake.landing_dir / "_truth" / "files.txt").read_text().splitlines())
    assert (lake.landing_dir / "as_of").read_text().strip() == DAY.isoformat()


def _twice(settings: Settings) -> None:
    inspect(settings, share=1.0, day=DAY)


def _too_early(settings: Settings) -> None:
    inspect(settings, day=AS_OF)


def _only_a_sunday(settings: Settings) -> None:
    mark_current(settings, date(2026, 11, 7))
    inspect(settings, day=date(2026, 11, 8))


def _nobody_at_work(settings: Settings) -> None:
    inspect(settings, share=0.0, day=DAY)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (_too_early, "choose a later --day"),
        (_nobody_at_work, "share 0%"),
        (_only_a_sunday, "no working day"),
    ],
)
def test_what_cannot_be_is_refused(
    call: Callable[[Settings], None], said: str, clean_city: Sample, tmp_path: Path
) -> None:
    """Prevents a delivery of the past, or an empty one that looks like work."""
    with pytest.raises(BadInput, match=said):
        call(_lake(tmp_path, clean_city))


def test_a_second_delivery_of_a_day_is_refused(lake: Settings, done: VisitSummary) -> None:
    """Prevents results that are sent twice because the run in between was forgotten."""
    before = {name: (lake.landing_dir / name).read_bytes() for name in done.files}
    with pytest.raises(BadInput, match="already holds results"):
        _twice(lake)
    assert before == {name: (lake.landing_dir / name).read_bytes() for name in done.files}


def test_findings_take_no_other_luck(clean_city: Sample) -> None:
    """Prevents past and played inspections from following different truths."""
    risk = np.linspace(-3, 4, 50_000)
    codes = enforcement.findings(risk, np.random.default_rng(1).random((6, len(risk))))
    serious = codes.str.contains(
        "food_drug|quality|false_publication|not_cooperating|other_department|pending"
    ).to_numpy()
    assert serious[risk > 3].mean() > 0.5 and serious[risk < 0].mean() < 0.02
