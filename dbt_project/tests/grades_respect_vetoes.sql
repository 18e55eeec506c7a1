{# A forced grade is the grade, a bound is respected, and nobody data-poor or new has A. #}
select g.uscc
from {{ ref("enterprise_grades") }} as g
join {{ ref("grade_vetoes") }} as v on v.uscc = g.uscc
where
    (v.effect = 'force' and position(g.platform_grade in 'ABCDE') < position(v.veto_grade in 'ABCDE'))
    or (
        v.effect = 'not_better_than'
        and position(g.platform_grade in 'ABCDE') < position(v.veto_grade in 'ABCDE')
    )
union all
select uscc
from {{ ref("enterprise_grades") }}
where path in ('insufficient_data', 'new_enterprise') and platform_grade = 'A'
