{# Public credit evaluations (优良中差) that are valid, each mapped to a level 1 (best) to 5; the latest one speaks. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"public_credit": ["evaluation", "public_credit"]}) }}),
    valid as (
        select
            {{ evidence_columns("e", "e.period", "e.evaluated_date") }},
            e.evaluation_level as rating,
            {{ grade_rank("m.mapped_grade") }} as level
        from {{ ref("stg_public_credit_evaluations") }} as e
        join
            periods as p
            on {{ counts_on("e", "p.as_of_date") }}
            and e.evaluated_date <= p.as_of_date
            and {{ last_valid_day("e", "e.evaluated_date", "p.public_credit_months") }} >= p.as_of_date
        left join
            {{ ref("rating_maps") }} as m
            on m.scheme = 'public_credit'
            and m.rating = e.evaluation_level
            and m.effective_from <= p.as_of_date
            and m.effective_to >= p.as_of_date
    ),
    ranked as (
        select
            *,
            row_number() over (
                partition by as_of_date, uscc
                order by
                    event_date desc nulls last,
                    rating asc nulls last,
                    source_file asc nulls last,
                    source_row asc nulls last
            ) as recency,
            lead(level) over (
                partition by as_of_date, uscc
                order by
                    event_date desc nulls last,
                    rating asc nulls last,
                    source_file asc nulls last,
                    source_row asc nulls last
            ) as level_before
        from valid
    )
select
    {{ evidence_names() }},
    cast(case when recency = 1 then level end as bigint) as public_evaluation_level,
    cast(
        case
            when recency = 1 and level_before is not null then greatest(0, level - level_before)
        end as bigint
    ) as public_evaluation_drop,
    {{ one_if("recency = 1") }} as evidence_count
from ranked
