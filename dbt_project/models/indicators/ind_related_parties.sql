{# Related parties, per enterprise; the rules stand in related_enterprises, related_clusters and related_contributions. #}
select
    as_of_date,
    uscc,
    {% for name in feed_indicators()["related_parties"] if name.endswith("_bp") %}
        {{ share(name) }},
    {% endfor %}
    {{ total("corporate_shareholder_count") }},
    {{ total("invested_enterprise_count") }},
    {{ total("branch_count") }},
    coalesce(max(same_address_count), 0) as same_address_count,
    coalesce(max(representative_enterprise_count), 0) as representative_enterprise_count,
    {{ total("evidence_count") }}
from ({{ related_contributions() }}) as c
group by as_of_date, uscc
