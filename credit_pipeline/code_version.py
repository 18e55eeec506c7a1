"""Which code is at work, as a digest that anyone with a checkout can compute again.

SHA-256 over one line `<path> <SHA-256 of the file>` for each Python, YAML and SQL file of the package and the dbt project,
in the order of their paths. The policy pack is not part of it: it has a version of its own (`policy_version`).
"""

from __future__ import annotations

import hashlib
import os
import platform
import pwd
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path

from credit_pipeline.settings import DBT_PROJECT_DIR, PROJECT_ROOT

_SUFFIXES = {".py", ".sql", ".yaml", ".yml"}
_NOT_CODE = {"__pycache__", "dbt_packages", "logs", "policy", "target"}
_LIBRARIES = ("credit-pipeline", "dagster", "dbt-core", "dbt-duckdb", "duckdb", "polars", "scikit-learn")


@cache
def code_sha256() -> str:
    """The digest of the code as it stood when this process first asked."""
    return digest_of_folders(
        {"credit_pipeline": PROJECT_ROOT / "credit_pipeline", "dbt_project": DBT_PROJECT_DIR}
    )


def digest_of_folders(folders: Mapping[str, Path]) -> str:
    """The digest described above, of the files in these folders; their names stand before the paths."""
    lines = []
    for name, folder in folders.items():
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            if path.suffix in _SUFFIXES and not _NOT_CODE.intersection(inside.parts) and path.is_file():
                lines.append(f"{name}/{inside.as_posix()} {hashlib.sha256(path.read_bytes()).hexdigest()}\n")
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


@cache
def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that can change a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def os_user() -> str:
    """The account of the operating system that this process runs as."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # an account without a name, as in some containers
        return f"uid {os.geteuid()}"


def by_hand() -> str:
    """What stands in the audit log as the run of a command that somebody typed: `command:<account>`."""
    return f"command:{os_user()}"
