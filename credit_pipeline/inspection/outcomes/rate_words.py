"""Estimated rates and hit rates as people read them in the UI. Not here: how they are made (`inspection.outcomes.rates`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

COMMENTS = {
    "inspection.estimated_rates": (
        "按抽样推断的问题发现率（仅供内部参考）",
        {
            "as_of_date": "数据截止日",
            "plan_year": "计划年度",
            "domain_kind": "口径：all 全部，grade 等级，industry_section 行业门类，county 县区，unit 单位",
            "domain": "口径取值",
            "domain_label": "名称",
            "population": "可抽检查对象数（单位×企业）",
            "inspected": "已检查数",
            "not_inspectable": "无法检查数（不计入比率）",
            "breaches": "发现问题数",
            "rate": "推断问题率（样本过少为空）",
            "low": "95%置信下限",
            "high": "95%置信上限",
            "note": "说明：too_few 样本过少，no_results 尚无结果，partly_covered 部分单位尚无结果",
        },
    ),
    "inspection.hit_rates": (
        "各等级检查命中率与均匀抽取的比较（仅供内部参考）",
        {
            "as_of_date": "数据截止日",
            "plan_year": "计划年度",
            "grade": "抽取时的信用风险等级（all 为合计）",
            "population": "可抽检查对象数（单位×企业）",
            "drawn": "已抽取数",
            "inspected": "已检查数",
            "hits": "发现问题数",
            "hit_rate": "命中率（样本过少为空）",
            "uniform_rate": "均匀抽取的推断命中率",
            "uniform_low": "均匀抽取命中率95%置信下限",
            "uniform_high": "均匀抽取命中率95%置信上限",
            "lift": "命中率与均匀抽取之比",
            "inspections_saved": "发现同样多问题时均匀抽取须多检查的次数",
        },
    ),
}


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def rates_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The estimated rates for people."""
    if not rows:
        return "No round has been drawn yet."
    lines = [
        "Share of supervised enterprises where an inspection would find a breach, among those that may be drawn and can be "
        "inspected; 95 % interval.",
        "",
        "| domain | | may be drawn | inspected | with a breach | rate | from | to | note |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {row['domain_kind']} | {row['domain']} {row['domain_label']} | {row['population']:,} | {row['inspected']:,} | "
        f"{row['breaches']:,} | {_share(row['rate'])} | {_share(row['low'])} | {_share(row['high'])} | {row['note']} |"
        for row in rows
    ]
    return "\n".join(lines)


def hits_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The hit rates for people."""
    if not rows:
        return "No round has been drawn yet."
    lines = [
        "| grade | may be drawn | drawn | inspected | with a breach | hit rate | lift over a uniform draw |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lift = "" if row["lift"] is None else f"{row['lift']:.2f}"
        lines.append(
            f"| {row['grade']} | {row['population']:,} | {row['drawn']:,} | {row['inspected']:,} | {row['hits']:,} | "
            f"{_share(row['hit_rate'])} | {lift} |"
        )
    total = next(row for row in rows if row["grade"] == "all")
    if total["inspections_saved"] is not None:
        lines += [
            "",
            f"A uniform draw over the same enterprises would have found a breach in {_share(total['uniform_rate'])} of its "
            f"visits ({_share(total['uniform_low'])} to {_share(total['uniform_high'])}): for as many breaches it would have "
            f"needed {total['inspections_saved']:+,.0f} visits beside these {total['inspected']:,}.",
        ]
    return "\n".join(lines)
