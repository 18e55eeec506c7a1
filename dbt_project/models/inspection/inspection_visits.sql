{# Every visit of this year and the last, of any kind, and every one that is due: what the caps count. One row per visit
   and unit that takes part; visit_key is the same for all units of a joint visit and for all units that visit an
   enterprise in the same round, so that counting its distinct values counts how often the door opens.

   source: result (it has taken place), drawn (an enterprise drawn that has not been visited so often yet), campaign (a
   target of a campaign that the unit has not visited since it began). Open ones belong to the year of the as-of day. #}
with
    tasks as (select * from {{ ref("inspection_tasks") }}),
    results as (
        select i.unit_id, i.uscc, i.check_date, coalesce(i.origin, 'random') as kind, i.task_no
        from {{ ref("stg_inspection_results") }} as i
        where
            {{ counts_on("i", as_of()) }}
            and i.check_date <= {{ as_of() }}
            and year(i.check_date) >= year({{ as_of() }}) - 1
        group by i.unit_id, i.uscc, i.check_date, coalesce(i.origin, 'random'), i.task_no
    ),
    of_tasks as (
        select t.unit_id, t.uscc, t.done_date, t.plan_id, t.round, t.visit_no
        from tasks as t
        where t.done_date is not null
        union
        select c.unit_id, t.uscc, t.done_date, t.plan_id, t.round, t.visit_no
        from tasks as t
        join {{ in_force("units") }} as c on {{ list_has("t.cooperating_units", "c.unit_id") }}
        where t.done_date is not null
    ),
    taken as (
        select
            r.uscc,
            coalesce(r.unit_id, '') as unit_id,
            r.check_date as visit_date,
            r.kind,
            'result' as source,
            t.plan_id,
            t.round,
            coalesce(
                t.plan_id || '/' || cast(t.round as varchar(10)) || '/' || cast(t.visit_no as varchar(10)),
                coalesce(r.unit_id, '') || '/' || r.task_no
            ) as visit_key
        from results as r
        left join
            of_tasks as t
            on t.unit_id = r.unit_id
            and t.uscc = r.uscc
            and t.done_date = r.check_date
            and r.kind = 'random'
    ),
    open_tasks as (
        select
            t.uscc, t.unit_id, t.window_end as visit_date, t.plan_id, t.round, t.visit_no, t.cooperating_units
        from tasks as t
        where t.done_date is null and not t.is_replaced
    ),
    drawn as (
        select uscc, unit_id, visit_date, plan_id, round, visit_no
        from open_tasks
        union
        select o.uscc, c.unit_id, o.visit_date, o.plan_id, o.round, o.visit_no
        from open_tasks as o
        join {{ in_force("units") }} as c on {{ list_has("o.cooperating_units", "c.unit_id") }}
    ),
    targets as (
        select c.uscc, c.unit_id, c.ends_on as visit_date, c.campaign_id
        from {{ ref("campaign_targets") }} as c
        left join
            results as r
            on r.uscc = c.uscc
            and r.unit_id = c.unit_id
            and r.kind = 'campaign'
            and r.check_date >= c.starts_on
        where c.excluded_reason = '' and r.uscc is null
    ),
    visits as (
        select
            uscc, unit_id, visit_date, year(visit_date) as visit_year, kind, source, plan_id, round, visit_key
        from taken
        union all
        select
            uscc,
            unit_id,
            visit_date,
            year({{ as_of() }}) as visit_year,
            'random' as kind,
            'drawn' as source,
            plan_id,
            round,
            plan_id || '/' || cast(round as varchar(10)) || '/' || cast(visit_no as varchar(10)) as visit_key
        from drawn
        union all
        select
            uscc,
            unit_id,
            visit_date,
            year({{ as_of() }}) as visit_year,
            'campaign' as kind,
            'campaign' as source,
            cast(null as varchar(64)) as plan_id,
            cast(null as integer) as round,
            'campaign/' || campaign_id as visit_key
        from targets
    )
select distinct
    {{ as_of() }} as as_of_date,
    uscc,
    unit_id,
    visit_date,
    cast(visit_year as integer) as visit_year,
    kind,
    source,
    plan_id,
    round,
    visit_key
from visits
