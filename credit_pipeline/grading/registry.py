"""The models on file: what a model folder holds and how it gets there. Which one grades is `transform.champions`.

A folder `LAKE/models/<digest>/` holds scorecard.json (the artefact), points.parquet and calibration.parquet (the
same tables for dbt's SQL). No pickle: loading a model cannot run code.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import polars as pl

from credit_pipeline.grading.points_table import to_micro
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import model_dir


def store_model(settings: Settings, card: Scorecard) -> Path:
    """Put a scorecard on file; storing the same one again changes nothing."""
    folder = model_dir(settings, card.digest)
    if folder.exists():
        return folder
    draft = folder.with_name(f"tmp-{uuid.uuid4().hex}")
    draft.mkdir(parents=True, mode=0o700)
    card.save(draft / "scorecard.json")
    points_for_sql(card).write_parquet(draft / "points.parquet", compression="zstd", statistics=False)
    card.calibration.rename(
        {"micro_lower": "score_micro_lower", "micro_upper": "score_micro_upper"}
    ).write_parquet(draft / "calibration.parquet", compression="zstd", statistics=False)
    try:
        draft.replace(folder)
    except OSError:
        shutil.rmtree(draft)
        if not folder.exists():
            raise
    return folder


def points_for_sql(card: Scorecard) -> pl.DataFrame:
    """The points table with what the models need besides: the reference of each feature and the model's digest."""
    reference = pl.DataFrame(
        {
            "feature": list(card.reference),
            "reference_micro": to_micro(
                pl.Series(list(card.reference.values()), dtype=pl.Float64).to_numpy()
            ),
        },
        schema={"feature": pl.String, "reference_micro": pl.Int64},
    )
    return card.points.join(reference, on="feature", how="left", maintain_order="left").with_columns(
        model_digest=pl.lit(card.digest)
    )


def load_model(settings: Settings, digest: str) -> Scorecard:
    """A model on file; IntegrityError when its content is not what its digest says."""
    return Scorecard.load(model_dir(settings, digest) / "scorecard.json")
