{# 守法企业无事不扰、对违法企业利剑高悬: ratio and visits never fall as the grade worsens, min <= max, all ten cells are there,
   and a grade has one ratio among those who may be drawn (an exempt cell has 0). #}
with
    ratios as (
        select *, position(grade in 'ABCDE') as grade_rank from {{ in_force("inspection_ratios") }} as r
    )
select 'falls' as problem, a.grade
from ratios as a
join ratios as b on b.is_safety_related = a.is_safety_related and b.grade_rank = a.grade_rank + 1
where b.ratio_bp < a.ratio_bp or b.min_visits < a.min_visits or b.max_visits < a.max_visits
union all
select 'safety below the rest' as problem, a.grade
from ratios as a
join ratios as b on b.grade = a.grade and a.is_safety_related and not b.is_safety_related
where a.ratio_bp < b.ratio_bp or (b.ratio_bp > 0 and a.ratio_bp <> b.ratio_bp)
union all
select 'bounds' as problem, grade
from ratios
where
    min_visits > max_visits
    or ratio_bp < 0
    or ratio_bp > 10000
    or rounding not in ('ceil', 'half_up', 'floor')
union all
select 'cells' as problem, 'A-E' as grade
from ratios
having count(*) <> 10
union all
select 'B is 5 % by the notice' as problem, grade
from ratios
where grade = 'B' and basis = 'notice' and ratio_bp <> 500
