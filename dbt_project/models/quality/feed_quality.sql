{# The quality report: what each unit delivered of each feed on each day, what became of it, and how late it was. Counts
   agree with the ledger. Rows whose sender is no known unit stand under 'unknown'.
   read = accepted + quarantined + duplicates. repaired_rows are among the accepted. Lags in days from the fact to its first
   arrival (arrival_lags); within_deadline counts facts that came within the working days of 双公示 (licences, penalties). #}
{%- set feeds = feed_facts() %}
with
    accepted as (
        {% for name, feed in feeds.items() %}
            select
                '{{ name }}' as feed,
                {{ sender_unit() }} as unit_id,
                r.ingest_date,
                count(*) as accepted,
                {% if feed["has_uscc"] %} count(distinct r.uscc)
                {% else %} cast(null as bigint)
                {% endif %} as enterprises
            from
                {{ source("raw", name) }} as r
                {{ join_senders(sender_text("r", feed["units"]), "r.source_file") }}
            where r.ingest_date <= {{ as_of() }} and r.source_row is not null
            group by 1, 2, 3
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    duplicates as (
        select d.feed, {{ sender_unit() }} as unit_id, d.ingest_date, count(*) as duplicates
        from {{ source("lake", "duplicates") }} as d {{ join_senders("d.unit", "d.file") }}
        where d.ingest_date <= {{ as_of() }} and d.row_number is not null
        group by 1, 2, 3
    ),
    repaired as (
        select p.feed, {{ sender_unit() }} as unit_id, p.ingest_date, count(*) as repaired_rows
        from
            (
                select feed, file, sheet, row_number, ingest_date, min(unit) as unit
                from {{ source("lake", "repairs") }}
                where ingest_date <= {{ as_of() }} and row_number is not null
                group by feed, file, sheet, row_number, ingest_date
            ) as p
            {{ join_senders("p.unit", "p.file") }}
        group by 1, 2, 3
    ),
    quarantined as (
        select
            feed,
            unit_id,
            ingest_date,
            count(*) as quarantined,
            sum(case when status = 'open' then 1 else 0 end) as open_rows
        from {{ ref("quarantined_rows") }}
        group by feed, unit_id, ingest_date
    ),
    in_review as (
        {% for name in party_columns() %}
            select '{{ name }}' as feed, {{ sender_unit() }} as unit_id, r.ingest_date, count(*) as in_review
            from
                (
                    select u.source_file, u.source_sheet, u.source_row, u.row_hash
                    from {{ ref("unidentified_rows") }} as u
                    join {{ ref("party_identities") }} as p on p.party_key = u.party_key
                    where u.feed = '{{ name }}' and p.review_reason is not null
                ) as o
            join
                {{ source("raw", name) }} as r
                on r.source_file = o.source_file
                and coalesce(r.source_sheet, '') = coalesce(o.source_sheet, '')
                and r.source_row = o.source_row
                and r.row_hash = o.row_hash
                {{ join_senders(sender_text("r", feeds[name]["units"]), "r.source_file") }}
            where r.uscc is null and r.ingest_date <= {{ as_of() }}
            group by 1, 2, 3
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    rule_counts as (
        select r.feed, r.unit_id, r.ingest_date, q.rule, count(distinct q.quarantine_id) as rows_refused
        from {{ ref("quarantined_rows") }} as r
        join {{ source("lake", "quarantine") }} as q on q.feed = r.feed and q.quarantine_id = r.quarantine_id
        group by r.feed, r.unit_id, r.ingest_date, q.rule
    ),
    ranked as (
        select
            *,
            row_number() over (
                partition by feed, unit_id, ingest_date
                order by rows_refused desc nulls last, rule asc nulls first
            ) as place
        from rule_counts
    ),
    top_rules as ({{ first_three_rules("ranked", ["feed", "unit_id", "ingest_date"]) }}),
    lag_totals as ({{ lag_figures(["feed", "unit_id", "ingest_date"]) }}),
    places as (
        select feed, unit_id, ingest_date
        from accepted
        union
        select feed, unit_id, ingest_date
        from duplicates
        union
        select feed, unit_id, ingest_date
        from quarantined
    ),
    joined as (
        select
            p.feed,
            p.unit_id,
            p.ingest_date,
            coalesce(a.accepted, 0) as accepted,
            coalesce(q.quarantined, 0) as quarantined,
            coalesce(d.duplicates, 0) as duplicates,
            coalesce(x.repaired_rows, 0) as repaired_rows,
            coalesce(q.open_rows, 0) as open_rows,
            coalesce(i.in_review, 0) as in_review,
            t.top_rules,
            a.enterprises,
            l.lag_facts,
            l.lag_median,
            l.lag_p90,
            l.lag_working_median,
            l.lag_working_p90,
            l.within_deadline,
            l.uncovered_facts
        from places as p
        {% for name, alias in {
                "accepted": "a",
                "quarantined": "q",
                "duplicates": "d",
                "repaired": "x",
                "in_review": "i",
                "top_rules": "t",
                "lag_totals": "l",
            }.items() %}
            left join
                {{ name }} as {{ alias }}
                on {{ alias }}.feed = p.feed
                and {{ alias }}.unit_id is not distinct from p.unit_id
                and {{ alias }}.ingest_date = p.ingest_date
        {% endfor %}
    )
select
    feed,
    coalesce(unit_id, 'unknown') as unit_id,
    ingest_date,
    cast(accepted + quarantined + duplicates as bigint) as read_rows,
    cast(accepted as bigint) as accepted,
    cast(quarantined as bigint) as quarantined,
    cast(duplicates as bigint) as duplicates,
    cast(repaired_rows as bigint) as repaired_rows,
    cast(open_rows as bigint) as open_rows,
    cast(in_review as bigint) as in_review,
    cast(
        {{ int_div("quarantined * 10000", "accepted + quarantined + duplicates") }} as bigint
    ) as reject_rate_bp,
    coalesce(top_rules, '') as top_rules,
    cast(enterprises as bigint) as enterprises,
    cast(coalesce(lag_facts, 0) as bigint) as lag_facts,
    cast(lag_median as bigint) as lag_median,
    cast(lag_p90 as bigint) as lag_p90,
    cast(lag_working_median as bigint) as lag_working_median,
    cast(lag_working_p90 as bigint) as lag_working_p90,
    cast(case when feed in ('licences', 'penalties') then within_deadline end as bigint) as within_deadline,
    cast(
        case
            when feed in ('licences', 'penalties') and lag_facts > 0
            then {{ int_div("within_deadline * 10000", "lag_facts") }}
        end as bigint
    ) as within_deadline_bp,
    cast(coalesce(uncovered_facts, 0) as bigint) as uncovered_facts
from joined
