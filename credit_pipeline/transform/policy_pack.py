"""A policy pack as files: its tables with their line numbers, its digest, and the folder of seeds that dbt reads of it.

What the tables must look like (columns, types, keys) stands in the project's own yml beside the shipped seeds; a pack is
only CSV. What they must say is `policy_check`'s business.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import POLICY_DIR, Settings

Severity = Literal["error", "warning"]
SEED_LIMIT = 1024 * 1024
"""Beyond it dbt identifies a seed by its path and no longer by its content."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong in a pack: where, what, and what to do."""

    severity: Severity
    file: str
    line: int | None
    """As a text editor counts; the header is line 1."""
    column: str | None
    value: str | None
    rule: str
    message: str
    remedy: str

    def __str__(self) -> str:
        place = self.file + (f" line {self.line}" if self.line else "")
        place += f" column {self.column}" if self.column else ""
        said = "" if self.value is None else f" ({self.value!r})"
        return f"{place}: {self.message}{said}; remedy: {self.remedy}"


@dataclass(frozen=True)
class TableSpec:
    """What the project's yml says of a table."""

    name: str
    columns: dict[str, str]
    """Column -> bigint, double, boolean, date or varchar, in order."""
    key: tuple[str, ...]
    is_dated: bool
    """Whether the key holds for the days from effective_from to effective_to (else once and for all)."""
    may_be_empty: bool = False
    """Whether a pack without a row of it is whole (registers such as exceptions; the header stays)."""


@dataclass(frozen=True)
class Row:
    """One row with the line it starts on."""

    line: int
    values: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.values.get(column, "")


@dataclass
class Table:
    """A table as read: rows that could be read, and what was wrong with the file."""

    spec: TableSpec
    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def file(self) -> str:
        return f"{self.spec.name}.csv"


@cache
def table_specs() -> dict[str, TableSpec]:
    """Every table of the policy pack, from the yml files beside the shipped seeds."""
    import yaml

    # The safe loader (plain values only) in libyaml, ten times as fast as safe_load; PyYAML may come without libyaml.
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for path in sorted(POLICY_DIR.glob("*.yml")):
        described = yaml.load(path.read_text(encoding="utf-8"), loader)  # noqa: S506 - a safe loader, see above
        for seed in described.get("seeds") or []:
            tests: dict[str, Any] = {}
            for test in seed.get("data_tests") or []:
                tests |= test if isinstance(test, dict) else {test: {}}
            columns = {name: str(type_) for name, type_ in seed["config"]["column_types"].items()}
            dated = "effective_from" in columns
            key = tests.get("in_force_once", {}).get("arguments", {}).get("key")
            key = key or tests.get("unique_key", {}).get("arguments", {}).get("columns") or []
            empty = bool(seed["config"].get("meta", {}).get("may_be_empty", False))
            found[seed["name"]] = TableSpec(seed["name"], columns, tuple(key), dated, empty)
    return dict(sorted(found.items()))


def read_pack(folder: Path) -> dict[str, Table]:
    """Every table of the pack; one that cannot be read is there with its findings and without rows."""
    return {name: read_table(folder, spec) for name, spec in table_specs().items()}


def read_table(folder: Path, spec: TableSpec) -> Table:
    """One table of the pack, with what is wrong about its file: encoding, header, ragged rows."""
    table = Table(spec)
    path = folder / table.file

    def wrong(
        rule: str, message: str, remedy: str, *, line: int | None = None, column: str | None = None,
        value: str | None = None, severity: Severity = "error",
    ) -> None:  # fmt: skip
        table.findings.append(Finding(severity, table.file, line, column, value, rule, message, remedy))

    if not path.is_file():
        wrong("table_missing", "the table is missing", f"copy it from {POLICY_DIR.name}/ of the shipped pack")
        return table
    data = path.read_bytes()
    if len(data) > SEED_LIMIT:
        wrong("too_large", "the file is larger than 1 MiB", "policy is small: take out what is not policy")
    if (text := _decode(data, wrong)) is None:
        return table
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for cells in reader:
            line, start = start, reader.line_num + 1
            if not table.columns:
                if not _read_header(table, cells, wrong):
                    return table
            elif not any(cell.strip() for cell in cells):
                wrong("blank_row", "an empty row", "delete the row", line=line)
            elif len(cells) != len(table.columns):
                wrong(
                    "ragged_row", f"{len(cells)} values for {len(table.columns)} columns",
                    'put a value with a comma in quotes ("…") and leave no column out', line=line,
                )  # fmt: skip
            else:
                table.rows.append(Row(line, dict(zip(table.columns, cells, strict=True))))
    except csv.Error as error:
        wrong("broken_csv", f"the CSV breaks off: {error}", "close every quote", line=start)
    if not table.rows and not table.findings and not (spec.may_be_empty and table.columns):
        wrong("empty_table", "the table has no row", "restore its rows")
    return table


