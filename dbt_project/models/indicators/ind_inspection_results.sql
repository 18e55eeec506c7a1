{# Results of inspections, per enterprise; the rules stand in evidence_inspection_results. #}
select
    as_of_date,
    uscc,
    cast(sum(inspection_problem_weight) as bigint) as inspection_problem_weight,
    {{ share("inspection_problem_bp") }},
    {% for name in [
        "inspection_clean_count",
        "inspection_count",
        "overdue_rectification_count",
        "not_cooperating_count",
        "unreachable_count",
        "unpublished_count",
        "safety_problem_count",
        "negative_count",
        "negative_count_12m",
        "evidence_count",
    ] %}
        {{ total(name) }} {% if not loop.last %},{% endif %}
    {% endfor %}
from {{ ref("evidence_inspection_results") }}
group by as_of_date, uscc
