{# Court judgments that are not performed (失信被执行人), while published and within the period. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {
                    "unperformed": ["judgment_default", "unperformed"],
                    "partly": ["judgment_default", "partly"],
                }
            )
        }}
    )
select
    {{ evidence_columns("j", "j.case_no", "j.published_date") }},
    cast(
        case when j.performance = 'partly' then p.partly_weight else p.unperformed_weight end as bigint
    ) as judgment_default_weight,
    cast(1 as bigint) as negative_count,
    cast(1 as bigint) as negative_count_12m,
    cast(1 as bigint) as evidence_count
from {{ ref("stg_judgment_defaulters") }} as j
join
    periods as p
    on {{ counts_on("j", "p.as_of_date") }}
    and j.published_date <= p.as_of_date
    and (j.withdrawn_date is null or j.withdrawn_date > p.as_of_date)
    and j.published_date
    > {{
        add_months(
            "p.as_of_date",
            "-case when j.performance = 'partly' then p.partly_months else p.unperformed_months end",
        )
    }}
where coalesce(j.performance, 'unperformed') <> 'performed'
