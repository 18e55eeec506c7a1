{# Values lie within their bounds, both included; null in a range: no bound. One query for all columns. #}
{% test values_in_range(model, ranges) %}
    select *
    from {{ model }}
    where
        false
        {% for column, bounds in ranges.items() %}
            {% if bounds[0] is not none %} or {{ column }} < {{ bounds[0] }} {% endif %}
            {% if bounds[1] is not none %} or {{ column }} > {{ bounds[1] }} {% endif %}
        {% endfor %}
{% endtest %}
