"""Reasons in plain words, Chinese and English, as SQL expressions: one wording for `explain` and for the units' extracts.

The expressions read columns of one row: indicator, label, unit, window_months, indicator_value, points_over (micro points
over the norm, negative below it), peer_level. They hold no grade and need no other table.
"""

from __future__ import annotations

from credit_pipeline.feeds.catalogue import get_feed

RECORD_CODES = {"industry_ratings": "scheme", "registration_changes": "changed_field"}
"""Feeds whose record number begins with a code of that column, for example `tax 2025`."""

_PEERS = {
    "zh": {"section_size": "同行业同规模企业", "section": "同行业企业", "all": "全市企业"},
    "en": {
        "section_size": "enterprises of the same industry and size",
        "section": "enterprises of the same industry",
        "all": "all enterprises of the city",
    },
}
_COUNTERS = {"次数": "次", "条数": "条", "年数": "年", "月数": "个月", "企业数": "户"}
"""How a Chinese label ends → what is counted; everything else is counted in 项."""

VETO_WORDS = {
    "serious_violation_listed": ("当前列入严重违法失信名单", "on the list of serious violations now"),
    "licence_revoked": ("被吊销许可证件且处罚仍在影响期内", "licence revoked, the penalty still in effect"),
    "abnormal_listed": ("当前列入经营异常名录", "on the list of abnormal operations now"),
    "not_cooperating": ("不配合检查情节严重且其后未通过检查", "gravely refused an inspection and passed none since"),
    "judgment_defaulter": ("当前为失信被执行人", "defaulter of a court judgment now"),
}  # fmt: skip
CHANGE_WORDS = {
    "first_graded": ("首次定级", "graded for the first time"),
    "left_register": ("不再属于定级范围", "no longer graded: closed, moved or of another kind"),
    "veto_began": ("出现直接判定情形", "a veto began"),
    "veto_ended": ("直接判定情形消除", "a veto ended"),
    "objection": ("异议处理期间暂缓降级的起止", "a pending objection holds the grade, or no longer does"),
    "data_poor": ("信息不足或新设企业规则的适用变化", "the rule for data-poor or new enterprises applies, or no longer"),
    "model_changed": ("评价模型更新", "another model grades"),
    "policy_changed": ("政策参数调整", "the policy pack changed"),
    "indicators": ("指标变化", "indicators moved"),
}  # fmt: skip


_ENGLISH = {
    "inspection_problem_bp": "share of inspections with problems",
    "negative_opinion_bp": "intensity of negative opinion",
    "risky_related_bp": "share of risky related enterprises",
    "risky_shareholder_bp": "share of risky shareholders and holdings",
    "risky_person_bp": "share of risky enterprises of the same persons",
    "risky_guarantor_bp": "share of risky guarantors",
    "risky_address_bp": "share of risky enterprises at the same address or telephone",
    "related_penalized_bp": "share of related enterprises with a serious penalty",
    "related_listed_bp": "share of related enterprises on a list",
    "related_defaulter_bp": "share of related enterprises that are judgment defaulters",
    "related_revoked_bp": "share of related enterprises revoked",
    "debt_above_norm_bp": "debt ratio above the sector's norm",
    "debt_below_norm_bp": "debt ratio below the sector's norm",
    "insured_share_bp": "share of staff insured",
    "tax_to_revenue_bp": "tax as a share of revenue",
    "representative_enterprise_count": "other enterprises of the legal representative",
    "same_address_count": "other enterprises at the same address",
}
"""Indicators whose name alone does not say what is counted."""


def english_label(indicator: str = "indicator") -> str:
    """SQL of an indicator's name as English words."""
    cases = " ".join(
        f"when '{name}' then '{words.replace(chr(39), chr(39) * 2)}'" for name, words in _ENGLISH.items()
    )
    plain = f"replace(regexp_replace({indicator}, '_(fen|bp|12m|36m)$', ''), '_', ' ')"
    return f"case {indicator} {cases} else {plain} end"


def value_words(language: str, value: str = "indicator_value") -> str:
    """SQL of a value with its unit: 万元, %, 个月, 次; in English CNY, %, months."""
    money, share = f"{value} / 1e6", f"{value} / 1e2"
    if language == "zh":
        counted = " ".join(
            f"when unit = 'count' and label like '%{end}' then {value} || '{word}'"
            for end, word in _COUNTERS.items()
        )
        return f"""case when {value} is null then '无数据'
            when unit = 'fen' then format('{{:,.2f}}万元', {money})
            when unit = 'basis points' then format('{{:.2f}}%', {share})
            when unit = 'months' then {value} || '个月' when unit = 'points' then {value} || '分'
            when unit = 'level' and label like '%档数' then {value} || '档'
            when unit = 'level' then '第' || {value} || '档' {counted} else {value} || '项' end"""
    return f"""case when {value} is null then 'no data'
        when unit = 'fen' then format('CNY {{:,.2f}}', {value} / 1e2)
        when unit = 'basis points' then format('{{:.2f}}%', {share})
        when unit in ('months', 'points', 'level') then
            case when unit = 'level' and label not like '%档数' then 'level ' || {value}
                when unit = 'level' then {value} || ' levels' else {value} || ' ' || unit end
        else cast({value} as varchar) end"""


def sentence(language: str) -> str:
    """SQL of one reason as a sentence, for example 「近36个月内行政处罚次数为2次，比同行业同规模企业平均高0.83分」."""
    peers = " ".join(
        f"when '{level}' then '{words}'" for level, words in _PEERS[language].items() if level != "all"
    )
    others = f"case peer_level {peers} else '{_PEERS[language]['all']}' end"
    size = "format('{:.2f}', abs(points_over) / 1e6)"
    value = value_words(language)
    if language == "zh":
        return f"""case when window_months is not null and label not like '近%' then '近' || window_months || '个月内' else '' end
            || label || case when indicator_value is null then '无数据' else '为' || ({value}) end
            || case when abs(points_over) < 5000 then '，与' || {others} || '平均相当'
                else '，风险分比' || {others} || '平均' || case when points_over > 0 then '高' else '低' end || {size} || '分' end"""
    return f"""({english_label()}) || ': ' || ({value})
        || case when window_months is not null then ' within ' || window_months || ' months' else '' end
        || case when abs(points_over) < 5000 then '; about the average of ' || {others}
            else '; ' || {size} || ' risk points ' || case when points_over > 0 then 'above' else 'below' end
                || ' the average of ' || {others} end"""


def code_words(feed: str, column: str) -> dict[str, str]:
    """The codes of a feed's column → the first Chinese word that the feed itself has for each."""
    [found] = [item for item in get_feed(feed).stored_columns if item.name == column]
    return {
        code: next((word for word in words if not word.isascii()), code)
        for code, words in (found.codes or {}).items()
    }
