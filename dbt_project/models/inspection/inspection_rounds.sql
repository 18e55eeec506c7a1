{# The round in force of each yearly inspection plan: the latest that is due by the as-of day, of this year or the last. Rounds divide the year evenly from the day on
   which the first is due. #}
with
    years as (
        select year({{ as_of() }}) as plan_year
        union all
        select year({{ as_of() }}) - 1 as plan_year
    ),
    numbers as (
        {% for number in range(1, 13) %}
            select {{ number }} as round
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    plans as (
        select
            p.plan_template,
            p.title,
            p.rounds_per_year,
            y.plan_year,
            n.round,
            {{
                add_months(
                    "make_date(y.plan_year, cast(p.first_due_month as integer), cast(p.first_due_day as integer))",
                    "(n.round - 1) * " ~ int_div("12", "p.rounds_per_year"),
                )
            }}
            as due_date
        from {{ in_force("inspection_plans") }} as p
        cross join years as y
        join numbers as n on n.round <= p.rounds_per_year
    ),
    due as (
        select
            *,
            row_number() over (
                partition by plan_template order by due_date desc nulls last, round desc nulls last
            ) as recency
        from plans
        where due_date <= {{ as_of() }}
    )
select
    'P' || cast(plan_year as varchar(4)) || upper(plan_template) as plan_id,
    cast(round as integer) as round,
    plan_template,
    title,
    cast(plan_year as integer) as plan_year,
    cast(rounds_per_year as integer) as rounds_per_year,
    due_date
from due
where recency = 1
