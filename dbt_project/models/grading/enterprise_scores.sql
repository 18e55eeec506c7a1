{# The score of every graded enterprise on the as-of day: the intercept and one whole number of micro points per
   indicator, from the points table of the model that grades; and the calibrated probability of a serious breach. #}
{%- set card = scorecard() -%}
-- depends_on: {{ source("grading", "scorecard_points") }}
-- depends_on: {{ source("grading", "calibration") }}
with
    points as (
        select
            as_of_date,
            uscc
            {% for feature in card["features"] %}
                , cast({{ feature_points(feature, feature["name"]) }} as bigint) as p_{{ feature["name"] }}
            {% endfor %}
        from {{ ref("standardized_indicators") }}
        where as_of_date = {{ as_of() }}
    ),
    scores as (
        select
            *,
            cast(
                {{ card["intercept"] }}
                {% for feature in card["features"] %} + p_{{ feature["name"] }}{% endfor %} as bigint
            ) as score_micro
        from points
    )
select *, cast({{ calibrated_probability("score_micro") }} as double) as probability, '{{ card["digest"] }}' as model_digest
from scores
