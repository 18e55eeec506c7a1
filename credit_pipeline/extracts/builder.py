"""What a unit receives: the queries of its extract, their Chinese comments, and the notice on top.

Only the unit's own enterprises, only the columns listed here (an allow-list), personal names masked. How the file is
encrypted and replaced is `extracts.publish`; what it may contain is decided here and nowhere else.
"""

from __future__ import annotations

from datetime import date

import duckdb
import pyarrow as pa

from credit_pipeline.extracts.classification import allowed
from credit_pipeline.extracts.extract_table import ExtractTable, words
from credit_pipeline.extracts.inspection_tables import INSPECTION_TABLES, PREPARED_INSPECTIONS
from credit_pipeline.extracts.inspection_words import ADVICE
from credit_pipeline.extracts.publish import Comments
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.grading.reason_words import CHANGE_WORDS, RECORD_CODES, code_words, sentence, value_words

CONTRACT_VERSION = 3
"""Raised when a table or column that units rely on goes or changes its meaning."""

NOTICE = (
    "内部资料，注意保密。企业信用风险等级是市场监管部门配置监管资源的参考指标，不得向社会公开；"
    "不得单独作为行政处罚、许可限制等决定的依据。本数据仅供接收单位在法定职责范围内使用。"
)

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
    for sql in (*_PREPARED, *PREPARED_INSPECTIONS):
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
        e.uscc, e.enterprise_name, {words("e.status", code_words("registrations", "status"))} as status, e.region, e.industry_section, e.established_date, e.is_safety_related,
        s.safety_tags,
        g.platform_grade, ug.unit_grade, c.previous_grade, c.changed_on, c.change_reason,
        (g.as_of_date + to_months(coalesce((
            select max(value) from policy.model_policy
            where parameter = 'grade_validity_months' and effective_from <= date '{{day}}' and effective_to >= date '{{day}}'
        ), 1)::integer))::date as valid_until,
        v.veto_text, r.reason_1, r.reason_2, r.reason_3, i.last_checked_on, coalesce(i.visits_this_year, 0) as visits_this_year,
        coalesce(i.visits_planned, 0) as visits_planned,
        case when cap.visits > 0 then greatest(0, cap.visits - coalesce(i.visits_counted, 0)) end as visits_left,
        {words("a.first_minor_violation", ADVICE)} as minor_violation_advice, a.honours_priority, a.recheck,
        g.data_completeness, g.as_of_date, g.policy_version, g.model_digest
    from enterprises.enterprise_units u
    join enterprises.enterprises e using (uscc)
    left join grading.enterprise_grades g using (uscc)
    left join grading.unit_grades ug on ug.unit_id = u.unit_id and ug.uscc = u.uscc
    left join reasons r on r.uscc = u.uscc
    left join extract_last_changes c on c.uscc = u.uscc
    left join extract_vetoes v on v.uscc = u.uscc
    left join extract_safety s on s.uscc = u.uscc
    left join extract_visit_counts i on i.uscc = u.uscc
    cross join extract_visit_cap cap
    left join extract_advice a on a.grade = g.platform_grade and a.is_safety_related = e.is_safety_related
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
    select x.uscc, i.label, {words("x.feed", {name: feed.label for name, feed in load_catalogue().items()})} as feed,
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
EXTRACT_TABLES: dict[str, ExtractTable] = {
    "enterprises": _ENTERPRISES,
    "grade_reasons": _GRADE_REASONS,
    "grade_evidence": _GRADE_EVIDENCE,
    "grade_changes": _GRADE_CHANGES,
    **INSPECTION_TABLES,
}


def unit_tables(unit_id: str, unit_name: str, as_of_date: date) -> dict[str, str | pa.Table]:
    """All tables of one unit's extract, as queries over the warehouse or as finished tables."""
    tables: dict[str, str | pa.Table] = {
        name: allowed(name, table.sql, table.columns)
        .replace("{unit}", unit_id)
        .replace("{day}", as_of_date.isoformat())
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
