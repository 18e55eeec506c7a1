"""Who and what stands in an extract: own enterprises, nobody left out by policy, corrections, changes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from extract_warehouse import DAY, extract_warehouse

from credit_pipeline.errors import BadInput
from credit_pipeline.extracts.builder import EXTRACT_TABLES, prepare_extracts, unit_tables, unit_views
from credit_pipeline.extracts.changes import KEPT_STATES, keep_state
from credit_pipeline.extracts.options import read_options
from credit_pipeline.extracts.watermark import trace
from credit_pipeline.keys import KeyStore


def prepared(day: date = DAY, **options: Any) -> duckdb.DuckDBPyConnection:
    connection = extract_warehouse()
    prepare_extracts(connection, day, **options)
    return connection


def rows(connection: duckdb.DuckDBPyConnection, unit: str, table: str) -> list[dict[str, Any]]:
    answer = connection.execute(str(unit_tables(unit, "某局", DAY)[table]))
    names = [column[0] for column in answer.description or []]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def everything(connection: duckdb.DuckDBPyConnection, unit: str) -> str:
    return repr({name: rows(connection, unit, name) for name in EXTRACT_TABLES})


def quarantine(folder: Path) -> Path:
    """Refused rows as the lake has them: Q1 of U with two faults, Q3 of V, Q5 and Q6 of a file refused as a whole."""
    place = folder / "penalties" / "ingest_date=2026-10-30"
    place.mkdir(parents=True)
    duckdb.execute(
        f"""copy (select * from (values
            ('penalties', 'Q1', 'decision_date', 'date_unreadable', '昨天', '处罚日期', '{{"文号": "〔2026〕1号"}}'),
            ('penalties', 'Q1', 'uscc', 'uscc_length', '1', '代码', '{{"文号": "〔2026〕1号"}}'),
            ('penalties', 'Q3', 'uscc', 'uscc_length', '3', '代码', '{{"名称": "乙局的行"}}'),
            ('licences', 'Q5', null, 'unreadable_file', null, null, null),
            ('licences', 'Q6', null, 'unreadable_file', null, null, null))
            as q(feed, quarantine_id, "column", rule, value, label, row_text))
        to '{place}/x.parquet' (format parquet)"""
    )
    return folder


def test_households_are_not_in_the_extract() -> None:
    """Prevents names of individual businesses, which are names of persons, in a list of enterprises."""
    assert [row["uscc"] for row in rows(prepared(), "U", "enterprises")] == ["1", "2"]


def test_a_lead_about_a_household_keeps_its_code_and_hides_its_name() -> None:
    """Prevents a lead that the unit must follow from vanishing, and a person's name from leaving with it."""
    connection = extract_warehouse()
    connection.execute(
        "insert into inspection.lead_checks by name select 'L2' as lead_id, 'complaint' as lead_type, '92' as uscc, "
        "'U' as unit_id, date '2026-10-21' as received_date"
    )
    prepare_extracts(connection, DAY)
    [lead] = [row for row in rows(connection, "U", "leads") if row["task_no"] == "L2"]
    assert lead["uscc"] == "92" and "企业92" not in repr(lead) and "个体工商户" in lead["enterprise_name"]


def test_whom_policy_leaves_out_is_in_no_table_of_no_unit(tmp_path: Path) -> None:
    """Prevents a state-secret unit from showing in any extract: not as a task, a lead, evidence, a candidate, a refused row."""
    connection = extract_warehouse()
    connection.execute(
        "insert into policy.excluded_enterprises values ('1', '涉密', '〔2026〕1号', '某', date '2026-01-01', date '9999-12-31')"
    )
    connection.execute(
        "insert into inspection.inspection_draws by name select '1' as replaces, * exclude replaces "
        "from inspection.inspection_draws where uscc = '2'"
    )
    prepare_extracts(connection, DAY)
    for unit in ("U", "V"):
        found = {name: rows(connection, unit, name) for name in EXTRACT_TABLES}
        assert "企业1" not in repr(found)
        for table in found.values():
            for row in table:
                assert "1" not in (
                    row.get("uscc"),
                    row.get("candidate_uscc"),
                    row.get("record_no"),
                    row.get("replaces"),
                )
    assert [row["uscc"] for row in rows(connection, "U", "enterprises")] == ["2"]


