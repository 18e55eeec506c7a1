{# The list of abnormal operation: fully while listed, lightly for a period after a removal without credit repair. #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {"listed": ["abnormal_listing", "listed"], "removed": ["abnormal_listing", "removed"]}
            )
        }}
    ),
    listings as (
        select
            p.as_of_date,
            a.uscc,
            a.listed_date,
            a.removed_date is null or a.removed_date > p.as_of_date as is_listed,
            a.removed_date <= p.as_of_date
            and a.removed_date > {{ add_months("p.as_of_date", "-p.removed_months") }} as is_removed,
            p.listed_weight,
            p.removed_weight
        from {{ ref("stg_abnormal_listings") }} as a
        join periods as p on {{ counts_on("a", "p.as_of_date") }} and a.listed_date <= p.as_of_date
    )
select
    as_of_date,
    uscc,
    cast(
        sum(case when is_listed then listed_weight when is_removed then removed_weight end) as bigint
    ) as abnormal_listing_weight,
    count(case when is_listed then 1 end) as current_listing_count,
    count(*) as negative_count,
    count(
        case when is_listed or listed_date > {{ add_months("as_of_date", "-12") }} then 1 end
    ) as negative_count_12m,
    count(*) as evidence_count
from listings
where is_listed or is_removed
group by as_of_date, uscc
