"""What a unit receives: the queries of its extract, their Chinese comments, and the notice on top.

Only the unit's own enterprises, only the columns listed here (an allow-list), personal names masked. How the file is
encrypted and replaced is `extracts.publish`; what it may contain is decided here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa

from credit_pipeline.extracts.publish import Comments
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.grading.reason_words import CHANGE_WORDS, RECORD_CODES, code_words, sentence, value_words

CONTRACT_VERSION = 2
"""Raised when a table or column that units rely on goes or changes its meaning."""

NOTICE = (
    "内部资料，注意保密。企业信用风险等级是市场监管部门配置监管资源的参考指标，不得向社会公开；"
    "不得单独作为行政处罚、许可限制等决定的依据。本数据仅供接收单位在法定职责范围内使用。"
)

OTHERS = "非本单位监管的关联方"
"""Stands for a related enterprise or person that the unit does not supervise: whose facts those are is not its business."""


@dataclass(frozen=True)
class ExtractTable:
    """One table of the extract: its query for one unit (`$unit`), and what it and its columns are called."""

    label: str
    sql: str
    columns: dict[str, str]

    @property
    def comments(self) -> Comments:
        return Comments(self.label, self.columns)


def _words(expression: str, words: dict[str, str]) -> str:
    cases = " ".join(f"when '{code}' then '{word}'" for code, word in words.items())
    return f"case {expression} {cases} else {expression} end"


def _change_words(reason: str) -> str:
    return _words(reason, {code: words[0] for code, words in CHANGE_WORDS.items()})


def _record_words(feed: str, record_no: str) -> str:
    """A record's number with its leading code as a word, for example 纳税信用 2025."""
    code = f"split_part({record_no}, ' ', 1)"
    coded = " ".join(
        f"when '{name}' then {_words(code, code_words(name, column))} "
        f"|| substr({record_no}, position(' ' in {record_no}))"
        for name, column in RECORD_CODES.items()
    )
    return f"case {feed} {coded} else {record_no} end"


_PREPARED = (
    # Whatever all units need, once: a window over the whole history for each of 60 units would be 60 windows.
    f"""
    create or replace temporary table extract_last_changes as
    select uscc, old_grade as previous_grade, as_of_date as changed_on, {_change_words("reason")} as change_reason
    from grading.grade_history
    where as_of_date <= date '{{day}}' and old_grade is not null
    qualify row_number() over (partition by uscc order by as_of_date desc) = 1
    """,
    """
    create or replace temporary table extract_vetoes as
    select uscc, string_agg(label || '（' || coalesce(record_no, '无编号') || '，' || event_date || '）', '；' order by veto_grade desc, veto)
        as veto_text
    from grading.grade_vetoes group by uscc
    """,
    """
    create or replace temporary table extract_indicators as
    select indicator, label, unit, window_months from policy.indicators
    where effective_from <= date '{day}' and effective_to >= date '{day}'
    """,
)
_REASONS_OF_UNIT = f"""
    select r.uscc, r.reason_rank, i.label, {value_words("zh", "r.indicator_value")} as value_text, r.norm_micro, r.points_over,
        {sentence("zh")} as sentence
    from grading.grade_reasons r
    semi join (select uscc from enterprises.enterprise_units where unit_id = '{{unit}}') u using (uscc)
    join extract_indicators i using (indicator)
"""


