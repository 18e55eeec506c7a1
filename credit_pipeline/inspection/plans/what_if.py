"""What people read of a simulation: capacity by unit, proposed ratios beside today's and a blind draw, the daily table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from credit_pipeline.inspection.plans.plan_pictures import findings_over_visits
from credit_pipeline.inspection.plans.simulation import (
    FACTORS_BP,
    GRADES,
    SCALED,
    Load,
    Outcome,
    Workbench,
    fitting_factor_bp,
    loads,
    proposed,
    scaled,
    simulate,
    uniform,
)

CURVE_BP = (0, 2500, 5000, 7500, 10000, 12500, 15000, 17500, 20000)


@dataclass(frozen=True)
class Part:
    """A table for people."""

    title: str
    words: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


@dataclass(frozen=True)
class WhatIf:
    """Proposed ratios beside today's, each beside a draw blind to grades with as many visits."""

    bench: Workbench
    ratios: Mapping[str, int]
    rounds: int | None
    today: Outcome
    today_blind: Outcome
    proposal: Outcome
    proposal_blind: Outcome
    svg: str

    def _columns(self) -> list[tuple[str, Outcome]]:
        return [
            ("today", self.today),
            ("today, blind", self.today_blind),
            ("proposed", self.proposal),
            ("proposed, blind", self.proposal_blind),
        ]

    def to_json(self) -> dict[str, Any]:
        """As one JSON object; numbers rounded to thousandths, so that machines do not differ in the last digit."""
        before, after = loads(self.bench, self.today.visits), loads(self.bench, self.proposal.visits)
        return {
            "as_of_date": self.bench.as_of_date,
            "ratios_bp": dict(sorted(self.ratios.items())),
            "rounds": self.rounds,
            "enterprises": self.bench.enterprises,
            "expected_breaches": round(self.bench.breaches, 3),
            "outcomes": {
                name.replace(", ", "_"): _facts(self.bench, found) for name, found in self._columns()
            },
            "units": [
                {"unit_id": old.unit_id, "today": _load(old), "proposed": _load(new)}
                for old, new in zip(before, after, strict=True)
            ],
        }

    def tables(self) -> list[Part]:
        """As tables for people."""
        facts = [_facts(self.bench, found) for _, found in self._columns()]
        rows: list[tuple[Any, ...]] = [
            (title, *(_cell(fact[name]) for fact in facts))
            for name, title in (
                ("visits", "visits in a year"), ("inspector_days", "inspector-days"),
                ("expected_findings", "expected findings"), ("findings_per_100_visits", "findings per 100 visits"),
                ("expected_findings_by_rates", "findings by estimated rates"),
                ("enterprises_inspected_percent", "% of enterprises inspected"),
                ("breaches_reached_percent", "% of expected breaches reached"),
            )
        ]  # fmt: skip
        if self.rounds is not None:
            now = sum(
                number / self.bench.plans[visit[0]].rounds_per_year
                for visit, number in self.today.visits.items()
            )
            rows.insert(
                1, ("visits in a round", round(now, 1), "", round(self.proposal.total / self.rounds, 1), "")
            )
        names = [name for name, _ in self._columns()]
        return [
            Part(
                f"What other ratios would do, as of {self.bench.as_of_date}",
                "Expected breaches: calibrated probabilities of the next twelve months. Blind: as many visits, drawn without "
                "looking at grades.",
                ("", *names), rows,
            ),
            Part(
                "Enterprises drawn in a year, by grade (counts are internal)", "", ("grade", *names),
                [
                    (grade, *(round(found.visits_by_grade.get(grade, 0.0), 1) for _, found in self._columns()))
                    for grade in GRADES
                ],
            ),
            Part(
                "Inspector-days by unit", "Over: days beyond the unit's inspectors (or leaders); empty: it fits.",
                ("unit", "visits today", "proposed", "days today", "proposed", "days there", "over"),
                [
                    (
                        old.unit_id, round(old.visits, 1), round(new.visits, 1), round(old.inspector_days, 1),
                        round(new.inspector_days, 1), new.capacity_days, round(new.over_days, 1) if new.over_days else "",
                    )
                    for old, new in zip(
                        loads(self.bench, self.today.visits), loads(self.bench, self.proposal.visits), strict=True
                    )
                ],
            ),
        ]  # fmt: skip


def _cell(value: Any) -> Any:
    return "not known" if value is None else value


