{# The days on which a feed that delivers all its records at once (registrations, directories, related parties) brought
   anything, and whether it was a full delivery: at least the policy's share of the records known before and not ended
   was in it. Only a full delivery can say that a record is missing. #}
{%- set feeds = snapshot_feeds() %}
with
    {% for name in feeds %}
        {{ name }}_seen as (
            select record_key, ingest_date, max(case when is_accepted then 1 else 0 end) as is_accepted
            from ({{ sightings(name) }}) as s
            group by record_key, ingest_date
        ),
        {{ name }}_records as (
            select
                s.record_key,
                min(case when s.is_accepted = 1 then s.ingest_date end) as first_day,
                min(e.ended_on) as ended_on
            from {{ name }}_seen as s
            left join
                (
                    select
                        {{ record_key("v", feed_facts()[name]["key"]) }} as record_key,
                        {{ record_ended_on(name, "v") }} as ended_on
                    from {{ ref("stg_" ~ name) }} as v
                    where v.known_to is null
                ) as e
                on e.record_key = s.record_key
            group by s.record_key
        ),
        {{ name }}_days as (
            select
                s.ingest_date,
                count(*) as seen_records,
                sum(
                    case
                        when
                            r.first_day < s.ingest_date and (r.ended_on is null or r.ended_on > s.ingest_date)
                        then 1
                        else 0
                    end
                ) as seen_known_records
            from {{ name }}_seen as s
            join {{ name }}_records as r on r.record_key = s.record_key
            group by s.ingest_date
        ),
        {{ name }}_changes as (
            -- What had ended when it first came was never known as going on.
            select first_day as day, count(*) as begun, 0 as ended
            from {{ name }}_records
            where ended_on is null or ended_on > first_day
            group by first_day
            union all
            select ended_on as day, 0 as begun, count(*) as ended
            from {{ name }}_records
            where ended_on > first_day
            group by ended_on
        ),
    {% endfor %}
    counted as (
        {% for name in feeds %}
            select
                '{{ name }}' as feed,
                d.ingest_date,
                d.seen_records,
                d.seen_known_records,
                coalesce(sum(case when c.day < d.ingest_date then c.begun else 0 end), 0)
                - coalesce(sum(c.ended), 0) as known_records
            from {{ name }}_days as d
            left join
                {{ name }}_changes as c on c.day < d.ingest_date or (c.day = d.ingest_date and c.ended > 0)
            group by d.ingest_date, d.seen_records, d.seen_known_records
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )
select
    feed,
    ingest_date,
    cast(seen_records as bigint) as seen_records,
    cast(seen_known_records as bigint) as seen_known_records,
    cast(known_records as bigint) as known_records,
    known_records > 0
    and seen_known_records * 10000 >= known_records * {{ quality_parameter("snapshot_share_bp") }} as is_full
from counted
