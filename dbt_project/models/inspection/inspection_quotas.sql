{# How many of each stratum (unit x grade) the round in force draws, in whole numbers, with the arithmetic written out.
   All five grades stand for every unit, also with 0. Frozen with the round's frame. The ratio is the year's: a plan of
   several rounds divides it among them. #}
with
    rounds as (select * from {{ ref("inspection_rounds") }}),
    frozen as (
        select
            r.plan_id,
            r.round,
            10000 * r.rounds_per_year as divisor,
            f.unit_id,
            f.platform_grade,
            cast(f.stratum_size as bigint) as stratum_size,
            cast(f.ratio_bp as integer) as ratio_bp,
            f.rounding,
            cast(f.quota as bigint) as quota,
            f.basis,
            f.frozen_date
        from rounds as r
        join
            {{ frozen_quotas() }} as f
            on f.plan_id = r.plan_id
            and cast(f.round as integer) = r.round
            and f.frozen_date <= {{ as_of() }}
    ),
    frozen_rounds as (select distinct plan_id, round from frozen),
    live_rounds as (
        select r.*
        from rounds as r
        left join frozen_rounds as f on f.plan_id = r.plan_id and f.round = r.round
        where f.plan_id is null
    ),
    -- Among a grade's rows the largest ratio is that of those who may be drawn: A has 0 where safety is no
    -- concern.
    ratios as (
        select grade, max(ratio_bp) as ratio_bp, max(rounding) as rounding, max_by(basis, ratio_bp) as basis
        from {{ in_force("inspection_ratios") }} as i
        group by grade
    ),
    strata as (
        select plan_id, round, unit_id, platform_grade, count(*) as stratum_size
        from {{ ref("inspection_frame") }}
        where excluded_reason = ''
        group by plan_id, round, unit_id, platform_grade
    ),
    cells as (
        select
            r.plan_id,
            r.round,
            u.unit_id,
            q.grade as platform_grade,
            coalesce(s.stratum_size, 0) as stratum_size,
            q.ratio_bp,
            q.rounding,
            q.basis,
            10000 * r.rounds_per_year as divisor
        from live_rounds as r
        cross join {{ in_force("units") }} as u
        cross join ratios as q
        left join
            strata as s
            on s.plan_id = r.plan_id
            and s.round = r.round
            and s.unit_id = u.unit_id
            and s.platform_grade = q.grade
    ),
    rounded as (
        select
            *,
            least(
                stratum_size,
                case
                    rounding
                    when 'ceil'
                    then {{ int_div("stratum_size * ratio_bp + divisor - 1", "divisor") }}
                    when 'half_up'
                    then {{ int_div("2 * stratum_size * ratio_bp + divisor", "2 * divisor") }}
                    when 'floor'
                    then {{ int_div("stratum_size * ratio_bp", "divisor") }}
                end
            ) as quota
        from cells
    ),
    live as (
        select
            plan_id,
            round,
            divisor,
            unit_id,
            platform_grade,
            cast(stratum_size as bigint) as stratum_size,
            cast(ratio_bp as integer) as ratio_bp,
            rounding,
            cast(quota as bigint) as quota,
            basis,
            {{ as_of() }} as frozen_date
        from rounded
    ),
    rows_of_round as (
        select *
        from frozen
        union all
        select *
        from live
    )
select
    {{ as_of() }} as as_of_date,
    plan_id,
    round,
    unit_id,
    platform_grade,
    stratum_size,
    ratio_bp,
    rounding,
    quota,
    basis,
    rounding
    || '('
    || cast(stratum_size as varchar(20))
    || ' × '
    || cast(ratio_bp as varchar(20))
    || ' / '
    || cast(divisor as varchar(20))
    || ') = '
    || cast(quota as varchar(20)) as arithmetic,
    frozen_date
from rows_of_round