def _facts(bench: Workbench, found: Outcome) -> dict[str, Any]:
    days = sum(load.inspector_days for load in loads(bench, found.visits))
    return {
        "visits": round(found.total, 3),
        "inspector_days": round(days, 3),
        "expected_findings": round(found.findings, 3),
        "findings_per_100_visits": round(100 * found.findings / found.total, 3) if found.total else 0.0,
        "expected_findings_by_rates": None
        if found.findings_by_rates is None
        else round(found.findings_by_rates, 3),
        "enterprises_inspected_percent": _share(found.inspected, bench.enterprises),
        "breaches_reached_percent": _share(found.breaches_reached, bench.breaches),
        "visits_by_grade": {grade: round(found.visits_by_grade.get(grade, 0.0), 3) for grade in GRADES},
    }


def _share(part: float, whole: float) -> float:
    return round(100 * part / whole, 3) if whole else 0.0


def _load(load: Load) -> dict[str, Any]:
    return {
        "visits": round(load.visits, 3),
        "inspector_days": round(load.inspector_days, 3),
        "capacity_days": load.capacity_days,
        "over_days": round(load.over_days, 3),
    }


def what_if(
    bench: Workbench,
    ratios_bp: Mapping[str, int],
    *,
    unit: str | None = None,
    item: str | None = None,
    plan: str | None = None,
    rounds: int | None = None,
) -> WhatIf:
    """Simulate other ratios.

    Raises:
        BadInput: law or the policy's rules forbid them (see `simulation.proposed`).
    """
    now = simulate(bench, bench.today())
    then = simulate(bench, proposed(bench, ratios_bp, unit=unit, item=item, plan=plan))
    blind_now, blind_then = uniform(bench, now), uniform(bench, then)
    svg = findings_over_visits(curve(bench), now, blind_now, then)
    return WhatIf(bench, ratios_bp, rounds, now, blind_now, then, blind_then, svg)


def curve(bench: Workbench) -> list[Outcome]:
    """Outcomes with today's C to E times 0 … 2."""
    return [simulate(bench, scaled(bench, factor)) for factor in CURVE_BP]


def capacity_rows(bench: Workbench) -> list[dict[str, Any]]:
    """Every unit's visits, days and means, and for who is over capacity the ratios that would fit."""
    found = []
    for load in loads(bench, simulate(bench, bench.today()).visits):
        means = bench.means.get(load.unit_id)
        found.append(
            {
                "unit_id": load.unit_id,
                "visits": round(load.visits, 3),
                "inspector_days": round(load.inspector_days, 3),
                "inspectors": means.inspectors if means else 0,
                "leaders": means.leaders if means else 0,
                "capacity_days": load.capacity_days,
                "over_days": round(load.over_days, 3),
                "would_fit": _would_fit(bench, load.unit_id) if load.over_days else "",
            }
        )
    return found


def _would_fit(bench: Workbench, unit: str) -> str:
    factor = fitting_factor_bp(bench, unit)
    if factor is None:
        return "not even at B's ratio"
    ratios = scaled(bench, factor)
    drawing = {visit for visit in bench.bundles if unit in bench.plans[visit[0]].team(visit[1])}
    words = [f"× {factor / 10000:.2f}:"]
    for grade in SCALED:
        held = sorted({bp for place, bp in ratios.items() if place[:2] in drawing and place[3] == grade})
        if held:
            words.append(
                f"{grade} " + "–".join(f"{bp / 100:g}" for bp in dict.fromkeys((held[0], held[-1]))) + " %"
            )
    return " ".join(words)


def what_if_rows(bench: Workbench, factors_bp: Sequence[int] = FACTORS_BP) -> list[tuple[Any, ...]]:
    """Rows of `inspection.plan_what_if`: one per scale of C to E and unit, in the order of its columns."""
    rows: list[tuple[Any, ...]] = []
    for factor in factors_bp:
        found = simulate(bench, scaled(bench, factor))
        findings = loads(bench, found.findings_by_visit)
        for load, hits in zip(loads(bench, found.visits), findings, strict=True):
            rows.append(
                (
                    factor, load.unit_id, round(load.visits, 3), round(load.inspector_days, 3), load.capacity_days,
                    round(load.over_days, 3), round(hits.visits, 3),
                )
            )  # fmt: skip
    return rows


def workload_markdown(rows: Sequence[Mapping[str, Any]], shown: int = 60) -> str:
    """Capacity by unit as a Markdown table, the most loaded first."""
    lines = [
        "| unit | visits | inspector-days | days there | over by | C to E would fit at |",
        "|---|---|---|---|---|---|",
    ]
    ordered = sorted(rows, key=lambda row: (-row["over_days"], -row["inspector_days"], row["unit_id"]))
    lines += [
        f"| {row['unit_id']} | {row['visits']:,.0f} | {row['inspector_days']:,.0f} | {row['capacity_days']:,} | "
        f"{row['over_days']:,.0f} | {row['would_fit']} |"
        for row in ordered[:shown]
    ]
    return "\n".join(lines)
