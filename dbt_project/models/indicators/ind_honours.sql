{# Honours in force, per enterprise; the rules stand in evidence_honours. #}
select
    as_of_date,
    uscc,
    {{ total("honour_points") }},
    {{ total("high_honour_count") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_honours") }}
group by as_of_date, uscc
