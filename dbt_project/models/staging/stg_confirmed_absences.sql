{# Records that vanished from the full deliveries of their feed and of which the office confirmed, as of the day, that they
   have ended: void_from on they weigh nothing (macros/versions.sql). A record that is delivered again, even unchanged,
   ends its absence; so does the withdrawal of the decision. #}
{%- set feeds = snapshot_feeds() %}
with
    decided as (
        select
            feed, record_hash, confirmation_id, missing_since, greatest(decided_date, known_from) as void_from
        from {{ ref("stg_absence_confirmations") }}
        where known_to is null and not is_withdrawn
    ),
    first_decided as (
        select
            feed,
            record_hash,
            min(confirmation_id) as confirmation_id,
            max(missing_since) as missing_since,
            min(void_from) as void_from
        from decided
        group by feed, record_hash
    ),
    seen as (
        {% for name in feeds %}
            select d.feed, d.record_hash, s.record_key, max(s.ingest_date) as last_seen
            from first_decided as d
            join
                ({{ sightings(name) }}) as s
                on d.feed = '{{ name }}'
                and d.record_hash = {{ record_hash("s.record_key") }}
            group by d.feed, d.record_hash, s.record_key
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )
select
    d.feed,
    d.record_hash,
    s.record_key,
    {% for place in range(3) %} {{ json_item("s.record_key", place) }} as key_{{ place }},{% endfor %}
    d.confirmation_id,
    d.missing_since,
    d.void_from
from first_decided as d
join seen as s on s.feed = d.feed and s.record_hash = d.record_hash and s.last_seen < d.missing_since