def test_the_exclusion_has_its_days() -> None:
    """Prevents an exclusion that ended, or has not begun, from holding."""
    connection = extract_warehouse()
    connection.execute(
        "insert into policy.excluded_enterprises values ('1', '涉密', 'x', '某', date '2025-01-01', date '2025-12-31')"
    )
    prepare_extracts(connection, DAY)
    assert [row["uscc"] for row in rows(connection, "U", "enterprises")] == ["1", "2"]


def test_the_grade_of_an_enterprise_that_one_only_helps_to_inspect_is_hidden() -> None:
    """Prevents joint plans from telling a unit the grades of enterprises that it does not supervise."""
    connection = extract_warehouse()
    connection.execute("update inspection.inspection_progress set units = 'V|U' where uscc = '3'")
    prepare_extracts(connection, DAY)
    [foreign] = [row for row in rows(connection, "U", "inspection_tasks") if row["uscc"] == "3"]
    assert (foreign["part"], foreign["platform_grade"], foreign["handling"]) == ("配合", None, None)
    [own] = [row for row in rows(connection, "V", "inspection_tasks") if row["uscc"] == "3"]
    assert (own["platform_grade"], own["handling"]) == ("E", "重点监管对象")


def test_refused_rows_go_to_who_sent_them(tmp_path: Path) -> None:
    """Prevents a unit from seeing another's rows or those of nobody, corrected ones again, and problems as codes."""
    connection = prepared(quarantine_dir=quarantine(tmp_path))
    whole, one = rows(connection, "U", "refused_rows")
    assert (whole["file"], whole["quarantine_id"], whole["row_number"], whole["rows_refused"]) == (
        "licences/U/d.xls", None, None, 2,
    )  # fmt: skip
    assert (one["quarantine_id"], one["feed"], one["row_number"]) == ("Q1", "行政处罚", 7)
    assert (
        "处罚日期“昨天”" in one["problems"]
        and "代码“1”" in one["problems"]
        and "uscc_length" not in one["problems"]
    )
    assert "〔2026〕1号" in one["row_as_sent"]
    assert [row["quarantine_id"] for row in rows(connection, "V", "refused_rows")] == ["Q3"]
    assert "乙局的行" not in everything(connection, "U")


def test_parties_to_review_show_own_candidates_only() -> None:
    """Prevents the queue from naming other units' enterprises, other units' parties, and persons."""
    connection = prepared()
    first, second, person = rows(connection, "U", "parties_to_review")
    assert (first["party_key"], first["candidate_uscc"], first["candidate_name"]) == ("P1", "1", "企业1")
    assert (second["candidate_uscc"], second["candidate_name"], second["why"]) == (
        None,
        "非本单位监管的企业",
        None,
    )
    assert (person["party_name"], person["candidate_name"]) == ("王**", "")
    assert first["reason"] == "同名企业不止一家" and first["codes_sent"] == "注册号 R9"


def test_changes_tell_added_removed_and_changed(tmp_path: Path) -> None:
    """Prevents units from keeping enterprises that are no longer theirs, and from missing a new grade."""
    state = tmp_path / "state"
    first = prepared(state_dir=state)
    assert rows(first, "U", "changes") == []
    keep_state(first, DAY, state)
    second = extract_warehouse()
    second.execute("delete from enterprises.enterprise_units where uscc = '2'")
    second.execute("insert into enterprises.enterprise_units values ('U', '3')")
    second.execute("update grading.enterprise_grades set platform_grade = 'D' where uscc = '1'")
    second.execute("update enterprises.enterprises set region = '411303' where uscc = '1'")
    prepare_extracts(second, DAY + timedelta(days=1), state_dir=state)
    found = {row["uscc"]: row for row in rows(second, "U", "changes")}
    assert {uscc: row["change"] for uscc, row in found.items()} == {"1": "变更", "2": "移除", "3": "新增"}
    assert (found["1"]["old_grade"], found["1"]["new_grade"]) == ("A", "D")
    assert found["1"]["what"].startswith("市平台信用风险等级；登记信息")
    assert (found["2"]["enterprise_name"], found["2"]["new_grade"], found["2"]["since"]) == (
        "企业2",
        None,
        DAY,
    )
    assert rows(second, "V", "changes") == []


