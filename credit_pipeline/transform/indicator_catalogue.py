"""What the catalogue of indicators (`seeds/policy/indicators.csv`) says, written out so that nothing can drift from it.

`python -m credit_pipeline.transform.indicator_catalogue` writes the macro with the names of the indicators, the
descriptions and tests of their tables' columns, and the page `docs/indicators.md`; a test fails when they are stale.
Here: reading the catalogue, and text. Not here: how an indicator is computed (SQL, once each, in the evidence views).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import DBT_PROJECT_DIR

CATALOGUE_PATH = DBT_PROJECT_DIR / "seeds" / "policy" / "indicators.csv"
DOCS_PATH = DBT_PROJECT_DIR.parent / "docs" / "indicators.md"
EVALUATIONS = ("public_credit_evaluations", "industry_ratings")
"""Two feeds whose indicators stand in one table, ind_evaluations."""
COMMON = {
    "as_of_date": ("Day the row speaks for. 中文标签：数据截止日", "date", "internal"),
    "uscc": ("Unified social credit code, 18 characters. 中文标签：统一社会信用代码", "string", "public"),
}
PLACE = {
    "record_no": ("Number of the record in its feed. 中文标签：记录编号", "string", "confidential"),
    "event_date": ("Day it happened. 中文标签：发生日期", "date", "confidential"),
    "source_file": (
        "File it came in, relative to the landing folder. 中文标签：来源文件",
        "string",
        "internal",
    ),
    "source_sheet": ("Sheet of the file, if it has any. 中文标签：来源工作表", "string", "internal"),
    "source_row": ("Row in the file. 中文标签：来源行号", "bigint", "internal"),
    "ingest_date": ("Day it was received. 中文标签：接收日期", "date", "internal"),
}
PEERS = {
    "industry_section": (
        "Section of GB/T 4754-2017, or unknown, as known on the day. 中文标签：行业门类",
        "string",
        "public",
    ),
    "size_class": (
        "large, medium, small, micro or unknown, as known on the day: by staff, else by capital. 中文标签：企业规模",
        "string",
        "internal",
    ),
}
FACTS = {
    "negative_count": "Negative records in effect. 中文标签：有效不良记录数",
    "negative_count_12m": "Negative records of the last 12 months. 中文标签：近十二个月不良记录数",
    "evidence_count": "Records that show the feed knows the enterprise (data completeness). 中文标签：有效记录数",
    "current_listing_count": "Listings that stand now. 中文标签：当前列入数",
    "employee_count": "Staff in the latest annual report. 中文标签：从业人数",
    "has_last_report": "Whether the report that was due last has come. 中文标签：是否已报上一年度年报",
    "has_earlier_report": "Whether the report due before it has come. 中文标签：是否已报再上一年度年报",
}
LISTS = ("current_listing_count", "negative_count", "negative_count_12m", "evidence_count")
EXTRA = {
    "penalties": LISTS[1:],
    "inspection_results": LISTS[1:],
    "complaints": LISTS[1:],
    "public_opinion": LISTS[1:],
    "abnormal_listings": LISTS,
    "serious_violations": LISTS,
    "judgment_defaulters": LISTS[1:],
    "operations": ("employee_count", "has_last_report", "has_earlier_report", "evidence_count"),
}
"""Columns of a feed's tables besides its indicators; the others have evidence_count."""
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
    """The macro file: names in order, those compared with peers, and those of which no record means 0, by feed."""
    zeros = {
        feed: [i.name for i in of if i.missing_rule == "zero"] for feed, of in by_feed(indicators).items()
    }
    lists = {
        "indicator_names": (
            "The indicators in the order of their columns.",
            [i.name for i in indicators],
        ),
        "peer_indicators": (
            "Those whose size means something only beside one's peers; the others count the same in every industry.",
            [i.name for i in indicators if i.standardization == "peers"],
        ),
        "zero_indicators": (
            "By feed those of which no record means 0 once the feed has delivered anything.",
            {feed: names for feed, names in zeros.items() if names},
        ),
    }
    head = (
        "{# Written from seeds/policy/indicators.csv by `python -m credit_pipeline.transform.indicator_catalogue`; edit the\n"
        "   catalogue, not this file. #}\n"
    )
    macros = (
        f"{{# {comment} #}}\n{{% macro {name}() %}} {{{{ return({json.dumps(value)}) }}}} {{% endmacro %}}\n"
        for name, (comment, value) in lists.items()
    )
    return head + "\n".join(macros)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _column(name: str, description: str, kind: str, classification: str) -> str:
    return (
        f"      - name: {name}\n        description: {_text(description)}\n        data_type: {kind}\n"
        f"        config:\n          meta:\n            classification: {classification}\n"
    )


