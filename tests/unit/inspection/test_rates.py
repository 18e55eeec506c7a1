"""Rates of the city from frames, draws and results, against what a hand reckons and against a true city."""

from __future__ import annotations

from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from results_support import DAY, FROZEN, PLAN, Record, Rounds, draw, result, warehouse

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.outcomes import rate_words, result_pictures
from credit_pipeline.inspection.outcomes.rates import make_hits, make_rates, read_table
from credit_pipeline.inspection.outcomes.results import load_windows, make_progress, windows_of_rounds


def frame(rows: list[tuple[str, str, str, str, str]]) -> pa.Table:
    names = ("unit_id", "item_code", "uscc", "platform_grade", "excluded_reason")
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def quotas(cells: dict[tuple[str, str, str], tuple[int, int]]) -> pa.Table:
    """(unit, item, grade) → (stratum size, quota)."""
    return pa.table(
        {
            "unit_id": [cell[0] for cell in cells], "item_code": [cell[1] for cell in cells],
            "platform_grade": [cell[2] for cell in cells], "stratum_size": [size for size, _ in cells.values()],
            "quota": [quota for _, quota in cells.values()],
        }
    )  # fmt: skip


def estimated(connection: duckdb.DuckDBPyConnection, rounds: Rounds) -> list[dict[str, Any]]:
    load_windows(connection, windows_of_rounds(rounds, DAY))  # type: ignore[arg-type]
    make_progress(connection, DAY)
    make_rates(connection, rounds, DAY)  # type: ignore[arg-type]
    return read_table(connection, "inspection.estimated_rates")


def one(rows: list[dict[str, Any]], kind: str, domain: str) -> dict[str, Any]:
    return next(row for row in rows if (row["domain_kind"], row["domain"]) == (kind, domain))


def two_grades() -> tuple[duckdb.DuckDBPyConnection, Rounds]:
    """U1: 100 of B with 10 drawn, 20 of E all drawn; half of E and 1 of B have a breach."""
    connection, rounds = warehouse(), Rounds()
    good, bad = [f"B{k:03}" for k in range(100)], [f"E{k:03}" for k in range(20)]
    rows = [("U1", "GENERAL", uscc, uscc[0], "") for uscc in (*good, *bad)]
    rows += [("U1", "GENERAL", "A000", "A", "grade_a_exempt")]
    rounds.tables = {
        (PLAN, 1, "frame"): frame(rows),
        (PLAN, 1, "quotas"): quotas(
            {
                ("U1", "GENERAL", "A"): (0, 0),
                ("U1", "GENERAL", "B"): (100, 10),
                ("U1", "GENERAL", "E"): (20, 20),
            }
        ),
    }
    for place, uscc in enumerate((*good[:10], *bad)):
        draw(connection, "U1", uscc, grade=uscc[0])
        has_breach = uscc == "B000" or (uscc[0] == "E" and place % 2)
        result(connection, f"{PLAN}-1-U1", uscc, "corrected" if has_breach else "no_problem")
    connection.executemany(
        "insert into enterprises.enterprises values (?, ?, '411302')",
        [(uscc, "C" if uscc[-1] in "01234" else "F") for uscc in (*good, *bad, "A000")],
    )
    return connection, rounds


def test_rates_by_hand() -> None:
    """Prevents the drawn enterprises' own rate (11 of 30) from standing for the city's: (10 + 10) / 120."""
    rows = estimated(*two_grades())
    total = one(rows, "all", "all")
    assert (total["population"], total["inspected"], total["breaches"]) == (120, 30, 11)
    assert total["rate"] == pytest.approx(20 / 120, abs=1e-6) and total["note"] == ""
    assert one(rows, "grade", "B")["rate"] == pytest.approx(0.1)
    exact = one(rows, "grade", "E")
    assert exact["rate"] == exact["low"] == exact["high"] == 0.5
    assert total["low"] < 20 / 120 < total["high"] < 0.5
    assert {(row["domain_kind"], row["domain"], row["domain_label"]) for row in rows} == {
        ("all", "all", "全部"), ("grade", "B", "B级"), ("grade", "E", "E级"), ("unit", "U1", "甲局"),
        ("county", "411302", "宛城区"), ("industry_section", "C", "制造业"), ("industry_section", "F", "F"),
    }  # fmt: skip