def _decode(data: bytes, wrong: Any) -> str | None:
    utf8 = (
        "save it as UTF-8 without BOM (in Excel: edit the file in a text editor, or export from WPS as UTF-8)"
    )
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        wrong("encoding", "the file is UTF-16 (Excel's Unicode text)", utf8)
        return None
    if data.startswith(b"PK\x03\x04"):
        wrong("encoding", "the file is an Excel workbook with the name of a CSV", "save it as CSV, UTF-8")
        return None
    if data.startswith(b"\xef\xbb\xbf"):
        wrong("byte_order_mark", "the file starts with a byte order mark (Excel's “CSV UTF-8”)", utf8, line=1)
        data = data[3:]
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        try:
            data.decode("gb18030")
            wrong("encoding", "the file is GB18030 (Excel's plain “CSV”)", utf8, line=line)
        except UnicodeDecodeError:
            wrong("encoding", "the file is neither UTF-8 nor GB18030", utf8, line=line)
        return None


def _read_header(table: Table, cells: list[str], wrong: Any) -> bool:
    if len(cells) == 1 and len(table.spec.columns) > 1 and (";" in cells[0] or "\t" in cells[0]):
        wrong("separator", "columns are not separated by commas", "save it with commas", line=1)
        return False
    doubles = sorted({cell for cell in cells if cells.count(cell) > 1})
    for name in doubles:
        wrong("column_twice", "the column is there twice", "delete one", line=1, column=name)
    for name in [name for name in table.spec.columns if name not in cells]:
        wrong(
            "column_missing",
            "the column is missing",
            "add it to the header and fill it in",
            line=1,
            column=name,
        )
    for name in [name for name in cells if name not in table.spec.columns]:
        wrong(
            "column_unknown", "nothing reads the column", "correct its name or delete it", line=1, column=name,
            severity="warning",
        )  # fmt: skip
    table.columns = cells
    return not doubles and all(name in cells for name in table.spec.columns)


def unknown_files(folder: Path) -> Iterator[Finding]:
    """What lies in the folder and is no table."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "~$")) or path.suffix in (".yml", ".yaml", ".md"):
            continue
        if path.stem not in table_specs() or path.suffix != ".csv":
            yield Finding(
                "warning", path.name, None, None, None, "file_unknown", "nothing reads the file",
                "correct its name or take it out; tables are <name>.csv",
            )  # fmt: skip


def pack_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of the tables, and over the yml that types them."""
    digest = hashlib.sha256()
    for path in [folder / f"{name}.csv" for name in table_specs()] + sorted(POLICY_DIR.glob("*.yml")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "absent"
        digest.update(f"{path.name}={content}\n".encode())
    return digest.hexdigest()


def is_shipped(folder: Path) -> bool:
    """Whether the folder is the pack inside the project."""
    return folder.resolve() == POLICY_DIR.resolve()


def seeds_dir(settings: Settings) -> Path:
    """The folder that dbt takes as its seeds: the project's own, or a copy of the pack in the lake.

    dbt finds types and tests in yml beside the CSV files and takes the schema from the folder's name, so a pack from
    elsewhere is copied to `LAKE/policy/<digest>/policy/` together with the project's yml. Packs that graded stay there.

    Raises:
        BadInput: a table is missing.
    """
    if is_shipped(settings.policy_dir):
        return POLICY_DIR.parent
    root = settings.lake_dir / "policy"
    target = root / pack_digest(settings.policy_dir)[:16]
    if target.exists():
        return target
    draft = root / f"tmp-{target.name}-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    (draft / POLICY_DIR.name).mkdir(parents=True, mode=0o700)
    for folder in (root, draft):
        folder.chmod(0o700)
    for name in table_specs():
        source = settings.policy_dir / f"{name}.csv"
        if not source.is_file():
            shutil.rmtree(draft)
            raise BadInput(f"the policy pack has no table {name}; remedy: add {source}")
        shutil.copyfile(source, draft / POLICY_DIR.name / source.name)
    for source in POLICY_DIR.glob("*.yml"):
        shutil.copyfile(source, draft / POLICY_DIR.name / source.name)
    try:
        draft.rename(target)
    except OSError:
        if not target.exists():
            raise
        shutil.rmtree(draft)
    return target
