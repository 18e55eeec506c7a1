{# Every refused row of the lake stands once in quarantined_rows, with one status; a release names its file. #}
with
    refused as (
        select feed, count(*) as rows_refused
        from
            (
                select distinct q.feed, q.quarantine_id
                from {{ source("lake", "quarantine") }} as q
                where q.ingest_date <= {{ as_of() }} and q.row_number is not null
            ) as r
        group by feed
    ),
    listed as (
        select
            feed,
            count(*) as rows_refused,
            sum(case when status in ('open', 'released', 'replaced') then 1 else 0 end) as with_status
        from {{ ref("quarantined_rows") }}
        group by feed
    )
select coalesce(r.feed, l.feed) as feed, 'rows do not add up' as fault
from refused as r
full outer join listed as l on l.feed = r.feed
where
    coalesce(r.rows_refused, 0) <> coalesce(l.rows_refused, 0)
    or coalesce(l.with_status, 0) <> coalesce(l.rows_refused, 0)
union all
select feed, 'status and release disagree' as fault
from {{ ref("quarantined_rows") }}
where
    (status = 'open') <> (released_on is null)
    or (status = 'open') <> (released_by_file is null)
    or (status = 'released') <> (released_by_row is not null)
    or released_on < ingest_date
