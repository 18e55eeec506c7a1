{{ config(severity="warn") }}
{# Warns of records that became void since the last stored day and had counted in grades or draws of days past: somebody
   looks at those results. One row per record; the rows stay in grading.affected_grades for ever. #}
select feed, record_no, what_happened, known_on
from {{ ref("affected_grades") }}
where
    known_on
    > (select coalesce(max(as_of_date), cast('0001-01-01' as date)) from {{ stored_grade_days() }} as d)
