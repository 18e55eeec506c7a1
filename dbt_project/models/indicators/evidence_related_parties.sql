{# Related enterprises over one or two steps, each with why it is risky, and the clusters an enterprise belongs to. A
   relation never passes on a veto; shares and caps bound its weight. record_no is the related enterprise or the common
   person or address, the source is the first edge of the way to it. #}
{{ config(materialized="view") }}
with contributions as ({{ related_contributions() }})
select
    c.as_of_date,
    c.uscc,
    coalesce(c.related_uscc, c.from_id) as record_no,
    l.valid_from as event_date,
    l.source_file,
    l.source_sheet,
    l.source_row,
    l.ingest_date,
    {{ related_contribution_names() | join(", ") }},
    c.related_uscc,
    c.hop,
    c.link_kinds,
    c.risks,
    c.evidence_count
from contributions as c
left join
    {{ ref("stg_related_parties") }} as l
    on l.uscc = split_part(c.link, '|', 1)
    and l.from_id = split_part(c.link, '|', 2)
    and l.relation = split_part(c.link, '|', 3)
    and {{ counts_on("l", "c.as_of_date") }}