def test_hits_and_lift_by_hand() -> None:
    """Prevents a lift over the wrong draw: 11 of 30 against 20 of 120, and 36 more visits for the same 11 breaches."""
    connection, rounds = two_grades()
    estimated(connection, rounds)
    rows = make_hits(connection, rounds, DAY)  # type: ignore[arg-type]
    total = rows[0]
    assert total["grade"] == "all" and total["hit_rate"] == pytest.approx(11 / 30, abs=1e-6)
    assert total["lift"] == pytest.approx((11 / 30) / (20 / 120), abs=1e-5)
    assert total["inspections_saved"] == pytest.approx(11 * 6 - 30)
    by_grade = {row["grade"]: row for row in rows}
    assert by_grade["E"]["lift"] == pytest.approx(3, abs=1e-5) and by_grade["A"]["hit_rate"] is None
    assert [row["drawn"] for row in rows] == [30, 0, 10, 0, 0, 20]
    assert "+36 visits" in rate_words.hits_markdown(rows)
    assert result_pictures.hit_rates(rows).count("<rect") == 3


def test_no_unit_by_grade_and_no_enterprise_leaves() -> None:
    """Prevents cells from which somebody's grade can be read."""
    rows = estimated(*two_grades())
    assert all(row["domain"] not in {"B000", "A000"} for row in rows)
    assert {row["domain_kind"] for row in rows} == {"all", "grade", "industry_section", "county", "unit"}


def test_open_visits_are_no_clean_ones() -> None:
    """Prevents a round in its first week from looking like a city without breaches."""
    connection, rounds = two_grades()
    connection.execute(
        "delete from staging.stg_inspection_results where uscc > 'B005' and uscc not like '%3' and uscc not like '%4'"
    )
    rows = estimated(connection, rounds)
    assert one(rows, "grade", "E")["note"] == "too_few" and one(rows, "grade", "E")["rate"] is None
    connection.execute("delete from staging.stg_inspection_results where uscc like 'E%'")
    rows = estimated(connection, rounds)
    assert one(rows, "grade", "E")["note"] == "no_results"
    text = rate_words.rates_markdown(rows)
    assert "| grade | E E级 | 20 | 0 | 0 |  |  |  | no_results |" in text


def test_a_part_without_results_is_told() -> None:
    """Prevents a city-wide rate that speaks for units which have sent nothing."""
    connection, rounds = two_grades()
    connection.execute("delete from staging.stg_inspection_results where uscc like 'E%'")
    assert one(estimated(connection, rounds), "all", "all")["note"] == "partly_covered"


def test_nobody_drawn_gives_empty_tables() -> None:
    """Prevents a first day on which the asset fails."""
    connection, rounds = warehouse(), Rounds(found=[])
    assert estimated(connection, rounds) == [] and make_hits(connection, rounds, DAY) == []  # type: ignore[arg-type]
    assert rate_words.rates_markdown([]) == rate_words.hits_markdown([]) == "No round has been drawn yet."
    assert result_pictures.rates([], "t", "n").startswith("<svg") and result_pictures.hit_rates(
        []
    ).startswith("<svg")


def test_another_frame_is_refused() -> None:
    """Prevents rates from a frame that is not the draw's: more results in a cell than enterprises is impossible."""
    connection, rounds = two_grades()
    rounds.tables[PLAN, 1, "quotas"] = quotas({("U1", "GENERAL", "B"): (100, 200)})
    with pytest.raises(BadInput, match="inspections of 2026"):
        estimated(connection, rounds)


