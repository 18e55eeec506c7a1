{# Five grades A-E in order, their bounds rise, the last one holds every probability. #}
with bounds as (select * from {{ in_force("grade_bounds") }} as g)
select a.grade
from bounds as a
join bounds as b on b.rank = a.rank + 1
where b.probability_upper <= a.probability_upper
union all
select grade
from bounds
where position(grade in 'ABCDE') <> rank or (grade = 'E' and probability_upper < 1)
union all
select 'all' as grade
from bounds
having count(*) <> 5
