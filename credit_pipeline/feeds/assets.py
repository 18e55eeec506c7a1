"""Dagster assets `raw/<feed>`, one per feed of the catalogue, and `lake/*`: what else their ingest leaves behind."""

import logging
from datetime import timedelta

import dagster as dg

from credit_pipeline.feeds.catalogue import Feed, load_catalogue
from credit_pipeline.feeds.checks import check_raw, check_sources, raw_check_specs
from credit_pipeline.feeds.ingest import ingest_feed
from credit_pipeline.feeds.ledger import COUNTS, ledger_digest, read_ledger
from credit_pipeline.feeds.sources import collect
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
        freshness_policy=None
        if feed.is_decision
        else dg.FreshnessPolicy.time_window(fail_window=timedelta(days=feed.cadence_days)),
        check_specs=raw_check_specs(feed),
    )
    def raw(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
        collected = collect(feed, pipeline.settings, as_of_date(context), log.info, context.run.run_id)
        report = ingest_feed(feed, pipeline.settings, as_of_date(context), log.debug)
        for message in report.left:
            log.warning("%s", message)
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
                "problems": dg.MetadataValue.json(report.left),
                "files_report": dg.MetadataValue.md(report.to_markdown()),
                "fetched": collected.rows,
                "sources": dg.MetadataValue.md(collected.to_markdown()),
            },
            check_results=[
                *check_raw(pipeline.settings, feed, as_of_date(context)),
                check_sources(feed, collected, as_of_date(context)),
            ],
        )

    return raw


raw_assets = [_raw_asset(feed) for feed in load_catalogue().values()]


def _lake_asset(name: str, english: str, chinese_label: str, count: str) -> dg.AssetsDefinition:
    """What else the ingest of all feeds leaves in the lake; the models of the quality report read it."""

    @daily_asset(
        "lake",
        name,
        english,
        chinese_label,
        deps=[["raw", feed] for feed in load_catalogue()],
        kinds={"json" if name == "ledger" else "parquet"},
    )
    def lake(context: dg.AssetExecutionContext, pipeline: Pipeline) -> dg.MaterializeResult:
        entries = [entry for feed in load_catalogue() for entry in read_ledger(pipeline.settings, feed)]
        rows = sum(int(entry[count]) for entry in entries) if count else len(entries)
        if name == "ledger":
            day = as_of_date(context)
            known = [entry for entry in entries if entry["ingest_date"] <= day.isoformat()]
            pipeline.audit().append(
                "feeds_read",
                "feeds",
                context.run.run_id,
                **pipeline.run_facts(day),
                feeds=len(load_catalogue()),
                files=len(known),
                rows={kind: sum(int(entry[kind]) for entry in known) for kind in (*COUNTS, "repaired")},
                ledger_sha256=ledger_digest(known),
            )
        return dg.MaterializeResult(metadata={"dagster/row_count": rows, "files": len(entries)})

    return lake


lake_assets = [
    _lake_asset(
        "quarantine",
        "Refused rows of all feeds: rule, value, remedy, the row as sent.",
        "隔离行",
        "quarantined",
    ),
    _lake_asset(
        "repairs", "Repaired cells of accepted rows: what was sent, what is stored.", "修复单元格", "repaired"
    ),
    _lake_asset("duplicates", "Rows that repeat the latest version of their fact.", "重复行", "duplicates"),
    _lake_asset("ledger", "One entry per file ever ingested: counts, problems, outputs.", "接收台账", ""),
]
