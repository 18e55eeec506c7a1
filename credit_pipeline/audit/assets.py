"""Dagster assets of stage 6: what the units confirmed, and the signed checkpoint that ends a day."""

import dagster as dg

from credit_pipeline.audit.checkpoints import CheckpointStore, trusted_signing_keys
from credit_pipeline.audit.receipts import UnitReceipts, unit_receipts
from credit_pipeline.audit.verification import verify_audit
from credit_pipeline.keys import KeyStore
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset

_KEY = dg.AssetKey(["audit", "checkpoint"])
_RECEIPTS = dg.AssetKey(["audit", "receipts"])


@daily_asset(
    "audit",
    "receipts",
    "Which unit confirmed which release of its extract, and whether its receipts agree with the audit log.",
    "数据包签收情况",
    deps=[["raw", "extract_receipts"], ["extracts", "unit_extracts"]],
    kinds={"json"},
    check_specs=[
        dg.AssetCheckSpec(
            "receipts_agree_with_the_log",
            asset=_RECEIPTS,
            description="No unit saw another log, release or manifest than the office has; units whose receipts do are named.",
        ),
        dg.AssetCheckSpec(
            "extracts_confirmed",
            asset=_RECEIPTS,
            description="Every unit confirms its release within the days of policy; units that did not are named.",
        ),
    ],
)
def receipts(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    units = unit_receipts(pipeline.settings, as_of_date(context))
    odd = {unit.unit_id: len(unit.contradictions) for unit in units if unit.contradictions}
    late = {unit.unit_id: unit.published - unit.confirmed for unit in units if unit.is_overdue}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(units),
            "confirmed": sum(unit.waiting_since is None for unit in units),
            "never_confirmed": sum(unit.confirmed == 0 for unit in units),
            "contradictions": dg.MetadataValue.md(_bullets(units)),
        },
        check_results=[
            _unit_check("receipts_agree_with_the_log", odd, dg.AssetCheckSeverity.ERROR),
            _unit_check("extracts_confirmed", late, dg.AssetCheckSeverity.WARN),
        ],
    )


def _bullets(units: list[UnitReceipts]) -> str:
    return "\n".join(f"- {words}" for unit in units for words in unit.contradictions) or "none"


def _unit_check(name: str, units: dict[str, int], severity: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
    named = ", ".join(f"{unit}: {count}" for unit, count in sorted(units.items()))
    return dg.AssetCheckResult(
        asset_key=_RECEIPTS,
        check_name=name,
        passed=not units,
        severity=severity,
        metadata={"units": named or "none", "count": len(units)},
    )


@daily_asset(
    "audit",
    "checkpoint",
    "The audit log's size and head at the end of the run, signed; copies travel in every unit's extract.",
    "审计检查点",
    deps=[["extracts", "unit_extracts"], ["extracts", "public_results"], receipts],
    kinds={"json"},
    check_specs=[
        dg.AssetCheckSpec(
            "log_is_intact",
            asset=_KEY,
            blocking=True,
            description="The hash chain holds from the first record, and agrees with every checkpoint signed so far and "
            "every manifest in the lake. A damaged log is not signed.",
        )
    ],
)
def checkpoint(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    settings, audit = pipeline.settings, pipeline.audit()
    signing_key = KeyStore(settings.keys_dir).signing_key()
    trusted = trusted_signing_keys(settings)
    report = verify_audit(settings, trusted, with_receipts=False)
    findings = [f"{found.kind}: {found.where}: {found.what}. {found.remedy}" for found in report.findings]
    check = dg.AssetCheckResult(
        passed=report.is_intact,
        metadata={"finding": "\n".join(findings) or "intact", "records": report.records},
    )
    if not report.is_intact:
        return dg.MaterializeResult(check_results=[check])
    audit.append("day_finished", "audit", context.run.run_id, **pipeline.run_facts(as_of_date(context)))
    store = CheckpointStore(settings.audit_dir / "checkpoints")
    signed = store.add(audit, signing_key, trusted=trusted)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": signed["size"], "head": signed["head"], "signed_by": signed["key_id"]},
        check_results=[check],
    )


audit_assets = [receipts, checkpoint]
