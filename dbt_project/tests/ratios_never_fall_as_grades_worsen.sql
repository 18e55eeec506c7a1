{# 守法企业无事不扰、对违法企业利剑高悬: for every unit and item that some row names, the ratio and the visits that hold (the most
   specific row) never fall as the grade worsens; min <= max; all ten cells of all units and items are there; A without
   safety and B other than the notice says only under an exception in force. #}
with
    ratios as (
        select *, position(grade in 'ABCDE') as grade_rank from {{ in_force("inspection_ratios") }} as r
    ),
    places as (
        select u.unit_id, i.item_code
        from (select distinct unit_id from ratios) as u
        cross join (select distinct item_code from ratios) as i
    ),
    candidates as (
        select
            p.unit_id,
            p.item_code,
            r.grade,
            r.grade_rank,
            r.is_safety_related,
            r.ratio_bp,
            r.min_visits,
            r.max_visits,
            row_number() over (
                partition by p.unit_id, p.item_code, r.grade, r.is_safety_related
                order by
                    case when r.item_code <> '*' then 0 else 1 end asc nulls last,
                    case when r.unit_id <> '*' then 0 else 1 end asc nulls last
            ) as place
        from places as p
        join ratios as r on r.unit_id in (p.unit_id, '*') and r.item_code in (p.item_code, '*')
    ),
    cells as (select * from candidates where place = 1)
select 'falls' as problem, a.unit_id, a.item_code, a.grade
from cells as a
join
    cells as b
    on b.unit_id = a.unit_id
    and b.item_code = a.item_code
    and b.is_safety_related = a.is_safety_related
    and b.grade_rank = a.grade_rank + 1
where b.ratio_bp < a.ratio_bp or b.min_visits < a.min_visits or b.max_visits < a.max_visits
union all
select 'bounds' as problem, unit_id, item_code, grade
from ratios
where
    min_visits > max_visits
    or ratio_bp < 0
    or ratio_bp > 10000
    or rounding not in ('ceil', 'half_up', 'floor')
union all
select 'cells' as problem, '*' as unit_id, '*' as item_code, 'A-E' as grade
from ratios
where unit_id = '*' and item_code = '*'
having count(*) <> 10
union all
select 'exception' as problem, r.unit_id, r.item_code, r.grade
from ratios as r
left join {{ in_force("inspection_exceptions") }} as e on e.exception_id = r.exception_id
where
    e.exception_id is null
    and (
        (r.grade = 'A' and not r.is_safety_related and r.ratio_bp > 0)
        or (r.grade = 'B' and r.ratio_bp <> 500)
    )
