{# No record means 0 once a feed has delivered: on a day such an indicator is there for all enterprises, or for none. #}
{% test zero_once_delivered(model, columns) %}
    select as_of_date
    from {{ model }}
    group by as_of_date
    having
        {% for column in columns %}
            (count({{ column }}) > 0 and count({{ column }}) < count(*)) {% if not loop.last %} or {% endif %}
        {% endfor %}
{% endtest %}
