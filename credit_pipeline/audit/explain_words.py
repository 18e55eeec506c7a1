"""The words of an explanation in Chinese and English: steps, rules and headings, and what a row of a feed says (money in
its unit, codes as the feed's own words, yes and no).

Not here: sentences of reasons (`grading.reason_words`), the page (`audit.explain_render`).
"""

from __future__ import annotations

from typing import Any

from credit_pipeline.feeds.catalogue import Column, get_feed
from credit_pipeline.grading.reason_words import RECORD_CODES, code_words

STEPS = {
    "score": ("得分", "score"),
    "negative_record_rule": ("不良记录规则", "negative record rule"),
    "data_poor": ("信息不足与新设企业", "data-poor and new enterprises"),
    "veto": ("直接判定", "vetoes and floors"),
    "objection": ("异议期间", "pending objection"),
    "industry_rating": ("行业信用评价", "industry rating"),
    "unit_system": ("本单位指标体系", "the unit's own system"),
}
RULES = {
    "none": ("不适用", "does not apply"),
    "probability_bounds": ("按严重违法概率所在区间", "by the bounds of the probability"),
    "e_needs_negative_record": ("无在效不良记录，模型不得单独判E级", "without a negative record the model alone gives no E"),
    "insufficient_data": ("信息不足，不得优于中性等级", "too few kinds of information: never better than the neutral grade"),
    "new_enterprise": ("新设企业规则", "rule for new enterprises"),
    "veto": ("直接判定", "a veto decides"),
    "floor": ("不得优于限定等级", "a floor bounds the grade"),
    "already_as_bad": ("已不优于限定等级", "already as bad as the bound"),
    "downgrade_frozen": ("异议处理期间暂缓降级", "an objection is pending: not made worse"),
    "no_rating": ("无有效行业评价", "no valid rating of the line"),
    "unknown_rating": ("行业评价结果无法对应，需复核", "the rating is not in the map: review"),
    "neutral_rating": ("行业评价为中性", "the rating is neutral"),
    "equal": ("一致", "equal"),
    "one_down": ("下调一级", "one step down"),
    "one_up": ("上调一级", "one step up"),
    "up_refused": ("有不良记录、直接判定或信息不足，不上调", "no step up: negative record, veto or too little data"),
    "far_apart_worse": ("相差两级以上，取低并复核", "two steps or more apart: the worse, and review"),
    "far_apart_kept": ("相差两级以上，维持并复核", "two steps or more apart: kept, and review"),
    "no_system": ("本单位无指标体系", "the unit has no system"),
    "too_little_data": ("指标数据过少，不用", "too few indicators have a value: not used"),
    "informed": ("仅供参考，不改变等级", "for information only"),
    "moved_down": ("按本单位体系下调", "moved down by the unit's system"),
    "far_apart_down": ("相差较大，下调并复核", "far apart: moved down, and review"),
    "moved_up": ("按本单位体系上调", "moved up by the unit's system"),
}  # fmt: skip
FACTS = {
    "probability": ("概率", "probability"),
    "negative_records": ("在效不良记录数", "negative records"),
    "kinds_of_information": ("信息类别数", "kinds of information"),
    "mapped": ("对应等级", "mapped to"),
    "system": ("体系", "system"),
    "score_bp": ("体系得分（万分之）", "system score in ten-thousandths"),
    "system_grade": ("体系等级", "grade of the system"),
    "combination": ("结合方式", "combination"),
}  # fmt: skip
VALUES = {"none": ("无", "none"), "neutral": ("中性", "neutral")}
COMBINATIONS = {
    "one_step": ("至多移动一级", "one step at most"),
    "worse_of": ("取较低者", "the worse counts"),
    "as_rating": ("下调至体系等级，上调至多一级", "down to the system's grade, one step up at most"),
    "inform_only": ("仅供参考", "for information only"),
}
COUNTED = {
    "negative_count": ("计入在效不良记录数", "counts as a negative record in effect"),
    "negative_count_12m": ("计入近12个月不良记录数（决定能否上调）", "counts as a negative record of the last 12 months (no step up)"),
    "current_listing_count": ("当前列入", "listed now"),
    "evidence_count": ("该类信息视为有数据", "makes its kind of information known"),
}  # fmt: skip
REASONS = {
    "repaired": ("已信用修复", "repaired"),
    "withdrawn": ("已撤销，自始无效", "withdrawn, void from the start"),
    "ended": ("经确认已终止", "confirmed to have ended"),
    "expired": ("影响期届满", "its effect period is over"),
    "no_weight": ("不计分（无问题、未查实、不予处罚或已被后续记录取代）",
                  "has no weight (nothing found, not verified, no penalty, or superseded)"),
}  # fmt: skip
WORDS = {
    "grade": ("信用风险等级", "grade"),
    "as_of": ("数据截止日", "as of"),
    "probability": ("一年内严重违法概率", "probability of a serious breach within 12 months"),
    "kinds": ("有数据的信息类别", "kinds of information known"),
    "not_graded": ("未定级：", "not graded: "),
    "steps": ("定级过程", "How the grade came about"),
    "points": ("各指标得分与同类平均（风险分，越高风险越大）", "Points against the norm of the peers (risk points, higher is riskier)"),
    "indicator": ("指标", "indicator"),
    "value": ("数值", "value"),
    "own": ("得分", "points"),
    "norm": ("同类平均", "norm"),
    "over": ("高于同类", "over the norm"),
    "sum": ("各指标得分合计", "sum of the points"),
    "intercept": ("起点分", "start of the scale (intercept)"),
    "score": ("总分（据此得出概率）", "score, from which the probability follows"),
    "no_points": ("不计分", "no points"),
    "weighed": ("计分的影响期已满，最后一日", "its points ended, the last day was"),
    "related": ("关联企业", "related enterprise"),
    "steps_away": ("相隔{}步", "{} step(s) away"),
    "risks": ("其风险情形", "its risks"),
    "reasons": ("主要影响因素", "Main reasons"),
    "records": ("计入的记录", "Records that count"),
    "no_longer": ("不再计入的记录", "Records that no longer count"),
    "awaiting": ("待识别主体、可能属于本企业的记录（未计入）", "Rows awaiting identification that may be meant for it (not counted)"),
    "known_later": ("当日之后才知悉的记录（未计入）", "Known only after the day (not counted)"),
    "missing": ("缺失数据的指标", "Indicators without data"),
    "changes": ("等级变动", "Changes of the grade"),
    "affected": ("受影响的历史定级", "Past grades that lost their ground"),
    "units": ("单位综合等级", "Units' grades"),
    "system_points": ("本单位体系各指标得分（万分之）", "Points of the unit's system (in ten-thousandths)"),
    "system_point": ("（权重 {}，风险值 {}）", " (weight {}, risk {})"),
    "total": ("合计", "total"),
    "row": ("第{}行", "row {}"),
    "until": ("影响至", "weighs until"),
    "lasting": ("持续有效，直至移出、修复或撤销", "weighs as long as it lasts"),
    "objection": ("异议处理中", "objection pending"),
    "other_day": ("该日结果为重新计算", "This day was computed anew"),
    "same": ("与当日保存的结果一致", "it equals what was stored that day"),
    "differs": ("与当日保存的结果不一致：政策表或代码在当日之后有改动", "it differs from what was stored that day: policy tables or code were changed since"),
    "not_stored": ("当日结果未保存，无从比较", "nothing was stored that day to compare with"),
    "none": ("无", "none"),
    "more": ("另有 {} 条，见 --json", "{} more, see --json"),
    "veto": ("直接判定情形", "veto"),
    "since": ("自", "since"),
    "days": ("计入 {} 个结果日（{} 至 {}），当时等级 {}", "counted on {} stored days ({} to {}), grade then {}"),
    "frame": ("；已用于抽查轮次 {}", "; used by the frozen rounds {}"),
}  # fmt: skip


