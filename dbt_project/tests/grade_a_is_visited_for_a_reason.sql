{{ config(severity="warn") }}
{# A 级企业除投诉举报、转办交办、大数据监测和安全事项外不主动检查: warns of a visit of this year to an enterprise of grade A that was
   neither drawn, nor follows a lead of that unit, nor is a campaign of safety, nor a superior's task. The grade is the one
   the visit could know: that of the newest frame frozen by its day, the as-of day's only where no frame is that old. Who
   has become A since is not here, who was A then is, whatever it is now. #}
with
    visits as (
        select unit_id, uscc, visit_date, kind
        from {{ ref("inspection_visits") }}
        where
            source = 'result'
            and visit_year = year({{ as_of() }})
            and kind <> 'superior_task'
            and not (kind = 'random' and plan_id is not null)
    ),
    frames as (select distinct uscc, platform_grade, frozen_date from {{ frozen_frames() }} as f),
    newest as (
        select v.uscc, v.visit_date, max(f.frozen_date) as frozen_date
        from visits as v
        join frames as f on f.uscc = v.uscc and f.frozen_date <= v.visit_date
        group by v.uscc, v.visit_date
    ),
    known_then as (
        select n.uscc, n.visit_date, min(f.platform_grade) as platform_grade
        from newest as n
        join frames as f on f.uscc = n.uscc and f.frozen_date = n.frozen_date
        group by n.uscc, n.visit_date
    )
select v.unit_id, v.uscc, v.visit_date, v.kind
from visits as v
left join known_then as k on k.uscc = v.uscc and k.visit_date = v.visit_date
left join {{ ref("enterprise_grades") }} as g on g.uscc = v.uscc
left join {{ ref("enterprises") }} as e on e.uscc = v.uscc
where
    coalesce(k.platform_grade, g.platform_grade) = 'A'
    and not (v.kind = 'campaign' and coalesce(e.is_safety_related, false))
    and not exists (
        select 1
        from {{ ref("lead_checks") }} as l
        where
            l.uscc = v.uscc
            and (l.unit_id = v.unit_id or v.unit_id = '')
            and v.kind = 'case'
            and l.received_date <= v.visit_date
    )
