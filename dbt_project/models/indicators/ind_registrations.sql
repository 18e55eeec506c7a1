{# Who is graded on each day, with what the register said by then: the population of all indicator tables. Industry and
   size, which choose the peers, are those known on the day. #}
select
    as_of_date,
    uscc,
    industry_section,
    size_class,
    event_date as established_date,
    operating_months,
    registered_capital_fen,
    term_remaining_months
from {{ ref("evidence_registrations") }}
