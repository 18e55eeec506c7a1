{# A unit's grade of an enterprise: the platform grade combined with the rating of the unit's own line, when there is a
   valid one. One step at most, down freely, up only without a negative record in 12 months and never past a veto or
   floor nor to A by default; two steps or more apart the worse counts and the pair is marked for review.
   The rating stays in its own scale beside its scheme; only its mapped grade is on the city's scale. #}
with
    periods as (
        select max(effect_months) as effect_months
        from {{ in_force("effect_periods") }} as e
        where record_kind = 'evaluation' and record_class = 'industry'
    ),
    valid_ratings as (
        select
            r.uscc,
            r.scheme,
            r.rating,
            row_number() over (
                partition by r.uscc, r.scheme
                order by
                    r.rated_date desc nulls last,
                    r.rating asc nulls last,
                    r.source_file asc nulls last,
                    r.source_row asc nulls last
            ) as recency
        from {{ ref("stg_industry_ratings") }} as r
        cross join periods as p
        where
            {{ counts_on("r", as_of()) }}
            and greatest(r.rated_date, r.valid_from) <= {{ as_of() }}
            and case
                when r.valid_to is not null
                then r.valid_to
                when coalesce(r.valid_to_is_open_ended, false)
                then cast('9999-12-31' as date)
                else {{ add_months("r.rated_date", "p.effect_months") }}
            end
            >= {{ as_of() }}
    ),
    ratings as (
        select v.uscc, v.scheme, v.rating, m.mapped_grade, m.rating is not null as is_mapped
        from valid_ratings as v
        left join {{ in_force("rating_maps") }} as m on m.scheme = v.scheme and m.rating = v.rating
        where v.recency = 1
    ),
    units as (
        select u.unit_id, s.scheme
        from {{ in_force("units") }} as u
        left join {{ in_force("unit_rating_schemes") }} as s on s.line = u.line
    ),
    pairs as (
        select
            m.unit_id,
            m.uscc,
            g.platform_grade,
            g.path,
            g.veto_codes,
            g.negative_record_count_12m,
            u.scheme as industry_scheme,
            r.rating as industry_rating,
            nullif(r.mapped_grade, '') as industry_mapped_grade,
            r.is_mapped,
            {{ grade_rank("g.platform_grade") }} as platform_rank,
            {{ grade_rank("r.mapped_grade") }} as industry_rank
        from {{ ref("enterprise_units") }} as m
        join {{ ref("enterprise_grades") }} as g on g.uscc = m.uscc
        join units as u on u.unit_id = m.unit_id
        left join ratings as r on r.uscc = m.uscc and r.scheme = u.scheme
    ),
    ruled as (
        select
            *,
            case
                when industry_rating is null
                then 'no_rating'
                when not is_mapped
                then 'unknown_rating'
                when industry_rank is null
                then 'neutral_rating'
                when industry_rank = platform_rank
                then 'equal'
                when industry_rank - platform_rank >= 2
                then 'far_apart_worse'
                when industry_rank - platform_rank = 1
                then 'one_down'
                when platform_rank - industry_rank >= 2
                then 'far_apart_kept'
                when negative_record_count_12m > 0 or veto_codes <> '' or path <> 'model'
                then 'up_refused'
                else 'one_up'
            end as rule
        from pairs
    ),
    decided as (
        select
            *,
            case
                rule
                when 'far_apart_worse'
                then industry_rank
                when 'one_down'
                then platform_rank + 1
                when 'one_up'
                then platform_rank - 1
                else platform_rank
            end as unit_rank
        from ruled
    )
select
    {{ as_of() }} as as_of_date,
    unit_id,
    uscc,
    platform_grade,
    industry_scheme,
    industry_rating,
    industry_mapped_grade,
    {{ grade_of("unit_rank") }} as unit_grade,
    rule,
    rule in ('far_apart_worse', 'far_apart_kept', 'unknown_rating') as needs_review,
    'platform '
    || platform_grade
    || case
        when industry_rating is null
        then ', no valid rating of the line'
        else
            ', '
            || industry_scheme
            || ' '
            || industry_rating
            || ' = '
            || coalesce(industry_mapped_grade, 'neutral')
    end
    || ', rule '
    || rule
    || ' -> '
    || {{ grade_of("unit_rank") }} as trace
from decided
