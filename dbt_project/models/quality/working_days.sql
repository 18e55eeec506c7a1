{# Every day with the number of working days up to it, by the State Council's holidays and make-up days (policy table
   holidays: only days that differ from their weekday). Years the table does not cover count weekdays and say so. #}
with
    days as ({{ days_between("'1949-10-01'", add_months(as_of(), 24)) }}),
    covered as (
        select
            extract(year from min(holiday_date)) as first_year,
            extract(year from max(holiday_date)) as last_year
        from {{ ref("holidays") }}
    ),
    kinds as (
        select
            d.day,
            coalesce(h.is_working_day, {{ iso_weekday("d.day") }} < 6) as is_working_day,
            h.label,
            coalesce(extract(year from d.day) between c.first_year and c.last_year, false) as is_covered
        from days as d
        cross join covered as c
        left join {{ ref("holidays") }} as h on h.holiday_date = d.day
    )
select
    day,
    is_working_day,
    label,
    is_covered,
    cast(
        sum(case when is_working_day then 1 else 0 end) over (
            order by day asc nulls first rows between unbounded preceding and current row
        ) as bigint
    ) as working_day_number
from kinds
