{# The units' own indicator systems (seeds/policy/unit_system*.csv), written once for the scores and their explanation.
   Whole numbers throughout: a standardized value becomes basis points of risk first. #}
{# Which system a unit may use: its own, or that of its line. Columns unit_id, system_id, specificity, priority and what
   bounds the system. Templates have neither line nor unit and reach nobody. #}
{% macro unit_system_candidates() -%}
    select
        u.unit_id,
        s.system_id,
        case when s.unit_id = u.unit_id then 0 else 1 end as specificity,
        s.priority,
        '|' || coalesce(s.applies_to_sections, '') || '|' as sections,
        '|' || coalesce(s.safety_tag, '') || '|' as safety_tag
    from {{ in_force("units") }} as u
    join
        {{ in_force("unit_systems") }} as s
        on s.unit_id = u.unit_id
        or (coalesce(s.unit_id, '') = '' and s.line = u.line)
{%- endmacro %}

{# The weights of each system in each industry section: the row of the section wins over the row for all. '' stands for
   enterprises without a section. Columns system_id, industry_section, indicator, weight, full_risk_value. #}
{% macro unit_system_weights() -%}
    select system_id, industry_section, indicator, weight, full_risk_value
    from
        (
            select
                i.system_id,
                x.section as industry_section,
                i.indicator,
                i.weight,
                i.full_risk_value,
                row_number() over (
                    partition by i.system_id, x.section, i.indicator
                    order by
                        case when coalesce(i.industry_section, '') = '' then 1 else 0 end asc,
                        i.effective_from desc nulls last
                ) as place
            from {{ in_force("unit_system_indicators") }} as i
            join
                (
                    select distinct section
                    from {{ in_force("industry_divisions") }} as d
                    union all
                    select '' as section
                ) as x
                on coalesce(i.industry_section, '') in ('', x.section)
        ) as ranked
    where place = 1
{%- endmacro %}

{# Risk of one value in basis points, 0 to 10000; null when the indicator does not count.
   standardized: 0 to 1, more of the same thing; value: the raw whole number, compared with full_risk_value where the
   system has a threshold of its own (for direction -1: the value from which no risk is left). #}
{% macro unit_system_risk(
    standardized, value, full_risk_value, direction, must_report, missing_rule, must_report_rule
) -%}
    case
        when {{ full_risk_value }} is not null and {{ value }} is not null
        then
            case
                when {{ direction }} > 0
                then
                    {{
                        int_div(
                            "least(greatest(" ~ value ~ ", 0), " ~ full_risk_value ~ ") * 10000",
                            full_risk_value,
                        )
                    }}
                else
                    10000
                    - {{
                        int_div(
                            "least(greatest(" ~ value ~ ", 0), " ~ full_risk_value ~ ") * 10000",
                            full_risk_value,
                        )
                    }}
            end
        when {{ full_risk_value }} is null and {{ standardized }} is not null
        then
            case
                when {{ direction }} > 0
                then cast(floor({{ standardized }} * 1e4 + 5e-1) as bigint)
                else 10000 - cast(floor({{ standardized }} * 1e4 + 5e-1) as bigint)
            end
        when {{ must_report }} and {{ must_report_rule }} = 'worst'
        then 10000
        when {{ missing_rule }} = 'neutral'
        then 5000
    end
{%- endmacro %}
