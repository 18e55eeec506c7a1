{# The share of risky enterprises among those related over one or two steps: directly, or through a common person or
   holder. Hubs say nothing (agents, state holders) and carry no second step. A relation never passes on a veto. #}
with
    snapshots as ({{ snapshots() }}),
    edges as (
        select s.as_of_date, r.from_id, r.uscc, e.uscc is not null as is_enterprise
        from {{ ref("stg_related_parties") }} as r
        join
            snapshots as s
            on {{ counts_on("r", "s.as_of_date") }}
            and (r.valid_from is null or r.valid_from <= s.as_of_date)
            and (r.valid_to is null or r.valid_to >= s.as_of_date)
        left join {{ ref("enterprises") }} as e on e.uscc = r.from_id
        where r.from_id <> r.uscc
        group by s.as_of_date, r.from_id, r.uscc, e.uscc is not null
    ),
    persons as (
        select as_of_date, from_id
        from edges
        where not is_enterprise
        group by as_of_date, from_id
        having count(*) between 2 and {{ parameter("related_person_limit") }}
    ),
    shared as (
        select e.as_of_date, e.from_id, e.uscc
        from edges as e
        join persons as p on p.as_of_date = e.as_of_date and p.from_id = e.from_id
    ),
    direct as (
        select as_of_date, from_id as uscc, uscc as related_uscc
        from edges
        where is_enterprise
        union
        select as_of_date, uscc, from_id as related_uscc
        from edges
        where is_enterprise
        union
        select a.as_of_date, a.uscc, b.uscc as related_uscc
        from shared as a
        join shared as b on b.as_of_date = a.as_of_date and b.from_id = a.from_id and b.uscc <> a.uscc
    ),
    passable as (
        select as_of_date, uscc
        from direct
        group by as_of_date, uscc
        having count(*) <= {{ parameter("related_hop_limit") }}
    ),
    related as (
        select as_of_date, uscc, related_uscc
        from direct
        union
        select a.as_of_date, a.uscc, b.related_uscc
        from direct as a
        join passable as p on p.as_of_date = a.as_of_date and p.uscc = a.related_uscc
        join direct as b on b.as_of_date = a.as_of_date and b.uscc = a.related_uscc
        where b.related_uscc <> a.uscc
    ),
    risky as (
        select as_of_date, uscc
        from {{ ref("ind_penalties") }}
        where serious_penalty_count > 0
        union
        select as_of_date, uscc
        from {{ ref("ind_abnormal_listings") }}
        where current_listing_count > 0
        union
        select as_of_date, uscc
        from {{ ref("ind_serious_violations") }}
        where current_listing_count > 0
        union
        select as_of_date, uscc
        from {{ ref("ind_judgment_defaulters") }}
        union
        select s.as_of_date, e.uscc
        from {{ ref("enterprises") }} as e
        join snapshots as s on e.ended_date <= s.as_of_date
        where e.status in ('revoked', 'revoked_cancelled')
    )
select
    r.as_of_date,
    r.uscc,
    count(*) as related_count,
    count(k.uscc) as risky_related_count,
    cast({{ int_div("count(k.uscc) * 10000", "count(*)") }} as bigint) as risky_related_bp,
    count(*) as evidence_count
from related as r
left join risky as k on k.as_of_date = r.as_of_date and k.uscc = r.related_uscc
group by r.as_of_date, r.uscc