def test_a_second_round_gives_the_drawn_their_second_chance_too() -> None:
    """Prevents a pi without the second round for those the first one drew: 1 - (1 - 0.2)(1 - 0.25) = 0.4 for all."""
    connection, rounds = warehouse(), Rounds()
    later = date(2026, 5, 6)
    rounds.found = [Record(), Record(round=2, frozen_date=later)]
    everybody = [f"C{k:03}" for k in range(40)]
    first, second = everybody[:8], everybody[8:16]
    rounds.tables = {
        (PLAN, 1, "frame"): frame([("U1", "GENERAL", uscc, "C", "") for uscc in everybody]),
        (PLAN, 1, "quotas"): quotas({("U1", "GENERAL", "C"): (40, 8)}),
        (PLAN, 2, "frame"): frame(
            [("U1", "GENERAL", uscc, "C", f"drawn:{PLAN}/1" if uscc in first else "") for uscc in everybody]
        ),
        (PLAN, 2, "quotas"): quotas({("U1", "GENERAL", "C"): (32, 8)}),
    }
    for number, (drawn, frozen) in enumerate(((first, FROZEN), (second, later)), start=1):
        for uscc in drawn:
            draw(connection, "U1", uscc, round=number, frozen=frozen)
            codes = "corrected" if uscc in ("C000", "C008", "C009", "C010") else "no_problem"
            result(connection, f"{PLAN}-{number}-U1", uscc, codes, checked=date(2026, 5, 20))
    connection.execute(
        "insert into policy.inspection_policy values ('estimate_years', '1', date '2015-01-01', date '9999-12-31')"
    )
    rows = estimated(connection, rounds)
    assert one(rows, "all", "all")["rate"] == pytest.approx(4 / 16)
    found = connection.execute("select distinct round(pi, 9) from year_objects").fetchall()
    assert found == [(0.4,)]
    assert connection.execute("select count(*) from year_cells").fetchall() == [(1,)]


def test_the_truth_of_a_city_lies_in_its_interval() -> None:
    """Prevents tables that lose cells, weights or domains between frame and rate: two items, four units, five grades,
    fifteen draws of the same city; the interval of the whole city holds the truth in nearly all."""
    random = np.random.default_rng(3)
    names = np.array([f"X{k:05}" for k in range(3000)])
    unit = random.integers(0, 4, 3000)
    grade = random.choice(list("ABCDE"), 3000, p=[0.2, 0.5, 0.2, 0.07, 0.03])
    safety = random.random(3000) < 0.3
    breach = random.random(3000) < np.array([0.01, 0.03, 0.08, 0.2, 0.4])[["ABCDE".index(g) for g in grade]]
    may = (grade != "A") | safety
    ratio = {"A": 0.03, "B": 0.05, "C": 0.2, "D": 0.5, "E": 1.0}
    held, lifts = 0, []
    for _ in range(15):
        connection, rounds = warehouse(), Rounds()
        ticket = random.random(3000)
        rows, cells, drawn = [], {}, {}
        for item, wanted in (("GENERAL", grade != "A"), ("SAFETY", safety)):
            for u in range(4):
                for g in "ABCDE":
                    inside = np.flatnonzero((unit == u) & (grade == g) & wanted)
                    take = int(np.ceil(len(inside) * ratio[g]))
                    cells[f"U{u}", item, g] = (len(inside), take)
                    rows += [(f"U{u}", item, str(names[k]), g, "") for k in inside]
                    for k in inside[np.argsort(ticket[inside])][:take]:
                        drawn.setdefault(int(k), []).append(item)
        rounds.tables = {(PLAN, 1, "frame"): frame(rows), (PLAN, 1, "quotas"): quotas(cells)}
        connection.register(
            "given",
            pa.table(
                {
                    "unit_id": [f"U{unit[k]}" for k, items in drawn.items() for _ in items],
                    "item_code": [item for items in drawn.values() for item in items],
                    "uscc": [str(names[k]) for k, items in drawn.items() for _ in items],
                    "grade": [str(grade[k]) for k, items in drawn.items() for _ in items],
                    "breach": [bool(breach[k]) for k, items in drawn.items() for _ in items],
                }
            ),
        )
        connection.execute(
            f"""
            insert into inspection.inspection_draws
            select '{PLAN}', 1, date '{FROZEN}', unit_id, item_code, uscc, grade, 1, 1, 1, '', false, '' from given;
            insert into staging.stg_inspection_results
            select distinct '{PLAN}-1-' || unit_id, null, null, uscc, date '2026-04-20', unit_id, 'random',
                case when breach then 'corrected' else 'no_problem' end, null::date, null::date, null::date, date '2026-04-21',
                null::date, null::date
            from given
            """
        )
        total = one(estimated(connection, rounds), "all", "all")
        held += total["low"] <= breach[may].mean() <= total["high"]
        lifts.append(make_hits(connection, rounds, DAY)[0]["lift"])  # type: ignore[arg-type]
        assert total["population"] == may.sum()
    assert held >= 13
    drawn_rate = sum(ratio[g] * breach[grade == g].sum() for g in "BCDE") / sum(
        ratio[g] * (grade == g).sum() for g in "BCDE"
    )
    assert np.mean(lifts) == pytest.approx(drawn_rate / breach[may].mean(), rel=0.12)
