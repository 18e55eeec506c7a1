"""The catalogue of feeds: each feed defined once, as data (`*.yaml` beside this file).

It drives reading (aliases), checking (types, code lists, ranges), freshness (cadence), documentation (labels)
and confidentiality (personal data). Nothing here reads a feed; `feeds.contracts` and `feeds.readers` do.
Field names and rules: domain brief §3.5–3.7 (双公示 CF_*/XK_* codes, gsxt exports, GB 32100, GB/T 2260).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

ColumnType = Literal[
    "text", "name", "uscc", "reg_no", "code", "document_no", "case_no", "region", "date", "integer", "decimal", "money",
    "boolean", "category", "categories",
]  # fmt: skip
Personal = Literal["none", "internal", "drop"]
Classification = Literal["public", "internal", "confidential", "personal"]
InformationKind = Literal[
    "registration", "licence", "penalty", "honour", "inspection", "complaint", "public_opinion", "related_party",
    "operation", "abnormal_change", "evaluation", "repair", "directory", "decision",
]  # fmt: skip
MONEY_UNITS = {"yuan": 100, "wan_yuan": 1_000_000}
"""Fen per unit of the source."""


class Column(BaseModel):
    """One column of a feed: how the sources call it, what it must hold, how it is stored in the lake."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    label: str
    type: ColumnType = "text"
    aliases: list[str] = []
    required: bool = False
    """A row without a value goes to quarantine (rule `required_missing`)."""
    required_with: str | None = None
    """`column` or `column=code`: required in rows that have that column (with that code)."""
    unit: Literal["yuan", "wan_yuan"] | None = None
    """Unit of a bare number in the source; a suffix in the text (万元, 元) wins over it."""
    alias_units: dict[str, Literal["yuan", "wan_yuan"]] = {}
    """Sources that send the same quantity in another unit, by alias (CF_NR_FK 万元, punishmoney 元)."""
    check_text: str | None = None
    """Column whose text repeats the amount in words and settles a 万元/元 mix-up."""
    currency_column: str | None = None
    open_ended: bool = False
    """A date for which 长期, 2099-12-31 or 9999-09-09 means no end: stored as null plus `<name>_is_open_ended`."""
    codes: dict[str, list[str]] = {}
    """For `category`: canonical code → words and codes seen in sources."""
    stands_alone: list[str] = []
    """For `categories`: codes that exclude every other one (未发现问题)."""
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    max_length: int = 4000
    may_be_future: bool = False
    personal: Personal = "none"
    """`internal`: kept, never in an extract unmasked; `drop`: never written to the lake."""
    classification: Classification = "internal"
    description: str = ""

    @model_validator(mode="after")
    def _coherent(self) -> Column:
        if self.type in ("category", "categories") and not self.codes:
            raise ValueError(f"column {self.name}: type {self.type} needs codes")
        if self.type == "money" and self.unit is None:
            raise ValueError(f"column {self.name}: type money needs a unit")
        if self.type == "money" and not self.name.endswith("_fen"):
            raise ValueError(f"column {self.name}: money is stored in fen, the name must end in _fen")
        return self

    @property
    def source_names(self) -> list[str]:
        """Every header under which a source may send the column, the commonest first."""
        return list(dict.fromkeys([*self.aliases, *self.alias_units, self.label, self.name]))


