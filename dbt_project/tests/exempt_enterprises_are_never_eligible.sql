{# A 级企业: not drawn unless enterprise and item concern safety, or a superior's task says so; nor is anybody who is not
   active or not graded. #}
select f.plan_id, f.round, f.unit_id, f.item_code, f.uscc
from {{ ref("inspection_frame") }} as f
join {{ ref("plan_items") }} as i on i.plan_id = f.plan_id and i.round = f.round and i.item_code = f.item_code
join
    {{ ref("inspection_strata") }} as s
    on s.plan_id = f.plan_id
    and s.round = f.round
    and s.unit_id = f.unit_id
    and s.item_code = f.item_code
    and s.platform_grade = f.platform_grade
where
    f.excluded_reason = ''
    and f.frozen_date = f.as_of_date
    and (
        not f.is_graded
        or not s.is_open
        or (
            f.platform_grade = 'A'
            and not (i.is_safety_related and f.is_safety_related)
            and s.needs_safety_tag
        )
    )
