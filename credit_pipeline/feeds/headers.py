"""Finds out which column of the catalogue each header of a source means, and where the header of a table
stands.

Labels are compared half-width, without spaces, signs of obligation and case; `A（B）` may match by A or by
B. What happens with the cells below is `reading`'s business.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from credit_pipeline.feeds.catalogue import MONEY_UNITS, Feed, get_feed, load_catalogue
from credit_pipeline.feeds.numbers import unit_of_words
from credit_pipeline.feeds.personal import mask_text

_ROW_NUMBER_LABELS = frozenset(["序号", "行号", "no", "no.", "#"])
"""A column that only numbers the rows; kept out of `extra`, or the same fact in another order would look
new."""
_MAX_HEADER = 100
SEARCHED_ROWS = 30
"""A header stands within the first rows; titles and remarks above it are rarely more than five."""
_PERSONAL_HEADER = re.compile(
    r"身份证|证件号|手机|电话|邮箱|家庭住址|银行卡|银行账[号户]|idcard|id_card|sfzh|phone|mobile|e-?mail",
    re.IGNORECASE,
)
_FOOTER = re.compile(
    r"(填报|填表|制表|审核|复核|经办|负责|联系)(人|单位|部门|日期|时间|电话)?[::]|(合计|总计|小计|共计)|(注|说明|备注|表格说明|填表说明|填报说明)[::]"
)


@dataclass(frozen=True)
class Source:
    """One header of a source."""

    header: str
    position: int
    unit: str | None = None
    """Unit of a bare number below it, for money."""
    is_named: bool = True
    """False when the source left the header empty."""


@dataclass(frozen=True)
class HeaderMap:
    """What the headers of one table mean."""

    columns: dict[str, list[Source]] = field(default_factory=dict)
    """Canonical column → its headers, the one that wins first."""
    unknown: list[Source] = field(default_factory=list)
    """Headers the catalogue does not know; their values go into `extra`."""
    foreign: list[Source] = field(default_factory=list)
    """Those of `unknown` that show another feed."""
    dropped: list[str] = field(default_factory=list)
    """Headers of personal data that never leave the reader."""
    missing: list[str] = field(default_factory=list)
    """Stored columns without a header."""
    rule: str | None = None
    """`foreign_file` or `columns_missing` when the table cannot be this feed's."""
    message: str = ""

    @property
    def has_dropped(self) -> bool:
        return bool(self.dropped)


@lru_cache(maxsize=65_536)
def label(text: str) -> str:
    """A header made comparable."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\s\u200b-\u200f\u2060\ufeff*'\"“”]+", "", plain).rstrip(":")


@lru_cache(maxsize=65_536)
def candidates(header: str) -> list[str]:
    """The labels a header may stand for: itself, then A and B of `A(B)`."""
    whole = label(header)
    match = re.fullmatch(r"(.+?)\((.+)\)", whole)
    return [whole, match[1], match[2]] if match else [whole]


@cache
def _labels(feed_name: str) -> dict[str, str]:
    feed = get_feed(feed_name)
    return {label(header): column.name for column in feed.columns for header in column.source_names}


@cache
def _personal_labels() -> frozenset[str]:
    """Labels under which any feed sends what must not be stored."""
    feeds = load_catalogue().values()
    return frozenset(
        label(header)
        for feed in feeds
        for column in feed.columns
        if column.personal == "drop"
        for header in column.source_names
    )


def column_of(feed: Feed, header: str) -> str | None:
    """Canonical column that a header means in a feed, or None."""
    if not header or len(header) > _MAX_HEADER:
        return None
    labels = _labels(feed.name)
    return next((labels[item] for item in candidates(header) if item in labels), None)


def match_count(feed: Feed, cells: Sequence[str]) -> int:
    """How many different columns of the feed the cells name."""
    return len({column_of(feed, cell) for cell in cells if cell} - {None})


def _unit(feed: Feed, name: str, header: str, unit_line: int | None) -> str | None:
    """Unit of bare numbers: brackets in the header, else the alias's, else the unit line's, else the
    column's."""
    column = feed.column(name)
    if column.type != "money":
        return None
    units = {fen: unit for unit, fen in MONEY_UNITS.items()}
    bracket = re.search(r"\(([^()]*)\)", label(header))
    written = unit_of_words(bracket[1]) if bracket else None
    aliases = {label(alias): unit for alias, unit in column.alias_units.items()}
    alias = next((aliases[item] for item in candidates(header) if item in aliases), None)
    return units.get(written or 0) or alias or units.get(unit_line or 0) or column.unit


