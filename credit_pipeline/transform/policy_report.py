"""How a comparison of two policy packs is shown: the same tables on the terminal, as Markdown, HTML and JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from credit_pipeline.transform.policy_diff import AT_TRAINING, GRADES, PolicyDiff

ROWS_SHOWN = 60
"""Changed rows that are written out; all are counted."""
STYLE = (
    "body{font-family:sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse;margin:.5em 0 1.5em}"
    "td,th{border:1px solid #bbb;padding:.2em .6em}td.n{text-align:right}th{background:#eee}"
)


@dataclass(frozen=True)
class Section:
    """One table of the report, with words above it."""

    title: str
    words: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int]]


def sections(diff: PolicyDiff) -> list[Section]:
    """The report in the order in which people read it."""
    found = [_tables(diff), _rows(diff)]
    if not diff.changes:
        return found[:1]
    found.append(_summary(diff))
    found.append(_matrix("Platform grades before → after", diff.platform))
    for title, rows in diff.groups.items():
        found.append(
            Section(
                f"Platform grades by {title}", "",
                (title, "enterprises", "better", "worse", "two grades or more", "moved %"),
                [(*row, _percent(row[2] + row[3], row[1])) for row in rows],
            )
        )  # fmt: skip
    found.append(
        Section(
            "What led to the grades that moved", "", ("path before", "path after", "enterprises"), diff.paths
        )
    )
    found.append(Section("Vetoes", "", ("veto", "enterprises before", "after"), diff.vetoes))
    found.append(
        Section(
            "Inspections: quota by grade", "The rounds in force drawn on the day, all units: an enterprise counts once for each unit and item.",
            ("grade", "objects before", "quota before", "objects after", "quota after", "quota difference"),
            [(*row, row[4] - row[2]) for row in diff.quotas],
        )
    )  # fmt: skip
    found.append(
        Section(
            "Units", "Grades better, worse and moved by two or more; pairs for a person to review; quotas of the rounds in force, all items.",
            ("unit", "name", "pairs", "better", "worse", "two or more", "review before", "after", "quota before", "after"),
            [
                tuple(
                    unit[name]
                    for name in (
                        "unit_id", "name", "pairs", "better", "worse", "by_two", "review_before", "review_after",
                        "quota_before", "quota_after",
                    )
                )
                for unit in diff.units
            ],
        )
    )  # fmt: skip
    found.append(Section("Why units' grades moved", "", ("reason", "pairs"), diff.unit_reasons))
    found += [
        _matrix(f"{unit['unit_id']} {unit['name']}: grades before → after", unit["matrix"])
        for unit in diff.units
        if unit["better"] or unit["worse"] or any("–" in cell[:2] for cell in unit["matrix"])
    ]
    return found


def _tables(diff: PolicyDiff) -> Section:
    counts: dict[str, dict[str, int]] = {}
    for item in diff.changes:
        counts.setdefault(item.table, {"added": 0, "removed": 0, "changed": 0})[item.kind] += 1
    words = f"As of {diff.as_of_date}. 内部资料，仅供参考，不得公开. Counts only."
    if not counts:
        words += " The two packs say the same."
    if diff.later:
        words += f" {diff.later} changed rows come into force later: --as-of shows what they do."
    if AT_TRAINING & set(counts):
        words += (
            " What a model is made of ("
            + ", ".join(sorted(AT_TRAINING & set(counts)))
            + ") shows with the next model."
        )
    return Section(
        "Policy tables", words, ("table", "added", "removed", "changed"),
        [(name, count["added"], count["removed"], count["changed"]) for name, count in sorted(counts.items())],
    )  # fmt: skip


def _rows(diff: PolicyDiff) -> Section:
    more = len(diff.changes) - ROWS_SHOWN
    return Section(
        "Changed rows", f"The first {ROWS_SHOWN}; {more} more." if more > 0 else "",
        ("table", "line", "row", "from", "change"),
        [
            (
                item.table, item.line, item.key, item.effective_from,
                "; ".join(f"{name}: {old or '(empty)'} → {new or '(empty)'}" for name, (old, new) in item.values.items())
                or item.kind,
            )
            for item in diff.changes[:ROWS_SHOWN]
        ],
    )  # fmt: skip


def _summary(diff: PolicyDiff) -> Section:
    moved = diff.moved
    return Section(
        "Platform grades", "", ("", "enterprises", "%"),
        [
            ("graded", diff.enterprises, ""),
            ("moved", moved["better"] + moved["worse"], _percent(moved["better"] + moved["worse"], diff.enterprises)),
            ("better", moved["better"], _percent(moved["better"], diff.enterprises)),
            ("worse", moved["worse"], _percent(moved["worse"], diff.enterprises)),
            ("by two grades or more", moved["by_two"], _percent(moved["by_two"], diff.enterprises)),
            ("graded anew", moved["appeared"], ""),
            ("no longer graded", moved["gone"], ""),
        ],
    )  # fmt: skip


def _matrix(title: str, cells: Sequence[tuple[str, str, int]]) -> Section:
    counts = {(before, after): number for before, after, number in cells}
    names = [*GRADES, *(["–"] if any("–" in mark for mark in counts) else [])]
    rows: list[tuple[str | int, ...]] = [
        (
            before,
            *(counts.get((before, after), 0) for after in names),
            sum(counts.get((before, after), 0) for after in names),
        )
        for before in names
    ]
    total: tuple[str | int, ...] = (
        "sum",
        *(sum(counts.get((before, after), 0) for before in names) for after in names),
        sum(counts.values()),
    )
    return Section(title, "", ("before \\ after", *names, "sum"), [*rows, total])


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


def markdown(diff: PolicyDiff) -> str:
    """The report as Markdown."""
    lines = ["# What the new policy would do", ""]
    for part in sections(diff):
        lines += [f"## {part.title}", ""]
        if part.words:
            lines += [part.words, ""]
        if part.rows:
            lines.append("| " + " | ".join(_cell(name) for name in part.columns) + " |")
            lines.append("|" + "---|" * len(part.columns))
            lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in part.rows]
            lines.append("")
    return "\n".join(lines)


def _cell(value: str | int) -> str:
    return (f"{value:,}" if isinstance(value, int) else str(value)).replace("\\", "\\\\").replace("|", "\\|")


def html_page(diff: PolicyDiff) -> str:
    """The report as one HTML page without anything from elsewhere."""
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Policy diff {diff.as_of_date}</title>',
        f"<style>{STYLE}</style><h1>What the new policy would do</h1>",
    ]
    for part in sections(diff):
        parts.append(f"<h2>{html.escape(part.title)}</h2>")
        if part.words:
            parts.append(f"<p>{html.escape(part.words)}</p>")
        if part.rows:
            head = "".join(f"<th>{html.escape(name)}</th>" for name in part.columns)
            body = "".join(
                "<tr>"
                + "".join(
                    f'<td class="n">{value:,}</td>'
                    if isinstance(value, int)
                    else f"<td>{html.escape(value)}</td>"
                    for value in row
                )
                + "</tr>"
                for row in part.rows
            )
            parts.append(f"<table><tr>{head}</tr>{body}</table>")
    return "\n".join(parts) + "\n"


def as_json(diff: PolicyDiff) -> str:
    """The comparison as one JSON object."""
    found: dict[str, Any] = asdict(diff)
    return json.dumps(found, ensure_ascii=False)
