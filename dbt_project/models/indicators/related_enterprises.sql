{# Which enterprises are related on each day over one or two steps: directly, or through a common person, holder, address
   or telephone. Clusters beyond related_person_limit say nothing (agents, state holders, business centres), and no second
   step passes through an enterprise with more than related_hop_limit relations. `link` is the first edge of the shortest
   way: uscc|from_id|relation in related_parties. #}
with
    owned as (
        -- An investment is a shareholder seen from the other end.
        select
            as_of_date,
            case when relation = 'investment' then uscc else from_id end as holder,
            case when relation = 'investment' then from_id else uscc end as held,
            relation,
            uscc || '|' || from_id || '|' || relation as link
        from {{ ref("related_edges") }}
        where is_enterprise and relation not in ('same_address', 'same_phone')
    ),
    shared as (
        select as_of_date, uscc, cluster_kind, from_id, link
        from {{ ref("related_clusters") }}
        where cluster_kind <> 'representative' and enterprise_count <= {{ parameter("related_person_limit") }}
    ),
    steps as (
        select
            as_of_date,
            holder as uscc,
            held as related_uscc,
            case when relation in ('shareholder', 'investment') then 1 else 0 end as is_invested,
            0 as is_shareholder,
            0 as is_branch,
            case when relation = 'guarantor' then 1 else 0 end as by_guarantee,
            0 as by_person,
            0 as by_address,
            link
        from owned
        union all
        select
            as_of_date,
            held as uscc,
            holder as related_uscc,
            0 as is_invested,
            case when relation in ('shareholder', 'investment') then 1 else 0 end as is_shareholder,
            case when relation = 'branch' then 1 else 0 end as is_branch,
            case when relation = 'guarantor' then 1 else 0 end as by_guarantee,
            0 as by_person,
            0 as by_address,
            link
        from owned
        union all
        select
            a.as_of_date,
            a.uscc,
            b.uscc as related_uscc,
            0 as is_invested,
            0 as is_shareholder,
            0 as is_branch,
            0 as by_guarantee,
            case when a.cluster_kind = 'person' then 1 else 0 end as by_person,
            case when a.cluster_kind = 'person' then 0 else 1 end as by_address,
            a.link
        from shared as a
        join
            shared as b
            on b.as_of_date = a.as_of_date
            and b.cluster_kind = a.cluster_kind
            and b.from_id = a.from_id
            and b.uscc <> a.uscc
    ),
    direct as (
        select
            as_of_date,
            uscc,
            related_uscc,
            max(is_invested) as is_invested,
            max(is_shareholder) as is_shareholder,
            max(is_branch) as is_branch,
            max(by_guarantee) as by_guarantee,
            max(by_person) as by_person,
            max(by_address) as by_address,
            min(link) as link
        from steps
        group by as_of_date, uscc, related_uscc
    ),
    passable as (
        select as_of_date, uscc
        from direct
        group by as_of_date, uscc
        having count(*) <= {{ parameter("related_hop_limit") }}
    ),
    all_steps as (
        select
            as_of_date,
            uscc,
            related_uscc,
            1 as hop,
            is_invested,
            is_shareholder,
            is_branch,
            by_guarantee,
            by_person,
            by_address,
            link
        from direct
        union all
        select
            a.as_of_date,
            a.uscc,
            b.related_uscc,
            2 as hop,
            0 as is_invested,
            0 as is_shareholder,
            0 as is_branch,
            0 as by_guarantee,
            0 as by_person,
            0 as by_address,
            -- Of several ways the first by name; a direct relation goes before all of them.
            '~' || a.link as link
        from direct as a
        join passable as p on p.as_of_date = a.as_of_date and p.uscc = a.related_uscc
        join direct as b on b.as_of_date = a.as_of_date and b.uscc = a.related_uscc
        where b.related_uscc <> a.uscc
    )
select
    as_of_date,
    uscc,
    related_uscc,
    cast(min(hop) as bigint) as hop,
    cast(max(is_invested) as bigint) as is_invested,
    cast(max(is_shareholder) as bigint) as is_shareholder,
    cast(max(is_branch) as bigint) as is_branch,
    cast(max(by_guarantee) as bigint) as by_guarantee,
    cast(max(by_person) as bigint) as by_person,
    cast(max(by_address) as bigint) as by_address,
    replace(min(link), '~', '') as link
from all_steps
group by as_of_date, uscc, related_uscc