LINK_WORDS = {
    "shareholder": ("股东", "shareholder"),
    "investment": ("对外投资", "investment"),
    "branch": ("分支机构", "branch"),
    "guarantor": ("担保", "guarantee"),
    "person": ("同一人员", "same person"),
    "address": ("同址或同电话", "same address or telephone"),
    "same_address": ("同址", "same address"),
    "representative": ("同一法定代表人", "same legal representative"),
}
RISK_WORDS = {
    "penalized": ("严重处罚", "serious penalty"),
    "listed": ("列入名录名单", "listed"),
    "defaulter": ("失信被执行", "defaulter of a judgment"),
    "revoked": ("吊销", "revoked"),
}
_RUNG = ("主体识别依据", "identified by")


def column_words(feed: str, name: str, language: str) -> str:
    """What a column of a feed is called: its Chinese label, or its name as English words."""
    if name == "identity_rung":
        return _RUNG[0 if language == "zh" else 1]
    if language == "zh":
        column = _column(feed, name)
        return column.label if column else name
    return name.removesuffix("_fen").replace("_", " ")


def fact_words(feed: str, name: str, value: Any, language: str, labels: dict[str, str] | None = None) -> str:
    """A value of a feed's column for people, for example fen as 万元 and `no_problem` as 未发现问题.

    Args:
        labels: Chinese words of codes that the feed itself only numbers.
    """
    column = _column(feed, name)
    zh = language == "zh"
    if column is None:
        return str(value)
    if column.type == "money":
        return f"{value / 1e6:,.2f}万元" if zh else f"CNY {value / 100:,.2f}"
    if column.type == "boolean":
        return ("是" if value else "否") if zh else ("yes" if value else "no")
    if column.codes:
        codes = str(value).split("|") if column.type == "categories" else [str(value)]
        if not zh:
            return ", ".join(code.replace("_", " ") for code in codes)
        words = code_words(feed, name)
        return "、".join((labels or {}).get(code) or words.get(code, code) for code in codes)
    return str(value)


def status_words(enterprise: dict[str, Any], kinds: dict[str, str], language: str) -> str:
    """Why an enterprise of the register has no grade: its kind of subject, or its status."""
    zh = language == "zh"
    if not enterprise["is_gradable_kind"]:
        kind = (
            kinds.get(enterprise["subject_kind"], "") if zh else enterprise["subject_kind"].replace("_", " ")
        )
        return f"主体类别为{kind}，不属于定级范围" if zh else f"its kind, {kind}, is not graded"
    status = fact_words("registrations", "status", enterprise["status"], language)
    return f"登记状态为{status}" if zh else f"its status is {status}"


def words_of(codes: str | None, table: dict[str, tuple[str, str]], language: str) -> str:
    """Codes with spaces between them as words."""
    place, between = (0, "、") if language == "zh" else (1, ", ")
    return between.join(table[code][place] if code in table else code for code in (codes or "").split())


def _column(feed: str, name: str) -> Column | None:
    return next((column for column in get_feed(feed).stored_columns if column.name == name), None)


def record_words(feed: str, record_no: str | None, language: str) -> str:
    """The number of a record; where it begins with a code, that code as a word: `纳税信用 2025`."""
    code, between, rest = (record_no or "").partition(" ")
    if language == "zh" and feed in RECORD_CODES and between:
        return code_words(feed, RECORD_CODES[feed]).get(code, code) + between + rest
    return record_no or "–"
