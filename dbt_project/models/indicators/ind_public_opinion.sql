{# Negative items of public opinion, each by the confidence that it is negative (verified ones fully), short-lived. #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{ effect_periods_at({"negative": ["public_opinion", "negative"], "evidence": ["evidence", "any"]}) }}
    ),
    items as (
        select
            p.as_of_date,
            o.uscc,
            o.polarity = 'negative'
            and o.published_date > {{ add_months("p.as_of_date", "-p.negative_months") }} as is_negative,
            o.polarity = 'negative'
            and o.published_date > {{ add_months("p.as_of_date", "-12") }} as is_negative_12m,
            case
                when o.verified_by is not null
                then 10000
                else coalesce(cast(floor(o.confidence * 1e4) as bigint), 5000)
            end as confidence_bp
        from {{ ref("stg_public_opinion") }} as o
        join
            periods as p
            on {{ counts_on("o", "p.as_of_date") }}
            and o.published_date <= p.as_of_date
            and o.published_date > {{ add_months("p.as_of_date", "-p.evidence_months") }}
    )
select
    as_of_date,
    uscc,
    cast(sum(case when is_negative then confidence_bp else 0 end) as bigint) as negative_opinion_bp,
    count(case when is_negative then 1 end) as negative_count,
    count(case when is_negative_12m then 1 end) as negative_count_12m,
    count(*) as evidence_count
from items
group by as_of_date, uscc
