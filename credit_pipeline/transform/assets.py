"""The one `@dbt_assets`: every model and seed of the dbt project, built by one `dbt build` per run; and the quality
report that people read of it."""

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DbtCliResource, dbt_assets

from credit_pipeline.feeds.ledger import lake_ledger_digest
from credit_pipeline.orchestration import (
    OFFICE,
    WAREHOUSE_POOL,
    Pipeline,
    as_of_date,
    daily_asset,
    daily_partitions,
    one_day_per_run,
)
from credit_pipeline.settings import DBT_PROJECT_DIR
from credit_pipeline.transform.champions import champion_dir
from credit_pipeline.transform.classification import ColumnClass, column_classes
from credit_pipeline.transform.dbt import (
    MANIFEST_PATH,
    dbt_args,
    dbt_environment,
    dbt_executable,
    dbt_vars,
    target_path,
)
from credit_pipeline.transform.policy import exceptions_for_audit
from credit_pipeline.transform.policy_check import require_sound_policy
from credit_pipeline.transform.quality_report import read_report, report_markdown, report_plots
from credit_pipeline.transform.sources import ensure_sources
from credit_pipeline.transform.tables import TableFacts, describe_tables, table_digests
from credit_pipeline.warehouse import connect, mark_current, wait_until_free

log = logging.getLogger(__name__)

DECISIVE_TABLES = (
    "enterprises.enterprise_units",
    "grading.enterprise_grades",
    "grading.unit_grades",
    "inspection.inspection_frame",
    "inspection.inspection_quotas",
)
"""What of a build decides about an enterprise: the audit log holds their digests; of all others the rows."""


class Translator(DagsterDbtTranslator):
    """Asset key = schema.table = folder/model; group = first part of the key."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        key = dbt_resource_props.get("config", {}).get("meta", {}).get("dagster", {}).get("asset_key")
        key = key or dbt_resource_props.get("meta", {}).get("dagster", {}).get("asset_key")
        if key:
            return dg.AssetKey(key)
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey([dbt_resource_props["source_name"], dbt_resource_props["name"]])
        return dg.AssetKey([dbt_resource_props["config"]["schema"], dbt_resource_props["name"]])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return self.get_asset_key(dbt_resource_props).path[0]

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        return list(super().get_owners(dbt_resource_props) or [OFFICE])

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        level = dbt_resource_props["config"].get("meta", {}).get("classification")
        return {**super().get_tags(dbt_resource_props), **({"classification": level} if level else {})}

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return str(dbt_resource_props.get("description") or "")

    def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]) -> dg.PartitionsDefinition:
        return daily_partitions


dbt_cli = DbtCliResource(
    project_dir=str(DBT_PROJECT_DIR), profiles_dir=str(DBT_PROJECT_DIR), dbt_executable=dbt_executable()
)


@dbt_assets(
    manifest=MANIFEST_PATH,
    name="dbt_build",
    dagster_dbt_translator=Translator(),
    partitions_def=daily_partitions,
    backfill_policy=one_day_per_run,
    pool=WAREHOUSE_POOL,
)
def dbt_build(context: dg.AssetExecutionContext, pipeline: Pipeline, dbt: DbtCliResource) -> Iterator[Any]:
    settings, day = pipeline.settings, as_of_date(context)
    require_sound_policy(settings.policy_dir)
    target = pipeline.target(day)
    variables = dbt_vars(settings, day, champion_dir(settings, day))
    if not target.is_replay:
        mark_current(settings, day)
    ensure_sources(settings)
    wait_until_free(settings, target.path)
    events: list[Any] = []
    built = 0
    with dbt_environment(settings, target.path):
        invocation = dbt.cli(
            dbt_args("build", variables),
            context=context,
            target_path=target_path(settings, context.run.run_id),
        )
        for event in invocation.stream():
            events.append(event)
            if isinstance(event, dg.Output):
                built += 1
                if built % 10 == 0:
                    log.info("dbt: %d tables built", built)
    levels = column_classes(json.loads(MANIFEST_PATH.read_text(encoding="utf-8")))
    # Only now is the file free: dagster-dbt's own fetchers would open it with other settings, which DuckDB refuses.
    with connect(settings, target.path, read_only=True) as connection:
        tables = describe_tables(connection)
        digests = table_digests(connection, DECISIVE_TABLES)
    for event in events:
        yield _with_table_metadata(event, tables, levels, context) if isinstance(event, dg.Output) else event
    log.info("dbt: %d tables built, all tests passed", built)
    pipeline.audit().append(
        "warehouse_built",
        "transform",
        context.run.run_id,
        **pipeline.run_facts(day),
        is_replay=target.is_replay,
        inputs={"ledger_sha256": lake_ledger_digest(settings, day)},
        models=built,
        rows={name: facts.row_count for name, facts in tables.items()},
        outputs=digests,
        exceptions=exceptions_for_audit(settings, day),
    )


def _with_table_metadata(
    event: dg.Output[Any],
    tables: Mapping[str, TableFacts],
    levels: Mapping[str, Mapping[str, ColumnClass]],
    context: dg.AssetExecutionContext,
) -> dg.Output[Any]:
    key = context.asset_key_for_output(event.output_name)
    facts = tables.get(".".join(key.path))
    if facts is None:
        return event
    classes = levels.get(".".join(key.path), {})
    columns = [
        dg.TableColumn(
            column.name, column.type, description=column.comment, tags=_tags(classes.get(column.name))
        )
        for column in facts.columns
    ]
    return event.with_metadata(
        {
            **event.metadata,
            "dagster/row_count": facts.row_count,
            "dagster/column_schema": dg.TableSchema(columns),
        }
    )


def _tags(found: ColumnClass | None) -> dict[str, str]:
    return found.tags if found else {}


_REPORT_KEY = dg.AssetKey(["quality", "feed_quality_report"])


@daily_asset(
    "quality",
    "feed_quality_report",
    "What the feeds brought, what was refused, what is missing and how late it was, as a table and as pictures; "
    "look at its metadata.",
    "数据质量报告（图表）",
    opens_warehouse=True,
    deps=[
        ["quality", name]
        for name in ("arrival_lags", "feed_overview", "feed_quality", "quarantined_rows", "silent_deletions")
    ],
    kinds={"python"},
    check_specs=[
        dg.AssetCheckSpec(
            "nothing_vanished",
            asset=_REPORT_KEY,
            description="The last full delivery of every snapshot feed holds nearly all records known before; "
            "what is missing ends only when the office confirms it (credit-pipeline absences).",
        )
    ],
)
def feed_quality_report(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
    settings, day = pipeline.settings, as_of_date(context)
    with connect(settings, pipeline.target(day).path, read_only=True) as connection:
        report = read_report(connection, day)
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(report_markdown(report)),
            **{name: dg.MetadataValue.md(text) for name, text in report_plots(report, settings).items()},
            "stale_feeds": len(report.stale),
            "open_rows": report.total("open_rows"),
            "rows_in_review": report.total("in_review"),
            "missing_records": report.total("missing_records"),
        },
        check_results=[
            dg.AssetCheckResult(
                passed=not report.vanishing,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"feeds": ", ".join(report.vanishing) or "none", "count": len(report.vanishing)},
            )
        ],
    )
