{# The list of abnormal operation, per enterprise; the rules stand in evidence_abnormal_listings. #}
select
    as_of_date,
    uscc,
    {{ total("abnormal_listing_weight") }},
    coalesce(max(abnormal_listed_months), 0) as abnormal_listed_months,
    {{ total("abnormal_listing_count_36m") }},
    {{ total("contact_listing_count") }},
    {{ total("falsehood_listing_count") }},
    {{ total("current_listing_count") }},
    {{ total("negative_count") }},
    {{ total("negative_count_12m") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_abnormal_listings") }}
group by as_of_date, uscc
