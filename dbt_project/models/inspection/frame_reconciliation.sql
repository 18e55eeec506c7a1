{# Whether the frame of each round, unit and item adds up: register_objects = out_of_scope + every reason + eligible,
   unaccounted is what is left over (0). And what changed since the frozen frame of the same plan template, unit and item
   before: previous_objects + new_objects - moved_objects - lost_objects = objects. moved: still in the register, no longer
   an object of this unit and item; lost: gone from the register, which never forgets anybody. #}
with
    objects as (
        select
            plan_id,
            round,
            unit_id,
            item_code,
            count(*) as objects,
            sum(case when excluded_reason = 'not_active' then 1 else 0 end) as not_active,
            sum(case when excluded_reason = 'kind_not_graded' then 1 else 0 end) as kind_not_graded,
            sum(case when excluded_reason like 'grade%exempt' then 1 else 0 end) as exempt,
            sum(case when excluded_reason like 'drawn:%' then 1 else 0 end) as drawn_before,
            sum(case when excluded_reason like 'replaced:%' then 1 else 0 end) as replaced_before,
            sum(case when excluded_reason like 'campaign:%' then 1 else 0 end) as in_campaign,
            sum(case when excluded_reason = 'visit_cap_reached' then 1 else 0 end) as visit_cap_reached,
            sum(
                case when excluded_reason = 'city_visit_cap_reached' then 1 else 0 end
            ) as city_visit_cap_reached,
            sum(case when excluded_reason = '' then 1 else 0 end) as eligible
        from {{ ref("inspection_frame") }}
        group by plan_id, round, unit_id, item_code
    ),
    cells as (
        select
            plan_id,
            round,
            unit_id,
            item_code,
            max(register_objects) as register_objects,
            max(out_of_scope) as out_of_scope,
            max(frozen_date) as frozen_date
        from {{ ref("inspection_quotas") }}
        group by plan_id, round, unit_id, item_code
    ),
    past as (
        select distinct plan_id, cast(round as integer) as round, unit_id, item_code, frozen_date
        from {{ frozen_quotas() }} as q
        where frozen_date <= {{ as_of() }}
    ),
    befores as (
        select
            c.plan_id,
            c.round,
            c.unit_id,
            c.item_code,
            p.plan_id as previous_plan_id,
            p.round as previous_round,
            row_number() over (
                partition by c.plan_id, c.round, c.unit_id, c.item_code
                order by p.frozen_date desc nulls last, p.plan_id desc nulls last, p.round desc nulls last
            ) as recency
        from cells as c
        join
            past as p
            on p.unit_id = c.unit_id
            and p.item_code = c.item_code
            and substr(p.plan_id, 6) = substr(c.plan_id, 6)
            and (
                p.frozen_date < c.frozen_date
                or (
                    p.frozen_date = c.frozen_date
                    and (p.plan_id < c.plan_id or (p.plan_id = c.plan_id and p.round < c.round))
                )
            )
    ),
    previous as (select * from befores where recency = 1),
    present_rows as (
        select
            f.plan_id,
            f.round,
            f.unit_id,
            f.item_code,
            f.uscc,
            f.platform_grade,
            f.is_graded,
            f.excluded_reason
        from {{ ref("inspection_frame") }} as f
        join
            previous as p
            on p.plan_id = f.plan_id
            and p.round = f.round
            and p.unit_id = f.unit_id
            and p.item_code = f.item_code
    ),
    previous_rows as (
        select p.plan_id, p.round, p.unit_id, p.item_code, f.uscc, f.platform_grade, f.excluded_reason
        from previous as p
        join
            {{ frozen_frames() }} as f
            on f.plan_id = p.previous_plan_id
            and cast(f.round as integer) = p.previous_round
            and f.unit_id = p.unit_id
            and f.item_code = p.item_code
    ),
    compared as (
        select
            coalesce(a.plan_id, b.plan_id) as plan_id,
            coalesce(a.round, b.round) as round,
            coalesce(a.unit_id, b.unit_id) as unit_id,
            coalesce(a.item_code, b.item_code) as item_code,
            b.uscc is not null as was,
            a.uscc is not null as stands,
            e.uscc is not null as in_register,
            a.excluded_reason = 'not_active' and b.excluded_reason <> 'not_active' as closed,
            a.is_graded
            and b.excluded_reason not in ('not_active', 'kind_not_graded')
            and a.platform_grade <> b.platform_grade as regraded
        from present_rows as a
        full outer join
            previous_rows as b
            on b.plan_id = a.plan_id
            and b.round = a.round
            and b.unit_id = a.unit_id
            and b.item_code = a.item_code
            and b.uscc = a.uscc
        left join {{ ref("enterprises") }} as e on e.uscc = b.uscc and a.uscc is null
    ),
    changes as (
        select
            plan_id,
            round,
            unit_id,
            item_code,
            sum(case when was then 1 else 0 end) as previous_objects,
            sum(case when stands and not was then 1 else 0 end) as new_objects,
            sum(case when was and not stands and in_register then 1 else 0 end) as moved_objects,
            sum(case when was and not stands and not in_register then 1 else 0 end) as lost_objects,
            sum(case when closed then 1 else 0 end) as closed_objects,
            sum(case when regraded then 1 else 0 end) as regraded_objects
        from compared
        group by plan_id, round, unit_id, item_code
    )
select
    {{ as_of() }} as as_of_date,
    c.plan_id,
    c.round,
    c.unit_id,
    c.item_code,
    c.frozen_date,
    cast(coalesce(c.register_objects, o.objects, 0) as bigint) as register_objects,
    cast(coalesce(c.out_of_scope, 0) as bigint) as out_of_scope,
    cast(coalesce(o.objects, 0) as bigint) as objects,
    {% for reason in [
        "not_active",
        "kind_not_graded",
        "exempt",
        "drawn_before",
        "replaced_before",
        "in_campaign",
        "visit_cap_reached",
        "city_visit_cap_reached",
        "eligible",
    ] %}
        cast(coalesce(o.{{ reason }}, 0) as bigint) as {{ reason }},
    {% endfor %}
    cast(
        coalesce(c.register_objects, o.objects, 0)
        - coalesce(c.out_of_scope, 0)
        - coalesce(
            o.not_active
            + o.kind_not_graded
            + o.exempt
            + o.drawn_before
            + o.replaced_before
            + o.in_campaign
            + o.visit_cap_reached
            + o.city_visit_cap_reached
            + o.eligible,
            0
        ) as bigint
    ) as unaccounted,
    p.previous_plan_id,
    p.previous_round,
    {% for change in [
        "previous_objects",
        "new_objects",
        "moved_objects",
        "lost_objects",
        "closed_objects",
        "regraded_objects",
    ] %}
        cast(d.{{ change }} as bigint) as {{ change }}{% if not loop.last %}, {% endif %}
    {% endfor %}
from cells as c
left join
    objects as o
    on o.plan_id = c.plan_id
    and o.round = c.round
    and o.unit_id = c.unit_id
    and o.item_code = c.item_code
left join
    previous as p
    on p.plan_id = c.plan_id
    and p.round = c.round
    and p.unit_id = c.unit_id
    and p.item_code = c.item_code
left join
    changes as d
    on d.plan_id = c.plan_id
    and d.round = c.round
    and d.unit_id = c.unit_id
    and d.item_code = c.item_code
