{# The score of every graded enterprise on the as-of day: the intercept and one whole number of micro points per
   indicator (0 where the model does not use it), from the points table of the model that grades; and the calibrated
   probability of a serious breach within twelve months. #}
{%- set card = scorecard() -%}
{%- set features = {} -%}
{%- for feature in card["features"] -%} {%- do features.update({feature["name"]: feature}) -%} {%- endfor -%}
-- depends_on: {{ source("grading", "scorecard_points") }}
with
    points as (
        select
            as_of_date,
            uscc
            {% for name in indicator_names() %}
                ,
                cast(
                    {% if name in features %}{{ feature_points(features[name], name) }}
                    {% else %}0
                    {% endif %} as bigint
                ) as p_{{ name }}
            {% endfor %}
        from {{ ref("standardized_indicators") }}
        where as_of_date = {{ as_of() }}
    ),
    scores as (
        select
            *,
            cast(
                {{ card["intercept"] }}
                {% for name in indicator_names() %} + p_{{ name }}{% endfor %} as bigint
            ) as score_micro
        from points
    )
select
    as_of_date,
    uscc,
    score_micro,
    cast({{ calibrated_probability("score_micro") }} as double) as probability,
    {% for name in indicator_names() %} p_{{ name }}, {% endfor %}
    '{{ card["digest"] }}' as model_digest
from scores
