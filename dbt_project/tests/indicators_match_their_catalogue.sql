{# indicators.csv says how each indicator is counted; the models compute just those, peers and caps as it says. #}
with
    computed as (
        {% for name in indicator_names() %}
            select
                '{{ name }}' as indicator,
                '{{ "peers" if name in peer_indicators() else "cap" }}' as standardization
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    described as (select * from {{ in_force("indicators") }} as i)
select coalesce(c.indicator, d.indicator) as indicator
from computed as c
full outer join described as d on d.indicator = c.indicator
where
    c.indicator is null
    or d.indicator is null
    or c.standardization <> d.standardization
    or (d.standardization = 'cap' and coalesce(d.cap, 0) <= 0)
    or d.direction not in (-1, 1)
