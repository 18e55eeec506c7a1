{# The list of serious violations: fully while listed, and for a period from the listing after a removal without repair. #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {"listed": ["serious_violation", "listed"], "removed": ["serious_violation", "removed"]}
            )
        }}
    ),
    listings as (
        select
            p.as_of_date,
            v.uscc,
            v.listed_date,
            v.removed_date is null or v.removed_date > p.as_of_date as is_listed,
            v.removed_date <= p.as_of_date
            and v.listed_date > {{ add_months("p.as_of_date", "-p.removed_months") }} as is_removed,
            p.listed_weight,
            p.removed_weight
        from {{ ref("stg_serious_violations") }} as v
        join periods as p on {{ counts_on("v", "p.as_of_date") }} and v.listed_date <= p.as_of_date
    )
select
    as_of_date,
    uscc,
    cast(
        sum(case when is_listed then listed_weight when is_removed then removed_weight end) as bigint
    ) as serious_listing_weight,
    count(case when is_listed then 1 end) as current_listing_count,
    count(*) as negative_count,
    count(
        case when is_listed or listed_date > {{ add_months("as_of_date", "-12") }} then 1 end
    ) as negative_count_12m,
    count(*) as evidence_count
from listings
where is_listed or is_removed
group by as_of_date, uscc
