"""How a unit starts an indicator system of its own: a copy of the pack with a template's rows under a new name."""

from __future__ import annotations

import csv
import shutil
from datetime import date, timedelta
from pathlib import Path

from credit_pipeline.errors import BadInput
from credit_pipeline.transform.policy_check import check_pack
from credit_pipeline.transform.policy_pack import read_pack, table_specs

SYSTEM_TABLES = ("unit_systems", "unit_system_indicators", "unit_system_bounds")
REVIEW_DAYS = 365


def start_system(present: Path, out: Path, owner: str, start: date, template: str) -> list[str]:
    """Write the pack to `out` with a new system for the line or unit; returns what was added, as text.

    Rows of the template in force on the first day are copied with that day as effective_from and no end.

    Raises:
        BadInput: the folder exists, the pack is broken, or line, unit or template are unknown or taken.
    """
    if out.exists():
        raise BadInput(f"{out} exists already; remedy: name a new folder")
    broken = [item for item in check_pack(present) if item.severity == "error"]
    if broken:
        raise BadInput(
            f"the policy pack in {present} is broken: {broken[0]}; remedy: credit-pipeline policy check"
        )
    tables = read_pack(present)
    units = {row["unit_id"]: row for row in tables["units"].rows}
    lines = sorted({row["line"] for row in units.values()})
    if owner not in units and owner not in lines:
        raise BadInput(f"{owner!r} is no unit and no line; lines are: {', '.join(lines)}")
    system_id = f"{owner}_{start:%Y%m%d}".lower()
    day = start.isoformat()
    known = sorted({row["system_id"] for row in tables["unit_systems"].rows})
    if template not in known:
        raise BadInput(f"there is no system {template!r}; systems are: {', '.join(known)}")
    if system_id in known:
        raise BadInput(
            f"the system {system_id!r} exists already; remedy: edit its rows, or start on another day"
        )
    of_unit = owner in units
    of_line = [
        row["unit_name"] for row in units.values() if row["line"] == owner and row["unit_level"] == "city"
    ]
    answering = of_line[0] if len(of_line) == 1 else owner
    taken = {
        int(row["priority"])
        for row in tables["unit_systems"].rows
        if row["unit_id"] == (owner if of_unit else "") and (of_unit or row["line"] == owner)
    }
    priority = min({100, *taken}) - (1 if taken else 0)
    said: list[str] = []
    shutil.copytree(present, out, ignore=shutil.ignore_patterns("*.yml", ".*", "~$*"))
    for name in SYSTEM_TABLES:
        columns = list(table_specs()[name].columns)
        added = []
        for row in tables[name].rows:
            if row["system_id"] != template or not row["effective_from"] <= day <= row["effective_to"]:
                continue
            values = {column: row[column] for column in columns} | {
                "system_id": system_id, "effective_from": day, "effective_to": "9999-12-31",
            }  # fmt: skip
            if name == "unit_systems":
                values |= {
                    "line": "" if of_unit else owner,
                    "unit_id": owner if of_unit else "",
                    "label": f"{units[owner]['unit_name']}分类指标体系"
                    if of_unit
                    else f"{answering}条线分类指标体系",
                    "template": template,
                    "priority": str(priority),
                    "owner": units[owner]["unit_name"] if of_unit else answering,
                    "review_date": (start + timedelta(days=REVIEW_DAYS)).isoformat(),
                    "basis": f"started from {template}",
                }
            added.append([values[column] for column in columns])
        if not added:
            shutil.rmtree(out)
            raise BadInput(f"{template} has no row in {name}.csv on {day}; remedy: choose a later --from")
        path = out / f"{name}.csv"
        with path.open("a", encoding="utf-8", newline="") as file:
            if not path.read_bytes().endswith(b"\n"):
                file.write("\n")
            csv.writer(file, lineterminator="\n").writerows(added)
        count = path.read_text(encoding="utf-8").count("\n")
        said.append(f"{path} lines {count - len(added) + 1} to {count}: {system_id}")
    return said
