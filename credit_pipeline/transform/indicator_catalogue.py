"""What the catalogue of indicators (`seeds/policy/indicators.csv`) says, written out so that nothing can drift from it.

`python -m credit_pipeline.transform.indicator_catalogue` writes the macro with the names of the indicators, the
descriptions and tests of their tables' columns, and the page `docs/indicators.md`; a test fails when they are stale.
Here: reading the catalogue, the macro, the page. Not here: the tables' descriptions (indicator_tables.py); how an
indicator is computed (SQL, once each, in the evidence views).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import DBT_PROJECT_DIR

CATALOGUE_PATH = DBT_PROJECT_DIR / "seeds" / "policy" / "indicators.csv"
DOCS_PATH = DBT_PROJECT_DIR.parent / "docs" / "indicators.md"
RANGES = {"level": (1, 5), "months": (0, None), "count": (0, None), "points": (0, None), "fen": (0, None)}
SIGNED = {"profit_margin_bp": (-10_000, 10_000), "revenue_change_bp": (-10_000, 10_000)}
SHARES = ("_share_bp", "risky_", "related_", "inspection_problem_bp", "tax_to_revenue_bp", "_drop_bp")


@dataclass(frozen=True)
class Indicator:
    """One row of the catalogue."""

    name: str
    label: str
    definition: str
    group_label: str
    second_level: str
    information_kind: str
    unit: str
    direction: int
    window_months: int | None
    effect_rule: str
    missing_rule: str
    must_report: bool
    source_feeds: tuple[str, ...]
    standardization: str
    cap: int | None
    is_safety_relevant: bool
    in_model: bool

    @property
    def feed(self) -> str:
        """The feed whose table has it."""
        return self.source_feeds[0]

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The least and the greatest value there can be."""
        if self.name in SIGNED:
            return SIGNED[self.name]
        if self.name == "public_evaluation_drop":
            return 0, 4
        if self.unit == "basis points":
            is_share = any(part in self.name for part in SHARES)
            return 0, 10_000 if is_share else None
        return RANGES[self.unit]


def load_indicators(path: Path = CATALOGUE_PATH) -> list[Indicator]:
    """The indicators in the order of the catalogue: the latest row of each.

    Raises:
        BadInput: a value is none of those allowed; the message names the indicator and the column.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = {row["indicator"]: row for row in csv.DictReader(file)}
    return [_indicator(row) for row in rows.values()]


def _indicator(row: dict[str, str]) -> Indicator:
    allowed = {
        "direction": {"1", "-1"},
        "missing_rule": {"never", "zero", "null"},
        "must_report": {"true", "false"},
        "standardization": {"peers", "cap"},
        "is_safety_relevant": {"true", "false"},
        "in_model": {"true", "false"},
        "unit": {*RANGES, "basis points"},
    }
    for column, values in allowed.items():
        if row[column] not in values:
            raise BadInput(
                f"indicators.csv: {row['indicator']} has {column} {row[column]!r}; remedy: one of {', '.join(sorted(values))}"
            )
    if (row["standardization"] == "cap") != bool(row["cap"]):
        raise BadInput(
            f"indicators.csv: {row['indicator']} needs a cap if it is counted against one, else none"
        )
    return Indicator(
        name=row["indicator"],
        label=row["label"],
        definition=row["definition"],
        group_label=row["group_label"],
        second_level=row["second_level"],
        information_kind=row["information_kind"],
        unit=row["unit"],
        direction=int(row["direction"]),
        window_months=int(row["window_months"]) if row["window_months"] else None,
        effect_rule=row["effect_rule"],
        missing_rule=row["missing_rule"],
        must_report=row["must_report"] == "true",
        source_feeds=tuple(row["source_feeds"].split("|")),
        standardization=row["standardization"],
        cap=int(row["cap"]) if row["cap"] else None,
        is_safety_relevant=row["is_safety_relevant"] == "true",
        in_model=row["in_model"] == "true",
    )


def by_feed(indicators: Iterable[Indicator]) -> dict[str, list[Indicator]]:
    """The indicators of each feed's table, in the order of the catalogue."""
    found: dict[str, list[Indicator]] = {}
    for indicator in indicators:
        found.setdefault(indicator.feed, []).append(indicator)
    return found


