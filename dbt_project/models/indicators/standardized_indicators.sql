{# Every indicator on one scale, 0 to 1; a higher value is still more of the same thing, missing stays missing.

   Against a cap (a penalty is a penalty in every industry): x / cap, at most 1; cap from indicators.csv.
   Against peers (sizes and ratios): winsorized to the 5th and 95th percentile of the peers and scaled between them.
   Peers are the enterprises of the same industry section and size class that have a value; if they are fewer than
   peer_minimum, those of the section; if these are, all. If both percentiles are one number, being below it is 0, on it
   0.5, above it 1.
   Exact on every engine: whole numbers until one division of DOUBLEs. #}
{%- set peers = peer_indicators() -%}
{%- set capped = indicator_names() | reject("in", peers) | list -%}
with
    caps as (
        select
            {% for name in capped %}
                max(case when indicator = '{{ name }}' then cap end) as {{ name }}
                {% if not loop.last %},{% endif %}
            {% endfor %}
        from {{ in_force("indicators") }} as i
    ),
    bounds as (
        select
            as_of_date,
            industry_section,
            size_class,
            case
                when grouping(size_class) = 0 then 1 when grouping(industry_section) = 0 then 2 else 3
            end as level
            {% for name in peers %}
                ,
                count({{ name }}) as {{ name }}_peers,
                cast(percentile_disc(0.05) within group (order by {{ name }}) as bigint) as {{ name }}_low,
                cast(percentile_disc(0.95) within group (order by {{ name }}) as bigint) as {{ name }}_high
            {% endfor %}
        from {{ ref("enterprise_indicators") }}
        group by
            grouping sets (
                (as_of_date, industry_section, size_class), (as_of_date, industry_section), (as_of_date)
            )
    ),
    compared as (
        select
            e.*
            {% for name in peers %}
                {% for bound in ["low", "high"] %}
                    ,
                    case
                        when a.{{ name }}_peers >= {{ parameter("peer_minimum") }}
                        then a.{{ name }}_{{ bound }}
                        when b.{{ name }}_peers >= {{ parameter("peer_minimum") }}
                        then b.{{ name }}_{{ bound }}
                        else c.{{ name }}_{{ bound }}
                    end as {{ name }}_{{ bound }}
                {% endfor %}
            {% endfor %}
        from {{ ref("enterprise_indicators") }} as e
        left join
            bounds as a
            on a.level = 1
            and a.as_of_date = e.as_of_date
            and a.industry_section = e.industry_section
            and a.size_class = e.size_class
        left join
            bounds as b
            on b.level = 2
            and b.as_of_date = e.as_of_date
            and b.industry_section = e.industry_section
        left join bounds as c on c.level = 3 and c.as_of_date = e.as_of_date
    )
select
    e.as_of_date,
    e.uscc,
    e.industry_section,
    e.size_class,
    {% for name in indicator_names() %}
        {% if name in capped %}
            case
                when e.{{ name }} is not null
                then
                    cast(least(greatest(e.{{ name }}, 0), c.{{ name }}) as double)
                    / cast(c.{{ name }} as double)
            end as {{ name }},
        {% else %}
            case
                when e.{{ name }} is null
                then null
                when e.{{ name }}_high > e.{{ name }}_low
                then
                    cast(
                        least(greatest(e.{{ name }}, e.{{ name }}_low), e.{{ name }}_high)
                        - e.{{ name }}_low as double
                    )
                    / cast(e.{{ name }}_high - e.{{ name }}_low as double)
                when e.{{ name }} < e.{{ name }}_low
                then 0e0
                when e.{{ name }} > e.{{ name }}_high
                then 1e0
                else 5e-1
            end as {{ name }},
        {% endif %}
    {% endfor %}
    e.data_completeness
from compared as e
cross join caps as c
