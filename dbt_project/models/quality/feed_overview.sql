{# One row per feed: what has come by the as-of day, how much of the register it covers, what waits for somebody, how late
   facts arrive, and whether the feed is stale (nothing within its agreed interval). Decisions of the office are no
   deliveries and never stale. covered_enterprises: active enterprises of the register with at least one record. #}
{%- set feeds = feed_facts() %}
with
    active as (select uscc from {{ ref("enterprises") }} where is_active),
    active_count as (select count(*) as enterprises from active),
    feeds as (
        {% for name, feed in feeds.items() %}
            select
                '{{ name }}' as feed,
                {{ feed["cadence_days"] }} as cadence_days,
                '{{ feed["kind"] }}' as information_kind,
                {% if feed["has_uscc"] and feed["kind"] != "decision" %} true
                {% else %} false
                {% endif %} as has_coverage
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    covered as (
        {% for name, feed in feeds.items() if feed["has_uscc"] and feed["kind"] != "decision" %}
            select '{{ name }}' as feed, count(*) as enterprises
            from active as e
            where e.uscc in (select s.uscc from {{ ref("stg_" ~ name) }} as s)
            union all
        {% endfor %}
        select '' as feed, 0 as enterprises
    ),
    files as (
        select
            feed,
            count(*) as files,
            sum(
                case when problem is not null and cast(problem as varchar(8)) <> 'null' then 1 else 0 end
            ) as refused_files,
            min(ingest_date) as first_arrival,
            max(ingest_date) as last_arrival
        from {{ source("lake", "ledger") }}
        where feed is not null and ingest_date <= {{ as_of() }}
        group by feed
    ),
    sums as (
        select
            feed,
            sum(read_rows) as read_rows,
            sum(accepted) as accepted,
            sum(quarantined) as quarantined,
            sum(duplicates) as duplicates,
            sum(repaired_rows) as repaired_rows,
            sum(open_rows) as open_rows,
            sum(in_review) as in_review
        from {{ ref("feed_quality") }}
        group by feed
    ),
    rule_counts as (
        select r.feed, q.rule, count(distinct q.quarantine_id) as rows_refused
        from {{ ref("quarantined_rows") }} as r
        join {{ source("lake", "quarantine") }} as q on q.feed = r.feed and q.quarantine_id = r.quarantine_id
        group by r.feed, q.rule
    ),
    ranked as (
        select
            *,
            row_number() over (
                partition by feed order by rows_refused desc nulls last, rule asc nulls first
            ) as place
        from rule_counts
    ),
    top_rules as ({{ first_three_rules("ranked", ["feed"]) }}),
    lag_totals as ({{ lag_figures(["feed"]) }}),
    missing as (
        select feed, sum(case when status = 'open' then 1 else 0 end) as missing_records
        from {{ ref("silent_deletions") }}
        group by feed
    ),
    vanished as (
        select feed, missing_since, count(*) as vanished
        from {{ ref("silent_deletions") }}
        group by feed, missing_since
    ),
    last_full as (
        select d.feed, d.ingest_date, d.known_records
        from {{ ref("snapshot_deliveries") }} as d
        where
            d.is_full
            and d.ingest_date = (
                select max(f.ingest_date)
                from {{ ref("snapshot_deliveries") }} as f
                where f.feed = d.feed and f.is_full
            )
    )
select
    {{ as_of() }} as as_of_date,
    f.feed,
    cast(f.cadence_days as bigint) as cadence_days,
    l.first_arrival,
    l.last_arrival,
    f.information_kind <> 'decision'
    and (l.last_arrival is null or {{ day_diff("l.last_arrival", as_of()) }} > f.cadence_days) as is_stale,
    cast(coalesce(l.files, 0) as bigint) as files,
    cast(coalesce(l.refused_files, 0) as bigint) as refused_files,
    cast(coalesce(s.read_rows, 0) as bigint) as read_rows,
    cast(coalesce(s.accepted, 0) as bigint) as accepted,
    cast(coalesce(s.quarantined, 0) as bigint) as quarantined,
    cast(coalesce(s.duplicates, 0) as bigint) as duplicates,
    cast(coalesce(s.repaired_rows, 0) as bigint) as repaired_rows,
    cast(coalesce(s.open_rows, 0) as bigint) as open_rows,
    cast(coalesce(s.in_review, 0) as bigint) as in_review,
    cast(
        case
            when s.read_rows > 0 then {{ int_div("s.quarantined * 10000", "s.read_rows") }} else 0
        end as bigint
    ) as reject_rate_bp,
    coalesce(t.top_rules, '') as top_rules,
    cast(case when f.has_coverage then coalesce(c.enterprises, 0) end as bigint) as covered_enterprises,
    cast(
        case
            when f.has_coverage and a.enterprises > 0
            then {{ int_div("coalesce(c.enterprises, 0) * 10000", "a.enterprises") }}
        end as bigint
    ) as coverage_bp,
    cast(coalesce(g.lag_facts, 0) as bigint) as lag_facts,
    cast(g.lag_median as bigint) as lag_median,
    cast(g.lag_p90 as bigint) as lag_p90,
    cast(g.lag_working_median as bigint) as lag_working_median,
    cast(g.lag_working_p90 as bigint) as lag_working_p90,
    cast(
        case
            when f.feed in ('licences', 'penalties') and g.lag_facts > 0
            then {{ int_div("g.within_deadline * 10000", "g.lag_facts") }}
        end as bigint
    ) as within_deadline_bp,
    cast(coalesce(g.uncovered_facts, 0) as bigint) as uncovered_facts,
    d.ingest_date as last_full_delivery,
    cast(
        case
            when d.known_records > 0 then {{ int_div("coalesce(v.vanished, 0) * 10000", "d.known_records") }}
        end as bigint
    ) as vanished_bp,
    coalesce(
        coalesce(v.vanished, 0) * 10000 > d.known_records * {{ quality_parameter("vanished_alert_bp") }},
        false
    ) as is_vanishing,
    cast(coalesce(m.missing_records, 0) as bigint) as missing_records
from feeds as f
cross join active_count as a
left join files as l on l.feed = f.feed
left join sums as s on s.feed = f.feed
left join top_rules as t on t.feed = f.feed
left join covered as c on c.feed = f.feed
left join lag_totals as g on g.feed = f.feed
left join missing as m on m.feed = f.feed
left join last_full as d on d.feed = f.feed
left join vanished as v on v.feed = f.feed and v.missing_since = d.ingest_date
