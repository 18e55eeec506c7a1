{# Licences, per enterprise; the rules stand in evidence_licences. #}
select
    as_of_date,
    uscc,
    {{ total("valid_licence_count") }},
    {{ total("expired_licence_count") }},
    {{ total("expiring_licence_count") }},
    {{ total("revoked_licence_count") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_licences") }}
group by as_of_date, uscc