def match_headers(feed: Feed, headers: Sequence[str], unit_line: int | None = None) -> HeaderMap:
    """What each header means in the feed, and whether the table can be the feed's at all.

    Args:
        headers: as the source writes them; an empty one gets a name by its position if it has values.
        unit_line: fen per unit of a line such as 单位：万元 above the header.
    """
    columns: dict[str, list[Source]] = {}
    unknown: list[Source] = []
    dropped: list[str] = []
    for position, header in enumerate(headers):
        name = column_of(feed, header)
        shown = mask_text(header.strip()) or f"column_{position + 1}"
        if name is not None and feed.column(name).personal != "drop":
            columns.setdefault(name, []).append(Source(shown, position, _unit(feed, name, header, unit_line)))
        elif (
            name is not None
            or _personal_labels() & set(candidates(header))
            or _PERSONAL_HEADER.search(header)
        ):
            dropped.append(shown)
        elif label(header) not in _ROW_NUMBER_LABELS:
            unknown.append(Source(shown, position, is_named=bool(header.strip())))
    known = {source.header for sources in columns.values() for source in sources}
    unknown = _distinct(unknown, known | set(dropped))
    foreign_labels = {label(header) for header in feed.foreign_headers}
    foreign = [source for source in unknown if foreign_labels & set(candidates(source.header))]
    missing = [column.name for column in feed.stored_columns if column.name not in columns]
    order = [column.name for column in feed.stored_columns if column.name in columns]
    result = HeaderMap({name: columns[name] for name in order}, unknown, foreign, dropped, missing)
    lacking = [name for name in missing if feed.column(name).required]
    if not lacking:
        return result
    rule, message = _refusal(feed, headers, lacking, foreign, result)
    return replace(result, rule=rule, message=message)


def _distinct(sources: list[Source], taken: set[str]) -> list[Source]:
    """The same sources with different headers, so that no value overwrites another in `extra`."""
    seen, result = set(taken), []
    for source in sources:
        name, number = source.header, 2
        while name in seen:
            name, number = f"{source.header}_{number}", number + 1
        seen.add(name)
        result.append(replace(source, header=name))
    return result


def _refusal(
    feed: Feed, headers: Sequence[str], lacking: list[str], foreign: list[Source], found: HeaderMap
) -> tuple[str, str]:
    shown = ", ".join(mask_text(header.strip()) for header in headers if header.strip())[:500] or "nothing"
    counts = {
        other.name: match_count(other, headers)
        for other in load_catalogue().values()
        if other.name != feed.name
    }
    best = max(counts, key=lambda name: (counts[name], name))
    own = len(found.columns)
    complete = all(
        any(column_of(get_feed(best), header) == column.name for header in headers)
        for column in get_feed(best).columns
        if column.required
    )
    if (foreign and counts[best] > own) or (complete and counts[best] > own and counts[best] >= 3):
        other = get_feed(best)
        return "foreign_file", (
            f"headers are those of {other.name} ({other.label}), not of {feed.name} ({feed.label}); "
            f"found: {shown}"
        )
    names = ", ".join(f"{feed.column(name).label} ({name})" for name in lacking)
    return "columns_missing", f"required columns without a header: {names}; found: {shown}"


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


def is_footer(cells: Sequence[str], columns: int) -> bool:
    """Whether a row below the header is a sum or a signature: a footer's word first and few cells filled."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled or len(filled) * 2 > max(columns, 4):
        return False
    return _FOOTER.match(unicodedata.normalize("NFKC", filled[0]).replace(" ", "")) is not None
