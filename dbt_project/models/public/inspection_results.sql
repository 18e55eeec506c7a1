{# The published list: results that are public on the day, of the last months only (a list of many years would tell who
   is never inspected), of organisations only. #}
select c.uscc, c.enterprise_name, c.region_name, c.authority, c.check_date, c.result_codes, c.results
from {{ ref("completed_inspections") }} as c
cross join
    (
        select max(value) as window_months
        from {{ in_force("public_policy") }} as p
        where parameter = 'window_months'
    ) as w
where
    c.public_from <= {{ as_of() }}
    and c.check_date > {{ add_months(as_of(), "-w.window_months") }}
    and not c.is_natural_person
    and c.enterprise_name is not null
order by c.uscc asc nulls first, c.check_date asc nulls first, c.authority asc nulls first
