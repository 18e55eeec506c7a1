{# Every refused row, one row each, and what has become of it by the as-of day.
   released: a row accepted later names its quarantine_id, or states the same fact: it agrees on every part of the
   business key and none of them was what the row was refused for; if only the enterprise's code was, it agrees on the
   other parts and on the name. An exact duplicate of an accepted row releases too: the fact is in the lake.
   replaced: the same file came again with other content, which speaks for the row from then on; or the row came back
   under its number and was refused again, and that refusal is the open one.
   Everything else is open, and its unit is asked to correct it. #}
{%- set feeds = feed_facts() %}
with
    broken as (
        select
            q.feed,
            q.quarantine_id,
            q.file,
            q.sheet,
            q.row_number,
            q.record_key,
            q.unit,
            q.row_text,
            q.ingest_date,
            q.rule,
            case
                {% for name, feed in feeds.items() %}
                    when q.feed = '{{ name }}'
                    then
                        case
                            {% if "uscc" in feed["key"] %} when q.column = 'uscc' then 1 {% endif %}
                            when q.column in ('{{ feed["key"] | join("', '") }}')
                            then 2
                            else 0
                        end
                {% endfor %}
                else 0
            end as key_damage
        from {{ source("lake", "quarantine") }} as q
        where q.ingest_date <= {{ as_of() }} and q.row_number is not null
    ),
    rules as (
        select feed, quarantine_id, {{ sorted_list("rule") }} as rules, count(*) as rule_count
        from (select distinct feed, quarantine_id, rule from broken) as each_once
        group by feed, quarantine_id
    ),
    refused as (
        select
            feed,
            quarantine_id,
            min(file) as file,
            min(sheet) as sheet,
            min(row_number) as row_number,
            min(record_key) as record_key,
            min(unit) as unit,
            min(row_text) as row_text,
            min(ingest_date) as ingest_date,
            max(key_damage) as key_damage
        from broken
        group by feed, quarantine_id
    ),
    entries as (
        select feed, file, sha256, ingest_date, sequence
        from {{ source("lake", "ledger") }}
        where file is not null and ingest_date <= {{ as_of() }}
    ),
    arrived as (
        select r.*, {{ landing_file("r.file") }} as landing_file, coalesce(e.sequence, 0) as sequence
        from refused as r
        left join
            (
                select feed, substr(sha256, 1, 16) as digits, min(sequence) as sequence
                from entries
                group by feed, substr(sha256, 1, 16)
            ) as e
            on e.feed = r.feed
            and e.digits = substr(r.quarantine_id, 1, 16)
    ),
    candidates as (
        {% for name, feed in feeds.items() %}
            -- {{ name }}: rows that name the refused row.
            select a.feed, a.quarantine_id, r.source_file, r.source_row, r.ingest_date, true as is_named
            from arrived as a
            join {{ source("raw", name) }} as r on r.quarantine_id = a.quarantine_id
            where r.ingest_date <= {{ as_of() }} and r.ingest_date >= a.ingest_date
            union all
            select a.feed, a.quarantine_id, r.source_file, r.source_row, r.ingest_date, false as is_named
            from
                (
                    select
                        feed,
                        quarantine_id,
                        ingest_date,
                        {% for part in feed["key"] %}
                            {{ json_item("record_key", loop.index0) }} as key_{{ loop.index0 }}
                            {%- if not loop.last %}, {% endif %}
                        {% endfor %}
                    from arrived
                    where feed = '{{ name }}' and key_damage = 0 and record_key is not null
                ) as a
            join
                {{ source("raw", name) }} as r
                on {% for part in feed["key"] %}
                    a.key_{{ loop.index0 }} is not distinct from cast(r.{{ part }} as varchar(4000))
                    {% if not loop.last %} and {% endif %}
                {% endfor %}
            where r.ingest_date <= {{ as_of() }} and r.ingest_date >= a.ingest_date
            union all
            {% if "uscc" in feed["key"] and feed["name"] %}
                select a.feed, a.quarantine_id, r.source_file, r.source_row, r.ingest_date, false as is_named
                from
                    (
                        select
                            feed,
                            quarantine_id,
                            ingest_date,
                            {% for part in feed["key"] if part != "uscc" %}
                                {{ json_item("record_key", feed["key"].index(part)) }}
                                as key_{{ feed["key"].index(part) }},
                            {% endfor %}
                            case
                                when record_key is not null
                                then {{ comparable_name(json_first("row_text", feed["name_headers"])) }}
                            end as sent_name
                        from arrived
                        where feed = '{{ name }}' and key_damage = 1 and record_key is not null
                    ) as a
                join
                    {{ source("raw", name) }} as r on a.sent_name = {{ comparable_name("r." ~ feed["name"]) }}
                    {% for part in feed["key"] if part != "uscc" %}
                        and a.key_{{ feed["key"].index(part) }}
                        is not distinct from cast(r.{{ part }} as varchar(4000))
                    {% endfor %}
                where r.ingest_date <= {{ as_of() }} and r.ingest_date >= a.ingest_date
                union all
            {% endif %}
        {% endfor %}
        select
            a.feed,
            a.quarantine_id,
            d.file as source_file,
            d.row_number as source_row,
            d.ingest_date,
            false as is_named
        from arrived as a
        join {{ source("lake", "duplicates") }} as d on d.feed = a.feed and d.record_key = a.record_key
        where a.key_damage = 0 and d.ingest_date <= {{ as_of() }} and d.ingest_date >= a.ingest_date
    ),
    placed as (
        select c.*, coalesce(e.sequence, 0) as sequence
        from candidates as c
        left join
            (
                select feed, file, ingest_date, max(sequence) as sequence
                from entries
                group by feed, file, ingest_date
            ) as e
            on e.feed = c.feed
            and e.file = {{ landing_file("c.source_file") }}
            and e.ingest_date = c.ingest_date
    ),
    released as (
        select
            p.feed,
            p.quarantine_id,
            p.source_file,
            p.source_row,
            p.ingest_date,
            row_number() over (
                partition by p.feed, p.quarantine_id
                order by
                    p.ingest_date asc nulls first,
                    p.sequence asc nulls first,
                    p.source_file asc nulls first,
                    p.source_row asc nulls first
            ) as place
        from placed as p
        join arrived as a on a.feed = p.feed and a.quarantine_id = p.quarantine_id
        where p.is_named or p.ingest_date > a.ingest_date or p.sequence > a.sequence
    ),
    -- The file came again with other content, or the row came back and was refused again.
    replaced as (
        select a.feed, a.quarantine_id, e.ingest_date, e.file, e.sequence
        from arrived as a
        join
            entries as e
            on e.feed = a.feed
            and e.file = a.landing_file
            and e.sequence > a.sequence
            and substr(e.sha256, 1, 16) <> substr(a.quarantine_id, 1, 16)
        union all
        select a.feed, a.quarantine_id, b.ingest_date, b.file, b.sequence
        from arrived as a
        join
            (
                select
                    file,
                    ingest_date,
                    sequence,
                    case when record_key is not null then {{ json_member("row_text", "隔离编号") }} end as names
                from arrived
            ) as b
            on b.names = a.quarantine_id
    ),
    first_replaced as (
        select
            feed,
            quarantine_id,
            ingest_date,
            file,
            row_number() over (
                partition by feed, quarantine_id
                order by ingest_date asc nulls first, sequence asc nulls first, file asc nulls first
            ) as place
        from replaced
    )
select
    a.quarantine_id,
    a.feed,
    {{ sender_unit() }} as unit_id,
    a.unit as sender,
    a.file,
    a.sheet,
    a.row_number,
    u.rules,
    cast(u.rule_count as bigint) as rule_count,
    a.ingest_date,
    case
        when r.quarantine_id is not null
        then 'released'
        when p.quarantine_id is not null
        then 'replaced'
        else 'open'
    end as status,
    coalesce(r.ingest_date, p.ingest_date) as released_on,
    case
        when r.quarantine_id is not null then r.source_file when p.quarantine_id is not null then p.file
    end as released_by_file,
    r.source_row as released_by_row
from arrived as a
join rules as u on u.feed = a.feed and u.quarantine_id = a.quarantine_id
left join released as r on r.feed = a.feed and r.quarantine_id = a.quarantine_id and r.place = 1
left join
    first_replaced as p on p.feed = a.feed and p.quarantine_id = a.quarantine_id and p.place = 1
    {{ join_senders("a.unit", "a.file") }}