def indicators_macro(indicators: Sequence[Indicator]) -> str:
    """The macro file: of every indicator in order its name, feed, standardization and missing rule."""
    rows = [[i.name, i.feed, i.standardization, i.missing_rule] for i in indicators]
    return (
        "{# Written from seeds/policy/indicators.csv by `python -m credit_pipeline.transform.indicator_catalogue`; edit the\n"
        "   catalogue, not this file. Of every indicator, in the order of their columns: name, feed, standardization, missing\n"
        "   rule; the lists of them are in indicator_lists.sql. #}\n"
        f"{{% macro indicator_facts() %}} {{{{ return({json.dumps(rows)}) }}}} {{% endmacro %}}\n"
    )


DOCS_HEAD = """# Indicators

Written from the catalogue (`dbt_project/seeds/policy/indicators.csv`) by
`python -m credit_pipeline.transform.indicator_catalogue`; edit the catalogue, not this page.

{count} indicators over the five groups of the general indicator system and all kinds of information of the notice.
Each is computed once, in the evidence view of its feed (`dbt_project/models/indicators/evidence_<feed>.sql`), which shows
what every record contributes; the table `ind_<feed>` adds the view up.

- **As of a day** only records count that were known and in effect then. A repaired, withdrawn or no-penalty record weighs
  nothing anywhere from the day that was known; nothing negative counts beyond 36 months, but for what still stands
  (a current listing).
- **Direction** is decided by people: + more of it means more risk, − less. Where both extremes mean something, the measure
  is split in two parts with a direction each. Every indicator has one direction, and models must keep it.
- **Missing**: *never* – it is always there; *zero* – no record means 0 once the feed has delivered anything, before that it is
  missing; *null* – what cannot be known stays missing. An enterprise that had to report may not gain by keeping silent
  (*must report*).
- **Standardized** to 0–1. *cap n*: x / n, at most 1: a penalty is a penalty in every industry. *peers*: winsorized to the 5th
  and 95th percentile of the peers and scaled between them; peers are the enterprises of the same industry section and size
  class with a value, of the section if they are fewer than `peer_minimum`, else all. Missing stays missing.
- **Relations** are taken over two steps at most; persons, holders, addresses with more than `related_person_limit`
  enterprises say nothing, and no second step passes an enterprise with more than `related_hop_limit` relations. Shares are
  capped, and no veto is inherited.
- An indicator that is *not in the model* is there for units' own systems.
"""


def indicators_markdown(indicators: Sequence[Indicator]) -> str:
    """The page `docs/indicators.md`: one table per group."""
    parts = [DOCS_HEAD.format(count=len(indicators))]
    for group in dict.fromkeys(i.group_label for i in indicators):
        parts += [
            f"\n## {group}\n",
            "| indicator | label | second level | definition | unit | direction | window | effect | missing | standardized | feeds | notes |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|",
            *(_row(i) for i in indicators if i.group_label == group),
        ]
    return "\n".join(parts) + "\n"


def _row(indicator: Indicator) -> str:
    notes = [
        text
        for text, holds in (
            ("must report", indicator.must_report),
            ("safety", indicator.is_safety_relevant),
            ("not in the model", not indicator.in_model),
        )
        if holds
    ]
    cells = [
        f"`{indicator.name}`",
        indicator.label,
        indicator.second_level,
        indicator.definition,
        indicator.unit,
        "+" if indicator.direction > 0 else "−",
        f"{indicator.window_months} months" if indicator.window_months else "the day",
        indicator.effect_rule,
        indicator.missing_rule,
        f"cap {indicator.cap}" if indicator.cap else "peers",
        ", ".join(indicator.source_feeds),
        ", ".join(notes),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def generated_files() -> dict[Path, str]:
    """Every file that is written from the catalogue, and what it must say."""
    from credit_pipeline.feeds.catalogue import load_catalogue
    from credit_pipeline.transform.indicator_tables import (
        feed_models_yml,
        indicator_models_yml,
        peer_points_yml,
        scores_yml,
    )

    indicators = load_indicators()
    labels = {name: feed.label for name, feed in load_catalogue().items()}
    models = DBT_PROJECT_DIR / "models"
    return {
        DBT_PROJECT_DIR / "macros" / "indicators.sql": indicators_macro(indicators),
        models / "indicators" / "feed_indicators.yml": feed_models_yml(indicators, labels),
        models / "indicators" / "enterprise_indicators.yml": indicator_models_yml(indicators),
        models / "grading" / "enterprise_scores.yml": scores_yml(indicators),
        models / "grading" / "peer_points.yml": peer_points_yml(indicators),
        DOCS_PATH: indicators_markdown(indicators),
    }


if __name__ == "__main__":
    for target, text in generated_files().items():
        target.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{target.relative_to(DBT_PROJECT_DIR.parent)}\n")
