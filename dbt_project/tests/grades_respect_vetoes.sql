{# A forced grade is the grade, a bound is respected (both unless they rest on disputed records only), and nobody
   data-poor or new has A. #}
select g.uscc
from {{ ref("enterprise_grades") }} as g
join {{ ref("grade_vetoes") }} as v on v.uscc = g.uscc
where
    not v.is_disputed
    and v.effect in ('force', 'not_better_than')
    and position(g.platform_grade in 'ABCDE') < position(v.veto_grade in 'ABCDE')
union all
select uscc
from {{ ref("enterprise_grades") }}
where base_path in ('insufficient_data', 'new_enterprise') and path <> 'objection' and platform_grade = 'A'