def prepare_extracts(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> None:
    """Make what the queries of all units share, as temporary tables of the connection."""
    for sql in _PREPARED:
        connection.execute(sql.replace("{day}", as_of_date.isoformat()))


_ENTERPRISES = ExtractTable(
    "本单位监管企业及信用风险等级（内部参考）",
    f"""
    with reasons as (
        select uscc, max(sentence) filter (reason_rank = 1) as reason_1, max(sentence) filter (reason_rank = 2) as reason_2,
            max(sentence) filter (reason_rank = 3) as reason_3
        from ({_REASONS_OF_UNIT}) group by uscc
    )
    select
        e.uscc, e.enterprise_name, {_words("e.status", code_words("registrations", "status"))} as status, e.region, e.industry_section, e.established_date, e.is_safety_related,
        g.platform_grade, ug.unit_grade, c.previous_grade, c.changed_on, c.change_reason,
        (g.as_of_date + to_months(coalesce((
            select max(value) from policy.model_policy
            where parameter = 'grade_validity_months' and effective_from <= date '{{day}}' and effective_to >= date '{{day}}'
        ), 1)::integer))::date as valid_until,
        v.veto_text, r.reason_1, r.reason_2, r.reason_3, g.data_completeness, g.as_of_date, g.policy_version, g.model_digest
    from enterprises.enterprise_units u
    join enterprises.enterprises e using (uscc)
    left join grading.enterprise_grades g using (uscc)
    left join grading.unit_grades ug on ug.unit_id = u.unit_id and ug.uscc = u.uscc
    left join reasons r on r.uscc = u.uscc
    left join extract_last_changes c on c.uscc = u.uscc
    left join extract_vetoes v on v.uscc = u.uscc
    where u.unit_id = '{{unit}}'
    order by e.uscc
    """,
    {
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "status": "登记状态",
        "region": "行政区划代码",
        "industry_section": "行业门类",
        "established_date": "成立日期",
        "is_safety_related": "是否涉及安全",
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
        "data_completeness": "有数据的信息类别数",
        "as_of_date": "数据截止日",
        "policy_version": "政策版本",
        "model_digest": "评价模型摘要",
    },
)
_GRADE_REASONS = ExtractTable(
    "主要影响因素：得分高于同类企业平均最多的指标",
    f"""
    select uscc, reason_rank, label, value_text, norm_micro / 1e6 as peer_norm, points_over / 1e6 as points_over, sentence
    from ({_REASONS_OF_UNIT})
    order by uscc, reason_rank
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
)
_GRADE_EVIDENCE = ExtractTable(
    "主要影响因素所依据的记录",
    f"""
    with own as (select uscc from enterprises.enterprise_units where unit_id = '{{unit}}')
    select x.uscc, i.label, {_words("x.feed", {name: feed.label for name, feed in load_catalogue().items()})} as feed,
        case when x.feed = 'related_parties' and o.uscc is null then '{OTHERS}' else {_record_words("x.feed", "x.record_no")} end
            as record_no,
        x.event_date, x.effect_end - 1 as effect_until, x.source_file, x.source_sheet, x.source_row, x.ingest_date
    from grading.grade_evidence x
    semi join own u using (uscc)
    left join own o on o.uscc = x.record_no
    join extract_indicators i using (indicator)
    order by all
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
)
_GRADE_CHANGES = ExtractTable(
    "市平台等级变动记录",
    f"""
    select h.uscc, h.as_of_date as changed_on, h.old_grade, h.new_grade, {_change_words("h.reason")} as change_reason
    from grading.grade_history h
    semi join (select uscc from enterprises.enterprise_units where unit_id = '{{unit}}') u using (uscc)
    where h.as_of_date <= date '{{day}}'
    order by h.uscc, h.as_of_date
    """,
    {
        "uscc": "统一社会信用代码",
        "changed_on": "变动之日",
        "old_grade": "原等级（首次定级为空）",
        "new_grade": "新等级（不再定级为空）",
        "change_reason": "变动原因",
    },
)
_TASKS = ExtractTable(
    "本单位抽查任务（双随机抽取结果）",
    """
    select
        d.plan_id, d.round, d.uscc, e.enterprise_name, e.address, e.region, d.platform_grade, d.rank, d.quota,
        d.stratum_size, m.handling
    from inspection.inspection_draws d
    semi join inspection.inspection_rounds r on r.plan_id = d.plan_id and r.round = d.round
    left join enterprises.enterprises e using (uscc)
    left join (
        select grade, string_agg(title, '；' order by rank) as handling from policy.measures
        where effective_from <= date '{day}' and effective_to >= date '{day}' group by grade
    ) m on m.grade = d.platform_grade
    where d.unit_id = '{unit}'
    order by d.plan_id, d.round, d.uscc
    """,
    {
        "plan_id": "抽查计划编号",
        "round": "轮次",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "address": "住所",
        "region": "行政区划代码",
        "platform_grade": "抽取时的信用风险等级（仅供参考）",
        "rank": "层内抽取序号",
        "quota": "层内应抽数",
        "stratum_size": "层内企业数",
        "handling": "监管措施",
    },
)
_INSPECTORS = ExtractTable(
    "检查人员安排",
    """
    select a.plan_id, a.round, a.uscc, e.enterprise_name, a.inspector_id, i.inspector_name, a.role, a.position
    from inspection.inspector_assignments a
    semi join inspection.inspection_rounds r on r.plan_id = a.plan_id and r.round = a.round
    left join enterprises.enterprises e using (uscc)
    left join (select inspector_id, inspector_name from staging.stg_inspectors where known_to is null) i using (inspector_id)
    where a.unit_id = '{unit}'
    order by a.plan_id, a.round, a.uscc, a.position
    """,
    {
        "plan_id": "抽查计划编号",
        "round": "轮次",
        "uscc": "统一社会信用代码",
        "enterprise_name": "企业名称",
        "inspector_id": "检查人员编号",
        "inspector_name": "检查人员姓名",
        "role": "组长 leader 或组员 member",
        "position": "序号",
    },
)
_QUOTAS = ExtractTable(
    "本单位各等级抽查比例与数量",
    """
    select plan_id, round, platform_grade, stratum_size, ratio_bp, rounding, quota, basis, arithmetic
    from inspection.inspection_quotas
    where unit_id = '{unit}'
    order by plan_id, round, platform_grade
    """,
    {
        "plan_id": "抽查计划编号",
        "round": "轮次",
        "platform_grade": "信用风险等级",
        "stratum_size": "可抽企业数",
        "ratio_bp": "抽查比例（万分之）",
        "rounding": "取整规则",
        "quota": "应抽数",
        "basis": "依据",
        "arithmetic": "算式",
    },
)
_MEASURES = ExtractTable(
    "各等级监管措施",
    """
    select grade, rank, title, text_zh, basis
    from policy.measures
    where effective_from <= date '{day}' and effective_to >= date '{day}'
    order by grade, rank
    """,
    {"grade": "信用风险等级", "rank": "序号", "title": "措施", "text_zh": "内容", "basis": "依据"},
)

EXTRACT_TABLES: dict[str, ExtractTable] = {
    "enterprises": _ENTERPRISES,
    "grade_reasons": _GRADE_REASONS,
    "grade_evidence": _GRADE_EVIDENCE,
    "grade_changes": _GRADE_CHANGES,
    "inspection_tasks": _TASKS,
    "inspectors": _INSPECTORS,
    "quotas": _QUOTAS,
    "measures": _MEASURES,
}


def unit_tables(unit_id: str, unit_name: str, as_of_date: date) -> dict[str, str | pa.Table]:
    """All tables of one unit's extract, as queries over the warehouse or as finished tables."""
    tables: dict[str, str | pa.Table] = {
        name: table.sql.replace("{unit}", unit_id).replace("{day}", as_of_date.isoformat())
        for name, table in EXTRACT_TABLES.items()
    }
    tables["notice"] = pa.table(
        {
            "unit_id": [unit_id],
            "unit_name": [unit_name],
            "as_of_date": pa.array([as_of_date], pa.date32()),
            "contract_version": pa.array([CONTRACT_VERSION], pa.int32()),
            "notice": [NOTICE],
        }
    )
    dictionary = [
        (table, column, label)
        for table, spec in EXTRACT_TABLES.items()
        for column, label in spec.columns.items()
    ]
    tables["data_dictionary"] = pa.table(
        {
            "table_name": [row[0] for row in dictionary],
            "column_name": [row[1] for row in dictionary],
            "label": [row[2] for row in dictionary],
        }
    )
    return tables


def extract_comments() -> dict[str, Comments]:
    """Chinese comments of every table and column."""
    return {name: table.comments for name, table in EXTRACT_TABLES.items()} | {
        "notice": Comments("使用须知与保密要求", {"notice": "须知", "contract_version": "数据约定版本"}),
        "data_dictionary": Comments("数据字典", {"table_name": "表", "column_name": "字段", "label": "含义"}),
    }
