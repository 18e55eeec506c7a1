{# A unit's score is exactly what its explanation adds up to. #}
select u.unit_id, u.uscc, u.score_bp, sum(p.points_bp) as points_bp
from {{ ref("unit_scores") }} as u
left join {{ ref("unit_score_points") }} as p on p.unit_id = u.unit_id and p.uscc = u.uscc
group by u.unit_id, u.uscc, u.score_bp
having coalesce(u.score_bp, 0) <> coalesce(sum(p.points_bp), -1)
