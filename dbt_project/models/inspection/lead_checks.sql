{# Case checks outside the draw: one row per lead (投诉举报、大数据监测、转办交办发现的问题线索) of this year or the last, or still
   open. A lead makes a visit lawful for every grade, also A, and only for what the lead says (scope). Leads are the feed
   leads, and accepted reports (举报) of the feed complaints while reports_are_leads is 1, which go to the market
   supervision nearest to the enterprise unless a lead names the report as its source.

   done_date: the first visit of kind case of the unit to the enterprise since the lead came. #}
with
    known as (
        select lead_id, lead_type, uscc, unit_id, received_date, scope, item_code, source_ref, closed_date
        from {{ ref("stg_leads") }} as l
        where {{ counts_on("l", as_of()) }} and l.received_date <= {{ as_of() }}
    ),
    reports as (
        select
            'REPORT-' || c.ticket_no as lead_id,
            c.uscc,
            c.received_date,
            coalesce(c.category, '举报事项') as scope,
            c.ticket_no as source_ref,
            c.closed_date
        from {{ ref("stg_complaints") }} as c
        left join known as k on k.source_ref = c.ticket_no
        where
            {{ counts_on("c", as_of()) }}
            and c.kind = 'report'
            and coalesce(c.is_accepted, true)
            and coalesce(c.outcome, 'pending') <> 'rejected'
            and c.received_date <= {{ as_of() }}
            and k.lead_id is null
            and {{ inspection_parameter("reports_are_leads") }} = 1
    ),
    -- The unit nearest to the enterprise: of market supervision if there is one, then the lowest level.
    nearest as (
        select
            m.uscc,
            m.unit_id,
            row_number() over (
                partition by m.uscc
                order by
                    case when u.line = 'market_supervision' then 0 else 1 end asc nulls last,
                    case u.unit_level when 'township' then 0 when 'county' then 1 else 2 end asc nulls last,
                    m.unit_id asc nulls last
            ) as place
        from {{ ref("enterprise_units") }} as m
        join (select distinct uscc from reports) as r on r.uscc = m.uscc
        join {{ in_force("units") }} as u on u.unit_id = m.unit_id
    ),
    leads as (
        select lead_id, lead_type, uscc, unit_id, received_date, scope, item_code, source_ref, closed_date
        from known
        union all
        select
            r.lead_id,
            'complaint' as lead_type,
            r.uscc,
            n.unit_id,
            r.received_date,
            r.scope,
            cast(null as varchar(64)) as item_code,
            r.source_ref,
            r.closed_date
        from reports as r
        left join nearest as n on n.uscc = r.uscc and n.place = 1
    ),
    visits as (
        select l.lead_id, min(v.visit_date) as done_date
        from leads as l
        join
            {{ ref("inspection_visits") }} as v
            on v.uscc = l.uscc
            and v.unit_id = l.unit_id
            and v.kind = 'case'
            and v.source = 'result'
            and v.visit_date >= l.received_date
        group by l.lead_id
    )
select
    {{ as_of() }} as as_of_date,
    l.lead_id,
    l.lead_type,
    l.uscc,
    l.unit_id,
    l.received_date,
    l.scope,
    l.item_code,
    l.source_ref,
    l.closed_date,
    g.platform_grade,
    coalesce(e.is_active, false) as is_active,
    v.done_date,
    case
        when v.done_date is not null
        then 'done'
        when l.closed_date is not null
        then 'closed'
        when not coalesce(e.is_active, false)
        then 'not_active'
        when l.unit_id is null
        then 'without_unit'
        else 'open'
    end as state
from leads as l
left join {{ ref("enterprises") }} as e on e.uscc = l.uscc
left join {{ ref("enterprise_grades") }} as g on g.uscc = l.uscc
left join visits as v on v.lead_id = l.lead_id
where year(l.received_date) >= year({{ as_of() }}) - 1 or l.closed_date is null
