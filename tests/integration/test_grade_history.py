"""From a grade down to the row of a file and back: repair, withdrawal, objection, history, explanations of other days."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests_support import make_city, make_place

DAY_1, DAY_2 = "2026-10-31", "2026-11-01"
LISTED = """
    select v.uscc, v.record_no, g.platform_grade from grading.grade_vetoes as v join grading.enterprise_grades as g using (uscc)
    where v.veto = 'abnormal_listed' and v.evidence_count = 1 and g.veto_codes = 'abnormal_listed' and g.path = 'floor'
    order by v.uscc
"""


class Story:
    """A city of two days. On the second one listing is repaired, one withdrawn, and an enterprise is listed against an
    objection."""

    def __init__(self, root: Path) -> None:
        self.place = make_city(make_place(root), enterprises=1_200, days=2, dirt=0)
        self.place.run(DAY_1)
        self.first_tables = self.place.tables()
        (self.repaired, self.repaired_no, self.repaired_grade), (self.withdrawn, self.withdrawn_no, _) = (
            self.place.query(LISTED)[:2]
        )
        self.objecting = self.place.query(
            """select uscc from grading.enterprise_grades where platform_grade = 'A' and veto_codes = '' and path = 'model'
            order by uscc limit 1"""
        )[0][0]
        self.deliver(
            "credit_repairs",
            "修复决定编号,统一社会信用代码,修复信息类型,原记录编号,修复决定日期,修复生效日期",
            f"XF9000000000000001,{self.repaired},经营异常名录,{self.repaired_no},2026-11-01,2026-11-01",
        )
        self.deliver(
            "abnormal_listings",
            "busexclist,uniscid,specause,abntime,上报日期,记录状态",
            f"{self.withdrawn_no},{self.withdrawn},通过登记的住所无法联系,2026-10-01,2026-11-01,撤销",
            f"YC209900000000000001,{self.objecting},通过登记的住所无法联系,2026-10-30,2026-11-01,异议",
        )
        self.stored = self.history(DAY_1)
        self.place.run(DAY_2)
        self.stored_second = self.history(DAY_2)

    def deliver(self, feed: str, *lines: str) -> None:
        folder = self.place.landing / feed / DAY_2
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "later.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def history(self, day: str) -> dict[str, bytes]:
        return {
            path.name: path.read_bytes()
            for path in sorted((self.place.lake / "grades" / f"as_of={day}").iterdir())
        }

    def explain(self, uscc: str, *options: str) -> dict[str, Any]:
        return json.loads(
            self.place.command("explain", uscc, *options, "--json", "--lake", str(self.place.lake)).stdout
        )

    def words(self, uscc: str, *options: str) -> str:
        return self.place.command("explain", uscc, *options, "--lake", str(self.place.lake)).stdout


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    yield Story(tmp_path_factory.mktemp("story"))


def landing_row(landing: Path, file: str, number: int) -> list[str]:
    """A row of a delivered CSV file as a spreadsheet numbers it."""
    content = (landing / file).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("gb18030")
    return list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text.splitlines()[0] else ","))[
        number - 1
    ]


def test_every_reason_leads_to_the_row_it_came_from(story: Story) -> None:
    """Prevents a grade whose reasons point at a wrong file or row, or at no record at all."""
    [(some,)] = story.place.query(
        """select count(*) from grading.grade_evidence where feed = 'penalties' and source_file like '%.csv'"""
    )
    assert some > 0
    usccs = story.place.query(
        """select distinct uscc from grading.grade_evidence where feed in ('penalties', 'abnormal_listings', 'complaints')
        and source_file like '%.csv' and source_file not like '%!%' order by uscc limit 6"""
    )
    checked = 0
    for (uscc,) in usccs:
        found = story.explain(uscc)
        assert (
            sum(item["micro_points"] for item in found["points"]) + found["intercept_micro"]
            == found["score_micro"]
        )
        assert found["steps"][4]["grade_after"] == found["platform_grade"]
        for item in found["points"]:
            assert item["points_over"] == item["micro_points"] - item["norm_micro"]
            for record in item["records"]:
                name = record["source_file"]
                if (
                    record["feed"] in ("penalties", "abnormal_listings", "complaints")
                    and name.endswith(".csv")
                    and "!" not in name
                ):
                    assert uscc in landing_row(story.place.landing, name, record["source_row"]), (
                        name,
                        record,
                    )
                    checked += 1
    assert checked > 5


def test_a_record_adds_up_to_its_indicator(story: Story) -> None:
    """Prevents evidence that is not what the indicator counted."""
    assert story.place.query(
        """select count(*) from indicators.enterprise_indicators as i left join (
            select uscc, sum(penalty_weight) as weight, count(penalty_count_36m) as penalties from indicators.evidence_penalties
            group by uscc
        ) as e using (uscc) where i.penalty_weight <> coalesce(e.weight, 0) or i.penalty_count_36m <> coalesce(e.penalties, 0)"""
    ) == [(0,)]
    assert story.place.query(
        """select count(*) from indicators.evidence_penalties as e join grading.record_states as s using (uscc, source_file, source_row)
        where s.feed = 'penalties' and (e.penalty_weight is not null) <> (s.state in ('in_effect', 'objection'))"""
    ) == [(0,)], "a record weighs exactly until its effect ends"


def test_repair_and_withdrawal_regrade_and_flag_what_they_touched(story: Story) -> None:
    """Prevents a repaired or withdrawn record that still weighs, and past results that nobody looks at."""
    for uscc, number, what in (
        (story.repaired, story.repaired_no, "repaired"),
        (story.withdrawn, story.withdrawn_no, "withdrawn"),
    ):
        assert story.place.query(
            f"select veto_codes from grading.enterprise_grades where uscc = '{uscc}'"
        ) == [("",)]
        assert story.place.query(
            f"select abnormal_listing_weight from indicators.enterprise_indicators where uscc = '{uscc}'"
        ) == [(0,)]
        assert story.place.query(
            f"""select what_happened, known_on::varchar, last_graded_day::varchar, graded_days
            from grading.affected_grades where uscc = '{uscc}' and record_no = '{number}'"""
        ) == [(what, DAY_2, DAY_1, 1)]
        [gone] = [row for row in story.explain(uscc)["no_longer"] if row["record_no"] == number]
        assert gone["reason"] == what
    [(reason, detail)] = story.place.query(
        f"select reason, detail from grading.grade_history where uscc = '{story.repaired}' and as_of_date = date '{DAY_2}'"
    ) or [("none", "")]
    assert (reason, detail) in (("veto_ended", "abnormal_listed"), ("none", "")), (
        "or the score alone is as bad"
    )


def test_a_pending_objection_freezes_the_grade(story: Story) -> None:
    """Prevents a grade made worse by a record that is still disputed."""
    assert story.place.query(
        f"select platform_grade, decided_grade, path from grading.enterprise_grades where uscc = '{story.objecting}'"
    ) == [("A", "C", "objection")]
    found = story.explain(story.objecting)
    assert [row["record_no"] for row in found["objections"]] == ["YC209900000000000001"]
    assert found["steps"][4]["rule"] == "downgrade_frozen"
    assert "异议处理期间暂缓降级" in story.words(story.objecting)
    assert "an objection is pending: not made worse" in story.words(story.objecting, "--lang", "en")


def test_past_days_stay_as_they_were(story: Story) -> None:
    """Prevents a later repair from changing what was said, and a history that another run writes otherwise."""
    assert story.history(DAY_1) == story.stored
    story.place.run(DAY_2)
    assert story.history(DAY_2) == story.stored_second
    story.place.run(DAY_1)
    replay = story.place.tables(story.place.lake / "replays" / f"{DAY_1}.duckdb")
    assert {name: replay[name] for name in story.first_tables} == story.first_tables
    assert story.history(DAY_1) == story.stored and story.history(DAY_2) == story.stored_second


def test_another_day_is_explained_as_it_was(story: Story) -> None:
    """Prevents an explanation of a past day with what became known later."""
    found = story.explain(story.repaired, "--as-of", DAY_1)
    assert found["compared"] is True
    assert (found["platform_grade"], found["veto_codes"]) == (story.repaired_grade, "abnormal_listed")
    assert story.repaired_no in {row["record_no"] for row in found["records"]["abnormal_listings"]}
    assert [change["as_of_date"] for change in found["changes"]] == [DAY_1]
    later = story.explain(story.objecting, "--as-of", DAY_1)
    assert "YC209900000000000001" in {row["record_no"] for row in later["known_later"]}
    ahead = story.place.command(
        "explain", story.repaired, "--as-of", "2026-11-30", "--lake", str(story.place.lake), check=False
    )
    assert ahead.returncode == 2 and "2026-11-30" in ahead.stderr
    assert {path.suffix for path in (story.place.lake / "explain").iterdir()} == {"", ".duckdb"}


def test_words_are_plain_in_both_languages(story: Story) -> None:
    """Prevents codes where words belong, a language that is half the other, and a page without its warning."""
    uscc = story.place.query(LISTED)[0][0]
    chinese, english = story.words(uscc), story.words(uscc, "--lang", "en")
    for page in (chinese, english):
        assert "内部资料" in page and "Confidential" in page
    for words in (
        "定级过程",
        "直接判定情形: 当前列入经营异常名录",
        "比同行业",
        "主要影响因素",
        "计入的记录",
        "等级变动",
        "首次定级",
    ):
        assert words in chinese, words
    for words in ("How the grade came about", "on the list of abnormal operations now", "risk points above the average of",
                  "Records that count", "graded for the first time"):  # fmt: skip
        assert words in english, words
    assert not any(
        code in chinese for code in ("not_better_than", "abnormal_listing_weight", "model_changed")
    )
    [(name,)] = story.place.query(
        f"select enterprise_name from enterprises.enterprises where uscc = '{uscc}'"
    )
    asked = story.place.command("explain", name, "--lake", str(story.place.lake), check=False)
    assert asked.returncode == 2 and uscc in asked.stderr
    unit = story.place.query(f"select min(unit_id) from enterprises.enterprise_units where uscc = '{uscc}'")[
        0
    ][0]
    only = story.explain(uscc, "--unit", unit)
    assert [row["unit_id"] for row in only["units"]] == [unit]
    assert [row["step_no"] for row in only["steps"]] == [1, 2, 3, 4, 5, 6, 7]
    asked = story.place.command(
        "explain", uscc, "--unit", "NOSUCH", "--lake", str(story.place.lake), check=False
    )
    assert asked.returncode == 2 and unit in asked.stderr


def test_units_receive_reasons_evidence_and_changes(story: Story) -> None:
    """Prevents an extract that gives a grade without its reasons, or codes instead of words."""
    [(unit,)] = story.place.query(
        f"select min(unit_id) from enterprises.enterprise_units where uscc = '{story.objecting}'"
    )

    def ask(sql: str) -> str:
        return story.place.command(
            "extract", "open", unit, "--lake", str(story.place.lake), "--sql", sql
        ).stdout

    said = ask("select sentence from extract.grade_reasons limit 3")
    assert "风险分比" in said and "_" not in said.replace("grade_reasons", "")
    assert "首次定级" in ask("select distinct change_reason from extract.grade_changes")
    assert "0" in ask(
        "select count(*) from extract.grade_evidence where source_row is null or source_file is null"
    )
    assert "2026-12-01" in ask("select max(valid_until) from extract.enterprises")
