"""What a unit receives about its enterprises: the register's facts, grades with change and validity, reasons in plain
words, the records behind them.

Only columns listed here (an allow-list); no score, no probability, no personal name.
"""

from __future__ import annotations

from credit_pipeline.extracts.extract_table import OWN_SCOPES, ExtractTable, words
from credit_pipeline.extracts.inspection_words import ADVICE
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.grading.reason_words import CHANGE_WORDS, RECORD_CODES, code_words, sentence, value_words

OTHERS = "非本单位监管的关联方"
"""Stands for a related enterprise or person that the unit does not supervise: whose facts those are is not its business."""


def _change_words(reason: str) -> str:
    return words(reason, {code: words[0] for code, words in CHANGE_WORDS.items()})


def _record_words(feed: str, record_no: str) -> str:
    """A record's number with its leading code as a word, for example 纳税信用 2025."""
    code = f"split_part({record_no}, ' ', 1)"
    coded = " ".join(
        f"when '{name}' then {words(code, code_words(name, column))} "
        f"|| substr({record_no}, position(' ' in {record_no}))"
        for name, column in RECORD_CODES.items()
    )
    return f"case {feed} {coded} else {record_no} end"


_REASONS = ExtractTable(
    "grade_reasons",
    "主要影响因素：得分高于同类企业平均最多的指标",
    f"""
    select s.scope_no, r.uscc, r.reason_rank, i.label, {value_words("zh", "r.indicator_value")} as value_text,
        r.norm_micro / 1e6 as peer_norm, r.points_over / 1e6 as points_over, {sentence("zh")} as sentence
    from grading.grade_reasons r
    join extract_register s using (uscc)
    join extract_indicators i using (indicator)
    order by s.scope_no
    """,
    {
        "uscc": "统一社会信用代码",
        "reason_rank": "序号（1为最主要）",
        "label": "指标",
        "value_text": "指标数值",
        "peer_norm": "同类企业平均风险分",
        "points_over": "高于同类平均的风险分",
        "sentence": "说明",
    },
    "by_scope",
    "uscc, reason_rank",
)
_ENTERPRISES = ExtractTable(
    "enterprises",
    "本单位监管企业及信用风险等级（内部参考）",
    f"""
    with reasons as (
        select
            uscc, max(sentence) filter (reason_rank = 1) as reason_1, max(sentence) filter (reason_rank = 2) as reason_2,
            max(sentence) filter (reason_rank = 3) as reason_3
        from extract_of_grade_reasons where reason_rank <= 3 group by uscc
    ),
    changes as (
        select uscc, old_grade as previous_grade, as_of_date as changed_on, {_change_words("reason")} as change_reason
        from grading.grade_history
        where as_of_date <= date '{{day}}' and old_grade is not null
        qualify row_number() over (partition by uscc order by as_of_date desc) = 1
    ),
    vetoes as (
        select
            uscc,
            string_agg(
                label || '（' || coalesce(record_no, '无编号') || '，' || event_date || '）', '；' order by veto_grade desc, veto
            ) as veto_text
        from grading.grade_vetoes group by uscc
    ),
    validity as (
        select to_months(coalesce(max(value), 1)::integer) as months from policy.model_policy
        where parameter = 'grade_validity_months' and effective_from <= date '{{day}}' and effective_to >= date '{{day}}'
    )
    select
        u.scope_no, e.uscc, e.enterprise_name,
        {words("e.status", code_words("registrations", "status"))} as status, e.region, e.industry_section,
        e.established_date, e.is_safety_related, s.safety_tags, g.platform_grade, c.previous_grade, c.changed_on,
        c.change_reason, (g.as_of_date + validity.months)::date as valid_until, v.veto_text, r.reason_1, r.reason_2, r.reason_3,
        i.last_checked_on, coalesce(i.visits_this_year, 0) as visits_this_year, coalesce(i.visits_planned, 0) as visits_planned,
        case when cap.visits > 0 then greatest(0, cap.visits - coalesce(i.visits_counted, 0)) end as visits_left,
        {words("a.first_minor_violation", ADVICE)} as minor_violation_advice, a.honours_priority, a.recheck,
        g.data_completeness, g.as_of_date, g.policy_version, g.model_digest
    from extract_register u
    join enterprises.enterprises e using (uscc)
    cross join validity
    left join grading.enterprise_grades g using (uscc)
    left join reasons r on r.uscc = u.uscc
    left join changes c on c.uscc = u.uscc
    left join vetoes v on v.uscc = u.uscc
    left join extract_safety s on s.uscc = u.uscc
    left join extract_visit_counts i on i.uscc = u.uscc
    cross join extract_visit_cap cap
    left join extract_advice a on a.grade = g.platform_grade and a.is_safety_related = e.is_safety_related
    order by u.scope_no
    """,
    {
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "status": "登记状态",
        "region": "行政区划代码",
        "industry_section": "行业门类",
        "established_date": "成立日期",
        "is_safety_related": "是否涉及安全",
        "safety_tags": "涉及安全的类别",
        "platform_grade": "市平台信用风险等级（仅供参考）",
        "unit_grade": "本单位综合等级（仅供参考）",
        "previous_grade": "变动前的市平台等级（从未变动为空）",
        "changed_on": "最近一次等级变动之日",
        "change_reason": "最近一次等级变动的原因",
        "valid_until": "等级可用至（其间以新数据包为准）",
        "veto_text": "直接判定情形及依据",
        "reason_1": "主要影响因素一",
        "reason_2": "主要影响因素二",
        "reason_3": "主要影响因素三",
        "last_checked_on": "最近一次被检查之日（任一单位）",
        "visits_this_year": "本年已入企检查次数（各单位合计）",
        "visits_planned": "本年尚待入企检查次数（各单位合计）",
        "visits_left": "本年入企检查剩余次数（空为不设上限）",
        "minor_violation_advice": "轻微违法处理提示（仅供办案参考，不替代行政处罚法第三十三条）",
        "honours_priority": "荣誉评比同等条件下优先",
        "recheck": "改正后须复查",
        "data_completeness": "有数据的信息类别数",
        "as_of_date": "数据截止日",
        "policy_version": "政策版本",
        "model_digest": "评价模型摘要",
    },
    "by_scope",
    "r.uscc",
    {"unit_grade": "ug.unit_grade"},
    "left join (select uscc, unit_grade from grading.unit_grades where unit_id = '{unit}') ug on ug.uscc = r.uscc",
)
_EVIDENCE = ExtractTable(
    "grade_evidence",
    "主要影响因素所依据的记录",
    f"""
    select
        s.scope_no, x.uscc, i.label, {words("x.feed", {name: feed.label for name, feed in load_catalogue().items()})} as feed,
        x.feed = 'related_parties' as is_related, o.scope_no as related_scope_no,
        {_record_words("x.feed", "x.record_no")} as record_no, x.event_date, x.effect_end - 1 as effect_until, x.source_file,
        x.source_sheet, x.source_row, x.ingest_date
    from grading.grade_evidence x
    join extract_register s using (uscc)
    left join extract_register o on o.uscc = case when x.feed = 'related_parties' then x.record_no end
    join extract_indicators i using (indicator)
    order by s.scope_no
    """,
    {
        "uscc": "统一社会信用代码",
        "label": "指标",
        "feed": "数据类别",
        "record_no": "记录编号（文号、案号等）",
        "event_date": "发生日期",
        "effect_until": "影响至（空为持续有效）",
        "source_file": "来源文件",
        "source_sheet": "工作表",
        "source_row": "行号",
        "ingest_date": "接收日期",
    },
    "by_scope",
    "all",
    {
        "record_no": f"case when r.is_related and (r.related_scope_no is null or r.related_scope_no not in {OWN_SCOPES}) "
        f"then '{OTHERS}' else r.record_no end"
    },
)
_CHANGES = ExtractTable(
    "grade_changes",
    "市平台等级变动记录",
    f"""
    select s.scope_no, h.uscc, h.as_of_date as changed_on, h.old_grade, h.new_grade, {_change_words("h.reason")} as change_reason
    from grading.grade_history h
    join extract_register s using (uscc)
    where h.as_of_date <= date '{{day}}'
    order by s.scope_no
    """,
    {
        "uscc": "统一社会信用代码",
        "changed_on": "变动之日",
        "old_grade": "原等级（首次定级为空）",
        "new_grade": "新等级（不再定级为空）",
        "change_reason": "变动原因",
    },
    "by_scope",
    "uscc, changed_on",
)
GRADE_TABLES = (_REASONS, _ENTERPRISES, _EVIDENCE, _CHANGES)
"""In the order in which they are prepared: the enterprises' row takes its sentences from the reasons."""
