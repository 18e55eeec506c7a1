{# Who shares what with others on each day: one row per enterprise and common person, holder outside the register, address
   or telephone, with how many enterprises share it. `link` is an edge that says so: uscc|from_id|relation. #}
with
    members as (
        select as_of_date, cluster_kind, from_id, uscc, min(link) as link
        from
            (
                select
                    as_of_date,
                    case
                        when relation in ('same_address', 'same_phone') then relation else 'person'
                    end as cluster_kind,
                    from_id,
                    uscc,
                    uscc || '|' || from_id || '|' || relation as link
                from {{ ref("related_edges") }}
                where not is_enterprise or relation in ('same_address', 'same_phone')
                union all
                select
                    as_of_date,
                    'representative' as cluster_kind,
                    from_id,
                    uscc,
                    uscc || '|' || from_id || '|' || relation as link
                from {{ ref("related_edges") }}
                where relation = 'legal_representative'
                -- Where the feed names one of the enterprises at an address, it is there too.
                union all
                select
                    as_of_date,
                    relation as cluster_kind,
                    from_id,
                    from_id as uscc,
                    uscc || '|' || from_id || '|' || relation as link
                from {{ ref("related_edges") }}
                where is_enterprise and relation in ('same_address', 'same_phone')
            ) as m
        group by as_of_date, cluster_kind, from_id, uscc
    ),
    clusters as (
        select as_of_date, cluster_kind, from_id, count(*) as enterprise_count
        from members
        group by as_of_date, cluster_kind, from_id
        having count(*) > 1
    )
select m.as_of_date, m.uscc, m.cluster_kind, m.from_id, c.enterprise_count, m.link
from members as m
join
    clusters as c on c.as_of_date = m.as_of_date and c.cluster_kind = m.cluster_kind and c.from_id = m.from_id