def _described(columns: dict[str, tuple[str, str, str]]) -> Iterator[str]:
    for name, (description, kind, classification) in columns.items():
        yield _column(name, description, kind, classification)


def _raw(indicator: Indicator, ending: str = "") -> str:
    return _column(
        indicator.name,
        f"{indicator.definition} ({indicator.unit}){ending}. 中文标签：{indicator.label}",
        "bigint",
        "public" if indicator.name == "registered_capital_fen" else "confidential",
    )


def _facts(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield _column(name, FACTS[name], "bigint", "confidential")


def _model(name: str, description: str, tests: str, columns: Iterable[str], contract: bool = False) -> str:
    enforced = "    config:\n      contract:\n        enforced: true\n" if contract else ""
    return (
        f"  - name: {name}\n    description: {_text(description)}\n{enforced}{tests}    columns:\n"
        + "".join(columns)
        + "\n"
    )


def _tests(*tests: str) -> str:
    return "    data_tests:\n" + "".join(tests)


def _test(name: str, **arguments: object) -> str:
    lines = "".join(
        f"            {key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in arguments.items()
    )
    return f"      - {name}:\n          arguments:\n{lines}"


UNIQUE = _test("unique_key", columns=["as_of_date", "uscc"])


def feed_models_yml(indicators: Sequence[Indicator], labels: dict[str, str]) -> str:
    """Descriptions of the evidence views and of the tables that add them up; labels: Chinese name by feed."""
    parts = []
    tables: dict[str, list[Indicator]] = {}
    for feed, of in by_feed(indicators).items():
        extra = EXTRA.get(feed, ("evidence_count",)) if feed != "registrations" else ()
        more = dict(PEERS) if feed == "registrations" else {}
        if feed == "related_parties":
            more = {
                "related_uscc": ("The related enterprise. 中文标签：关联企业", "string", "confidential"),
                "hop": (
                    "Steps to it: 1 or 2; 0 for a cluster (common person or address). 中文标签：关联步数",
                    "bigint",
                    "confidential",
                ),
                "link_kinds": (
                    "Kinds of direct relation, or of cluster. 中文标签：关联方式",
                    "string",
                    "confidential",
                ),
                "risks": (
                    "Why it is risky: penalized, listed, defaulter, revoked. 中文标签：风险原因",
                    "string",
                    "confidential",
                ),
            }
        contributions = (
            _raw(i, "; what this record contributes, missing when it does not enter") for i in of
        )
        parts.append(
            _model(
                f"evidence_{feed}",
                f"Records of {feed} that count or were observed on a day, with what each contributes to the indicators. "
                f"中文标签：{labels[feed]}指标依据",
                "",
                [*_described(COMMON), *_described(PLACE), *_described(more), *contributions, *_facts(extra)],
            )
        )
        tables.setdefault("evaluations" if feed in EVALUATIONS else feed, []).extend(of)
    for table, of in tables.items():
        extra = EXTRA.get(table, ("evidence_count",)) if table != "registrations" else ()
        more = {}
        if table == "registrations":
            more = {
                **PEERS,
                "established_date": ("Day of establishment. 中文标签：成立日期", "date", "public"),
            }
        named = [i for i in of if i.name != "missing_report_count"]
        parts.append(
            _model(
                f"ind_{table}",
                f"Indicators of {table} per enterprise and day. 中文标签：{labels.get(table, '信用评价')}指标",
                _tests(UNIQUE),
                [*_described(COMMON), *_described(more), *(_raw(i) for i in named), *_facts(extra)],
            )
        )
    return _yml("Evidence views and the tables that add them up, one per feed.", parts)


def indicator_models_yml(indicators: Sequence[Indicator]) -> str:
    """Descriptions and tests of enterprise_indicators and standardized_indicators."""
    never = [i.name for i in indicators if i.missing_rule == "never"]
    ranges = {i.name: list(i.bounds) for i in indicators}
    raw = _model(
        "enterprise_indicators",
        "Every indicator of every graded enterprise in its own unit; missing is null. 中文标签：企业信用指标",
        _tests(
            UNIQUE,
            _test("never_null", columns=["as_of_date", "uscc", "industry_section", "size_class", *never]),
            _test("values_in_range", ranges=ranges),
            _test("zero_once_delivered", columns=[i.name for i in indicators if i.missing_rule == "zero"]),
        ),
        [
            *_described(COMMON | PEERS),
            *(_raw(i) for i in indicators),
            _column(
                "negative_record_count",
                "Negative records in effect, each record once. 中文标签：有效不良记录数",
                "bigint",
                "confidential",
            ),
            _column(
                "negative_record_count_12m",
                "Negative records of the last 12 months, each record once. 中文标签：近十二个月不良记录数",
                "bigint",
                "confidential",
            ),
            _completeness(),
        ],
        contract=True,
    )
    how = {"peers": "against peers", "cap": "against its cap"}
    standardized = _model(
        "standardized_indicators",
        "The same on a scale of 0 to 1; missing stays missing. 中文标签：标准化指标",
        _tests(UNIQUE),
        [
            *_described(COMMON | PEERS),
            *(
                _column(
                    i.name,
                    f"{i.definition}, standardized to 0-1 ({how[i.standardization]}). 中文标签：{i.label}（标准化）",
                    "double",
                    "confidential",
                )
                for i in indicators
            ),
            _completeness(),
        ],
        contract=True,
    )
    return _yml("All indicators of an enterprise together, raw and standardized.", [raw, standardized])


def _completeness() -> str:
    return _column(
        "data_completeness",
        "Kinds of information, of eleven, that know the enterprise (evidence within 24 months or in force). 中文标签：有数据的信息类别数",
        "bigint",
        "confidential",
    )


def scores_yml(indicators: Sequence[Indicator]) -> str:
    """Description of enterprise_scores: its columns are the catalogue's."""
    score = {
        "score_micro": (
            "Score in millionths of log-odds, a sum of whole numbers; higher is riskier. 中文标签：信用风险得分（百万分之一）",
            "bigint",
            "confidential",
        ),
        "probability": (
            "Calibrated probability of a serious breach within twelve months. 中文标签：严重违法概率",
            "double",
            "confidential",
        ),
    }
    model = {"model_digest": ("SHA-256 of the model that grades. 中文标签：模型摘要", "string", "internal")}
    table = _model(
        "enterprise_scores",
        "Score, points per indicator and probability of every graded enterprise. 中文标签：企业信用得分",
        _tests(
            _test("unique_key", columns=["uscc"]),
            _test("never_null", columns=["as_of_date", "uscc", "score_micro", "probability"]),
        ),
        [
            *_described(COMMON | score),
            *(
                _column(
                    f"p_{i.name}",
                    f"Micro points of {i.name}. 中文标签：{i.label}得分",
                    "bigint",
                    "confidential",
                )
                for i in indicators
            ),
            *_described(model),
        ],
        contract=True,
    )
    return _yml("The score of every graded enterprise.", [table])


def peer_points_yml(indicators: Sequence[Indicator]) -> str:
    """Description of peer_points: one norm per indicator of the catalogue."""
    keys = {
        "as_of_date": COMMON["as_of_date"],
        "industry_section": (
            "GB/T 4754 section; empty where unknown. 中文标签：行业门类",
            "string",
            "internal",
        ),
        "size_class": ("Size class; empty where unknown. 中文标签：规模", "string", "internal"),
        "peer_level": (
            "Whose mean it is: section_size, section or all. 中文标签：比较范围",
            "string",
            "internal",
        ),
        "peer_count": ("Enterprises in that group. 中文标签：同类企业数", "bigint", "internal"),
    }
    table = _model(
        "peer_points",
        "Mean micro points per indicator of the peers of every pair of industry section and size class, from wider "
        "groups where they are few: the norm that reasons are measured against. 中文标签：同类企业平均得分",
        _tests(
            _test("unique_key", columns=["industry_section", "size_class"]),
            _test("never_null", columns=["industry_section", "size_class", "peer_level", "peer_count"]),
        ),
        [
            *_described(keys),
            *(
                _column(
                    f"n_{i.name}",
                    f"Mean micro points of {i.name} among the peers. 中文标签：{i.label}同类平均得分",
                    "bigint",
                    "confidential",
                )
                for i in indicators
            ),
        ],
        contract=True,
    )
    return _yml("The norm of an enterprise's peers.", [table])


def _yml(comment: str, parts: Iterable[str]) -> str:
    head = (
        f"# {comment} Written from seeds/policy/indicators.csv by\n"
        "# `python -m credit_pipeline.transform.indicator_catalogue`; edit the catalogue, not this file.\n"
        "version: 2\n\nmodels:\n"
    )
    return (head + "".join(parts)).rstrip("\n") + "\n"


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
        "+" if indicator.direction > 0 else "−",  # noqa: RUF001
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
