"""A year of rounds over random plans, frames and policies: what quotas, caps and exemptions promise, checked from outside."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction
from hashlib import sha256
from typing import Any

import pytest
from frame_support import Office, kept_models
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

UNITS = ("U1", "U2", "U3")
GRADES = "ABCDE"
ITEMS = {
    "GENERAL": {"item_kind": "general", "is_safety_related": False, "safety_tag": None},
    "SAFETY": {"item_kind": "key", "is_safety_related": True, "safety_tag": "any"},
    "FIRE": {"item_kind": "key", "is_safety_related": True, "safety_tag": "fire"},
    "TRADE": {"item_kind": "general", "is_safety_related": False, "industry_sections": "F|G"},
}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("compiled")
    kept = pytestconfig.cache.mkdir("inspection_models") if pytestconfig.cache else folder
    return kept_models(kept, folder)


@st.composite
def cities(draw: Any) -> dict[str, Any]:
    """Enterprises, their units, the ratios (rising), caps, one to three plans, campaigns, and what happens in the year."""
    size = draw(st.integers(5, 28))
    enterprises = [
        {
            "uscc": f"9{number:017}",
            "is_active": draw(st.sampled_from([True] * 9 + [False])),
            "is_gradable_kind": draw(st.sampled_from([True] * 9 + [False])),
            "region": draw(st.sampled_from(["411302", "411303", "411321"])),
            "township": None,
            "industry_section": draw(st.sampled_from("CFG")),
            "industry_code": draw(st.sampled_from(["1311", "5121", None])),
            "safety_tags": draw(st.sampled_from(["", "fire", "fire|food", "food"])),
        }
        for number in range(size)
    ]
    for one in enterprises:
        one["is_safety_related"] = one["safety_tags"] != ""
    rising = [
        sorted(draw(st.lists(st.integers(low, high), min_size=4, max_size=4)))
        for low, high in ((0, 10_000), (0, 2), (0, 3))
    ]
    ratios = [{"grade": "A", "is_safety_related": False, "ratio_bp": 0, "min_visits": 0, "max_visits": 0}]
    a_safe = {"ratio_bp": draw(st.integers(0, rising[0][0])), "min_visits": 0, "max_visits": 1}
    ratios.append({"grade": "A", "is_safety_related": True} | a_safe)
    for place, grade in enumerate("BCDE"):
        least = rising[1][place]
        row = {
            "ratio_bp": rising[0][place],
            "min_visits": least,
            "max_visits": max(least, 1) + rising[2][place],
        }
        ratios += [{"grade": grade, "is_safety_related": safe} | row for safe in (False, True)]
    templates = draw(
        st.lists(st.sampled_from(["general", "joint", "directed"]), min_size=1, max_size=3, unique=True)
    )
    shapes = {
        "general": {"initiator": "*", "item_codes": "GENERAL|SAFETY"},
        "joint": {"initiator": "U1", "cooperating_units": "U2|U3", "item_codes": draw(st.sampled_from(["FIRE|TRADE", "GENERAL|FIRE"]))},
        "directed": {
            "direction": "directed", "initiator": "*", "item_codes": "TRADE", "region_prefix": "41130",
            "industry_prefixes": draw(st.sampled_from([None, "F|C13"])), "safety_tag": draw(st.sampled_from([None, "food"])),
        },
    }  # fmt: skip
    return {
        "enterprises": enterprises,
        "grades": [draw(st.sampled_from(GRADES)) for _ in enterprises],
        "units": [draw(st.sets(st.sampled_from(UNITS), min_size=1)) for _ in enterprises],
        "ratios": ratios,
        "rounding": draw(st.sampled_from(["ceil", "ceil", "half_up", "floor"])),
        "floor": draw(st.sampled_from([0, 100, 700])),
        "city_cap": draw(st.integers(0, 4)),
        "plans": [
            {
                "plan_template": name, "title": name, "direction": "undirected", "cooperating_units": None,
                "rounds_per_year": draw(st.sampled_from([1, 2, 4])), "first_due_month": draw(st.integers(1, 3)),
                "first_due_day": 1, "window_days": draw(st.integers(30, 365)), "parties": "credit_office",
                "entropy_source": "NONE", "entropy_lag_days": 0,
            } | shapes[name]
            for name in templates
        ],
        "campaign": draw(st.sampled_from([None, None, {"item_code": "GENERAL", "grades": "A|B|C"}, {"item_code": "FIRE", "grades": "A|C"}])),
        "luck": draw(st.integers(0, 2**32)),
    }  # fmt: skip


def _office(models: dict[str, str], city: dict[str, Any]) -> Office:
    office = Office(models)
    office.add("policy.units", [{"unit_id": unit} for unit in UNITS])
    parameters = {"exploration_floor_bp": city["floor"], "enterprise_visits_per_year": city["city_cap"]}
    office.add(
        "policy.inspection_policy",
        [{"parameter": name, "value": value} for name, value in parameters.items()],
    )
    office.add(
        "policy.inspection_item_groups",
        [{"item_code": code, "item_name": code} | item for code, item in ITEMS.items()],
    )
    everywhere = {"unit_id": "*", "item_code": "*", "rounding": city["rounding"], "basis": "test"}
    office.add("policy.inspection_ratios", [everywhere | row for row in city["ratios"]])
    office.add("policy.inspection_plans", city["plans"])
    office.add("enterprises.enterprises", city["enterprises"])
    for one, units in zip(city["enterprises"], city["units"], strict=True):
        office.add(
            "enterprises.enterprise_units", [{"unit_id": unit, "uscc": one["uscc"]} for unit in sorted(units)]
        )
    if city["campaign"]:
        span = {"starts_on": date(2026, 4, 1), "ends_on": date(2026, 8, 31)}
        office.add(
            "policy.campaigns",
            [{"campaign_id": "Z1", "title": "Z1", "unit_id": "U1"} | span | city["campaign"]],
        )
    return office


def _regrade(office: Office, city: dict[str, Any], shift: int) -> dict[str, str]:
    """The grades of the day: every seventh enterprise moves by one."""
    grades = {}
    for number, (one, grade) in enumerate(zip(city["enterprises"], city["grades"], strict=True)):
        moved = (GRADES.index(grade) + shift) % 5 if number % 7 == city["luck"] % 7 else GRADES.index(grade)
        grades[one["uscc"]] = GRADES[moved]
    office.db.execute("delete from grading.enterprise_grades")
    graded = {one["uscc"] for one in city["enterprises"] if one["is_active"] and one["is_gradable_kind"]}
    rows = [{"uscc": uscc, "platform_grade": grade} for uscc, grade in grades.items() if uscc in graded]
    office.add("grading.enterprise_grades", rows)
    return grades


def _in_scope(plan: dict[str, Any], item: str, one: dict[str, Any]) -> bool:
    """The scope of a plan and an item, written a second time."""
    industry = one["industry_section"] + (one["industry_code"] or "")
    prefixes = (plan.get("industry_prefixes") or "").split("|")
    tags = set(one["safety_tags"].split("|")) - {""}
    wanted = [plan.get("safety_tag"), ITEMS[item].get("safety_tag")]
    sections = str(ITEMS[item].get("industry_sections") or "")
    return (
        one["region"].startswith(plan.get("region_prefix") or "")
        and (prefixes == [""] or any(industry.startswith(prefix) for prefix in prefixes))
        and all(not tag or (tags if tag == "any" else tag in tags) for tag in wanted)
        and (not sections or one["industry_section"] in sections)
    )


def _rounded(value: Fraction, rounding: str) -> int:
    shift = {
        "ceil": Fraction(value.denominator - 1, value.denominator),
        "half_up": Fraction(1, 2),
        "floor": Fraction(0),
    }
    return (value + shift[rounding]).__floor__()


@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(city=cities())
def test_a_year_of_rounds_keeps_every_promise(models: dict[str, str], city: dict[str, Any]) -> None:
    """Prevents quotas below the ratio or above the stratum, a broken cap, an A without safety drawn, B in a campaign, a lost enterprise."""
    office = _office(models, city)
    plans = {f"P2026{plan['plan_template'].upper()}": plan for plan in city["plans"]}
    waiting: list[tuple[str, int]] = []
    visits: list[dict[str, Any]] = []
    for step, day in enumerate((date(2026, 3, 5), date(2026, 5, 5), date(2026, 8, 5), date(2026, 11, 5))):
        _regrade(office, city, step)
        office.build(day)
        live = office.live_rounds()
        _check_frame(office, city, plans, live)
        _check_quotas(office, city, live)
        assert (
            office.rows(
                """select * from inspection.campaign_targets where excluded_reason = ''
            and (platform_grade = 'B' or (platform_grade = 'A' and not is_safety_related))"""
            )
            == []
        )
        before = office.rows("select * from inspection.inspection_frame order by all")
        for plan_id, round_ in live:
            office.freeze(plan_id, round_)
        office.build(day)
        assert office.rows("select * from inspection.inspection_frame order by all") == before, (
            "freezing changes no row"
        )
        # Every third round waits for its entropy until the next step.
        late = {one for number, one in enumerate(live) if (number + step + city["luck"]) % 3 == 0}
        for plan_id, round_ in sorted(set(waiting) | (set(live) - late)):
            seed = sha256(f"{city['luck']}{plan_id}{round_}".encode()).hexdigest()
            drawn = office.draw(plan_id, round_, seed, day)
            visits += [row | {"plan_id": plan_id, "round": round_} for row in drawn]
            for number, row in enumerate(drawn):
                if number % 2 == 0:
                    found = {
                        "unit_id": row["unit_id"],
                        "uscc": row["uscc"],
                        "task_no": f"{plan_id}-{round_}-{number}",
                        "plan_no": plan_id,
                    }
                    done = day + timedelta(days=20)
                    office.add(
                        "staging.stg_inspection_results",
                        [found | {"origin": "random", "check_date": done, "known_from": done}],
                    )
        waiting = sorted(late)
    _check_caps(city, visits)


def _check_frame(
    office: Office, city: dict[str, Any], plans: dict[str, Any], live: list[tuple[str, int]]
) -> None:
    """Every object of every unit in scope stands in the frame once, whatever became of it; the rest is counted."""
    for plan_id, round_ in live:
        plan = plans[plan_id]
        wanted = {
            (unit, item, one["uscc"])
            for one, units in zip(city["enterprises"], city["units"], strict=True)
            for unit in units
            for item in plan["item_codes"].split("|")
            if plan["initiator"] in ("*", unit) and _in_scope(plan, item, one)
        }
        rows = office.rows(
            "select * from inspection.inspection_frame where plan_id = ? and round = ?", plan_id, round_
        )
        assert sorted((row["unit_id"], row["item_code"], row["uscc"]) for row in rows) == sorted(wanted)
        for row in rows:
            if row["platform_grade"] == "A" and not (
                row["is_safety_related"] and ITEMS[row["item_code"]]["is_safety_related"]
            ):
                assert row["excluded_reason"] != ""
    assert (
        office.rows(
            "select * from inspection.frame_reconciliation where unaccounted <> 0 or lost_objects > 0 or previous_objects + new_objects - moved_objects <> objects"
        )
        == []
    )


def _check_quotas(office: Office, city: dict[str, Any], live: list[tuple[str, int]]) -> None:
    ratios: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for row in office.rows(
        "select * from inspection.inspection_quotas order by plan_id, round, unit_id, item_code, platform_grade"
    ):
        if (row["plan_id"], row["round"]) not in live:
            continue
        objects = row["stratum_size"] + row["drawn_before"]
        due = Fraction(objects * row["ratio_bp"] * row["rounds_due"], 10_000 * row["rounds_per_year"])
        after = row["drawn_before"] + row["quota"]
        assert row["target"] == _rounded(due, city["rounding"])
        assert 0 <= row["quota"] <= row["stratum_size"]
        assert after >= row["target"] or row["quota"] == row["stratum_size"]
        assert row["quota"] == 0 or after == row["target"] or row["quota"] == row["stratum_size"]
        if city["rounding"] == "ceil" and row["ratio_bp"] and row["stratum_size"]:
            assert (after >= 1 and after >= due) or row["quota"] == row["stratum_size"]
        law = ITEMS[row["item_code"]]["is_safety_related"] or row["platform_grade"] != "A"
        given_bp = next(
            one["ratio_bp"] for one in city["ratios"]
            if (one["grade"], one["is_safety_related"]) == (row["platform_grade"], ITEMS[row["item_code"]]["is_safety_related"])
        )  # fmt: skip
        assert row["ratio_bp"] == (max(given_bp, city["floor"]) if law else 0)
        ratios[row["plan_id"], row["unit_id"], row["item_code"]].append(row["ratio_bp"])
    assert all(len(cell) == 5 and cell == sorted(cell) for cell in ratios.values()), (
        "strictness rises with the grade"
    )


def _check_caps(city: dict[str, Any], visits: list[dict[str, Any]]) -> None:
    """Planned visits of the year, counted from the draws alone."""
    of_unit: dict[tuple[str, str], dict[tuple[str, int], int]] = defaultdict(dict)
    allowed: dict[tuple[str, str], int] = defaultdict(int)
    of_city: dict[str, dict[tuple[str, int], int]] = defaultdict(dict)
    drawn_items = set()
    for row in visits:
        pair, opened = (row["unit_id"], row["uscc"]), (row["plan_id"], row["round"])
        assert 1 <= row["visits_planned"] <= row["max_visits"]
        assert row["platform_grade"] != "A" or (
            row["is_safety_related"] and ITEMS[row["item_code"]]["is_safety_related"]
        )
        key = (*pair, row["item_code"], row["plan_id"])
        assert key not in drawn_items, "nobody is drawn twice in a year for an item of a plan"
        drawn_items.add(key)
        of_unit[pair][opened] = max(of_unit[pair].get(opened, 0), row["visits_planned"])
        allowed[pair] = max(allowed[pair], row["max_visits"])
        if ITEMS[row["item_code"]]["item_kind"] == "general" or row["min_visits"] == 0:
            of_city[row["uscc"]][opened] = max(
                of_city[row["uscc"]].get(opened, 0),
                row["visits_planned"] if ITEMS[row["item_code"]]["item_kind"] == "general" else 1,
            )
    for pair, rounds in of_unit.items():
        assert sum(rounds.values()) <= allowed[pair], pair
    if city["city_cap"]:
        for uscc, rounds in of_city.items():
            assert sum(rounds.values()) <= city["city_cap"], uscc
