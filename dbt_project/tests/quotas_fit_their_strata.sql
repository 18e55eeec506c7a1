{# A quota is no larger than its stratum, and the strata of the quotas are the eligible rows of the frame. #}
with
    strata as (
        select unit_id, platform_grade, count(*) as stratum_size
        from {{ ref("inspection_frame") }}
        where excluded_reason = ''
        group by unit_id, platform_grade
    )
select
    coalesce(q.unit_id, s.unit_id) as unit_id, coalesce(q.platform_grade, s.platform_grade) as platform_grade
from {{ ref("inspection_quotas") }} as q
full outer join strata as s on s.unit_id = q.unit_id and s.platform_grade = q.platform_grade
where
    q.unit_id is null
    or q.quota < 0
    or q.quota > q.stratum_size
    or q.stratum_size <> coalesce(s.stratum_size, 0)
    or (q.rounding = 'ceil' and q.ratio_bp > 0 and q.stratum_size > 0 and q.quota = 0)
