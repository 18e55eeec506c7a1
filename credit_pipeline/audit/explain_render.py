"""An explanation for people, in Chinese or English. What is read stands in `audit.explain`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from credit_pipeline.audit.explain_words import (
    COMBINATIONS,
    COUNTED,
    FACTS,
    LINK_WORDS,
    REASONS,
    RISK_WORDS,
    RULES,
    STEPS,
    VALUES,
    WORDS,
    column_words,
    fact_words,
    record_words,
    words_of,
)
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.grading.reason_words import CHANGE_WORDS, VETO_WORDS

MICRO = 1_000_000
RECORDS_SHOWN = 20


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

    def word(self, name: str, table: dict[str, tuple[str, str]] = WORDS) -> str:
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
                f"  {unit}{step['step_no']}. {self.word(step['step'], STEPS)}: {before}{step['grade_after']} "
                f"{self.word(step['rule'], RULES)}{detail}"
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
                value = self.word(value, COMBINATIONS)
            elif value in ("none", "neutral"):
                value = self.word(value, VALUES)
            label = (
                self.word(name, FACTS)
                if name in FACTS
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
                    [self.word("no_points"), *(self.word(name, COUNTED) for name in record["weighs_in"])]
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
                    f"    {record['event_date']} {record_words(feed, record['record_no'], self.language)} · {self.place(record)} · {enters}{until}{objection}"
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
                f"  {self.feeds.get(record['feed'], record['feed'])} {record_words(record['feed'], record['record_no'], self.language)} {record['event_date']}: "
                f"{self.word(record['reason'], REASONS)}{since} · {self.place(record)}"
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
                    f"  {self.feeds.get(record['feed'], record['feed'])} {record_words(record['feed'], record['record_no'], self.language)} {record['event_date']} "
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
                    f"  {self.feeds.get(row['feed'], row['feed'])} {record_words(row['feed'], row['record_no'], self.language)}: {self.word(row['what_happened'], REASONS)} "
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
