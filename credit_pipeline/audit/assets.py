"""Dagster assets of stage 6: the signed checkpoint that ends a day."""

import dagster as dg

from credit_pipeline.audit.checkpoints import CheckpointStore
from credit_pipeline.keys import KeyStore
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset

_KEY = dg.AssetKey(["audit", "checkpoint"])


@daily_asset(
    "audit",
    "checkpoint",
    "The audit log's size and head at the end of the run, signed; copies travel in every unit's extract.",
    "审计检查点",
    deps=[["extracts", "unit_extracts"], ["extracts", "public_results"]],
    kinds={"json"},
    check_specs=[
        dg.AssetCheckSpec(
            "log_is_intact",
            asset=_KEY,
            blocking=True,
            description="The hash chain holds from the first record, and agrees with every checkpoint signed so far.",
        )
    ],
)
def checkpoint(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    settings, audit, keys = pipeline.settings, pipeline.audit(), KeyStore(pipeline.settings.keys_dir)
    store = CheckpointStore(settings.audit_dir / "checkpoints")
    verification = store.verify(audit, keys.public_key())
    audit.append("day_finished", "audit", context.run.run_id, as_of_date=as_of_date(context).isoformat())
    signed = store.add(audit, keys.signing_key())
    return dg.MaterializeResult(
        metadata={"dagster/row_count": signed["size"], "head": signed["head"], "signed_by": signed["key_id"]},
        check_results=[
            dg.AssetCheckResult(
                passed=verification.ok,
                metadata={"finding": verification.reason or "intact", "records": verification.size},
            )
        ],
    )


audit_assets = [checkpoint]
