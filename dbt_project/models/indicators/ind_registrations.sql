{# Who is graded on each day, with what the register says: the population of all indicator tables. On a past day: those
   established by then and not yet ended; on the as-of day: those the register holds as active. Industry and size, which
   choose the peers, are those of the as-of day. #}
with snapshots as ({{ snapshots() }})
select
    s.as_of_date,
    e.uscc,
    e.industry_section,
    e.size_class,
    e.established_date,
    cast(
        {{ int_div("greatest(0, " ~ day_diff("e.established_date", "s.as_of_date") ~ ")", "30") }} as bigint
    ) as operating_months,
    e.registered_capital_fen
from {{ ref("enterprises") }} as e
join
    snapshots as s
    on (s.as_of_date = {{ as_of() }} and e.is_active)
    or (
        s.as_of_date < {{ as_of() }}
        and e.established_date <= s.as_of_date
        and (e.is_active or e.ended_date > s.as_of_date)
    )
where e.is_gradable_kind
