{# How many of each stratum (unit x item x grade) the rounds in force draw, in whole numbers, with the arithmetic written
   out. All five grades stand for every unit and item of the plan, also with 0. Frozen with the round's frame.

   The ratio is the year's and is met cumulatively: of n rounds the k-th brings what was drawn this year (drawn_before,
   counted in the frame by today's grade) up to round((stratum_size + drawn_before) x ratio x k / n). register_objects
   and out_of_scope are the unit's objects in the register on the day of the freeze, and those outside the scope of plan
   or item: with the frame they add up (frame_reconciliation). #}
with
    rounds as (select * from {{ ref("inspection_rounds") }}),
    frozen as (
        select
            r.plan_id,
            r.round,
            f.unit_id,
            f.item_code,
            f.platform_grade,
            f.stratum_size,
            f.drawn_before,
            f.ratio_bp,
            f.rounds_due,
            f.rounds_per_year,
            f.rounding,
            f.target,
            f.quota,
            f.min_visits,
            f.max_visits,
            f.basis,
            coalesce(f.exception_id, '') as exception_id,
            f.register_objects,
            f.out_of_scope,
            f.frozen_date
        from rounds as r
        join
            {{ frozen_quotas() }} as f
            on f.plan_id = r.plan_id
            and cast(f.round as integer) = r.round
            and f.frozen_date <= {{ as_of() }}
    ),
    live_rounds as (
        select r.*
        from rounds as r
        left join {{ frozen_rounds() }} as f on f.plan_id = r.plan_id and f.round = r.round
        where f.plan_id is null
    ),
    strata as (
        select
            plan_id,
            round,
            unit_id,
            item_code,
            platform_grade,
            sum(case when excluded_reason = '' then 1 else 0 end) as stratum_size,
            sum(case when {{ starts_with("excluded_reason", "'drawn:'") }} then 1 else 0 end) as drawn_before
        from {{ ref("inspection_frame") }}
        group by plan_id, round, unit_id, item_code, platform_grade
    ),
    concerned as (
        select
            r.plan_id,
            r.initiator,
            i.item_code,
            e.uscc,
            case when {{ in_scope("r") }} and {{ item_concerns() }} then 0 else 1 end as is_outside
        from live_rounds as r
        join {{ ref("plan_items") }} as i on i.plan_id = r.plan_id and i.round = r.round
        cross join {{ ref("enterprises") }} as e
    ),
    register as (
        select
            c.plan_id, m.unit_id, c.item_code, count(*) as register_objects, sum(c.is_outside) as out_of_scope
        from concerned as c
        join {{ ref("enterprise_units") }} as m on m.uscc = c.uscc and c.initiator in ('*', m.unit_id)
        group by c.plan_id, m.unit_id, c.item_code
    ),
    cells as (
        select
            r.plan_id,
            r.round,
            q.unit_id,
            q.item_code,
            q.platform_grade,
            coalesce(s.stratum_size, 0) as stratum_size,
            coalesce(s.drawn_before, 0) as drawn_before,
            q.ratio_bp,
            r.rounds_due,
            r.rounds_per_year,
            q.rounding,
            q.min_visits,
            q.max_visits,
            q.basis,
            q.exception_id,
            coalesce(g.register_objects, 0) as register_objects,
            coalesce(g.out_of_scope, 0) as out_of_scope
        from live_rounds as r
        join {{ ref("inspection_strata") }} as q on q.plan_id = r.plan_id and q.round = r.round
        left join
            strata as s
            on s.plan_id = q.plan_id
            and s.round = q.round
            and s.unit_id = q.unit_id
            and s.item_code = q.item_code
            and s.platform_grade = q.platform_grade
        left join
            register as g on g.plan_id = q.plan_id and g.unit_id = q.unit_id and g.item_code = q.item_code
    ),
    products as (
        select
            *,
            cast((stratum_size + drawn_before) * ratio_bp * rounds_due as bigint) as product,
            cast(10000 * rounds_per_year as bigint) as divisor
        from cells
    ),
    targets as (select *, {{ rounded_quotient("product", "divisor") }} as target from products),
    live as (
        select
            plan_id,
            round,
            unit_id,
            item_code,
            platform_grade,
            stratum_size,
            drawn_before,
            ratio_bp,
            rounds_due,
            rounds_per_year,
            rounding,
            target,
            least(greatest(target - drawn_before, 0), stratum_size) as quota,
            min_visits,
            max_visits,
            basis,
            exception_id,
            register_objects,
            out_of_scope,
            {{ as_of() }} as frozen_date
        from targets
    ),
    rows_of_round as (
        select *
        from frozen
        union all
        select *
        from live
    )
select
    {{ as_of() }} as as_of_date,
    plan_id,
    cast(round as integer) as round,
    unit_id,
    item_code,
    platform_grade,
    cast(stratum_size as bigint) as stratum_size,
    cast(drawn_before as bigint) as drawn_before,
    cast(ratio_bp as integer) as ratio_bp,
    cast(rounds_due as integer) as rounds_due,
    cast(rounds_per_year as integer) as rounds_per_year,
    rounding,
    cast(target as bigint) as target,
    cast(quota as bigint) as quota,
    cast(min_visits as integer) as min_visits,
    cast(max_visits as integer) as max_visits,
    basis,
    exception_id,
    rounding
    || '(('
    || cast(stratum_size as varchar(20))
    || ' + '
    || cast(drawn_before as varchar(20))
    || ') × '
    || cast(ratio_bp as varchar(20))
    || ' × '
    || cast(rounds_due as varchar(20))
    || ' / (10000 × '
    || cast(rounds_per_year as varchar(20))
    || ')) - '
    || cast(drawn_before as varchar(20))
    || ' = '
    || cast(target as varchar(20))
    || ' - '
    || cast(drawn_before as varchar(20))
    || ', 0..'
    || cast(stratum_size as varchar(20))
    || ': '
    || cast(quota as varchar(20)) as arithmetic,
    cast(register_objects as bigint) as register_objects,
    cast(out_of_scope as bigint) as out_of_scope,
    frozen_date
from rows_of_round
