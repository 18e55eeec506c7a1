{# Per feed and day the quality report counts what the ledger counts: nothing read is lost between them. #}
with
    ledger as (
        select
            feed,
            ingest_date,
            sum(read) as read_rows,
            sum(accepted) as accepted,
            sum(quarantined) as quarantined,
            sum(duplicates) as duplicates
        from {{ source("lake", "ledger") }}
        where feed is not null and ingest_date <= {{ as_of() }}
        group by feed, ingest_date
    ),
    report as (
        select
            feed,
            ingest_date,
            sum(read_rows) as read_rows,
            sum(accepted) as accepted,
            sum(quarantined) as quarantined,
            sum(duplicates) as duplicates
        from {{ ref("feed_quality") }}
        group by feed, ingest_date
    )
select l.feed as ledger_feed, r.feed as report_feed, coalesce(l.ingest_date, r.ingest_date) as ingest_date
from ledger as l
full outer join report as r on r.feed = l.feed and r.ingest_date = l.ingest_date
where
    coalesce(l.read_rows, 0) <> coalesce(r.read_rows, 0)
    or coalesce(l.accepted, 0) <> coalesce(r.accepted, 0)
    or coalesce(l.quarantined, 0) <> coalesce(r.quarantined, 0)
    or coalesce(l.duplicates, 0) <> coalesce(r.duplicates, 0)
