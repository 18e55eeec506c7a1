{# Who must not inspect whom in a round: what was declared, and who inspected the enterprise in its unit's last draws.
   Assigned visits and results are counted apart, each the last handled_recently_rounds of the unit at the enterprise:
   a result does not say of which round it is, and one visit must not count as two. What belongs to the round itself
   recuses nobody. Inspectors of a result are known by number, or by a name that nobody else in the unit bears. #}
with
    roster as (select plan_id, round, unit_id, inspector_id from {{ ref("inspection_roster") }}),
    declared as (
        select
            d.inspector_id,
            d.uscc,
            d.relation,
            case
                d.relation
                when 'relative'
                then 1
                when 'shareholding'
                then 2
                when 'former_employer'
                then 3
                else 4
            end as weight
        from {{ ref("stg_recusals") }} as d
        where
            {{ counts_on("d", as_of()) }}
            and (d.valid_to is null or d.valid_to >= {{ as_of() }})
            and (
                d.relation <> 'former_employer'
                or {{ add_months("d.declared_date", "12 * " ~ inspection_parameter("former_employer_years")) }}
                > {{ as_of() }}
            )
    ),
    names as (
        select unit_id, min(inspector_id) as inspector_id, inspector_name
        from {{ ref("stg_inspectors") }} as d
        where {{ counts_on("d", as_of()) }}
        group by unit_id, inspector_name
        having count(*) = 1
    ),
    known_as as (
        select distinct unit_id, inspector_id, inspector_id as name
        from roster
        union all
        select unit_id, inspector_id, inspector_name
        from names
        where inspector_name <> inspector_id
    ),
    results as (
        select distinct
            v.unit_id,
            v.uscc,
            v.task_no,
            v.check_date,
            coalesce(v.plan_no, '') as plan_no,
            {{ parts_text("v.inspectors", "、，,;；/+:：") }} as inspectors
        from {{ ref("stg_inspection_results") }} as v
        where {{ counts_on("v", as_of()) }} and v.check_date <= {{ as_of() }} and v.inspectors is not null
    ),
    recent_results as (
        select
            r.plan_id,
            r.round,
            v.unit_id,
            v.uscc,
            v.inspectors,
            dense_rank() over (
                partition by r.plan_id, r.round, v.unit_id, v.uscc
                order by v.check_date desc nulls last, v.task_no desc nulls last
            ) as recency
        from results as v
        join {{ ref("inspection_rounds") }} as r on r.plan_id <> v.plan_no
    ),
    recent_assignments as (
        select
            r.plan_id,
            r.round,
            a.unit_id,
            a.uscc,
            a.inspector_id,
            dense_rank() over (
                partition by r.plan_id, r.round, a.unit_id, a.uscc
                order by f.frozen_date desc nulls last, a.plan_id desc nulls last, a.round desc nulls last
            ) as recency
        from {{ assigned_files() }} as a
        join {{ frozen_rounds() }} as f on f.plan_id = a.plan_id and f.round = a.round
        join {{ ref("inspection_rounds") }} as r on r.plan_id <> a.plan_id or r.round <> a.round
    ),
    handled as (
        select v.plan_id, v.round, k.inspector_id, v.uscc
        from recent_results as v
        join known_as as k on k.unit_id = v.unit_id and {{ list_has("v.inspectors", "k.name") }}
        where v.recency <= {{ inspection_parameter("handled_recently_rounds") }}
        union
        select a.plan_id, a.round, a.inspector_id, a.uscc
        from recent_assignments as a
        where a.recency <= {{ inspection_parameter("handled_recently_rounds") }}
    ),
    reasons as (
        select r.plan_id, r.round, r.inspector_id, d.uscc, d.relation as reason, d.weight
        from declared as d
        join roster as r on r.inspector_id = d.inspector_id
        union all
        select r.plan_id, r.round, r.inspector_id, h.uscc, 'handled_recently' as reason, 5 as weight
        from handled as h
        join roster as r on r.plan_id = h.plan_id and r.round = h.round and r.inspector_id = h.inspector_id
    ),
    ranked as (
        select
            *,
            row_number() over (
                partition by plan_id, round, inspector_id, uscc
                order by weight asc nulls last, reason asc nulls last
            ) as place
        from reasons
    )
select plan_id, round, inspector_id, uscc, reason
from ranked
where place = 1
