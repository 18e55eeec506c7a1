{# A 级企业: not drawn unless it concerns safety; nor is anybody who is not active or not graded. #}
select f.unit_id, f.uscc
from {{ ref("inspection_frame") }} as f
join
    {{ in_force("inspection_ratios") }} as r
    on r.grade = f.platform_grade
    and r.is_safety_related = f.is_safety_related
where f.excluded_reason = '' and (not f.is_graded or r.ratio_bp = 0)
