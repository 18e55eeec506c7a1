{# Before it is frozen, the frame holds every pair of unit and enterprise of the register exactly once: nobody vanishes. #}
with
    frozen as (
        select distinct plan_id, cast(round as integer) as round
        from {{ frozen_frames() }}
        where frozen_date <= {{ as_of() }}
    ),
    live as (
        select r.plan_id, r.round
        from {{ ref("inspection_rounds") }} as r
        left join frozen as f on f.plan_id = r.plan_id and f.round = r.round
        where f.plan_id is null
    ),
    wanted as (
        select l.plan_id, l.round, u.unit_id, u.uscc
        from live as l
        cross join {{ ref("enterprise_units") }} as u
    ),
    given as (
        select f.plan_id, f.round, f.unit_id, f.uscc, count(*) as row_count
        from {{ ref("inspection_frame") }} as f
        join live as l on l.plan_id = f.plan_id and l.round = f.round
        group by f.plan_id, f.round, f.unit_id, f.uscc
    )
select coalesce(w.unit_id, g.unit_id) as unit_id, coalesce(w.uscc, g.uscc) as uscc
from wanted as w
full outer join
    given as g on g.plan_id = w.plan_id and g.round = w.round and g.unit_id = w.unit_id and g.uscc = w.uscc
where w.uscc is null or g.uscc is null or g.row_count <> 1
