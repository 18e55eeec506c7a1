{# Per feed: rows received = rows with a unified code + unidentified rows; each of these has exactly one identity; and no
   row whose party waits for a person, or is not identifiable, stands among the records that indicators read. #}
with
    received as (
        {% for feed in party_columns() %}
            select '{{ feed }}' as feed, count(*) as total, count(uscc) as with_code
            from {{ source("raw", feed) }}
            where source_row is not null and ingest_date <= '{{ as_of_text() }}'
            union all
        {% endfor %}
        select 'none', 0, 0
    ),
    unidentified as (
        select u.feed, count(*) as total, count(p.party_key) as with_identity
        from {{ ref("unidentified_rows") }} as u
        left join {{ ref("party_identities") }} as p on p.party_key = u.party_key
        group by u.feed
    ),
    open_rows as (
        select u.feed, u.source_file, u.source_sheet, u.source_row, u.row_hash
        from {{ ref("unidentified_rows") }} as u
        join {{ ref("party_identities") }} as p on p.party_key = u.party_key
        where p.uscc is null
    ),
    leaked as (
        {% for feed in party_columns() %}
            select s.source_file
            from {{ ref("stg_" ~ feed) }} as s
            join
                open_rows as o
                on o.feed = '{{ feed }}'
                and o.source_file = s.source_file
                and coalesce(o.source_sheet, '') = coalesce(s.source_sheet, '')
                and o.source_row = s.source_row
                and o.row_hash = s.row_hash
            union all
            select source_file
            from {{ ref("stg_" ~ feed) }}
            where uscc is null
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )
select r.feed, 'rows do not add up' as fault
from received as r
left join unidentified as u on u.feed = r.feed
where r.total <> r.with_code + coalesce(u.total, 0) or coalesce(u.total, 0) <> coalesce(u.with_identity, 0)
union all
select source_file, 'a row in review weighs something'
from leaked
