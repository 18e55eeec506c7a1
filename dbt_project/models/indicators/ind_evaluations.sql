{# Evaluations by others, each mapped from its own scale to a level 1 (best) to 5: the public credit evaluation (优良中差)
   and the worst of the valid industry ratings. Neutral or unknown ratings say nothing. #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {"public_credit": ["evaluation", "public_credit"], "industry": ["evaluation", "industry"]}
            )
        }}
    ),
    given as (
        select
            p.as_of_date,
            e.uscc,
            'public_credit' as scheme,
            e.evaluation_level as rating,
            e.evaluated_date as rated_date,
            e.source_file,
            e.source_row
        from {{ ref("stg_public_credit_evaluations") }} as e
        join
            periods as p
            on {{ counts_on("e", "p.as_of_date") }}
            and e.evaluated_date <= p.as_of_date
            and case
                when e.valid_to is not null
                then e.valid_to
                when coalesce(e.valid_to_is_open_ended, false)
                then cast('9999-12-31' as date)
                else {{ add_months("e.evaluated_date", "p.public_credit_months") }}
            end
            >= p.as_of_date
        union all
        select p.as_of_date, r.uscc, r.scheme, r.rating, r.rated_date, r.source_file, r.source_row
        from {{ ref("stg_industry_ratings") }} as r
        join
            periods as p
            on {{ counts_on("r", "p.as_of_date") }}
            and greatest(r.rated_date, r.valid_from) <= p.as_of_date
            and case
                when r.valid_to is not null
                then r.valid_to
                when coalesce(r.valid_to_is_open_ended, false)
                then cast('9999-12-31' as date)
                else {{ add_months("r.rated_date", "p.industry_months") }}
            end
            >= p.as_of_date
    ),
    ranked as (
        select
            *,
            row_number() over (
                partition by as_of_date, uscc, scheme
                order by
                    rated_date desc nulls last,
                    rating asc nulls last,
                    source_file asc nulls last,
                    source_row asc nulls last
            ) as recency
        from given
    ),
    leveled as (
        select r.as_of_date, r.uscc, r.scheme, {{ grade_rank("m.mapped_grade") }} as level
        from ranked as r
        left join
            {{ ref("rating_maps") }} as m
            on m.scheme = r.scheme
            and m.rating = r.rating
            and m.effective_from <= r.as_of_date
            and m.effective_to >= r.as_of_date
        where r.recency = 1
    )
select
    as_of_date,
    uscc,
    cast(max(case when scheme = 'public_credit' then level end) as bigint) as public_evaluation_level,
    cast(max(case when scheme <> 'public_credit' then level end) as bigint) as industry_rating_level,
    count(*) as evidence_count
from leveled
group by as_of_date, uscc
