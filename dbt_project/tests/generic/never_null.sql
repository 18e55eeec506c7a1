{# No row of the model has a null in one of the columns: one query for all of them. #}
{% test never_null(model, columns) %}
    select {{ columns | join(", ") }}
    from {{ model }}
    where {% for column in columns %} {{ column }} is null {% if not loop.last %} or {% endif %} {% endfor %}
{% endtest %}
