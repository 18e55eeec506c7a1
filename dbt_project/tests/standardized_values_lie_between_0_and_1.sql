{# Each standardized value is missing exactly when the indicator is, and lies within 0 and 1. #}
select s.uscc
from {{ ref("standardized_indicators") }} as s
join {{ ref("enterprise_indicators") }} as e on e.as_of_date = s.as_of_date and e.uscc = s.uscc
where
    {% for name in indicator_names() %}
        s.{{ name }} < 0e0
        or s.{{ name }} > 1e0
        or (s.{{ name }} is null and e.{{ name }} is not null)
        or (s.{{ name }} is not null and e.{{ name }} is null)
        {% if not loop.last %} or {% endif %}
    {% endfor %}
