{# The score that a unit's own indicator system gives an enterprise of the unit: 0 (no risk) to 10000.

   The system of the unit itself comes before that of its line, then priority decides; a system reaches only the
   industries and the safety tag it names. Each indicator of the system is a risk in basis points, times its weight in
   the enterprise's section, over the weights of the indicators that count (a missing one counts as missing_rule and
   must_report_rule say). Every contribution is rounded down, so the score is exactly their sum
   (grading/unit_score_points shows them). #}
{%- set names = indicator_names() -%}
with
    candidates as ({{ unit_system_candidates() }}),
    choices as (
        select
            m.unit_id,
            m.uscc,
            c.system_id,
            row_number() over (
                partition by m.unit_id, m.uscc
                order by c.specificity asc nulls last, c.priority asc nulls last, c.system_id asc nulls last
            ) as place
        from {{ ref("enterprise_units") }} as m
        join candidates as c on c.unit_id = m.unit_id
        join {{ ref("enterprises") }} as e on e.uscc = m.uscc
        where
            e.is_gradable
            and (c.sections = '||' or position('|' || e.industry_section || '|' in c.sections) > 0)
            and (
                c.safety_tag = '||' or position(c.safety_tag in '|' || coalesce(e.safety_tags, '') || '|') > 0
            )
    ),
    chosen as (select unit_id, uscc, system_id from choices where place = 1),
    -- A system scores an enterprise once, however many units of the line share it.
    members as (select distinct system_id, uscc from chosen),
    resolved as ({{ unit_system_weights() }}),
    weights as (
        select
            system_id,
            industry_section
            {% for name in names %}
                ,
                max(case when indicator = '{{ name }}' then weight end) as w_{{ name }},
                max(case when indicator = '{{ name }}' then full_risk_value end) as f_{{ name }}
            {% endfor %}
        from resolved
        group by system_id, industry_section
    ),
    catalogue as (
        select
            {% for name in names %}
                max(case when indicator = '{{ name }}' then direction end) as d_{{ name }},
                coalesce(
                    max(case when indicator = '{{ name }}' and must_report then 1 end), 0
                ) as m_{{ name }}
                {% if not loop.last %},{% endif %}
            {% endfor %}
        from {{ in_force("indicators") }} as i
    ),
    risks as (
        select
            m.system_id,
            m.uscc
            {% for name in names %}
                ,
                w.w_{{ name }},
                case
                    when w.w_{{ name }} is not null
                    then
                        {{
                            unit_system_risk(
                                "s." ~ name,
                                "v." ~ name,
                                "w.f_" ~ name,
                                "c.d_" ~ name,
                                "c.m_" ~ name ~ " = 1",
                                "y.missing_rule",
                                "y.must_report_rule",
                            )
                        }}
                end as r_{{ name }},
                case
                    when
                        w.w_{{ name }} is not null
                        and case
                            when w.f_{{ name }} is null then s.{{ name }} is null else v.{{ name }} is null
                        end
                    then 1
                    else 0
                end as n_{{ name }}
            {% endfor %}
        from members as m
        join {{ ref("standardized_indicators") }} as s on s.as_of_date = {{ as_of() }} and s.uscc = m.uscc
        join {{ ref("enterprise_indicators") }} as v on v.as_of_date = {{ as_of() }} and v.uscc = m.uscc
        join {{ in_force("unit_systems") }} as y on y.system_id = m.system_id
        join
            weights as w
            on w.system_id = m.system_id
            and w.industry_section = coalesce(s.industry_section, '')
        cross join catalogue as c
    ),
    counted as (
        select
            *,
            0
            {%- for name in names %}
                + case when r_{{ name }} is null then 0 else w_{{ name }} end
            {%- endfor %} as counted_weight,
            0
            {%- for name in names %}
                + case when w_{{ name }} is null then 0 else 1 end
            {%- endfor %} as indicator_count,
            0
            {%- for name in names %} + n_{{ name }} {%- endfor %} as missing_count
        from risks
    ),
    scored as (
        select
            system_id,
            uscc,
            indicator_count,
            missing_count,
            counted_weight,
            case
                when counted_weight > 0
                then
                    0
                    {%- for name in names %}
                        + coalesce(
                            {{ int_div("w_" ~ name ~ " * r_" ~ name, "nullif(counted_weight, 0)") }}, 0
                        )
                    {%- endfor %}
            end as score_bp
        from counted
    )
select
    {{ as_of() }} as as_of_date,
    c.unit_id,
    c.uscc,
    c.system_id,
    cast(s.score_bp as bigint) as score_bp,
    cast(s.counted_weight as bigint) as counted_weight,
    cast(s.indicator_count as bigint) as indicator_count,
    cast(s.missing_count as bigint) as missing_count
from chosen as c
join scored as s on s.system_id = c.system_id and s.uscc = c.uscc
