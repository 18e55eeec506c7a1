"""From a training set to a model that grades: the fit, the trial out of time, the decision.

Here: which rows train, with what weight, and whether the result replaces the champion. Not here: the snapshots
(snapshots.py), the figures (validation.py), what is good enough (gates.py and policy).

Rows of unknown chance (cases, campaigns: somebody chose the enterprise) may help to rank, beside a nuisance term for
who looked; they never set the base rate: the probabilities are moved until those of the randomly drawn rows agree with
what was found there, by design weights (scorecard.md §5). Rows known only by their outcome (a penalty without a visit)
never train: their label can be nothing but 1.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.grading import NotEnoughLabels, expert_scorecard, fit_scorecard
from credit_pipeline.grading.gates import Verdict, blocking, judge
from credit_pipeline.grading.lineage import lineage, rows_digest
from credit_pipeline.grading.model_card import write_card
from credit_pipeline.grading.registry import load_model, store_model
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.grading.snapshots import (
    ABOUT,
    build_training_set,
    features_of,
    months_after,
    population_path,
)
from credit_pipeline.grading.validation import (
    INSPECTED,
    KNOWN_CHANCE,
    Bounds,
    bounds_of,
    can_judge,
    compare,
    free_boosting_auc,
    judge_population,
    judge_rows,
    known_chance,
    out_of_time,
    snapshots_said,
)
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import Promotion, champion, promote, stands_in_the_way
from credit_pipeline.transform.policy import policy_parameter, policy_table

log = logging.getLogger(__name__)

NUISANCE = ("observed_by", "observed_unit")
"""Who looked explains part of the label and none of the enterprise: fitted, then dropped at its mean."""


@dataclass(frozen=True)
class Recipe:
    """What decides a fit besides its rows."""

    directions: Mapping[str, int]
    must_report: tuple[str, ...]
    seeds: int
    unknown_chance_rows: int
    row_limit: int


@dataclass(frozen=True)
class TrainingOutcome:
    """What training decided."""

    promotion: Promotion
    is_new: bool
    """Whether the champion changed."""
    rows: int
    breaches: int
    challenger: str | None
    """Digest of the model that was fitted; None when labels were too few."""
    validation: dict[str, Any] | None
    """Figures of the challenger (validation.py), None when labels were too few."""
    verdicts: tuple[Verdict, ...]
    reason: str

    @property
    def auc(self) -> float | None:
        """Out of time; None when nothing could be judged."""
        judged = (self.validation or {}).get("test")
        return float(judged["auc"]["value"]) if judged else None


def recipe_of(settings: Settings, as_of_date: date) -> Recipe:
    """What policy says of a fit on the day."""
    features = features_of(settings, as_of_date)
    return Recipe(
        dict(zip(features["indicator"], features["direction"], strict=True)),
        tuple(features.filter("must_report")["indicator"]),
        policy_parameter(settings, "seeds", as_of_date),
        policy_parameter(settings, "unknown_chance_rows", as_of_date),
        policy_parameter(settings, "training_row_limit", as_of_date),
    )


def recipe_used(card: Scorecard) -> Recipe | None:
    """The recipe of a fitted card; None when the card does not tell."""
    told = card.metadata.get("notes", {}).get("recipe")
    if told is None:
        return None
    return Recipe(
        told["directions"],
        tuple(told["must_report"]),
        told["seeds"],
        told["unknown_chance_rows"],
        told["row_limit"],
    )


def rows_to_learn(frame: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Rows of inspected enterprises, thinned to the limit: adjacent months share eleven twelfths of their horizon.

    Beyond the limit every enterprise enters with every second (third ...) of its snapshots, half of the enterprises
    with the even months and half with the odd ones, so that all months stay.
    """
    drawn = frame.filter(pl.col("observed_by") == KNOWN_CHANCE)
    inspected = frame.filter(pl.col("observed_by").is_in(INSPECTED))
    chosen = drawn if drawn.height and not recipe.unknown_chance_rows else inspected
    stride = -(-chosen.height // recipe.row_limit)
    if stride > 1:
        month = pl.col("as_of_date").dt.year().cast(pl.Int64) * 12 + pl.col("as_of_date").dt.month()
        chosen = chosen.filter((month + pl.col("uscc").rank("dense").cast(pl.Int64)) % stride == 0)
    return chosen


def fit(
    settings: Settings,
    as_of_date: date,
    frame: pl.DataFrame,
    recipe: Recipe | None = None,
    made_from: Mapping[str, Any] | None = None,
) -> Scorecard:
    """Fit the scorecard to a training set.

    Raises:
        NotEnoughLabels: fewer enterprises with a breach than policy asks for.
    """
    recipe = recipe or recipe_of(settings, as_of_date)
    learned = rows_to_learn(frame, recipe)
    wanted = policy_parameter(settings, "minimum_breaches", as_of_date)
    # An enterprise in many snapshots is one breach, not many.
    if (found := learned.filter(pl.col("label") == 1)["uscc"].n_unique()) < wanted:
        raise NotEnoughLabels(f"{found} inspected enterprises with a breach; policy asks for {wanted}")
    if mixed := sorted(set(recipe.directions).intersection(ABOUT)):
        raise CreditPipelineError(
            f"{', '.join(mixed)} must never score; remedy: take it out of indicators.csv"
        )
    nuisance = [name for name in NUISANCE if learned[name].n_unique() > 1]
    card = fit_scorecard(
        learned.select(*recipe.directions, *nuisance),
        learned["label"],
        dict(recipe.directions),
        weights=learned["weight"],
        nuisance=nuisance,
        groups=learned["uscc"],
        must_report=recipe.must_report,
        seeds=recipe.seeds,
        notes={
            "as_of_date": as_of_date.isoformat(),
            "horizon_months": policy_parameter(settings, "horizon_months", as_of_date),
            "recipe": {
                "directions": dict(recipe.directions),
                "must_report": list(recipe.must_report),
                "seeds": recipe.seeds,
                "unknown_chance_rows": recipe.unknown_chance_rows,
                "row_limit": recipe.row_limit,
            },
            "learned": dict(snapshots_said(learned)),
            "labelled": dict(snapshots_said(frame)),
            "observed_by": dict(sorted(frame["observed_by"].value_counts(name="rows").rows())),
            "snapshots": [day.isoformat() for day in sorted(learned["as_of_date"].unique())],
            "rows_digest": rows_digest(learned),
            **(made_from or {}),
        },
    )
    return card if "observed_by" not in nuisance else at_base_rate(card, known_chance(learned))


def at_base_rate(card: Scorecard, drawn: pl.DataFrame) -> Scorecard:
    """The card with all its probabilities moved by one step of log-odds, to the observed rate of the drawn rows."""
    weights, label = drawn["weight"].to_numpy(), drawn["label"].to_numpy()
    rate = float(np.average(label, weights=weights))
    promised = card.probability(drawn)
    odds = np.log(promised / (1 - promised))
    low, high = -20.0, 20.0
    for _ in range(60):
        step = (low + high) / 2
        mean = np.average(1 / (1 + np.exp(-(odds + step))), weights=weights)
        low, high = (step, high) if mean < rate else (low, step)
    steps = card.calibration["probability"].to_numpy()
    moved = 1 / (1 + np.exp(-(np.log(steps / (1 - steps)) + step)))
    calibration = dict(card.metadata["calibration"]) | {"base_rate": rate, "moved_by_log_odds": step}
    return replace(
        card,
        calibration=card.calibration.with_columns(probability=pl.Series(moved)),
        metadata=dict(card.metadata) | {"calibration": calibration},
    )


def expert_card(settings: Settings, as_of_date: date) -> Scorecard:
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


def training_set(settings: Settings, as_of_date: date, run_id: str) -> pl.DataFrame:
    """Compute the labelled snapshots of a day (snapshots.py)."""
    parsed_with = store_model(settings, expert_card(settings, as_of_date))
    return build_training_set(settings, as_of_date, run_id, parsed_with)


def train(settings: Settings, as_of_date: date, frame: pl.DataFrame) -> TrainingOutcome:
    """Fit a challenger, judge it out of time, and let it grade if no gate of policy fails.

    With too few labels the expert scorecard grades, and says so. Every challenger is kept with its model card,
    rejected ones too.
    """
    present = champion(settings, as_of_date)
    breaches = int(frame["label"].sum() or 0)
    try:
        card = fit(settings, as_of_date, frame, made_from=lineage(settings, as_of_date))
    except NotEnoughLabels as error:
        log.info("training: %s; the expert scorecard grades", error)
        chosen, is_new = _without_challenger(settings, as_of_date, present, str(error))
        reason = chosen.reason if is_new else f"{error}; the champion stays"
        return TrainingOutcome(chosen, is_new, frame.height, breaches, None, None, (), reason)
    if present is not None and present.digest == card.digest:
        return TrainingOutcome(
            present, False, frame.height, breaches, card.digest, None, (), "the same model grades already"
        )
    validation = validate(settings, as_of_date, frame, card, present)
    verdicts = judge(settings, as_of_date, validation)
    failed = blocking(verdicts)
    if validation["test"] is None:
        reason = f"not judged: {validation['not_judged']}"
    elif failed:
        reason = "; ".join(f"{verdict.gate}: {verdict.words}" for verdict in failed)
    else:
        reason = _praise(validation, present)
    store_model(settings, card)
    if failed:
        write_card(settings, card, validation, verdicts, f"rejected: {reason}", present)
        chosen, is_new = _without_challenger(settings, as_of_date, present, f"challenger rejected: {reason}")
        return TrainingOutcome(
            chosen, is_new, frame.height, breaches, card.digest, validation, verdicts, f"rejected: {reason}"
        )
    later = stands_in_the_way(settings, as_of_date)
    if later is not None and present is not None:
        reason = f"not promoted: a model has been promoted for {later.valid_from}, and past days keep theirs"
        write_card(settings, card, validation, verdicts, reason, present)
        return TrainingOutcome(
            present, False, frame.height, breaches, card.digest, validation, verdicts, reason
        )
    write_card(settings, card, validation, verdicts, f"promoted: {reason}", present)
    chosen = Promotion(as_of_date.isoformat(), card.digest, "trained", reason, "gates")
    promote(settings, chosen)
    return TrainingOutcome(chosen, True, frame.height, breaches, card.digest, validation, verdicts, reason)


def _praise(validation: Mapping[str, Any], present: Promotion | None) -> str:
    auc = validation["test"]["auc"]
    replaces = (
        "first trained model"
        if present is None
        else "replaces the expert scorecard"
        if present.kind == "expert"
        else "no gate fails"
    )
    return f"{replaces}; AUC {auc['value']:.4f} ({auc['low']:.4f} to {auc['high']:.4f}) out of time"


def _without_challenger(
    settings: Settings, as_of_date: date, present: Promotion | None, reason: str
) -> tuple[Promotion, bool]:
    """The champion stays; where there is none the expert scorecard grades."""
    if present is not None:
        return present, False
    card = expert_card(settings, as_of_date)
    store_model(settings, card)
    chosen = Promotion(as_of_date.isoformat(), card.digest, "expert", reason, "no_usable_model")
    promote(settings, chosen)
    return chosen, True


def validate(
    settings: Settings, as_of_date: date, frame: pl.DataFrame, card: Scorecard, present: Promotion | None
) -> dict[str, Any]:
    """All that is known of a challenger: the trial out of time, the champion beside it, today's population."""
    bounds = bounds_of(policy_table(settings, "grade_bounds", as_of_date))
    incumbent = load_model(settings, present.digest) if present is not None else None
    found: dict[str, Any] = {
        "as_of_date": as_of_date.isoformat(),
        "bounds": dict(zip(bounds.grades, bounds.uppers, strict=True)),
        "champion": None if present is None else {"digest": present.digest, "kind": present.kind},
        "test": None,
        **_out_of_time(settings, as_of_date, frame, bounds, present, incumbent),
    }
    if population_path(settings, as_of_date).exists():
        population = pl.read_parquet(population_path(settings, as_of_date))
        if population["as_of_date"].n_unique() == 2:
            found["population"] = judge_population(card, population, bounds, incumbent)
    return found


def _out_of_time(
    settings: Settings,
    as_of_date: date,
    frame: pl.DataFrame,
    bounds: Bounds,
    present: Promotion | None,
    incumbent: Scorecard | None,
) -> dict[str, Any]:
    horizon = policy_parameter(settings, "horizon_months", as_of_date)
    learned, test = out_of_time(frame, horizon)
    told = {"trial": dict(snapshots_said(learned)), "test_rows": dict(snapshots_said(test))}
    if not can_judge(test):
        return told | {"not_judged": "the newest snapshot has no rows of both labels that speak for all"}
    recipe = recipe_of(settings, as_of_date)
    try:
        trial = fit(settings, as_of_date, learned, recipe)
    except NotEnoughLabels as error:
        return told | {
            "not_judged": f"nothing to learn a trial from that ended before the test began: {error}"
        }
    minimum = policy_parameter(settings, "segment_minimum_breaches", as_of_date)
    told["learned"] = dict(snapshots_said(rows_to_learn(learned, recipe)))
    told["test"] = judge_rows(trial, test, bounds, minimum)
    names = sorted(recipe.directions)
    told["free_boosting_auc"] = free_boosting_auc(known_chance(rows_to_learn(learned, recipe)), test, names)
    if present is not None and incumbent is not None:
        told["champion"] = {"digest": present.digest, "kind": present.kind} | _fair_rival(
            settings, as_of_date, learned, test, trial, recipe, incumbent
        )
    return told


def _fair_rival(
    settings: Settings,
    as_of_date: date,
    learned: pl.DataFrame,
    test: pl.DataFrame,
    trial: Scorecard,
    recipe: Recipe,
    incumbent: Scorecard,
) -> dict[str, Any]:
    """The champion on the test rows, without having seen them.

    One that was written by people, or whose last horizon had ended by the test, is scored as it stands. Any other has
    seen days of the test: its recipe is fitted to the trial's rows instead. If the recipes are one, so are the trials:
    what the challenger brings is a year of newer rows, and nothing can be said against it.
    """
    notes = incumbent.metadata.get("notes", {})
    days = notes.get("snapshots")
    newest = test["as_of_date"].max()
    lacking = sorted(set(incumbent.features) - set(test.columns))
    if lacking:
        return {"how": f"cannot be compared: {', '.join(lacking)} is no indicator of the model any more"}
    if not days:
        return {"how": "scored as it stands: written by people"} | compare(trial, incumbent, test)
    ended = months_after(date.fromisoformat(max(days)), int(notes.get("horizon_months", 12)))
    if isinstance(newest, date) and ended <= newest:
        return {"how": "scored as it stands: it had learned before the test"} | compare(
            trial, incumbent, test
        )
    theirs = recipe_used(incumbent)
    if theirs is None:
        return {"how": "cannot be compared: its recipe is not on file"}
    if theirs == recipe:
        return {"how": "same recipe on the same rows"} | compare(trial, trial, test)
    rival = fit(settings, as_of_date, learned, theirs)
    return {"how": "its recipe fitted to the same rows"} | compare(trial, rival, test)


def ensure_champion(settings: Settings, as_of_date: date, run_id: str) -> Promotion:
    """The model that grades on the day; trains one when none does yet."""
    present = champion(settings, as_of_date)
    if present is not None:
        return present
    log.info("grading: no model grades on %s yet; training one", as_of_date)
    return train(settings, as_of_date, training_set(settings, as_of_date, run_id)).promotion
