{# Records that were known, had not ended, and were missing from a full delivery of their feed: silently deleted at the
   source, or forgotten. One row per time a record was missing. Nothing ends by itself: open until the record comes again
   (reappeared) or the office confirms that it has ended (confirmed: absence_confirmations, `credit-pipeline absences`). #}
{%- set feeds = snapshot_feeds() %}
with
    {% for name in feeds %}
        {{ name }}_days as (
            select
                record_key,
                ingest_date,
                min(source_file) as source_file,
                min_by(source_row, source_file) as source_row,
                max(case when is_accepted then 1 else 0 end) as is_accepted
            from ({{ sightings(name) }}) as s
            group by record_key, ingest_date
        ),
        {{ name }}_gaps as (
            select
                record_key,
                ingest_date as last_seen,
                source_file,
                source_row,
                lead(ingest_date) over (
                    partition by record_key order by ingest_date asc nulls first
                ) as seen_again,
                max(is_accepted) over (
                    partition by record_key
                    order by ingest_date asc nulls first
                    rows between unbounded preceding and current row
                ) as is_known
            from {{ name }}_days
        ),
        {{ name }}_next as (
            select days.ingest_date as last_seen, min(f.ingest_date) as next_full
            from {{ ref("snapshot_deliveries") }} as days
            join
                {{ ref("snapshot_deliveries") }} as f
                on f.feed = days.feed
                and f.is_full
                and f.ingest_date > days.ingest_date
            where days.feed = '{{ name }}'
            group by days.ingest_date
        ),
        {{ name }}_ended as (
            select
                {{ record_key("v", feed_facts()[name]["key"]) }} as record_key,
                min({{ record_ended_on(name, "v") }}) as ended_on
            from {{ ref("stg_" ~ name) }} as v
            where v.known_to is null
            group by {{ record_key("v", feed_facts()[name]["key"]) }}
        ),
    {% endfor %}
    missing as (
        {% for name in feeds %}
            {%- set key = feed_facts()[name]["key"] %}
            select
                '{{ name }}' as feed,
                g.record_key,
                {% if "uscc" in key %} {{ json_item("g.record_key", key.index("uscc")) }}
                {% else %} cast(null as varchar(18))
                {% endif %} as uscc,
                g.last_seen,
                g.source_file,
                g.source_row,
                n.next_full as missing_since,
                g.seen_again
            from {{ name }}_gaps as g
            join
                {{ name }}_next as n
                on n.last_seen = g.last_seen
                and n.next_full < coalesce(g.seen_again, cast('9999-12-31' as date))
            left join {{ name }}_ended as e on e.record_key = g.record_key
            where g.is_known = 1 and (e.ended_on is null or e.ended_on > n.next_full)
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )
select
    m.feed,
    {{ record_hash("m.record_key") }} as record_hash,
    m.record_key,
    m.uscc,
    m.last_seen,
    m.source_file,
    m.source_row,
    m.missing_since,
    m.seen_again as reappeared_on,
    case
        when m.seen_again is not null
        then 'reappeared'
        when a.record_hash is not null
        then 'confirmed'
        else 'open'
    end as status,
    case when m.seen_again is null then a.confirmation_id end as confirmation_id,
    case when m.seen_again is null then a.void_from end as void_from
from missing as m
left join {{ ref("stg_confirmed_absences") }} as a on a.feed = m.feed and a.record_key = m.record_key
