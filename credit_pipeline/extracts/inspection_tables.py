"""What a unit receives about inspections: its tasks with items in words, teams, quotas, leads, campaigns, what is still
missing and when it is due. A unit sees the visits it takes part in, also those that another unit of a joint plan drew.

Codes are said in Chinese. Never in an extract: why an inspector was skipped, tickets, other units' enterprises (but those
it visits, without their grade).
"""

from __future__ import annotations

from credit_pipeline.extracts.extract_table import ExtractTable, words
from credit_pipeline.extracts.inspection_words import (
    CAMPAIGN,
    FINDINGS,
    KINDS,
    LEAD_TYPES,
    OUTCOMES,
    PUBLICATION,
    RECTIFICATION,
    ROLES,
    ROUNDING,
    STATES,
    basis_words,
)

_TASKS = ExtractTable(
    "inspection_tasks",
    "本单位参加的抽查任务（双随机抽取结果）",
    f"""
    with own as (
        select v.*, u.line from extract_visits v left join extract_units u on u.unit_id = v.part_unit
    ),
    drawn as (
        select o.part_unit, o.line, i.* from extract_drawn_items i join own o using (plan_id, round, unit_id, uscc)
    ),
    -- What a group of items means for a unit: the items of its own line, of the group's kind, for the industry.
    meant as (
        select g.line, g.item_code, g.industry_section, string_agg(i.item_name, '；' order by i.item_code) as names
        from (select distinct line, item_code, industry_section, item_kind, is_safety_item from drawn where is_group) g
        join extract_items i on
            not i.is_group and i.item_kind = g.item_kind and (i.is_safety_related or not g.is_safety_item) and i.line = g.line
            and (i.sections = '' or position('|' || g.industry_section || '|' in '|' || i.sections || '|') > 0)
        group by g.line, g.item_code, g.industry_section
    ),
    items as (
        select
            d.part_unit, d.plan_id, d.round, d.unit_id, d.uscc, max(d.platform_grade) as platform_grade,
            string_agg(d.item_name, '；' order by d.item_code) as items,
            string_agg(
                case when d.is_group then coalesce(m.names, d.item_name || '（按本单位检查事项清单）') else d.item_name end,
                '；' order by d.item_code
            ) as items_to_check,
            max(d.replaces) as replaces
        from drawn d left join meant m using (line, item_code, industry_section)
        group by d.part_unit, d.plan_id, d.round, d.unit_id, d.uscc
    ),
    measures as (
        select grade, string_agg(title, '；' order by rank) as handling from policy.measures
        where effective_from <= date '{{day}}' and effective_to >= date '{{day}}' group by grade
    )
    select
        o.part_unit as unit_id, o.task_no, o.plan_id, o.round, case when o.unit_id = o.part_unit then '发起' else '配合' end as part,
        coalesce(n.unit_name, o.unit_id) as initiating_unit, o.uscc, e.enterprise_name, e.address, e.region,
        -- The grade of an enterprise that the unit only helps to inspect is none of its business.
        case when s.unit_id is not null then i.platform_grade end as platform_grade, i.items, i.items_to_check, o.is_top_up,
        i.replaces, {words("o.state", STATES)} as state, o.due_date, o.days_left, o.visits_planned, o.visits_done, o.check_date,
        {words("o.outcome", OUTCOMES)} as outcome, {words("o.finding", FINDINGS)} as finding,
        case when s.unit_id is not null then m.handling end as handling
    from own o
    left join items i using (part_unit, plan_id, round, unit_id, uscc)
    left join extract_names e on e.uscc = o.uscc
    left join extract_scopes s on s.unit_id = o.part_unit and s.scope_no = e.scope_no
    left join extract_units n on n.unit_id = o.unit_id
    left join measures m on m.grade = i.platform_grade
    """,
    {
        "task_no": "任务编号（报送检查结果时填入 task_no；第二次检查在其后加 -2）",
        "plan_id": "抽查计划编号（报送检查结果时填入 plan_no）",
        "round": "轮次",
        "part": "发起或配合",
        "initiating_unit": "发起单位",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "address": "住所",
        "region": "行政区划代码",
        "platform_grade": "抽取时的信用风险等级（仅供参考）",
        "items": "抽查事项",
        "items_to_check": "本单位应检查的具体事项",
        "is_top_up": "是否递补抽取",
        "replaces": "递补所替换的企业（统一社会信用代码，空为非递补）",
        "state": "状态",
        "due_date": "检查期限",
        "days_left": "距检查期限的天数（负数为已逾期）",
        "visits_planned": "应检查次数",
        "visits_done": "已检查次数",
        "check_date": "检查日期",
        "outcome": "检查结论",
        "finding": "已报结果的疑点（请更正后重新报送，空为无）",
        "handling": "监管措施",
    },
    "by_unit",
    "r.plan_id, r.round, r.task_no, r.uscc",
)
_DRAWN_ITEMS = ExtractTable(
    "drawn_items",
    "本单位抽取结果明细（按抽查事项）",
    """
    select
        i.unit_id, i.plan_id || '-' || i.round || '-' || i.unit_id as task_no, i.plan_id, i.round, i.uscc, i.item_code,
        i.item_name, i.platform_grade, i.rank, i.quota, i.stratum_size, i.is_top_up
    from extract_drawn_items i
    semi join inspection.inspection_rounds r on r.plan_id = i.plan_id and r.round = i.round
    """,
    {
        "task_no": "任务编号",
        "plan_id": "抽查计划编号",
        "round": "轮次",
        "uscc": "统一社会信用代码",
        "item_code": "抽查事项代码",
        "item_name": "抽查事项",
        "platform_grade": "抽取时的信用风险等级（仅供参考）",
        "rank": "层内抽取序号",
        "quota": "层内应抽数",
        "stratum_size": "层内企业数",
        "is_top_up": "是否递补抽取",
    },
    "by_unit",
    "r.plan_id, r.round, r.item_code, r.platform_grade, r.rank",
)
_INSPECTORS = ExtractTable(
    "inspectors",
    "检查人员安排（本单位参加的任务，联合检查含配合单位人员）",
    f"""
    select
        o.part_unit as unit_id, a.draw_unit_id, a.unit_id as inspector_unit_id, o.task_no, a.plan_id, a.round, a.uscc, e.enterprise_name,
        coalesce(n.unit_name, a.unit_id) as unit_name, a.inspector_id, i.inspector_name,
        {words("a.role", ROLES)} as role, a.position, a.wave
    from inspection.inspector_assignments a
    join extract_visits o on
        o.plan_id = a.plan_id and o.round = a.round and o.unit_id = a.draw_unit_id and o.uscc = a.uscc
    left join extract_names e on e.uscc = a.uscc
    left join (select inspector_id, inspector_name from staging.stg_inspectors where known_to is null) i using (inspector_id)
    left join extract_units n on n.unit_id = a.unit_id
    """,
    {
        "task_no": "任务编号",
        "plan_id": "抽查计划编号",
        "round": "轮次",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "unit_name": "检查人员所属单位",
        "inspector_id": "检查人员编号",
        "inspector_name": "检查人员姓名",
        "role": "组长或组员",
        "position": "序号",
        "wave": "安排批次（1为首次安排）",
    },
    "by_unit",
    "r.plan_id, r.round, r.draw_unit_id, r.uscc, r.inspector_unit_id, r.position",
)
_QUOTAS = ExtractTable(
    "quotas",
    "本单位各事项各等级抽查比例与数量",
    f"""
    select
        q.unit_id, q.plan_id, q.round, q.item_code, coalesce(p.item_name, q.item_code) as item_name, q.platform_grade,
        q.stratum_size, q.drawn_before, q.ratio_bp, {words("q.rounding", ROUNDING)} as rounding, q.target, q.quota,
        {basis_words("q.basis")} as basis, coalesce(q.exception_id, '') as exception_id,
        {words("q.rounding", ROUNDING)} || '((' || q.stratum_size || ' + ' || q.drawn_before || ') × ' || q.ratio_bp || ' × '
        || q.rounds_due || ' ÷ (10000 × ' || q.rounds_per_year || ')) = ' || q.target || '；减此前已抽 ' || q.drawn_before
        || '，不少于 0、不多于可抽企业数：' || q.quota as arithmetic
    from inspection.inspection_quotas q
    left join inspection.plan_items p using (plan_id, round, item_code)
    """,
    {
        "plan_id": "抽查计划编号",
        "round": "轮次",
        "item_code": "抽查事项代码",
        "item_name": "抽查事项",
        "platform_grade": "信用风险等级",
        "stratum_size": "可抽企业数",
        "drawn_before": "本年此前已抽数",
        "ratio_bp": "抽查比例（万分之）",
        "rounding": "取整规则",
        "target": "本年累计应抽数",
        "quota": "本轮应抽数",
        "basis": "依据",
        "exception_id": "特殊需求编号（空为无）",
        "arithmetic": "算式",
    },
    "by_unit",
    "r.plan_id, r.round, r.item_code, r.platform_grade",
)
_LEADS = ExtractTable(
    "leads",
    "问题线索核查任务（不经抽取，限于线索范围）",
    f"""
    select
        l.unit_id, l.lead_id as task_no, {words("l.lead_type", LEAD_TYPES)} as lead_type, l.uscc, e.enterprise_name, e.address,
        l.received_date, coalesce(l.scope, '') as scope, coalesce(i.item_name, l.item_code, '') as item,
        coalesce(l.source_ref, '') as source_ref, {words("p.state", STATES)} as state, p.check_date,
        {words("p.outcome", OUTCOMES)} as outcome, l.closed_date, coalesce(p.state, '') in ('open', 'overdue') as is_open
    from inspection.lead_checks l
    left join inspection.inspection_progress p on p.kind = 'case' and p.lead_id = l.lead_id
    left join extract_names e on e.uscc = l.uscc
    left join extract_items i on i.item_code = l.item_code
    anti join extract_withheld w on w.uscc = l.uscc
    """,
    {
        "task_no": "线索编号（报送核查结果时填入 task_no，检查来源填“个案”）",
        "lead_type": "线索类型",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "address": "住所",
        "received_date": "接收日期",
        "scope": "核查范围",
        "item": "涉及事项",
        "source_ref": "来源编号",
        "state": "状态",
        "check_date": "核查日期",
        "outcome": "核查结论",
        "closed_date": "办结日期",
    },
    "by_unit",
    "not r.is_open, r.received_date, r.task_no",
)
_CAMPAIGNS = ExtractTable(
    "campaign_targets",
    "专项整治检查对象",
    f"""
    select
        c.unit_id, c.campaign_id, c.title, c.uscc, e.enterprise_name, e.address, coalesce(i.item_name, c.item_code, '') as item,
        {words("c.rule", CAMPAIGN)} as rule, c.priority, c.starts_on, c.ends_on
    from inspection.campaign_targets c
    left join extract_names e using (uscc)
    left join extract_items i on i.item_code = c.item_code
    anti join extract_withheld w using (uscc)
    where c.excluded_reason = ''
    """,
    {
        "campaign_id": "专项整治编号",
        "title": "专项整治名称",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "address": "住所",
        "item": "检查事项",
        "rule": "列入规则",
        "priority": "优先顺序（1为最先）",
        "starts_on": "开始日期",
        "ends_on": "结束日期",
    },
    "by_unit",
    "r.campaign_id, r.priority, r.uscc",
)
_MISSING = ExtractTable(
    "results_missing",
    "尚缺检查结果的任务与线索",
    f"""
    with missing as (
        select
            part_unit as unit_id, kind, task_no, plan_id, round, uscc, since_date, due_date,
            cast(due_date - date '{{day}}' as integer) as days_left, case when due_date < date '{{day}}' then 'overdue' else 'open' end as state
        from extract_visits
        where
            state in ('open', 'overdue')
            -- Of a joint visit each unit sends its own results.
            or (state = 'done' and units like '%|%' and position('|' || part_unit || '|' in '|' || reported_units || '|') = 0)
        union all
        select unit_id, kind, task_no, null, null, uscc, since_date, due_date, days_left, state
        from inspection.inspection_progress
        where kind = 'case' and state = 'open'
    )
    select
        m.unit_id, m.task_no, {words("m.kind", KINDS)} as kind, m.plan_id, m.round, m.uscc, e.enterprise_name, m.since_date,
        m.due_date, m.days_left, {words("m.state", STATES)} as state
    from missing m
    left join extract_names e using (uscc)
    anti join extract_withheld w using (uscc)
    """,
    {
        "task_no": "任务编号或线索编号（报送检查结果时填入 task_no）",
        "kind": "检查来源",
        "plan_id": "抽查计划编号（线索为空）",
        "round": "轮次",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "since_date": "名单冻结日或线索接收日",
        "due_date": "检查期限（线索为空）",
        "days_left": "距检查期限的天数（负数为已逾期）",
        "state": "状态",
    },
    "by_unit",
    "r.due_date nulls last, r.task_no, r.uscc",
)
_DEADLINES = ExtractTable(
    "deadlines",
    "检查结果公示与责令改正的时限（尚未办结的）",
    f"""
    select
        c.unit_id, c.task_no, {words("c.kind", KINDS)} as kind, c.uscc, e.enterprise_name, c.check_date, c.publication_due_date,
        c.publication_days_left, {words("c.publication_state", PUBLICATION)} as publication_state,
        case when c.is_calendar_covered then '' else '节假日表未覆盖该年度，按周一至周五计算' end as calendar_note,
        c.rectify_due_date, c.rectification_days_left, {words("c.rectification_state", RECTIFICATION)} as rectification_state
    from inspection.publication_clock c
    left join extract_names e using (uscc)
    anti join extract_withheld w using (uscc)
    where c.publication_state in ('due', 'overdue') or c.rectification_state in ('due', 'overdue')
    """,
    {
        "task_no": "任务编号",
        "kind": "检查来源",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "check_date": "检查日期",
        "publication_due_date": "应公示日（检查后规定的工作日内）",
        "publication_days_left": "距应公示日的工作日数（负数为已逾期，空为已公示）",
        "publication_state": "公示状态",
        "calendar_note": "工作日历说明（空为正常）",
        "rectify_due_date": "责令改正期限",
        "rectification_days_left": "距改正期限的天数（负数为已逾期）",
        "rectification_state": "改正状态（空为无须改正）",
    },
    "by_unit",
    "r.publication_due_date, r.task_no, r.uscc",
)
_MEASURES = ExtractTable(
    "measures",
    "各等级监管措施",
    f"""
    select grade, rank, title, text_zh, {basis_words("basis")} as basis
    from policy.measures
    where effective_from <= date '{{day}}' and effective_to >= date '{{day}}'
    """,
    {"grade": "信用风险等级", "rank": "序号", "title": "措施", "text_zh": "内容", "basis": "依据"},
    "all",
    "r.grade, r.rank",
)

INSPECTION_TABLES = (
    _TASKS, _DRAWN_ITEMS, _INSPECTORS, _QUOTAS, _LEADS, _CAMPAIGNS, _MISSING, _DEADLINES, _MEASURES,
)  # fmt: skip
