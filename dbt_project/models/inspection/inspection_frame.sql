{# Whom each unit could draw in the round in force: every pair of unit and enterprise, excluded ones with their reason,
   so that nobody vanishes. Once the round is frozen its frozen rows stand, whatever the register says later;
   frozen_date is that day, or the as-of day as long as nothing is frozen, so that freezing changes no row.
   platform_grade of an enterprise that is not graded is the neutral grade, is_graded says so; it is never eligible. #}
with
    rounds as (select * from {{ ref("inspection_rounds") }}),
    frozen as (
        select
            r.plan_id,
            r.round,
            f.unit_id,
            f.uscc,
            f.platform_grade,
            f.is_safety_related,
            f.excluded_reason,
            f.frozen_date
        from rounds as r
        join
            {{ frozen_frames() }} as f
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
    neutral as (
        select min(grade) as grade
        from {{ in_force("data_poor_rules") }} as d
        where path = 'insufficient_data'
    ),
    ratios as (
        select grade, is_safety_related, ratio_bp, max_visits from {{ in_force("inspection_ratios") }} as r
    ),
    visits as (
        select i.unit_id, i.uscc, count(distinct i.task_no) as visit_count
        from {{ ref("stg_inspection_results") }} as i
        where
            {{ counts_on("i", as_of()) }}
            and i.origin = 'random'
            and i.check_date <= {{ as_of() }}
            and year(i.check_date) = year({{ as_of() }})
        group by i.unit_id, i.uscc
    ),
    live as (
        select
            r.plan_id,
            r.round,
            m.unit_id,
            e.uscc,
            coalesce(g.platform_grade, n.grade) as platform_grade,
            e.is_safety_related,
            case
                when not e.is_active
                then 'not_active'
                when not e.is_gradable_kind
                then 'kind_not_graded'
                when q.ratio_bp = 0
                then
                    g.platform_grade
                    || case when e.is_safety_related then '_safety_related' else '_not_safety_related' end
                when v.visit_count >= q.max_visits
                then 'visit_cap_reached'
                else ''
            end as excluded_reason,
            {{ as_of() }} as frozen_date
        from live_rounds as r
        cross join neutral as n
        cross join {{ ref("enterprise_units") }} as m
        join {{ ref("enterprises") }} as e on e.uscc = m.uscc
        left join {{ ref("enterprise_grades") }} as g on g.uscc = e.uscc
        left join ratios as q on q.grade = g.platform_grade and q.is_safety_related = e.is_safety_related
        left join visits as v on v.unit_id = m.unit_id and v.uscc = e.uscc
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
    uscc,
    platform_grade,
    excluded_reason not in ('not_active', 'kind_not_graded') as is_graded,
    is_safety_related,
    excluded_reason,
    frozen_date
from rows_of_round
