"""The questions that units ask most, each as one view of the extract with a Chinese name, Chinese columns and a comment.

A view only reads tables of the same extract. The list for inspectors shows what a visit needs and no grade: an inspector
should look at the enterprise, not at what others think of it (domain brief §6.1); policy `extract_options` may show it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExtractView:
    """One view: its name, the question it answers, its query over the extract's tables, what its columns mean."""

    name: str
    question: str
    sql: str
    columns: dict[str, str]


_GRADE_MEANING = "市平台信用风险等级，仅供参考，不得公开"
_CODE = "统一社会信用代码"

TO_INSPECT = ExtractView(
    "待检查企业及原因",
    "现在要检查哪些企业、为什么、检查什么、何时到期（双随机任务与问题线索）",
    """
    select
        t.task_no as "任务编号", '双随机' as "检查来源", t.uscc as "统一社会信用代码", t.enterprise_name as "企业名称",
        t.address as "住所", t.items_to_check as "检查事项", t.due_date as "检查期限", t.days_left as "剩余天数", t.state as "状态",
        case when t.is_top_up then '递补抽中' else '随机抽中' end || '（' || t.plan_id || ' 第' || t.round || '轮，' || t.part || '）'
            as "列入原因",
        t.platform_grade as "信用风险等级",
        concat_ws('；', nullif(e.veto_text, ''), e.reason_1, e.reason_2, e.reason_3) as "主要影响因素", t.handling as "监管措施"
    from inspection_tasks t
    left join enterprises e on e.uscc = t.uscc
    where t.state in ('待检查', '逾期未检查')
    union all
    select
        l.task_no, '问题线索', l.uscc, l.enterprise_name, l.address, l.item, null, null, l.state,
        l.lead_type || '：' || l.scope || '（仅限线索范围）', e.platform_grade,
        concat_ws('；', nullif(e.veto_text, ''), e.reason_1, e.reason_2, e.reason_3), ''
    from leads l
    left join enterprises e on e.uscc = l.uscc
    where l.state in ('待检查', '逾期未检查')
    order by "检查期限" nulls first, "任务编号", "统一社会信用代码"
    """,
    {
        "任务编号": "报送检查结果时填入 task_no",
        "检查来源": "双随机或问题线索",
        "统一社会信用代码": _CODE,
        "企业名称": "企业名称",
        "住所": "登记的住所",
        "检查事项": "本单位应检查的具体事项",
        "检查期限": "应在此日前完成（线索为空）",
        "剩余天数": "距检查期限的天数，负数为已逾期",
        "状态": "待检查或逾期未检查",
        "列入原因": "抽取的计划与轮次，或线索的类型与范围",
        "信用风险等级": _GRADE_MEANING,
        "主要影响因素": "直接判定情形与得分高于同类企业最多的指标",
        "监管措施": "该等级对应的监管措施",
    },
)
VIEWS: tuple[ExtractView, ...] = (
    TO_INSPECT,
    ExtractView(
        "检查人员任务单",
        "发给检查人员的任务单：企业、事项、期限、人员，不显示信用风险等级",
        """
        select
            t."任务编号", t."统一社会信用代码", t."企业名称", t."住所", t."检查事项", t."检查期限", i.team as "检查人员",
            case when t."检查来源" = '问题线索' then t."列入原因" else '' end as "线索范围", {inspector_grade} as "信用风险等级"
        from "待检查企业及原因" t
        left join (
            select
                task_no, uscc,
                string_agg(inspector_name || '（' || unit_name || '，' || role || '）', '；' order by unit_name, position) as team
            from inspectors group by task_no, uscc
        ) i on i.task_no = t."任务编号" and i.uscc = t."统一社会信用代码"
        order by t."检查期限" nulls first, t."任务编号", t."统一社会信用代码"
        """,
        {
            "任务编号": "报送检查结果时填入 task_no",
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "住所": "登记的住所",
            "检查事项": "应检查的具体事项",
            "检查期限": "应在此日前完成（线索为空）",
            "检查人员": "姓名、单位、组长或组员",
            "线索范围": "线索核查仅限此范围（双随机任务为空）",
            "信用风险等级": "默认不显示（政策表 extract_options）",
        },
    ),
    ExtractView(
        "本月等级变动",
        "本月哪些企业的等级变了、从什么变到什么、为什么",
        """
        select
            c.changed_on as "变动日期", c.uscc as "统一社会信用代码", e.enterprise_name as "企业名称", c.old_grade as "原等级",
            c.new_grade as "新等级", c.change_reason as "变动原因", e.reason_1 as "首要影响因素"
        from grade_changes c
        left join enterprises e on e.uscc = c.uscc
        where c.old_grade is not null
            and c.changed_on >= date_trunc('month', (select max(as_of_date) from notice))
        order by c.changed_on desc, c.new_grade desc, c.uscc
        """,
        {
            "变动日期": "等级变动之日",
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "原等级": _GRADE_MEANING,
            "新等级": _GRADE_MEANING,
            "变动原因": "变动的原因",
            "首要影响因素": "现在最主要的影响因素",
        },
    ),
    ExtractView(
        "逾期未报结果",
        "哪些任务已过检查期限还没有报送检查结果",
        """
        select
            task_no as "任务编号", kind as "检查来源", uscc as "统一社会信用代码", enterprise_name as "企业名称",
            due_date as "检查期限", -days_left as "逾期天数"
        from results_missing
        where days_left < 0
        order by days_left, task_no, uscc
        """,
        {
            "任务编号": "报送检查结果时填入 task_no",
            "检查来源": "双随机、个案核查等",
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "检查期限": "应完成之日",
            "逾期天数": "已超过检查期限的天数",
        },
    ),
    ExtractView(
        "需要复查的企业",
        "哪些企业责令改正到期或逾期、或按等级改正后须复查",
        """
        select
            d.task_no as "任务编号", d.uscc as "统一社会信用代码", d.enterprise_name as "企业名称", d.check_date as "检查日期",
            d.rectify_due_date as "改正期限", d.rectification_state as "改正状态", e.platform_grade as "信用风险等级",
            case when e.recheck then '该等级改正后须复查' else '' end as "复查要求"
        from deadlines d
        left join enterprises e on e.uscc = d.uscc
        where d.rectification_state <> ''
        order by d.rectify_due_date nulls last, d.task_no, d.uscc
        """,
        {
            "任务编号": "任务编号",
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "检查日期": "发现问题的检查之日",
            "改正期限": "责令改正的期限",
            "改正状态": "待改正或逾期未改正",
            "信用风险等级": _GRADE_MEANING,
            "复查要求": "该等级是否须复查",
        },
    ),
    ExtractView(
        "逾期未公示结果",
        "哪些检查结果已过公示期限还没有公示",
        """
        select
            task_no as "任务编号", uscc as "统一社会信用代码", enterprise_name as "企业名称", check_date as "检查日期",
            publication_due_date as "应公示日", -publication_days_left as "逾期工作日"
        from deadlines
        where publication_state = '逾期未公示'
        order by publication_due_date, task_no, uscc
        """,
        {
            "任务编号": "任务编号",
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "检查日期": "检查之日",
            "应公示日": "检查后规定的工作日内",
            "逾期工作日": "已超过应公示日的工作日数",
        },
    ),
    ExtractView(
        "待更正数据",
        "本单位报送的数据中哪些被退回、哪些主体待核对、怎么办",
        """
        select
            '退回数据' as "类别", feed as "数据类别", coalesce(quarantine_id, file) as "编号",
            file || coalesce('［' || sheet || '］', '') || coalesce(' 第' || row_number || '行', '') as "位置",
            rows_refused as "涉及行数", problems as "问题与处理办法", received_on as "自何日起"
        from refused_rows
        union all
        select
            '待核对主体', any_value(rows_by_feed), party_key, coalesce(any_value(party_name), '') || ' ' || any_value(codes_sent),
            any_value(row_count), any_value(reason) || coalesce('；候选：' || string_agg(
                nullif(candidate_name, '') || coalesce(' ' || candidate_uscc, ''), '、' order by candidate_rank), ''),
            any_value(waiting_since)
        from parties_to_review group by party_key
        order by 1, 7, 2, 3
        """,
        {
            "类别": "退回数据或待核对主体",
            "数据类别": "数据类别（待核对主体为分类别条数）",
            "编号": "隔离编号、退回的文件或待核对主体编号，随更正报回",
            "位置": "文件、工作表和行号，或报送的名称与代码",
            "涉及行数": "行数",
            "问题与处理办法": "哪里不对、怎样更正",
            "自何日起": "接收或等待起始之日",
        },
    ),
    ExtractView(
        "本年已检查企业",
        "本年已检查了哪些企业、还能入企几次（各单位合计），安排前先看",
        """
        select
            uscc as "统一社会信用代码", enterprise_name as "企业名称", last_checked_on as "最近检查日期",
            visits_this_year as "本年已入企次数", visits_planned as "本年待入企次数", visits_left as "本年剩余次数"
        from enterprises
        where visits_this_year > 0
        order by visits_left nulls last, last_checked_on desc nulls last, uscc
        """,
        {
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "最近检查日期": "任一单位最近一次检查",
            "本年已入企次数": "各单位合计",
            "本年待入企次数": "各单位合计",
            "本年剩余次数": "为空不设上限",
        },
    ),
    ExtractView(
        "新增与移除企业",
        "与上一数据日相比，哪些企业新列入或不再由本单位监管（移除的应从自有系统删除）",
        """
        select
            change as "变动", uscc as "统一社会信用代码", enterprise_name as "企业名称", new_grade as "信用风险等级",
            since as "对比的数据日"
        from changes
        where change in ('新增', '移除')
        order by change desc, uscc
        """,
        {
            "变动": "新增或移除",
            "统一社会信用代码": _CODE,
            "企业名称": "企业名称",
            "信用风险等级": _GRADE_MEANING,
            "对比的数据日": "上一数据日",
        },
    ),
)
