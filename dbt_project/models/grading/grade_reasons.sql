{# Why an enterprise scores above its peers: up to five indicators, the largest first, each with its value, its points and
   the norm of its peers. points_over = points_micro - norm_micro, always positive. #}
{%- set names = indicator_names() -%}
with
    valued as (
        select
            g.uscc,
            g.peer_level
            {% for place in range(1, 6) %}
                ,
                g.reason_{{ place }},
                g.over_{{ place }},
                {{ place_in(names, "g.reason_" ~ place) }} as at_{{ place }}
            {% endfor %},
            {{ list_of(prefixed(names, "i.")) }} as indicator_values,
            {{ list_of(prefixed(names, "s.p_")) }} as points
        from {{ ref("enterprise_grades") }} as g
        join {{ ref("enterprise_scores") }} as s on s.uscc = g.uscc
        join {{ ref("enterprise_indicators") }} as i on i.as_of_date = {{ as_of() }} and i.uscc = g.uscc
        where g.reason_1 is not null
    ),
    placed as (
        select
            uscc,
            peer_level
            {% for place in range(1, 6) %}
                ,
                reason_{{ place }},
                over_{{ place }},
                {{ element_of("indicator_values", "at_" ~ place) }} as value_{{ place }},
                {{ element_of("points", "at_" ~ place) }} as points_{{ place }}
            {% endfor %}
        from valued
    ),
    ranks as (
        {% for place in range(1, 6) %}
            select cast({{ place }} as integer) as reason_rank
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    turned as (
        select
            p.uscc,
            r.reason_rank,
            case
                r.reason_rank
                {% for place in range(1, 6) %} when {{ place }} then reason_{{ place }} {% endfor %}
            end as indicator,
            case
                r.reason_rank
                {% for place in range(1, 6) %} when {{ place }} then value_{{ place }} {% endfor %}
            end as indicator_value,
            case
                r.reason_rank
                {% for place in range(1, 6) %} when {{ place }} then points_{{ place }} {% endfor %}
            end as points_micro,
            case
                r.reason_rank
                {% for place in range(1, 6) %} when {{ place }} then over_{{ place }} {% endfor %}
            end as points_over,
            p.peer_level
        from placed as p
        cross join ranks as r
    )
select
    {{ as_of() }} as as_of_date,
    uscc,
    reason_rank,
    indicator,
    indicator_value,
    points_micro,
    points_micro - points_over as norm_micro,
    points_over,
    peer_level
from turned
where indicator is not null
