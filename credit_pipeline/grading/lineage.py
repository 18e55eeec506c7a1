"""What a model was made from, as digests: so that two models can be told apart, and one can be made again.

Same lake, policy, code and day give the same digests. No clock, no machine, no enterprise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.feeds.ledger import read_ledger
from credit_pipeline.settings import DBT_PROJECT_DIR, PROJECT_ROOT, Settings

LIBRARIES = (
    "credit-pipeline",
    "dbt-core",
    "dbt-duckdb",
    "duckdb",
    "polars",
    "scikit-learn",
    "scipy",
    "numpy",
)
CODE = ("credit_pipeline/grading/*.py", "credit_pipeline/transform/*.py")
SQL = ("models/**/*.sql", "macros/**/*.sql")


def rows_digest(frame: pl.DataFrame) -> str:
    """SHA-256 of a table: names, then values column by column, missing as one value."""
    digest = hashlib.sha256()
    for series in frame:
        digest.update(f"{series.name}\n{series.len()}\n".encode())
        if series.dtype.is_numeric():
            values = series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
            digest.update(np.where(np.isnan(values), np.float64("nan"), values).astype("<f8").tobytes())
        else:
            digest.update("\n".join(series.cast(pl.String).fill_null("").to_list()).encode())
    return digest.hexdigest()


def files_digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 of files by their path below the root and their content, in the order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(f"{path.relative_to(root)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def lineage(settings: Settings, as_of_date: date) -> dict[str, object]:
    """Digests of the policy pack, the catalogue of indicators, the feeds' ledgers by the day, the code; versions."""
    seeds = settings.policy_dir
    received = hashlib.sha256()
    files = 0
    for feed in sorted(feed_names()):
        entries = [
            item for item in read_ledger(settings, feed) if item["ingest_date"] <= as_of_date.isoformat()
        ]
        files += len(entries)
        for entry in entries:
            received.update(f"{feed}\n{entry['sha256']}\n".encode())
    code = [path for pattern in CODE for path in PROJECT_ROOT.glob(pattern)]
    code += [path for pattern in SQL for path in DBT_PROJECT_DIR.glob(pattern)]
    return {
        "policy_digest": files_digest(seeds, seeds.glob("*.csv")),
        "catalogue_digest": files_digest(seeds, [seeds / "indicators.csv"]),
        "label_rules_digest": files_digest(seeds, [seeds / "label_rules.csv"]),
        "ledger_digest": received.hexdigest(),
        "ledger_files": files,
        "code_digest": files_digest(PROJECT_ROOT, code),
        "versions": {name: version(name) for name in LIBRARIES},
    }
