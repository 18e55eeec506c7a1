{# Nobody may be drawn whose visits of the year, done and due, have reached the unit's cap. #}
select f.plan_id, f.round, f.unit_id, f.item_code, f.uscc
from {{ ref("inspection_frame") }} as f
join
    {{ ref("inspection_strata") }} as s
    on s.plan_id = f.plan_id
    and s.round = f.round
    and s.unit_id = f.unit_id
    and s.item_code = f.item_code
    and s.platform_grade = f.platform_grade
join
    (
        select unit_id, uscc, count(distinct visit_key) as visits
        from {{ ref("inspection_visits") }}
        where visit_year = year({{ as_of() }})
        group by unit_id, uscc
    ) as v
    on v.unit_id = f.unit_id
    and v.uscc = f.uscc
where f.excluded_reason = '' and f.frozen_date = f.as_of_date and v.visits + f.visits_planned > s.max_visits
