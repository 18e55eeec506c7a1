"""Dagster assets of stage 3 that Python makes: training set, model, and the points table that grades.

Scores and grades themselves are dbt models (`grading/enterprise_scores`, `grading/enterprise_grades`).
"""

import dagster as dg
import polars as pl

from credit_pipeline.feeds.catalogue import feed_names
from credit_pipeline.feeds.lake_files import file_sha256
from credit_pipeline.feeds.ledger import lake_ledger_digest
from credit_pipeline.grading import training
from credit_pipeline.grading.card_pictures import reliability
from credit_pipeline.grading.history import state_digest, store_day
from credit_pipeline.grading.registry import CARD_NAME
from credit_pipeline.grading.snapshots import training_set_path
from credit_pipeline.grading.svg import as_markdown
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset
from credit_pipeline.transform.champions import champion_dir, model_dir

_RAW = [["raw", name] for name in feed_names()]


@daily_asset(
    "grading",
    "training_set",
    "Labelled monthly snapshots of the indicators, each with what was known then; the label is a serious breach "
    "found within twelve months. Enterprises that nobody looked at have no label.",
    "训练样本",
    opens_warehouse=True,
    deps=_RAW,
    kinds={"dbt", "parquet"},
)
def training_set(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    day = as_of_date(context)
    frame = training.training_set(pipeline.settings, day, context.run.run_id)
    pipeline.audit().append(
        "training_set_built",
        "grading",
        context.run.run_id,
        **pipeline.run_facts(day),
        inputs={"ledger_sha256": lake_ledger_digest(pipeline.settings, day)},
        rows=frame.height,
        sha256=file_sha256(training_set_path(pipeline.settings, day)),
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": frame.height,
            "breaches": int(frame["label"].sum() or 0),
            "snapshots": frame["as_of_date"].n_unique(),
        }
    )


@daily_asset(
    "grading",
    "credit_model",
    "A challenger fitted to the training set: additive, monotone, collapsed to a points table; judged out of time. It "
    "grades from this day on only if no gate of policy fails. Its model card is linked.",
    "信用评价模型",
    deps=[training_set],
    kinds={"scikitlearn"},
)
def credit_model(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    day = as_of_date(context)
    outcome = training.train(
        pipeline.settings, day, pl.read_parquet(training_set_path(pipeline.settings, day))
    )
    pipeline.audit().append(
        "model_trained",
        "grading",
        context.run.run_id,
        **pipeline.run_facts(day) | {"model": outcome.promotion.digest},
        inputs={"training_set_sha256": file_sha256(training_set_path(pipeline.settings, day))},
        challenger=outcome.challenger,
        kind=outcome.promotion.kind,
        promoted=outcome.is_new,
        gates={verdict.gate: verdict.verdict for verdict in outcome.verdicts},
        reason=outcome.reason,
    )
    return dg.MaterializeResult(
        metadata={
            "champion": outcome.promotion.digest,
            "kind": outcome.promotion.kind,
            "promoted": outcome.is_new,
            "reason": outcome.reason,
            "labelled_rows": outcome.rows,
            "breaches": outcome.breaches,
            **_judgement(pipeline, outcome),
        }
    )


def _judgement(pipeline: Pipeline, outcome: training.TrainingOutcome) -> dict[str, dg.MetadataValue]:
    """Figures, reliability plot and card of the challenger; nothing when there was none to judge."""
    if outcome.challenger is None or outcome.validation is None:
        return {}
    card = model_dir(pipeline.settings, outcome.challenger) / CARD_NAME
    gates = "\n".join(f"| {v.gate} | {v.verdict} | {v.words} |" for v in outcome.verdicts)
    found: dict[str, dg.MetadataValue] = {
        "challenger": dg.MetadataValue.text(outcome.challenger),
        "gates": dg.MetadataValue.md(f"| gate | verdict | words |\n|---|---|---|\n{gates}"),
        "model_card": dg.MetadataValue.url(card.as_uri()),
        "model_card_path": dg.MetadataValue.path(card),
    }
    if test := outcome.validation["test"]:
        found["auc_out_of_time"] = dg.MetadataValue.float(test["auc"]["value"])
        found["auc_low"] = dg.MetadataValue.float(test["auc"]["low"])
        found["auc_high"] = dg.MetadataValue.float(test["auc"]["high"])
        found["reliability"] = dg.MetadataValue.md(as_markdown("reliability", reliability(test)))
    return found


@daily_asset(
    "grading",
    "scorecard_points",
    "The points table and calibration of the model that grades on the day. When no model grades yet, one is "
    "trained here first, or the expert scorecard of the policy pack is taken when labels are too few.",
    "评分表",
    opens_warehouse=True,
    deps=[credit_model, *_RAW],
    kinds={"parquet"},
)
def scorecard_points(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    settings, day = pipeline.settings, as_of_date(context)
    chosen = training.ensure_champion(settings, day, context.run.run_id)
    points = pl.read_parquet(champion_dir(settings, day) / "points.parquet")
    pipeline.audit().append(
        "model_chosen",
        "grading",
        context.run.run_id,
        **pipeline.run_facts(day) | {"model": chosen.digest},
        kind=chosen.kind,
        valid_from=chosen.valid_from,
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": points.height,
            "model": chosen.digest,
            "kind": chosen.kind,
            "valid_from": chosen.valid_from,
            "reason": chosen.reason,
            "folder": dg.MetadataValue.path(model_dir(settings, chosen.digest)),
        }
    )


_HISTORY_KEY = dg.AssetKey(["grading", "grade_history"])


@daily_asset(
    "grading",
    "grade_history",
    "Every change of a platform grade with its reason, one row per change, up to the day. The day's full state and its "
    "changes are stored in the lake; a past day that is run again stores nothing and is compared with what was stored.",
    "等级变动记录",
    opens_warehouse=True,
    deps=[["grading", "enterprise_grades"], ["grading", "enterprise_scores"]],
    kinds={"duckdb", "parquet"},
    check_specs=[
        dg.AssetCheckSpec(
            "past_day_gives_the_same",
            asset=_HISTORY_KEY,
            description="A past day that is computed again gives the grades that were stored on that day; it does not "
            "when somebody changed a policy table without a new effective date, or the lake itself.",
        )
    ],
)
def grade_history(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    day = as_of_date(context)
    stored = store_day(pipeline.settings, pipeline.target(day))
    if stored.is_stored:
        pipeline.audit().append(
            "grades_stored",
            "grading",
            context.run.run_id,
            **pipeline.run_facts(day),
            graded=stored.graded,
            changed=stored.changed,
            rows=stored.history_rows,
            state_sha256=state_digest(pipeline.settings, day),
        )
    else:
        pipeline.audit().append(
            "grades_compared",
            "grading",
            context.run.run_id,
            **pipeline.run_facts(day),
            graded=stored.graded,
            agrees=stored.agrees,
        )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": stored.history_rows,
            "graded": stored.graded,
            "changed": stored.changed,
            "stored": stored.is_stored,
        },
        check_results=[
            dg.AssetCheckResult(
                passed=stored.agrees is not False,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "finding": "differs from what was stored" if stored.agrees is False else "agrees",
                    "compared": stored.agrees is not None,
                },
            )
        ],
    )


grading_assets = [training_set, credit_model, scorecard_points, grade_history]
