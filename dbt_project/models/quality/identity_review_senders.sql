{# Which units sent rows about a party that waits for a person: the queue of identity_review as each unit sees it. Rows
   whose sender is no known unit have no unit here; the credit office answers for them. #}
{%- set feeds = feed_facts() %}
with
    waiting as (
        select u.feed, u.source_file, u.source_sheet, u.source_row, u.row_hash, u.ingest_date, u.party_key
        from {{ ref("unidentified_rows") }} as u
        join {{ ref("party_identities") }} as p on p.party_key = u.party_key
        where p.review_reason is not null
    ),
    sent as (
        {% for name in party_columns() %}
            select w.party_key, w.feed, w.ingest_date, {{ sender_unit() }} as unit_id
            from waiting as w
            join
                {{ source("raw", name) }} as r
                on r.source_file = w.source_file
                and coalesce(r.source_sheet, '') = coalesce(w.source_sheet, '')
                and r.source_row = w.source_row
                and r.row_hash = w.row_hash
                {{ join_senders(sender_text("r", feeds[name]["units"]), "r.source_file") }}
            where w.feed = '{{ name }}' and r.uscc is null and r.ingest_date <= {{ as_of() }}
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )
select party_key, unit_id, feed, cast(count(*) as bigint) as row_count, min(ingest_date) as waiting_since
from sent
where unit_id is not null
group by party_key, unit_id, feed
