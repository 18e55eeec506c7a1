{# Penalties in effect, per enterprise; the rules stand in evidence_penalties. #}
select
    as_of_date,
    uscc,
    {% for name in [
        "penalty_weight",
        "penalty_fine_fen",
        "penalty_count_12m",
        "penalty_count_36m",
        "serious_penalty_count",
        "repeated_violation_count",
        "penalizing_authority_count",
        "safety_penalty_count",
        "negative_count",
        "negative_count_12m",
        "evidence_count",
    ] %}
        {{ total(name) }},
    {% endfor %}
    min(months_since_penalty) as months_since_penalty
from {{ ref("evidence_penalties") }}
group by as_of_date, uscc
