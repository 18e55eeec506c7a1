{# How long facts were on their way: from the day they happened to the day they first reached the platform, in calendar and
   working days, counted. Of the first delivery (history) only facts whose report is dated have a lag, up to that day;
   the day the row was read says nothing there. Later versions of a fact are no new arrival. #}
{%- set feeds = feed_facts() %}
with
    go_live as (
        select feed, min(ingest_date) as first_day
        from {{ source("lake", "ledger") }}
        where ingest_date <= {{ as_of() }} and accepted > 0
        group by feed
    ),
    facts as (
        {% for name, feed in feeds.items() if feed["event"] and feed["kind"] != "decision" %}
            select
                '{{ name }}' as feed,
                {{ sender_unit() }} as unit_id,
                f.ingest_date,
                f.event_date,
                case
                    when f.ingest_date > g.first_day then f.ingest_date else f.reported_date
                end as arrival_date,
                count(*) as facts
            from
                (
                    select
                        min(r.ingest_date) as ingest_date,
                        min(r.{{ feed["event"] }}) as event_date,
                        min(r.reported_date) as reported_date,
                        min({{ sender_text("r", feed["units"]) }}) as sender,
                        min(r.source_file) as source_file
                    from {{ source("raw", name) }} as r
                    where r.ingest_date <= {{ as_of() }} and r.source_row is not null
                    group by
                        {% for part in feed["key"] %}
                            r.{{ part }} {%- if not loop.last %}, {% endif %}
                        {% endfor %}
                        {%- if name in party_columns() and "uscc" in feed["key"] %}, r.uscc_sent {% endif %}
                ) as f
            join go_live as g on g.feed = '{{ name }}' {{ join_senders("f.sender", "f.source_file") }}
            group by 1, 2, 3, 4, 5
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    pairs as (select distinct event_date, arrival_date from facts where event_date <= arrival_date),
    covered as (
        select min(day) as first_day, max(day) as last_day from {{ ref("working_days") }} where is_covered
    ),
    lags as (
        select
            p.event_date,
            p.arrival_date,
            {{ day_diff("p.event_date", "p.arrival_date") }} as lag_days,
            {{ working_days_between("p.event_date", "p.arrival_date") }} as lag_working_days,
            coalesce(p.event_date >= c.first_day and p.arrival_date <= c.last_day, false) as is_covered
        from pairs as p
        cross join covered as c
    )
select
    f.feed,
    f.unit_id,
    f.ingest_date,
    cast(l.lag_days as bigint) as lag_days,
    cast(l.lag_working_days as bigint) as lag_working_days,
    coalesce(l.is_covered, false) as is_covered,
    cast(sum(f.facts) as bigint) as facts
from facts as f
left join lags as l on l.event_date = f.event_date and l.arrival_date = f.arrival_date
group by f.feed, f.unit_id, f.ingest_date, l.lag_days, l.lag_working_days, coalesce(l.is_covered, false)
