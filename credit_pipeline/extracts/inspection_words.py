"""What the codes of inspections are called in an extract."""

from __future__ import annotations

from credit_pipeline.extracts.extract_table import words

ADVICE = {
    "no_penalty": "首次轻微违法且未对社会、人身造成危害的，提示不予行政处罚",
    "warning": "轻微违法且未造成社会危害的，提示以警告为主，督促改正",
    "none": "",
}
STATES = {
    "open": "待检查",
    "overdue": "逾期未检查",
    "done": "已检查",
    "cannot_inspect": "无法检查",
    "topped_up": "已递补",
    "closed": "已办结，未现场检查",
}
OUTCOMES = {
    "problem": "发现问题",
    "clean": "未发现问题",
    "neutral": "未发现相关经营活动",
    "not_inspectable": "无法检查",
}
FINDINGS = {
    "unknown_code": "检查结果代码不在代码表内",
    "no_problem_with_others": "“未发现问题”不能与其他结果并存",
    "contradictory": "“无法检查”与其他结果并存",
    "checked_by_another_unit": "由未参加该任务的单位报送",
    "checked_before_the_draw": "检查日期早于抽取",
}
ROLES = {"leader": "组长", "member": "组员"}
ROUNDING = {"ceil": "向上取整", "floor": "向下取整", "half_up": "四舍五入"}
_BASIS = {"notice": "市通知"}
LEAD_TYPES = {"complaint": "投诉举报", "monitoring": "大数据监测", "transferred": "转办交办"}
KINDS = {"random": "双随机", "case": "个案核查", "campaign": "专项整治", "superior_task": "上级交办"}
PUBLICATION = {"due": "待公示", "overdue": "逾期未公示", "published": "已公示", "published_late": "逾期公示"}
RECTIFICATION = {"due": "待改正", "overdue": "逾期未改正", "done": "已改正", "done_late": "逾期改正", "": ""}
CAMPAIGN = {"always": "必查", "priority": "优先", "by_rule": "按整治方案"}
_POLICY_DEFAULT = "政策默认值，非法律规定"


def basis_words(expression: str) -> str:
    """Where a rule comes from, in words; citations stay as they are."""
    return (
        f"case when {expression} like 'policy default, not law%' then '{_POLICY_DEFAULT}' "
        f"else {words(expression, _BASIS)} end"
    )
