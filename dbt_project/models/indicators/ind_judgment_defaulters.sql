{# Court judgments that are not performed (失信被执行人), while published and within the period. #}
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
    ),
    defaults as (
        select
            p.as_of_date,
            j.uscc,
            j.published_date,
            case when j.performance = 'partly' then p.partly_weight else p.unperformed_weight end as weight
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
    )
select
    as_of_date,
    uscc,
    cast(sum(weight) as bigint) as judgment_default_weight,
    count(*) as negative_count,
    count(*) as negative_count_12m,
    count(*) as evidence_count
from defaults
group by as_of_date, uscc
