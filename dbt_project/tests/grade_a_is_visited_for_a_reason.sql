{{ config(severity="warn") }}
{# A 级企业除投诉举报、转办交办、大数据监测和安全事项外不主动检查: warns of a visit of this year to an enterprise of grade A that was
   neither drawn, nor follows a lead of that unit, nor is a campaign of safety, nor a superior's task. The grade is that of
   the as-of day: who has become A since the visit stands here too. #}
select v.unit_id, v.uscc, v.visit_date, v.kind
from {{ ref("inspection_visits") }} as v
join {{ ref("enterprise_grades") }} as g on g.uscc = v.uscc and g.platform_grade = 'A'
left join {{ ref("enterprises") }} as e on e.uscc = v.uscc
where
    v.source = 'result'
    and v.visit_year = year({{ as_of() }})
    and v.kind <> 'superior_task'
    and not (v.kind = 'random' and v.plan_id is not null)
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
