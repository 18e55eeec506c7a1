{# Changes of the register's entries, per enterprise; the rules stand in evidence_registration_changes. #}
select
    as_of_date,
    uscc,
    {% for name in [
        "change_count",
        "representative_change_count",
        "address_change_count",
        "name_change_count",
        "shareholder_change_count",
        "scope_change_count",
        "capital_decrease_count",
        "evidence_count",
    ] %}
        {{ total(name) }} {% if not loop.last %},{% endif %}
    {% endfor %}
from {{ ref("evidence_registration_changes") }}
group by as_of_date, uscc
