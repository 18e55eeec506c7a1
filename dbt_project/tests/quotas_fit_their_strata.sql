{# A quota is no larger than its stratum, the strata of the quotas are the eligible rows of the frame, and what is drawn
   by the end of the round is no less than the target unless the stratum is used up. #}
with
    strata as (
        select plan_id, round, unit_id, item_code, platform_grade, count(*) as stratum_size
        from {{ ref("inspection_frame") }}
        where excluded_reason = ''
        group by plan_id, round, unit_id, item_code, platform_grade
    )
select
    coalesce(q.plan_id, s.plan_id) as plan_id,
    coalesce(q.unit_id, s.unit_id) as unit_id,
    coalesce(q.item_code, s.item_code) as item_code,
    coalesce(q.platform_grade, s.platform_grade) as platform_grade
from {{ ref("inspection_quotas") }} as q
full outer join
    strata as s
    on s.plan_id = q.plan_id
    and s.round = q.round
    and s.unit_id = q.unit_id
    and s.item_code = q.item_code
    and s.platform_grade = q.platform_grade
where
    q.unit_id is null
    or q.quota < 0
    or q.quota > q.stratum_size
    or q.stratum_size <> coalesce(s.stratum_size, 0)
    or (q.quota < q.stratum_size and q.drawn_before + q.quota < q.target)
    or (q.rounding = 'ceil' and q.ratio_bp > 0 and q.stratum_size + q.drawn_before > 0 and q.target = 0)
