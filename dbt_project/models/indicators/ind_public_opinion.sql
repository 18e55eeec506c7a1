{# Public opinion, per enterprise; the rules stand in evidence_public_opinion. #}
select
    as_of_date,
    uscc,
    {{ total("negative_opinion_bp") }},
    {{ total("negative_opinion_count") }},
    {{ share("negative_opinion_share_bp") }},
    {{ total("verified_opinion_count") }},
    {{ total("negative_count") }},
    {{ total("negative_count_12m") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_public_opinion") }}
group by as_of_date, uscc
