"""Dagster assets `raw/<feed>`: one per feed of the catalogue, made by one factory."""

import logging
from datetime import timedelta

import dagster as dg

from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.checks import check_raw, raw_check_specs
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.orchestration import Pipeline, as_of_date, daily_asset

log = logging.getLogger(__name__)


def _raw_asset(feed: Feed) -> dg.AssetsDefinition:
    @daily_asset(
        "raw",
        feed.name,
        f"{feed.description} Accepted rows in the lake.",
        feed.label,
        owner=feed.owner,
        deps=[["raw", "registrations"]] if feed.has_uscc and feed.name != "registrations" else [],
        kinds={"parquet", "python"},
        tags={"pii": "true"} if any(column.classification == "personal" for column in feed.columns) else {},
        metadata={
            "business_key": ", ".join(feed.business_key),
            "cadence_days": feed.cadence_days,
            "dagster/column_schema": dg.TableSchema(
                columns=[
                    dg.TableColumn(
                        column.name, column.type, description=column.label, tags={column.classification: ""}
                    )
                    for column in feed.stored_columns
                ]
            ),
        },
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(days=feed.cadence_days)),
        check_specs=raw_check_specs(feed),
    )
    def raw(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
        report = ingest_feed(feed, pipeline.settings, as_of_date(context), log.debug)
        log.info(
            "%s: %d files, read %d, accepted %d, quarantined %d, duplicates %d",
            feed.name,
            len(report.files),
            report.read,
            report.accepted,
            report.quarantined,
            report.duplicates,
        )
        pipeline.audit().append(
            "feed_ingested",
            "feeds",
            context.run.run_id,
            feed=feed.name,
            as_of_date=as_of_date(context).isoformat(),
            files=[{"file": file.file, "sha256": file.sha256, "read": file.read} for file in report.files],
            read=report.read,
            accepted=report.accepted,
            quarantined=report.quarantined,
            duplicates=report.duplicates,
        )
        return dg.MaterializeResult(
            metadata={
                "read": report.read,
                "accepted": report.accepted,
                "quarantined": report.quarantined,
                "duplicates": report.duplicates,
                "files": len(report.files),
                "dagster/row_count": report.rows_in_lake,
                "files_report": dg.MetadataValue.md(report.to_markdown()),
            },
            check_results=check_raw(pipeline.settings, feed, as_of_date(context)),
        )

    return raw


raw_assets = [_raw_asset(feed) for feed in load_catalogue().values()]
