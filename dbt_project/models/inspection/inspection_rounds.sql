{# The round in force of each plan: the latest that is due by the as-of day, of this year or the last. Rounds divide the
   year evenly from the day on which the first is due; a round that is frozen and not drawn yet stays in force until it is
   drawn or aborted, so that the next one knows whom it drew. rounds_due says how many parts of the year's ratio are due by
   then. The number of an aborted round is not used again: the same part of the year goes on as round
   rounds_due + rounds_per_year, and so forth. #}
with
    years as (
        select year({{ as_of() }}) as plan_year
        union all
        select year({{ as_of() }}) - 1 as plan_year
    ),
    numbers as ({{ whole_numbers(12) }}),
    plans as (
        select
            p.*,
            y.plan_year,
            'P' || cast(y.plan_year as varchar(4)) || upper(p.plan_template) as plan_id,
            n.n as rounds_due,
            {{
                add_months(
                    "make_date(y.plan_year, cast(p.first_due_month as integer), cast(p.first_due_day as integer))",
                    "(n.n - 1) * " ~ int_div("12", "p.rounds_per_year"),
                )
            }}
            as due_date
        from {{ in_force("inspection_plans") }} as p
        cross join years as y
        join numbers as n on n.n <= p.rounds_per_year
    ),
    due as (
        select
            p.*,
            row_number() over (
                partition by p.plan_template
                order by
                    case when o.plan_id is null then 1 else 0 end asc nulls last,
                    p.due_date desc nulls last,
                    p.rounds_due desc nulls last
            ) as recency
        from plans as p
        left join
            {{ undrawn_rounds() }} as o
            on o.plan_id = p.plan_id
            and (o.round - p.rounds_due) % p.rounds_per_year = 0
        where p.due_date <= {{ as_of() }}
    ),
    aborted as (
        select a.plan_id, a.round
        from {{ aborted_rounds() }} as a
        join {{ frozen_rounds() }} as f on f.plan_id = a.plan_id and f.round = a.round
    ),
    attempts as (
        select d.plan_id, count(a.round) as aborted_rounds
        from due as d
        left join aborted as a on a.plan_id = d.plan_id and (a.round - d.rounds_due) % d.rounds_per_year = 0
        where d.recency = 1
        group by d.plan_id
    )
select
    d.plan_id,
    cast(d.rounds_due + d.rounds_per_year * a.aborted_rounds as integer) as round,
    d.plan_template,
    d.title,
    cast(d.plan_year as integer) as plan_year,
    cast(d.rounds_due as integer) as rounds_due,
    cast(d.rounds_per_year as integer) as rounds_per_year,
    d.due_date,
    d.direction,
    d.initiator,
    coalesce(d.cooperating_units, '') as cooperating_units,
    d.item_codes,
    coalesce(d.region_prefix, '') as region_prefix,
    coalesce(d.industry_prefixes, '') as industry_prefixes,
    coalesce(d.safety_tag, '') as safety_tag,
    d.due_date as window_start,
    {{ add_days("d.due_date", "d.window_days - 1") }} as window_end,
    d.parties,
    d.entropy_source,
    coalesce(d.entropy_fallback, '') as entropy_fallback,
    cast(d.entropy_lag_days as integer) as entropy_lag_days,
    coalesce(d.document_no, '') as document_no,
    coalesce(d.approved_by, '') as approved_by
from due as d
join attempts as a on a.plan_id = d.plan_id
where d.recency = 1
