{# Items of public opinion: negative ones each by the confidence that they are negative (verified ones fully), short-lived. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{ effect_periods_at({"negative": ["public_opinion", "negative"], "evidence": ["evidence", "any"]}) }}
    ),
    items as (
        select
            {{ evidence_columns("o", "o.item_id", "o.published_date") }},
            o.polarity = 'negative' as is_negative,
            o.verified_by is not null as is_verified,
            o.published_date > {{ add_months("p.as_of_date", "-p.negative_months") }} as in_effect,
            o.published_date > {{ add_months("p.as_of_date", "-12") }} as is_recent,
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
    {{ evidence_names() }},
    cast(case when is_negative and in_effect then confidence_bp end as bigint) as negative_opinion_bp,
    {{ one_if("is_negative and in_effect") }} as negative_opinion_count,
    cast(case when in_effect then {{ share_if("is_negative") }} end as bigint) as negative_opinion_share_bp,
    {{ one_if("is_negative and is_verified and in_effect") }} as verified_opinion_count,
    {{ one_if("is_negative and in_effect") }} as negative_count,
    {{ one_if("is_negative and is_recent") }} as negative_count_12m,
    cast(1 as bigint) as evidence_count
from items
