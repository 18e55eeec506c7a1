"""Finds out which column of the catalogue each header of a source means, and says what is missing.

Labels are compared half-width, without spaces, signs of obligation and case; `A（B）` may match by A or by
B. What happens with the cells below is `reading`'s business.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache

from credit_pipeline.feeds.catalogue import (
    MONEY_UNITS,
    QUARANTINE_ID,
    SERVICE_HEADERS,
    Feed,
    get_feed,
    load_catalogue,
)
from credit_pipeline.feeds.numbers import unit_of_words
from credit_pipeline.feeds.personal import mask_text

_ROW_NUMBER_LABELS = frozenset(["序号", "行号", "no", "no.", "#"])
"""A column that only numbers the rows; kept out of `extra`, or the same fact in another order would look
new."""
_MAX_HEADER = 100
SEARCHED_ROWS = 30
"""A header stands within the first rows; titles and remarks above it are rarely more than five."""
_PERSONAL_HEADER = re.compile(
    r"身份证|证件号|手机|电话|邮箱|家庭住址|银行卡|银行账[号户]|idcard|id_card|sfzh|phone|mobile|e-?mail|微信|qq号"
    r"|(?<!被)(?:投诉|举报|诉求|来电|来信|反映|申诉|来访|信访|求助|爆料|检举)(?:人|者)(?!数|次|均)"
    r"|来电号码|联系(?:人|方式|地址)|complainant|reporter_|caller",
    re.IGNORECASE,
)
_COMPLAINANT_HEADER = re.compile(
    r"姓名|名字|称呼|性别|年龄|出生|民族|户籍|地址|住址|职业|学历|传真|邮编|name|address|gender|\bsex\b|\bage\b",
    re.IGNORECASE,
)
"""In a feed of complaints an unknown column of such a header describes the complainant, who is never stored."""
_FOUR_DIGITS = re.compile(r"\d{4}")


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

    hides_unknown: bool = False
    """The table is refused and the feed has columns that must not be stored: they may stand under any header
    that was not understood."""

    @property
    def has_dropped(self) -> bool:
        return bool(self.dropped) or self.hides_unknown


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


def _is_returned(feed: Feed, headers: Sequence[str]) -> bool:
    """Whether the table is a sheet of refused rows that comes back corrected."""
    return any(column_of(feed, header) == QUARANTINE_ID.name for header in headers)


def match_headers(feed: Feed, headers: Sequence[str], unit_line: int | None = None) -> HeaderMap:
    """What each header means in the feed, and whether the table can be the feed's at all.

    Args:
        headers: as the source writes them; an empty one gets a name by its position if it has values.
        unit_line: fen per unit of a line such as 单位：万元 above the header.
    """
    columns: dict[str, list[Source]] = {}
    unknown: list[Source] = []
    dropped: list[str] = []
    # Each once: a source's own column of that name follows behind them.
    service = {label(header) for header in SERVICE_HEADERS} if _is_returned(feed, headers) else set()
    for position, header in enumerate(headers):
        if label(header) in service:
            service.remove(label(header))
            continue
        name = column_of(feed, header)
        shown = mask_text(header.strip()) or f"column_{position + 1}"
        if name is not None and feed.column(name).personal != "drop":
            unit = _unit(feed, name, header, unit_line)
            if unit != _unit(feed, name, header, None):
                # A refused row is sent back without the line above the header: its header says the unit.
                shown = f"{shown}({'元' if unit == 'yuan' else '万元'})"
            columns.setdefault(name, []).append(Source(shown, position, unit))
        elif name is not None or _personal_labels() & set(candidates(header)) or _is_personal(feed, header):
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
    hides = rule == "columns_missing" and any(column.personal == "drop" for column in feed.columns)
    return replace(result, rule=rule, message=message, hides_unknown=hides)


def _is_personal(feed: Feed, header: str) -> bool:
    plain = unicodedata.normalize("NFKC", header)
    if _PERSONAL_HEADER.search(plain):
        return True
    return (
        feed.information_kind == "complaint"
        and _COMPLAINANT_HEADER.search(plain) is not None
        and re.search(r"被|企业|公司|商户|主体|单位|经营", plain) is None
    )


def _distinct(sources: list[Source], taken: set[str]) -> list[Source]:
    """The same sources with different headers, so that no value overwrites another in `extra`."""
    seen, result = set(taken), []
    numbers: dict[str, int] = {}
    for source in sources:
        name = source.header
        while name in seen:
            numbers[source.header] = numbers.get(source.header, 1) + 1
            name = f"{source.header}_{numbers[source.header]}"
        seen.add(name)
        result.append(replace(source, header=name))
    return result


def _refusal(
    feed: Feed, headers: Sequence[str], lacking: list[str], foreign: list[Source], found: HeaderMap
) -> tuple[str, str]:
    """Rule and message for a newcomer: what is missing, which headers were not understood and what they may mean."""
    given = [header for header in headers if header.strip()]
    shown = _listed([_shown(header) for header in given]) or "nothing"
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
            f"headers are those of {other.name} ({other.label}), not of {feed.name} ({feed.label}): put the file "
            f"into landing/{other.name}/; found: {shown}. "
            f"表头属于“{other.label}”，不属于“{feed.label}”，应放入 landing/{other.name}/ 目录。"
        )
    columns = [feed.column(name) for name in lacking]
    if own == 0:
        if any(column.personal == "drop" for column in feed.columns) and (
            feed.information_kind == "complaint" or is_data_row(feed, headers, 3)
        ):
            shown = f"{len(given)} filled cells"
        return "columns_missing", (
            f"no header of {feed.name} ({feed.label}) was found in the first {SEARCHED_ROWS} rows; is the header row "
            f"missing? required: {_listed([f'{column.label} ({column.name})' for column in columns])}; "
            f"the widest row holds: {shown}. "
            f"未找到“{feed.label}”的表头，请核对首行是否为列名；必填列：{'、'.join(column.label for column in columns)}。"
        )
    guesses = _guesses(feed, [source.header for source in found.unknown if source.is_named], found.missing)
    unknown = [f"{header} (perhaps {guess})" if guess else header for header, guess in guesses]
    unknown_chinese = [f"{header}（疑为“{guess}”）" if guess else header for header, guess in guesses]
    return "columns_missing", (
        f"required columns without a header: {_listed([f'{column.label} ({column.name})' for column in columns])}; "
        f"headers not understood: {_listed(unknown) or 'none'}; found: {shown}. "
        f"缺少必填列：{'、'.join(column.label for column in columns)}；"
        f"未识别的表头：{_listed(unknown_chinese, '、') or '无'}。"
    )


def _shown(header: str) -> str:
    """A header as a message shows it: masked, in one line, at most 40 characters."""
    text = " ".join(mask_text(header).split())
    return text if len(text) <= 40 else f"{text[:39]}…"


def _listed(items: Sequence[str], separator: str = ", ") -> str:
    """The first 20 items, and how many more there are."""
    more = f" (+{len(items) - 20})" if len(items) > 20 else ""
    return separator.join(items[:20]) + more


def _guesses(feed: Feed, unknown: list[str], missing: list[str]) -> list[tuple[str, str | None]]:
    """(header, label of the missing column it resembles most or None), guessed ones first.

    A likeness of 0.6 joins 决定的日期 to 处罚决定日期 and keeps 备注一 from everything.
    """
    labels = {label(name): feed.column(item) for item in missing for name in feed.column(item).source_names}
    guesses = []
    for header in unknown[:200]:
        nearest = difflib.get_close_matches(label(header)[:_MAX_HEADER], labels, n=1, cutoff=0.6)
        guesses.append((_shown(header), labels[nearest[0]].label if nearest else None))
    return sorted(guesses, key=lambda pair: pair[1] is None)


def is_data_row(feed: Feed, cells: Sequence[str], wide: int) -> bool:
    """Whether cells in or above the header are data: enough of them, no header, two with longer numbers."""
    if sum(bool(cell.strip()) for cell in cells) < wide or match_count(feed, cells) >= 2:
        return False
    return sum(_FOUR_DIGITS.search(cell) is not None for cell in cells) >= 2
