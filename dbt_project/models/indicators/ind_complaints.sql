{# Complaints and reports, per enterprise; the rules stand in evidence_complaints. #}
select
    as_of_date,
    uscc,
    {{ total("verified_report_count") }},
    {{ total("failed_dispute_count") }},
    {{ total("complaint_count_12m") }},
    cast(greatest(0, coalesce(sum(complaint_growth), 0)) as bigint) as complaint_growth,
    cast(sum(complaint_rate_bp) as bigint) as complaint_rate_bp,
    {{ total("disputed_amount_fen") }},
    {{ total("negative_count") }},
    {{ total("negative_count_12m") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_complaints") }}
group by as_of_date, uscc
