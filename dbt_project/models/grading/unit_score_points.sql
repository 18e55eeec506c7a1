{{ config(materialized="view") }}
{# What each indicator of a unit's system adds to the score of an enterprise: the explanation of grading/unit_scores.
   A view: a condition on uscc reaches the tables below. #}
with
    resolved as ({{ unit_system_weights() }}),
    valued as (
        select
            u.as_of_date,
            u.unit_id,
            u.uscc,
            u.system_id,
            u.counted_weight,
            w.indicator,
            w.weight,
            w.full_risk_value,
            i.direction,
            i.must_report,
            y.missing_rule,
            y.must_report_rule,
            case
                w.indicator
                {% for name in indicator_names() %}
                    when '{{ name }}' then cast(v.{{ name }} as bigint)
                {% endfor %}
            end as indicator_value,
            case
                w.indicator
                {% for name in indicator_names() %} when '{{ name }}' then s.{{ name }} {% endfor %}
            end as standardized
        from {{ ref("unit_scores") }} as u
        join {{ ref("standardized_indicators") }} as s on s.as_of_date = u.as_of_date and s.uscc = u.uscc
        join {{ ref("enterprise_indicators") }} as v on v.as_of_date = u.as_of_date and v.uscc = u.uscc
        join {{ in_force("unit_systems") }} as y on y.system_id = u.system_id
        join
            resolved as w
            on w.system_id = u.system_id
            and w.industry_section = coalesce(s.industry_section, '')
        join {{ in_force("indicators") }} as i on i.indicator = w.indicator
    ),
    risks as (
        select
            *,
            {{
                unit_system_risk(
                    "standardized",
                    "indicator_value",
                    "full_risk_value",
                    "direction",
                    "must_report",
                    "missing_rule",
                    "must_report_rule",
                )
            }} as risk_bp
        from valued
    )
select
    as_of_date,
    unit_id,
    uscc,
    system_id,
    indicator,
    weight,
    indicator_value,
    case
        when full_risk_value is null then standardized is null else indicator_value is null
    end as is_missing,
    cast(risk_bp as bigint) as risk_bp,
    cast(
        case
            when risk_bp is null then 0 else {{ int_div("weight * risk_bp", "nullif(counted_weight, 0)") }}
        end as bigint
    ) as points_bp
from risks
