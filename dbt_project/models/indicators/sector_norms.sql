{# The middle debt ratio of each industry section on each day, from the reports of the last due year known by then; of all
   sections together where a section has too few (peer_minimum), and as section '*'. #}
with
    snapshots as ({{ snapshots() }}),
    reports as (
        select
            s.as_of_date,
            e.industry_section,
            {{ ratio_bp("o.total_liabilities_fen", "o.total_assets_fen", 0, 50000) }} as debt_ratio_bp
        from {{ ref("stg_operations") }} as o
        join
            snapshots as s
            on {{ counts_on("o", "s.as_of_date") }}
            and o.report_date <= s.as_of_date
            and o.report_year = {{ last_due_year("s.as_of_date") }}
        join {{ ref("ind_registrations") }} as e on e.as_of_date = s.as_of_date and e.uscc = o.uscc
    ),
    middles as (
        select
            as_of_date,
            case when grouping(industry_section) = 0 then industry_section else '*' end as industry_section,
            count(debt_ratio_bp) as report_count,
            cast(percentile_disc(0.5) within group (order by debt_ratio_bp) as bigint) as debt_ratio_bp
        from reports
        group by grouping sets ((as_of_date, industry_section), (as_of_date))
    )
select
    m.as_of_date,
    m.industry_section,
    m.report_count,
    case
        when m.report_count >= {{ parameter("peer_minimum") }} then m.debt_ratio_bp else a.debt_ratio_bp
    end as debt_ratio_bp
from middles as m
join middles as a on a.as_of_date = m.as_of_date and a.industry_section = '*'
