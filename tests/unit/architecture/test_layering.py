"""The house's rules, read off the source text: who may import Dagster, and which stage may import which."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "credit_pipeline"
STAGES = ["feeds", "transform", "grading", "inspection", "extracts", "audit"]
DAGSTER_MODULES = {"assets", "checks", "jobs", "sensors"}
DAGSTER_TOP = {"definitions", "orchestration", "cli", "daily_run"}
SHARED_OF_LATER = ("audit.log", "audit.checkpoints")
"""What every stage may use of the last one: each appends to the log, extracts carry its checkpoint."""
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))


def is_dagster_module(name: str) -> bool:
    """`assets`, …, and `<topic>_assets` where one file of a stage's assets would be too long."""
    return name in DAGSTER_MODULES or name.endswith("_assets")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Every imported module with whether the import is only for type checking."""
    found: list[tuple[str, bool]] = []

    def visit(node: ast.AST, typing_only: bool) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing_only = True
        if isinstance(node, ast.Import):
            found.extend((alias.name, typing_only) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append((node.module or "", typing_only))
            found.extend((f"{node.module}.{alias.name}", typing_only) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child, typing_only)

    visit(ast.parse(path.read_text(encoding="utf-8")), False)
    return found


def violations(path: Path, imported: list[tuple[str, bool]]) -> list[str]:
    """What a module imports against the rules."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    bad = []
    may_dagster = (len(parts) == 1 and parts[0] in DAGSTER_TOP) or (
        len(parts) == 2 and is_dagster_module(parts[1])
    )
    for name, typing_only in imported:
        root = name.split(".")[0]
        if root.startswith("dagster") and not may_dagster and not typing_only:
            bad.append(f"imports {name}")
        if root != "credit_pipeline" or parts[0] not in STAGES:
            continue
        inside = name.removeprefix("credit_pipeline").lstrip(".")
        stage = inside.split(".")[0]
        if (
            stage in STAGES
            and STAGES.index(stage) > STAGES.index(parts[0])
            and not inside.startswith(SHARED_OF_LATER)
        ):
            bad.append(f"imports the later stage {name}")
        if stage == "orchestration" and not is_dagster_module(parts[-1]):
            bad.append(f"imports {name} outside Dagster's modules")
        if stage in {"definitions", "cli", "daily_run", "sample", "summary"}:
            bad.append(f"imports {name}, which stands above the stages")
    return bad


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_keeps_to_its_floor(path: Path) -> None:
    """Prevents logic that can only run inside Dagster, and a stage that reaches downstream."""
    assert violations(path, imports(path)) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("feeds/codes.py", "import dagster as dg", "imports dagster"),
        ("feeds/assets.py", "import dagster as dg", None),
        ("feeds/ingest.py", "from credit_pipeline.grading import fit_scorecard", "later stage"),
        ("grading/training.py", "from credit_pipeline.transform.policy import policy_table", None),
        ("extracts/publish.py", "from credit_pipeline.audit.explain import x", "later stage"),
        ("extracts/publish.py", "from credit_pipeline.audit.log import AuditLog", None),
        ("feeds/ingest.py", "from credit_pipeline.cli import app", "above the stages"),
    ],
)
def test_the_rule_itself_bites(tmp_path: Path, module: str, source: str, expected: str | None) -> None:
    """Prevents a rule that passes everything."""
    file = tmp_path / "module.py"
    file.write_text(source)
    found = violations(PACKAGE / module, imports(file))
    assert (any(expected in line for line in found)) if expected else found == []


def test_definitions_only_composes() -> None:
    """Prevents logic creeping into the composition root."""
    text = (PACKAGE / "definitions.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 50
    tree = ast.parse(text)
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.If, ast.For))]


def test_only_few_modules_open_duckdb() -> None:
    """Prevents a session without our settings: spill in clear, or none at all for want of the crypto module."""
    openers = {
        str(path.relative_to(PACKAGE))
        for path in MODULES
        if "duckdb.connect(" in path.read_text(encoding="utf-8")
    }
    assert openers == {
        "warehouse.py",
        "extracts/encrypted_file.py",
        "extracts/read_extract.py",
        "inspection/rounds/store.py",
    }
