"""From the lake to a model: training snapshots, the fit, and whether the result may grade.

The snapshots come from the same dbt models as the daily indicators, computed for past month-ends with only what
was known then, so training and grading cannot drift apart. The label of a snapshot is what was found in the
twelve months after it; an enterprise that nobody looked at has none (scorecard.md §5).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from credit_pipeline.grading import NotEnoughLabels, expert_scorecard, fit_scorecard
from credit_pipeline.grading.registry import load_model, store_model
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import Promotion, champion, promote
from credit_pipeline.transform.dbt import dbt_args, dbt_vars, run_dbt
from credit_pipeline.transform.policy import policy_parameter, policy_table
from credit_pipeline.warehouse import connect

log = logging.getLogger(__name__)

TRAINING_MODELS = "+standardized_indicators +training_labels"
BUILDABLE = ["--indirect-selection", "buildable"]
"""A part of the project is built: only tests whose parents are all there can run."""


@dataclass(frozen=True)
class TrainingOutcome:
    """What training decided."""

    promotion: Promotion
    is_new: bool
    """Whether the champion changed."""
    rows: int
    breaches: int
    auc: float | None
    """Out of fold, grouped by enterprise; None for an expert scorecard."""
    reason: str


def month_back(day: date, months: int) -> date:
    """The last day of the month that lies `months` before the month of `day`."""
    index = day.year * 12 + day.month - 1 - months + 1
    return date.fromordinal(date(index // 12, index % 12 + 1, 1).toordinal() - 1)


def snapshot_dates(as_of_date: date, horizon_months: int, count: int) -> list[date]:
    """Month-ends whose whole horizon lies before the as-of day, the oldest first."""
    return [month_back(as_of_date, horizon_months + 1 + back) for back in reversed(range(count))]


def features_of(settings: Settings, as_of_date: date) -> pl.DataFrame:
    """The indicators that the model may use: indicator, direction, must_report (from the catalogue of indicators)."""
    rows = (
        policy_table(settings, "indicators", as_of_date)
        .filter(pl.col("in_model") == "true")
        .sort("indicator")
    )
    return rows.select(
        "indicator", pl.col("direction").cast(pl.Int64), must_report=pl.col("must_report") == "true"
    )


def training_set_path(settings: Settings, as_of_date: date) -> Path:
    """Where the training set of a day lies."""
    return settings.lake_dir / "training" / f"as_of={as_of_date.isoformat()}" / "training_set.parquet"


def build_training_set(settings: Settings, as_of_date: date, run_id: str) -> pl.DataFrame:
    """Compute the labelled snapshots: as_of_date, uscc, label, weight and one column per model feature.

    Raises:
        CreditPipelineError: a dbt model failed.
    """
    horizon = policy_parameter(settings, "horizon_months", as_of_date)
    snapshots = snapshot_dates(as_of_date, horizon, policy_parameter(settings, "snapshot_count", as_of_date))
    log.info("training: indicators of %d snapshots, %s to %s", len(snapshots), snapshots[0], snapshots[-1])
    path = training_set_path(settings, as_of_date)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    warehouse = path.with_name("snapshots.duckdb")
    warehouse.unlink(missing_ok=True)
    empty = store_model(settings, _expert_card(settings, as_of_date))
    variables = dbt_vars(settings, as_of_date, empty, snapshots)
    run_dbt(
        settings,
        warehouse,
        f"{run_id}-training",
        [*dbt_args("build", variables, TRAINING_MODELS), *BUILDABLE],
    )
    features = ", ".join(f"i.{name}" for name in features_of(settings, as_of_date)["indicator"])
    with connect(settings, warehouse, read_only=True) as connection:
        frame = connection.execute(
            f"select l.as_of_date, l.uscc, cast(l.label as bigint) as label, cast(l.weight as double) as weight, {features} "
            "from indicators.training_labels l join indicators.standardized_indicators i using (as_of_date, uscc) "
            "order by l.as_of_date, l.uscc"
        ).pl()
    draft = path.with_name("tmp-training_set.parquet")
    frame.write_parquet(draft, compression="zstd", statistics=False)
    draft.replace(path)
    warehouse.unlink()
    log.info("training: %d labelled rows, %d breaches", frame.height, int(frame["label"].sum()))
    return frame


def fit(settings: Settings, as_of_date: date, frame: pl.DataFrame) -> Scorecard:
    """Fit the scorecard to a training set.

    Raises:
        NotEnoughLabels: fewer breaches than policy asks for.
    """
    wanted = policy_parameter(settings, "minimum_breaches", as_of_date)
    if (found := int(frame["label"].sum() or 0)) < wanted:
        raise NotEnoughLabels(f"{found} labelled breaches; policy asks for {wanted}")
    features = features_of(settings, as_of_date)
    data = frame.select(features["indicator"].to_list())
    digest = hashlib.sha256(frame.write_csv(float_scientific=False).encode()).hexdigest()
    return fit_scorecard(
        data,
        frame["label"],
        dict(zip(features["indicator"], features["direction"], strict=True)),
        weights=frame["weight"],
        groups=frame["uscc"],
        must_report=features.filter("must_report")["indicator"].to_list(),
        seeds=policy_parameter(settings, "seeds", as_of_date),
        notes={
            "as_of_date": as_of_date.isoformat(),
            "horizon_months": policy_parameter(settings, "horizon_months", as_of_date),
            "snapshots": [day.isoformat() for day in sorted(frame["as_of_date"].unique())],
            "rows_digest": digest,
        },
    )


def _expert_card(settings: Settings, as_of_date: date) -> Scorecard:
    """The expert scorecard of the policy pack."""
    points = policy_table(settings, "expert_scorecard", as_of_date)
    steps = policy_table(settings, "expert_calibration", as_of_date)
    features = features_of(settings, as_of_date)
    return expert_scorecard(
        [_numbers(row, ("lower", "upper", "points")) for row in points.to_dicts()],
        [
            {
                name: (int(value) if value != "" else None)
                for name, value in row.items()
                if name.startswith("micro_")
            }
            | {"probability": float(row["probability"])}
            for row in steps.to_dicts()
        ],
        directions={
            name: direction
            for name, direction in zip(features["indicator"], features["direction"], strict=True)
            if name in set(points["feature"])
        },
        notes={"source": "expert_scorecard.csv, policy default, not law"},
    )


def _numbers(row: dict[str, str], names: tuple[str, ...]) -> dict[str, str | float | None]:
    return {
        name: (None if value == "" else float(value)) if name in names else value
        for name, value in row.items()
    }


def train(settings: Settings, as_of_date: date, frame: pl.DataFrame) -> TrainingOutcome:
    """Fit a challenger and let it grade if it is better than the champion, by policy.

    With too few labels the expert scorecard grades, and says so. The comparison is out of time: both are judged on
    the newest snapshot, which a trial fit on the older ones has not seen.
    """
    present = champion(settings, as_of_date)
    breaches = int(frame["label"].sum() or 0)
    try:
        card = fit(settings, as_of_date, frame)
    except NotEnoughLabels as error:
        log.info("training: %s; the expert scorecard grades", error)
        if present is not None:
            return TrainingOutcome(
                present, False, frame.height, breaches, None, f"{error}; the champion stays"
            )
        card = _expert_card(settings, as_of_date)
        store_model(settings, card)
        chosen = Promotion(as_of_date.isoformat(), card.digest, "expert", str(error))
        promote(settings, chosen)
        return TrainingOutcome(chosen, True, frame.height, breaches, None, chosen.reason)
    store_model(settings, card)
    auc = float(card.metadata["out_of_fold"]["auc"])
    better, reason = (
        (True, "first trained model") if present is None else _is_better(settings, as_of_date, frame, present)
    )
    if not better and present is not None:
        return TrainingOutcome(present, False, frame.height, breaches, auc, reason)
    chosen = Promotion(as_of_date.isoformat(), card.digest, "trained", reason)
    promote(settings, chosen)
    return TrainingOutcome(chosen, True, frame.height, breaches, auc, reason)


def _is_better(
    settings: Settings, as_of_date: date, frame: pl.DataFrame, present: Promotion
) -> tuple[bool, str]:
    from sklearn.metrics import roc_auc_score

    if present.kind == "expert":
        return True, "a trained model replaces the expert scorecard"
    newest = max(frame["as_of_date"].to_list())
    held_out = frame.filter(pl.col("as_of_date") == newest)
    if held_out["label"].n_unique() < 2:
        return False, f"the newest snapshot {newest} has labels of one kind only; the champion stays"
    trial = fit(settings, as_of_date, frame.filter(pl.col("as_of_date") != newest))
    gain_needed = policy_parameter(settings, "promotion_min_gain_bp", as_of_date) / 10_000
    aucs = [
        float(roc_auc_score(held_out["label"], card.score(held_out), sample_weight=held_out["weight"]))
        for card in (trial, load_model(settings, present.digest))
    ]
    verdict = (
        f"AUC on {newest}: challenger {aucs[0]:.4f}, champion {aucs[1]:.4f}, gain needed {gain_needed:.4f}"
    )
    return aucs[0] - aucs[1] >= gain_needed, verdict


def ensure_champion(settings: Settings, as_of_date: date, run_id: str) -> Promotion:
    """The model that grades on the day; trains one when none does yet."""
    present = champion(settings, as_of_date)
    if present is not None:
        return present
    log.info("grading: no model grades on %s yet; training one", as_of_date)
    return train(settings, as_of_date, build_training_set(settings, as_of_date, run_id)).promotion
