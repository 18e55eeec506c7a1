{# The register as it was known on each snapshot: one row per day and code, whatever its status. On the as-of day it is the
   directory (enterprises); on a past day the versions known then, with the staff known then, so that whoever entered the
   register later does not count earlier. Withdrawn and absent entries are left out. #}
{{ config(materialized="view") }}
{%- set days = past_days() -%}
select
    {{ as_of() }} as as_of_date,
    uscc,
    status,
    is_gradable,
    established_date,
    term_to,
    ended_date,
    industry_section,
    size_class,
    registered_capital_fen,
    source_file,
    source_sheet,
    source_row,
    ingest_date
from {{ ref("enterprises") }}
where status not in ('withdrawn', 'absent')
{% if days %}
    union all
    select
        r.as_of_date,
        r.uscc,
        r.status,
        r.status = 'active' and e.is_gradable_kind as is_gradable,
        r.established_date,
        r.term_to,
        r.ended_date,
        r.industry_section,
        {{ size_class("r.employee_count", "r.registered_capital_fen", "b") }} as size_class,
        r.registered_capital_fen,
        r.source_file,
        r.source_sheet,
        r.source_row,
        r.ingest_date
    from
        (
            select
                d.as_of_date,
                v.uscc,
                {{ register_status("v", "d.as_of_date") }} as status,
                v.established_date,
                v.term_to,
                case
                    when {{ register_status("v", "d.as_of_date") }} <> 'active'
                    then least(v.cancelled_date, v.revoked_date)
                end as ended_date,
                v.resolved_section as industry_section,
                o.employee_count,
                cast({{ capital_in_fen("v", "c") }} as bigint) as registered_capital_fen,
                v.source_file,
                v.source_sheet,
                v.source_row,
                v.ingest_date
            from {{ ref("stg_registrations") }} as v
            join ({{ day_rows(days) }}) as d on {{ counts_on("v", "d.as_of_date") }}
            left join {{ in_force("currencies") }} as c on c.currency = v.currency
            left join
                (
                    select q.as_of_date, p.uscc, max_by(p.employee_count, p.report_year) as employee_count
                    from {{ ref("stg_operations") }} as p
                    join ({{ day_rows(days) }}) as q on {{ counts_on("p", "q.as_of_date") }}
                    where p.employee_count is not null
                    group by q.as_of_date, p.uscc
                ) as o
                on o.as_of_date = d.as_of_date
                and o.uscc = v.uscc
        ) as r
    join {{ ref("enterprises") }} as e on e.uscc = r.uscc
    cross join ({{ size_bounds() }}) as b
{% endif %}
