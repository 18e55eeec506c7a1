{# What the register says of each enterprise that is graded on a day: one row per enterprise. #}
{{ config(materialized="view") }}
select
    r.as_of_date,
    r.uscc,
    r.uscc as record_no,
    r.established_date as event_date,
    r.source_file,
    r.source_sheet,
    r.source_row,
    r.ingest_date,
    r.industry_section,
    r.size_class,
    {{ months_between_days("r.established_date", "r.as_of_date") }} as operating_months,
    r.registered_capital_fen,
    case
        when r.term_to is not null then {{ months_between_days("r.as_of_date", "r.term_to") }}
    end as term_remaining_months
from {{ ref("register_snapshots") }} as r
where r.is_gradable
