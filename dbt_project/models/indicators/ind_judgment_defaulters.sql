{# Judgments not performed, per enterprise; the rules stand in evidence_judgment_defaulters. #}
select
    as_of_date,
    uscc,
    {{ total("judgment_default_weight") }},
    {{ total("negative_count") }},
    {{ total("negative_count_12m") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_judgment_defaulters") }}
group by as_of_date, uscc
