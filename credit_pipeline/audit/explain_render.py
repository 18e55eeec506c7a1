"""An explanation for people, in Chinese or English. What is read stands in `audit.explain`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from credit_pipeline.audit.explain_words import (
    LINK_WORDS,
    RISK_WORDS,
    column_words,
    fact_words,
    words_of,
)
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.grading.reason_words import CHANGE_WORDS, VETO_WORDS

MICRO = 1_000_000
RECORDS_SHOWN = 20
REASONS_SHOWN = 12

_STEPS = {
    "score": ("得分", "score"),
    "negative_record_rule": ("不良记录规则", "negative record rule"),
    "data_poor": ("信息不足与新设企业", "data-poor and new enterprises"),
    "veto": ("直接判定", "vetoes and floors"),
    "objection": ("异议期间", "pending objection"),
    "industry_rating": ("行业信用评价", "industry rating"),
    "unit_system": ("本单位指标体系", "the unit's own system"),
}
_RULES = {
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
_FACTS = {
    "probability": ("概率", "probability"),
    "negative_records": ("在效不良记录数", "negative records"),
    "kinds_of_information": ("信息类别数", "kinds of information"),
    "mapped": ("对应等级", "mapped to"),
    "system": ("体系", "system"),
    "score_bp": ("体系得分（万分之）", "system score in ten-thousandths"),
    "system_grade": ("体系等级", "grade of the system"),
    "combination": ("结合方式", "combination"),
}  # fmt: skip
_VALUES = {"none": ("无", "none"), "neutral": ("中性", "neutral")}
_COMBINATIONS = {
    "one_step": ("至多移动一级", "one step at most"),
    "worse_of": ("取较低者", "the worse counts"),
    "as_rating": ("下调至体系等级，上调至多一级", "down to the system's grade, one step up at most"),
    "inform_only": ("仅供参考", "for information only"),
}
_COUNTED = {
    "negative_count": ("计入在效不良记录数", "counts as a negative record in effect"),
    "negative_count_12m": ("计入近12个月不良记录数（决定能否上调）", "counts as a negative record of the last 12 months (no step up)"),
    "current_listing_count": ("当前列入", "listed now"),
    "evidence_count": ("该类信息视为有数据", "makes its kind of information known"),
}  # fmt: skip
_REASONS = {
    "repaired": ("已信用修复", "repaired"),
    "withdrawn": ("已撤销，自始无效", "withdrawn, void from the start"),
    "ended": ("经确认已终止", "confirmed to have ended"),
    "expired": ("影响期届满", "its effect period is over"),
    "no_weight": ("不计分（无问题、未查实、不予处罚或已被后续记录取代）",
                  "has no weight (nothing found, not verified, no penalty, or superseded)"),
}  # fmt: skip
_WORDS = {
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


def render_explanation(found: dict[str, Any], console: Console) -> None:
    """Print the answer for people, in the language it was asked for."""
    _Page(found, console).render()


class _Page:
    def __init__(self, found: dict[str, Any], console: Console) -> None:
        self.found = found
        self.console = console
        self.language = found["language"]
        self.at = 0 if self.language == "zh" else 1
        self.feeds = {
            name: feed.label if self.at == 0 else name.replace("_", " ")
            for name, feed in load_catalogue().items()
        }

    def word(self, name: str, table: dict[str, tuple[str, str]] = _WORDS) -> str:
        return table[name][self.at] if name in table else name

    def line(self, text: str, **style: Any) -> None:
        self.console.print(escape(text), highlight=False, soft_wrap=True, **style)

    def then(self, text: str) -> str:
        return f"；{text}" if self.at == 0 else f"; {text}"

    def head(self, name: str) -> None:
        self.console.print(f"\n[bold]{self.word(name)}[/bold]", highlight=False)

    def render(self) -> None:
        found, word = self.found, self.word
        enterprise = found["enterprise"]
        self.line(found["notice"], style="bold red")
        self.line(f"{found['uscc']} {enterprise['enterprise_name']}", style="bold")
        if found["compared"] is not None or found["known_later"]:
            same = {True: "same", False: "differs", None: "not_stored"}[found["compared"]]
            self.line(
                f"{word('other_day')}；{word(same)}"
                if self.at == 0
                else f"{word('other_day')}; {word(same)}."
            )
        if found["platform_grade"] is None:
            self.line(f"{word('not_graded')}{found['why']}")
        else:
            self.line(
                f"{word('grade')} {found['grade_label'] if self.at == 0 else found['platform_grade']} · {word('as_of')} {found['as_of_date']} · "
                f"{word('probability')} {found['probability']:.1%} · {word('kinds')} {found['data_completeness']}"
            )
            self.steps()
            self.reasons()
            self.points()
        self.records()
        self.no_longer()
        self.waiting()
        if found["missing"]:
            self.head("missing")
            self.line("  " + ("、" if self.at == 0 else "; ").join(found["missing"]))
        self.history()
        self.units()
        self.line("\n" + found["notice"], style="bold red")

    def steps(self) -> None:
        self.head("steps")
        for step in self.found["steps"]:
            unit = ""
            if step["unit_id"]:
                unit = f"{step['unit_id']} {self.found['unit_names'].get(step['unit_id'], '')} "
            before = f"{step['grade_before']} → " if step["grade_before"] else ""
            detail = self.detail(step["detail"]) if step["step"] != "veto" else ""
            self.line(
                f"  {unit}{step['step_no']}. {self.word(step['step'], _STEPS)}: {before}{step['grade_after']} "
                f"{self.word(step['rule'], _RULES)}{detail}"
            )
        for veto in self.found["vetoes"]:
            until = self.then(
                f"{self.word('until')} {last_day(veto['effect_end'])}"
                if veto["effect_end"]
                else self.word("lasting")
            )
            disputed = self.then(self.word("objection")) if veto["is_disputed"] else ""
            self.line(
                f"  {self.word('veto')}: {self.word(veto['veto'], VETO_WORDS)} ({veto['record_no']}, {veto['event_date']}; "
                f"{self.place(veto)}){until}{disputed}",
                style="red",
            )

    def detail(self, text: str) -> str:
        """The facts a step looked at, for example `（概率=2.30%）`."""
        told = []
        for fact in filter(None, text.split("; ")):
            name, _, value = fact.partition("=")
            if name == "score_micro":
                continue
            if name == "probability":
                value = f"{float(value):.2%}"
            elif name == "system":
                value = (
                    self.found["system_labels"].get(value, value) if self.at == 0 else value.replace("_", " ")
                )
            elif name == "combination":
                value = self.word(value, _COMBINATIONS)
            elif value in ("none", "neutral"):
                value = self.word(value, _VALUES)
            label = (
                self.word(name, _FACTS)
                if name in _FACTS
                else fact_words("industry_ratings", "scheme", name, self.language)
            )
            told.append(f"{label} {value}")
        if not told:
            return ""
        return f"（{'，'.join(told)}）" if self.at == 0 else f" ({', '.join(told)})"

    def reasons(self) -> None:
        raising = [item for item in self.found["points"] if item["points_over"] > 0][:5]
        self.head("reasons")
        for number, item in enumerate(raising, start=1):
            ends = [
                record["effect_end"]
                for record in item["records"]
                if record["contribution"] and record["effect_end"]
            ]
            until = self.then(f"{self.word('until')} {last_day(max(ends))}") if ends else ""
            self.line(f"  {number}. {item['sentence']}{until}")
        if not raising:
            self.line(f"  {self.word('none')}")

    def points(self) -> None:
        table = Table(title=self.word("points"), title_justify="left")
        for name in ("indicator", "value", "own", "norm", "over"):
            table.add_column(self.word(name), justify="left" if name == "indicator" else "right")
        for item in self.found["points"]:
            if item["micro_points"] or item["norm_micro"]:
                table.add_row(
                    item["label"],
                    item["value_text"],
                    *(self.size(item[name]) for name in ("micro_points", "norm_micro", "points_over")),
                )
        total = sum(item["micro_points"] for item in self.found["points"])
        start, score = self.found["intercept_micro"], self.found["score_micro"]
        table.add_section()
        for name, micro in (("sum", total), ("intercept", start), ("score", score)):
            table.add_row(self.word(name), "", self.size(micro), "", "")
        self.console.print(table)

    @staticmethod
    def size(micro: int) -> str:
        """Points with three decimals; zero and what rounds to it have no minus."""
        return f"{round(micro / MICRO, 3) + 0.0:+.3f}"

    def relation(self, others: dict[str, Any]) -> str:
        """How a related enterprise is related and why it is risky."""
        if not others.get("related_uscc"):
            return ""
        links = words_of(others.get("link_kinds"), LINK_WORDS, self.language)
        risks = words_of(others.get("risks"), RISK_WORDS, self.language) or self.word("none")
        steps = self.word("steps_away").format(others["hop"])
        said = (
            f"{self.word('related')} {others['related_uscc']}",
            links,
            steps,
            f"{self.word('risks')} {risks}",
        )
        return self.then(("，" if self.at == 0 else ", ").join(filter(None, said)))

    def place(self, record: dict[str, Any]) -> str:
        sheet = f" [{record['source_sheet']}]" if record["source_sheet"] else ""
        return f"{record['source_file']}{sheet} {self.word('row').format(record['source_row'])}"

    def records(self) -> None:
        self.head("records")
        for feed, records in self.found["records"].items():
            self.line(f"  {self.feeds.get(feed, feed)}: {len(records)}", style="bold")
            for record in records[:RECORDS_SHOWN]:
                between, colon = ("，", "") if self.at == 0 else (", ", ":")
                enters = between.join(
                    f"{self.found['labels'].get(name, name)}{colon} {value}"
                    for name, value in record["contribution_words"].items()
                ) or between.join(
                    [self.word("no_points"), *(self.word(name, _COUNTED) for name in record["weighs_in"])]
                )
                until = ""
                if record["effect_end"]:
                    over = record["effect_end"] <= self.found["as_of_date"]
                    until = self.then(
                        f"{self.word('weighed' if over else 'until')} {last_day(record['effect_end'])}"
                    )
                objection = self.then(self.word("objection")) if record["in_objection"] else ""
                said = between.join(
                    f"{column_words(feed, name, self.language)} "
                    + fact_words(feed, name, value, self.language, self.found["result_labels"])
                    for name, value in record["facts"].items()
                ) + self.relation(record["others"])
                self.line(
                    f"    {record['event_date']} {record['record_no']} · {self.place(record)} · {enters}{until}{objection}"
                )
                if said:
                    self.line(f"      {said}", style="dim")
            self.more(len(records))
        if not self.found["records"]:
            self.line(f"  {self.word('none')}")

    def more(self, count: int) -> None:
        if count > RECORDS_SHOWN:
            self.line("    " + self.word("more").format(count - RECORDS_SHOWN))

    def no_longer(self) -> None:
        if not self.found["no_longer"]:
            return
        self.head("no_longer")
        for record in self.found["no_longer"][:RECORDS_SHOWN]:
            since = f" {self.word('since')} {record['since']}" if record["since"] else ""
            self.line(
                f"  {self.feeds.get(record['feed'], record['feed'])} {record['record_no']} {record['event_date']}: "
                f"{self.word(record['reason'], _REASONS)}{since} · {self.place(record)}"
            )
        self.more(len(self.found["no_longer"]))

    def waiting(self) -> None:
        if self.found["awaiting"]:
            self.head("awaiting")
            for party in self.found["awaiting"]:
                self.line(
                    f"  {party['party_name'] or '–'}: {party['rows_by_feed']} {self.word('since')} {party['waiting_since']} ({party['why']})"
                )
        if self.found["known_later"]:
            self.head("known_later")
            for record in self.found["known_later"][:RECORDS_SHOWN]:
                self.line(
                    f"  {self.feeds.get(record['feed'], record['feed'])} {record['record_no']} {record['event_date']} "
                    f"{self.word('since')} {record['known_since']} · {self.place(record)}"
                )
            self.more(len(self.found["known_later"]))

    def history(self) -> None:
        if self.found["changes"]:
            self.head("changes")
            for change in self.found["changes"]:
                detail = self.change_detail(change)
                self.line(
                    f"  {change['as_of_date']}: {change['old_grade'] or '–'} → {change['new_grade'] or '–'} "
                    f"{self.word(change['reason'], CHANGE_WORDS)}{detail}"
                )
        if self.found["affected"]:
            self.head("affected")
            for row in self.found["affected"]:
                days = self.word("days").format(
                    row["graded_days"], row["first_graded_day"], row["last_graded_day"], row["grade_then"]
                )
                frame = self.word("frame").format(row["frozen_rounds"]) if row["frozen_rounds"] else ""
                self.line(
                    f"  {self.feeds.get(row['feed'], row['feed'])} {row['record_no']}: {self.word(row['what_happened'], _REASONS)} "
                    f"{row['known_on']}; {days}{frame}"
                )

    def change_detail(self, change: dict[str, Any]) -> str:
        """The vetoes or the indicators behind a change, with the move of their points."""
        told = []
        for part in filter(None, (change["detail"] or "").split("|")):
            name, _, moved = part.partition(":")
            words = (
                self.word(name, VETO_WORDS) if name in VETO_WORDS else self.found["labels"].get(name, name)
            )
            told.append(f"{words} {int(moved) / MICRO:+.2f}" if moved else words)
        if not told:
            return ""
        return f"（{'，'.join(told)}）" if self.at == 0 else f" ({', '.join(told)})"

    def units(self) -> None:
        if not self.found["units"]:
            return
        self.head("units")
        for unit in self.found["units"]:
            self.line(f"  {unit['unit_id']} {unit['unit_name'] or ''}: {unit['unit_grade']}")
            points = unit.get("system_points", [])
            if points:
                self.line(f"    {self.word('system_points')}")
            for point in points:
                label = self.found["labels"].get(point["indicator"], point["indicator"])
                how = self.word("system_point").format(point["weight"], point["risk_bp"])
                self.line(f"      {label}: {point['points_bp']}{how}")
            if points:
                self.line(f"      {self.word('total')}: {sum(point['points_bp'] for point in points)}")


def last_day(effect_end: Any) -> Any:
    """The last day on which something weighs: the day before it ends."""
    return effect_end - timedelta(days=1)
