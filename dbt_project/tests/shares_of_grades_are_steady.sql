{{ config(severity="warn") }}
{# Warns when the share of a grade in the city has moved by more than share_move_limit_bp since the last stored day: a new
   model, a new policy or a broken feed shows here first. Shares only, no enterprise. #}
with
    before as (
        select platform_grade, share_bp
        from {{ stored_grade_days() }} as d
        where as_of_date = (select max(as_of_date) from {{ stored_grade_days() }} as e)
    )
select g.platform_grade, b.share_bp as share_before_bp, g.share_bp
from {{ ref("grade_distribution") }} as g
join before as b on b.platform_grade = g.platform_grade
where g.area_level = 'city' and abs(g.share_bp - b.share_bp) > {{ parameter("share_move_limit_bp") }}