class Feed(BaseModel):
    """One kind of information that arrives regularly from one or more authorities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    label: str
    information_kind: InformationKind
    description: str
    owner: str
    cadence_days: int = Field(gt=0)
    """Agreed delivery interval; a feed older than this is stale."""
    update_pattern: Literal["snapshot", "increment"]
    business_key: list[str]
    """Columns that identify one fact; a later row with the same key supersedes the earlier."""
    event_date: str | None = None
    """Column with the day the fact happened."""
    unit_columns: list[str] = []
    """Columns that name the unit that sent a row, the best first; the quality report and the return of refused
    rows go by it. Without one the folder of the file may name the unit."""
    not_before: dict[str, str | list[str]] = {}
    """Column → column or columns it must not precede (valid_to → valid_from)."""
    foreign_headers: list[str] = []
    """Headers that show that a file or row belongs to another feed."""
    columns: list[Column]

    @model_validator(mode="after")
    def _coherent(self) -> Feed:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"feed {self.name}: a column is defined twice")
        pairs = [name for pair in self.date_order for name in pair]
        event = [self.event_date] if self.event_date else []
        for wanted in [*self.business_key, *event, *self.unit_columns, *pairs]:
            if wanted not in names:
                raise ValueError(f"feed {self.name}: {wanted} is not one of its columns")
        for name in self.unit_columns:
            if self.column(name).personal != "none":
                raise ValueError(f"feed {self.name}: unit column {name} holds personal data")
        seen: dict[str, str] = {}
        for column in self.columns:
            for header in column.source_names:
                if seen.setdefault(header.casefold(), column.name) != column.name:
                    raise ValueError(
                        f"feed {self.name}: header {header} means {seen[header.casefold()]} and {column.name}"
                    )
        return self

    def column(self, name: str) -> Column:
        """The column of that canonical name; KeyError when there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"feed {self.name} has no column {name}")

    @property
    def date_order(self) -> list[tuple[str, str]]:
        """Pairs (later, earlier) of dates that must not be reversed."""
        return [
            (later, earlier)
            for later, given in self.not_before.items()
            for earlier in ([given] if isinstance(given, str) else given)
        ]

    @property
    def stored_columns(self) -> list[Column]:
        """Columns that reach the lake, in order."""
        return [column for column in self.columns if column.personal != "drop"]

    @property
    def is_decision(self) -> bool:
        """Whether the office itself makes the rows, when there is something to decide: never stale."""
        return self.information_kind == "decision"

    @property
    def has_uscc(self) -> bool:
        return any(column.name == "uscc" for column in self.columns)


COMMON_COLUMNS = [
    Column(
        name="reported_date",
        label="上报日期",
        type="date",
        aliases=["SJC", "上报时间", "数据更新时间", "更新时间", "reported_at"],
        description="Day the authority reported the row to the platform; orders versions of one fact.",
    ),
    Column(
        name="record_status",
        label="记录状态",
        type="category",
        aliases=["JLZT", "数据状态"],
        codes={
            "valid": ["0", "正常", "有效", "新增", "valid"],
            "corrected": ["更正", "变更", "corrected"],
            "withdrawn": ["1", "撤销", "撤回", "删除", "withdrawn"],
            "objection": ["2", "异议", "异议中", "objection"],
            "repaired": ["修复", "已修复", "repaired"],
        },
        description="State of the record at its source; empty means valid. Code 3 (其他) is refused, never guessed.",
    ),
]
"""Columns that any feed of facts or decisions may carry besides its own."""

QUARANTINE_ID = Column(
    name="quarantine_id",
    label="隔离编号",
    type="code",
    description="Number of the refused row that this one corrects, as the returned sheet gives it.",
)
"""Every feed has it as its last column."""
SERVICE_HEADERS = ("来源文件", "行号", "问题")
"""Headers that a returned sheet (`credit-pipeline quarantine export`) has beside 隔离编号: said to its reader,
not to us. They are ignored when the sheet comes back."""


@cache
def load_catalogue() -> dict[str, Feed]:
    """All feeds by name, registrations first (other feeds are matched against it), then by name.

    `common_aliases` of a file are headers of common columns that only this feed's sources use.
    """
    feeds: dict[str, Feed] = {}
    for path in sorted(files(__package__).iterdir(), key=lambda item: item.name):
        if not path.name.endswith(".yaml"):
            continue
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        own = {column["name"] for column in raw["columns"]}
        aliases = raw.pop("common_aliases", {})
        if raw["information_kind"] != "directory":
            raw["columns"] += [
                {**column.model_dump(), "aliases": [*aliases.get(column.name, []), *column.aliases]}
                for column in COMMON_COLUMNS
                if column.name not in own
            ]
        raw["columns"].append(QUARANTINE_ID.model_dump())
        feed = Feed.model_validate(raw)
        if feed.name != path.name.removesuffix(".yaml"):
            raise ValueError(f"{path.name} defines feed {feed.name}")
        feeds[feed.name] = feed
    return {name: feeds[name] for name in sorted(feeds, key=lambda name: (name != "registrations", name))}


def feed_names() -> list[str]:
    """Names of all feeds in the order in which they are ingested."""
    return list(load_catalogue())


def get_feed(name: str) -> Feed:
    """The feed of that name; KeyError names the known ones."""
    catalogue = load_catalogue()
    if name not in catalogue:
        raise KeyError(f"no feed {name}; known: {', '.join(catalogue)}")
    return catalogue[name]
