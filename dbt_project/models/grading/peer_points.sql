{# The norm that reasons are measured against: the mean micro points per indicator of an enterprise's peers, those of the
   same industry section and size class; if they are fewer than peer_minimum, of the section; if these are, of all.
   One row per pair of section and size class that occurs ('' where unknown). Whole numbers until one division. #}
with
    sums as (
        select
            coalesce(i.industry_section, '') as industry_section,
            coalesce(i.size_class, '') as size_class,
            count(*) as peer_count
            {% for name in indicator_names() %}
                , cast(sum(s.p_{{ name }}) as bigint) as p_{{ name }}
            {% endfor %}
        from {{ ref("enterprise_scores") }} as s
        join {{ ref("enterprise_indicators") }} as i on i.as_of_date = {{ as_of() }} and i.uscc = s.uscc
        group by coalesce(i.industry_section, ''), coalesce(i.size_class, '')
    ),
    sections as (
        select
            industry_section,
            sum(peer_count) as peer_count
            {% for name in indicator_names() %}, sum(p_{{ name }}) as p_{{ name }}{% endfor %}
        from sums
        group by industry_section
    ),
    city as (
        select
            sum(peer_count) as peer_count
            {% for name in indicator_names() %}, sum(p_{{ name }}) as p_{{ name }}{% endfor %}
        from sums
    ),
    levels as (
        select
            industry_section,
            size_class,
            case
                when g.peer_count >= {{ parameter("peer_minimum") }}
                then 'section_size'
                when s.peer_count >= {{ parameter("peer_minimum") }}
                then 'section'
                else 'all'
            end as peer_level
        from sums as g
        join sections as s using (industry_section)
    )
select
    {{ as_of() }} as as_of_date,
    l.industry_section,
    l.size_class,
    l.peer_level,
    cast(
        case
            l.peer_level
            when 'section_size'
            then g.peer_count
            when 'section'
            then s.peer_count
            else c.peer_count
        end as bigint
    ) as peer_count
    {% for name in indicator_names() %}
        ,
        case
            l.peer_level
            when 'section_size'
            then {{ whole_mean("g.p_" ~ name, "g.peer_count") }}
            when 'section'
            then {{ whole_mean("s.p_" ~ name, "s.peer_count") }}
            else {{ whole_mean("c.p_" ~ name, "c.peer_count") }}
        end as n_{{ name }}
    {% endfor %}
from levels as l
join sums as g on g.industry_section = l.industry_section and g.size_class = l.size_class
join sections as s on s.industry_section = l.industry_section
cross join city as c
