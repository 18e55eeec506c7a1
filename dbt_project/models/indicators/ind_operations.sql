{# Annual reports, per enterprise; the rules stand in evidence_operations. #}
select
    as_of_date,
    uscc,
    {% for name in [
        "debt_ratio_bp",
        "debt_above_norm_bp",
        "debt_below_norm_bp",
        "profit_margin_bp",
        "revenue_change_bp",
        "revenue_drop_bp",
        "revenue_rise_bp",
        "staff_drop_bp",
        "insured_share_bp",
        "tax_to_revenue_bp",
        "tax_arrears_fen",
        "employee_count",
    ] %}
        max({{ name }}) as {{ name }},
    {% endfor %}
    cast(sum(loss_year_count) as bigint) as loss_year_count,
    {{ total("late_report_count") }},
    {{ total("hidden_report_count") }},
    {{ total("has_last_report") }},
    {{ total("has_earlier_report") }},
    {{ total("evidence_count") }}
from {{ ref("evidence_operations") }}
group by as_of_date, uscc
