{# Every gradable enterprise has exactly one grade, nobody else has one (notice: all enterprises of the city are graded). #}
with counted as (select uscc, count(*) as grade_count from {{ ref("enterprise_grades") }} group by uscc)
select coalesce(e.uscc, c.uscc) as uscc
from (select uscc from {{ ref("enterprises") }} where is_gradable) as e
full outer join counted as c on c.uscc = e.uscc
where e.uscc is null or c.uscc is null or c.grade_count <> 1
