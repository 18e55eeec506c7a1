"""The models on file: what a model folder holds and how it gets there. Which one grades is `transform.champions`.

A folder `LAKE/models/<digest>/` holds scorecard.json (the artefact), points.parquet and calibration.parquet (the
same tables for dbt's SQL), and for a fitted model its card (model_card.html, model_card.md) with the figures
(validation.json). No pickle: loading a model cannot run code. Nothing is ever removed: rejected challengers stay with
their card and the reason.
"""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.grading.points_table import to_micro
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import (
    Promotion,
    champion,
    model_dir,
    promote,
    promotions,
    refuse_past_days,
)

FIGURES_NAME, CARD_NAME = "validation.json", "model_card.html"


def store_model(settings: Settings, card: Scorecard) -> Path:
    """Put a scorecard on file; storing the same one again changes nothing."""
    folder = model_dir(settings, card.digest)
    if folder.exists():
        return folder
    draft = folder.with_name(f"tmp-{uuid.uuid4().hex}")
    draft.mkdir(parents=True, mode=0o700)
    card.save(draft / "scorecard.json")
    points_for_sql(card).write_parquet(draft / "points.parquet", compression="zstd", statistics=False)
    calibration_for_sql(card).write_parquet(
        draft / "calibration.parquet", compression="zstd", statistics=False
    )
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


def calibration_for_sql(card: Scorecard) -> pl.DataFrame:
    """The calibration steps as dbt's macro reads them."""
    return card.calibration.rename({"micro_lower": "score_micro_lower", "micro_upper": "score_micro_upper"})


def load_model(settings: Settings, digest: str) -> Scorecard:
    """A model on file; IntegrityError when its content is not what its digest says."""
    return Scorecard.load(model_dir(settings, digest) / "scorecard.json")


@dataclass(frozen=True)
class ModelOnFile:
    """One model of the lake, without its tables."""

    digest: str
    kind: str
    """`trained` or `expert`."""
    made_for: str
    """As-of day of the training; empty for an expert scorecard."""
    decision: str
    auc: dict[str, float] | None
    """Out of time, with its interval."""
    grades_from: tuple[str, ...]
    """Days from which it was promoted."""
    is_champion: bool
    """Whether it grades on the latest day."""
    folder: Path
    card: Path | None
    """HTML of its model card."""


def models_on_file(settings: Settings) -> list[ModelOnFile]:
    """All models, in the order of the days they were made for."""
    found = []
    made = promotions(settings)
    latest = champion(settings, date.max)
    for path in sorted(settings.models_dir.glob("*/scorecard.json")):
        if path.parent.name.startswith("tmp-"):
            continue
        stored = json.loads(path.read_text(encoding="utf-8"))
        digest, metadata = stored["sha256"], stored["content"]["metadata"]
        figures = read_figures(settings, digest)
        test = (figures or {}).get("validation", {}).get("test")
        card = path.with_name(CARD_NAME)
        mine = [item for item in made if item.digest == digest]
        kind = "expert" if metadata.get("origin") == "expert" else "trained"
        found.append(
            ModelOnFile(
                digest,
                kind,
                str(metadata.get("notes", {}).get("as_of_date", "")),
                (figures or {}).get("decision") or (mine[-1].reason if mine else "never graded"),
                test["auc"] if test else None,
                tuple(item.valid_from for item in mine),
                latest is not None and latest.digest == digest,
                path.parent,
                card if card.exists() else None,
            )
        )
    return sorted(found, key=lambda item: (item.made_for, item.digest))


def read_figures(settings: Settings, digest: str) -> dict[str, Any] | None:
    """validation.json of a model; None when it was never judged."""
    path = model_dir(settings, digest) / FIGURES_NAME
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def find_model(settings: Settings, name: str) -> ModelOnFile:
    """The model of that digest, of a beginning of it (8 digits at least), or `champion`.

    Raises:
        BadInput: there is none, or the beginning fits several.
    """
    models = models_on_file(settings)
    if name == "champion":
        fitting = [model for model in models if model.is_champion]
    else:
        fitting = [model for model in models if len(name) >= 8 and model.digest.startswith(name.lower())]
    if len(fitting) != 1:
        raise BadInput(
            f"{len(fitting)} models on file fit {name!r}; name one by at least 8 digits of its digest, see: "
            "credit-pipeline model list"
        )
    return fitting[0]


def check_model(settings: Settings, digest: str) -> Scorecard:
    """Load a model and prove that the tables that SQL reads are its own.

    Raises:
        BadInput: there is no such model. IntegrityError: a file of it is damaged.
    """
    card = load_model(settings, digest)
    folder = model_dir(settings, digest)
    for name, wanted in (("points", points_for_sql(card)), ("calibration", calibration_for_sql(card))):
        path = folder / f"{name}.parquet"
        try:
            same = pl.read_parquet(path).equals(wanted)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise IntegrityError(f"{path} cannot be read; restore the folder from the archive") from error
        if not same or card.digest != digest:
            raise IntegrityError(
                f"{path} is not what scorecard.json says; restore the folder from the archive"
            )
    return card


def promote_by_hand(
    settings: Settings,
    name: str,
    as_of_date: date,
    reason: str,
    *,
    decided_by: str,
    approver: str = "",
    document: str = "",
) -> tuple[Promotion, Promotion | None]:
    """Let a model on file grade from a day on; returns its promotion and the one it replaces. The caller holds the lake.

    `decided_by`: `gates` (the model must have passed them), `override` (approver and document needed) or `rollback`
    (the model must have graded before).

    Raises:
        BadInput: no such model, a past day, or the condition above does not hold. IntegrityError: the model is damaged.
    """
    if not reason.strip():
        raise BadInput("a promotion needs a reason; it is kept for ever")
    model = find_model(settings, name)
    check_model(settings, model.digest)
    refuse_past_days(settings, as_of_date)
    before = champion(settings, as_of_date)
    if before is not None and before.digest == model.digest:
        raise BadInput(f"model {model.digest[:16]} grades on {as_of_date} already")
    if decided_by == "rollback" and not model.grades_from:
        raise BadInput(
            f"model {model.digest[:16]} has never graded, so there is nothing to go back to; remedy: model promote"
        )
    if decided_by == "gates":
        figures = read_figures(settings, model.digest)
        failed = [v["gate"] for v in (figures or {}).get("verdicts", []) if v["verdict"] == "fail"]
        if figures is None or failed:
            raise BadInput(
                f"model {model.digest[:16]} has not passed the gates ({', '.join(failed) or 'never judged'}); remedy: "
                "--override with --approver and --document"
            )
    if decided_by == "override" and not (approver.strip() and document.strip()):
        raise BadInput(
            "an override names who answers for it and the paper: --approver NAME --document NUMBER"
        )
    made = Promotion(as_of_date.isoformat(), model.digest, model.kind, reason, decided_by, approver, document)
    promote(settings, made)
    return made, before
