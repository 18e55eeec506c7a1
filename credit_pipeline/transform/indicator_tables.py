"""Descriptions and tests of the tables of indicators, as dbt reads them (yml), written from the catalogue.

Here: the evidence views, the tables that add them up, the indicators of an enterprise, and its scores. Not here: the
catalogue itself, and writing the files (indicator_catalogue.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from credit_pipeline.transform.indicator_catalogue import Indicator, by_feed

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


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _column(name: str, description: str, kind: str, classification: str, mask: str = "") -> str:
    return (
        f"      - name: {name}\n        description: {_text(description)}\n        data_type: {kind}\n"
        f"        config:\n          meta:\n            classification: {classification}\n"
        + (f"            mask: {mask}\n" if mask else "")
    )


def _described(columns: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for name, facts in columns.items():
        yield _column(name, *facts)


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
        more: dict[str, tuple[str, ...]] = dict(PEERS) if feed == "registrations" else {}
        if feed == "related_parties":
            more = {
                "record_no": (
                    "The related enterprise, or the common person or address. 中文标签：关联方标识",
                    "string",
                    "personal",
                    "drop",
                ),
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
                [*_described({**COMMON, **PLACE, **more}), *contributions, *_facts(extra)],
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