def test_a_day_again_says_the_same(tmp_path: Path) -> None:
    """Prevents a second run of a day from comparing the day with itself, or from keeping another state."""
    state = tmp_path / "state"
    keep_state(prepared(DAY - timedelta(days=1), state_dir=state), DAY - timedelta(days=1), state)
    connection = extract_warehouse()
    connection.execute("update grading.enterprise_grades set platform_grade = 'D' where uscc = '1'")
    told, kept = [], []
    for _ in range(2):
        prepare_extracts(connection, DAY, state_dir=state)
        told.append(everything(connection, "U"))
        kept.append(keep_state(connection, DAY, state).read_bytes())
    assert told[0] == told[1] and kept[0] == kept[1] and "变更" in told[0]


def test_old_states_go(tmp_path: Path) -> None:
    """Prevents a folder that grows by the city's size every day; the newest days stay, readable by their owner only."""
    connection = prepared()
    for number in range(KEPT_STATES + 2):
        path = keep_state(connection, DAY + timedelta(days=number), tmp_path)
    assert len(list(tmp_path.iterdir())) == KEPT_STATES and path.stat().st_mode & 0o777 == 0o600


def test_a_removal_by_policy_names_nobody(tmp_path: Path) -> None:
    """Prevents the table of changes from naming an enterprise on the day it becomes secret."""
    keep_state(prepared(), DAY, tmp_path)
    connection = extract_warehouse()
    connection.execute(
        "insert into policy.excluded_enterprises values ('1', '涉密', 'x', '某', date '2026-01-01', date '9999-12-31')"
    )
    prepare_extracts(connection, DAY + timedelta(days=1), state_dir=tmp_path)
    [gone] = rows(connection, "U", "changes")
    assert (gone["change"], gone["uscc"], gone["enterprise_name"]) == ("移除", "1", None)


def test_options_of_a_unit_come_before_those_of_all() -> None:
    """Prevents a choice of one unit from reaching the others, or from being ignored."""
    options = read_options(extract_warehouse(), DAY)
    assert (options.of("U").xlsx, options.of("U").csv_encoding, options.of("U").inspector_grade) == (
        True,
        None,
        False,
    )
    assert options.of("V").csv_encoding == "gb18030"


def test_the_list_for_inspectors_shows_no_grade() -> None:
    """Prevents a grade from reaching inspectors unless policy says so."""
    views = unit_views()
    for words in ("platform_grade", "unit_grade", "主要影响因素", "监管措施"):
        assert words not in views["检查人员任务单"]
    assert "t.信用风险等级" in unit_views(shows_grade_to_inspectors=True)["检查人员任务单"]
    assert "t.信用风险等级" not in views["检查人员任务单"]


def test_a_mark_tells_its_unit_and_release(tmp_path: Path) -> None:
    """Prevents a leaked list of which nobody can say whose it was."""
    keys = KeyStore(tmp_path / "keys")
    mark = keys.watermark("411300MS", 3)
    assert len(mark) == 20 and mark != keys.watermark("411300EE", 3) != keys.watermark("411300EE", 2)
    [found] = trace(mark.upper(), {"411300MS": 5, "411300EE": 5}, keys.watermark)
    assert (found.unit_id, found.release_seq) == ("411300MS", 3)
    assert trace(mark[4:14], {"411300MS": 5, "411300EE": 5}, keys.watermark) == [found]
    assert trace(mark, {"411300MS": 2}, keys.watermark) == []
    with pytest.raises(BadInput, match="hexadecimal"):
        trace("abc", {"411300MS": 5}, keys.watermark)
