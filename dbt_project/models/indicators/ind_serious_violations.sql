{# The list of serious violations, per enterprise; the rules stand in evidence_serious_violations. #}
select
    as_of_date,
    uscc,
    {{ total("serious_listing_weight") }},
    {{ total("current_listing_count") }},
    {{ total("negative_count") }},
    {{ total("negative_count_12m") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_serious_violations") }}
group by as_of_date, uscc
