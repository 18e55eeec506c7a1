{# A unit's grade of an enterprise, in two steps after the platform grade; each step keeps its columns and its rule.

   1. The rating of the unit's line, when there is a valid one: one step at most, down freely, up only without a negative
      record in 12 months and never past a veto or floor nor to A by default; two steps or more apart the worse counts
      and the pair is marked for review -> rated_grade.
   2. The unit's own indicator system (grading/unit_scores), by its combination rule (unit_system_combinations): at most
      max_steps_down or max_steps_up towards the system's grade, up under the same conditions and never a second step
      over the platform grade; review_from_steps or more apart nothing rises and the pair is marked for review
      -> unit_grade. Too few known indicators: no system grade.
   Three A-scales, three columns: the rating stays in its own scale beside its scheme, its mapped grade and the system's
   grade stand apart from the city's. #}
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
            and {{ last_valid_day("r", "r.rated_date", "p.effect_months") }} >= {{ as_of() }}
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
            end as rating_rule
        from pairs
    ),
    rated as (
        select
            *,
            case
                rating_rule
                when 'far_apart_worse'
                then industry_rank
                when 'one_down'
                then platform_rank + 1
                when 'one_up'
                then platform_rank - 1
                else platform_rank
            end as rated_rank
        from ruled
    ),
    bounds as (
        select
            system_id,
            max(case when grade = 'A' then score_upper_bp end) as a,
            max(case when grade = 'B' then score_upper_bp end) as b,
            max(case when grade = 'C' then score_upper_bp end) as c,
            max(case when grade = 'D' then score_upper_bp end) as d
        from {{ in_force("unit_system_bounds") }} as b
        group by system_id
    ),
    systems as (
        select
            s.system_id,
            s.minimum_indicators,
            s.combination,
            c.max_steps_down,
            c.max_steps_up,
            c.review_from_steps,
            b.a,
            b.b,
            b.c,
            b.d
        from {{ in_force("unit_systems") }} as s
        join {{ in_force("unit_system_combinations") }} as c on c.combination = s.combination
        join bounds as b on b.system_id = s.system_id
    ),
    measured as (
        select
            r.*,
            y.system_id,
            y.combination as system_combination,
            y.max_steps_down,
            y.max_steps_up,
            y.review_from_steps,
            u.score_bp as system_score_bp,
            case
                when u.score_bp is null or u.indicator_count - u.missing_count < y.minimum_indicators
                then null
                when u.score_bp <= y.a
                then 1
                when u.score_bp <= y.b
                then 2
                when u.score_bp <= y.c
                then 3
                when u.score_bp <= y.d
                then 4
                else 5
            end as system_rank
        from rated as r
        left join {{ ref("unit_scores") }} as u on u.unit_id = r.unit_id and u.uscc = r.uscc
        left join systems as y on y.system_id = u.system_id
    ),
    combined as (
        select
            *,
            case
                when system_id is null
                then 'no_system'
                when system_rank is null
                then 'too_little_data'
                when system_rank = rated_rank
                then 'equal'
                when system_rank > rated_rank and max_steps_down = 0
                then 'informed'
                when system_rank - rated_rank >= review_from_steps
                then 'far_apart_down'
                when system_rank > rated_rank
                then 'moved_down'
                when max_steps_up = 0
                then 'informed'
                when rated_rank - system_rank >= review_from_steps
                then 'far_apart_kept'
                when
                    negative_record_count_12m > 0
                    or veto_codes <> ''
                    or path <> 'model'
                    or rated_rank < platform_rank
                then 'up_refused'
                else 'moved_up'
            end as system_rule
        from measured
    ),
    decided as (
        select
            *,
            case
                when system_rule in ('moved_down', 'far_apart_down')
                then rated_rank + least(system_rank - rated_rank, max_steps_down)
                when system_rule = 'moved_up'
                then rated_rank - least(rated_rank - system_rank, max_steps_up, 1)
                else rated_rank
            end as unit_rank,
            coalesce(abs(system_rank - rated_rank) >= review_from_steps, false) as is_system_far_apart
        from combined
    )
select
    {{ as_of() }} as as_of_date,
    unit_id,
    uscc,
    platform_grade,
    industry_scheme,
    industry_rating,
    industry_mapped_grade,
    rating_rule,
    {{ grade_of("rated_rank") }} as rated_grade,
    system_id,
    system_score_bp,
    {{ grade_of("system_rank") }} as system_grade,
    system_combination,
    system_rule,
    {{ grade_of("unit_rank") }} as unit_grade,
    rating_rule in ('far_apart_worse', 'far_apart_kept', 'unknown_rating')
    or is_system_far_apart as needs_review,
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
    || rating_rule
    || ' -> '
    || {{ grade_of("rated_rank") }}
    || case
        when system_id is null
        then ', no system of the unit'
        else
            ', system '
            || system_id
            || ' score '
            || coalesce(cast(system_score_bp as varchar(20)), 'none')
            || ' = '
            || coalesce({{ grade_of("system_rank") }}, 'too little data')
            || ', '
            || system_combination
    end
    || ', rule '
    || system_rule
    || ' -> '
    || {{ grade_of("unit_rank") }} as trace
from decided
