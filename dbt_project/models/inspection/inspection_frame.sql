{# Whom each unit could draw for which item in the rounds in force: every pair of unit and enterprise in the scope of the
   plan and the item, excluded ones with their reason, so that nobody vanishes. A joint plan holds the objects of its
   initiator. Once a round is frozen its frozen rows stand, whatever the register says later; frozen_date is that day, or
   the as-of day as long as nothing is frozen, so that freezing changes no row. platform_grade of an enterprise that is
   not graded is the neutral grade, is_graded says so; it is never eligible.

   Caps: a unit visits an enterprise at most max_visits times in a calendar year, all units together at most
   enterprise_visits_per_year times (0: no cap). Counted are visits of all kinds that took place or are due, and one for
   each open round that may still draw the enterprise: frozen and not drawn, or live and before this one by
   (due_date, plan_id). For a key item the grade's minimum wins over the city's cap. visits_planned: how often the
   enterprise is visited this year if it is drawn. #}
with
    rounds as (select * from {{ ref("inspection_rounds") }}),
    frozen_rounds as (select f.* from {{ frozen_rounds() }} as f),
    frozen as (
        select
            r.plan_id,
            r.round,
            f.unit_id,
            f.item_code,
            f.uscc,
            f.platform_grade,
            f.region,
            f.is_safety_related,
            coalesce(f.is_graded, f.excluded_reason not in ('not_active', 'kind_not_graded')) as is_graded,
            f.excluded_reason,
            coalesce(f.visits_planned, 0) as visits_planned,
            f.frozen_date
        from rounds as r
        join
            {{ frozen_frames() }} as f
            on f.plan_id = r.plan_id
            and cast(f.round as integer) = r.round
            and f.frozen_date <= {{ as_of() }}
    ),
    live_rounds as (
        select r.*
        from rounds as r
        left join frozen_rounds as f on f.plan_id = r.plan_id and f.round = r.round
        where f.plan_id is null
    ),
    neutral as (
        select min(grade) as grade
        from {{ in_force("data_poor_rules") }} as d
        where path = 'insufficient_data'
    ),
    caps as (
        select
            case
                when {{ inspection_parameter("enterprise_visits_per_year") }} > 0
                then {{ inspection_parameter("enterprise_visits_per_year") }}
                else 1000000
            end as city_cap
    ),
    -- What was drawn for an item this year is not drawn again for it. Draws count from the day after, so a
    -- second run of the same day finds the same frame.
    drawn as (
        select
            d.unit_id,
            d.item_code,
            d.uscc,
            min(d.plan_id || '/' || cast(d.round as varchar(10))) as plan_round,
            max(case when d.is_replaced then 0 else 1 end) as counts
        from {{ drawn_enterprises() }} as d
        join frozen_rounds as f on f.plan_id = d.plan_id and f.round = d.round
        left join {{ aborted_rounds() }} as a on a.plan_id = d.plan_id and a.round = d.round
        where
            a.plan_id is null
            and f.frozen_date < {{ as_of() }}
            and coalesce(d.drawn_date, f.frozen_date) < {{ as_of() }}
            and year(f.frozen_date) = year({{ as_of() }})
        group by d.unit_id, d.item_code, d.uscc
    ),
    undrawn_rounds as (
        select plan_id, round from {{ undrawn_rounds() }} as o where year(frozen_date) = year({{ as_of() }})
    ),
    targets as (
        select unit_id, item_code, uscc, min(campaign_id) as campaign_id
        from {{ ref("campaign_targets") }}
        where excluded_reason = ''
        group by unit_id, item_code, uscc
    ),
    year_visits as (select * from {{ ref("inspection_visits") }} where visit_year = year({{ as_of() }})),
    unit_visits as (
        select unit_id, uscc, count(distinct visit_key) as visits from year_visits group by unit_id, uscc
    ),
    city_visits as (select uscc, count(distinct visit_key) as visits from year_visits group by uscc),
    -- Scope, grade and visits of the city per enterprise first: units come after, of which each has two or
    -- three.
    concerned as (
        select
            r.plan_id,
            r.round,
            r.due_date,
            r.initiator,
            i.item_code,
            i.item_kind,
            e.uscc,
            coalesce(g.platform_grade, n.grade) as platform_grade,
            coalesce(e.township, e.region, '') as region,
            e.is_safety_related,
            coalesce(c.visits, 0) as city_visits,
            case
                when not e.is_active
                then 'not_active'
                when not e.is_gradable_kind or g.platform_grade is null
                then 'kind_not_graded'
                else ''
            end as absent_reason
        from live_rounds as r
        cross join neutral as n
        join {{ ref("plan_items") }} as i on i.plan_id = r.plan_id and i.round = r.round
        join {{ ref("enterprises") }} as e on {{ in_scope("r") }} and {{ item_concerns() }}
        left join {{ ref("enterprise_grades") }} as g on g.uscc = e.uscc
        left join city_visits as c on c.uscc = e.uscc
    ),
    objects as (
        select
            o.plan_id,
            o.round,
            o.due_date,
            m.unit_id,
            o.item_code,
            o.item_kind,
            o.uscc,
            o.platform_grade,
            o.region,
            o.is_safety_related,
            s.min_visits,
            s.max_visits,
            coalesce(u.visits, 0) as unit_visits,
            o.city_visits,
            case
                when o.absent_reason <> ''
                then o.absent_reason
                when coalesce(not s.is_open or (s.needs_safety_tag and not o.is_safety_related), true)
                then 'grade_' || lower(o.platform_grade) || '_exempt'
                when d.counts = 1
                then 'drawn:' || d.plan_round
                when d.counts = 0
                then 'replaced:' || d.plan_round
                when t.uscc is not null
                then 'campaign:' || t.campaign_id
                else ''
            end as lawful_reason
        from concerned as o
        join {{ ref("enterprise_units") }} as m on m.uscc = o.uscc and o.initiator in ('*', m.unit_id)
        left join
            {{ ref("inspection_strata") }} as s
            on s.plan_id = o.plan_id
            and s.round = o.round
            and s.unit_id = m.unit_id
            and s.item_code = o.item_code
            and s.platform_grade = o.platform_grade
        left join drawn as d on d.unit_id = m.unit_id and d.item_code = o.item_code and d.uscc = o.uscc
        left join targets as t on t.unit_id = m.unit_id and t.item_code = o.item_code and t.uscc = o.uscc
        left join unit_visits as u on u.unit_id = m.unit_id and u.uscc = o.uscc
    ),
    -- The visits that another open round may still bring; one per round and enterprise for the city.
    open_frozen as (
        select f.plan_id, f.unit_id, f.uscc, max(greatest(coalesce(f.visits_planned, 1), 1)) as visits
        from undrawn_rounds as o
        join {{ frozen_frames() }} as f on f.plan_id = o.plan_id and cast(f.round as integer) = o.round
        where f.excluded_reason = ''
        group by f.plan_id, f.unit_id, f.uscc
    ),
    live_pairs as (
        select a.plan_id as earlier_plan, b.plan_id
        from live_rounds as a
        join
            live_rounds as b on a.due_date < b.due_date or (a.due_date = b.due_date and a.plan_id < b.plan_id)
    ),
    may_come as (
        select l.plan_id, f.plan_id as from_plan, f.unit_id, f.uscc, f.visits
        from live_rounds as l
        cross join open_frozen as f
        union all
        select
            p.plan_id,
            o.plan_id as from_plan,
            o.unit_id,
            o.uscc,
            max(greatest(o.min_visits - o.unit_visits, 1)) as visits
        from live_pairs as p
        join objects as o on o.plan_id = p.earlier_plan
        where o.lawful_reason = ''
        group by p.plan_id, o.plan_id, o.unit_id, o.uscc
    ),
    unit_may_come as (
        select plan_id, unit_id, uscc, sum(visits) as visits from may_come group by plan_id, unit_id, uscc
    ),
    city_may_come as (
        select plan_id, uscc, sum(visits) as visits
        from
            (
                select plan_id, from_plan, uscc, max(visits) as visits
                from may_come
                group by plan_id, from_plan, uscc
            ) as v
        group by plan_id, uscc
    ),
    counted as (
        select
            o.*,
            o.unit_visits + coalesce(u.visits, 0) as unit_count,
            o.city_visits + coalesce(c.visits, 0) as city_count,
            k.city_cap
        from objects as o
        cross join caps as k
        left join unit_may_come as u on u.plan_id = o.plan_id and u.unit_id = o.unit_id and u.uscc = o.uscc
        left join city_may_come as c on c.plan_id = o.plan_id and c.uscc = o.uscc
    ),
    judged as (
        select
            *,
            case
                when lawful_reason <> ''
                then lawful_reason
                when unit_count >= max_visits
                then 'visit_cap_reached'
                when city_count >= city_cap and not (item_kind = 'key' and unit_count < min_visits)
                then 'city_visit_cap_reached'
                else ''
            end as excluded_reason,
            case
                when item_kind = 'key'
                then greatest(min_visits - unit_count, 1)
                else greatest(least(min_visits - unit_count, city_cap - city_count), 1)
            end as visits_if_drawn
        from counted
    ),
    rows_of_round as (
        select *
        from frozen
        union all
        select
            plan_id,
            round,
            unit_id,
            item_code,
            uscc,
            platform_grade,
            region,
            is_safety_related,
            excluded_reason not in ('not_active', 'kind_not_graded') as is_graded,
            excluded_reason,
            cast(case when excluded_reason = '' then visits_if_drawn else 0 end as integer) as visits_planned,
            {{ as_of() }} as frozen_date
        from judged
    )
select
    {{ as_of() }} as as_of_date,
    plan_id,
    round,
    unit_id,
    item_code,
    uscc,
    platform_grade,
    region,
    is_safety_related,
    is_graded,
    excluded_reason,
    cast(visits_planned as integer) as visits_planned,
    frozen_date
from rows_of_round
