"""Who may see which column: levels, masks and declassifications, as the dbt project and two lists of ours state them.

A level belongs to a column (`config.meta.classification`); a table has one too, by folder in dbt_project.yml or by itself,
and no column lies above its table. Lower than what it is made of is a table only with an entry in
`declassifications` (classified_tables.yaml) that says why. Tables that Python writes stand in the same file. What an extract
may carry is `extracts.classification`'s; how a value is masked, `transform.masks`'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

Level = Literal["public", "internal", "confidential", "personal"]
Mask = Literal["name", "phone", "id_number", "address", "drop", "none"]

TABLE_LEVELS = ("public", "internal", "confidential")
"""From what anybody may see to what units see of their own enterprises alone. A personal column stands in any table but a
public one: who may see it is a question of purpose, answered by its mask, not of rank."""
LISTS = Path(__file__).with_name("classified_tables.yaml")


class ColumnClass(BaseModel):
    """Who may see one column, and how it leaves the office."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    mask: Mask | None = None
    """What is done to a personal value before a unit sees it; `drop`: it never leaves."""
    reason: str = ""
    """Why a personal value leaves as it is (`mask: none`)."""

    @model_validator(mode="after")
    def _coherent(self) -> ColumnClass:
        if (self.level == "personal") != (self.mask is not None):
            raise ValueError("a mask belongs to personal columns, and every one of them has one")
        if (self.mask == "none") != bool(self.reason):
            raise ValueError("mask none needs a mask_reason, and no other mask has one")
        return self

    @property
    def tags(self) -> dict[str, str]:
        """As the UI shows it at the column."""
        return {self.level: ""} | ({"mask": self.mask} if self.mask else {})


class ListedTable(BaseModel):
    """Columns of one table by level; personal ones with their masks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public: tuple[str, ...] = ()
    internal: tuple[str, ...] = ()
    confidential: tuple[str, ...] = ()
    personal: dict[str, ColumnClass] = {}

    @model_validator(mode="before")
    @classmethod
    def _masks(cls, given: dict[str, Any]) -> dict[str, Any]:
        masks = {
            name: {"level": "personal", **(mask if isinstance(mask, dict) else {"mask": mask})}
            for name, mask in given.get("personal", {}).items()
        }
        return {**given, "personal": masks}

    @model_validator(mode="after")
    def _each_once(self) -> ListedTable:
        names = [*self.public, *self.internal, *self.confidential, *self.personal]
        if len(names) != len(set(names)):
            raise ValueError("a column has two levels")
        return self

    @property
    def columns(self) -> dict[str, ColumnClass]:
        levels: dict[Level, tuple[str, ...]] = {
            "public": self.public, "internal": self.internal, "confidential": self.confidential,
        }  # fmt: skip
        plain = {name: ColumnClass(level=level) for level, names in levels.items() for name in names}
        return {**plain, **self.personal}


class Declassification(BaseModel):
    """A table that may be seen by more people than what it is made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str
    made_of: tuple[str, ...]
    """The tables above its level that it reads."""
    reason: str


class Lists(BaseModel):
    """What classified_tables.yaml says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    python_tables: dict[str, ListedTable]
    declassifications: tuple[Declassification, ...]


@dataclass(frozen=True)
class Table:
    """One table of the manifest: its level, its columns, what it reads. Levels are as written, right or wrong."""

    name: str
    level: str | None
    columns: Mapping[str, Mapping[str, Any]]
    parents: tuple[str, ...]
    is_source: bool


@cache
def classified_lists(path: Path = LISTS) -> Lists:
    """The two lists."""
    return Lists.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def manifest_tables(manifest: Mapping[str, Any]) -> dict[str, Table]:
    """Models, seeds, snapshots and sources of dbt's manifest by `schema.table`; a source by `source.table`."""
    nodes = {
        key: node
        for key, node in manifest["nodes"].items()
        if node["resource_type"] in ("model", "seed", "snapshot")
    } | dict(manifest["sources"])
    names = {
        key: f"{node['source_name'] if node['resource_type'] == 'source' else node['schema']}.{node['name']}"
        for key, node in nodes.items()
    }
    return {
        names[key]: Table(
            names[key],
            node["config"].get("meta", {}).get("classification"),
            {name: column["config"]["meta"] for name, column in node["columns"].items()},
            tuple(sorted(names[parent] for parent in node.get("depends_on", {}).get("nodes", []) if parent in names)),
            node["resource_type"] == "source",
        )
        for key, node in nodes.items()
    }  # fmt: skip


def rank(level: str | None) -> int:
    """Place of a level among those of tables."""
    return TABLE_LEVELS.index("internal" if level == "personal" else str(level))


def column_class(meta: Mapping[str, Any]) -> ColumnClass:
    """The class that a column's `config.meta` states.

    Raises:
        ValidationError: none, one that does not exist, or a mask that does not go with it.
    """
    given = {
        "level": meta.get("classification"),
        "mask": meta.get("mask"),
        "reason": meta.get("mask_reason", ""),
    }
    return ColumnClass.model_validate(given)


def column_classes(manifest: Mapping[str, Any]) -> dict[str, dict[str, ColumnClass]]:
    """Every column of the warehouse by `schema.table`: those of dbt, and those of the tables that Python writes."""
    of_dbt = {
        table.name: {name: column_class(meta) for name, meta in table.columns.items()}
        for table in manifest_tables(manifest).values()
        if not table.is_source
    }
    return of_dbt | {name: table.columns for name, table in classified_lists().python_tables.items()}


def problems(manifest: Mapping[str, Any], lists: Lists | None = None) -> list[str]:
    """What is wrong with the classification of the dbt project, one line each."""
    lists = lists or classified_lists()
    tables = manifest_tables(manifest)
    return [
        *(line for table in tables.values() for line in _problems_of_table(table)),
        *_declassification_problems(tables, lists.declassifications),
    ]


def _problems_of_table(table: Table) -> Iterator[str]:
    if table.level not in TABLE_LEVELS:
        yield f"{table.name}: {table.level or 'no'} classification of the table; remedy: one of {', '.join(TABLE_LEVELS)}"
        return
    if not table.columns and not table.is_source:
        yield f"{table.name}: no column is described"
    for name, meta in table.columns.items():
        try:
            level = column_class(meta).level
        except ValidationError as error:
            yield f"{table.name}.{name}: {error.errors()[0]['msg']}"
            continue
        if rank(level) > rank(table.level):
            yield f"{table.name}.{name}: {level}, above its table, which is {table.level}"


def _declassification_problems(
    tables: Mapping[str, Table], declassifications: tuple[Declassification, ...]
) -> Iterator[str]:
    """A table below a parent needs an entry; with each table above its parents or listed, nothing leaks over many steps."""
    listed = {(entry.table, parent) for entry in declassifications for parent in entry.made_of}
    needed = {
        (table.name, parent)
        for table in tables.values()
        for parent in table.parents
        if {table.level, tables[parent].level} <= set(TABLE_LEVELS)
        and rank(table.level) < rank(tables[parent].level)
    }
    for name, parent in sorted(needed - listed):
        yield (
            f"{name} is {tables[name].level} and made of {parent}, which is {tables[parent].level}; "
            "remedy: raise its level, or list the declassification with its reason"
        )
    for name, parent in sorted(listed - needed):
        yield f"declassification of {name} from {parent} is not used; remedy: remove it"
    for entry in declassifications:
        if not entry.reason.strip():
            yield f"declassification of {entry.table} gives no reason"
