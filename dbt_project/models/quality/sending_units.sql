{# Which supervising unit a sender is: the texts by which rows name their sender, and the files of landing.
   A text is a unit's id or name; a longer or shorter form of one name (桐柏县… without 南阳市, a station after the name)
   counts if it fits one unit only. A file belongs to the unit whose id is one of its folders. Without a match the
   sender stays without a unit, and the credit office answers for its rows. #}
{%- set feeds = feed_facts() %}
with
    units as (select unit_id, unit_name from {{ in_force("units") }} as u),
    texts as (
        select distinct sender
        from
            (
                {% for name, feed in feeds.items() if feed["units"] %}
                    select distinct {{ sender_text("r", feed["units"]) }} as sender
                    from {{ source("raw", name) }} as r
                    where r.ingest_date <= {{ as_of() }}
                    union all
                {% endfor %}
                select distinct q.unit as sender
                from {{ source("lake", "quarantine") }} as q
                where q.ingest_date <= {{ as_of() }}
                union all
                select distinct d.unit as sender
                from {{ source("lake", "duplicates") }} as d
                where d.ingest_date <= {{ as_of() }}
                union all
                select distinct p.unit as sender
                from {{ source("lake", "repairs") }} as p
                where p.ingest_date <= {{ as_of() }}
            ) as sent
        where sender is not null
    ),
    files as (
        select distinct file as sender
        from {{ source("lake", "ledger") }}
        where file is not null and ingest_date <= {{ as_of() }}
    ),
    fits as (
        select
            t.sender,
            false as is_file,
            u.unit_id,
            case
                when t.sender = u.unit_id
                then 1
                when {{ comparable_name("t.sender") }} = {{ comparable_name("u.unit_name") }}
                then 2
                else 3
            end as closeness
        from texts as t
        join
            units as u
            on t.sender = u.unit_id
            or right({{ comparable_name("t.sender") }}, length(u.unit_name)) = u.unit_name
            or left({{ comparable_name("t.sender") }}, length(u.unit_name)) = u.unit_name
            or (
                length({{ comparable_name("t.sender") }}) >= 5
                and right(u.unit_name, length({{ comparable_name("t.sender") }}))
                = {{ comparable_name("t.sender") }}
            )
        union all
        select f.sender, true as is_file, u.unit_id, 4 as closeness
        from files as f
        join units as u on {{ contains_text("'/' || f.sender", "'/' || u.unit_id || '/'") }}
    ),
    closest as (select sender, is_file, min(closeness) as closeness from fits group by sender, is_file),
    found as (
        select f.sender, f.is_file, min(f.unit_id) as unit_id, min(f.closeness) as closeness
        from fits as f
        join closest as c on c.sender = f.sender and c.is_file = f.is_file and c.closeness = f.closeness
        group by f.sender, f.is_file
        having count(distinct f.unit_id) = 1
    ),
    senders as (
        select sender, false as is_file
        from texts
        union all
        select sender, true as is_file
        from files
    )
select
    s.sender,
    s.is_file,
    f.unit_id,
    case
        f.closeness when 1 then 'unit_id' when 2 then 'name' when 3 then 'part_of_name' when 4 then 'folder'
    end as matched_by
from senders as s
left join found as f on f.sender = s.sender and f.is_file = s.is_file
