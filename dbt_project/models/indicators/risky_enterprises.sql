{# Enterprises with a grave fact in effect on a day, and which: a serious penalty, a place on a list, a judgment not
   performed, a business licence revoked within the period. Only for their relations; it decides nothing for themselves. #}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"revoked": ["related_party", "revoked"]}) }}),
    facts as (
        select as_of_date, uscc, 1 as is_penalized, 0 as is_listed, 0 as is_defaulter, 0 as is_revoked
        from {{ ref("ind_penalties") }}
        where serious_penalty_count > 0
        union all
        select as_of_date, uscc, 0 as is_penalized, 1 as is_listed, 0 as is_defaulter, 0 as is_revoked
        from {{ ref("ind_abnormal_listings") }}
        where current_listing_count > 0
        union all
        select as_of_date, uscc, 0 as is_penalized, 1 as is_listed, 0 as is_defaulter, 0 as is_revoked
        from {{ ref("ind_serious_violations") }}
        where current_listing_count > 0
        union all
        select as_of_date, uscc, 0 as is_penalized, 0 as is_listed, 1 as is_defaulter, 0 as is_revoked
        from {{ ref("ind_judgment_defaulters") }}
        union all
        select r.as_of_date, r.uscc, 0 as is_penalized, 0 as is_listed, 0 as is_defaulter, 1 as is_revoked
        from {{ ref("register_snapshots") }} as r
        join periods as p on p.as_of_date = r.as_of_date
        where
            r.status in ('revoked', 'revoked_cancelled')
            and r.ended_date <= r.as_of_date
            and r.ended_date > {{ add_months("r.as_of_date", "-p.revoked_months") }}
    )
select
    as_of_date,
    uscc,
    cast(max(is_penalized) as bigint) as is_penalized,
    cast(max(is_listed) as bigint) as is_listed,
    cast(max(is_defaulter) as bigint) as is_defaulter,
    cast(max(is_revoked) as bigint) as is_revoked
from facts
group by as_of_date, uscc
