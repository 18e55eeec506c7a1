{# The rule of each stratum (unit x item x grade) of the rounds in force: the most specific row of inspection_ratios, what
   an exception in force puts in its place, and the exploration floor wherever law lets us visit.

   Row: unit and item, then item, then unit, then all. Exceptions without an enterprise of their own, the most specific
   first, the newest of equals: ratio and uniform_draw replace the ratio (uniform_draw of every grade that may be
   drawn), superior_task also opens a stratum that is closed, as an A enterprise without safety is. max_ratio_bp of the
   item comes last. needs_safety_tag: of this grade only enterprises that concern safety may be drawn. #}
with
    units as (
        select r.plan_id, r.round, u.unit_id
        from {{ ref("inspection_rounds") }} as r
        join {{ in_force("units") }} as u on r.initiator = '*' or u.unit_id = r.initiator
    ),
    grades as (
        select
            grade,
            max(case when is_safety_related and may_be_drawn then 1 else 0 end) as drawn_with_safety,
            max(case when not is_safety_related and may_be_drawn then 1 else 0 end) as drawn_without
        from {{ in_force("grade_rules") }} as g
        group by grade
    ),
    cells as (
        select
            u.plan_id,
            u.round,
            u.unit_id,
            i.item_code,
            g.grade as platform_grade,
            i.item_kind,
            i.is_safety_related,
            i.max_ratio_bp,
            g.drawn_without = 1 or (i.is_safety_related and g.drawn_with_safety = 1) as may_be_drawn,
            g.drawn_without = 0 as needs_safety_tag
        from units as u
        join {{ ref("plan_items") }} as i on i.plan_id = u.plan_id and i.round = u.round
        cross join grades as g
    ),
    rules as (
        select
            c.*,
            q.ratio_bp as ordinary_ratio_bp,
            q.min_visits,
            q.max_visits,
            q.rounding,
            q.basis,
            coalesce(q.exception_id, '') as row_exception_id,
            row_number() over (
                partition by c.plan_id, c.round, c.unit_id, c.item_code, c.platform_grade
                order by
                    case when q.item_code = '*' then 1 else 0 end asc nulls last,
                    case when q.unit_id = '*' then 1 else 0 end asc nulls last,
                    q.effective_from desc nulls last
            ) as place
        from cells as c
        join
            {{ in_force("inspection_ratios") }} as q
            on q.grade = c.platform_grade
            and q.is_safety_related = c.is_safety_related
            and (q.unit_id = '*' or q.unit_id = c.unit_id)
            and (q.item_code = '*' or q.item_code = c.item_code)
    ),
    exceptions as (
        select
            exception_id,
            kind,
            coalesce(unit_id, '*') as unit_id,
            coalesce(item_code, '*') as item_code,
            coalesce(grade, '*') as grade,
            ratio_bp,
            effective_from
        from {{ in_force("inspection_exceptions") }} as x
        where kind in ('ratio', 'uniform_draw', 'superior_task') and coalesce(uscc, '') = ''
    ),
    excepted as (
        select
            c.plan_id,
            c.round,
            c.unit_id,
            c.item_code,
            c.platform_grade,
            x.exception_id,
            x.kind,
            x.ratio_bp,
            row_number() over (
                partition by c.plan_id, c.round, c.unit_id, c.item_code, c.platform_grade
                order by
                    case when x.item_code = '*' then 1 else 0 end asc nulls last,
                    case when x.unit_id = '*' then 1 else 0 end asc nulls last,
                    case when x.grade = '*' then 1 else 0 end asc nulls last,
                    x.effective_from desc nulls last,
                    x.exception_id asc nulls last
            ) as place
        from cells as c
        join
            exceptions as x
            on x.unit_id in ('*', c.unit_id)
            and x.item_code in ('*', c.item_code)
            and x.grade in ('*', c.platform_grade)
            and (c.may_be_drawn or x.kind = 'superior_task')
    ),
    chosen as (
        select
            r.*,
            x.exception_id,
            coalesce(x.kind, '') as exception_kind,
            coalesce(x.ratio_bp, r.ordinary_ratio_bp) as wanted_bp,
            r.may_be_drawn or coalesce(x.kind, '') = 'superior_task' as is_open
        from rules as r
        left join
            excepted as x
            on x.plan_id = r.plan_id
            and x.round = r.round
            and x.unit_id = r.unit_id
            and x.item_code = r.item_code
            and x.platform_grade = r.platform_grade
            and x.place = 1
        where r.place = 1
    ),
    floors as (select coalesce({{ inspection_parameter("exploration_floor_bp") }}, 0) as floor_bp)
select
    c.plan_id,
    c.round,
    c.unit_id,
    c.item_code,
    c.platform_grade,
    c.item_kind,
    c.is_safety_related,
    c.is_open and c.max_ratio_bp > 0 as is_open,
    c.needs_safety_tag and c.exception_kind <> 'superior_task' as needs_safety_tag,
    cast(c.ordinary_ratio_bp as integer) as ordinary_ratio_bp,
    cast(
        case
            when c.is_open then least(greatest(c.wanted_bp, f.floor_bp), c.max_ratio_bp) else 0
        end as integer
    ) as ratio_bp,
    cast(c.min_visits as integer) as min_visits,
    cast(
        case
            when c.exception_kind = 'superior_task' then greatest(c.max_visits, 1) else c.max_visits
        end as integer
    ) as max_visits,
    c.rounding,
    case when c.exception_id is not null then 'exception ' || c.exception_id else c.basis end as basis,
    coalesce(c.exception_id, c.row_exception_id) as exception_id
from chosen as c
cross join floors as f
