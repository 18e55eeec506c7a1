{# Related enterprises over one or two steps, each with why it is risky, and the clusters an enterprise belongs to. A
   relation never passes on a veto; shares and caps bound its weight. record_no is the related enterprise or the common
   person or address, the source is the first edge of the way to it. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    contributions as ({{ related_contributions() }}),
    -- Columns of their own, so that the join is on equal columns only: with expressions and validity in it
    -- the plan
    -- was a nested loop (835,100 relations of 1 million enterprises: minutes).
    ways as (
        select
            *,
            split_part(link, '|', 1) as link_uscc,
            split_part(link, '|', 2) as link_from_id,
            split_part(link, '|', 3) as link_relation
        from contributions
    ),
    edges as (
        select
            s.as_of_date,
            r.uscc,
            r.from_id,
            r.relation,
            r.valid_from,
            r.source_file,
            r.source_sheet,
            r.source_row,
            r.ingest_date
        from {{ ref("stg_related_parties") }} as r
        join snapshots as s on {{ counts_on("r", "s.as_of_date") }}
    )
select
    c.as_of_date,
    c.uscc,
    coalesce(c.related_uscc, c.from_id) as record_no,
    l.valid_from as event_date,
    l.source_file,
    l.source_sheet,
    l.source_row,
    l.ingest_date,
    {{ feed_indicators()["related_parties"] | join(", ") }},
    c.related_uscc,
    c.hop,
    c.link_kinds,
    c.risks,
    c.evidence_count
from ways as c
left join
    edges as l
    on l.as_of_date = c.as_of_date
    and l.uscc = c.link_uscc
    and l.from_id = c.link_from_id
    and l.relation = c.link_relation
