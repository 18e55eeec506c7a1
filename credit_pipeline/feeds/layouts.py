"""Finds where the header of a table stands among titles, unit lines and group headers, and which rows around it
are no data: sums, signatures, explanations.

What a header means is `headers`' business, what happens with the cells below `reading`'s.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.headers import (
    SEARCHED_ROWS,
    HeaderMap,
    column_of,
    is_data_row,
    match_count,
)
from credit_pipeline.feeds.numbers import unit_of_words

_EXPLANATION = re.compile(
    r"[(\[【]?(?:必填|选填|非必填|条件必填|可选|可不填|不填|文本|字符|日期|数值|数字|示例|样例|例[:如]|填写|填报|格式|说明|YYYY|yyyy|[0-9]+位)"
)
_EXAMPLE = re.compile(r"[(\[【]?(?:示例|样例|例[:如]|填写说明|填表说明|填报说明|表格说明|说明)")
EXPLAINED_ROWS = 3
"""Rows below a header in which explanations are looked for."""
_FOOTER = re.compile(
    r"(填报|填表|制表|审核|复核|经办|负责|联系)(人|单位|部门|日期|时间|电话)?[::]|(合计|总计|小计|共计)|(注|说明|备注|表格说明|填表说明|填报说明)[::]"
)


@dataclass(frozen=True)
class TableLayout:
    """Where the header of a sheet or CSV stands and what it says."""

    header_row: int
    """Index of the header's last row; data begin below."""
    headers: list[str]
    unit_line: int | None


def find_layout(feed: Feed, rows: Sequence[Sequence[str]]) -> TableLayout:
    """The header among the first rows of a table, by known labels of this feed, else of any feed, else by
    width.

    Two rows are taken together when the second names columns that the first does not (merged headers).
    """
    searched = [list(row) for row in rows[:SEARCHED_ROWS]]
    best = _best_header(searched, feed)
    if best is None:
        others = [
            _best_header(searched, other) for other in load_catalogue().values() if other.name != feed.name
        ]
        found = [item for item in others if item is not None]
        best = max(found, key=lambda item: item[0]) if found else (0, *_widest(searched))
    _, last, headers = best
    above = "".join(
        cell for row in searched[: max(0, last)] for cell in row if re.search(r"单位\s*[::：]", cell)
    )
    match = re.search(r"单位\s*[::：]\s*(\S+)", above)
    return TableLayout(last, headers, unit_of_words(match[1]) if match else None)


def _best_header(rows: list[list[str]], feed: Feed) -> tuple[int, int, list[str]] | None:
    """(columns named, index of the last header row, headers) of the best header, None below two columns."""
    best: tuple[int, int, list[str]] | None = None
    required = {column.name for column in feed.columns if column.required}
    for index, row in enumerate(rows):
        single = match_count(feed, row)
        if single >= 2 and (best is None or single > best[0]):
            best = (single, index, row)
            if required <= {column_of(feed, cell) for cell in row}:
                break
        if index + 1 < len(rows):
            merged = _merge_headers(row, rows[index + 1], feed)
            count = match_count(feed, merged)
            below = match_count(feed, rows[index + 1])
            if count >= 2 and count > max(single, below) and (best is None or count > best[0]):
                best = (count, index + 1, merged)
    return best


def _merge_headers(upper: list[str], lower: list[str], feed: Feed) -> list[str]:
    """One header per column from two rows; a group's name spreads to the right over the cells below it."""
    merged, group = [], ""
    for position in range(max(len(upper), len(lower))):
        top = upper[position].strip() if position < len(upper) else ""
        low = lower[position].strip() if position < len(lower) else ""
        group = top or (group if low else "")
        options = [low, f"{group}{low}", f"{group}({low})", group] if low else [top]
        merged.append(next((option for option in options if option and column_of(feed, option)), low or top))
    return merged


def _widest(rows: list[list[str]]) -> tuple[int, list[str]]:
    """The first row with the most filled cells."""
    if not rows:
        return 0, []
    index = max(range(len(rows)), key=lambda item: (sum(bool(cell.strip()) for cell in rows[item]), -item))
    return index, rows[index]


def stray_rows(feed: Feed, rows: Sequence[Sequence[str]], layout: TableLayout, found: HeaderMap) -> list[int]:
    """Indices of rows at or above the header that are data and would vanish without a trace.

    Titles, unit lines and group headers fill few cells and hold few numbers. The header itself is data when
    nothing in it is a header: then the file has none.
    """
    wide = max(3, sum(bool(header.strip()) for header in layout.headers) * 2 // 3)
    last = layout.header_row + (0 if found.columns or found.dropped else 1)
    return [index for index in range(last) if is_data_row(feed, rows[index], wide)]


def is_explanation(cells: Sequence[str]) -> bool:
    """Whether a row right below the header says how the columns are to be filled, or shows an example."""
    filled = [unicodedata.normalize("NFKC", cell.strip()) for cell in cells if cell.strip()]
    if not filled:
        return False
    explained = sum(_EXPLANATION.match(cell) is not None for cell in filled)
    return explained * 2 > len(filled) or (explained > 0 and _EXAMPLE.match(filled[0]) is not None)


def is_footer(cells: Sequence[str], columns: int) -> bool:
    """Whether a row below the header is a sum or a signature: a footer's word first and few cells filled."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled or len(filled) * 2 > max(columns, 4):
        return False
    return _FOOTER.match(unicodedata.normalize("NFKC", filled[0]).replace(" ", "")) is not None
