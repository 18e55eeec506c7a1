{# What units owe after the draws: every visit of every enterprise drawn this year (or in a round of last year whose window
   is still open), numbered from 1 to what was planned at the freeze: at least 1, more where the grade's minimum asks for
   more. All items drawn for an enterprise by a unit in a round are one visit. Draws count from the day after.

   A result belongs to the drawn visit of its unit and enterprise that its plan number names, else to the latest frozen
   before; results of one round are numbered by their day. Of several visits in a window each has an equal part of it.
   Replaced enterprises stay with is_replaced: they were drawn, and the one that took the place has rows of its own. #}
with
    rounds as (
        select
            f.plan_id,
            f.round,
            f.frozen_date,
            coalesce(r.due_date, f.frozen_date) as window_start,
            coalesce(
                r.window_end,
                {{ add_days("f.frozen_date", "p.window_days - 1") }},
                make_date(year(f.frozen_date), 12, 31)
            ) as window_end,
            coalesce(p.cooperating_units, '') as cooperating_units
        from {{ frozen_rounds() }} as f
        left join {{ ref("inspection_rounds") }} as r on r.plan_id = f.plan_id and r.round = f.round
        left join {{ in_force("inspection_plans") }} as p on upper(p.plan_template) = substr(f.plan_id, 6)
        left join {{ aborted_rounds() }} as a on a.plan_id = f.plan_id and a.round = f.round
        where
            a.plan_id is null
            and f.frozen_date < {{ as_of() }}
            and (year(f.frozen_date) = year({{ as_of() }}) or r.window_end >= {{ as_of() }})
    ),
    drawn as (
        select
            r.plan_id,
            r.round,
            r.frozen_date,
            r.window_start,
            r.window_end,
            r.cooperating_units,
            d.unit_id,
            d.uscc,
            {{ sorted_list("d.item_code") }} as item_codes,
            max(case when d.is_replaced then 1 else 0 end) = 1 as is_replaced
        from {{ drawn_enterprises() }} as d
        join rounds as r on r.plan_id = d.plan_id and r.round = d.round
        where coalesce(d.drawn_date, r.frozen_date) < {{ as_of() }}
        group by
            r.plan_id,
            r.round,
            r.frozen_date,
            r.window_start,
            r.window_end,
            r.cooperating_units,
            d.unit_id,
            d.uscc
    ),
    owed as (
        select
            d.plan_id,
            d.round,
            d.frozen_date,
            d.window_start,
            d.window_end,
            d.cooperating_units,
            d.unit_id,
            d.uscc,
            d.item_codes,
            d.is_replaced,
            cast(greatest(coalesce(max(f.visits_planned), 1), 1) as integer) as visits_planned
        from drawn as d
        left join
            {{ frozen_frames() }} as f
            on f.plan_id = d.plan_id
            and cast(f.round as integer) = d.round
            and f.unit_id = d.unit_id
            and f.uscc = d.uscc
            and f.excluded_reason = ''
        group by
            d.plan_id,
            d.round,
            d.frozen_date,
            d.window_start,
            d.window_end,
            d.cooperating_units,
            d.unit_id,
            d.uscc,
            d.item_codes,
            d.is_replaced
    ),
    matched as (
        select
            o.plan_id,
            o.round,
            o.unit_id,
            o.uscc,
            i.check_date,
            row_number() over (
                partition by i.unit_id, i.uscc, i.check_date
                order by
                    case when i.plan_no = o.plan_id then 0 else 1 end asc nulls last,
                    o.frozen_date desc nulls last,
                    o.plan_id desc nulls last,
                    o.round desc nulls last
            ) as place
        from owed as o
        join
            (
                select unit_id, uscc, check_date, max(plan_no) as plan_no
                from {{ ref("stg_inspection_results") }} as r
                where
                    {{ counts_on("r", as_of()) }}
                    and coalesce(r.origin, 'random') = 'random'
                    and r.check_date <= {{ as_of() }}
                group by unit_id, uscc, check_date
            ) as i
            on i.uscc = o.uscc
            and (i.unit_id = o.unit_id or {{ list_has("o.cooperating_units", "i.unit_id") }})
            and i.check_date >= o.frozen_date
    ),
    done as (
        select
            plan_id,
            round,
            unit_id,
            uscc,
            check_date,
            row_number() over (
                partition by plan_id, round, unit_id, uscc order by check_date asc nulls last
            ) as visit_no
        from (select distinct plan_id, round, unit_id, uscc, check_date from matched where place = 1) as m
    ),
    numbers as ({{ whole_numbers(52) }})
select
    {{ as_of() }} as as_of_date,
    o.plan_id,
    o.round,
    o.unit_id,
    o.uscc,
    cast(n.n as integer) as visit_no,
    o.visits_planned,
    o.item_codes,
    o.is_replaced,
    o.cooperating_units,
    o.frozen_date,
    {{
        add_days(
            "o.window_start",
            int_div(
                "(" ~ day_diff("o.window_start", "o.window_end") ~ " + 1) * (n.n - 1)", "o.visits_planned"
            ),
        )
    }} as window_start,
    {{
        add_days(
            "o.window_start",
            int_div("(" ~ day_diff("o.window_start", "o.window_end") ~ " + 1) * n.n", "o.visits_planned")
            ~ " - 1",
        )
    }} as window_end,
    d.check_date as done_date
from owed as o
join numbers as n on n.n <= o.visits_planned
left join
    done as d
    on d.plan_id = o.plan_id
    and d.round = o.round
    and d.unit_id = o.unit_id
    and d.uscc = o.uscc
    and d.visit_no = n.n
